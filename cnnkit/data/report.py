"""What there is and what is in it: the tables behind `python -m cnnkit datasets` and `datasets --check NAME`."""

import hashlib

import pandas as pd

from cnnkit.data.arrays import ARCHIVES, data_path
from cnnkit.data.folder import PREFIX, parse_name
from cnnkit.data.shapes import CLASS_NAMES, TEST_IMAGES, TRAIN_IMAGES

SPLITS = ("train", "val", "test")
PAIRS = (("train", "train"), ("val", "val"), ("test", "test"), ("val", "train"), ("test", "train"), ("test", "val"))


def describe(name, data_dir=None):
    """Return one line about a data set without loading it.

    Args:
        name: As for `load_dataset`, and known to it.
        data_dir: Folder of the .npz files; `None` for the usual one.
    Returns:
        Dict with the columns of `cnnkit.data.describe`; `images` (of all splits, as published) and `classes` are `None`
        for a folder, which would have to be read.
    """
    if name == "digits":
        return _line(name, 1_797, (28, 28, 1), 10, "embedded", "scikit-learn")
    if name == "shapes":
        return _line(name, TRAIN_IMAGES + TEST_IMAGES, (32, 32, 3), len(CLASS_NAMES), "embedded", "generated")
    if name.startswith(PREFIX):
        root, size, _ = parse_name(name)
        return _line(name, None, (size, size, 3), None, "present" if root.is_dir() else "missing", str(root))
    archive, path = ARCHIVES[name], data_path(name, data_dir)
    status = "present" if path.is_file() else "downloads"
    return _line(name, archive.images, archive.shape, len(archive.class_names), status, str(path))


def _line(name, images, shape, classes, status, where):
    shape = "×".join(map(str, shape))
    return {"name": name, "images": images, "shape": shape, "classes": classes, "status": status, "where": where}


def count_duplicates(dataset):
    """Count the images of a `Dataset` that are equal to another one byte by byte, within a split and across splits.

    Args:
        dataset: `Dataset`.
    Returns:
        Frame with a line per pair of splits: `images` of the split `of` have an equal in the split `also_in`, and
        `other_label` of them have an equal there that carries another label. Within one split every member of a group
        of equal images counts.
    """
    frames = {split: _fingerprints(getattr(dataset, f"x_{split}"), getattr(dataset, f"y_{split}")) for split in SPLITS}
    lines = []
    for of, also_in in PAIRS:
        groups = frames[also_in].groupby("image")["label"].agg(["size", "min", "max"])
        found = frames[of].join(groups, on="image", how="inner")
        if of == also_in:  # every image is equal to itself
            found = found[found["size"] > 1]
        other_label = (found["min"] != found["label"]) | (found["max"] != found["label"])
        lines.append({"of": of, "also_in": also_in, "images": len(found), "other_label": int(other_label.sum())})
    return pd.DataFrame(lines)


def _fingerprints(images, labels):
    digests = [hashlib.blake2b(image, digest_size=16).digest() for image in images]
    return pd.DataFrame({"image": digests, "label": labels})


def say_duplicates(dataset, counts):
    """Return one sentence on the frame of `count_duplicates`: what it found, and what that does to a result."""
    name, num_test = dataset.name, len(dataset.y_test)
    if counts["images"].sum() == 0:
        return f"{name}: no image occurs twice, byte by byte, within or across train, val and test."
    of = counts.set_index(["of", "also_in"])
    leaked, mislabelled = of.loc[("test", "train")]
    within = of.loc[("train", "train"), "images"]
    return (
        f"{name}: {leaked:,} of {num_test:,} test images ({leaked / num_test:.2%}) are also in train, {mislabelled:,} "
        f"of them under another label; {of.loc[('val', 'train'), 'images']:,} validation images are also in train; "
        f"{within:,} training images have an equal in train. An image seen in training measures memory, not skill."
    )
