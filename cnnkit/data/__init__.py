"""Data sets by name: uint8 images, integer labels and three splits, offline wherever that can be.

digits, shapes                            come with the package and its dependencies
mnist, fashion_mnist, cifar10, cifar100   `<name>.npz` in the data directory, else downloaded there at the first use
folder:PATH                               your own pictures, see `cnnkit.data.folder`
"""

import pandas as pd

from cnnkit.data import report
from cnnkit.data.arrays import ARCHIVES, load_arrays
from cnnkit.data.digits import load_digits
from cnnkit.data.folder import PREFIX, load_folder, parse_name
from cnnkit.data.shapes import Shapes, load_shapes, make_shapes
from cnnkit.data.splits import Dataset, split, split_digest, split_indices

EMBEDDED = {"digits": load_digits, "shapes": load_shapes}

__all__ = [
    "Dataset",
    "Shapes",
    "check",
    "check_name",
    "dataset_sha256",
    "describe",
    "is_available",
    "list_datasets",
    "load_dataset",
    "make_shapes",
]


def load_dataset(name, *, train_size=None, seed=1, data_dir=None):
    """Load a data set in three splits.

    Validation is a tenth of the training pool, stratified by class and chosen by `seed`; the test set is always the
    same. The source is read once a process: a further seed or size takes milliseconds, a tenth of a second on CIFAR-10.

    Args:
        name: One of `list_datasets()`, or `"folder:PATH"`, see `cnnkit.data.folder`.
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
    return split(_source(name, seed, data_dir), name, train_size=train_size, seed=seed)


def dataset_sha256(name, *, train_size=None, seed=1, data_dir=None):
    """Return `load_dataset(...).sha256` without copying an image: enough to see whether a row is from this data."""
    source = _source(name, seed, data_dir)
    return split_digest(source, *split_indices(source, name, train_size=train_size, seed=seed))


def list_datasets():
    """Return the names that `load_dataset` knows, but for `folder:PATH`."""
    return [*EMBEDDED, *ARCHIVES]


def is_available(name, data_dir=None):
    """Return whether `load_dataset(name)` finds its data with no network.

    Raises:
        ValueError: If the name is unknown.
    """
    return report.describe(check_name(name), data_dir)["status"] in ("embedded", "present")


def describe(names=None, data_dir=None):
    """Return a frame of data sets, loading none of them.

    Args:
        names: Names as for `load_dataset`; `None` for `list_datasets()`.
        data_dir: Folder of the .npz files; `None` for the usual one.
    Returns:
        Frame with `name, images, shape, classes, status, where`; `status` is `embedded` (comes with the package or its
        dependencies), `present`, `downloads` (at the first use) or `missing` (a folder that is not there).
    Raises:
        ValueError: If a name is unknown.
    """
    return pd.DataFrame([report.describe(check_name(name), data_dir) for name in names or list_datasets()])


def check(name, data_dir=None):
    """Look for images that are equal byte by byte within and across the splits of seed 1.

    Args:
        name: As for `load_dataset`.
        data_dir: Folder of the .npz files; `None` for the usual one.
    Returns:
        Frame with a line per pair of splits (`of`, `also_in`, `images`, `other_label`), and a sentence that reads it.
    """
    dataset = load_dataset(name, data_dir=data_dir)
    counts = report.count_duplicates(dataset)
    return counts, report.say_duplicates(dataset, counts)


def _source(name, seed, data_dir):
    if seed < 1:  # said before an archive is read
        raise ValueError(f"Expected seed >= 1 for the splits of {name}. Received: seed={seed}.")
    if check_name(name) in EMBEDDED:
        return EMBEDDED[name]()
    return load_folder(name) if name.startswith(PREFIX) else load_arrays(name, data_dir)


def check_name(name):
    """Return `name` if it is one of `list_datasets()` or a `folder:PATH` with good options; nothing is loaded.

    Raises:
        ValueError: If it is neither; the message lists the names.
    """
    if str(name).startswith(PREFIX):
        parse_name(name)
    elif name not in list_datasets():
        raise ValueError(f"Expected a data set out of {', '.join(list_datasets())} or folder:PATH. Received: {name!r}.")
    return name
