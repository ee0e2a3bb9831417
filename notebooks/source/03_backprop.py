# %% [markdown]
# # 03 · How does a CNN learn?
#
# A network starts with random weights and knows nothing. A few seconds later it reads handwriting. In between lies
# one idea, applied some thousand times: *for every weight, find out whether a little more of it would make the error
# larger or smaller, and change it a little the other way.* Finding that out for all weights in one sweep from the
# error back to the input is **backpropagation**.
#
# In this notebook nothing happens behind a curtain. Every layer is a pair of short NumPy functions, small enough to
# follow with a pencil; every gradient is compared with TensorFlow's and with plain trial and error; and at the end
# the same functions train a LeNet on real digits, beside Keras.
#
# **Your prediction, please**, before you read on. You will find the answers on the way.
#
# 1. Ten classes, random weights: how large is the cross-entropy before the first step?
# 2. A 2×2 max pool sends gradients back to its input. What share of the input's pixels gets any?
# 3. A LeNet in a few dozen lines of NumPy, trained as Keras trains it: how many percentage points does it lose?
# 4. And how many times slower is it?
#
# **What it costs** section 7 prints. **Varied**: who computes the gradients, our NumPy or Keras. **Held fixed**: the
# data, the network, its first weights, the batch size, the learning rate and the number of epochs. **Tuned**:
# nothing; the learning rate is an ordinary one, and the same for both.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, seaborn and the parts of cnnkit

SEEDS, EPOCHS, LAST_EPOCHS = ((1, 2, 3, 4, 5), 12, 3) if PROFILE == "full" else ((1, 2), 4, 1)
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
from IPython.display import display
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from threadpoolctl import threadpool_limits

from cnnkit import from_scratch as fs
from cnnkit.course import list_facts
from cnnkit.evidence import fact
from cnnkit.lab.store import student_interval

COLOURS = sns.color_palette("colorblind")


def show_code(*functions):
    """Show the code of functions and classes, as it stands in the package."""
    say("```python\n" + "\n\n".join(map(inspect.getsource, functions)) + "```")


def draw_grid(ax, values, title, tints=None, strong=None):
    """Draw a 2-D array with its numbers; `tints` are colours by number, -1 for grey, `strong` cells stand out."""
    for (row, column), value in np.ndenumerate(values):
        tint = -1 if tints is None else tints[row, column]
        stands_out = strong is not None and strong[row, column]
        colour = "0.93" if tint < 0 else sns.light_palette(COLOURS[tint], 10)[6 if stands_out else 2]
        ax.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="white", linewidth=2))
        weight = "bold" if stands_out else "normal"
        number = f"{value:g}".replace("-", "−")
        ax.text(column + 0.5, row + 0.5, number, ha="center", va="center", fontsize=12, weight=weight)
    rows, columns = np.shape(values)
    ax.set(xlim=(-0.05, columns + 0.05), ylim=(rows + 0.05, -0.05), aspect="equal")
    ax.set_title(title, fontsize=10)
    ax.axis("off")


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
# layers, and this is the loop that will train our LeNet:

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
# A CNN differs from this in three ways only. There are many weights, so there are sums. There are several layers, so
# the chain is longer. And one pixel or weight may influence the loss **along several paths: then their slopes add
# up**. Hold on to that sentence: it explains every formula below.

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
# once, without a loop over pixels; it also has overlapping windows (exercise 1) and says what it does at a tie. Is it
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
# with `dy` padded so that the image's size comes out. This is where the "rotate the kernel" of the textbooks comes
# from. Nobody has to turn anything by hand: it follows from giving each pixel back what it took part in. What does
# SciPy say?

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
# before the weights have their say. ReLU passes it on unchanged or not at all: it does not *shrink* gradients, but a
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
# \mu)/\sigma$, then $y = \gamma\hat x + \beta$. The backward pass is the one people fear, because $x_j$ influences
# $\hat x_i$ along three paths: directly (if $i = j$), through $\mu$, and through $\sigma$. For $m$ values in a
# channel, with $\partial\mu/\partial x_j = 1/m$ and $\partial\sigma/\partial x_j = \hat x_j/m$, the quotient rule
# gives all three at once:
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


# %%
def relative_error(ours, reference):
    """The largest difference, as a share of the largest value."""
    return np.abs(ours - reference).max() / max(np.abs(ours).max(), np.abs(reference).max())


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
# Textbooks treat *convolution before pooling*, *pooling before convolution* and so on as separate cases with separate
# formulas. In code no case is special: the `dx` of one layer is the `dy` of the one before. But it is worth looking
# at what travels there.
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
# ## 5. Every gradient, checked
#
# Two independent witnesses. **Autodiff** differentiates the forward pass by its own rules. **Finite differences**
# know no rules: nudge each number up and down and look. How large should the nudge be? Too large, and the curve bends
# within it; too small, and the difference drowns in rounding. The slope of cross-entropy, from one side and from
# both:

# %%
z, label = np.random.default_rng(1).normal(size=(1, 10)), np.array([3])
middle, truth = fs.softmax_cross_entropy(z, label)
nudges = np.logspace(-13, -1, 49)
errors = {"one side: (L(z + h) − L(z)) / h": [], "both: (L(z + h) − L(z − h)) / 2h": []}
for h in nudges:
    step = np.zeros_like(z)
    step[0, 0] = h
    up, down = (fs.softmax_cross_entropy(point, label)[0] for point in (z + step, z - step))
    for name, slope in zip(errors, ((up - middle) / h, (up - down) / (2 * h)), strict=True):
        errors[name].append(abs(slope - truth[0, 0]) / abs(truth[0, 0]))
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (name, values), line, colour in zip(errors.items(), ("--", "-"), COLOURS, strict=False):
    ax.loglog(nudges, values, line, color=colour, label=name)
ax.axhline(1e-7, color="0.35", linewidth=1, linestyle=":")
ax.annotate("our bar", (1, 1e-7), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.35")
ax.set(xlabel="Nudge h", ylabel="Relative error of the slope")
ax.legend(frameon=False)
sns.despine(fig)
plt.show()

# %% [markdown]
# Each curve is a V: bending on the right, where the error grows like $h$ from one side but like $h^2$ from both, and
# rounding on the left. From both sides, around $h = 10^{-5}$, nine or ten digits are right. That is what we use, in
# float64.
#
# `check` takes a list of layers and the same function written in TensorFlow, and asks both witnesses about every
# number.


# %%
def gradients(network, dy, caches):
    """The gradients of a list of layers: those of its input, then those of its parameters."""
    grads = []
    for layer, cache in zip(reversed(network), reversed(caches), strict=True):
        answer = layer.backward(dy, cache)
        dy, *own = answer if layer.params else (answer,)
        grads = own + grads
    return [dy, *grads]


def by_finite_differences(loss, array, nudge=1e-5):
    """Nudge one number of `array` at a time, in place, and see what `loss()` does."""
    slopes = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        middle = array[index]
        array[index] = middle + nudge
        up = loss()
        array[index] = middle - nudge
        down = loss()
        array[index] = middle
        slopes[index] = (up - down) / (2 * nudge)
    return slopes


def check(name, network, reference, x):
    """Compare all gradients of a network with those of `reference`, the same f(x, *parameters) in TensorFlow."""
    arrays = [x, *fs.parameters(network)]
    y, caches = fs.forward(network, x, training=True)
    dy = np.random.default_rng(7).normal(size=np.shape(y))
    ours = gradients(network, dy, caches)
    variables = [tf.Variable(array) for array in arrays]
    with tf.GradientTape() as tape:
        expected = reference(*variables)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    theirs = tape.gradient(expected, variables, output_gradients=tf.constant(dy))
    nudged = [by_finite_differences(lambda: (fs.forward(network, x, training=True)[0] * dy).sum(), a) for a in arrays]
    errors = {
        "against autodiff": max(relative_error(a, b.numpy()) for a, b in zip(ours, theirs, strict=True)),
        "against finite differences": max(map(relative_error, ours, nudged)),
    }
    return {"layers": name, "gradients": ", ".join(["dx", "dw", "db", "dw₂", "db₂"][: len(arrays)]), **errors}


# %% [markdown]
# Now every layer, and every pair from section 4. First the same functions in TensorFlow (dilation written out from
# its definition, because TensorFlow has no gradient for it on a CPU), then our layers with random weights, then the
# cases: our layers, TensorFlow's, and what goes in.


# %%
def tf_conv(x, w, b, stride=1, padding="VALID"):
    return tf.nn.conv2d(x, w, stride, padding) + b


def tf_dilated(x, w, b, rows=3, columns=2):
    views = {(i, j): x[:, 2 * i : 2 * i + rows, 2 * j : 2 * j + columns] for i in range(3) for j in range(3)}
    return sum(tf.einsum("npqc,cf->npqf", view, w[place]) for place, view in views.items()) + b


def tf_max(x, size=2, stride=2):
    return tf.nn.max_pool2d(x, size, stride, "VALID")


def tf_mean(x, size=2, stride=2):
    return tf.nn.avg_pool2d(x, size, stride, "VALID")


def tf_norm(x, gamma, beta):
    return tf.nn.batch_normalization(x, *tf.nn.moments(x, [0, 1, 2]), beta, gamma, 1e-3)


def tf_cross_entropy(z):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, z))


def tf_hinge(z):
    right = tf.reduce_sum(z * one_hot, axis=1, keepdims=True)
    return tf.reduce_sum(tf.nn.relu(z - right + 1) * (1 - one_hot)) / len(labels)


rng = np.random.default_rng(3)
maps, flat, labels = rng.normal(size=(2, 7, 6, 2)), rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
maps += 0.01 * np.sign(maps)  # away from ReLU's corner, where there is no slope
one_hot = np.eye(4)[labels]
centre, variance = rng.normal(size=2), rng.uniform(0.5, 2, 2)


def layer(name, *shapes, **options):
    params = [rng.normal(size=shape) for shape in shapes]
    return fs.Layer(getattr(fs, name), getattr(fs, f"{name}_backward"), params, options)


def conv(channels=2, filters=3, **options):
    return layer("conv2d", (3, 3, channels, filters), filters, **options)


def norm(training):
    return layer("batch_norm", 2, 2, running=(centre.copy(), variance.copy()), training=training)


def loss_layer(loss, target):
    return fs.Layer(lambda z: loss(z, target), lambda dy, gradient: dy * gradient)


def drop(x):
    return fs.dropout(x, rate=0.25, rng=np.random.default_rng(1), training=True)  # the same mask every time


relu, sigmoid, flatten, max_pool, mean_pool = map(layer, ("relu", "sigmoid", "flatten", "max_pool2d", "mean_pool2d"))
wide_max, wide_mean = (layer(name, pool_size=3, stride=2) for name in ("max_pool2d", "mean_pool2d"))
cross_entropy, hinge = (loss_layer(loss, labels) for loss in (fs.softmax_cross_entropy, fs.multiclass_hinge))

# %%
cases = [
    ("convolution", [conv()], tf_conv, maps),
    ("convolution, same, stride 2", [conv(stride=2, padding="same")], lambda *a: tf_conv(*a, 2, "SAME"), maps),
    ("convolution, dilation 2", [conv(dilation=2)], tf_dilated, maps),
    ("convolution, kernel turned", [conv(flip=True)], lambda x, w, b: tf_conv(x, w[::-1, ::-1], b), maps),
    ("dense", [layer("dense", (4, 3), 3)], lambda x, w, b: x @ w + b, flat),
    ("max pool 2×2", [max_pool], tf_max, maps),
    ("max pool 3×3, stride 2", [wide_max], lambda x: tf_max(x, 3), maps),
    ("mean pool 2×2", [mean_pool], tf_mean, maps),
    ("mean pool 3×3, stride 2", [wide_mean], lambda x: tf_mean(x, 3), maps),
    ("ReLU", [relu], tf.nn.relu, maps),
    ("sigmoid", [sigmoid], tf.sigmoid, maps),
    ("tanh", [layer("tanh")], tf.tanh, maps),
    ("dropout", [fs.Layer(drop, fs.dropout_backward)], lambda x: x * drop(maps)[1], maps),
    ("batch norm, training", [norm(True)], tf_norm, maps),
    ("batch norm, inference", [norm(False)], lambda x, g, b: (x - centre) / np.sqrt(variance + 1e-3) * g + b, maps),
    ("softmax, cross-entropy", [cross_entropy], tf_cross_entropy, flat),
    ("multiclass hinge", [hinge], tf_hinge, flat),
    (
        "sigmoid, squared error",
        [sigmoid, loss_layer(fs.mean_squared_error, one_hot)],
        lambda z: tf.reduce_mean((tf.sigmoid(z) - one_hot) ** 2),
        flat,
    ),
    ("convolution → max pool", [conv(), max_pool], lambda *a: tf_max(tf_conv(*a)), maps),
    ("convolution → mean pool", [conv(), mean_pool], lambda *a: tf_mean(tf_conv(*a)), maps),
    ("max pool → convolution", [max_pool, conv()], lambda x, w, b: tf_conv(tf_max(x), w, b), maps),
    ("mean pool → convolution", [mean_pool, conv()], lambda x, w, b: tf_conv(tf_mean(x), w, b), maps),
    (
        "convolution → ReLU → convolution",
        [conv(), relu, conv(channels=3)],
        lambda x, w, b, v, c: tf_conv(tf.nn.relu(tf_conv(x, w, b)), v, c),
        maps,
    ),
    (
        "convolution → flatten → dense",
        [conv(), flatten, layer("dense", (60, 3), 3)],
        lambda x, w, b, v, c: tf.reshape(tf_conv(x, w, b), (2, -1)) @ v + c,
        maps,
    ),
]
checks = pd.DataFrame([check(*case) for case in cases]).set_index("layers")
worst = checks[["against autodiff", "against finite differences"]].max()
checks.map(lambda value: value if isinstance(value, str) else f"{value:.0e}")

# %% [markdown]
# A check that cannot fail is worth nothing. So we also hand it a max pool that spreads its gradient as a mean pool
# would, and a convolution whose bias gets a tenth too little.

# %%
wrong_pool = fs.Layer(fs.max_pool2d, lambda dy, cache: fs.mean_pool2d_backward(dy, (4, 2, cache[2])))
wrong_conv = conv()
wrong_conv.backward = lambda dy, cache: (*fs.conv2d_backward(dy, cache)[:2], 0.9 * dy.sum(axis=(0, 1, 2)))
for name, wrong, reference in (("max pool", wrong_pool, tf_max), ("convolution", wrong_conv, tf_conv)):
    print(f"wrong {name:<12} error {check(name, [wrong], reference, maps)['against autodiff']:.2f}")
for witness, error in worst.items():
    print(f"the largest of the right ones, {witness}: {error:.0e}")
assert worst.max() < 1e-7

# %% [markdown]
# Two witnesses that know nothing of each other agree with us: autodiff to the last digits of float64, finite
# differences as far as nudging allows, all below $10^{-7}$. The wrong ones stand out by many orders of magnitude. You
# will want this test whenever you write a layer of your own.

# %% [markdown]
# ## 6. A LeNet that we train ourselves
#
# Every piece is proved; now we put them together. `fs.lenet` is a list of `Layer`s. Its shapes and weights:

# %%
network, x, lines = fs.lenet(seed=1), x_train[:1], []
for stage in network:
    x, _ = stage.forward(x, *stage.params, **stage.options)
    line = {"layer": stage.forward.__name__, "output": "×".join(map(str, x.shape[1:]))}
    line["weights, biases"] = ", ".join("×".join(map(str, w.shape)) for w in stage.params)
    lines.append(line | {"parameters": sum(w.size for w in stage.params)})
shapes = pd.DataFrame(lines)
print(f"{shapes['parameters'].sum():,} parameters")
shapes

# %% [markdown]
# To reconcile them: the first kernels are 5×5 on 1 channel, 6 of them, each with a bias, so $25\cdot 6 + 6$. *Same*
# padding keeps 28 pixels, the pool halves them to 14. The second, $25\cdot 6\cdot 16 + 16$ without padding, leaves
# $14 - 5 + 1 = 10$, and the pool 5; hence $5\cdot 5\cdot 16 = 400$ features and $400\cdot 120 + 120$ parameters in
# the first dense layer, where most of them are. Pooling and ReLU have none.

# %% [markdown]
# ### The same steps
#
# The same network in Keras, given the same first weights, and the strictest comparison: one epoch on the same batches
# in the same order, our loop and Keras's side by side, once in float32 and once in float64.


# %%
def keras_lenet(params, dtype="float32"):
    exact = {"dtype": dtype}
    maps = [
        keras.layers.Conv2D(6, 5, padding="same", activation="relu", **exact),
        keras.layers.MaxPooling2D(**exact),
        keras.layers.Conv2D(16, 5, activation="relu", **exact),
        keras.layers.MaxPooling2D(**exact),
        keras.layers.Flatten(**exact),
    ]
    rows = [keras.layers.Dense(units, activation="relu", **exact) for units in (120, 84)]
    model = keras.Sequential([keras.Input((28, 28, 1), **exact), *maps, *rows, keras.layers.Dense(10, **exact)])
    model.set_weights(params)
    return model


def train_side_by_side(dtype, kind=float):
    """One epoch of both on the same batches -> our losses and Keras's, step by step.

    `kind` is the kind of number of our learning rate and momentum: float, or np.float32.
    """
    network, x = fs.lenet(seed=1, dtype=dtype), x_train.astype(dtype)
    params = fs.parameters(network)
    model, velocities = keras_lenet(params, dtype), [np.zeros_like(w) for w in params]
    optimizer, step = keras.optimizers.SGD(0.02, momentum=0.9), {"learning_rate": kind(0.02), "momentum": kind(0.9)}

    @tf.function(reduce_retracing=True)
    def differentiate(images, labels):
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True))
            loss = tf.reduce_mean(losses)
        return loss, tape.gradient(loss, model.trainable_variables)

    ours, theirs = [], []
    for batch in np.split(np.random.default_rng(1).permutation(len(x)), range(32, len(x), 32)):
        outputs, caches = fs.forward(network, x[batch], training=True)
        loss, dy = fs.softmax_cross_entropy(outputs, y_train[batch])
        fs.sgd(params, fs.backward(network, dy, caches), velocities, **step)
        ours.append(loss)
        loss, grads = differentiate(x[batch], y_train[batch])
        optimizer.apply(grads, model.trainable_variables)
        theirs.append(float(loss))
    return np.array(ours), np.array(theirs)


network = fs.lenet(seed=1)
model = keras_lenet(fs.parameters(network))
np.testing.assert_allclose(fs.forward(network, x_train[:64])[0], model(x_train[:64]), atol=1e-5)

# %%
with threadpool_limits(1):  # matrices this small gain nothing from a second thread, and wait for it
    losses = {dtype: train_side_by_side(dtype) for dtype in ("float32", "float64")}
    losses["float64, rate and momentum of float32"] = train_side_by_side("float64", np.float32)

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
ours, theirs = losses["float64"]
steps = np.arange(1, len(ours) + 1)
axes[0].plot(steps, theirs, "o", color=COLOURS[1], mfc="none", label="Keras")
axes[0].plot(steps, ours, color=COLOURS[0], label="NumPy, by hand")
axes[0].axhline(np.log(10), color="0.35", linewidth=1, linestyle=":")
axes[0].annotate("ln 10", (1, np.log(10)), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.35")
axes[0].set(xlabel="Step", ylabel="Loss of the batch, float64 (nats)", ylim=(0, None))
for (name, pair), line, colour in zip(losses.items(), ("--", "-", ":"), COLOURS[3:], strict=False):
    apart = np.abs(np.subtract(*pair, dtype="float64"))
    axes[1].semilogy(steps, np.where(apart > 0, apart, np.nan), line, marker=".", color=colour, label=name)
    equal = f"and equal at {(apart == 0).sum()} of {len(steps)} steps"
    print(f"{name}: the losses are at most {apart.max():.0e} nats apart, {equal}")
axes[1].set(xlabel="Step", ylabel="Difference of the losses (nats)", ylim=(1e-17, 1e-1))
axes[0].legend(frameon=False)
axes[1].legend(frameon=False, loc="upper left", fontsize=8)
sns.despine(fig)
plt.show()

# %% [markdown]
# Left: the circles lie on the line, from $\ln 10$ to the last step. Right: how far apart they are (a step at which they
# are equal to the last bit has no point on a logarithmic axis). In float64 it is little, and even this little is no
# disagreement about the algorithm: Keras keeps its learning rate *and its momentum* in float32, whatever the network
# computes in. Round ours in the same way, and the two differ by no more than the rounding of single sums.
#
# In float32 the two begin with the same digits, and then training *amplifies* the last one, step by step: neither is
# wrong, and after an epoch they are two different runs of the same algorithm. It is why nobody should expect two
# machines to train to the same weights, and why we compare accuracies over seeds.

# %% [markdown]
# ### The same accuracy
#
# Now each trains as one would use it: `fs.fit` here, `model.fit` there, each with its own random order of the images.
# Momentum 0.9, batches of 32; the learning rate is 0.02 and, for the last epochs, 0.002, so that it matters less at
# which step we stop. Both get pixels in [0, 1] and keep the small last batch, the plainest way (recorded runs of cnnkit
# standardise their inputs and wait for full batches). They are compared on images that neither has seen, the test set.

# %%
x_new, y_new = digits.x_test.astype("float32") / 255, digits.y_test
loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
kernels = [fs.lenet(seed=1)[0].params[0].copy()]  # the first layer's: before training, and after every epoch of seed 1
PARTS = ((EPOCHS, 0.02), (LAST_EPOCHS, 0.002))


def train_by_hand(seed):
    network, losses = fs.lenet(seed=seed), []

    def keep_kernels(epoch, network):
        if seed == 1:
            kernels.append(network[0].params[0].copy())

    start = time.perf_counter()
    with threadpool_limits(1):
        for order, (epochs, rate) in enumerate(PARTS):
            step = {"learning_rate": rate, "momentum": 0.9, "seed": seed + 1000 * order}
            losses += fs.fit(network, x_train, y_train, epochs=epochs, on_epoch=keep_kernels, **step)
    seconds = time.perf_counter() - start
    return fs.forward(network, x_new)[0], losses, seconds


def train_in_keras(seed):
    keras.utils.set_random_seed(seed)
    model, losses = keras_lenet(fs.parameters(fs.lenet(seed=seed))), []
    start = time.perf_counter()
    model.compile(keras.optimizers.SGD(momentum=0.9), loss_function)
    for epochs, rate in PARTS:
        model.optimizer.learning_rate.assign(rate)
        losses += model.fit(x_train, y_train, epochs=epochs, batch_size=32, verbose=0).history["loss"]
    seconds = time.perf_counter() - start
    return model.predict(x_new, verbose=0), losses, seconds


runs, history = [], []
for seed in SEEDS:
    for name, train_one in (("NumPy, by hand", train_by_hand), ("Keras", train_in_keras)):
        logits, losses, seconds = train_one(seed)
        run = {"run_id": f"{name} {seed}", "trained with": name, "seed": seed}
        accuracy = (logits.argmax(axis=1) == y_new).mean()
        runs.append(run | {"accuracy": accuracy, "train_seconds": seconds})
        history += [run | {"epoch": epoch, "train_loss": loss} for epoch, loss in enumerate(losses, start=1)]
runs, history = pd.DataFrame(runs), pd.DataFrame(history)
print(f"{runs['train_seconds'].sum():.0f} s for {len(runs)} trainings of {EPOCHS + LAST_EPOCHS} epochs")

# %% [markdown]
# The training loss, averaged over each epoch, a line a run:

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (name, lines), colour, line in zip(history.groupby("trained with"), COLOURS, ("-", "--"), strict=False):
    for _, run in lines.groupby("seed"):
        ax.semilogy(
            run["epoch"], run["train_loss"], line, color=colour, label=name if run["seed"].iloc[0] == 1 else None
        )
ax.set(xlabel="Epoch", ylabel="Training loss (nats)", xticks=range(1, EPOCHS + LAST_EPOCHS + 1, 2))
ax.legend(frameon=False)
sns.despine(fig)
plots.mark_profile(fig, PROFILE)
plt.show()

# %% [markdown]
# The accuracy on the new images by seed, and the difference between the two, paired by seed because a pair has the same
# first weights:

# %%
table = runs.pivot(index="seed", columns="trained with", values="accuracy")[["NumPy, by hand", "Keras"]]
table["difference"] = table["NumPy, by hand"] - table["Keras"]
mean, low, high = student_interval(table["difference"])
difference = {"": "by hand − Keras", "mean": mean, "low": low, "high": high, "n": len(table), "margin": 0.01}
display((100 * table).round(2).rename(columns=lambda name: f"{name} ({'pp' if name == 'difference' else '%'})"))
ax = plots.plot_intervals(pd.DataFrame([difference]), y="", metric="accuracy", reference=0)
plots.mark_profile(ax, PROFILE)
plt.show()

# %% tags=["hide-input"]
within = "within" if abs(mean) < 0.01 else "not within"
inside = "inside" if max(-low, high) < 0.01 else "not wholly inside"
shift, ends = f"{100 * mean:+.2f}".replace("-", "−"), f"{100 * low:+.2f} to {100 * high:+.2f}".replace("-", "−")
say(
    f"Over {len(table)} seeds the hand-made network reads {table['NumPy, by hand'].mean():.2%} of {len(y_new)} new "
    f"digits and Keras {table['Keras'].mean():.2%}: a mean difference of {shift} pp, **{within} one percentage point** "
    f"(prediction 3), with a 95% interval from {ends} pp, {inside} ±1 pp. One image is {100 / len(y_new):.2f} pp: such "
    "differences are a few digits that two orders of the same training images leave on one side of the line or the "
    "other."
    + " *This is the smoke run: two seeds and a few epochs, too small to conclude from.*"
    * (PROFILE == "smoke")
)

# %% [markdown]
# ### A kernel learns
#
# What happened inside? Of the first layer's six kernels we take the one that moved most, epoch by epoch, and below it
# what it makes of one digit. Red is positive, blue negative, white zero.

# %%
learnt = np.stack(kernels)[:, :, :, 0]  # (epochs + 1, height, width, filters)
chosen = np.abs(learnt[-1] - learnt[0]).sum(axis=(0, 1)).argmax()
learnt = learnt[..., chosen]
shown = sorted({*np.linspace(0, len(learnt) - 1, 8).round().astype(int)})
views = [fs.conv2d(x_new[:1], learnt[epoch][:, :, None, None], np.zeros(1), padding="same")[0] for epoch in shown]
limit, bright = np.abs(learnt).max(), max(view.max() for view in views)
fig, axes = plt.subplots(2, len(shown), figsize=(1.35 * len(shown), 3.2), layout="constrained")
for (above, below), epoch, view in zip(axes.T, shown, views, strict=True):
    above.imshow(learnt[epoch], cmap="RdBu_r", vmin=-limit, vmax=limit)
    above.set_title("before" if epoch == 0 else f"epoch {epoch}", fontsize=10)
    below.imshow(np.maximum(view[0, :, :, 0], 0), cmap="gray", vmin=0, vmax=bright)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("kernel")
axes[1, 0].set_ylabel("after ReLU")
plots.mark_profile(fig, PROFILE)
plt.show()
moved = np.linalg.norm(np.diff(learnt, axis=0), axis=(1, 2)) / np.linalg.norm(learnt[0])
print(f"kernel {chosen} moves by {moved[0]:.0%} of its first length in epoch 1 and by {moved[-1]:.1%} in the last")

# %% [markdown]
# The random pattern does not dissolve; it is bent into something that serves. Most of the way is made in the first
# epochs, when the loss falls fastest; in the last, at a tenth of the learning rate, hardly a weight changes. Nobody
# told the kernel what to look for. Its every change is `p − y`, carried back through three dense layers, two max
# pools and a convolution.

# %% [markdown]
# ### Why frameworks exist
#
# One more epoch of each, three times in turn, after Keras has compiled its step:

# %%
model.compile(keras.optimizers.SGD(0.002), loss_function)
model.fit(x_train, y_train, epochs=1, verbose=0)
seconds = {"NumPy, by hand": [], "Keras": []}
for _ in range(3):
    start = time.perf_counter()
    with threadpool_limits(1):
        fs.fit(network, x_train, y_train, epochs=1, learning_rate=0.002)
    middle = time.perf_counter()
    model.fit(x_train, y_train, epochs=1, verbose=0)
    seconds["NumPy, by hand"].append(middle - start)
    seconds["Keras"].append(time.perf_counter() - middle)
for name, times in seconds.items():
    print(f"{name:<15} {len(x_train) / np.median(times):7,.0f} images a second")
by_hand, by_keras = (np.median(times) for times in seconds.values())
print(f"NumPy on one core takes {by_hand / by_keras:.1f} times as long as Keras on all")

_, caches = fs.forward(network, x_train[:32], training=True)
windows, *_ = caches[0]
print(f"a batch takes {x_train[:32].nbytes / 1e6:.1f} MB, its windows in the first cache {windows.nbytes / 1e6:.1f} MB")

# %% [markdown]
# The arithmetic is the same, the time is not (prediction 4; by how much depends on the machine, and grows with the
# network). We copy every pixel into each of the 25 windows that see it, write every result to memory before the next
# function reads it, and use one core. A compiled step can fuse, reuse and share the work out, and it runs unchanged
# on a GPU. The other thing a framework gives is what the tape did for us in section 5: it has such pairs of functions
# for hundreds of operations, and calls them in reverse order by itself. What it does not give is knowing *what* it
# does, and that you now have.

# %% [markdown]
# ## 7. What the numbers decide
#
# Statements from articles and courses that belong to this notebook, each computed anew by `cnnkit.course`: what it
# found, and whether the sentence holds.

# %% tags=["hide-input"]
LEDGER = {20, *range(25, 29), 32, 33}  # their numbers in results/claims.csv
checked = [fact.check(one) for one in list_facts() if one.ledger in LEDGER]
lines = [
    {
        "statement": row["text"],
        "computed": plots.tell_effect(row),
        "verdict": row["verdict"],
        "under which condition": row["reason"] if row["verdict"] == "CONDITIONAL" else "",
    }
    for row in checked
]
say(plots.markdown_table(pd.DataFrame(lines)))
by_kind = runs.groupby("trained with")["train_seconds"].sum()
print(f"the whole notebook took {time.process_time():.0f} seconds of a processor; training by the clock:")
print("\n".join(f"{name:<15} {seconds:5.1f} s" for name, seconds in by_kind.items()))

# %% [markdown]
# ## Limits
#
# - The gradients are checked at random points in small shapes. The package's tests do the same over many random
#   shapes, strides and paddings. Where there is no slope (ReLU at 0, ties in a max pool) there is nothing to check;
#   we do as TensorFlow does.
# - `digits` is an easy data set with a small test set. That two programs agree on it does not say which network is
#   good: that is what notebooks 04 and 12 are for.
# - The first weights were Glorot's, the network shallow, the learning rate friendly. Section 2 showed how little it
#   takes for a gradient to vanish; 09 shows what to do.
# - Speed depends on the machine, and on what else it does; only the ratio within one run means something.

# %% [markdown]
# ## Exercises
#
# Solutions follow, but they are worth more afterwards.
#
# 1. **Overlapping windows.** Max pool this image with 2×2 windows at stride 1: $x =
#    \begin{pmatrix}1&2&0\\3&7&4\\9&5&6\end{pmatrix}$, and let $dy = \begin{pmatrix}1&2\\3&-1\end{pmatrix}$. Find $y$
#    and $dx$ with a pencil. Why does our code say `dx[pixel] += ...` and not `=`?
# 2. **Average pooling**, with the same overlapping windows. Derive `dx` and write forward and backward with loops.
# 3. **Nesterov's momentum.** Keras writes it as $v \leftarrow mv - \eta g$, $w \leftarrow w + mv - \eta g$. Write it
#    in the style of `fs.sgd` and prove it against Keras.
# 4. **A layer of your own.** Leaky ReLU is $x$ for $x > 0$, else $x/8$. Write the pair of functions and let `check`
#    judge.
# 5. **Sum or mean?** Somebody forgets to divide the loss by the batch size. Nothing fails, but the training diverges.
#    Why, and which learning rate repairs it exactly?

# %% [markdown]
# ## Solutions
#
# **1.** Three of the four windows contain the pixel in the middle as their largest, so three paths lead from it to
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
# **2.** A pixel moves each mean it belongs to by a quarter of its own movement: it gets a quarter of the `dy` of
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
# **3.** One line differs from `fs.sgd`: the weights move on as if the next momentum step had already been taken.


# %%
def nesterov(params, grads, velocities, *, learning_rate, momentum):
    for w, g, v in zip(params, grads, velocities, strict=True):
        v *= momentum
        v -= learning_rate * g
        w += momentum * v - learning_rate * g


rng = np.random.default_rng(1)
w, variable = np.ones((3, 4)), keras.Variable(np.ones((3, 4)), dtype="float64")
optimizer, velocity = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), [np.zeros((3, 4))]
for _ in range(5):
    g = rng.normal(size=w.shape)
    nesterov([w], [g], velocity, learning_rate=0.1, momentum=0.9)
    optimizer.apply([tf.constant(g)], [variable])
np.testing.assert_allclose(w, variable.numpy(), rtol=1e-6)  # Keras keeps its learning rate in float32
print("five steps of Nesterov's momentum, equal to Keras's")


# %% [markdown]
# **4.** The slope is 1 or ⅛, so that is the cache.


# %%
def leaky_relu(x):
    slope = np.where(x > 0, 1, 0.125)
    return x * slope, slope


def leaky_relu_backward(dy, slope):
    return dy * slope


verdict = check("leaky ReLU", [fs.Layer(leaky_relu, leaky_relu_backward)], lambda x: tf.nn.leaky_relu(x, 0.125), maps)
print(f"autodiff {verdict['against autodiff']:.0e}, finite differences {verdict['against finite differences']:.0e}")

# %% [markdown]
# **5.** The sum's gradient is the mean's times the number of images $n$, so a step is $n$ times as long. With $\eta/n$
# the training is the same, step by step, with momentum too, since the velocity is a sum of steps. (But for the last
# batch of an epoch: it has fewer images, and its sum counts less than its mean would.)
