"""A network to take away: with its scaling, class names, config and row in one `.keras` file, and what it is for.

The file takes uint8 pictures of any size and gives probabilities. Where a network has Keras' own layers alone, plain
`keras.saving.load_model` opens it, too, without cnnkit.
"""

import json
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers

from cnnkit import data
from cnnkit.data.folder import PREFIX, read_picture
from cnnkit.lab import recipes, store, training
from cnnkit.lab.provenance import use_one_thread

CARD = "cnnkit.json"  # beside config and weights in the file
BATCH = 64


def train_and_save(config, experiment, path):
    """Train a `RunConfig` here, keep its row in the tables of `experiment`, save its network; return the row."""
    check_path(path)
    store.check_writable(experiment)
    use_one_thread()
    run = training.train(config, checkpoint=store.checkpoint_path(experiment, config.run_id))
    store.stage(run.row, run.history, experiment)
    store.rebuild(experiment)
    save_model(run, path)
    return run.row


def save_model(run, path):
    """Write a `training.Run` to `path`, which ends in `.keras`; a ValueError if it diverged, or the name is another."""
    path, config = check_path(path), run.config
    if run.row["status"] != "completed":
        raise ValueError(f"Expected a run that completed, to save it. Received: one that {run.row['status']}.")
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
    finally:
        half.unlink(missing_ok=True)


def check_path(path):
    """Return the `Path` of a model to be written; a ValueError unless it ends in `.keras` and its folder is there."""
    path = Path(path)
    if path.suffix != ".keras" or not path.parent.is_dir():
        raise ValueError(f"Expected a file that ends in .keras, in a folder that exists. Received: {path}.")
    return path


def load_model(path):
    """Return the `keras.Model` that `save_model` wrote, and its card: `input_shape`, `class_names` and the `row`.

    Loading runs no code from the file (`safe_mode`). A ValueError if it is not there, damaged, or not one of ours.
    """
    expected = "Expected a model that `python -m cnnkit train ... --save FILE.keras` wrote"
    try:
        with zipfile.ZipFile(path) as file:
            names = file.namelist()
            card = json.loads(file.read(CARD)) if CARD in names else None
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{expected}. Received: {path}, which cannot be read ({error}).") from None
    if card is None:
        way_on = "plain keras.saving.load_model may open it, but its class names and scaling are not in it"
        raise ValueError(f"{expected}. Received: {path}, without a card of cnnkit; {way_on}.")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True), card
    except Exception as error:  # whatever a layer's own code raises
        made, here = card["row"].get("keras"), keras.__version__
        why = f"which Keras {here} cannot load (it was saved by {made}): {str(error).splitlines()[0]}"
        raise ValueError(f"{expected}. Received: {path}, {why}") from None


def predict(path, pictures):
    """Return a DataFrame of one line a picture: `file`, `class`, `probability`, and the next two classes with theirs.

    `pictures` are paths of files, or of folders whose files are meant. A ValueError names the first that is none.
    """
    model, card = load_model(path)
    found = [each for name in map(Path, pictures) for each in (sorted(_files(name)) if name.is_dir() else [name])]
    if not found:
        raise ValueError(f"Expected pictures, or folders of them. Received: {', '.join(map(str, pictures)) or 'none'}.")
    images = np.stack([_read(each, card["input_shape"]) for each in found])
    shares, names = model.predict(images, batch_size=BATCH, verbose=0), np.array(card["class_names"])
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


def _files(folder):
    return [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]


def _read(path, input_shape):
    """Return one picture as uint8 `input_shape`, read as those of a folder are."""
    height, width, channels = input_shape
    try:
        return read_picture(path, (width, height), {1: "L", 3: "RGB"}[channels]).reshape(input_shape)
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise ValueError(f"Expected a picture at {path}. Received: {error}. Leave it out, or repair it.") from None
