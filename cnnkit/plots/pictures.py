"""Figures of images and predictions: image grids, filters, feature maps and the confusion matrix."""

import numpy as np
import seaborn as sns
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import confusion_matrix

from cnnkit.plots.style import GREY, add_caption, new_axes


def plot_confusion(y_true, y_pred, class_names, *, ax=None):
    """Plot which class is taken for which, with the diagonal in grey so that the errors stand out.

    `y_true, y_pred` are integer arrays `(n,)`, the classes and the predicted ones, `class_names` a sequence of strings;
    above 20 the counts are not written out. Another shape, or a label without a name, is a ValueError.
    """
    y_true, y_pred = np.asarray(y_true), np.asarray(y_pred)
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or not y_true.size:
        received = f"{y_true.shape} and {y_pred.shape}. Turn logits into classes with logits.argmax(axis=-1)"
        raise ValueError(f"Expected two arrays of class numbers of one shape (n,). Received: {received}.")
    classes = len(class_names)
    if outside := sorted({*y_true.tolist(), *y_pred.tolist()} - {*range(classes)}):
        raise ValueError(f"Expected classes 0 to {classes - 1}, one a name. Received: {outside[:5]}.")
    counts = confusion_matrix(y_true, y_pred, labels=range(classes))
    diagonal, few = np.eye(classes, dtype=bool), classes <= 20
    ax = new_axes(ax, *np.clip((2.2 + 0.44 * classes, 1.5 + 0.44 * classes), (5.4, 4.7), (9.6, 8.9)))
    common = {"ax": ax, "square": True, "fmt": "d", "xticklabels": class_names, "yticklabels": class_names}
    muted = {"cmap": ListedColormap(["0.93"]), "cbar": False, "annot_kws": {"color": "0.5", "size": 8}}
    sns.heatmap(counts, mask=~diagonal, annot=few, **muted, **common)
    bar = {"label": "Errors (images)", "ticks": MaxNLocator(6, integer=True), "shrink": 0.8}
    warm = {"cmap": "Oranges", "vmin": 0, "vmax": max(1, counts[~diagonal].max(initial=0)), "annot_kws": {"size": 8}}
    sns.heatmap(counts, mask=diagonal | (counts == 0), annot=few, cbar_kws=bar, **warm, **common)
    turned = sum(map(len, map(str, class_names))) > 4 * classes
    ax.tick_params(length=0, rotation=0, labelsize="medium" if few else 5)
    ax.tick_params(axis="x", rotation=90 if turned else 0)
    ax.spines[:].set(visible=True, color="0.8")
    ax.set(xlabel="Predicted class", ylabel="True class")
    errors = int((y_true != y_pred).sum())
    add_caption(ax, f"{errors:,} errors in {y_true.size:,} images ({errors / y_true.size:.2%})")
    return ax


def plot_images(images, *, titles=None, columns=8, ax=None):
    """Plot images, filters or feature maps in a grid, every pixel as a square.

    Args:
        images: Array `(n, height, width)` or `(n, height, width, 1 or 3)`, or a list of such images of any sizes;
            uint8, or float in [0, 1]. Other floats (weights, features) share one scale, which the caption gives: grey
            ones from blue over white at zero to red, RGB ones with zero as mid-grey. Else it is a ValueError.
        titles: Sequence of n strings above the images.
        columns: Integer, images a row.
    """
    if not 1 <= len(images) <= 256 or (titles is not None and len(titles) != len(images)):
        received = f"{len(images)} images and {'no' if titles is None else len(titles)} titles"
        way = "Pass a part, such as images[:64]."
        raise ValueError(f"Expected 1 to 256 images and no titles or one for each. Received: {received}. {way}")
    images = [image[..., None] if image.ndim == 2 else image for image in map(np.asarray, images)]
    for image in images:
        finite = bool(np.isfinite(image).all())
        if image.ndim != 3 or image.shape[-1] not in (1, 3) or not image.size or not finite:
            received = f"shape {image.shape}, finite: {finite}. Show one channel at a time"
            raise ValueError(f"Expected finite images (height, width[, 1 or 3]). Received: {received}.")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    # In units of a cell's width: the longer side of every image is 1.
    sizes = [np.array(image.shape[:2]) / max(image.shape[:2]) for image in images]
    cell = max(height for height, _ in sizes)
    across = 1.08
    down = cell + 0.08 + (0 if titles is None else 0.16 * (1 + max(str(title).count("\n") for title in titles)))
    inches = np.clip(7.2, 1.1 * columns, 2.4 * columns).clip(max=9.6)
    ax = new_axes(ax, inches, inches * rows * down / (columns * across) + 0.3)
    floats = [image for image in images if image.dtype != np.uint8]
    pictures = all(image.min() >= 0 and image.max() <= 1 for image in floats)
    limit = None if pictures else max(np.abs(image).max() for image in floats)
    for index, (image, (high, wide)) in enumerate(zip(images, sizes, strict=True)):
        left, top = index % columns * across + (1 - wide) / 2, index // columns * down + (cell - high) / 2
        look = {"cmap": "gray", "vmin": 0, "vmax": 255 if image.dtype == np.uint8 else 1}
        if limit is not None and image.dtype != np.uint8:  # no picture, but values from -limit to limit
            image, look["cmap"] = 0.5 + 0.5 * image / limit, "RdBu_r"
        ax.imshow(image, **look, extent=(left, left + wide, top + high, top), interpolation="nearest")
        if titles is not None:
            ax.text(left + wide / 2, top - 0.04, titles[index], ha="center", va="bottom", fontsize=8)
    bottom = (rows - 1) * down + cell
    ax.set(xlim=(-0.02, columns * across - 0.06), ylim=(bottom + 0.02, cell - down - 0.02))
    ax.axis("off")
    if limit is not None:
        place, grey = (columns * across / 2 - 0.04, bottom + 0.06), {"fontsize": 8, "color": GREY}
        ax.text(*place, f"scale −{limit:.3g} to {limit:.3g}", ha="center", va="top", **grey)
    return ax


def draw_grid(ax, values, title="", tints=None, strong=None):
    """Draw a 2-D array on Axes `ax` as squares with their numbers, NaN as a blank.

    `tints` are places in the colorblind palette, -1 for grey; squares where `strong` is true stand out.
    """
    palette = sns.color_palette("colorblind")
    for (row, column), value in np.ndenumerate(values):
        tint = -1 if tints is None else tints[row][column]
        stands_out = strong is not None and strong[row][column]
        colour = "0.93" if tint < 0 else sns.light_palette(palette[tint], 10)[6 if stands_out else 3]
        ax.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor="white", linewidth=2))
        text = "" if np.isnan(value) else f"{value:.3g}".replace("-", "−")
        look = {"ha": "center", "va": "center", "fontsize": 11, "weight": "bold" if stands_out else "normal"}
        ax.text(column + 0.5, row + 0.5, text, **look)
    rows, columns = np.shape(values)
    ax.set(xlim=(-0.05, columns + 0.05), ylim=(rows + 0.05, -0.05), aspect="equal")
    ax.set_title(title, fontsize=10)
    ax.axis("off")
    return ax
