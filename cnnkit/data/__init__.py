"""Data sets by name: uint8 images, integer labels and three splits, offline wherever that can be.

digits, shapes                            come with the package and its dependencies
mnist, fashion_mnist, cifar10, cifar100   `<name>.npz` in the data directory, else downloaded there at the first use
folder:PATH                               your own pictures, see `cnnkit.data.folder`
permuted:NAME                             any of these with its pixels at other places, the same for every image
"""

import dataclasses
import warnings

import pandas as pd

from cnnkit.data import arrays, digits, duplicates, folder  # noqa: F401  # a loader registers itself when imported
from cnnkit.data.shapes import Shapes, make_shapes
from cnnkit.data.splits import REGISTRY, Dataset, Entry, Source, permute_pixels, split

PERMUTED = "permuted:"

__all__ = ["Dataset", "Entry", "REGISTRY", "Shapes", "Source", "check", "check_name", "describe", "is_available"]
__all__ += ["list_datasets", "load_dataset", "make_shapes"]


def load_dataset(name, *, train_size=None, seed=1, data_dir=None):
    """Load a data set in three splits.

    Validation is a tenth of the training pool, stratified by class and chosen by `seed`, or a folder's own `val/`; the
    test set is always the same. Every split holds every class, or a warning says which it lacks. The source is read
    once a process: a further seed or size takes milliseconds, a tenth of a second on CIFAR-10.

    Args:
        name: One of `list_datasets()`; `"folder:PATH"`, see `cnnkit.data.folder`; or `"permuted:"` before one of these.
        train_size: Images to train on, stratified by class; `None` for all that validation leaves.
        seed: Integer, at least 1; decides the validation set and the subset.
        data_dir: Folder of the .npz files; `None` for `$CNNKIT_DATA_DIR`, else `data/`.
    Returns:
        `Dataset`: read-only uint8 images `(n, height, width, channels)` and int64 labels `(n,)`.
    Raises:
        FileNotFoundError: If its file or folder is not there and cannot be downloaded.
        ValueError: If the name is unknown, `seed` or `train_size` is impossible, or the data is damaged.
    Example:
        >>> load_dataset("digits", train_size=100).x_train.shape
        (100, 28, 28, 1)
    """
    if seed < 1:  # said before an archive is read
        raise ValueError(f"Expected seed >= 1 for the splits of {name}. Received: seed={seed}.")
    source = _entry(name).load(data_dir)
    for remark in source.remarks:
        warnings.warn(f"{name}: {remark}.", stacklevel=2)
    return split(source, name, train_size=train_size, seed=seed)


def list_datasets():
    """Return the names that `load_dataset` knows, those that need no file first, but for `folder:` and `permuted:`."""
    return sorted(REGISTRY, key=lambda name: REGISTRY[name].find(None)[0] != "embedded")


def is_available(name, data_dir=None):
    """Return whether `load_dataset(name)` finds its data with no network; ValueError if the name is unknown."""
    return _entry(name).find(data_dir)[0] in ("embedded", "present")


def describe(names=None, data_dir=None):
    """Return a frame of data sets, loading none of them.

    Args:
        names: Names as for `load_dataset`; `None` for `list_datasets()`.
        data_dir: Folder of the .npz files; `None` for the usual one.
    Returns:
        Frame with `name, images, shape, classes, status, where`; `status` is `embedded` (comes with the package or its
        dependencies), `present`, `downloads` (at the first use) or `missing` (a folder that is not there). `images` and
        `classes` of a folder are missing: it would have to be read.
    Raises:
        ValueError: If a name is unknown.
    """
    lines = []
    for name in list_datasets() if names is None else names:
        entry = _entry(name)
        shape, (status, where) = "×".join(map(str, entry.shape)), entry.find(data_dir)
        lines.append((name, entry.images, shape, entry.classes, status, str(where)))
    return pd.DataFrame(lines, columns=["name", "images", "shape", "classes", "status", "where"])


def check(name, data_dir=None):
    """Look for images that are equal byte by byte within and across the splits of seed 1.

    Args:
        name, data_dir: As for `load_dataset`.
    Returns:
        Frame with a line per pair of splits (`of`, `also_in`, `images`, `other_label`), and a sentence that reads it.
    """
    dataset = load_dataset(name, data_dir=data_dir)
    counts = duplicates.count_duplicates(dataset)
    return counts, duplicates.say_duplicates(dataset, counts)


def check_name(name):
    """Return `name` if `load_dataset` knows it and its options are good, else raise ValueError; nothing is loaded."""
    _entry(name)
    return name


def _entry(name):
    plain = str(name).removeprefix(PERMUTED)
    entry = folder.make_entry(plain) if plain.startswith(folder.PREFIX) else REGISTRY.get(plain)
    if entry is None:
        raise ValueError(
            f"Expected a data set out of {', '.join(list_datasets())} or folder:PATH. Received: {name!r}. "
            f"{PERMUTED} may stand before any of these."
        )
    if plain == name:
        return entry
    return dataclasses.replace(entry, load=lambda data_dir: permute_pixels(entry.load(data_dir)))
