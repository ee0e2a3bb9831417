"""A network drawn as boxes to scale."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.patches import Patch, Polygon

_COLOURS = {"input": 7, "convolution": 0, "pooling": 1, "dense": 2, "joining": 4}  # places in the colorblind palette
# Inches of a unit, a pixel's side; in units: how far one recedes, a channel, a character of a label, and a gap.
_INCHES, _DEPTH, _CHANNELS, _CHARACTER, _GAP = 0.2, 0.35, 0.25, 0.36, 1.2


def _kind(row):
    """What colours a layer; None for one that leaves the shape as it is."""
    if row.type == "InputLayer":
        return "input"
    if row.type.startswith(("Concatenate", "UpSampling")):
        return "joining"
    if row.kernel_size != "":
        return "convolution" if row.macs else "pooling"
    return "pooling" if row.type.startswith("Global") else "dense" if row.macs else None


def _padded(table):
    """Which layers have zeros added around what they read: by a layer of zeros before them, or by themselves."""
    marks, zeros = [], False
    for row in table.itertuples():
        kind, zeros = _kind(row), zeros or row.type.startswith("ZeroPadding")
        adds = kind == "convolution" and row.padding in ("same", "causal") and "Transpose" not in row.type
        adds = adds and np.any(np.greater(row.kernel_size, row.strides or 1))
        marks.append(bool(kind and (zeros or adds)))
        zeros = zeros and not kind
    return marks


def _box(shape):
    """Height, receding width and length of a layer's output as drawn: square roots, or a column for a vector."""
    if math.prod(shape[:-1]) == 1:
        return max(1.0, _CHANNELS * math.sqrt(shape[-1])), 0.0, 0.4
    height, width = (shape[-3], shape[-2]) if len(shape) > 2 else (shape[0], 0)
    return math.sqrt(height), _DEPTH * math.sqrt(width), max(0.15, _CHANNELS * math.sqrt(shape[-1]))


def _cuboid(ax, left, box, colour):
    """Draws one box centred on the axis of the network: front, side and top, its width receding to the upper right."""
    height, back, length = box
    right, low = left + length, -(height + back) / 2
    high = low + height
    light, dark = sns.light_palette(colour, 4)[2], sns.dark_palette(colour, 4)[2]
    front = [(left, low), (right, low), (right, high), (left, high)]
    top = [(left, high), (right, high), (right + back, high + back), (left + back, high + back)]
    side = [(right, low), (right + back, low + back), (right + back, high + back), (right, high)]
    for corners, face in [(front, colour), (top, light), (side, dark)]:
        ax.add_patch(Polygon(corners, closed=True, facecolor=face, edgecolor="white", linewidth=0.5))


def _label(row):
    """One to four lines below a box: the layer's name and what it does."""
    if row.kernel_size == "":
        return row.layer
    size = row.kernel_size if isinstance(row.kernel_size, tuple) else (row.kernel_size,) * (len(row.output_shape) - 1)
    stride = "" if row.strides in ("", 1) else f"\nstride {row.strides}"
    return f"{row.layer}\n{'×'.join(map(str, size))}{stride}" + "\npadded" * row.padded


def draw_network(table, *, ax=None):
    """Draw a layer table as boxes to scale, from the image on the left to the output on the right.

    Height, receding width and length follow the output's height, width and channels by their square roots. Vectors are
    columns. Layers that leave the shape as it is are not drawn, nor are those that add zeros: "padded" stands below the
    box that reads them. Branches stand one after the other. Returns the Axes.
    """
    rows = table.assign(kind=table.apply(_kind, axis=1), box=table.output_shape.map(_box), padded=_padded(table))
    rows = rows.dropna(subset="kind")
    rows["above"] = rows.output_shape.map(lambda shape: "×".join(map(str, shape)))
    rows["below"] = rows.apply(_label, axis=1)
    half = max(height + back for height, back, _ in rows.box) / 2
    drawn = [length + back for _, back, length in rows.box]
    written = [_CHARACTER * max(map(len, [row.above, *row.below.split("\n")])) for row in rows.itertuples()]
    slots = [max(pair) + _GAP for pair in zip(drawn, written, strict=True)]
    if ax is None:
        _, ax = plt.subplots(figsize=(_INCHES * sum(slots), _INCHES * (2 * half + 8)), layout="constrained")
    palette = sns.color_palette("colorblind")
    for row, size, slot, end in zip(rows.itertuples(), drawn, slots, itertools.accumulate(slots), strict=True):
        centre, top = end - slot / 2, (row.box[0] + row.box[1]) / 2
        _cuboid(ax, centre - size / 2, row.box, palette[_COLOURS[row.kind]])
        ax.text(centre, top + 0.4, row.above, ha="center", va="bottom", fontsize=7)
        ax.text(centre, -half - 0.5, row.below, ha="center", va="top", fontsize=7)
    ax.set(xlim=(0, sum(slots)), ylim=(-half - 3.5, half + 2), aspect="equal")
    ax.axis("off")
    kinds = [kind for kind in _COLOURS if kind in set(rows.kind)]
    style = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": len(kinds), "frameon": False}
    style |= {"title": "height, width and channels by their square roots", "fontsize": 7, "title_fontsize": 7}
    ax.legend([Patch(color=palette[_COLOURS[kind]]) for kind in kinds], kinds, **style)
    return ax
