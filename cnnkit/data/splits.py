"""Three splits: validation is a stratified, seeded part of the source's training pool; the test set is left alone."""

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

VALIDATION_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Source:
    """What a loader returns: every image of a data set, before a validation set is taken from the training pool.

    Attributes:
        x_train, x_test: uint8 `(n, height, width, channels)`. Made read-only: they are shared by all who load them.
        y_train, y_test: Integer labels `(n,)` or `(n, 1)`; kept as int64 `(n,)`.
        class_names: Tuple of strings, one per class.
        origin: Where the images came from, in one line without a path of this machine.
    Raises:
        ValueError: If images and labels do not fit together, or a label is outside the classes.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple
    origin: str

    def __post_init__(self):
        for split in ("train", "test"):
            images, labels = getattr(self, f"x_{split}"), getattr(self, f"y_{split}")
            labels = _checked(images, labels, split, len(self.class_names), self.origin)
            images.flags.writeable = labels.flags.writeable = False
            object.__setattr__(self, f"y_{split}", labels)

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
    """Three splits of one data set.

    Attributes:
        name: As asked for, for example `"mnist"` or `"folder:photos?size=96"`.
        x_train, x_val, x_test: uint8 `(n, height, width, channels)`, read-only.
        y_train, y_val, y_test: int64 `(n,)`, read-only: index into `class_names`.
        class_names: Tuple of strings, one per class.
        sha256: Digest of the arrays in use, 64 hex digits: another seed, `train_size` or pixel, another digest.
        source: Where the images came from, in one line.
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


@functools.lru_cache(maxsize=1)  # runs of a sweep that differ in the model alone share their arrays
def split(source, name, *, train_size=None, seed=1):
    """Take a validation set, and on wish a smaller training set, from the pool of a `Source`.

    Args:
        source: `Source`.
        name: The data set's name, for the result and for messages.
        train_size: Images to train on, stratified by class; `None` for all that validation leaves.
        seed: Integer; decides the validation set and the subset.
    Returns:
        `Dataset`. Its test arrays are the source's own, not copies.
    Raises:
        ValueError: If `train_size` is impossible, or a class has too few images to be split.
    """
    train, val = split_indices(source, name, train_size=train_size, seed=seed)
    arrays = [source.x_train[train], source.y_train[train], source.x_train[val], source.y_train[val]]
    for array in arrays:
        array.flags.writeable = False
    sha256 = split_digest(source, train, val)
    return Dataset(name, *arrays, source.x_test, source.y_test, source.class_names, sha256, source.origin)


def split_indices(source, name, *, train_size=None, seed=1):
    """Return the places in the pool of the training and of the validation images; see `split`."""
    num_classes = len(source.class_names)
    count = max(num_classes, round(VALIDATION_SHARE * len(source.y_train)))
    train, val = stratified_split(source.y_train, count, seed=seed, class_names=source.class_names, name=name)
    if train_size is None or train_size == len(train):
        return train, val
    # A stratified choice leaves at least one image of each class out, as it takes at least one of each in.
    most = len(train) - num_classes
    if not num_classes <= train_size <= most:
        raise ValueError(
            f"Expected train_size from {num_classes} (one image a class) to {most:,}, or {len(train):,} or None for "
            f"all that the validation set leaves of {name}. Received: train_size={train_size}."
        )
    rest, subset = stratified_split(
        source.y_train[train], train_size, seed=seed, class_names=source.class_names, name=name
    )
    return train[subset], val


def stratified_split(labels, count, *, seed, class_names, name):
    """Choose `count` places of `labels`, in the classes' proportions.

    Returns:
        Two int64 arrays: the places that were not chosen, and the `count` that were.
    Raises:
        ValueError: If a class has fewer than two images, or there is not one image a class to choose and one to leave.
    """
    for class_name, images in zip(class_names, np.bincount(labels, minlength=len(class_names)), strict=True):
        if images < 2:
            raise ValueError(
                f"Expected at least 2 training images of every class in {name}, to train on and to validate with. "
                f"Received: {images} of class {class_name!r}. Add images, or leave the class out."
            )
    if len(labels) - count < len(class_names):
        raise ValueError(
            f"Expected at least {count + len(class_names)} images in {name}, to take {count} away and leave one of "
            f"each class. Received: {len(labels)}. Add images."
        )
    places = np.arange(len(labels))
    return train_test_split(places, test_size=count, stratify=labels, random_state=seed)


def split_digest(source, train, val):
    """Digest of a split: the source's digest, computed once a process, and which images are in which split."""
    digest = hashlib.sha256(source.sha256.encode())
    for places in (train, val):
        digest.update(f"{len(places)}:".encode())
        digest.update(places.astype("<i8").tobytes())
    return digest.hexdigest()


def _checked(images, labels, which, num_classes, origin):
    """Return `labels` as int64 `(n,)`, or say what is wrong with the pair."""
    where = f"the {which} set ({origin})"
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"Expected uint8 images of shape (n, height, width, 1 or 3) in {where}. "
            f"Received: {images.dtype} of shape {images.shape}."
        )
    if labels.dtype.kind not in "iu" or labels.shape not in ((len(images),), (len(images), 1)):
        raise ValueError(
            f"Expected {len(images)} integer labels, one an image, in {where}. "
            f"Received: {labels.dtype} of shape {labels.shape}."
        )
    labels = labels.reshape(-1).astype("int64")
    if len(labels) == 0:
        raise ValueError(f"Expected at least one image in {where}. Received: none.")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"Expected labels from 0 to {num_classes - 1}, the {num_classes} classes, in {where}. "
            f"Received: labels from {labels.min()} to {labels.max()}."
        )
    return labels
