"""Receptive fields: the recursion, and the measurement that checks it."""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from cnnkit.anatomy.rules import RULES, pointwise


@dataclass(frozen=True)
class Signal:
    """What flows along an edge of the graph: unit `u` sees the pixels from `start + u * jump` on, `size` of them."""

    shape: tuple  # batch-free; the others have a number for each axis of the image
    start: np.ndarray
    size: np.ndarray
    jump: np.ndarray  # 0: every unit sees the same

    @property
    def grid(self):
        """Positions along each of the image's axes; 1 where the units have left the grid."""
        return np.array(self.shape[:-1]) if len(self.shape) == len(self.jump) + 1 else np.ones(len(self.jump), int)


def join(signals, shape):
    """The smallest window that holds what every branch sees; a branch of one position is spread over the others."""
    if len(signals) == 1:
        return signals[0]
    grid = np.max([signal.grid for signal in signals], axis=0)
    jumps = np.array([np.where((signal.grid == 1) & (grid > 1), 0, signal.jump) for signal in signals])
    jump, still = jumps.max(0), (jumps == 0).any(0)
    if np.any((jumps > 0) & (jumps != jump) & (grid > 1)):
        raise ValueError(f"Expected branches of one scale. Received: jumps of {jumps.tolist()} pixels on its inputs.")
    start = np.min([signal.start for signal in signals], axis=0)
    # Where one branch shows every unit the same, the joined field no longer moves, and holds all that the others see.
    travel = [np.where(still, (signal.grid - 1) * signal.jump, 0) for signal in signals]
    ends = [signal.start + signal.size + way for signal, way in zip(signals, travel, strict=True)]
    return Signal(shape, start, np.max(ends, axis=0) - start, np.where(still, 0, jump))


def advance(before, facts, shape):
    """One step of the recursion: size += dilation (kernel - 1) jump, then jump *= stride."""
    start, size, jump = before.start, before.size, before.jump
    whole = size + (before.grid - 1) * jump
    if facts.get("reshapes") and len(shape) > 1 and shape[:-1] != before.shape[:-1]:
        if np.any((before.grid > 1) & (jump > 0)) or (len(before.shape) == 1 and jump.any()):
            received = f"{before.shape} -> {shape}. Start the model with an Input of the new shape"
            raise ValueError(f"Expected a reshape that keeps or drops the image's axes. Received: {received}.")
        return Signal(shape, start, size, 0 * jump)
    if facts.get("sees_all") or (facts.get("reshapes") and len(shape) == 1):
        left_grid = facts.get("sees_all") and math.prod(shape[:-1]) == 1
        return Signal(shape, start, whole, 0 * jump if left_grid else jump)
    if not jump.any():  # every unit sees the same already
        return Signal(shape, start, size, jump)
    if "zoom" in facts:  # how much an enlarged unit sees depends on where it lies: no single figure is right
        return Signal(shape, start * np.nan, size * np.nan, jump * np.array(facts["zoom"]))
    if "kernel_size" not in facts:
        return Signal(shape, start + facts.get("shift", 0) * jump, size, jump)
    strides = np.array(facts.get("strides") or 1)
    span = np.array(facts.get("dilation_rate") or 1) * (np.array(facts["kernel_size"]) - 1) + 1
    # Of an odd number of zeros, Keras puts the odd one behind.
    same = np.maximum((np.array(shape[:-1]) - 1) * strides + span - before.grid, 0) // 2
    start = start - {"same": same, "causal": span - 1}.get(facts.get("padding"), 0) * jump
    return Signal(shape, start, size + (span - 1) * jump, jump * strides)


def gradient_box(model, layer_name, unit=None):
    """The receptive field as measured: slices of an image, the box of pixels that have a gradient on one unit.

    On a copy with random positive weights, linear activations, and means for maxima: nothing is cancelled or cut off.
    `layer_name` is one of `model.layers`, `unit` a place in its grid (None: the centre). Needs TensorFlow.
    """
    import tensorflow as tf  # Keras has no word for a gradient

    # Calls are copied without keywords: a mask or a training flag is nothing to the layers that stand in.
    call = None if isinstance(model, keras.Sequential) else lambda layer, *args, **_: layer(*args)
    copy = keras.models.clone_model(model, clone_function=_linear, call_function=call, recursive=True)
    probe = keras.Model(copy.inputs, copy.get_layer(layer_name).output)
    rng = np.random.default_rng(1)
    for weight in copy.trainable_weights:  # means over the fan-in: a product of many neither overflows nor vanishes
        weight.assign(rng.uniform(0.5, 1.5, weight.shape) / math.prod(weight.shape[:-1]))
    image = tf.constant(rng.uniform(0.5, 1.5, (1, *model.input_shape[1:])))
    with tf.GradientTape() as tape:
        tape.watch(image)
        units = probe(image)[0]
        value = tf.reduce_sum(units[tuple(size // 2 for size in units.shape[:-1]) if unit is None else tuple(unit)])
    seen = np.argwhere(tape.gradient(value, image).numpy()[0].any(axis=-1))
    return tuple(slice(int(first), int(last) + 1) for first, last in zip(seen.min(0), seen.max(0), strict=True))


def _linear(layer):
    """The same wiring without non-linearities, in float64, where the corners of a deep field do not underflow."""
    kind, config = type(layer), layer.get_config()
    if not isinstance(layer, keras.Layer):  # `x + y` and its like
        return kind.from_config(config)
    if RULES.get(kind) is pointwise:
        return layers.Identity(name=layer.name, dtype="float64")
    if kind in RULES:
        name = {"Maximum": "Average", "Minimum": "Average"}.get(kind.__name__, kind.__name__)
        kind = getattr(layers, name.replace("MaxPooling", "AveragePooling"), kind)
    dtype = "float32" if kind is layers.AveragePooling3D else "float64"  # TensorFlow has no other on a CPU
    linear = {"activation": None} if "activation" in config else {}
    return kind.from_config(config | linear | {"dtype": dtype, "trainable": True})
