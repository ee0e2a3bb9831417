"""The arithmetic of one layer: output sizes and parameters, as the textbooks write it."""

import math

import numpy as np


def conv_output_size(size, kernel_size, stride=1, padding="valid", dilation=1, *, floor=False):
    """Return the size of a convolution's or pooling's output along one axis, an integer of at least 1.

    Args:
        size, kernel_size, stride, dilation: Pixels of input and kernel, between windows, and between kernel cells.
        padding: "valid" (none; the textbooks' narrow convolution), "same" (Keras: `ceil(size / stride)`), "full" (wide:
            every overlap of at least one pixel), or the number of zeros on each side.
        floor: True leaves out a window that does not fit, as Keras does; else, or if no window fits, a ValueError.
    Source: (N - K + 2P) / S + 1, cs231n; a 32-pixel image under AlexNet's 11×11 stride-4 kernel gives 6.25, not 55.
    """
    free = _free_pixels(size, kernel_size, stride, padding, dilation)
    if padding == "same":
        return math.ceil(size / stride)
    if (unseen := free % stride) and not floor:
        got = f"{size=}, {kernel_size=}, {stride=}, {padding=}, {dilation=}"
        got += f", which gives {free / stride + 1:g} positions, not an integer"
        fit = f"Sizes {size - unseen} and {size + stride - unseen} fit; floor=True gives {free // stride + 1}"
        way = f"{fit}, as Keras does, and leaves the last {unseen} pixel(s) unseen."
        raise ValueError(f"Expected windows that fill the input exactly. Received: {got}. {way}")
    return free // stride + 1


def unseen_pixels(size, kernel_size, stride=1, padding="valid", dilation=1):
    """Return the pixels (padding included) at the far edge that no window reaches; arguments as above."""
    return 0 if padding == "same" else _free_pixels(size, kernel_size, stride, padding, dilation) % stride


def _free_pixels(size, kernel_size, stride, padding, dilation):
    """How far the window can travel from its first position, in pixels; negative never leaves here."""
    for name, value in [("size", size), ("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)]:
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"Expected {name} to be an integer >= 1. Received: {name}={value!r}.")
    span = dilation * (kernel_size - 1) + 1
    added = {"valid": 0, "same": span - 1, "full": 2 * (span - 1)}.get(padding)
    if added is None:
        if not isinstance(padding, (int, np.integer)) or padding < 0:
            raise ValueError(f"Expected padding 'valid', 'same', 'full' or an integer >= 0. Received: {padding!r}.")
        added = 2 * padding
    if span > size + added:
        on = f"{kernel_size=}, {dilation=}, which spans {span} pixels, on {size + added} ({size=}, {padding=})"
        output = f"output {(size + added - span) / stride + 1:g}. Pad more, or use a smaller kernel."
        raise ValueError(f"Expected a kernel no larger than the padded input. Received: {on}: {output}")
    return size + added - span


def conv_params(in_channels, filters, kernel_size, groups=1, use_bias=True):
    """Return the parameters of a convolution, `kernel_size` a tuple; a filter sees the channels of its group."""
    if groups < 1 or in_channels % groups or filters % groups:
        raise ValueError(f"Expected channels divisible by groups. Received: {in_channels=}, {filters=}, {groups=}.")
    return filters * math.prod(kernel_size) * (in_channels // groups) + filters * use_bias
