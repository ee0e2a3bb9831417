"""The layer table of a model, its totals and its text."""

import math
from functools import partial

import keras
import numpy as np
import pandas as pd

from cnnkit import models
from cnnkit.anatomy.fields import Signal, advance, join
from cnnkit.anatomy.rules import facts_of

BYTES = 4  # a float32


def _graph(model):
    """The Functional graph of a model: `model` itself, or what a Sequential model keeps inside."""
    graph = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if not hasattr(graph, "_run_through_graph"):
        received = f"{type(model).__name__} '{getattr(model, 'name', model)}'"
        way = "Start a Sequential model with keras.Input(shape), and write a subclassed one as a Functional model."
        raise ValueError(f"Expected a built Functional or Sequential keras.Model. Received: {received}. {way}")
    return graph


def _inputs(model, graph):
    """The image's size and the signals that enter the model: one pixel sees itself."""
    shapes = [tuple(tensor.shape[1:]) for tensor in graph.inputs]
    images = {shape[:-1] or shape for shape in shapes}
    if len(images) > 1 or any(None in shape for shape in shapes):
        way = "Fix it by keras.Sequential([keras.Input((height, width, channels)), model])."
        raise ValueError(f"Expected '{model.name}' to fix its input shape, one image size. Received: {shapes}. {way}")
    image = np.array(images.pop())
    ones = np.ones(len(image))
    # A vector has no places: as an input it is seen as a whole.
    return image, [Signal(shape, 0 * ones, ones if len(shape) > 1 else ones * image, ones) for shape in shapes]


def _output_shape(operation, arguments):
    """The batch-free shape that comes out, from the shapes that really go in (Keras may have been built with None)."""
    args, kwargs = keras.tree.map_structure(
        lambda leaf: keras.KerasTensor((None, *leaf.shape)) if isinstance(leaf, Signal) else leaf, arguments
    )
    shapes = [spec.shape for spec in keras.tree.flatten(operation.compute_output_spec(*args, **kwargs))]
    if len(shapes) != 1 or None in shapes[0][1:]:
        raise ValueError(f"Expected one output of known shape. Received: {shapes}.")
    return tuple(shapes[0][1:])


def _plain(values):
    """One number where all axes agree, else a tuple; whole numbers as integers; "" for nothing."""
    if values is None or len(values) == 0:
        return ""
    values = tuple(int(value) if float(value).is_integer() else float(value) for value in values)
    return values[0] if len({str(value) for value in values}) == 1 else values


def layer_table(model):
    """One row a layer, in the order of computation; a layer used twice has two rows, its parameters in the first.

    Args:
        model: A built Functional or Sequential `keras.Model` of fixed input shape, channels last; another, or a layer
            that is unknown or mixes positions so that no one receptive field is right, is a ValueError.
    Returns:
        DataFrame with columns `layer` (a nested model's as `model/layer`), `type`, `output_shape` (batch-free),
        `kernel_size`, `strides`, `padding`, `dilation_rate` (one number when all axes agree, "" where there is none),
        `num_params`, `macs` (multiply-adds an image; papers call them FLOPs, profilers count two for each),
        `memory_bytes` (float32 output of one image), `receptive_field` (pixels one unit sees along each axis, padding
        included; NaN after an up-sampling, where units differ), `field_start` (the first pixel of the first unit's
        field; negative is padding), `jump` (pixels between neighbouring units' fields) and `share_of_image` (the part
        of the pixels that one unit sees at most, 0 to 1).
    Source: Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks" (the recursion).
    """
    graph = _graph(model)
    image, arrived = _inputs(model, graph)
    rows, counted = [], set()

    def add(name, layer, facts, signal):
        own = isinstance(layer, keras.Layer) and layer not in counted
        counted.add(layer)
        row = {"layer": name, "type": type(layer).__name__, "output_shape": signal.shape}
        row |= {"kernel_size": _plain(facts.get("kernel_size")), "strides": _plain(facts.get("strides"))}
        row |= {"padding": facts.get("padding", ""), "dilation_rate": _plain(facts.get("dilation_rate"))}
        row |= {"num_params": layer.count_params() if own else 0, "macs": int(facts.get("macs", 0))}
        row |= {"memory_bytes": BYTES * math.prod(signal.shape), "receptive_field": _plain(signal.size)}
        jump = _plain(signal.jump if signal.jump.any() and len(signal.shape) > 1 else None)
        share = float(np.prod(np.minimum(signal.size, image) / image))
        rows.append(row | {"field_start": _plain(signal.start), "jump": jump, "share_of_image": share})
        return signal

    def visit(prefix, operation, *args, **kwargs):
        name = prefix + operation.name
        signals = [leaf for leaf in keras.tree.flatten((args, kwargs)) if isinstance(leaf, Signal)]
        if isinstance(operation, keras.Model):
            return walk(_graph(operation), signals, name + "/")
        try:
            shape = _output_shape(operation, (args, kwargs))
            facts = facts_of(operation, signals[0].shape, shape)
            return add(name, operation, facts, advance(join(signals, shape), facts, shape))
        except ValueError as error:
            raise ValueError(f"Layer '{name}': {error}") from error

    def walk(graph, signals, prefix=""):
        return graph._run_through_graph(signals, lambda operation: partial(visit, prefix, operation))

    for tensor, signal in zip(graph.inputs, arrived, strict=True):
        source = tensor._keras_history.operation
        add(source.name, source, {}, signal)
    walk(graph, arrived)
    return pd.DataFrame(rows)


def totals(model):
    """Sums over a model's layer table, which may be given instead, as a Series.

    `num_params`, `weight_bytes` (float32), `macs`, `flops` (two a mac) and `memory_bytes` (activations of one image).
    """
    table = model if isinstance(model, pd.DataFrame) else layer_table(model)
    sums = table[["num_params", "macs", "memory_bytes"]].sum().astype(int)
    sums["weight_bytes"], sums["flops"] = BYTES * sums["num_params"], 2 * sums["macs"]
    return sums


def describe(model):
    """`layer_table` and `totals` as text, for a terminal."""
    table = layer_table(model)
    sums = totals(table)
    formats = dict.fromkeys(("num_params", "macs", "memory_bytes"), "{:,}".format)
    formats |= {"output_shape": lambda shape: "×".join(map(str, shape)), "share_of_image": "{:.1%}".format}
    shown = table.drop(columns="field_start").to_string(index=False, formatters=formats)
    return (
        f"{model.name}\n{shown}\n"
        f"{sums.num_params:,} parameters ({sums.weight_bytes / 2**20:,.2f} MiB as float32), "
        f"{sums.macs:,} multiply-adds an image (MACs; papers say FLOPs, profilers count {sums.flops:,}), "
        f"{sums.memory_bytes / 2**20:,.2f} MiB of activations an image."
    )


def compare_models():
    """Return a DataFrame of all registered models, each at the size it is published for (see `models.register`).

    Columns: `model`, `input_shape`, `classes`, `parameters` (trainable) and `macs` (multiply-adds an image).
    """
    rows = []
    for name in models.list_models():
        *shape, classes = models.get_builder(name).shown
        try:
            model = models.sketch_model(name, tuple(shape), classes)
        except ValueError:  # a network for grey pictures alone
            shape[2] = 1
            model = models.sketch_model(name, tuple(shape), classes)
        row = {"model": name, "input_shape": "×".join(map(str, shape)), "classes": classes}
        parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
        rows.append(row | {"parameters": parameters, "macs": totals(model).macs})
    return pd.DataFrame(rows)


def receptive_field(network, layer_name=None):
    """Pixels that one unit sees along each axis, padding included: r += dilation (kernel - 1) jump, jump *= stride.

    `network` is a list of `(kernel_size, stride)` or `(kernel_size, stride, dilation)` integers, or a Keras model, with
    `layer_name` as `layer_table` has it (None: the last). Returns an integer, or a tuple when the axes differ.
    """
    if not isinstance(network, keras.Model):
        size = jump = 1
        for kernel_size, stride, *dilation in network:
            size, jump = size + (dilation or [1])[0] * (kernel_size - 1) * jump, jump * stride
        return size
    fields = layer_table(network).set_index("layer").receptive_field
    if layer_name is not None and layer_name not in fields.index:
        raise ValueError(f"Expected one of the layers {list(fields.index)}. Received: layer_name={layer_name!r}.")
    return fields.iloc[-1] if layer_name is None else fields[layer_name]
