"""`mnist`, `fashion_mnist`, `cifar10`, `cifar100`: `<name>.npz` in the data directory, else fetched there by Keras."""

import contextlib
import functools
import os
import socket
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from cnnkit import HOME
from cnnkit.data.splits import Source

KEYS = ("x_train", "y_train", "x_test", "y_test")
DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


@dataclass(frozen=True)
class Archive:
    """What `<name>.npz` must hold: images of `(height, width, channels)`, classes; and how many images as published."""

    shape: tuple
    class_names: tuple
    images: int


ARCHIVES = {
    "mnist": Archive((28, 28, 1), DIGITS, 70_000),
    "fashion_mnist": Archive((28, 28, 1), FASHION, 70_000),
    "cifar10": Archive((32, 32, 3), CIFAR10, 60_000),
    "cifar100": Archive((32, 32, 3), tuple(CIFAR100.split()), 60_000),
}


def data_path(name, data_dir=None):
    """Return where `<name>.npz` belongs: in `data_dir`, else `$CNNKIT_DATA_DIR`, else `data/` beside the package."""
    folder = data_dir or os.environ.get("CNNKIT_DATA_DIR") or HOME / "data"
    return Path(folder).expanduser() / f"{name}.npz"


def load_arrays(name, data_dir=None):
    """Return the `Source` of a data set of `ARCHIVES`; the first use downloads it when its file is not there.

    Args:
        name: Key of `ARCHIVES`.
        data_dir: Folder of the .npz files; `None` for the usual one, see `data_path`.
    Returns:
        `Source`, read once a process.
    Raises:
        FileNotFoundError: If there is no file and it cannot be downloaded.
        ValueError: If the file is damaged or holds something else.
    """
    path = data_path(name, data_dir)
    if not path.is_file():
        _download(name, path)
    return _read(name, path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)  # a sweep splits the same source again and again; two of them are 370 MB at most
def _read(name, path, modified):
    """Read and check the archive. `modified` is part of the cache's key: a new file is read anew."""
    archive = ARCHIVES[name]
    arrays = _arrays(path)
    for key in ("x_train", "x_test"):
        images = arrays[key]
        greys = archive.shape[:2] if archive.shape[2] == 1 else archive.shape  # grey images may come without channels
        if images.dtype != np.uint8 or images.shape[1:] not in (archive.shape, greys):
            raise ValueError(
                f"Expected {key} of {path} to hold uint8 images of shape (n, {', '.join(map(str, greys))}). "
                f"Received: {images.dtype} of shape {images.shape}. {_ways_on(path)}"
            )
        arrays[key] = images.reshape(-1, *archive.shape)
    try:
        return Source(**arrays, class_names=archive.class_names, origin=f"{name}.npz in the data directory")
    except ValueError as error:
        raise ValueError(f"{path}: {error} {_ways_on(path)}") from None


def _arrays(path):
    """Return the four arrays of an .npz by name, or say why the file is none."""
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"Expected {path} to be a complete .npz archive. Received: a truncated one, or another kind of file. "
            f"{_ways_on(path)}"
        )
    try:
        # Pickled objects stay refused: unpickling can run any code.
        with np.load(path, allow_pickle=False) as file:
            if missing := [key for key in KEYS if key not in file]:
                raise ValueError(f"the arrays {', '.join(missing)} are missing; it holds {', '.join(file) or 'none'}")
            return {key: file[key] for key in KEYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"Expected {path} to hold the arrays {', '.join(KEYS)}. Received: {error}. {_ways_on(path)}"
        ) from None


def _download(name, path):
    """Fetch the data set with Keras and keep it as `path`: the next time needs no network."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")), _impatient():
            if path.is_file():  # another process was faster
                return
            from keras import datasets  # five seconds, so only when it is needed

            (x_train, y_train), (x_test, y_test) = getattr(datasets, name).load_data()
            _save(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise FileNotFoundError(
            f"Expected {path}. Received: no such file, and keras.datasets.{name} could not be downloaded there "
            f"({type(error).__name__}: {error}). {_ways_on(path)}"
        ) from None


@contextlib.contextmanager
def _impatient():
    """Give up on a silent network after 30 s; Python's own default is to wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(30)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _save(path, **arrays):
    """Write the archive under another name and rename it: a reader never sees half a file."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **arrays)
        os.chmod(temporary, 0o644)  # mkstemp makes it readable by its owner alone
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _ways_on(path):
    return (
        f"Two ways on: put a good {path.name} ({', '.join(KEYS)}) into {path.parent}, "
        "or run on the data that needs no file, with CNNKIT_PROFILE=smoke."
    )
