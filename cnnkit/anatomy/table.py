"""The layer table of a model, its totals and its text."""

import math

import keras
import numpy as np
import pandas as pd

from cnnkit.anatomy.fields import Signal, advance, join
from cnnkit.anatomy.rules import facts_of

BYTES = 4  # a float32


def _graph(model):
    """The Functional graph of a model: `model` itself, or what a Sequential model keeps inside."""
    graph = getattr(model, "_functional", None) if isinstance(model, keras.Sequential) else model
    if not hasattr(graph, "_nodes_by_depth"):
        raise ValueError(
            f"Expected a built Functional or Sequential keras.Model. Received: {type(model).__name__} "
            f"'{getattr(model, 'name', model)}'. Start a Sequential model with keras.Input(shape), and write a "
            "subclassed one as a Functional model."
        )
    return graph


def _inputs(model, graph, input_shape):
    """The signals that enter the model: one pixel sees itself."""
    own = [tuple(tensor.shape[1:]) for tensor in graph.inputs]
    shapes = own if input_shape is None else [tuple(input_shape)]
    if list(map(len, shapes)) != list(map(len, own)) or any(
        wanted not in (None, size) for pair in zip(own, shapes, strict=True) for wanted, size in zip(*pair, strict=True)
    ):
        raise ValueError(f"Expected input_shape to fit model '{model.name}', {own}. Received: {shapes[0]}.")
    if any(None in shape for shape in shapes):
        way = "Pass input_shape=(height, width, channels)."
        raise ValueError(f"Expected model '{model.name}' to fix its input shape. Received: {shapes}. {way}")
    if len(images := {shape[:-1] or shape for shape in shapes}) > 1:
        raise ValueError(f"Expected inputs of one image size in model '{model.name}'. Received: {shapes}.")
    image = np.array(images.pop())
    ones = np.ones(len(image))
    # A vector has no places: as an input it is seen as a whole.
    return image, [Signal(shape, 0 * ones, ones if len(shape) > 1 else ones * image, ones) for shape in shapes]


def _walk(graph, arrived, visit, prefix=""):
    """Calls `visit(node, signals, name) -> signal` on each layer, nested too, as Keras' own `Function` does it."""
    signals = {id(tensor): signal for tensor, signal in zip(graph.inputs, arrived, strict=True)}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            if node.is_input:
                continue
            arrived, name = [signals[id(tensor)] for tensor in node.input_tensors], prefix + node.operation.name
            if isinstance(node.operation, keras.Model):
                outputs = _walk(_graph(node.operation), arrived, visit, name + "/")
            else:
                outputs = [visit(node, arrived, name)]
            signals.update(zip(map(id, node.outputs), outputs, strict=True))
    return [signals[id(tensor)] for tensor in graph.outputs]


def _output_shape(node, signals):
    """The batch-free shape that comes out, from the shapes that really go in (Keras may have been built with None)."""
    pairs = zip(node.input_tensors, signals, strict=True)
    arriving = {id(tensor): keras.KerasTensor((None, *each.shape), dtype=tensor.dtype) for tensor, each in pairs}
    args, kwargs = node.arguments.fill_in(arriving)
    specs = keras.tree.flatten(node.operation.compute_output_spec(*args, **kwargs))
    if len(specs) != 1 or None in specs[0].shape[1:]:
        raise ValueError(f"Expected one output of known shape. Received: {[spec.shape for spec in specs]}.")
    return tuple(specs[0].shape[1:])


def _plain(values):
    """One number where all axes agree, else a tuple; whole numbers as integers; "" for nothing."""
    if values is None or len(values) == 0:
        return ""
    values = tuple(int(value) if float(value).is_integer() else float(value) for value in values)
    return values[0] if len({str(value) for value in values}) == 1 else values


def layer_table(model, input_shape=None):
    """One row a layer, in the order of computation; a layer used twice has two rows, its parameters in the first.

    Args:
        model: A built Functional or Sequential `keras.Model`, channels last.
        input_shape: Batch-free shape, for a model that leaves its own open. Defaults to the model's.
    Returns:
        DataFrame with columns `layer` (a nested model's as `model/layer`), `type`, `output_shape` (batch-free),
        `kernel_size`, `strides`, `padding`, `dilation_rate` (one number when all axes agree, "" where there is none),
        `num_params`, `macs` (multiply-adds an image in convolutions and dense layers; papers call them FLOPs, profilers
        count two for each), `memory_bytes` (float32 output of one image), `receptive_field` (pixels one unit sees along
        each axis, padding included; NaN after an up-sampling, where it differs from unit to unit), `field_start` (pixel
        at which the first unit's field starts; negative is padding), `jump` (pixels between neighbouring units' fields)
        and `share_of_image` (the part of the pixels that one unit sees at most, 0 to 1).
    Raises:
        ValueError: If the model is not a built Functional or Sequential one, if its input shape is open, or if a layer
            is unknown or mixes positions so that no one receptive field is right; the message names the layer.
    Source: Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks" (the recursion).
    """
    graph = _graph(model)
    image, arrived = _inputs(model, graph, input_shape)
    rows, counted = [], set()

    def add(name, layer, facts, signal):
        own = isinstance(layer, keras.Layer) and layer not in counted
        counted.add(layer)
        row = {"layer": name, "type": type(layer).__name__, "output_shape": signal.shape}
        row |= {"kernel_size": _plain(facts.get("kernel_size")), "strides": _plain(facts.get("strides"))}
        row |= {"padding": facts.get("padding", ""), "dilation_rate": _plain(facts.get("dilation_rate"))}
        row |= {"num_params": layer.count_params() if own else 0, "macs": int(facts.get("macs", 0))}
        row["memory_bytes"] = BYTES * math.prod(signal.shape)
        row |= {"receptive_field": _plain(signal.size), "field_start": _plain(signal.start)}
        row["jump"] = _plain(signal.jump if signal.jump.any() and len(signal.shape) > 1 else None)
        row["share_of_image"] = float(np.prod(np.minimum(signal.size, image) / image))
        rows.append(row)
        return signal

    def visit(node, signals, name):
        try:
            shape = _output_shape(node, signals)
            facts = facts_of(node.operation, signals[0].shape, shape)
            return add(name, node.operation, facts, advance(join(signals, shape), facts, shape))
        except ValueError as error:
            raise ValueError(f"Layer '{name}': {error}") from error

    for tensor, signal in zip(graph.inputs, arrived, strict=True):
        source = tensor._keras_history.operation
        add(source.name, source, {}, signal)
    _walk(graph, arrived, visit)
    return pd.DataFrame(rows)


def totals(model, input_shape=None):
    """Sums over a layer table.

    Args:
        model: What `layer_table` gave, or the model it takes.
        input_shape: As in `layer_table`.
    Returns:
        Series with `layers` (inputs not counted), `num_params`, `weight_bytes` (float32), `macs` and `flops` (twice the
        multiply-adds, as profilers count), `memory_bytes` (all activations of one image) and `largest_memory_bytes`.
    """
    table = model if isinstance(model, pd.DataFrame) else layer_table(model, input_shape)
    num_params, macs, memory = (int(table[name].sum()) for name in ("num_params", "macs", "memory_bytes"))
    sums = {"layers": int((table.type != "InputLayer").sum()), "num_params": num_params}
    sums |= {"weight_bytes": BYTES * num_params, "macs": macs, "flops": 2 * macs}
    return pd.Series(sums | {"memory_bytes": memory, "largest_memory_bytes": int(table.memory_bytes.max())})


def describe(model, input_shape=None):
    """`layer_table` and `totals` as text, for a terminal."""
    table = layer_table(model, input_shape)
    sums = totals(table)
    shown = table.drop(columns=["field_start", "memory_bytes"]).assign(
        output_shape=table.output_shape.map(lambda shape: "×".join(map(str, shape))),
        KiB=table.memory_bytes.map(lambda size: f"{size / 1024:,.1f}"),
        share_of_image=table.share_of_image.map("{:.1%}".format),
        num_params=table.num_params.map("{:,}".format),
        macs=table.macs.map("{:,}".format),
    )
    return (
        f"{model.name}\n{shown.to_string(index=False)}\n"
        f"{sums.num_params:,} parameters ({sums.weight_bytes / 2**20:,.2f} MiB as float32), "
        f"{sums.macs:,} multiply-adds an image (MACs; papers say FLOPs, profilers count {sums.flops:,}), "
        f"{sums.memory_bytes / 2**20:,.2f} MiB of activations an image."
    )


def receptive_field(network, layer_name=None):
    """Pixels that one unit sees along each axis, padding included: r += dilation (kernel - 1) jump, jump *= stride.

    Args:
        network: A Keras model, or a list of `(kernel_size, stride)` or `(kernel_size, stride, dilation)` integers.
        layer_name: For a model: the layer whose unit is asked about, as `layer_table` names it. Defaults to the last.
    Returns:
        Integer, or a tuple with one integer an axis when they differ. Through branches: the window that holds them all.
    Raises:
        ValueError: As `layer_table`, or if there is no such layer.
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
