"""`mnist`, `fashion_mnist`, `cifar10`, `cifar100`: `<name>.npz` in the data directory, else fetched there by Keras."""

import functools
import os
import socket
import zipfile
from pathlib import Path

import numpy as np
from filelock import FileLock

from cnnkit import HOME
from cnnkit.data.splits import REGISTRY, Entry, Source

KEYS = ("x_train", "y_train", "x_test", "y_test")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""

ARCHIVES = {  # what `<name>.npz` must hold: images of `(height, width, channels)`, and classes; images in all
    "mnist": ((28, 28, 1), tuple("0123456789"), 70_000),
    "fashion_mnist": ((28, 28, 1), FASHION, 70_000),
    "cifar10": ((32, 32, 3), CIFAR10, 60_000),
    "cifar100": ((32, 32, 3), tuple(CIFAR100.split()), 60_000),
}


def data_path(name, data_dir=None):
    """Return where `<name>.npz` belongs: in `data_dir`, else `$CNNKIT_DATA_DIR`, else `data/` in `cnnkit.HOME`."""
    folder = data_dir or os.environ.get("CNNKIT_DATA_DIR") or HOME / "data"
    return Path(os.path.expanduser(folder)) / f"{name}.npz"


def load_arrays(name, data_dir=None):
    """Return the `Source` of a data set of `ARCHIVES`, read once a process and downloaded if its file is missing."""
    path = data_path(name, data_dir)
    if not path.exists():
        _download(name, path)
    return _read(name, path, path.stat().st_mtime_ns)


def _find(name):
    path = data_path(name)
    return "present" if path.is_file() else "downloads", path


for _name, (_shape, _class_names, _images) in ARCHIVES.items():
    _load, _where = functools.partial(load_arrays, _name), functools.partial(_find, _name)
    REGISTRY[_name] = Entry(_load, _images, _shape, len(_class_names), _where)


@functools.lru_cache(maxsize=2)  # a sweep splits the same source again and again; two of them are 370 MB at most
def _read(name, path, modified):
    """Read and check the archive. `modified` is part of the cache's key: a new file is read anew."""
    shape, class_names, _ = ARCHIVES[name]
    arrays = {}
    try:
        with zipfile.ZipFile(path) as file:
            held = [member.removesuffix(".npy") for member in file.namelist()]
            if missing := [key for key in KEYS if key not in held]:
                raise ValueError(f"no {', '.join(missing)}; it holds {', '.join(held) or 'nothing'}.")
            for key in KEYS:
                with file.open(f"{key}.npy") as member:  # no pickles: they can run any code
                    arrays[key] = np.ascontiguousarray(np.lib.format.read_array(member, allow_pickle=False))
                    if member.read(1):  # at the end the checksum has been compared
                        raise ValueError(f"{key} with more bytes than its shape {arrays[key].shape} holds.")
        for key in ("x_train", "x_test"):
            if arrays[key].shape[1:] not in (shape, shape[:2]):
                raise ValueError(f"{key} of shape {arrays[key].shape}, not (n, {', '.join(map(str, shape))}).")
            arrays[key] = arrays[key].reshape(-1, *shape)
        return Source(**arrays, class_names=class_names, origin=f"{name}.npz in the data directory")
    except Exception as error:  # a damaged file can make zipfile, its decompressors and NumPy raise anything
        said = str(error).rstrip(".")
        if not isinstance(error, ValueError):
            said = f"one that cannot be read ({type(error).__name__}: {said})"
        way = f"If it is damaged and there is a network, remove it: it is downloaded anew. {_ways_on(path)}"
        raise ValueError(f"Expected {path} to hold the arrays {', '.join(KEYS)}. Received: {said}. {way}") from None


def _download(name, path):
    """Fetch the data set with Keras and keep it as `path`: the next time needs no network."""
    patience = socket.getdefaulttimeout()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            if path.is_file():  # another process was faster
                return
            from keras import datasets  # five seconds, so only when it is needed

            socket.setdefaulttimeout(30)  # Python itself waits for a silent network for ever
            (x_train, y_train), (x_test, y_test) = getattr(datasets, name).load_data()
            partial = path.with_name(f".{path.name}.part")  # written, then renamed: a reader never sees half a file
            with open(partial, "wb") as file:
                np.savez(file, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
            os.replace(partial, path)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        received = f"no such file, and no download of keras.datasets.{name} ({type(error).__name__}: {error})"
        raise FileNotFoundError(f"Expected {path}. Received: {received}. {_ways_on(path)}") from None
    finally:
        socket.setdefaulttimeout(patience)


def _ways_on(path):
    good = f"put a good {path.name} ({', '.join(KEYS)}) from another machine into {path.parent}"
    return f"Two ways on: {good}, or use digits or shapes, which need no file (notebooks: CNNKIT_PROFILE=smoke)."
