# %% [markdown]
# # 01 · What does a convolution do to a picture?
#
# Take a small table of numbers, lay it on a picture, multiply each number by the pixel under it, add up, write down
# the sum, move one pixel on, repeat. That is all. With the right numbers the picture comes out blurred, sharpened or
# carved in stone. A convolutional network is made of this one operation; the only new thing about it is that nobody
# chooses the numbers: they are learnt (notebook 03 shows how).
#
# So before anything learns, let us see exactly what the operation does, on numbers small enough for a pencil and on a
# photo.
#
# **Predict first.** Write down your answers; the cells below give theirs.
#
# 1. The nine numbers of a kernel add up to 0. What becomes of a cloudless sky?
# 2. Keras and SciPy convolve the same picture with the same kernel and disagree. Who is wrong?
# 3. An 11×11 kernel goes over a 32×32 picture in steps of 4 pixels. How many places are there along a side?
# 4. The picture gets twice as wide and twice as high. How many times more weights does the layer need?
# 5. How many weights has a 2×2 max pool, and does pooling make a network smaller?
# 6. Two 3×3 convolutions, one after the other, see as much as one 5×5. Can they also *do* as much?

# %% [markdown]
# **What it costs**: nothing is trained, and the last cell of section 10 says how many seconds of a processor it all
# took. **Varied**: the kernel, its size, stride, padding and dilation. **Held fixed**: one photo. **Tuned**: nothing.
# The profiles `smoke` and `full` therefore compute the same here.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, seaborn and the parts of cnnkit

print(f"the profile of this page: {PROFILE}")

# %% [markdown]
# The rest of the tools: SciPy, which will be the second opinion, and what draws this page's figures (its code is folded
# away).

# %% tags=["hide-input"]
import io
import itertools
import time

import tensorflow as tf
from IPython.display import Image, display
from matplotlib.patches import Rectangle
from scipy import ndimage, signal
from sklearn.datasets import load_sample_image

from cnnkit import from_scratch as fs
from cnnkit.course import list_facts
from cnnkit.plots import draw_grid

COLOURS = sns.color_palette("colorblind")
BLUE, ORANGE, GREEN, RED = COLOURS[:4]
plt.rcParams["figure.dpi"] = 110
pd.set_option("display.max_colwidth", None)
rng = np.random.default_rng(1)


def draw_text(ax, text, size=16):
    ax.text(0.5, 0.5, text, ha="center", va="center", fontsize=size, color="0.35", transform=ax.transAxes)
    ax.axis("off")


def show_photos(pictures, columns, width=11.0):
    """Show pictures with values in [0, 1], as a JPEG: a photo takes a tenth of the space that way."""
    rows, (high, wide) = -(-len(pictures) // columns), next(iter(pictures.values())).shape[:2]
    size = (width, rows * (width / columns * high / wide + 0.3))
    fig, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
        ax.imshow(np.clip(picture, 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(title, fontsize=10)
    buffer = io.BytesIO()
    fig.savefig(buffer, format="jpeg", dpi=100, pil_kwargs={"quality": 75})
    plt.close(fig)
    display(Image(buffer.getvalue()))


# %% [markdown]
# ## 1. With a pencil
#
# The table of numbers is called the **kernel**. Ours subtracts what lies on the left from what lies on the right.
# The picture is dark (1) on one side and bright (7) on the other, with a slanted border between them.

# %%
x = np.array([[1, 1, 1, 1, 7], [1, 1, 1, 7, 7], [1, 1, 1, 7, 7], [1, 1, 7, 7, 7], [1, 7, 7, 7, 7]], "float64")
w = np.array([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]], "float64")

steps, y = [(0, 0), (0, 1), (2, 2)], np.full((3, 3), np.nan)
fig, axes = plt.subplots(3, 8, figsize=(8.6, 6.8), width_ratios=[5, 0.8, 3, 0.8, 3, 1.5, 1.2, 3], layout="constrained")
for line, (p, q) in zip(axes, steps, strict=True):
    for place in itertools.product(range(3), range(3)):  # all places up to this one, in reading order
        if place <= (p, q):
            y[place] = (x[place[0] : place[0] + 3, place[1] : place[1] + 3] * w).sum()
    seen = np.full((5, 5), -1)
    seen[p : p + 3, q : q + 3] = 0
    now = np.full((3, 3), -1)
    now[p, q] = 2
    products = x[p : p + 3, q : q + 3] * w
    draw_grid(line[0], x, "picture and window", seen)
    draw_text(line[1], "×")
    draw_grid(line[2], w, "kernel", np.ones((3, 3), int))
    draw_text(line[3], "=")
    draw_grid(line[4], products, "products", np.zeros((3, 3), int))
    draw_text(line[5], "add up")
    line[5].texts[0].set_fontsize(8)
    draw_text(line[6], f"{products.sum():g}", 18)
    draw_grid(line[7], y, f"row {p}, column {q}", now)
plt.show()

# %% [markdown]
# **Top**: the window lies on row 0, column 0; everything under it is equal, left and right cancel, the sum is 0.
# **Middle**: one pixel to the right, the window meets the border. **Bottom**: the last of the nine places. The result
# is a small picture itself, called a **feature map**: large where brightness jumps from left to right, 0 where it
# does not. A kernel is a question, *is there a vertical edge here?*, and the map has the answer for each place.
#
# Written as a formula, with kernel cell $(i, j)$ and place $(p, q)$:
#
# $$y_{pq} = \sum_{i}\sum_{j} x_{p+i,\,q+j}\; w_{ij}$$


# %%
def slide(x, w):
    """Slide the kernel w over the picture x; at each place multiply, and add up."""
    rows, columns = x.shape[0] - w.shape[0] + 1, x.shape[1] - w.shape[1] + 1
    y = np.zeros((rows, columns))
    for p in range(rows):
        for q in range(columns):
            window = x[p : p + w.shape[0], q : q + w.shape[1]]
            y[p, q] = (window * w).sum()
    return y


def in_keras(kind, x, w, **options):
    """Give a Keras layer (Conv1D, Conv2D, Conv3D) the weights w, and one picture x with its channels last."""
    layer = kind(w.shape[-1], w.shape[:-2], use_bias=False, dtype="float64", **options)
    layer.build((None, *x.shape))
    layer.set_weights([w])
    return layer(x[None]).numpy()[0]


print(slide(x, w))

# %% [markdown]
# Does that agree with Keras, with SciPy and with the function in `cnnkit.from_scratch`? Keras wants a last axis for
# channels on the picture, and two more on the kernel, channels and filters; they come in section 5.

# %%
np.testing.assert_allclose(slide(x, w), in_keras(layers.Conv2D, x[:, :, None], w[:, :, None, None])[:, :, 0])
np.testing.assert_allclose(slide(x, w), signal.correlate(x, w, mode="valid"))
np.testing.assert_allclose(slide(x, w), fs.conv2d(x[None, :, :, None], w[:, :, None, None], np.zeros(1))[0][0, :, :, 0])
print("Keras, SciPy and from_scratch agree with the pencil")

# %% [markdown]
# (You may have noticed that SciPy calls this `correlate`. Section 3 is about that.)
#
# The loop is clear but slow. Turn it inside out: instead of asking what each *place* adds up, ask what each *kernel
# cell* contributes. Cell $(i, j)$ meets every pixel of the picture once, shifted by $(i, j)$. So **a convolution is a
# weighted sum of shifted copies of the picture**, nine of them for a 3×3 kernel. NumPy does each copy at once, and the
# copies may just as well be colour pictures.


# %%
def shift_and_add(x, w):
    """The same as `slide`, as a sum of shifted pictures; further axes of x, such as colour, come along."""
    rows, columns = x.shape[0] - w.shape[0] + 1, x.shape[1] - w.shape[1] + 1
    return sum(w[i, j] * x[i : i + rows, j : j + columns] for i, j in np.ndindex(w.shape))


# %%
large, seconds = rng.normal(size=(200, 300)), {slide: [], shift_and_add: []}
for function in [slide, shift_and_add] * 3:
    start = time.perf_counter()
    answer = function(large, w)
    seconds[function].append(time.perf_counter() - start)
    np.testing.assert_allclose(answer, signal.correlate(large, w, mode="valid"), atol=1e-12)
print(f"equal, and {min(seconds[slide]) / min(seconds[shift_and_add]):.0f} times as fast on 200×300 pixels")

# %% [markdown]
# ### Why not a dense layer?
#
# A dense layer can turn 25 pixels into 9 values, too: every output has a weight for every pixel, $9\cdot 25$ in all.
# Two wishes make a convolution of it.
#
# - **Locality.** Whether there is an edge *here* is to be told from the pixels around here. All other weights are 0.
# - **Sharing.** What an edge looks like does not depend on where it is. The weights that are left are the same nine
#   numbers at every place.
#
# So a convolution *is* a dense layer whose matrix is mostly zeros and repeats itself. We find the matrix by asking
# `slide` about one pixel at a time, with the numbers 1 to 9 as a kernel so that we recognise them.

# %%
nine = np.arange(1.0, 10).reshape(3, 3)
matrix = np.stack([slide(pixel.reshape(5, 5), nine).ravel() for pixel in np.eye(25)], axis=1)
np.testing.assert_allclose(matrix @ x.ravel(), slide(x, nine).ravel())
fig, ax = plt.subplots(figsize=(8.6, 3.4), layout="constrained")
ax.imshow(np.where(matrix > 0, matrix, np.nan), cmap="viridis_r", vmin=-2, vmax=10)
for (place, pixel), value in np.ndenumerate(matrix):
    if value:
        ink = "white" if value > 5 else "black"
        ax.text(pixel, place, f"{value:g}", ha="center", va="center", fontsize=8, color=ink)
ax.set(
    xlabel="Pixel of the picture, row after row", ylabel="Place of the window", xticks=range(0, 25, 5), yticks=range(9)
)
sns.despine(fig)
plt.show()
free = {
    "dense": matrix.size,
    "local": int(np.count_nonzero(matrix)),
    "local and shared": np.unique(matrix[matrix > 0]).size,
}
print("free weights:", free)

# %% [markdown]
# Each line of the figure is one place of the window: nine weights, the rest empty (locality), and every line is the one
# above it moved along (sharing). The two wishes take 225 weights to 81, and 81 to 9. They are *assumptions*: true of
# photos, where neighbours belong together and things may stand anywhere, and wrong of, say, the columns of a table.
# Notebook 02 measures what they are worth by shuffling the pixels.

# %% [markdown]
# ### A kernel is the pattern it looks for
#
# A sum of products is largest when the two lists go up and down together: among all windows of the same length
# $\sqrt{\sum x^2}$, the one that answers most is the one *proportional to the kernel* (the Cauchy–Schwarz inequality).
# So one may read a kernel as a little picture of what it likes best. Four thousand random windows of length 1 and the
# kernel itself, cut to the same length:

# %%
likes = w / np.linalg.norm(w)
strangers = rng.normal(size=(4000, 3, 3))
strangers /= np.linalg.norm(strangers, axis=(1, 2), keepdims=True)
answers = (strangers * likes).sum(axis=(1, 2))
best = strangers[answers.argmax()]
print(f"the kernel answers itself with {(likes**2).sum():.2f}, the best of {len(answers):,} with {answers.max():.2f}:")
print(best.round(1))

# %% [markdown]
# Even by chance the winner has come out dark on the left and bright on the right. This is why the filters of a trained
# network are worth looking at (notebook 04).

# %% [markdown]
# ## 2. A photo
#
# The photo comes with scikit-learn: *china.jpg* by
# [danielbuechele](https://www.flickr.com/photos/danielbuechele/6061409035/), released under
# [CC BY 2.0](https://creativecommons.org/licenses/by/2.0/); here it is reduced to half its size, and filtered. We scale
# its brightness to run from 0 to 1 and treat red, green and blue alike.

# %%
original = load_sample_image("china.jpg")[:426] / 255
photo = original.reshape(213, 2, 320, 2, 3).mean(axis=(1, 3))  # the mean of each 2×2 pixels
grey = photo.mean(axis=2)
print("photo", photo.shape, "(height, width, channels); brightness", photo.min().round(2), "to", photo.max().round(2))

# %% [markdown]
# Four kernels, classics of every paint program. What will each do? Look at the numbers, and above all at their **sum**.

# %%
KERNELS = {
    "blur": np.full((5, 5), 1 / 25),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], "float64"),
    "emboss": np.array([[-1, -1, 0], [-1, 0, 1], [0, 1, 1]], "float64"),
    "edges": w,
}
fig, axes = plt.subplots(1, 4, figsize=(9.2, 2.4), layout="constrained")
for ax, (name, kernel) in zip(axes, KERNELS.items(), strict=True):
    draw_grid(ax, kernel, name, np.select([kernel > 0, kernel < 0], [1, 0], -1))
plt.show()

sums = {name: {"sum of all": k.sum(), "centre": k[len(k) // 2, len(k) // 2]} for name, k in KERNELS.items()}
sums = pd.DataFrame(sums).T
sums["1 + |sum of the others|"] = 1 + (sums["sum of all"] - sums["centre"]).abs()
sums.round(3)

# %% [markdown]
# On a patch of even brightness $b$ any kernel answers $b$ times its sum. So a kernel that sums to **1** keeps the
# brightness (blur, sharpen), and one that sums to **0** turns everything even into black (emboss, edges): it sees only
# change. Sharpen has negative neighbours; to sum to 1 its centre must be 1 plus what they take away, as the last two
# columns confirm for it, and for it alone.
#
# To keep the picture's size we repeat the pixels at its border. What sums to 0 is drawn on mid-grey, because half of
# it is negative and a screen shows no negative light.


# %%
def apply(kernel, picture=photo):
    """Filter a picture, each colour alone; the border is repeated outwards so that the size stays."""
    margin = [(side // 2, side // 2) for side in kernel.shape]
    return shift_and_add(np.pad(picture, [*margin, (0, 0)], mode="edge"), kernel)


for kernel in KERNELS.values():
    by_scipy = ndimage.correlate(photo, kernel[:, :, None], mode="nearest")
    np.testing.assert_allclose(apply(kernel), by_scipy, atol=1e-12)
print("SciPy's image filters agree with all four")

# %% [markdown]
# ### Watercolour
#
# One more, made of two steps. A **median** replaces each pixel by the middle one of the 25 around it, sorted by
# brightness: specks vanish, edges stay, areas become flat like paint. Then *sharpen* draws the outlines of the areas.

# %%
median = ndimage.median_filter(photo, size=(5, 5, 1), mode="nearest")
effects = {name: apply(kernel) for name, kernel in KERNELS.items()} | {"watercolour": apply(KERNELS["sharpen"], median)}
shown = {name: effect + 0.5 * (name in ("emboss", "edges")) for name, effect in effects.items()}
show_photos({"photo": photo, **shown}, columns=3)


# %%
def detail(picture):
    """How much neighbouring pixels differ from left to right, on average."""
    return np.abs(np.diff(picture, axis=1)).mean()


sky = np.s_[:30, 200:300]  # an even corner of the picture
measured = pd.DataFrame(
    {
        name: {
            "mean": picture.mean(),
            "mean in the sky": picture[sky].mean(),
            "detail": detail(picture),
        }
        for name, picture in {"photo": photo, "median": median, **effects}.items()
    }
).T
display(measured.style.format("{:.3f}"))

# %% tags=["hide-input"]
cut_off = np.mean(abs(effects["sharpen"] - 0.5) > 0.5)
ratio = measured["detail"] / measured.loc["photo", "detail"]
mean, in_sky = measured["mean"], measured["mean in the sky"]
say(
    f"The photo's mean brightness is {mean['photo']:.3f}; blur leaves {mean['blur']:.3f} and sharpen "
    f"{mean['sharpen']:.3f}. Neighbours differ {ratio['blur']:.2f} times as much after blurring and "
    f"{ratio['sharpen']:.1f} times as much after sharpening, which overshoots black or white in {cut_off:.0%} of the "
    f"values; the screen cuts those off. **The sky** goes from {in_sky['photo']:.2f} to {in_sky['emboss']:.3f} with "
    f"emboss and {in_sky['edges']:.3f} with edges: even brightness times a sum of 0 is nothing (prediction 1). The "
    f"median leaves as little detail as the blur ({ratio['median']:.2f} times), but look where: watercolour has lost "
    "the texture of the trees and kept the outline of the roof."
)

# %% [markdown]
# Why does subtracting neighbours sharpen? Let $m$ be the mean of a pixel $x$ and its four neighbours, so that the
# neighbours add up to $5m - x$. The kernel computes $5x - (5m - x) = x + 5\,(x - m)$: *the picture, plus five times
# what a blur takes away*. In the code, `plus` is the kernel of $m$.

# %%
plus = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5
np.testing.assert_allclose(apply(KERNELS["sharpen"]), photo + 5 * (photo - apply(plus)), atol=1e-12)
print("sharpen = picture + 5 (picture − blur)")

# %% [markdown]
# A closer look, at the pixels of the roof:

# %%
roof = np.s_[12:76, 44:140]
show_photos({name: {"photo": photo, **shown}[name][roof] for name in ("photo", "blur", "sharpen", "watercolour")}, 4)

# %% [markdown]
# Blur smears the rows of tiles into one orange. Sharpen gives every ridge a bright and a dark rim, and finds noise in
# a sky that looked clean. Watercolour has lost the tiles as well, but its roof has a hard outline. Mean and median
# both ask 25 pixels; why does one keep an edge and the other not? Try both on an edge, and on a single bright pixel:

# %%
edge = np.repeat([[0.0, 0, 0, 0, 1, 1, 1, 1]], 9, axis=0)
speck = np.zeros((9, 9))
speck[4, 4] = 1
for name, picture in (("edge", edge), ("speck", speck)):
    print(f"{name:<5}         ", picture[4])
    print("   mean of 5×5  ", ndimage.uniform_filter(picture, 5, mode="nearest")[4].round(2))
    print("   median of 5×5", ndimage.median_filter(picture, 5, mode="nearest")[4])

# %% [markdown]
# The mean makes a ramp of the edge and a faint square of the speck. The median leaves the edge where it was, since more
# than half of the 25 lie on the pixel's own side, and deletes the speck: one of 25 is never the middle one.

# %% [markdown]
# ### Noise, and how much to blur
#
# A dim photo is noisy: every pixel is off by a random amount. Neighbours are off independently, so a mean over many of
# them cancels noise; but it blurs the picture, too. The usual kernel for this is the **Gaussian**,
# $w_{ij} \propto e^{-(i^2+j^2)/2\sigma^2}$, scaled to sum to 1: near pixels count most, and $\sigma$ says what near
# means. We add noise of a known size and see which $\sigma$ comes closest to the clean photo.


# %%
def gaussian(sigma):
    """A square kernel of a bell that sums to 1; beyond three sigma there is nothing left to speak of."""
    reach = int(np.ceil(3 * sigma))
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    bell = np.exp(-(i**2 + j**2) / (2 * sigma**2))
    return bell / bell.sum()


noise = 0.12
noisy = photo + rng.normal(0, noise, photo.shape)
sigmas = np.array([0.3, 0.5, 0.7, 0.9, 1.2, 1.6, 2.2, 3.0])
cleaned = {sigma: apply(gaussian(sigma), noisy) for sigma in sigmas}
off = pd.Series({sigma: np.sqrt(((picture - photo) ** 2).mean()) for sigma, picture in cleaned.items()})
of_blur = pd.Series({sigma: np.sqrt(((apply(gaussian(sigma)) - photo) ** 2).mean()) for sigma in sigmas})
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
ax.loglog(off.index, off, "o-", color=BLUE, label="noisy photo, smoothed")
ax.loglog(of_blur.index, of_blur, "s--", color=ORANGE, label="clean photo, smoothed: what blur alone does")
ax.axhline(noise, color="0.35", linewidth=1, linestyle=":", label="noisy photo as it is")
ax.set(
    xlabel="σ of the Gaussian (pixels)", ylabel="Distance to the clean photo (RMS)", xticks=sigmas, ylim=(0.005, 0.2)
)
ax.set_xticklabels([f"{sigma:g}" for sigma in sigmas])
ax.minorticks_off()
ax.legend(frameon=False, fontsize=8)
sns.despine(fig)
plt.show()

# %%
off_by_median = np.sqrt(((ndimage.median_filter(noisy, size=(3, 3, 1), mode="nearest") - photo) ** 2).mean())
shown_noise = {"noisy": noisy} | {f"σ = {sigma:g}": cleaned[sigma] for sigma in (off.idxmin(), 3.0)}
show_photos({name: picture[roof] for name, picture in shown_noise.items()}, columns=3)

# %% tags=["hide-input"]
say(
    f"Noise alone puts each value {noise:.2f} off. The best of these kernels, σ = {off.idxmin():g}, brings that to "
    f"{off.min():.3f}; a smaller one leaves noise, a larger one is on the dashed line, where only the blur counts, and "
    f"with σ = 3 one is {off[3.0] / noise:.0%} as far off as without any cure. A 3×3 median comes to "
    f"{off_by_median:.3f}. There is no best blur, only a best one for this noise and these edges: a number to be "
    "chosen by looking at data, which is what learning will do with all nine, or all 25, at once."
)

# %% [markdown]
# ### What makes it a convolution
#
# Two properties. It is **linear**: filter a sum of pictures, and you get the sum of the filtered ones. And it
# **commutes with shifts**: move the picture, and the answer moves along, because the same kernel is used everywhere.
# Whatever has both is a convolution with some kernel. The median has only one of them.

# %%
mirrored = photo[:, ::-1]
inside = np.s_[5:-5, 12:-5]  # away from the border, where the repeated pixels differ
for name, effect in {
    "blur": lambda picture: apply(KERNELS["blur"], picture),
    "median": lambda picture: ndimage.median_filter(picture, size=(5, 5, 1), mode="nearest"),
}.items():
    apart = np.abs(effect(photo + mirrored) - effect(photo) - effect(mirrored)).max()
    moved = np.abs(effect(np.roll(photo, 7, axis=1)) - np.roll(effect(photo), 7, axis=1))[inside].max()
    print(f"{name:<7} f(a + b) − f(a) − f(b): {apart:.4f} at most;  f(shifted) − shifted f: {moved:.4f} at most")

# %% [markdown]
# The blur's differences are rounding. So *watercolour* is not a convolution, and no kernel of any size does it: one of
# its steps is not linear. CNNs get beyond a single kernel in the same way, with something that is not linear between
# their convolutions.

# %% [markdown]
# ## 3. Convolution or cross-correlation?
#
# In mathematics the sum runs the other way,
#
# $$(x * w)_{pq} = \sum_i\sum_j x_{p-i,\,q-j}\;w_{ij}, \qquad\text{against}\qquad
# (x \star w)_{pq} = \sum_i\sum_j x_{p+i,\,q+j}\;w_{ij} .$$
#
# The left one is **convolution**, the right one, ours, is **cross-correlation**. The minus signs turn the kernel by
# 180°. What that means is seen best on a picture with a single bright pixel. (Before you look: which of the two gives
# you the kernel back?)

# %%
dot, numbers = np.zeros((5, 5)), np.arange(1.0, 10).reshape(3, 3)
dot[2, 2] = 1
convolved = signal.convolve(dot, numbers, mode="same")
correlated = signal.correlate(dot, numbers, mode="same")
fig, axes = plt.subplots(1, 4, figsize=(9, 2.8), width_ratios=[5, 3, 5, 5], layout="constrained")
for ax, values, title in (
    (axes[0], dot, "one bright pixel"),
    (axes[1], numbers, "kernel"),
    (axes[2], convolved, "convolution"),
    (axes[3], correlated, "cross-correlation"),
):
    draw_grid(ax, values, title, np.where(values, 1, -1))
plt.show()

# %% [markdown]
# Convolution stamps the kernel onto every bright pixel: it comes out upright. Cross-correlation comes out turned by
# 180°, since the pixel is met first by the kernel's last cell. Now the two programs:

# %%
keras_says = in_keras(layers.Conv2D, dot[:, :, None], numbers[:, :, None, None], padding="same")[:, :, 0]
turned = numbers[::-1, ::-1]
np.testing.assert_allclose(keras_says, correlated)
np.testing.assert_allclose(signal.convolve(dot, turned, mode="same"), correlated, atol=1e-12)
np.testing.assert_allclose(
    fs.conv2d(dot[None, :, :, None], numbers[:, :, None, None], np.zeros(1), padding="same", flip=True)[0][0, :, :, 0],
    convolved,
    atol=1e-12,
)
print("Keras' Conv2D equals SciPy's correlate, not its convolve")
print("convolve with the kernel turned by 180° equals correlate")

# %% [markdown]
# Nobody is wrong (prediction 2): `Conv2D` computes a cross-correlation and calls it convolution, as all of deep
# learning does.

# %% [markdown]
# ### Does it matter?
#
# With a kernel that you write down: yes, unless it stays what it is when it is turned by 180°. Blur and sharpen do. The
# edge kernel and emboss become their own negatives: for emboss, the light falls from the other side.

# %%
emboss = KERNELS["emboss"]
relief = {"cross-correlation": apply(emboss), "convolution": apply(emboss[::-1, ::-1])}
show_photos({name: 0.5 + picture.mean(axis=2) for name, picture in relief.items()}, columns=2, width=9)
np.testing.assert_allclose(relief["convolution"], -relief["cross-correlation"], atol=1e-12)
for name, kernel in KERNELS.items():
    turned = kernel[::-1, ::-1]
    stays = np.array_equal(turned, kernel)
    assert stays or np.array_equal(turned, -kernel)
    print(f"{name:<8} turned by 180°: {'itself' if stays else 'its own negative'}")

# %% [markdown]
# With a kernel that is learnt: no. Suppose somebody filtered our photo by *convolution* with the numbers 1 to 9, and
# we learn the kernel from the two pictures: we ask for the nine numbers that, used in *cross-correlation*, come closest
# (least squares). Every window is an equation with nine unknowns.

# %%
target = signal.convolve(grey, numbers, mode="valid")
windows = np.lib.stride_tricks.sliding_window_view(grey, (3, 3)).reshape(-1, 9)
learnt, *_ = np.linalg.lstsq(windows, target.ravel())
print(f"{len(windows):,} equations, solution:")
print(learnt.reshape(3, 3).round(6))

# %% [markdown]
# The learner finds the kernel already turned, and reproduces the target exactly. A network that learns its kernels does
# not care which of the two it is built of; cross-correlation is merely simpler to write.

# %% [markdown]
# ### Learnt step by step
#
# Least squares gave the answer at once; a network has to walk. Begin with nine zeros, look at how far the output is
# off, ask each of the nine numbers which way it should move to make that less, move them a little, and repeat. The
# error is $E = \frac1n\sum_{pq}(y_{pq}-t_{pq})^2$ with target $t$; cell $(i,j)$ meets the pixel $x_{p+i,\,q+j}$ at
# place $(p,q)$, so its slope is $\frac2n\sum_{pq}(y_{pq}-t_{pq})\,x_{p+i,\,q+j}$: once more a cross-correlation.
# (Notebook 03 does this for whole networks.) We learn from a picture of noise, which has a bit of everything.

# %%
picture = rng.normal(size=(40, 40))
target = signal.convolve(picture, numbers, mode="valid")
kernel, errors = np.zeros((3, 3)), []
for _ in range(40):
    apart = slide(picture, kernel) - target
    errors.append((apart**2).mean())
    kernel -= 0.1 * 2 * signal.correlate(picture, apart, mode="valid") / apart.size
fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
ax.semilogy(errors, "o-", color=BLUE, markersize=4)
ax.set(xlabel="Step", ylabel="Mean squared error")
sns.despine(fig)
plt.show()
print("after 40 steps:")
print(kernel.round(2))

# %% tags=["hide-input"]
np.testing.assert_allclose(kernel, numbers[::-1, ::-1], atol=0.05)
say(
    f"Each step takes a constant share of the error away, so on a logarithmic axis it falls along a line: from "
    f"{errors[0]:.0f} to {errors[-1]:.1g}. Nobody told the nine numbers what they are for, and they have become 9 to "
    "1: the kernel, turned."
)

# %% [markdown]
# ### What the flip is good for
#
# In some problems the minus sign is simply there. Strike a bell at time $s$ with force $x_s$: it rings, and fades by
# half in every moment, $w_k = 2^{-k}$ after $k$ moments. Strike it several times. What do you hear at time $t$? Of each
# strike what is left of it, $y_t = \sum_s x_s\,w_{t-s}$: the index of $w$ is *now minus then*. That is a convolution,
# and nobody has turned anything.

# %%
strikes, fading = np.zeros(16), 0.5 ** np.arange(6)
strikes[[2, 6, 8]] = 3, 5, 2
heard = sum(force * np.pad(fading, (s, 20))[:16] for s, force in enumerate(strikes))  # bell by bell
np.testing.assert_allclose(heard, signal.convolve(strikes, fading)[:16], atol=1e-12)
backwards = signal.correlate(strikes, fading)[len(fading) - 1 :]
fig, axes = plt.subplots(1, 4, figsize=(10, 2.4), width_ratios=[16, 6, 16, 16], sharey=True, layout="constrained")
for ax, values, title in zip(
    axes,
    (strikes, fading, heard, backwards),
    ("strikes $x$", "fading $w$", "convolution", "cross-correlation"),
    strict=True,
):
    ax.vlines(range(len(values)), 0, values, color=BLUE, linewidth=3)
    ax.set(title=title, xlabel="Time", xlim=(-1, len(values)))
axes[0].set_ylabel("Loudness")
sns.despine(fig)
plt.show()

# %% [markdown]
# In the convolution each strike rings on after it, and what is left of one adds to the next. In the cross-correlation
# the bell rings *before* it is struck.
#
# Mathematicians like the minus sign for another reason, too: with it the order no longer matters. Picture and kernel
# are equal partners:
#
# $$a * b = b * a, \qquad (a * b) * c = a * (b * c).$$
#
# That holds for the **wide** convolution, which counts every overlap of at least one pixel (SciPy's `full`).
# Cross-correlation does not commute: swapped, it comes out turned.

# %%
a, b, c = (rng.normal(size=shape) for shape in ((6, 8), (3, 2), (4, 4)))
np.testing.assert_allclose(signal.convolve(a, b), signal.convolve(b, a))
np.testing.assert_allclose(signal.convolve(signal.convolve(a, b), c), signal.convolve(a, signal.convolve(b, c)))
np.testing.assert_allclose(signal.correlate(a, b), signal.correlate(b, a)[::-1, ::-1])
gap = np.abs(signal.correlate(a, b) - signal.correlate(b, a)).max()
print(f"convolution commutes and associates; cross-correlation swapped is {gap:.1f} apart until you turn it")

# %% [markdown]
# The second equation has a consequence to remember: two convolutions, one after the other, equal *one*, whose kernel is
# the convolution of the two kernels. Section 9 comes back to it.

# %% [markdown]
# ## 4. One, two, three dimensions
#
# Nothing in the idea needs a plane. The number in `Conv1D`, `Conv2D`, `Conv3D` says **in how many directions the kernel
# slides**.
#
# **One**: a signal, such as the brightness along one row of the photo. Two kernels of nine and two numbers:

# %%
row = grey[70]
mean9, difference = np.full(9, 1 / 9), np.array([-1.0, 1])
smooth = in_keras(layers.Conv1D, row[:, None], mean9[:, None, None])[:, 0]
change = in_keras(layers.Conv1D, row[:, None], difference[:, None, None])[:, 0]
fig, axes = plt.subplots(2, 1, figsize=(10, 4), sharex=True, layout="constrained")
axes[0].plot(row, color="0.6", linewidth=1, label="photo, row 70")
axes[0].plot(4 + np.arange(len(smooth)), smooth, color=BLUE, label="mean of 9")
axes[1].plot(0.5 + np.arange(len(change)), change, color=ORANGE, linewidth=1, label="right − left")
axes[0].set(ylabel="Brightness")
axes[1].set(ylabel="Change", xlabel="Column (pixels)")
for ax in axes:
    ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(0.8, 0))
    sns.despine(ax=ax)
plt.show()

# %% tags=["hide-input"]
np.testing.assert_allclose(change, np.diff(row), atol=1e-12)
np.testing.assert_allclose(smooth, np.convolve(row, mean9, mode="valid"))
wall, sky_part = np.s_[45:160], np.s_[200:270]
jumps, sky_jumps = np.abs(change[wall]).mean(), np.abs(change[sky_part]).mean()
say(
    f"Left, in columns 45 to 160, the pagoda: brightness jumps by {jumps:.3f} from one pixel to the next on average, "
    f"and the mean of 9 smooths that to {np.abs(np.diff(smooth[wall])).mean():.3f}. In the open sky, columns 200 to "
    f"270, the jumps are {sky_jumps:.3f}, and the two curves lie on each other. The mean has {len(smooth)} values for "
    f"{len(row)} pixels, the difference {len(change)}: one for each place at which the kernel fits."
)

# %% [markdown]
# (You have met 1-D convolution before: it is how polynomials are multiplied. `np.convolve([1, 2, 1], [1, 1])` gives the
# coefficients of $(1 + x)^2 (1 + x)$.)
#
# **Three**: a video slides in time as well. Here are eight frames of our photo, in which a dark disc drifts to the
# right. A kernel of two frames by one pixel by one pixel, −1 and 1, subtracts each frame from the next.

# %%
place = np.mgrid[:64, :112]
clip = np.stack([grey[80:144, 170:282]] * 8)
discs = np.stack([(place[0] - 30 - 2 * t) ** 2 + (place[1] - 20 - 10 * t) ** 2 < 50 for t in range(8)])
clip[discs] = 0.2
difference3d = np.array([-1.0, 1]).reshape(2, 1, 1, 1, 1)
motion = in_keras(layers.Conv3D, clip[..., None], difference3d)[..., 0]
frames = {f"frame {t}": clip[t] for t in (0, 2, 4, 6)}
show_photos(frames | {f"frame {t + 1} − frame {t}": 0.5 + 0.5 * motion[t] for t in (0, 2, 4, 6)}, columns=4)

# %%
np.testing.assert_allclose(motion, clip[1:] - clip[:-1])
still = ~(discs[1:] | discs[:-1])
print(
    f"{len(clip)} frames give {len(motion)} differences; where nothing moves they are {np.abs(motion[still]).max():g}"
)

# %% [markdown]
# The landscape is gone to the last bit; what is left is dark where the disc has come, bright where it has gone. A
# kernel that is shown one frame at a time cannot tell a moving disc from a resting one. But it need not be 3-D for
# that: it is enough that it is shown two frames at once, as two **channels** of one picture. The next section is about
# channels, and exercise 8 finds the motion with `Conv2D`.

# %% [markdown]
# ## 5. Channels and filters: from a kernel to a layer
#
# A colour picture has three channels, and slides in two directions all the same: its kernel simply has a depth of
# three, and all $3 \cdot 3 \cdot 3$ products go into one sum. One such block of numbers is a **filter**; it makes one
# feature map. A layer has several filters, each with a number added at the end, the **bias**, and their maps are the
# channels of what the next layer sees:
#
# $$y_{pqf} = b_f + \sum_i\sum_j\sum_c x_{p+i,\,q+j,\,c}\; w_{ijcf}$$
#
# **By pencil.** A picture of 3×3 pixels with two channels, and two filters of 2×2. In the figure, the first filter at
# the first place: two windows, two tables of weights, eight products, *one* sum.

# %%
two = np.stack([[[1, 0, 2], [3, 1, 0], [0, 2, 1]], [[0, 1, 1], [2, 0, 1], [1, 1, 0]]], axis=-1).astype("float64")
filters = np.zeros((2, 2, 2, 2))  # height, width, channels, filters
filters[..., 0, 0], filters[..., 1, 0] = [[1, 0], [0, 1]], [[0, 2], [-1, 0]]
filters[..., 0, 1], filters[..., 1, 1] = [[0, 1], [1, 0]], [[1, 1], [1, 1]]
biases = np.array([1.0, -2.0])
windows = {(p, q): two[p : p + 2, q : q + 2] for p in (0, 1) for q in (0, 1)}
by_pencil = np.zeros((2, 2, 2))
for (p, q), seen in windows.items():
    for f in (0, 1):
        by_pencil[p, q, f] = (seen * filters[..., f]).sum() + biases[f]
fig, axes = plt.subplots(2, 8, figsize=(9.6, 4), width_ratios=[3, 0.7, 2, 0.7, 2, 1.6, 0.9, 2], layout="constrained")
window = [[0, 0, -1], [0, 0, -1], [-1, -1, -1]]
for channel, line in enumerate(axes):
    products = two[:2, :2, channel] * filters[..., channel, 0]
    draw_grid(line[0], two[..., channel], f"picture, channel {channel}", window)
    draw_text(line[1], "×")
    draw_grid(line[2], filters[..., channel, 0], "filter 0", np.ones((2, 2), int))
    draw_text(line[3], "=")
    draw_grid(line[4], products, "products", np.zeros((2, 2), int))
    draw_text(line[5], f"add up: {products.sum():g}", 9)
    line[6].axis("off")
    draw_grid(line[7], by_pencil[..., channel], f"map {channel} (filter {channel})",
              [[2 if channel == row == column == 0 else -1 for column in (0, 1)] for row in (0, 1)])  # fmt: skip
sums = [(two[:2, :2, c] * filters[..., c, 0]).sum() for c in (0, 1)]
told = f"{sums[0]:g} + {sums[1]:g}\n+ bias {biases[0]:g}\n= {by_pencil[0, 0, 0]:g}"
fig.text(0.77, 0.5, told, ha="center", va="center", fontsize=11)
plt.show()

# %% [markdown]
# The channels of the picture are *added up* in every filter, so they are gone afterwards; the channels of the result
# are the *filters*, one map each. A layer from $D$ channels to $P$ filters therefore has $D\cdot P$ little kernels. In
# code it is our sum of shifted pictures, with a matrix product that mixes the channels.


# %%
def convolution_layer(x, w, b):
    """x (height, width, channels), w (height, width, channels, filters), b (filters,) -> (rows, columns, filters)."""
    rows, columns = x.shape[0] - w.shape[0] + 1, x.shape[1] - w.shape[1] + 1
    return b + sum(x[i : i + rows, j : j + columns] @ w[i, j] for i, j in np.ndindex(w.shape[:2]))


# %%
np.testing.assert_allclose(convolution_layer(two, filters, biases), by_pencil)
w, b = rng.normal(size=(3, 3, 3, 8)), rng.normal(size=8)
layer = layers.Conv2D(8, 3, dtype="float64")
layer.build((None, *photo.shape))
layer.set_weights([w, b])
np.testing.assert_allclose(convolution_layer(photo, w, b), layer(photo[None])[0])
maps = layer(photo[None]).shape[1:]
print("the pencil is right, for both filters")
print(f"photo {photo.shape}, filters {w.shape}, biases {b.shape} -> feature maps {maps}, as in Keras")

# %% [markdown]
# ### How many weights?
#
# $P$ filters over $D$ channels with $U \times V$ cells: $P D U V$ weights, and $P$ biases. The size of the picture
# does not occur in it. In a dense layer each of $m$ outputs has a weight for each of $n$ inputs: $nm$. Let Keras count,
# for pictures of four sizes:

# %%
lines = []
for size in (28, 56, 112, 224):
    conv, dense = layers.Conv2D(8, 3), layers.Dense(8)
    maps = conv(np.zeros((1, size, size, 3), "float32")).shape
    dense.build((None, size * size * 3))
    line = {"picture": f"{size}×{size}×3", "feature maps": "×".join(map(str, maps[1:])), "values": int(np.prod(maps))}
    lines.append(line | {"convolution, 8 filters": conv.count_params(), "dense, 8 units": dense.count_params()})
    assert conv.count_params() == anatomy.conv_params(3, 8, (3, 3)) == 8 * 3 * 3 * 3 + 8
weights = pd.DataFrame(lines)
display(weights.style.format(thousands=",").hide())

# %% tags=["hide-input"]
last = weights.iloc[-1]
say(
    f"Twice the width and height: no more weights at all (prediction 4), "
    f"{last['convolution, 8 filters']} for any picture. The dense layer's weights grow with the pixels, to "
    f"{last['dense, 8 units']:,}, and still give only 8 values where the convolution gives {last['values']:,}. "
    "The work does grow: the same weights are used at more places."
)

# %% [markdown]
# ## 6. Size: padding, stride, dilation
#
# How large is a feature map? As large as there are places for the window. Three traditions decide what happens at the
# border:
#
# - **narrow** (Keras `valid`): the kernel stays inside, no zeros;
# - **same** (Keras `same`): just enough zeros around the picture that the size stays;
# - **wide** (SciPy `full`): zeros so far out that every overlap of at least one pixel counts.
#
# Two more settings: with **stride** $S$ the window moves $S$ pixels at a time; with **dilation** $D$ the kernel's cells
# lie $D$ pixels apart, so that $K$ of them span $D(K-1)+1$ pixels. One axis is enough to see it all, since height and
# width do not know of each other.


# %%
def zeros_around(n, k, padding, stride=1, dilation=1):
    """Zeros to add before and after n pixels."""
    span = dilation * (k - 1) + 1
    if padding == "same":
        missing = max((-(-n // stride) - 1) * stride + span - n, 0)
        return missing // 2, missing - missing // 2  # an odd one goes behind
    return (span - 1, span - 1) if padding == "wide" else (0, 0)


def output_size(n, k, padding, stride=1, dilation=1):
    """Places of the window: the first one, and as many steps as there is room for."""
    room = n + sum(zeros_around(n, k, padding, stride, dilation)) - (dilation * (k - 1) + 1)
    return room // stride + 1  # // rounds down: a last step that does not fit is not made


def draw_windows(ax, rows, n, k, padding, stride=1, dilation=1):
    """Draw the picture as squares, added zeros as dotted ones, and below them a row of dots for each window."""
    before, after = zeros_around(n, k, padding, stride, dilation)
    size, seen = output_size(n, k, padding, stride, dilation), set()
    for place in range(size):
        cells = [place * stride - before + dilation * cell for cell in range(k)]
        seen.update(cells)
        ax.plot(np.array(cells) + 0.5, [-0.6 - 0.55 * place] * k, "o-", color=ORANGE, markersize=6, linewidth=1.5)
    for pixel in [*range(n), *range(-before, 0), *range(n, n + after)]:
        zero, missed = not 0 <= pixel < n, pixel not in seen
        face = "white" if zero else RED if missed else sns.light_palette(BLUE, 10)[4]
        look = {"edgecolor": "0.5", "linestyle": ":"} if zero else {"edgecolor": "white", "linewidth": 2}
        ax.add_patch(Rectangle((pixel, 0), 1, 1, facecolor=face, **look))
        ax.text(pixel + 0.5, 0.5, "0" if zero else "", ha="center", va="center", color="0.5", fontsize=8)
    extra = f", stride {stride}" * (stride > 1) + f", dilation {dilation}" * (dilation > 1)
    ax.set_title(f"{padding}, N = {n}, K = {k}{extra}: {size} places", fontsize=9)
    ax.set(xlim=(-2.3, 10.3), ylim=(-0.9 - 0.55 * rows, 1.2), aspect="equal")
    ax.axis("off")


CASES = {  # the most windows in a line of the figure: its cases
    9: [(7, 3, "narrow"), (7, 3, "same"), (7, 3, "wide")],
    4: [(7, 3, "narrow", 2), (8, 3, "narrow", 2), (8, 3, "same", 2)],
    7: [(7, 4, "same"), (7, 3, "narrow", 1, 2), (7, 3, "same", 1, 2)],
}
fig, axes = plt.subplots(3, 3, figsize=(9.6, 5.4), height_ratios=[7.2, 4.5, 6.1], layout="constrained")
for line, (rows, cases) in zip(axes, CASES.items(), strict=True):
    for ax, case in zip(line, cases, strict=True):
        draw_windows(ax, rows, *case)
plt.show()

# %% [markdown]
# Each row of dots is one window, and makes one value; the number in the title is how many there are. **First line**:
# with stride 1 the three paddings give $N-K+1$, $N$ and $N+K-1$. **Second line**: at stride 2, seven pixels fit
# exactly. With eight, the last one (red) is seen by no window, and nobody tells you. `same` sees all eight, and gives
# $\lceil N/S \rceil$. **Third line**: a kernel of **even** size keeps the size, too: it needs an odd number of zeros,
# and Keras puts the odd one behind. What even kernels cannot do is keep it symmetrically. Dilated kernels reach
# farther with the same three weights.
#
# All cases together, with $P$ zeros on both sides in sum:
#
# $$\text{size} = \left\lfloor \frac{N + P - D(K-1) - 1}{S} \right\rfloor + 1$$
#
# The floor $\lfloor\;\rfloor$ is easily forgotten. Is the formula right, and are the zeros where we drew them? We let
# Keras convolve signals of every size with every kernel, and compare not only the number of values but the values:
# ours from SciPy, with our zeros, then every $S$-th.

# %%
cases, floors = 0, 0
options = itertools.product(
    range(1, 13), range(1, 6), ("narrow", "same", "wide"), ((1, 1), (2, 1), (3, 1), (1, 2), (1, 3))
)
for n, k, padding, (stride, dilation) in options:
    before, after = zeros_around(n, k, padding, stride, dilation)
    span = dilation * (k - 1) + 1
    if n + before + after < span:
        continue  # no window fits
    x, w = rng.normal(size=n), rng.normal(size=k)
    spread = np.zeros(span)
    spread[::dilation] = w
    ours = signal.correlate(np.pad(x, (before, after)), spread, mode="valid")[::stride]
    as_keras = np.pad(x, (before, after)) if padding == "wide" else x  # Keras has no word for wide
    theirs = keras.ops.conv(
        as_keras[None, :, None],
        w[:, None, None],
        strides=stride,
        padding="same" if padding == "same" else "valid",
        dilation_rate=dilation,
    )
    np.testing.assert_allclose(ours, theirs.numpy()[0, :, 0], atol=1e-12)
    named = {"narrow": "valid", "wide": "full"}.get(padding, padding)
    size = anatomy.conv_output_size(n, k, stride, named, dilation, floor=True)
    assert len(ours) == output_size(n, k, padding, stride, dilation) == size
    cases += 1
    floors += padding != "same" and (n + before + after - span) % stride > 0
print(f"{cases} convolutions: sizes and values equal to Keras'; in {floors} of them the floor decides")

# %% [markdown]
# ### How often is a pixel used?
#
# Padding is not only about size. Without it a pixel in the corner is in one window only, one in the middle in nine. How
# often each is used can be asked of Keras: with a kernel of ones, the slope of the *sum* of the map with respect to a
# pixel is the number of windows that see it.


# %%
def uses(n, k, padding):
    """How many windows of k×k see each pixel of an n×n picture."""
    picture = tf.ones((1, n, n, 1))
    with tf.GradientTape() as tape:
        tape.watch(picture)
        total = tf.reduce_sum(layers.Conv2D(1, k, padding=padding, kernel_initializer="ones")(picture))
    return tape.gradient(total, picture).numpy()[0, :, :, 0]


kinds = [(3, "valid"), (3, "same"), (5, "valid"), (5, "same")]
fig, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
for ax, (k, padding) in zip(axes, kinds, strict=True):
    count = uses(7, k, padding)
    ax.imshow(count, cmap="Blues", vmin=0, vmax=k * k * 1.6)
    for (row, column), value in np.ndenumerate(count):
        ax.text(column, row, f"{value:g}", ha="center", va="center", fontsize=8)
    ax.set_title(f"{k}×{k}, {padding}", fontsize=10)
    ax.axis("off")
plt.show()
share = {name: uses(28, 5, name)[[0, -1]].mean() / 25 for name in ("valid", "same")}

# %% tags=["hide-input"]
say(
    "In the first two pictures a corner has 1 use without padding and 4 with it, of 9 in the middle. Padding lifts the "
    "border, and does not make it equal: some windows there are filled with zeros. On 28×28 pixels under 5×5 kernels a "
    f"pixel of the top row is used {share['valid']:.0%} as often as one in the middle, and {share['same']:.0%} with "
    "`same`. What stands at the border of a picture has less of a say: a reason to pad, and to centre what matters."
)

# %% [markdown]
# ### When it does not fit
#
# A 32×32 picture, 11×11 kernels, stride 4, no padding: how many places? cnnkit refuses a size that is not whole, unless
# you ask for the floor:

# %%
try:
    anatomy.conv_output_size(32, 11, stride=4)
except ValueError as error:
    print(error, "\n")
for size in (32, 224, 227):
    maps = layers.Conv2D(1, 11, 4)(np.zeros((1, size, size, 1), "float32"))
    print(f"{size} pixels: {(size - 11) / 4 + 1:g} places, so Keras makes {maps.shape[1]}")

# %% [markdown]
# 6.25 is no whole number (prediction 3): Keras rounds down to 6, and nobody sees the pixels that are left over. These
# kernels belong to AlexNet, whose pictures have 227 pixels a side, into which they fit exactly. (Its paper prints 224,
# which does not fit either.)

# %% [markdown]
# ## 7. Pooling
#
# A pooling layer slides a window as well, but takes the largest value under it (**max**) or the mean, in each channel
# by itself. There is no kernel. Usually the stride equals the window, so that each pixel is in one window; if the
# stride is smaller, windows **overlap**. **Global** pooling has one window, as large as the map.


# %%
def pool(x, size, stride, reduce):
    """Reduce each window of size × size pixels to one value; `reduce` is np.max or np.mean."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size))[::stride, ::stride]
    return reduce(windows, axis=(2, 3))


x = rng.integers(0, 10, (6, 6)).astype("float64")
quarters = [[(row // 2 + column // 2) % 2 for column in range(6)] for row in range(6)]
small = [[(row + column) % 2 for column in range(3)] for row in range(3)]
fig, axes = plt.subplots(1, 5, figsize=(10, 2.9), width_ratios=[6, 3, 3, 4, 1.6], layout="constrained")
draw_grid(axes[0], x, "6×6 values", quarters)
draw_grid(axes[1], pool(x, 2, 2, np.max), "max, 2×2\nstride 2", small)
draw_grid(axes[2], pool(x, 2, 2, np.mean), "mean, 2×2\nstride 2", small)
draw_grid(axes[3], pool(x, 3, 1, np.max), "max, 3×3\nstride 1, overlapping")
for ax, corner, side in ((axes[0], (0, 0), 3), (axes[0], (2, 1), 3), (axes[3], (0, 0), 1), (axes[3], (2, 1), 1)):
    colour = RED if corner == (0, 0) else GREEN
    ax.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=2, zorder=3))
draw_grid(axes[4], pool(x, 6, 6, np.mean), "global\nmean")
plt.show()

# %%
lines = []
for side, size, stride in ((6, 2, 2), (6, 2, 1), (6, 3, 2), (6, 3, 1), (6, 6, 6), (20, 10, 10), (20, 10, 1)):
    picture = rng.normal(size=(side, side))
    for reduce, kind in ((np.max, layers.MaxPooling2D), (np.mean, layers.AveragePooling2D)):
        ours, theirs = pool(picture, size, stride, reduce), kind(size, stride)(picture[None, :, :, None])
        np.testing.assert_allclose(ours, theirs[0, :, :, 0], rtol=1e-5, atol=1e-6)  # Keras computes in float32
    line = {"picture": f"{side}×{side}", "window": f"{size}×{size}", "stride": stride}
    lines.append(line | {"output": "×".join(map(str, ours.shape)), "overlapping": "yes" if stride < size else "no"})
pd.DataFrame(lines).style.hide()

# %% [markdown]
# All of them equal Keras', max and mean (in the figure, an outlined window makes the outlined value), and the sizes
# follow the formula of section 6. Windows overlap when the stride is smaller than the window; when it is larger, there
# are gaps between them that nobody sees. The last two lines show how much the stride decides: the same 10×10 window,
# and another output. Keras takes the window's size for the stride where none is given.

# %% [markdown]
# ### On the photo
#
# Three ways to make it ten times smaller: keep every tenth pixel (a stride, and no pooling), the mean of each 10×10
# pixels, or the largest.

# %%
tens = photo[:210].reshape(21, 10, 32, 10, 3)
smaller = {
    "every tenth pixel": photo[:210:10, ::10],
    "mean pool": tens.mean(axis=(1, 3)),
    "max pool": tens.max(axis=(1, 3)),
}
assert all(picture.shape == (21, 32, 3) for picture in smaller.values())
show_photos(smaller, columns=3)

# %% tags=["hide-input"]
small_means = {name: picture.mean() for name, picture in smaller.items()}
say(
    "Mean brightness: photo "
    f"{photo[:210].mean():.3f}, " + ", ".join(f"{name} {mean:.3f}" for name, mean in small_means.items()) + ". "
    "The stride alone looks at one pixel in a hundred, and what it catches of roof and trees is luck. The mean is the "
    "photo seen from afar: it is also how the photo was halved in section 2. The maximum favours the bright: good on a "
    "feature map, where bright means *found*, and odd on a photo."
)

# %% [markdown]
# ### What pooling tolerates
#
# Why throw away where the maximum was? Because then it may move. We mark the edges of the photo (the tenth of all
# places where the edge kernel answers most), move the photo by one pixel, mark again, and max-pool both maps. Of the
# marks before or after the move, how many are in both?

# %%
answer = np.abs(slide(grey, KERNELS["edges"]))
marked = (answer > np.quantile(answer, 0.9))[:, :-1], (answer > np.quantile(answer, 0.9))[:, 1:]  # and one pixel on
kept = {}
for size in (1, 2, 4, 8):
    here, there = (pool(one.astype(float), size, size, np.max) > 0 for one in marked)
    kept[f"{size}×{size}"] = {"marks": here.mean(), "in both": (here & there).sum() / (here | there).sum()}
display(pd.DataFrame(kept).T.rename_axis("max pool").style.format("{:.0%}"))

# %% tags=["hide-input"]
both = {name: line["in both"] for name, line in kept.items()}
say(
    f"Without pooling, one pixel of movement leaves {both['1×1']:.0%} of the marks where they were; with 2×2 windows "
    f"{both['2×2']:.0%}, with 8×8 {both['8×8']:.0%}. Nothing here is invariant, and most of it is a matter of size: a "
    "mark moves on only when it crosses into the next window. A convolution lets the answer move along with the "
    "picture; pooling makes it move less. The price is in the first column: large windows are marked nearly everywhere."
)

# %% [markdown]
# ### What does pooling save?
#
# Here are three small networks for 32×32 colour pictures and ten classes. They begin with the same convolution and
# differ in what stands between it and the dense layer at the end.

# %%
lines = []
for name, between in {
    "flatten": [layers.Flatten()],
    "max pool 2×2, flatten": [layers.MaxPooling2D(2), layers.Flatten()],
    "global mean pool": [layers.GlobalAveragePooling2D()],
}.items():
    dense = layers.Dense(10)
    model = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(16, 3, padding="same"), *between, dense])
    conv, *middle, _ = model.layers
    line = {"between": name, "convolution": conv.count_params(), "in between": sum(m.count_params() for m in middle)}
    lines.append(line | {"dense": dense.count_params(), "all": model.count_params()})
heads = pd.DataFrame(lines).set_index("between").rename_axis(None)
display(heads.style.format(thousands=","))

# %% tags=["hide-input"]
say(
    f"Pooling has **{heads['in between'].max()} parameters**, and the convolution keeps its "
    f"{heads['convolution'].iloc[0]}. What shrinks is a dense layer that reads the flattened maps, from "
    f"{heads['dense'].iloc[0]:,} to {heads['dense'].iloc[1]:,}, because it gets a quarter of the values: so pooling "
    "makes a network smaller only there (prediction 5). In front of another convolution, or of a global pool, it "
    "would save no weight at all, only work."
)

# %% [markdown]
# ## 8. Dilated, depthwise, separable
#
# A **dilated** kernel is an ordinary one with holes. It sees farther for the same price.

# %%
w = np.arange(1.0, 10).reshape(3, 3)
fig, axes = plt.subplots(1, 3, figsize=(6.4, 3), width_ratios=[3, 5, 7], layout="constrained")
for ax, dilation in zip(axes, (1, 2, 3), strict=True):
    holes = np.zeros((2 * dilation + 1, 2 * dilation + 1))
    holes[::dilation, ::dilation] = w
    draw_grid(
        ax,
        holes,
        f"dilation {dilation}\nspans {len(holes)}×{len(holes)}",
        np.where(holes, 1, -1),
    )
    theirs = in_keras(layers.Conv2D, grey[:, :, None], w[:, :, None, None], dilation_rate=dilation)[:, :, 0]
    np.testing.assert_allclose(signal.correlate(grey, holes, mode="valid"), theirs, atol=1e-10)
plt.show()
print("on the photo, Keras' dilated convolutions equal ordinary ones with these nine weights and zeros between")

# %% [markdown]
# A **depthwise** convolution has one kernel a channel and never mixes channels: in section 2 we did just that when we
# blurred red, green and blue alike. A **separable** one lets a 1×1 convolution follow, which looks at one place only
# and mixes channels. Looking around and mixing are thus done one after the other, where an ordinary layer does both
# at once.

# %%
w = rng.normal(size=(3, 3, 3, 1))  # height, width, channels, one kernel a channel
mix = rng.normal(size=(1, 1, 3, 8))  # a 1×1 convolution from 3 channels to 8
each_alone = np.stack([shift_and_add(photo[:, :, c], w[:, :, c, 0]) for c in range(3)], axis=-1)
mixed = each_alone @ mix[0, 0]

for layer, weights, ours in (
    (layers.DepthwiseConv2D(3, use_bias=False, dtype="float64"), [w], each_alone),
    (layers.SeparableConv2D(8, 3, use_bias=False, dtype="float64"), [w, mix], mixed),
):
    layer.build((None, *photo.shape))
    layer.set_weights(weights)
    np.testing.assert_allclose(ours, layer(photo[None])[0], atol=1e-10)
print("depthwise and separable equal Keras'")

# %% [markdown]
# What does it cost? From 64 channels to 128, 3×3, on maps of 56×56; `macs` are multiplications with a weight.

# %%
lines = []
for layer in (
    layers.Conv2D(128, 3, padding="same", use_bias=False, name="ordinary"),
    layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise"),
    layers.Conv2D(128, 1, use_bias=False, name="1×1"),
    layers.SeparableConv2D(128, 3, padding="same", use_bias=False, name="separable"),
):
    table = anatomy.layer_table(keras.Sequential([keras.Input((56, 56, 64)), layer]))
    lines.append(table.iloc[-1][["layer", "output_shape", "num_params", "macs"]])
cost = pd.DataFrame(lines).set_index("layer").rename_axis(None)
cost["share"] = (cost["num_params"] / cost.loc["ordinary", "num_params"]).map("{:.1%}".format)
assert np.isclose(cost.loc["separable", "num_params"] / cost.loc["ordinary", "num_params"], 1 / 128 + 1 / 9)
cost.style.format(thousands=",")

# %% [markdown]
# The separable layer is the depthwise and the 1×1 one, and its share is $1/F + 1/K^2$ for $F$ filters of $K \times
# K$: the assertion in the cell checks it. Whether a network loses accuracy by this is a question for notebook 12.

# %% [markdown]
# ## 9. How much of the picture does a unit see?
#
# A value in a feature map sees a window of the map below, and each value there sees a window, too. The part of the
# picture that has any influence is the **receptive field**. Walk back from one unit, layer by layer: to know $r$
# neighbours of a layer's output, you need
#
# $$r \;\leftarrow\; (r - 1)\,S + K$$
#
# of its input: $r - 1$ steps of the stride, and one whole window. Dilation makes the window $D(K-1)+1$.


# %%
def receptive_field(stack):
    """Pixels a side that one unit sees; `stack` has (kernel, stride) or (kernel, stride, dilation) a layer."""
    r = 1
    for kernel, stride, *dilation in reversed(stack):
        span = (dilation or [1])[0] * (kernel - 1) + 1
        r = (r - 1) * stride + span
    return r


C3, P2 = (3, 1), (2, 2)  # a 3×3 convolution; a 2×2 pool
STACKS = {
    "3×3": [C3],
    "two 3×3": [C3, C3],
    "three 3×3": [C3, C3, C3],
    "3×3, 1×1, 3×3": [C3, (1, 1), C3],
    "3×3, pool, 3×3": [C3, P2, C3],
    "dilated 1, 2, 4": [(3, 1, 1), (3, 1, 2), (3, 1, 4)],
    "LeNet-5 to C5": [(5, 1), P2, (5, 1), P2, (5, 1)],
    "AlexNet to pool 5": [(11, 4), (3, 2), (5, 1), (3, 2), C3, C3, C3, (3, 2)],
    "VGG-16 to pool 5": [C3, C3, P2] * 2 + [C3, C3, C3, P2] * 3,
}
fields = pd.Series({name: receptive_field(stack) for name, stack in STACKS.items()}, name="pixels a side")
assert all(receptive_field(stack) == anatomy.receptive_field(stack) for stack in STACKS.values())
fields.to_frame().T

# %% [markdown]
# `anatomy` walks the other way, from the picture up, and agrees. Two 3×3 see 5×5, three see 7×7; a 1×1 in between adds
# nothing; a pool or a dilation makes the field grow in leaps.

# %% [markdown]
# ### Seen, not computed
#
# One can *see* a receptive field. Ask how one unit in the middle changes with each pixel, the gradient: where it is
# 0, the unit is blind. We build the first six stacks with kernels of ones (and mean pools, since a maximum would
# listen to one pixel only) and draw the gradient; the box is what `anatomy.gradient_box` measures.


# %%
def build(stack):
    model = keras.Sequential([keras.Input((24, 24, 1))])
    for kernel, stride, *dilation in stack:
        pooling = stride > 1
        model.add(
            layers.AveragePooling2D(kernel, stride)
            if pooling
            else layers.Conv2D(1, kernel, dilation_rate=(dilation or [1])[0], kernel_initializer="ones")
        )
    return model


def input_gradient(model):
    """How much the unit in the middle of the last map changes with each pixel."""
    x = tf.ones((1, *model.input_shape[1:]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        maps = model(x)
        unit = maps[0, maps.shape[1] // 2, maps.shape[2] // 2, 0]
    return tape.gradient(unit, x)[0, :, :, 0].numpy()


fig, axes = plt.subplots(1, 6, figsize=(11, 2.3), layout="constrained")
middle_share = {}
for ax, name in zip(axes, list(STACKS)[:6], strict=True):
    model = build(STACKS[name])
    gradient = input_gradient(model)
    rows, columns = anatomy.gradient_box(model, model.layers[-1].name)
    side = rows.stop - rows.start
    assert side == columns.stop - columns.start == fields[name]
    assert (gradient > 0).sum() == side**2 and (gradient[rows, columns] > 0).all()
    inner = gradient[rows, columns][side // 4 : side - side // 4, side // 4 : side - side // 4]
    middle_share[name] = inner.sum() / gradient.sum(), inner.size / side**2
    ax.imshow(gradient / gradient.max(), cmap="Blues", vmin=0, vmax=1)
    ax.add_patch(Rectangle((columns.start - 0.5, rows.start - 0.5), side, side, fill=False, color=RED, linewidth=1.5))
    ax.set_title(f"{name}\nsees {side}×{side}", fontsize=9.5)
    middle = rows.start + side / 2 - 0.5, columns.start + side / 2 - 0.5
    ax.set(xlim=(middle[1] - 9, middle[1] + 9), ylim=(middle[0] + 9, middle[0] - 9), xticks=[], yticks=[])
plt.show()

# %% tags=["hide-input"]
share, area = middle_share["three 3×3"]
say(
    "In all six the box has the side that the formula gives, and the gradient fills it without a hole. It does not "
    f"fill it evenly: of the three 3×3, the inner {area:.0%} of the area holds {share:.0%} of the gradient. More paths "
    "lead to the middle than to the rim, so a unit sees its field as we see a room: sharply where we look, dimly at "
    "the edges. The dilated stack sees farthest, through a weave."
)

# %% [markdown]
# ### Two 3×3, one 5×5: the same?
#
# The same field, and fewer weights. With $C$ channels everywhere a 3×3 layer has $9C^2$ of them, biases aside:

# %%
C = 64
counts = pd.DataFrame(
    {
        "sees": [5, 7],
        "in 3×3 layers": [
            2 * anatomy.conv_params(C, C, (3, 3), use_bias=False),
            3 * anatomy.conv_params(C, C, (3, 3), use_bias=False),
        ],
        "in one layer": [anatomy.conv_params(C, C, (k, k), use_bias=False) for k in (5, 7)],
    },
    index=["two 3×3 for one 5×5", "three 3×3 for one 7×7"],
)
counts["saved"] = 1 - counts["in 3×3 layers"] / counts["in one layer"]
display(counts.style.format("{:.0%}", subset=["saved"]).format("{:,}", subset=["in 3×3 layers", "in one layer"]))

# %% [markdown]
# But it is not the same function (prediction 6), for two reasons. **Without anything in between** two convolutions
# are one, as section 3 showed, and its 5×5 kernel is the wide convolution of the two 3×3. Those have 18 numbers; a
# 5×5 has 25. In how many directions can the product move when we move the 18? The rank of its Jacobian says. **With a
# ReLU in between** the pair is not linear any more, and no kernel of any size does what it does.

# %%
k1, k2 = rng.normal(size=(2, 3, 3))
both = signal.convolve(k1, k2)
twice = signal.correlate(signal.correlate(grey, k1, mode="valid"), k2, mode="valid")
np.testing.assert_allclose(twice, signal.correlate(grey, both, mode="valid"), atol=1e-10)
print(f"linear: two 3×3 one after the other = one {both.shape[0]}×{both.shape[1]} kernel, their convolution")


def freedom(*kernels):
    """In how many directions the convolution of all these kernels can move when their numbers move."""
    columns = []
    for number, kernel in enumerate(kernels):
        for place in np.ndindex(kernel.shape):
            nudge = np.zeros_like(kernel)
            nudge[place] = 1  # the product is linear in each kernel, so its slope is the product with this instead
            product = nudge
            for other in kernels[:number] + kernels[number + 1 :]:
                product = signal.convolve(product, other)
            columns.append(product.ravel())
    return np.linalg.matrix_rank(columns)


free5, free7 = freedom(k1, k2), freedom(k1, k2, rng.normal(size=(3, 3)))
print(f"two 3×3 reach {free5} of the 25 directions of a 5×5, three reach {free7} of the 49 of a 7×7")


def with_relu(picture):
    hidden = np.maximum(signal.correlate(picture, k1, mode="valid"), 0)
    return signal.correlate(hidden, k2, mode="valid")


a, b = grey - 0.5, mirrored.mean(axis=2) - 0.5
apart = np.abs(with_relu(a + b) - with_relu(a) - with_relu(b)).max()
print(f"with ReLU, f(a + b) and f(a) + f(b) are up to {apart:.1f} apart")

# %% [markdown]
# One direction is lost with each layer after the first because doubling one kernel and halving the other changes
# nothing. So small kernels in a stack buy depth, a non-linear step between them and fewer weights, and pay with
# kernels they cannot form: as much is *seen*, not as much can be *done*. Which of the two is better in a network is not
# a matter of counting; it has to be tried.

# %% [markdown]
# ## 10. What the numbers decide
#
# Statements from articles and textbooks that belong to this notebook, each computed anew by `cnnkit.course`: what it
# found, and whether the sentence holds. The false ones of all notebooks stand beside what is right among [the sentences
# that articles get wrong](../results/corrections.md).

# %% tags=["hide-input"]
LEDGER = {1, *range(14, 20), 23, 24, 30, 34}  # their numbers in results/claims.csv
tell_facts(one for one in list_facts() if one.ledger in LEDGER)
print(f"the whole notebook took {time.process_time():.0f} seconds of a processor, imports included")

# %% [markdown]
# ## Limits
#
# - One photo. The properties of the operation (sums, sizes, linearity, fields) hold for every picture; the brightness
#   and detail figures are this photo's.
# - The kernels were chosen by hand, for the eye. What kernels a network learns, notebooks 03b and 04 show.
# - A receptive field says what a unit *can* see, not what it uses after training.
# - Multiplications are not seconds: a depthwise layer has few of them and may still be slow. Notebook 12 measures.
# - Zeros at the border are a choice with consequences: with `same` a layer can tell where the border is.

# %% [markdown]
# ## Exercises
#
# Solutions follow, but they are worth more afterwards.
#
# 1. **Pencil.** Picture $\begin{pmatrix}1&2&0&1\\0&1&3&1\\2&0&1&2\\1&1&0&4\end{pmatrix}$, kernel
#    $\begin{pmatrix}1&0\\-1&2\end{pmatrix}$, stride 2. What is the feature map, in cross-correlation and in
#    convolution?
# 2. **A kernel that moves.** Find a 3×3 kernel that shifts the photo by one pixel to the right. What does it sum to?
# 3. **Cheaper by a factor.** The bell-shaped blur is $w_{ij} = u_i u_j$ with $u = (1, 4, 6, 4, 1)/16$. Show that a
#    column kernel, then a row kernel give the same. How many multiplications does a pixel take before and after?
# 4. **Whose zeros?** A picture of 8 pixels, $K = 3$, stride 2. Keras' `same` adds one zero, behind; other programs
#    pad one on each side. Both give 4 values. Are they the same values?
# 5. **The stem of a ResNet**: 224 pixels, 7×7 at stride 2 with 3 zeros on each side, then a 3×3 pool at stride 2 with
#    one. Size and receptive field?
# 6. **Far with few.** Each layer is 3×3 with 9 weights. How many do you need for a field of at least 31, plain? And
#    with a dilation of your choice for each layer, without leaving holes?
# 7. **The way back.** $y$ is the narrow cross-correlation of $x$ and $w$, and every $y_{pq}$ hands down a number
#    $d_{pq}$: the loss changes by $d_{pq}$ times the change of $y_{pq}$. How does the loss change with each pixel of
#    $x$? Guess a formula from sections 3 and 6 before you look.
# 8. **A moving disc in 2-D.** Section 4 found the motion in `clip` with a `Conv3D`. Do it with a `Conv2D`: which
#    picture do you hand it, and which weights has its kernel?

# %%
my_answer = {"cross-correlation": None, "convolution": None}  # exercise 1: put two tables here, as [[1, 2], [3, 4]]
my_answer |= {"size": None, "receptive field": None}  # exercise 5: and two numbers

x, w = np.array([[1, 2, 0, 1], [0, 1, 3, 1], [2, 0, 1, 2], [1, 1, 0, 4]], "float64"), np.array([[1, 0], [-1, 2.0]])
right = {"cross-correlation": slide(x, w)[::2, ::2], "convolution": slide(x, w[::-1, ::-1])[::2, ::2]}
first = anatomy.conv_output_size(224, 7, stride=2, padding=3, floor=True)
right["size"] = anatomy.conv_output_size(first, 3, stride=2, padding=1, floor=True)
right["receptive field"] = receptive_field([(7, 2), (3, 2)])
for name, mine in my_answer.items():
    verdict = "right" if np.array_equal(mine, right[name]) else "not yet"
    print(f"{name}:", "put your number in my_answer" if mine is None else verdict)

# %% [markdown]
# ## Solutions
#
# **1.** Four windows that do not overlap. For convolution, turn the kernel to
# $\begin{pmatrix}2&-1\\0&1\end{pmatrix}$ first.

# %%
for name in ("cross-correlation", "convolution"):
    print(f"{name:<17}", right[name].tolist())

# %% [markdown]
# **2.** The new pixel must be the old one to its left: a single 1, left of the centre. It sums to 1, so the
# brightness stays. In convolution it would shift to the left.

# %%
to_the_right = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0]], "float64")
np.testing.assert_allclose(apply(to_the_right)[:, 1:], photo[:, :-1])

# %% [markdown]
# **3.** The sum over $i$ and $j$ of $u_i u_j x$ is a sum over $i$ of $u_i$ times a sum over $j$. A pixel takes $K^2$
# multiplications before and $2K$ after: 25 and 10. (The word *separable* is used for this, too; section 8 separates
# space from channels, this separates rows from columns.)

# %%
u = np.array([1, 4, 6, 4, 1]) / 16
np.testing.assert_allclose(apply(np.outer(u, u)), apply(u[:, None], apply(u[None, :])), atol=1e-12)

# %% [markdown]
# **4.** No: with a zero on each side the windows start one pixel earlier. In another program that pads the other way,
# trained weights meet every picture shifted by a pixel, and nothing warns you.

# %%
x, w = np.arange(1.0, 9), np.array([1.0, 10, 100])
keras_same = in_keras(layers.Conv1D, x[:, None], w[:, None, None], strides=2, padding="same")[:, 0]
both_sides = in_keras(layers.Conv1D, np.pad(x, 1)[:, None], w[:, None, None], strides=2)[:, 0]
print("one behind     ", keras_same, "\none on each side", both_sides)

# %% [markdown]
# **5.** $\lfloor(224 + 6 - 7)/2\rfloor + 1 = 112$, then $\lfloor(112 + 2 - 3)/2\rfloor + 1 = 56$. Backwards, a unit
# of the pool sees 3 units, and those see $(3 - 1)\cdot 2 + 7 = 11$ pixels. In both sizes the floor decides: one row
# and column of zeros is never seen.

# %%
print(first, right["size"], right["receptive field"])

# %% [markdown]
# **6.** Plain, each layer adds 2: 15 layers. With dilations 1, 2, 4, 8 the additions double, $1 + 2 + 4 + 8 + 16 =
# 31$: four layers. Without holes a dilation may be no larger than what the layers below see; 1, 3, 9 obeys that with
# three layers, but sees 27 only, so four it is.

# %%
doubling = receptive_field([(3, 1, 1), (3, 1, 2), (3, 1, 4), (3, 1, 8)])
print(receptive_field([C3] * 15), doubling, receptive_field([(3, 1, 1), (3, 1, 3), (3, 1, 9)]))

# %% [markdown]
# **7.** Each pixel is seen by all windows that contain it, and hands in to each the weight that lies on it. Written
# out, the indices run with a minus sign: the answer is the **wide convolution** of $d$ with $w$, flip and all. So the
# mathematicians' convolution is in every CNN after all, on the way back. Notebook 03 takes it from here.

# %%
x, w = rng.normal(size=(6, 7)), rng.normal(size=(3, 3))
y, cache = fs.conv2d(x[None, :, :, None], w[:, :, None, None], np.zeros(1))
d = rng.normal(size=y.shape)
dx, _, _ = fs.conv2d_backward(d, cache)
np.testing.assert_allclose(signal.convolve(d[0, :, :, 0], w), dx[0, :, :, 0], atol=1e-12)

# %% [markdown]
# **8.** The eight frames become the eight channels of one picture. Filter $f$ of seven looks at one pixel of two
# neighbouring channels, and has −1 for frame $f$, 1 for frame $f + 1$ and 0 for all others. What a `Conv3D` adds is
# that the kernel *slides* in time: one pair of weights, used at each moment, where the `Conv2D` has a filter of its own
# for each.

# %%
w = np.zeros((1, 1, len(clip), len(clip) - 1))
for f in range(len(clip) - 1):
    w[0, 0, f, f], w[0, 0, f + 1, f] = -1, 1
in_2d = in_keras(layers.Conv2D, clip.transpose(1, 2, 0), w)
np.testing.assert_allclose(in_2d.transpose(2, 0, 1), motion)
print(f"equal; {w.size} weights for Conv2D, {difference3d.size} for Conv3D")
