"""Data sets by name: uint8 images, integer labels and three splits, offline wherever that can be.

digits, shapes                            come with the package and its dependencies
mnist, fashion_mnist, cifar10, cifar100   `<name>.npz` in the data directory, else downloaded there at the first use
folder:PATH                               your own pictures, see `cnnkit.data.folder`
permuted:NAME                             any of these with its pixels at other places, the same for every image
halved:NAME                               any of these at half its width and height
relabelled:NAME                           any of these, the labels of its training pool dealt out anew: there is no rule
first_half:NAME, second_half:NAME         any of these with half of its classes: two tasks of one kind
"""

import dataclasses
import warnings

import pandas as pd

from cnnkit.data import arrays, digits, folder, splits  # noqa: F401  # a loader registers itself when imported
from cnnkit.data.duplicates import check_duplicates
from cnnkit.data.shapes import Shapes, make_shapes
from cnnkit.data.splits import REGISTRY, Dataset, Entry, Source, split

CHANGES = {"permuted:": splits.permute_pixels, "halved:": splits.halve_pixels, "relabelled:": splits.deal_labels}
CHANGES |= {"first_half:": splits.first_half, "second_half:": splits.second_half}  # of a `Source`

__all__ = ["Dataset", "Entry", "REGISTRY", "Shapes", "Source", "check_duplicates", "check_name", "describe"]
__all__ += ["is_available", "list_datasets", "load_dataset", "make_shapes"]


def load_dataset(name, *, train_size=None, seed=1, data_dir=None):
    """Load a data set in three splits; a further seed or size takes milliseconds.

    Validation is a tenth of the training pool, stratified by class, or a folder's own `val/`; the test set is always
    the same. Every split holds every class, or a warning says which it lacks.

    Args:
        name: One of `list_datasets()`; `"folder:PATH"`, see `cnnkit.data.folder`; or a prefix of `CHANGES` and one of
            these.
        train_size, seed: Images to train on, stratified by class (`None`: all that validation leaves), and an integer,
            at least 1, which decides these and the validation set.
        data_dir: Folder of the .npz files; `None` for `$CNNKIT_DATA_DIR`, else `data/`; without file or download it is
            a FileNotFoundError, any other fault a ValueError.
    """
    if seed < 1:  # said before an archive is read
        raise ValueError(f"Expected seed >= 1 for the splits of {name}. Received: seed={seed}.")
    source = check_name(name).load(data_dir)
    for remark in source.remarks:
        warnings.warn(f"{name}: {remark}.", stacklevel=2)
    return split(source, name, train_size=train_size, seed=seed)


def list_datasets():
    """Return the names that `load_dataset` knows, those that need no file first, but for `folder:` and prefixes."""
    return sorted(REGISTRY, key=lambda name: REGISTRY[name].find()[0] != "embedded")


def is_available(name):
    """Return whether `load_dataset(name)` finds its data with no network; ValueError if the name is unknown."""
    return check_name(name).find()[0] in ("embedded", "present")


def describe():
    """Return a frame of `list_datasets()`, unread; `status` is `embedded` (in a package), `present` or `downloads`."""
    lines = []
    for name, entry in ((name, REGISTRY[name]) for name in list_datasets()):
        status, where = entry.find()
        lines.append((name, entry.images, "×".join(map(str, entry.shape)), entry.classes, status, str(where)))
    return pd.DataFrame(lines, columns=["name", "images", "shape", "classes", "status", "where"])


def check_name(name):
    """Return the `Entry` of a name if `load_dataset` knows it and its options are good, else raise ValueError."""
    plain, changes = str(name), []
    while prefix := next(filter(plain.startswith, CHANGES), ""):
        plain, changes = plain.removeprefix(prefix), [CHANGES[prefix], *changes]
    entry = folder.make_entry(plain) if plain.startswith(folder.PREFIX) else REGISTRY.get(plain)
    if entry is None:
        names = f"{', '.join(list_datasets())} or folder:PATH, with {' or '.join(CHANGES)} before it or not"
        raise ValueError(f"Expected a data set out of {names}. Received: {name!r}.")
    if not changes:
        return entry
    return dataclasses.replace(entry, load=lambda data_dir: _change(entry.load(data_dir), changes))


def _change(source, changes):
    for change in changes:
        source = change(source)
    return source
