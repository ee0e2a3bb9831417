"""What loaders return, and its three splits: validation is a stratified, seeded part of the training pool, or given."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split


@dataclass(frozen=True)
class Entry:
    """What is known of a data set before it is loaded."""

    load: Callable  # function of the data directory (`None`: the usual one) that returns a `Source`
    images: int | None  # in all splits, as published; `None` where they would have to be counted
    shape: tuple  # (height, width, channels) in pixels, before any change of them
    classes: int | None
    find: Callable  # function of nothing that returns `(status, where)`: embedded, present, downloads or missing


REGISTRY = {}  # name -> `Entry`; a loader enters its own


@dataclass(frozen=True, eq=False)
class Source:
    """What a loader returns: every image, before validation is taken from the training pool; arrays become read-only.

    Images and labels that do not fit together, or a label outside the classes, are a ValueError.
    """

    x_train: np.ndarray  # uint8 (n, height, width, channels)
    y_train: np.ndarray  # integers (n,) or (n, 1); kept as int64 (n,)
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple
    origin: str  # where the images came from, in one line without a path of this machine
    num_val: int = 0  # the last `num_val` images of the pool are the validation set; 0: `split` takes one by seed
    left_out: tuple = ()  # files that are no part of the data set, in words, one string a file

    def __post_init__(self):
        most = len(self.class_names) - 1
        for split in ("train", "test"):
            x, y, where = getattr(self, f"x_{split}"), getattr(self, f"y_{split}"), f"the {split} set ({self.origin})"
            pictures = x.dtype == np.uint8 and x.ndim == 4 and x.shape[-1] in (1, 3) and len(x)
            if not pictures or y.dtype.kind not in "iu" or y.shape not in ((len(x),), (len(x), 1)):
                wanted = "images as uint8 (n, height, width, 1 or 3), n >= 1, and n integer labels"
                received = f"images {x.dtype} of shape {x.shape}, labels {y.dtype} of shape {y.shape}"
                raise ValueError(f"Expected {wanted} in {where}. Received: {received}.")
            if y.min() < 0 or y.max() > most:
                raise ValueError(f"Expected labels from 0 to {most} in {where}. Received: {y.min()} to {y.max()}.")
            object.__setattr__(self, f"y_{split}", y.reshape(-1).astype("int64"))
            x.flags.writeable = getattr(self, f"y_{split}").flags.writeable = False

    @functools.cached_property
    def remarks(self):
        """Sentences on what one may not expect."""
        sentences = [f"{len(self.left_out):,} left out: {enumerate_some(self.left_out)}"] * bool(self.left_out)
        for split, labels in (("validation", self.y_train[len(self.y_train) - self.num_val :]), ("test", self.y_test)):
            lacking = [name for i, name in enumerate(self.class_names) if len(labels) and i not in labels]
            sentences += [f"no image of {enumerate_some(lacking)} in the {split} set"] * bool(lacking)
        return sentences

    @functools.cached_property
    def sha256(self):
        """Digest of the four arrays: the same pixels in the same order give the same digest wherever they came from."""
        digest = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(f"{array.shape}{array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits: uint8 images `(n, height, width, channels)` and int64 labels `(n,)`, all read-only.

    `sha256` is a digest of the arrays in use, `source` says where they came from, and what was left out or is lacking.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple
    sha256: str
    source: str

    @property
    def input_shape(self):
        """`(height, width, channels)` of an image, in pixels."""
        return self.x_train.shape[1:]

    @property
    def num_classes(self):
        return len(self.class_names)

    @functools.lru_cache(maxsize=1)  # noqa: B019  # the last data set alone is kept, as `split` keeps it
    def channel_statistics(self):
        """Return means and deviations of the training pixels in [0, 1], float64 `(channels,)`, from exact sums."""
        count = self.x_train[..., 0].size
        sums = np.einsum("nhwc->c", self.x_train, dtype="int64").tolist()
        squares = np.einsum("nhwc,nhwc->c", self.x_train, self.x_train, dtype="int64").tolist()
        # Python's integers: count × squares is beyond int64 for CIFAR-10.
        variances = [count * square - total**2 for total, square in zip(sums, squares, strict=True)]
        return np.array(sums) / (255 * count), np.sqrt(np.array(variances, "float64")) / (255 * count)


@functools.lru_cache(maxsize=1)  # runs of a sweep that differ in the model alone share their arrays
def split(source, name, *, train_size=None, seed=1):
    """Return a `Source` as `Dataset`; ValueError if `train_size` is impossible or a class has too few images."""
    train, val = _places(source, name, train_size, seed)
    digest = hashlib.sha256(source.sha256.encode())  # computed once a process, then which images are in which split
    arrays = []
    for places in (train, val):
        digest.update(f"{len(places)}:".encode() + places.astype("<i8").tobytes())
        arrays += [source.x_train[places], source.y_train[places]]
    for array in arrays:
        array.flags.writeable = False
    origin = "; ".join([source.origin, *source.remarks])
    return Dataset(name, *arrays, source.x_test, source.y_test, source.class_names, digest.hexdigest(), origin)


def _places(source, name, train_size, seed):
    """Return the places in the pool of the training and of the validation images."""
    num_classes, num_pool = len(source.class_names), len(source.y_train)
    train, val = np.split(np.arange(num_pool), [num_pool - source.num_val])
    counts = np.bincount(source.y_train[train], minlength=num_classes)
    least = 1 if source.num_val else 2
    if counts.min() < least:
        received = f"{counts.min()} of class {source.class_names[counts.argmin()]!r}. Add some, or leave it out"
        raise ValueError(f"Expected at least {least} training images of every class in {name}. Received: {received}.")
    if not source.num_val:
        train, val = stratified_split(source.y_train, max(num_classes, round(0.1 * num_pool)), seed=seed)
    if train_size is None or train_size == len(train):
        return train, val
    labels = source.y_train[train]
    # A stratified choice leaves an image of each class out, as it takes one of each in; of a lone one it cannot.
    most = len(train) - (np.bincount(labels) > 1).sum()
    if not num_classes <= train_size <= most:
        wanted = f"from {num_classes} (one image a class) to {most:,}, or {len(train):,} or None for all of {name}"
        raise ValueError(f"Expected train_size {wanted}, validation aside. Received: train_size={train_size}.")
    return train[stratified_split(labels, train_size, seed=seed)[1]], val


def stratified_split(labels, count, *, seed):
    """Choose `count` places of the int64 `labels` `(n,)`, in the classes' proportions and at least one of every class.

    Returns two int64 arrays: the others, at least one of every class with two or more, and the `count` chosen.
    """
    lone = np.bincount(labels)[labels] == 1  # the only one of its class: chosen in any case
    others, size = np.flatnonzero(~lone), count - int(lone.sum())
    left, chosen = train_test_split(others, test_size=size, stratify=labels[others], random_state=seed)
    chosen = np.append(chosen, np.flatnonzero(lone))
    for label in np.setdiff1d(labels, labels[chosen]):  # rounding left a rare class out: the commonest gives a place
        gives = np.flatnonzero(labels[chosen] == np.bincount(labels[chosen]).argmax())[0]
        takes = np.flatnonzero(labels[left] == label)[0]
        chosen[gives], left[takes] = left[takes], chosen[gives]
    return left, chosen


@functools.lru_cache(maxsize=2)
def permute_pixels(source):
    """Return the `Source` with all images' pixels at other places, in one order for all; channels stay together."""
    height, width, channels = source.x_train.shape[1:]
    # Not `default_rng`, whose streams a later NumPy may change: the order is part of what a run is.
    order = np.random.RandomState(0).permutation(height * width)
    both = (source.x_train, source.x_test)
    x_train, x_test = (np.take(x.reshape(len(x), -1, channels), order, axis=1).reshape(x.shape) for x in both)
    origin = f"{source.origin}, pixels in another order"
    return dataclasses.replace(source, x_train=x_train, x_test=x_test, origin=origin)


@functools.lru_cache(maxsize=3)
def halve_pixels(source):
    """Return the `Source` with every two by two pixels made one, their mean; ValueError where a side is odd."""
    height, width, channels = source.x_train.shape[1:]
    if height % 2 or width % 2:
        raise ValueError(f"Expected pictures of even sides to halve them. Received: {height}×{width} pixels.")

    def halve(x):
        fours = x.reshape(len(x), height // 2, 2, width // 2, 2, channels)
        return ((fours.sum(axis=(2, 4), dtype="uint16") + 2) // 4).astype("uint8")

    origin = f"{source.origin}, at half the resolution"
    return dataclasses.replace(source, x_train=halve(source.x_train), x_test=halve(source.x_test), origin=origin)


def deal_labels(source):
    """Return the `Source` with the labels of its training pool in another, fixed order; the test set keeps its own."""
    order = np.random.RandomState(0).permutation(len(source.y_train))
    return dataclasses.replace(source, y_train=source.y_train[order], origin=f"{source.origin}, labels dealt out anew")


@functools.lru_cache(maxsize=2)
def first_half(source):
    """Return the `Source` with the first half of its classes alone; of an odd number the middle one is among them."""
    return _keep_classes(source, 0, (len(source.class_names) + 1) // 2)


@functools.lru_cache(maxsize=2)
def second_half(source):
    """Return the `Source` with the classes that `first_half` leaves out, numbered from 0."""
    return _keep_classes(source, (len(source.class_names) + 1) // 2, len(source.class_names))


def _keep_classes(source, start, stop):
    names = source.class_names[start:stop]
    if len(names) < 2:
        raise ValueError(f"Expected 2 classes or more in half of them. Received: {', '.join(source.class_names)}.")
    kept, arrays = {}, {}
    for split in ("train", "test"):
        x, y = getattr(source, f"x_{split}"), getattr(source, f"y_{split}")
        kept[split] = (y >= start) & (y < stop)
        arrays |= {f"x_{split}": x[kept[split]], f"y_{split}": y[kept[split]] - start}
    num_val = int(kept["train"][len(source.y_train) - source.num_val :].sum())
    origin = f"{source.origin}, of its classes {enumerate_some(names)} alone"
    return dataclasses.replace(source, **arrays, class_names=names, num_val=num_val, origin=origin)


def enumerate_some(words, most=10):
    """Return the list `words` joined by commas, the first ten of them if there are more."""
    return ", ".join(words[:most]) + f" and {len(words) - most:,} more" * (len(words) > most)
