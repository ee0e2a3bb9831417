"""The arithmetic of one layer: output sizes and parameters, as the textbooks write it."""

import math

import numpy as np


def conv_output_size(size, kernel_size, stride=1, padding="valid", dilation=1, *, floor=False):
    """Size of a convolution's or pooling's output along one axis.

    Args:
        size, kernel_size: Of the input and of the kernel, in pixels.
        stride: Step between windows, in pixels.
        padding: "valid" (none; the textbooks' narrow convolution), "same" (Keras: `ceil(size / stride)`), "full" (wide:
            every overlap of at least one pixel), or the number of zeros on each side.
        dilation: Distance between neighbouring kernel cells, in pixels.
        floor: True leaves out a window that does not fit, as Keras does; `unseen_pixels` says what that costs.
    Returns:
        Integer, at least 1.
    Raises:
        ValueError: If the windows do not fill the input exactly and `floor` is False, or if no window fits.
    Example:
        >>> conv_output_size(227, 11, stride=4)
        55
    Source: (N - K + 2P) / S + 1, cs231n; a 32-pixel image under AlexNet's 11×11 stride-4 kernel gives 6.25, not 55.
    """
    free = _free_pixels(size, kernel_size, stride, padding, dilation)
    if padding == "same":
        return math.ceil(size / stride)
    if free % stride and not floor:
        raise ValueError(
            f"Expected windows that fill the input exactly. Received: size={size}, kernel_size={kernel_size}, "
            f"stride={stride}, padding={padding!r}, dilation={dilation}, which gives {free / stride + 1:g} positions, "
            f"not an integer. Sizes {size - free % stride} and {size + stride - free % stride} fit; floor=True gives "
            f"{free // stride + 1}, as Keras does, and leaves the last {free % stride} pixel(s) unseen."
        )
    return free // stride + 1


def unseen_pixels(size, kernel_size, stride=1, padding="valid", dilation=1):
    """Pixels (padding included) at the far edge that no window reaches; arguments as `conv_output_size`."""
    return 0 if padding == "same" else _free_pixels(size, kernel_size, stride, padding, dilation) % stride


def _free_pixels(size, kernel_size, stride, padding, dilation):
    """How far the window can travel from its first position, in pixels; negative never leaves here."""
    for name, value in [("size", size), ("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)]:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"Expected {name} to be an integer >= 1. Received: {name}={value!r}.")
    span = dilation * (kernel_size - 1) + 1
    zeros = {"valid": 0, "same": span - 1, "full": span - 1}.get(padding, padding)
    if isinstance(zeros, (bool, str)) or not isinstance(zeros, (int, np.integer)) or zeros < 0:
        raise ValueError(f"Expected padding 'valid', 'same', 'full' or an integer >= 0. Received: padding={padding!r}.")
    padded = size + (2 * zeros if padding in ("full", zeros) else zeros)
    if span > padded:
        raise ValueError(
            f"Expected a kernel no larger than the padded input. Received: kernel_size={kernel_size}, "
            f"dilation={dilation}, which spans {span} pixels, on {padded} (size={size}, padding={padding!r}): output "
            f"{(padded - span) / stride + 1:g}. Pad more, or use a smaller kernel."
        )
    return padded - span


def conv_params(in_channels, filters, kernel_size, groups=1, use_bias=True):
    """Parameters of a convolution, whatever the image's size: a filter is a kernel over its group's channels.

    Args:
        in_channels, filters: Integers, channels of the input and of the output.
        kernel_size, use_bias: Tuple, one integer an axis; whether each filter adds a bias.
        groups: Number of groups, each reading `in_channels / groups` channels.
    Raises:
        ValueError: If `in_channels` or `filters` is not divisible by `groups`.
    """
    if groups < 1 or in_channels % groups or filters % groups:
        received = f"in_channels={in_channels}, filters={filters}, groups={groups}"
        raise ValueError(f"Expected channels divisible by groups. Received: {received}.")
    return filters * math.prod(kernel_size) * (in_channels // groups) + filters * use_bias
