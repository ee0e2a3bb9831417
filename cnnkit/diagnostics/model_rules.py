"""What a Keras model and arrays show. Keras is imported where there is a model: a history alone needs none."""

import hashlib
import math
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import chi2_contingency

from cnnkit.diagnostics.history_rules import Found, sampling_error

MOST = 2000  # images of a split that a model is asked about: an accuracy of 50% then has an error of 1.1 points
SPLITS = ("train", "val", "test")


def add_data(run, data):
    """Add to a run the arrays of `data`, labels as integers, and how many images and classes there are."""
    get = data.get if isinstance(data, Mapping) else lambda name: getattr(data, name, None)
    for split in SPLITS:
        x, y = get(f"x_{split}"), get(f"y_{split}")
        if x is not None and len(x):
            run[f"x_{split}"], run[f"num_{split}"] = np.asarray(x), len(x)
        if y is not None and len(y):
            if x is not None and len(x) != len(y):
                received = f"{len(x)} images, {len(y)} labels"
                raise ValueError(f"Expected a label for each image of {split}. Received: {received}.")
            y = run[f"given_{split}"] = np.asarray(y)
            y = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.ravel()
            if y.dtype.kind in "iufb" and np.array_equal(y, y.astype(int)) and y.min() >= 0:
                run[f"y_{split}"] = y.astype(int)
    labels = [run[f"y_{split}"] for split in SPLITS if f"y_{split}" in run]
    if labels:
        run["num_classes"] = int(1 + max(y.max() for y in labels))
        run["majority"] = np.bincount(labels[0]).max() / len(labels[0])
    elif not any(f"x_{split}" in run for split in SPLITS):
        wanted = "a dict or an object with arrays out of x_train, y_train, x_val, y_val, x_test, y_test"
        raise ValueError(f"Expected data as {wanted}. Received: {type(data).__name__} without any.")


def add_model(run, model):
    """Add to a run a built Keras model, and its outputs for a choice of training and of validation images."""
    import keras

    if not isinstance(model, keras.Model) or not model.built:
        received = f"{type(model).__module__}.{type(model).__name__}" + ", not built" * isinstance(model, keras.Model)
        way = "Leave it out: a history says much alone."
        raise ValueError(f"Expected a built Keras model. Received: {received}. {way}")
    run["model"] = model
    for split in [split for split in ("train", "val") if f"x_{split}" in run]:
        chosen = np.random.default_rng(0).permutation(run[f"num_{split}"])[:MOST]
        run[f"chosen_{split}"], outputs = chosen, model.predict(run[f"x_{split}"][chosen], batch_size=256, verbose=0)
        if getattr(outputs, "ndim", 0) != 2:
            raise ValueError("Expected a model of one output (batch, classes). Received: another. Leave it out.")
        run[f"outputs_{split}"] = outputs


def _are_probabilities(outputs):
    return outputs.min() >= 0 and outputs.max() <= 1 + 1e-5


def _classes(outputs):
    if outputs.shape[1] > 1:
        return outputs.argmax(axis=1)
    return (outputs[:, 0] > (0.5 if _are_probabilities(outputs) else 0)).astype(int)


def _accuracy(run, split):
    """Return the accuracy on the chosen images, and its standard error."""
    right = np.mean(_classes(run[f"outputs_{split}"]) == run[f"y_{split}"][run[f"chosen_{split}"]])
    return right, sampling_error(right, len(run[f"chosen_{split}"]))


def find_nan_inside(run):
    arrays = {name: run[name] for name in ("x_train", "x_val", "x_test") if name in run}
    arrays |= {variable.path: np.asarray(variable) for variable in getattr(run.get("model"), "variables", ())}
    bad = [name for name, values in arrays.items() if values.dtype.kind == "f" and not np.isfinite(values).all()]
    return Found(f"NaN or infinite values in {', '.join(bad[:5])}") if bad else None


def find_copies(run, of, other):
    """Images of one split that are, byte by byte, in another."""
    seen, own = (
        [hashlib.blake2b(np.ascontiguousarray(image), digest_size=16).digest() for image in run[f"x_{split}"]]
        for split in (other, of)
    )
    share = np.isin(own, seen).mean()
    if share <= 0.01:  # the usual data sets repeat fewer
        return None
    return Found(f"{share:.1%} of the {len(own):,} {of} images are {other} images, byte by byte")


def find_ordered(run):
    """Classes in other shares than chance explains; without `y_val`, in the last fifth, for validation_split."""
    y = run["y_train"]
    train, val = (y, run["y_val"]) if "y_val" in run else np.split(y, [len(y) - len(y) // 5])
    counts = np.array([np.bincount(labels, minlength=run["num_classes"]) for labels in (train, val)])
    counts = counts[:, counts.any(axis=0)]
    train, val = counts / counts.sum(axis=1, keepdims=True)
    distance = np.abs(train - val).sum() / 2
    if not distance > 0.2 or chi2_contingency(counts).pvalue > 0.001:
        return None
    lacking = f"{np.sum(val == 0)} of {len(val)} classes have none"
    wrong = f"{distance:.0%} of the validation labels would have to change"
    return Found(f"{wrong} to make classes as frequent as in training; {lacking}", sure="y_val" in run)


def find_one_prediction(run):
    """Nearly all validation images are given to one class, and do not belong there."""
    counts = np.bincount(_classes(run["outputs_val"]))
    share, labels = counts.max() / counts.sum(), run.get("y_val", np.arange(2))
    if share < 0.95 or np.bincount(labels).max() / len(labels) > 0.85:
        return None
    evidence = f"{share:.1%} of {counts.sum():,} validation images are predicted as class {counts.argmax()}"
    return Found(evidence, sure="y_val" in run)


def find_scale(run):
    train = run["x_train"][:MOST]
    for split in [split for split in SPLITS[1:] if f"x_{split}" in run]:
        images = run[f"x_{split}"][:MOST]
        if images.std() > 2 * train.std() or train.std() > 2 * images.std():
            spread = f"deviation {train.std():.3g} in training, {images.std():.3g} in {split}"
            return Found(f"pixels: {spread}; largest {train.max():.3g} and {images.max():.3g}")
    return None


def find_mode_gap(run):
    """The same training images, once with their batch's statistics and once with the moving ones."""
    import keras

    model, chosen = run["model"], run["chosen_train"][:512]
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return None
    kinds = model.trainable_variables, model.non_trainable_variables
    state = [[variable.value for variable in kind] for kind in kinds]
    size, right = min(run.get("batch_size", 64), len(chosen)), []
    for start in range(0, len(chosen) - size + 1, size):  # a smaller last batch would have other statistics
        places = chosen[start : start + size]
        outputs, _ = model.stateless_call(*state, run["x_train"][places], training=True)  # which changes no weight
        right.append(_classes(keras.ops.convert_to_numpy(outputs)) == run["y_train"][places])
    fitted, (asked, error) = np.mean(right), _accuracy(run, "train")
    if fitted - asked < max(0.1, 3 * error):
        return None
    steps = getattr(getattr(model, "optimizer", None), "iterations", None)
    told = "" if steps is None else f" after {int(steps)} steps"
    needed = math.log(0.05) / math.log(norms[0].momentum) if 0 < norms[0].momentum < 1 else 0
    right = f"{fitted:.1%} are right with their batch's statistics, {asked:.1%} with the moving ones{told}"
    return Found(f"of training images {right}; momentum {norms[0].momentum} forgets its start in {needed:.0f}")


def find_dead(run):
    import keras

    layers = [layer for layer in run["model"].layers if hasattr(layer, "output")]
    relu, kind = keras.activations.relu, keras.layers.ReLU
    layers = [layer for layer in layers if isinstance(layer, kind) or getattr(layer, "activation", None) is relu]
    if not layers:
        return None
    inside = keras.Model(run["model"].inputs, [layer.output for layer in layers])
    outputs = inside.predict(run["x_val"][run["chosen_val"][:256]], verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]  # of a single layer
    dead = [np.mean((output > 0).reshape(-1, output.shape[-1]).mean(axis=0) < 0.001) for output in outputs]
    worst, most = layers[int(np.argmax(dead))].name, max(dead)
    return Found(f"{most:.0%} of the channels of {worst} are zero on validation images") if most > 0.2 else None


def find_mismatch(run):
    """A loss, or a metric, that does not belong to the outputs."""
    model, outputs, chosen = run["model"], run["outputs_val"], run["chosen_val"]
    loss = getattr(model, "loss", None)
    if loss is None:
        return None
    name = loss if isinstance(loss, str) else getattr(loss, "name", "")
    logits = hasattr(loss, "get_config") and loss.get_config().get("from_logits", False)
    if "crossentropy" in name and not logits and not _are_probabilities(outputs):
        values = f"outputs are {outputs.min():.3g} to {outputs.max():.3g}"
        return Found(f"{name} expects probabilities (from_logits=False), {values}")
    scores = model.evaluate(run["x_val"][chosen], run["given_val"][chosen], verbose=0, return_dict=True)
    told, (counted, _) = next((scores[key] for key in scores if "acc" in key), None), _accuracy(run, "val")
    if told is None or abs(told - counted) <= 0.01:
        return None
    return Found(f"Keras says {told:.1%} of the validation images are right, the largest outputs are for {counted:.1%}")


def find_leak(run):
    (train, one), (val, other) = _accuracy(run, "train"), _accuracy(run, "val")
    if val - train <= 3 * math.hypot(one, other):
        return None
    return Found(f"evaluated alike, {train:.1%} of training and {val:.1%} of validation images are right")


def find_reload(run):
    """Classes in another order, a model below its own history, or one that does not come back from its file."""
    import keras

    images, outputs = run["x_val"][run["chosen_val"]], run["outputs_val"]
    if "y_val" in run:
        now, error = _accuracy(run, "val")
        table = np.zeros([max(run["num_classes"], outputs.shape[1], 2)] * 2)
        np.add.at(table, (run["y_val"][run["chosen_val"]], _classes(outputs)), 1)
        best = table[linear_sum_assignment(table, maximize=True)].sum() / len(images)
        if best - now > 0.3:
            return Found(f"{now:.1%} of the validation images are right, {best:.1%} with the classes in another order")
        then = run["val_accuracy"].iloc[-3:].min() if "val_accuracy" in run else 0
        if then - now > max(0.1, 3 * error):
            return Found(f"validation accuracy {then:.1%} in the history, {now:.1%} now", sure=False)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        path = Path(folder) / "model.keras"
        try:
            run["model"].save(path)
            loaded = keras.saving.load_model(path)  # in safe mode
        except Exception as error:  # whatever a layer's own code raises
            return Found(f"saved, it does not load: {' '.join(str(error).split())[:150]}", sure=False)
    apart = np.abs(loaded.predict(images, batch_size=256, verbose=0) - outputs).max()
    changed = apart > 1e-5 * (1 + np.abs(outputs).max())
    return Found(f"saved and loaded, outputs differ by {apart:.3g}") if changed else None
