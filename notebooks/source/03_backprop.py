# %% [markdown]
# # 03 · How does a CNN learn?
#
# A network starts with random weights and knows nothing. A few seconds later it reads handwriting. In between lies
# one idea, applied some thousand times: *for every weight, find out whether a little more of it would make the error
# larger or smaller, and change it a little the other way.* Finding that out for all weights in one sweep from the
# error back to the input is **backpropagation**.
#
# In this notebook nothing happens behind a curtain. Every layer is a pair of short NumPy functions, small enough to
# follow with a pencil, and every gradient is compared with SciPy's or TensorFlow's or with plain trial and error. Its
# sequel, [03b](03b_training_by_hand.ipynb), puts all of them to the test and trains a LeNet with them, beside Keras.
#
# **Your prediction, please**, before you read on. You will find the answers on the way.
#
# 1. Ten classes, random weights: how large is the cross-entropy before the first step?
# 2. A 2×2 max pool sends gradients back to its input. What share of the input's pixels gets any?
# 3. A gradient on its way back passes ten sigmoids. By what factor, at least, do these make it smaller?
# 4. One number feeds two nodes. Two slopes come back. Is its own their sum, their product, or the larger?

# %% [markdown]
# **What it costs**: nothing is trained; the page takes seconds, which section 5 prints. **Varied**: the layer that is
# looked at. **Held fixed**: a handful of digits. **Tuned**: nothing. The profiles `smoke` and `full` compute the same.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, seaborn and the parts of cnnkit

digits = load_dataset("digits")
print(f"the profile of this page: {PROFILE}")

# %% [markdown]
# The rest of the tools: `fs` is `cnnkit.from_scratch`, the NumPy functions that this notebook is about; TensorFlow and
# SciPy check them. How this page draws its figures is folded away.

# %% tags=["hide-input"]
import inspect
import time

import scipy.signal
import tensorflow as tf
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from cnnkit import from_scratch as fs
from cnnkit.course import list_facts
from cnnkit.course.backprop.facts import relative_error
from cnnkit.plots import draw_grid

COLOURS = sns.color_palette("colorblind")


def show_code(*functions):
    """Show the code of functions and classes, as it stands in the package."""
    say("```python\n" + "\n\n".join(map(inspect.getsource, functions)) + "```")


def draw_between(ax, text, symbol="→"):
    ax.text(0.5, 0.46, symbol, ha="center", va="center", fontsize=20, color="0.4")
    ax.text(0.5, 0.68, text, ha="center", va="center", fontsize=9, color="0.4", linespacing=1.3)
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.axis("off")


def as_batch(grid):
    """One grey image (height, width) as the package wants it: (1, height, width, 1)."""
    return np.asarray(grid, "float64")[None, :, :, None]


# %% [markdown]
# ## 1. The training loop
#
# Here is the whole story in one picture: five things, over and over. The boxes are functions of
# `cnnkit.from_scratch`.

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(11, 5.4), layout="constrained")
GREEN, BLUE, RED, ORANGE, INK = COLOURS[2], COLOURS[0], COLOURS[3], COLOURS[1], "0.25"


def box(x, y, text, colour, width=1.5, height=0.9):
    style = {"boxstyle": "round,pad=0.02,rounding_size=0.12", "linewidth": 1.6}
    face = (*sns.light_palette(colour, 8)[1], 1)
    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, fc=face, ec=colour, **style))
    ax.text(x, y, text, ha="center", va="center", fontsize=9.5, color=INK, linespacing=1.35)


def arrow(start, end, colour, label="", at=(0, 0), bend=0, **style):
    look = {"arrowstyle": "-|>", "mutation_scale": 13, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
    look["connectionstyle"] = f"arc3,rad={bend}"
    ax.add_patch(FancyArrowPatch(start, end, color=colour, **look | style))
    middle = (np.array(start) + end) / 2 + at
    ax.text(*middle, label, ha="center", va="center", fontsize=8.5, color=colour)


top, low, bottom, gap = 4.6, 2.6, 0.75, 2.1
names = ["convolution\n$w_1, b_1$", "ReLU", "max pool", "dense\n$w_2, b_2$"]
box(0, top, "$\\bf{1\\ input}$\nimages $x$, labels", GREEN)
for k, name in enumerate(names, start=1):
    box(k * gap, top, name, BLUE)
    box(k * gap, low, name.split("\n")[0] + "\nbackward", RED)
    arrow((k * gap, top - 0.49), (k * gap, low + 0.49), "0.6", "cache", (0.36, 0), linestyle="--", linewidth=1.1)
for k in range(5):
    arrow((k * gap + 0.79, top), ((k + 1) * gap - 0.79, top), BLUE)
    if k:
        arrow(((k + 1) * gap - 0.79, low), (k * gap + 0.79, low), RED, "$dy$", (0, 0.2))
box(5 * gap, top, "$\\bf{3\\ loss}$\none number $L$", ORANGE)
box(5 * gap, low, "$\\partial L/\\partial z$\nslope at the top", ORANGE)
arrow((5 * gap, top - 0.49), (5 * gap, low + 0.49), ORANGE)
rule = "$w \\leftarrow w - \\eta\\ \\partial L/\\partial w$"
box(2.5 * gap, bottom, f"$\\bf{{5\\ update}}$     {rule}", GREEN, 3.3 * gap, 0.8)
for k in (1, 4):
    name = f"$\\partial L/\\partial w_{1 + (k > 1)},\\ \\partial L/\\partial b_{1 + (k > 1)}$"
    arrow((k * gap, low - 0.49), (k * gap, bottom + 0.44), RED, name, (0.72, -0.2))
ax.plot([0.83 * gap, 0, 0], [bottom, bottom, top - 0.8], color=GREEN, linewidth=1.6, snap=False)
arrow((0, top - 0.8), (0, top - 0.49), GREEN, "next\nbatch", (-0.45, -1.35))
ax.text(2.5 * gap, top + 0.75, "2 forward: compute, and remember", color=BLUE, ha="center", weight="bold")
ax.text(2.5 * gap, low - 0.78, "4 backward: the chain rule, from right to left", color=RED, ha="center", weight="bold")
ax.set(xlim=(-1, 5 * gap + 0.95), ylim=(0.2, top + 1.05), aspect="equal")
ax.axis("off")
plt.show()

# %% [markdown]
# Read it clockwise. A batch of images goes in on the left (1). Each layer turns what it gets into something for the
# next and keeps a **cache** of what it will need later (2). The loss boils everything down to one number, how wrong
# we are (3). Then the same layers are visited in reverse. Each is told `dy`, how the loss changes with its *output*,
# and answers with how the loss changes with its *input*, which is the `dy` of the layer before, and with its
# *weights* (4). The weights take a small step downhill (5), and the next batch comes.
#
# In code it is hardly longer than in words. A layer is a pair of functions with their arrays, a network a list of
# layers, and this is the loop that will train a LeNet in 03b:

# %%
show_code(fs.Layer, fs.forward, fs.backward, fs.sgd, fs.fit)

# %% [markdown]
# ### The smallest network there is
#
# One weight. The network says $y = w x$, the loss is $L = (y - t)^2$ with the target $t$. The chain rule multiplies
# the slopes on the way from the loss to the weight:
#
# $$\frac{\partial L}{\partial w} = \frac{\partial L}{\partial y}\cdot\frac{\partial y}{\partial w} = 2(y - t)\, x .$$
#
# Each line below is one turn of the loop. Check the first with your pencil.

# %%
w, x, t, learning_rate = 1.0, 2.0, 6.0, 0.05
turns = []
for _ in range(6):
    y = w * x  # forward
    loss = (y - t) ** 2  # loss
    dy = 2 * (y - t)  # backward: through the loss,
    dw = dy * x  # and through the product
    turns.append({"w": w, "y = w·x": y, "loss": loss, "dL/dy": dy, "dL/dw": dw})
    w -= learning_rate * dw  # update
pd.DataFrame(turns).round(4)

# %% [markdown]
# The negative slope says: more $w$, less loss; so $w$ grows, by less each time as the slope flattens, towards $t/x$.

# %% [markdown]
# ### Two weights in a chain: values on the wires
#
# Now two layers of one weight each: $h = w_1 x$, then $y = w_2 h$, and the loss $L = (y - t)^2$ again. Draw every
# operation as a node and every number as a wire. Forwards, each node computes its output from its inputs. Then we start
# at the end, where $\partial L/\partial L = 1$, and walk back. Each node needs to know two things only: the slope that
# arrives at its output, and its own *local* slopes. The product of the two goes on to each input.


# %% tags=["hide-input"]
def draw_node(ax, x, y, text):
    ax.add_patch(Circle((x, y), 0.34, fc="0.93", ec="0.4", lw=1.3, zorder=2))
    ax.text(x, y, text, ha="center", va="center", fontsize=11)


def draw_wire(ax, start, end, name, value, slope, lift=0.0):
    """An arrow between two places: above it a number on its way forward, below it the slope that comes back."""
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color="0.4", shrinkA=0, shrinkB=0))
    x, y = (np.array(start) + end) / 2
    forward = f"{name} = {value:g}" if name else f"{value:g}"
    ax.text(x, y + 0.13 + lift, forward, ha="center", va="bottom", fontsize=9.5, color=COLOURS[0])
    ax.text(x, y - 0.13 + lift, f"{slope:g}".replace("-", "−"), ha="center", va="top", fontsize=9.5, color=COLOURS[3])


# %%
x, w1, w2, t = 2.0, 1.0, 1.5, 5.0
h = w1 * x  # forward
y = w2 * h
loss = (y - t) ** 2

dy = 2 * (y - t)  # backward: the local slope of the square, times 1
dw2, dh = dy * h, dy * w2  # a product hands each factor the other one, times what arrives
dw1, dx = dh * x, dh * w1  # and the next product does the same with what has arrived there

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(9.6, 2.6), layout="constrained")
for place, sign in ((2.4, "×"), (5.0, "×"), (7.6, "$(y-t)^2$")):
    draw_node(ax, place, 1, sign if sign == "×" else "")
ax.text(7.6, 1, "(·−t)²", ha="center", va="center", fontsize=8.5)
draw_wire(ax, (0.4, 1), (2.05, 1), "x", x, dx)
draw_wire(ax, (2.75, 1), (4.65, 1), "h", h, dh)
draw_wire(ax, (5.35, 1), (7.25, 1), "y", y, dy)
draw_wire(ax, (7.95, 1), (9.6, 1), "L", loss, 1)
for place, name, value, slope in ((2.4, "w₁", w1, dw1), (5.0, "w₂", w2, dw2)):
    ax.add_patch(FancyArrowPatch((place, 2.3), (place, 1.36), arrowstyle="-|>", mutation_scale=12, color="0.4"))
    ax.text(place + 0.12, 2.05, f"{name} = {value:g}", ha="left", va="center", fontsize=9.5, color=COLOURS[0])
    ax.text(place + 0.12, 1.65, f"{slope:g}".replace("-", "−"), ha="left", va="center", fontsize=9.5, color=COLOURS[3])
ax.set(xlim=(0.2, 9.8), ylim=(0.4, 2.4), aspect="equal")
ax.axis("off")
plt.show()

# %% [markdown]
# Blue is forward, red is backward. Read red from the right: 1 at the loss; $2(y-t) = -4$ after the square; the second
# product swaps its inputs, so $w_2$ gets $-4\cdot h = -8$ and $h$ gets $-4\cdot w_2 = -6$; the first product swaps
# again, so $w_1$ gets $-6\cdot x = -12$. No node knew what the others do. In one line, as the chain rule is usually
# written, the same three factors stand side by side:
#
# $$\frac{\partial L}{\partial w_1} =
# \underbrace{2(y-t)}_{\partial L/\partial y}\;\underbrace{w_2}_{\partial y/\partial h}\;
# \underbrace{x}_{\partial h/\partial w_1} = -4\cdot 1.5\cdot 2 = -12 .$$

# %% [markdown]
# ### A number that goes two ways
#
# Let $h$ feed two nodes: $u = 3h$ and $v = h^2$, and then $y = u + v$. What is the slope of $y$ with respect to $h$?
# A little more $h$ arrives at $y$ along *both* wires, so both contributions count: the slopes **add up**.

# %%
h = 2.0
u, v = 3 * h, h**2
y = u + v
du = dv = 1.0  # an addition hands on what arrives, unchanged, to both
upper, lower = du * 3, dv * 2 * h  # what comes back along the two paths
dh = upper + lower

nudge = 1e-6
by_nudging = (3 * (h + nudge) + (h + nudge) ** 2 - y) / nudge
print(f"{upper:g} along the upper path + {lower:g} along the lower = {dh:g}; nudging h gives {by_nudging:.4f}")

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(8.4, 2.7), layout="constrained")
for place, sign in (((2.6, 1), ""), ((4.8, 1.9), "3·"), ((4.8, 0.1), "(·)²"), ((7.4, 1), "+")):
    draw_node(ax, *place, sign)
draw_wire(ax, (0.6, 1), (2.25, 1), "h", h, dh)
draw_wire(ax, (2.9, 1.18), (4.47, 1.78), "", h, upper, 0.08)
draw_wire(ax, (2.9, 0.82), (4.47, 0.22), "", h, lower, -0.04)
draw_wire(ax, (5.15, 1.8), (7.08, 1.14), "u", u, du, 0.06)
draw_wire(ax, (5.15, 0.2), (7.08, 0.86), "v", v, dv, -0.04)
draw_wire(ax, (7.75, 1), (9.3, 1), "y", y, 1)
ax.set(xlim=(0.4, 9.5), ylim=(-0.4, 2.4), aspect="equal")
ax.axis("off")
plt.show()

# %% [markdown]
# The empty node is a **fork**: forwards it copies, backwards it adds, 3 and 4 make 7 (prediction 4). With addition (it
# copies backwards), product (it swaps) and the maximum (it switches, as we shall see) these are all the nodes that a
# convolutional network has, besides the bends of its activations. A weight of a convolution is a fork with hundreds of
# prongs: one for each place of each image.

# %% [markdown]
# What a network adds is bookkeeping. There are many weights, so there are sums; several layers, so the chain is longer;
# and one pixel or weight influences the loss along several paths, whose slopes add up. Hold on to that last sentence:
# it explains every formula below.

# %% [markdown]
# ### Steps and epochs
#
# One *step* uses one batch, one *epoch* every image once. When the batch size does not divide the number of images, a
# few are left over. Keras makes a last, smaller batch of them, and so does our `fit` above. (The recorded runs of
# cnnkit let them wait for the next epoch's shuffle instead, `last_batch="drop"`: notebook 06 shows what a full step on
# a handful of images can do.)


# %%
def batches_of(images, batch_size):
    return [len(part) for part in np.split(np.arange(images), range(batch_size, images, batch_size))]


def steps_in_keras(images, batch_size):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((images, 1)), np.zeros((images, 1)), batch_size=batch_size, verbose=0)
    return int(model.optimizer.iterations)


lines = []
for images, batch_size in ((500, 32), (500, 64), (len(digits.x_train), 32)):
    sizes, line = batches_of(images, batch_size), {"images": images, "batch size": batch_size}
    line |= {"images / batch size": images / batch_size, "steps": len(sizes), "last batch": sizes[-1]}
    lines.append(line | {"steps of Keras": steps_in_keras(images, batch_size)})
epochs = pd.DataFrame(lines)
epochs

# %% [markdown]
# So the number of steps is $\lceil n / \text{batch} \rceil$ here, and $\lfloor n / \text{batch} \rfloor$ where the rest
# waits. The last line is the data set of this notebook.

# %% [markdown]
# ## 2. Layers, with a pencil
#
# From here on the recipe is always the same. Somebody hands us `dy`, a number for every output: *if this output grows
# by a tiny bit, the loss grows by `dy` times that bit.* We ask: which outputs does my input touch, and how strongly?
# The figures draw arrays as squares; one colour is one window.

# %% [markdown]
# ### Max pooling
#
# A max pool keeps the largest value of each window. Four windows of 2×2 pixels; we invent a `dy`, as if the rest of
# the network had already answered. What is `dx`?
#
# Think of one pixel at a time. Nudge a pixel that is **not** the largest of its window: the maximum stays what it
# was, the loss does not move, the slope is 0. Nudge the largest one: the output moves exactly as much, so its slope
# is the `dy` of its window. The switch stays where the maximum was; the gradient follows it home.

# %%
x = np.array([[1, 3, 2, 0], [4, 2, 1, 5], [0, 1, 6, 2], [3, 2, 1, 1]], "float64")
dy = np.array([[1, -2], [0.5, 3]])


def max_pool_by_hand(x, size, stride):
    """One image, a window at a time. The cache says which pixel won which window."""
    places = range(0, x.shape[0] - size + 1, stride), range(0, x.shape[1] - size + 1, stride)
    y, winners = np.zeros([len(side) for side in places]), {}
    for p, top in enumerate(places[0]):
        for q, left in enumerate(places[1]):
            window = x[top : top + size, left : left + size]
            i, j = np.unravel_index(window.argmax(), window.shape)
            y[p, q] = window[i, j]
            winners[p, q] = top + i, left + j
    return y, (x.shape, winners)


def max_pool_by_hand_backward(dy, cache):
    shape, winners = cache
    dx = np.zeros(shape)
    for window, pixel in winners.items():
        dx[pixel] += dy[window]
    return dx


y, cache = max_pool_by_hand(x, size=2, stride=2)
dx = max_pool_by_hand_backward(dy, cache)

# %%
# Forwards from left to right, then the way back; mean pooling below, for comparison.
windows = np.kron([[0, 1], [2, 4]], np.ones((2, 2), int))
won, small = dx != 0, np.array([[0, 1], [2, 4]])
mean_y, mean_cache = fs.mean_pool2d(as_batch(x))
mean_dx = fs.mean_pool2d_backward(as_batch(dy), mean_cache)

fig, axes = plt.subplots(2, 7, figsize=(11, 5.6), width_ratios=[4, 1.6, 2, 1.8, 2, 1.6, 4], layout="constrained")
for line, kind, values, gradient, marked in (
    (axes[0], "max", y, dx, won),
    (axes[1], "mean", mean_y[0, :, :, 0], mean_dx[0, :, :, 0], None),
):
    draw_grid(line[0], x, "input $x$", windows, marked)
    draw_between(line[1], kind)
    draw_grid(line[2], values, "output $y$", small)
    draw_between(line[3], "loss, and\nback to here", "⋯")
    draw_grid(line[4], dy, "given $dy$", small)
    draw_between(line[5], "to the\nwinner" if kind == "max" else "a quarter\nto each")
    draw_grid(line[6], gradient, "answer $dx$", windows, marked)
plt.show()

# %% [markdown]
# **Top.** The bold pixels won their windows. Each gets the whole `dy` of its window, all others get nothing: one pixel
# of each four (prediction 2). **Bottom.** In a mean pool every pixel of a window moves the output by a quarter of its
# own movement, so every pixel gets a quarter of `dy`. In both, the numbers of `dx` in one colour add up to the `dy` of
# that colour.
#
# Not convinced? Then nudge. Write $L = \sum y \cdot dy$, the simplest loss whose slope with respect to $y$ is `dy`;
# raise one pixel by a little, lower it by a little, and divide the change of $L$ by the change of the pixel. No
# calculus at all.

# %%
nudge, slopes = 1e-5, np.zeros_like(x)
for pixel in np.ndindex(x.shape):
    step = np.zeros_like(x)
    step[pixel] = nudge
    up, down = ((max_pool_by_hand(image, 2, 2)[0] * dy).sum() for image in (x + step, x - step))
    slopes[pixel] = (up - down) / (2 * nudge)
print(slopes.round(6))
print(f"largest difference to dx: {np.abs(slopes - dx).max():.0e}")

# %% [markdown]
# That is the whole of backpropagation through a max pool. The package does the same for all images and channels at
# once, without a loop over pixels; it also has overlapping windows (exercise 2) and says what it does at a tie. Is it
# equal to ours, on a real digit?

# %%
digit = digits.x_train[0, :, :, 0] / 255
upstream = np.random.default_rng(1).normal(size=(14, 14))
for_one, one_cache = max_pool_by_hand(digit, 2, 2)
for_all, all_cache = fs.max_pool2d(as_batch(digit))
np.testing.assert_allclose(for_one, for_all[0, :, :, 0])
routed = fs.max_pool2d_backward(as_batch(upstream), all_cache)[0, :, :, 0]
np.testing.assert_allclose(max_pool_by_hand_backward(upstream, one_cache), routed)
print(f"equal; {(routed != 0).mean():.0%} of {routed.size} pixels get a gradient from a 2×2 max pool")
show_code(fs.max_pool2d, fs.max_pool2d_backward, fs.mean_pool2d_backward)

# %% [markdown]
# ### Convolution
#
# A kernel slides over the image, and each output is the sum of products of kernel and window:
#
# $$y[p,q] = b + \sum_{i,j} x[p+i,\,q+j]\; w[i,j].$$
#
# *Who touches whom?* The weight $w[i,j]$ is used in every window, each time multiplied by the pixel at that place of
# the window. Several paths, so add up: $dw[i,j] = \sum_{p,q} dy[p,q]\; x[p+i, q+j]$. The pixel $x[r,s]$ is seen by
# several windows, each time multiplied by another weight; add up again: $dx[p+i,q+j] \mathrel{+}= dy[p,q]\; w[i,j]$.
# The bias is added to all outputs: $db = \sum dy$.
#
# A 3×3 image, a 2×2 kernel, bias 1: small enough to check every number by hand.


# %%
def convolve_by_hand(x, w, b):
    """One image, one kernel, stride 1, no padding."""
    height, width = w.shape
    y = np.zeros((x.shape[0] - height + 1, x.shape[1] - width + 1))
    for p, q in np.ndindex(y.shape):
        y[p, q] = (x[p : p + height, q : q + width] * w).sum() + b
    return y


def convolve_by_hand_backward(dy, x, w):
    height, width = w.shape
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for p, q in np.ndindex(dy.shape):
        dx[p : p + height, q : q + width] += dy[p, q] * w  # the window gets the kernel,
        dw += dy[p, q] * x[p : p + height, q : q + width]  # the kernel gets the window
    return dx, dw, dy.sum()


x = np.array([[1, 2, 0], [0, 1, 3], [2, 1, 1]], "float64")
w = np.array([[1, -1], [2, 0]], "float64")
y = convolve_by_hand(x, w, b=1)
dy = np.array([[1, 0], [-1, 2]], "float64")
dx, dw, db = convolve_by_hand_backward(dy, x, w)

# %% tags=["hide-input"]
fig, axes = plt.subplots(3, 5, figsize=(8.6, 7.6), width_ratios=[3, 1.5, 3, 1.3, 3], layout="constrained")
window = np.pad(np.zeros((2, 2), int), (0, 1), constant_values=-1)
first, orange = np.array([[0, -1], [-1, -1]]), np.ones((2, 2), int)
for line, (left, between, middle, then, right) in zip(
    axes,
    [
        [
            (x, "input $x$", window),
            "window\ntimes",
            (w, "kernel $w$, bias 1", orange),
            "sum,\nplus 1",
            (y, "output $y$", first),
        ],
        [
            (dy, "given $dy$", first),
            "each\ntimes",
            (w, "kernel $w$", orange),
            "into its\nwindow",
            (dx, "answer $dx$", window),
        ],
        [
            (dy, "given $dy$", first),
            "each\ntimes",
            (x, "its window of $x$", window),
            "add up",
            (dw, "answer $dw$", orange),
        ],
    ],
    strict=True,
):
    draw_grid(line[0], *left)
    draw_between(line[1], between, "×")
    draw_grid(line[2], *middle)
    draw_between(line[3], then, "→")
    draw_grid(line[4], *right)
plt.show()
print(f"and db, the sum of dy, is {db:g}")

# %% [markdown]
# **Top**: forwards. **Middle and bottom**: two ways back, both from `dy`. Blue marks the first window, the output it
# makes and what comes back through it. To check the top left of $dw$: it met the four top left pixels of the windows,
# 1, 2, 0 and 1, with `dy` 1, 0, −1 and 2; add up the products. For the pixel in the middle of $dx$, which all four
# windows see, four products of `dy` and a weight meet.
#
# Now look at the two formulas again. Both are sliding sums themselves: $dw$ is the **correlation** of the image with
# `dy`, and $dx$ is the **convolution** of `dy` with the kernel, in the mathematician's sense, kernel turned by 180°,
# with `dy` padded so that the image's size comes out. The kernel need not be turned by hand: the turn follows from
# giving each pixel back what it took part in. What does SciPy say?

# %%
np.testing.assert_allclose(dw, scipy.signal.correlate(x, dy, "valid"))
np.testing.assert_allclose(dx, scipy.signal.convolve(dy, w, "full"))
y_all, cache = fs.conv2d(as_batch(x), w[:, :, None, None], np.ones(1))
dx_all, dw_all, db_all = fs.conv2d_backward(as_batch(dy), cache)
for by_hand, by_package in ((y, y_all), (dx, dx_all), (dw, dw_all), (db, db_all)):
    np.testing.assert_allclose(by_hand, np.squeeze(by_package))
print("our loops = SciPy = cnnkit.from_scratch")

# %% [markdown]
# The package lays all windows out as rows (`im2col`), so that the sums over places, images, channels and filters
# become matrix products. Its backward pass is the two lines of our loop in that form.

# %%
show_code(fs.im2col, fs.conv2d, fs.conv2d_backward)

# %% [markdown]
# ### Dense layers
#
# Every input touches every output: $y = xW + b$. In sums, $dx_i = \sum_o dy_o W_{io}$ and $dW_{io} = \sum_n x_{ni}\,
# dy_{no}$; as matrices that is $dy\,W^\top$ and $x^\top dy$. A way to remember it: there is only one way to multiply
# them so that the shapes fit. `dx` needs the shape of `x`, `dw` that of `w`.

# %%
show_code(fs.dense, fs.dense_backward)

# %% [markdown]
# ### Activations, and how steep they are
#
# An activation works on each number alone, so `dx` is `dy` times the slope of the curve. We get the slopes by handing
# the backward functions `dy` = 1, and compare them with TensorFlow's.

# %%
x = np.linspace(-6, 6, 1201)
fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for name, colour, line in zip(("sigmoid", "tanh", "relu"), COLOURS, ("-", "--", "-."), strict=False):
    value, cache = getattr(fs, name)(x)
    slope = getattr(fs, f"{name}_backward")(np.ones_like(x), cache)
    point = tf.Variable(x)
    with tf.GradientTape() as tape:
        reference = getattr(tf.nn, name)(point)
    np.testing.assert_allclose(slope, tape.gradient(reference, point), atol=1e-12)
    axes[0].plot(x, value, line, color=colour, label=name)
    axes[1].plot(x, slope, line, color=colour, label=name)
    print(f"{name:<8} slopes from {slope.min():.4f} to {slope.max():.4f}")
axes[0].set(xlabel="x", ylabel="Activation", ylim=(-1.2, 2.2))
axes[1].set(xlabel="x", ylabel="Slope of the activation", ylim=(-0.05, 1.12))
axes[1].legend(frameon=False)
sns.despine(fig)
plt.show()
print("all slopes of ReLU, the last of the three:", np.unique(slope).tolist())

# %% [markdown]
# The sigmoid is nowhere steeper than ¼, tanh reaches 1 at one point, zero, and ReLU is either flat or exactly 1: its
# slope is *one of* two values, not a range. So a gradient that passes $k$ sigmoids is multiplied by $4^{-k}$ or less,
# before the weights have their say: ten sigmoids take at least a factor of $4^{10} = 1{,}048{,}576$ (prediction 3).
# ReLU passes it on unchanged or not at all: it does not *shrink* gradients, but a
# unit that is negative for every image gets none and stops learning.

# %% [markdown]
# ### Vanishing and exploding
#
# What do shrinking and growing gradients do to training? Twenty dense ReLU layers, first weights of half, once and
# twice the right size; one step each, and we look at the first layer.

# %%
x_all, labels = (digits.x_train[:64] / 255).reshape(64, -1), digits.y_train[:64]
lines = []
for size in (0.5, 1.0, 2.0):
    rng = np.random.default_rng(1)
    widths = [784] + 20 * [64] + [10]
    network = []
    for inputs, outputs in zip(widths[:-1], widths[1:], strict=True):
        weights = rng.normal(0, size * np.sqrt(2 / inputs), (inputs, outputs))
        network += [fs.Layer(fs.dense, fs.dense_backward, [weights, np.zeros(outputs)])]
        network += [fs.Layer(fs.relu, fs.relu_backward)]
    network.pop()  # no ReLU after the last
    outputs, caches = fs.forward(network, x_all)
    loss, dy = fs.softmax_cross_entropy(outputs, labels)
    params, grads = fs.parameters(network), fs.backward(network, dy, caches)
    step = 0.1 * np.linalg.norm(grads[0]) / np.linalg.norm(params[0])
    fs.sgd(params, grads, [np.zeros_like(array) for array in params], learning_rate=0.1)
    after, _ = fs.softmax_cross_entropy(fs.forward(network, x_all)[0], labels)
    line = {"size of weights": size, "gradient": np.linalg.norm(grads[0]), "step / weights": step}
    lines.append(line | {"loss": loss, "loss after a step": after})
pd.DataFrame(lines).map("{:.4g}".format)

# %% [markdown]
# With weights too small, the gradient **vanishes**: the step is a speck of the weights, and the first layer stays as
# blind as it was. With weights too large it **explodes**: one step is larger than the weights themselves and throws
# them far past any optimum. Notebook 09 is about the cures.

# %% [markdown]
# ### Dropout
#
# Dropout zeroes a random share of the values and enlarges the others to make up for it. Backwards, the same mask is
# applied again: a dropped value had no influence, a kept one was multiplied by $1/(1-\text{rate})$.

# %%
ones = np.ones((1, 10_000))
y, mask = fs.dropout(ones, rate=0.25, rng=np.random.default_rng(1), training=True)
print("values:", np.unique(y).round(4), " mean:", y.mean().round(3), " gradients:", np.unique(mask * ones).round(4))
show_code(fs.dropout_backward)

# %% [markdown]
# ### Batch normalisation
#
# In training each channel is shifted and scaled to mean 0 and variance 1 *over the batch*: $\hat x = (x -
# \mu)/\sigma$, then $y = \gamma\hat x + \beta$. On the way back, mind that $x_j$ influences $\hat x_i$ along three
# paths: directly (if $i = j$), through $\mu$, and through $\sigma$. For $m$ values in a channel, with
# $\partial\mu/\partial x_j = 1/m$ and $\partial\sigma/\partial x_j = \hat x_j/m$, the quotient rule gives all three at
# once:
#
# $$\frac{\partial \hat x_i}{\partial x_j} =
# \frac{1}{\sigma}\Big(\mathbb 1_{i=j} - \frac1m - \frac{\hat x_i \hat x_j}{m}\Big).$$
#
# For four values we can write down all sixteen of these slopes and multiply, which the package avoids with two means.

# %%
x, dy = np.array([2.0, 4.0, 5.0, 9.0]), np.array([1.0, 0.0, -2.0, 0.5])
gamma, running = np.array([1.5]), (np.zeros(1), np.ones(1))
y, cache = fs.batch_norm(x[:, None], gamma, np.zeros(1), running=running, training=True, epsilon=0)
x_hat = (x - x.mean()) / x.std()
slopes = (np.eye(4) - 1 / 4 - np.outer(x_hat, x_hat) / 4) / x.std()
by_slopes = gamma * dy @ slopes
np.testing.assert_allclose(by_slopes, fs.batch_norm_backward(dy[:, None], cache)[0][:, 0], atol=1e-15)
print("dx:", by_slopes.round(4))
print(f"sum of dx: {abs(by_slopes.sum()):.0e}, and along x̂: {abs((by_slopes * x_hat).sum()):.0e}")
show_code(fs.batch_norm_backward)

# %% [markdown]
# `dx` sums to zero, and so does its product with $\hat x$ (up to rounding): shifting all four values, or stretching
# them, changes nothing, so no gradient may ask for it.
#
# That has a consequence. Multiply the weights of a convolution before a batch norm by 10: the outputs do not change,
# and the gradient becomes a *tenth*. Large weights learn slowly, all by themselves. We check both, on digits.

# %%
rng = np.random.default_rng(1)
images = digits.x_train[:16, :, :, :] / 255
kernels, upstream = rng.normal(size=(5, 5, 1, 6)), rng.normal(size=(16, 24, 24, 6))


def convolve_and_normalise(w, epsilon):
    z, conv_cache = fs.conv2d(images, w, np.zeros(6))
    moments = np.zeros(6), np.ones(6)
    y, norm_cache = fs.batch_norm(z, np.ones(6), np.zeros(6), running=moments, training=True, epsilon=epsilon)
    dz, _, _ = fs.batch_norm_backward(upstream, norm_cache)
    return y, fs.conv2d_backward(dz, conv_cache)[1]


for epsilon in (0, 1e-3):
    (y, dw), (y_large, dw_large) = (convolve_and_normalise(w, epsilon) for w in (kernels, 10 * kernels))
    ratio = np.linalg.norm(dw_large) / np.linalg.norm(dw)
    print(f"ε = {epsilon:<6} largest change of outputs {np.abs(y_large - y).max():.1e}, gradient × {ratio:.4f}")

# %% [markdown]
# Without ε, the small number that keeps a constant channel from dividing by zero, it holds to the last digits; with
# Keras's ε of 0.001 it holds as far as the variance is large against ε.

# %% [markdown]
# ### Losses
#
# **Softmax and cross-entropy.** The network's ten outputs $z$ (logits) become shares $p_k = e^{z_k}/\sum_j e^{z_j}$;
# the loss is $-\ln p$ of the right class. Take the logarithm before differentiating, and hardly anything is left to
# do:
#
# $$L = -z_\text{right} + \ln\sum_j e^{z_j} \quad\Rightarrow\quad
# \frac{\partial L}{\partial z_k} = \frac{e^{z_k}}{\sum_j e^{z_j}} - y_k = p_k - y_k ,$$
#
# with $y$ the one-hot label: *what you said minus what was true*. Over a batch of $n$ images it is the mean, hence
# $1/n$.

# %%
z, label = np.array([[2.0, 1.0, 0.0]]), np.array([1])
p = np.exp(z) / np.exp(z).sum()
loss, dz = fs.softmax_cross_entropy(z, label)
np.testing.assert_allclose(dz, p - np.eye(3)[label])
print("p     ", p.round(3), "\np − y ", dz.round(3), "\nloss  ", loss.round(3), "= −ln", p[0, 1].round(3))

# %% [markdown]
# **Sigmoid and squared error.** The older pair: $a = \sigma(z)$ and $L = \tfrac12\sum(a - t)^2$. With the error $e =
# a - t$ the chain has one more link, the slope of the sigmoid: $\partial L/\partial z = a(1-a)\,e$. It is the rule for
# this pair only, not for every output layer.

# %%
z = np.random.default_rng(1).normal(size=(4, 3))
target = np.eye(3)[[0, 2, 1, 1]]
a, cache = fs.sigmoid(z)
mse, e = fs.mean_squared_error(a, target)  # a mean, not half a sum: e is 2 (a - t) / size
logits = tf.Variable(z)
with tf.GradientTape() as tape:
    half_sum = 0.5 * tf.reduce_sum((tf.sigmoid(logits) - target) ** 2)
np.testing.assert_allclose(a * (1 - a) * (a - target), tape.gradient(half_sum, logits), atol=1e-15)
np.testing.assert_allclose(fs.sigmoid_backward(e, cache), a * (1 - a) * e)
print("a (1 − a) e equals autodiff for sigmoid and squared error")

# %% [markdown]
# Why then did everybody change to cross-entropy? One output whose target is 1, from very wrong (left) to right:

# %%
z = np.linspace(-8, 4, 400)
a, cache = fs.sigmoid(z)
squared, entropy = a * (1 - a) * (a - 1), a - 1  # two classes: softmax of (z, 0) is the sigmoid of z
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
ax.plot(z, np.abs(entropy), color=COLOURS[0], label="cross-entropy: |p − y|")
ax.plot(z, np.abs(squared), "--", color=COLOURS[1], label="sigmoid, squared error: |a(1 − a)e|")
ax.set(xlabel="Output z before the sigmoid (target 1)", ylabel="Size of the gradient", ylim=(0, 1.05))
ax.legend(frameon=False)
sns.despine(fig)
plt.show()
print(f"z = −8: cross-entropy {abs(entropy[0]):.4f}, squared error {abs(squared[0]):.6f}")

# %% [markdown]
# Where the answer is most wrong, the squared error has next to no gradient: the flat end of the sigmoid eats it. With
# cross-entropy the logarithm undoes the exponential, and a wrong answer is always told so, loudly.

# %% [markdown]
# **Before the first step** both classic losses of ten classes have a known value. If all outputs are equal, every class
# has $p = 1/10$ and the cross-entropy is $\ln 10$; and the multiclass hinge loss (the support vector machine's, margin
# 1) counts 1 for each of the nine wrong classes. With the usual first weights the outputs differ a little, and the
# losses are near these values, not on them:

# %%
x_train, y_train = (digits.x_train / 255).astype("float32"), digits.y_train
for name, factor in (("equal outputs", 0), ("usual first weights", 1)):
    network = fs.lenet(seed=1)
    network[-1].params[0] *= factor
    outputs, _ = fs.forward(network, x_train[:256])
    entropy, hinge = (loss(outputs, y_train[:256])[0] for loss in (fs.softmax_cross_entropy, fs.multiclass_hinge))
    print(f"{name:<20} cross-entropy {entropy:.4f}, hinge {hinge:.4f}")
print(f"{'ln 10 and 9':<20}               {np.log(10):.4f},       {9:.4f}")

# %% [markdown]
# That answers prediction 1, and it is the cheapest test there is of a new training script: a first loss that is far
# from these says that the inputs or the first weights have the wrong size.

# %% [markdown]
# ## 3. One whole step, by hand
#
# All parts are there. A small network, 32 real digits, one turn of the loop with every line visible. First the way
# forward, with the shapes that come out.

# %%
rng = np.random.default_rng(1)
x, y = digits.x_train[:32] / 255, digits.y_train[:32]
w1, b1 = rng.normal(0, 0.2, (5, 5, 1, 4)), np.zeros(4)
w2, b2 = rng.normal(0, 0.04, (12 * 12 * 4, 10)), np.zeros(10)


def go_forward():
    c, c_cache = fs.conv2d(x, w1, b1)
    r, r_cache = fs.relu(c)
    p, p_cache = fs.max_pool2d(r)
    f, f_cache = fs.flatten(p)
    z, z_cache = fs.dense(f, w2, b2)
    return (c, r, p, f, z), (c_cache, r_cache, p_cache, f_cache, z_cache)


outputs, (c_cache, r_cache, p_cache, f_cache, z_cache) = go_forward()
loss, dz = fs.softmax_cross_entropy(outputs[-1], y)
for name, output in zip(("convolution", "relu", "max pool", "flatten", "dense"), outputs, strict=True):
    print(f"{name:<12}{output.shape}")
print(f"loss {loss:.4f}")

# %% [markdown]
# A 5×5 kernel fits into 28 pixels at 24 places, the pool halves that to 12, and 12 · 12 · 4 = 576 features meet the
# dense layer. Now the way back: the same five lines, from the last to the first.

# %%
df, dw2, db2 = fs.dense_backward(dz, z_cache)
dp = fs.flatten_backward(df, f_cache)
dr = fs.max_pool2d_backward(dp, p_cache)
dc = fs.relu_backward(dr, r_cache)
dx, dw1, db1 = fs.conv2d_backward(dc, c_cache)
grads = [dw1, db1, dw2, db2]
for name, w, g in zip(("w1", "b1", "w2", "b2"), (w1, b1, w2, b2), grads, strict=True):
    print(f"{name} {w.shape}, its gradient {g.shape}, the largest {np.abs(g).max():.3f}")

# %% [markdown]
# Is it right? TensorFlow keeps a tape of what we compute and does the same by itself (*automatic differentiation*).
# The relative error is the largest difference, as a share of the largest value.

# %%
variables = [tf.Variable(array) for array in (w1, b1, w2, b2)]
with tf.GradientTape() as tape:
    features = tf.nn.max_pool2d(tf.nn.relu(tf.nn.conv2d(x, variables[0], 1, "VALID") + variables[1]), 2, 2, "VALID")
    logits = tf.reshape(features, (32, -1)) @ variables[2] + variables[3]
    tf_loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
by_autodiff = [gradient.numpy() for gradient in tape.gradient(tf_loss, variables)]
np.testing.assert_allclose(loss, tf_loss)
for name, ours, reference in zip(("dw1", "db1", "dw2", "db2"), grads, by_autodiff, strict=True):
    np.testing.assert_allclose(ours, reference, atol=1e-14)
    print(f"{name}: relative error {relative_error(ours, reference):.1e}")

# %% [markdown]
# Then the update. The gradient even predicts what a small step buys: each weight moves by $-\eta\,g$ and the loss by
# $g$ times that, in total $-\eta\sum g^2$. For a small $\eta$ the prediction should be good; for a large one the
# curve bends away.

# %%
squares, start = sum((g**2).sum() for g in grads), [array.copy() for array in (w1, b1, w2, b2)]
for learning_rate in (0.001, 0.01, 0.1, 1.0, 10.0):
    for array, before, g in zip((w1, b1, w2, b2), start, grads, strict=True):
        array[...] = before - learning_rate * g  # the update
    new_loss, _ = fs.softmax_cross_entropy(go_forward()[0][-1], y)
    print(f"η = {learning_rate:<6} change predicted {-learning_rate * squares:9.4f}, true {new_loss - loss:9.4f}")

# %% [markdown]
# That is why learning goes in many small steps: the slope is the truth only where we stand. (How large a step may be
# is the question of notebook 07.)

# %% [markdown]
# ## 4. How layers meet
#
# *Convolution before pooling*, *pooling before convolution* and so on need no formulas of their own: the `dx` of one
# layer is the `dy` of the one before, whichever it is. But it is worth looking at what travels there.
#
# Below, a fresh LeNet looks at one digit. The upper row is what goes forward, the lower row how the loss would change
# with each of these numbers, on the way back. We show the map with the strongest gradient.

# %%
network = fs.lenet(seed=1, dtype="float64")
stages, caches = [digits.x_train[:1] / 255], []
for layer in network:
    output, cache = layer.forward(stages[-1], *layer.params, **layer.options)
    stages.append(output)
    caches.append(cache)
_, dy = fs.softmax_cross_entropy(stages[-1], digits.y_train[:1])
slopes = [dy]
for layer, cache in zip(reversed(network), reversed(caches), strict=True):
    dy = layer.backward(dy, cache)
    dy = dy[0] if layer.params else dy
    slopes.insert(0, dy)

names = ["input", "convolution", "ReLU", "max pool", "convolution", "ReLU", "max pool"]
fig, axes = plt.subplots(2, 7, figsize=(11, 3.9), layout="constrained")
for column, name in enumerate(names):
    stage, slope = stages[column][0], slopes[column][0]
    strongest = np.abs(slope).sum(axis=(0, 1)).argmax()
    axes[0, column].imshow(stage[:, :, strongest], cmap="gray")
    limit = np.abs(slope[:, :, strongest]).max()
    axes[1, column].imshow(slope[:, :, strongest], cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes[0, column].set_title(f"{name}\n{'×'.join(map(str, stage.shape))}", fontsize=9)
    axes[1, column].set_xlabel(f"{(slope != 0).mean():.0%} not 0", fontsize=9)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("forward →")
axes[1, 0].set_ylabel("← gradient")
plt.show()

# %% [markdown]
# Read the lower row from the right. Under *ReLU* the gradient has come through the max pool: one pixel of four at
# most has any, at the winners. Under *convolution* it has also come through the ReLU, which deletes it where the
# input was negative. A convolution does the opposite: every pixel belongs to many windows, so the sparse dots are
# spread over their neighbourhoods again. (The percentages count all maps. Red: more here would raise the loss. Each
# picture has its own scale, so compare patterns, not strengths.) Now the four meetings, one by one.

# %% [markdown]
# **Convolution → pooling.** The convolution's `dy` is the pool's `dx`: after a max pool, zero except at the winners.
# So its kernel learns from the winning windows alone, $dw = \sum_{\text{winners}} dy \cdot \text{window}$. We sum
# over just those and compare.

# %%
rng = np.random.default_rng(2)
image, kernel = digit, rng.normal(size=(3, 3))
maps, conv_cache = fs.conv2d(as_batch(image), kernel[:, :, None, None], np.zeros(1))
pooled, pool_cache = fs.max_pool2d(maps)
upstream = rng.normal(size=pooled.shape)
dmaps = fs.max_pool2d_backward(upstream, pool_cache)
_, dw, _ = fs.conv2d_backward(dmaps, conv_cache)
winners = np.argwhere(dmaps[0, :, :, 0])
only_winners = sum(dmaps[0, p, q, 0] * image[p : p + 3, q : q + 3] for p, q in winners)
np.testing.assert_allclose(dw[:, :, 0, 0], only_winners)
print(f"{len(winners)} of {dmaps.size} windows decide all of dw")

# %% [markdown]
# **Pooling → convolution.** The pool's `dy` is the convolution's `dx`, dense. A mean pool spreads it in equal parts
# over its window, which is an enlargement of the picture, divided by the window's size.

# %%
pooled, pool_cache = fs.mean_pool2d(as_batch(digit))
maps, conv_cache = fs.conv2d(pooled, kernel[:, :, None, None], np.zeros(1))
upstream = rng.normal(size=maps.shape)
dpooled, _, _ = fs.conv2d_backward(upstream, conv_cache)
dimage = fs.mean_pool2d_backward(dpooled, pool_cache)
np.testing.assert_allclose(dimage[0, :, :, 0], np.kron(dpooled[0, :, :, 0], np.ones((2, 2))) / 4)
np.testing.assert_allclose(dpooled[0, :, :, 0], scipy.signal.convolve(upstream[0, :, :, 0], kernel, "full"))
print("mean pool backward = enlarge and divide by 4; convolution backward = full convolution")

# %% [markdown]
# **Convolution → convolution.** With many maps, a map $c$ of the lower layer is seen by every filter $f$ of the upper
# one: its gradient is the sum of the full convolutions, $\delta_c = \big(\sum_f dy_f * w_{cf}\big) \cdot \text{slope
# of the activation}$. Filter by filter with SciPy, and with one call:

# %%
below, w = rng.normal(size=(1, 9, 9, 3)), rng.normal(size=(3, 3, 3, 5))
active, relu_cache = fs.relu(below)
above, conv_cache = fs.conv2d(active, w, np.zeros(5))
upstream = rng.normal(size=above.shape)
delta = fs.relu_backward(fs.conv2d_backward(upstream, conv_cache)[0], relu_cache)
for c in range(3):
    total = sum(scipy.signal.convolve(upstream[0, :, :, f], w[:, :, c, f], "full") for f in range(5))
    np.testing.assert_allclose(delta[0, :, :, c], total * (below[0, :, :, c] > 0))
print("equal for", below.shape[3], "maps and", w.shape[3], "filters")

# %% [markdown]
# **Convolution → dense.** Between them stands a flatten, which moves numbers and changes none, so its gradients only
# move back. A dense layer on $h \times w \times c$ maps *is* a convolution whose kernel is as large as the map; we
# check both directions.

# %%
maps, w, b = rng.normal(size=(2, 5, 5, 16)), rng.normal(size=(400, 7)), rng.normal(size=7)
flat, shape = fs.flatten(maps)
rows, dense_cache = fs.dense(flat, w, b)
places, conv_cache = fs.conv2d(maps, w.reshape(5, 5, 16, 7), b)
np.testing.assert_allclose(places[:, 0, 0], rows)
upstream = rng.normal(size=rows.shape)
dflat, dw_dense, _ = fs.dense_backward(upstream, dense_cache)
dmaps, dw_conv, _ = fs.conv2d_backward(upstream[:, None, None], conv_cache)
np.testing.assert_allclose(fs.flatten_backward(dflat, shape), dmaps, atol=1e-13)
np.testing.assert_allclose(dw_dense, dw_conv.reshape(400, 7), atol=1e-13)
print("a dense layer on 5×5×16 maps equals a 5×5 convolution on them, forwards and backwards")

# %% [markdown]
# **And without anything in between?** Two convolutions with no activation are one: the kernels convolved with each
# other. That is why a network needs the bend. We treat the first kernels as little pictures and let the second ones
# slide over them.

# %%
images = x_train[:8]
w1, w2 = (rng.normal(0, 0.2, shape).astype("float32") for shape in ((3, 3, 1, 4), (3, 3, 4, 6)))
none = [np.zeros(count, "float32") for count in (1, 4, 6)]
folded = fs.conv2d(w1.transpose(2, 0, 1, 3), w2, none[2], padding=2, flip=True)[0].transpose(1, 2, 0, 3)
hidden = fs.conv2d(images, w1, none[1])[0]
two_steps, one_step = fs.conv2d(hidden, w2, none[2])[0], fs.conv2d(images, folded, none[2])[0]
bent = fs.conv2d(fs.relu(hidden)[0], w2, none[2])[0]
folding = np.abs(two_steps - one_step).max()
print(f"{w1.shape} then {w2.shape} folded into {folded.shape}")
print(f"largest difference {folding:.1e} in float32; with a ReLU in between {np.abs(bent - one_step).max():.2f}")


# %% [markdown]
# ## 5. What the numbers decide
#
# Statements from articles and courses that belong to this notebook, each computed anew by `cnnkit.course`: what it
# found, and whether the sentence holds. The false ones of all notebooks stand beside what is right among [the sentences
# that articles get wrong](../results/corrections.md).

# %% tags=["hide-input"]
LEDGER = {20, *range(25, 29), 32, 33, 80}  # their numbers in results/claims.csv
tell_facts(one for one in list_facts() if one.ledger in LEDGER)
print(f"the whole notebook took {time.process_time():.0f} seconds of a processor, imports included")

# %% [markdown]
# ## Limits
#
# - Small shapes and one image at a time, so that a pencil can follow. That the formulas hold in general, for every
#   stride and padding and in any order of layers, 03b checks.
# - Where there is no slope (ReLU at 0, ties in a max pool) there is nothing to check; we do as TensorFlow does.
# - The deep network of section 2 is a demonstration with one seed. Notebook 09 measures when gradients vanish.

# %% [markdown]
# ## Exercises
#
# Solutions follow, but they are worth more afterwards.
#
# 1. **A circuit.** $L = \max(a\,b,\; b + c)$ with $a = 3$, $b = 2$, $c = 1$. Draw it with values on the wires and find
#    the three slopes. Write them into the cell below; it tells you whether they are right.
# 2. **Overlapping windows.** Max pool this image with 2×2 windows at stride 1: $x =
#    \begin{pmatrix}1&2&0\\3&7&4\\9&5&6\end{pmatrix}$, and let $dy = \begin{pmatrix}1&2\\3&-1\end{pmatrix}$. Find $y$
#    and $dx$ with a pencil. Why does our code say `dx[pixel] += ...` and not `=`?
# 3. **Average pooling**, with the same overlapping windows. Derive `dx` and write forward and backward with loops.
# 4. **Sum or mean?** Somebody forgets to divide the loss by the batch size. Nothing fails, but the training diverges.
#    Why, and which learning rate repairs it exactly?

# %%
my_slopes = {"a": None, "b": None, "c": None}  # exercise 1: put your numbers here


def judge(slopes, nudge=1e-6):
    """Say of each slope of exercise 1 whether nudging agrees."""

    def loss(a, b, c):
        return max(a * b, b + c)

    point = {"a": 3.0, "b": 2.0, "c": 1.0}
    for name, mine in slopes.items():
        true = (loss(**point | {name: point[name] + nudge}) - loss(**point)) / nudge
        print(f"{name}:", "not filled in" if mine is None else "right" if abs(mine - true) < 1e-3 else "not yet")


judge(my_slopes)

# %% [markdown]
# ## Solutions
#
# **1.** The product is 6 and the sum is 3, so the maximum switches all of the slope to the product, which swaps: $a$
# gets $b = 2$, $b$ gets $a = 3$. The sum gets nothing, so $c$ has 0, and $b$ gets 0 along its second path: 3 in all.

# %%
judge({"a": 2, "b": 3 + 0, "c": 0})

# %% [markdown]
# **2.** Three of the four windows contain the pixel in the middle as their largest, so three paths lead from it to
# the loss, and their slopes add up; with `=` the last would overwrite the others. The fourth window is won by the
# corner.

# %%
x, dy = np.array([[1, 2, 0], [3, 7, 4], [9, 5, 6]], "float64"), np.array([[1, 2], [3, -1]], "float64")
y, cache = max_pool_by_hand(x, size=2, stride=1)
dx = max_pool_by_hand_backward(dy, cache)
fig, axes = plt.subplots(1, 4, figsize=(8, 2.4), width_ratios=[3, 2, 2, 3], layout="constrained")
middle = np.array([[0, 0], [1, 0]])
where = np.where(dx != 0, 0, -1) + (dx == 3)
draw_grid(axes[0], x, "input $x$", where, dx != 0)
draw_grid(axes[1], y, "output $y$", middle)
draw_grid(axes[2], dy, "given $dy$", middle)
draw_grid(axes[3], dx, "answer $dx$", where, dx != 0)
plt.show()
_, package_cache = fs.max_pool2d(as_batch(x), stride=1)
np.testing.assert_allclose(dx, fs.max_pool2d_backward(as_batch(dy), package_cache)[0, :, :, 0])


# %% [markdown]
# **3.** A pixel moves each mean it belongs to by a quarter of its own movement: it gets a quarter of the `dy` of
# every window that sees it. Corners are seen by one window, edges by two, the middle by all four.


# %%
def mean_pool_by_hand(x, size, stride):
    rows, columns = ((side - size) // stride + 1 for side in x.shape)
    corners = np.ndindex(rows, columns)
    means = [x[p * stride : p * stride + size, q * stride : q * stride + size].mean() for p, q in corners]
    return np.reshape(means, (rows, columns))


def mean_pool_by_hand_backward(dy, shape, size, stride):
    dx = np.zeros(shape)
    for p, q in np.ndindex(dy.shape):
        dx[p * stride : p * stride + size, q * stride : q * stride + size] += dy[p, q] / size**2
    return dx


y, cache = fs.mean_pool2d(as_batch(x), stride=1)
dx = mean_pool_by_hand_backward(dy, x.shape, size=2, stride=1)
np.testing.assert_allclose(mean_pool_by_hand(x, size=2, stride=1), y[0, :, :, 0])
np.testing.assert_allclose(dx, fs.mean_pool2d_backward(as_batch(dy), cache)[0, :, :, 0])
print(dx)


# %% [markdown]
# **4.** The sum's gradient is the mean's times the number of images $n$, so a step is $n$ times as long. With $\eta/n$
# the training is the same, step by step, with momentum too, since the velocity is a sum of steps. (But for the last
# batch of an epoch: it has fewer images, and its sum counts less than its mean would.)
