"""`transfer`: a network that has learnt something else, under a new last layer.

source="mine.keras"             what `python -m cnnkit train ... --save mine.keras` wrote
source="imagenet:MobileNetV2"   of keras.applications, trained on ImageNet; fetched at its first use
"""

import json
import socket
import zipfile
from pathlib import Path

import keras
from keras import layers

from cnnkit import HOME
from cnnkit.models.registry import register, require_choice

CARD = "cnnkit.json"  # what a saved network is for, beside its config and weights in the file
IMAGENET = "imagenet:"
APPLICATIONS = {"MobileNetV2": (2.0, -1.0), "ResNet50V2": (2.0, -1.0), "EfficientNetV2B0": (255.0, 0.0)}
PATIENCE = 10  # seconds of silence on the network
LARGEST = 4096  # pixels a side


@register(shown=())
def transfer(input_shape, num_classes, *, source, freeze=False, use_bias=True):
    """Build what `source` has learnt, but for its last layer, and a new one. A run of it has `scaling="unit"`.

    Args:
        source: Text, as above; a relative path is looked for from here, then from the folder of `results/`.
        freeze: Whether only the new layer learns. Batch normalisation and dropout then do what they do in use.
        use_bias: Whether the new layer has biases.
    Raises:
        ValueError: If there is no such network, it is not one of ours, has learnt pictures of another shape, or does
            not end in a dense layer.
    Source: Donahue et al. 2014 (features kept), Yosinski et al. 2014 (fine-tuned).
    """
    if source.startswith(IMAGENET):
        name = source.removeprefix(IMAGENET)
        require_choice("transfer", "source", name, list(APPLICATIONS))
        (scale, offset), body = APPLICATIONS[name], _fetch(name, input_shape)
    else:
        path = next((path for path in (Path(source), HOME / source) if path.is_file()), Path(source))
        model, _ = load_model(path)
        rescaling, body = split_model(model, source)
        scale, offset = [255 * each for each in rescaling.scale], rescaling.offset
    if body.input_shape[1:] != tuple(input_shape):
        learnt = "×".join(map(str, body.input_shape[1:]))
        way = f"A folder's pictures take ?size={body.input_shape[1]} behind its name."
        raise ValueError(f"Expected pictures of {learnt}, as {source} has learnt. Received: {input_shape}. {way}")
    body.trainable = not freeze
    pictures = keras.Input(input_shape, name="pictures")
    scaled = layers.Rescaling(scale, offset, name="scaling_of_source")(pictures)
    features = body(scaled, training=False if freeze else None)
    logits = layers.Dense(num_classes, use_bias=use_bias, dtype="float32", name="logits")(features)
    return keras.Model(pictures, logits, name="transfer")


def split_model(model, source):
    """Return of a model that `export.save_model` wrote the layer that scales, and the network below its last layer."""
    network = model.layers[-2]  # above it are the probabilities
    if not isinstance(last := network.layers[-1], layers.Dense):
        received = f"{source}, whose last layer is {last.name} ({type(last).__name__})"
        raise ValueError(f"Expected a network that ends in a dense layer, to learn on below it. Received: {received}.")
    return model.get_layer("scaling"), keras.Model(network.input, last.input, name="body")


def load_model(path):
    """Return the `keras.Model` that `export.save_model` wrote, and its card: `input_shape`, `class_names`, the `row`.

    Loading runs no code from the file (`safe_mode`). A ValueError if it is not there, damaged, or not one of ours.
    """
    expected = "Expected a model that `python -m cnnkit train ... --save FILE.keras` wrote"
    try:
        with zipfile.ZipFile(path) as file:
            card = json.loads(file.read(CARD)) if CARD in file.namelist() else None
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{expected}. Received: {path}, which cannot be read ({error}).") from None
    if card is None:
        way_on = "plain keras.saving.load_model may open it, but its class names and scaling are not in it"
        raise ValueError(f"{expected}. Received: {path}, without a card of cnnkit; {way_on}.")
    try:
        made, shape, names = card["row"].get("keras"), card["input_shape"], card["class_names"]
        fine = len(shape) == 3 and all(1 <= size <= LARGEST for size in shape)
        fine = fine and isinstance(names, list) and all(isinstance(name, str) for name in names)
    except (TypeError, KeyError, AttributeError, ValueError):
        fine = False
    if not fine:
        raise ValueError(f"{expected}. Received: {path}, whose card was changed: save the network anew.")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a layer's own code raises
        said, here = " ".join(str(error).split())[:200], keras.__version__
        why = f"which Keras {here} cannot load (it was saved by {made}): {said}"
        raise ValueError(f"{expected}. Received: {path}, {why}") from None
    if (outputs := model.output_shape[-1]) != len(names):
        raise ValueError(f"{expected}. Received: {path}, with {outputs} outputs and names of {len(names)} classes.")
    return model, card


def _fetch(name, input_shape):
    """Return a network of keras.applications with its weights of ImageNet, pooled to a vector; a ValueError without."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)  # Keras waits for ever where a firewall says nothing
    try:
        how = {"include_top": False, "weights": "imagenet", "input_shape": tuple(input_shape), "pooling": "avg"}
        return getattr(keras.applications, name)(**how)
    except Exception as error:  # Keras raises a plain one where a download fails
        if "URL fetch failure" not in str(error) and not isinstance(error, OSError):
            raise
        expected = f"Expected the weights of {name} in ~/.keras/models, or a network to fetch them from"
        way = "Run the same where there is a network, and copy that folder here."
        raise ValueError(f"{expected}. Received: neither. {way}") from None
    finally:
        socket.setdefaulttimeout(before)
