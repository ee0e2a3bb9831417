"""A network to take away: with its scaling, class names, config and row in one `.keras` file, and what it is for.

The file takes uint8 pictures of any size and gives probabilities. Where a network has Keras' own layers alone, plain
`keras.saving.load_model` opens it, too, without cnnkit.
"""

import hashlib
import io
import json
import os
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers

from cnnkit import data
from cnnkit.data.folder import PREFIX, is_damaged, read_picture, walk
from cnnkit.data.splits import enumerate_some
from cnnkit.lab import recipes, store, training
from cnnkit.lab.provenance import use_one_thread
from cnnkit.models.transfer import CARD, load_model, split_model

BATCH = 64


def train_and_save(config, experiment, path):
    """Train a `RunConfig` here, keep its row in the tables of `experiment`, save its network; return the row."""
    check_path(path)
    store.check_writable(experiment)
    use_one_thread()
    try:
        run = training.train(config, checkpoint=store.checkpoint_path(experiment, config.run_id))
    except (ValueError, OSError):
        raise
    except Exception as error:  # TensorFlow's own: no memory, for one
        store.stage(training.failed_row(config, error), pd.DataFrame(), experiment)
        store.rebuild(experiment)
        received = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ValueError(f"Expected a run that completes, to save its network. Received: {received}.") from None
    store.stage(run.row, run.history, experiment)
    store.rebuild(experiment)
    save_model(run, path)
    return run.row


def save_model(run, path):
    """Write a `training.Run` to `path`, which ends in `.keras`; a ValueError if it diverged, or the name is another."""
    path, config = check_path(path), run.config
    if run.row["status"] != "completed":
        received = f"one that {run.row['status']}. Try a smaller learning_rate"
        raise ValueError(f"Expected a run that completed, to save it. Received: {received}.")
    dataset = data.load_dataset(config.dataset, train_size=config.train_size, seed=config.seed)
    means, deviations = dataset.channel_statistics()
    scaling = recipes.SCALINGS[config.scaling] or (lambda mean, deviation: (np.ones_like(mean), np.zeros_like(mean)))
    scale, offset = scaling(means, np.where(deviations > 0, deviations, 1.0))
    height, width, channels = dataset.input_shape
    pictures = keras.Input((None, None, channels), dtype="uint8", name="pictures")
    x = layers.Resizing(height, width, antialias=True, dtype="float32", name="size")(pictures)
    x = layers.Rescaling((scale / 255).tolist(), offset.tolist(), dtype="float32", name="scaling")(x)
    model = keras.Model(pictures, layers.Softmax(dtype="float32", name="probabilities")(run.network(x)))
    card = {"input_shape": dataset.input_shape, "class_names": dataset.class_names, "row": run.row}
    half = path.with_name(f".{path.stem}.part.keras")
    try:
        model.save(half)
        with zipfile.ZipFile(half, "a") as file:
            file.writestr(CARD, json.dumps(card, default=str, indent=1))
        os.replace(half, path)
        training._digest.cache_clear()  # a network may have been built on the old file
    finally:
        half.unlink(missing_ok=True)


def check_path(path):
    """Return the `Path` of a model to be written; an error unless it ends in `.keras` and its folder takes it."""
    path = Path(path)
    if path.suffix != ".keras" or not path.parent.is_dir():
        raise ValueError(f"Expected a file that ends in .keras, in a folder that exists. Received: {path}.")
    return store.check_target(path)


def predict(path, pictures, on_error="raise"):
    """Return a DataFrame of one line a picture: `file`, `class`, `probability`, and the next two classes with theirs.

    `pictures` are paths of files, or of folders whose files are meant; there, what is no picture is left out with a
    warning, hidden files without. A ValueError names the first that cannot be read; `on_error="skip"` leaves it out.
    """
    model, card = load_model(path)
    found, images, left_out = [], [], []
    for name in map(Path, filter(None, pictures)):
        for each in sorted(walk(name)) if name.is_dir() else [name]:
            try:
                images.append(_read(each, card["input_shape"]))
                found.append(each)
            except Exception as error:  # a damaged file can make a decoder raise anything
                if on_error == "raise" and (each == name or is_damaged(each, error)):
                    way = "Leave it out, repair it, or add --on-error skip."
                    received = str(error) or type(error).__name__
                    raise ValueError(f"Expected a picture at {each}. Received: {received}. {way}") from None
                left_out.append(str(each))
    if left_out:
        warnings.warn(f"Left out: {enumerate_some(left_out)}.", stacklevel=2)
    if not found:
        raise ValueError(f"Expected pictures, or folders of them. Received: {', '.join(map(str, pictures)) or 'none'}.")
    shares, names = model.predict(np.stack(images), batch_size=BATCH, verbose=0), np.array(card["class_names"])
    best = np.argsort(-shares, axis=1, kind="stable")[:, :3]
    table = {"file": [str(each) for each in found]}
    for rank, prefix in zip(range(best.shape[1]), ("", "second_", "third_"), strict=False):
        table |= {f"{prefix}class": names[best[:, rank]]}
        table |= {f"{prefix}probability": np.take_along_axis(shares, best[:, [rank]], axis=1)[:, 0]}
    return pd.DataFrame(table)


def evaluate(path, name):
    """Return the confusion matrix on a data set's test images: a DataFrame, lines the true classes, columns the others.

    `name` is of a data set, `folder:PATH` among them. A ValueError if it has classes that the model does not know.
    """
    model, card = load_model(path)
    height, _, channels = card["input_shape"]
    if name.startswith(PREFIX) and "size=" not in name:
        name += f"{'&' if '?' in name else '?'}size={height}"
    dataset, known = data.load_dataset(name), card["class_names"]
    if unknown := [each for each in dataset.class_names if each not in known]:
        raise ValueError(f"Expected classes out of {', '.join(known)} in {name}. Received: {', '.join(unknown)}, too.")
    if dataset.input_shape[-1] != channels:
        received = f"{dataset.input_shape[-1]} in {name}"
        raise ValueError(f"Expected pictures of {channels} channels, as the model has learnt. Received: {received}.")
    guessed = model.predict(dataset.x_test, batch_size=BATCH, verbose=0).argmax(axis=1)
    true = pd.Categorical.from_codes([known.index(dataset.class_names[y]) for y in dataset.y_test], known)
    table = pd.crosstab(true, pd.Categorical.from_codes(guessed, known), dropna=False)
    return table.rename_axis(index="true", columns="predicted").loc[sorted(dataset.class_names, key=known.index)]


def bottlenecks(path, name, keep, *, train_size=None, seed=1):
    """Return what the last layer of a saved network reads of a data set's pictures, computed once and kept in a file.

    Args:
        path, keep: Of the network (`.keras`), and of the file that keeps its features (`.npz`).
        name, train_size, seed: As for `data.load_dataset`.
    Returns:
        Dict of `"train"`, `"val"` and `"test"` to float32 `(images, units)`, in the data set's order.
    Raises:
        ValueError: If `keep` was made of other pictures or by another network: it is refused, not made anew in silence.
    """
    model, _ = load_model(path)
    dataset = data.load_dataset(name, train_size=train_size, seed=seed)
    weights = hashlib.sha256(b"".join(weight.tobytes() for weight in model.get_weights())).hexdigest()
    made_of = {"pictures": dataset.sha256, "weights": f"{training.architecture_digest(model)} {weights}"}
    if Path(keep).exists():
        expected = f"Expected features of {name} by {Path(path).name} in {keep}"
        way = "Remove it, or name another file."
        try:
            with open(keep, "rb") as file, np.load(file) as arrays:
                kept = dict(arrays)
            other = [f"other {what}" for what, digest in made_of.items() if str(kept[what]) != digest]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{expected}. Received: a file that cannot be read ({error}). {way}") from None
        if other:
            raise ValueError(f"{expected}. Received: those of {' and '.join(other)}. {way}")
        return {split: kept[split] for split in ("train", "val", "test")}
    rescaling, body = split_model(model, path)
    features = keras.Model(model.input, body(rescaling.output, training=False))
    splits = {"train": dataset.x_train, "val": dataset.x_val, "test": dataset.x_test}
    outputs = features.predict(np.concatenate([*splits.values()]), batch_size=BATCH, verbose=0)
    ends = np.cumsum([len(x) for x in splits.values()])[:-1]
    arrays = dict(zip(splits, np.split(outputs, ends), strict=True))
    np.savez(file := io.BytesIO(), **arrays, **made_of)
    store.write_atomically(keep, file.getvalue())
    return arrays


def _read(path, input_shape):
    """Return one picture as uint8 `input_shape`, read as those of a folder are."""
    height, width, channels = input_shape
    return read_picture(path, (width, height), {1: "L", 3: "RGB"}[channels]).reshape(input_shape)
