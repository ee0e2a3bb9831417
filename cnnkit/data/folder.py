"""`folder:PATH`: your own pictures, one folder a class, as RGB of one size.

    folder:photos                         photos/train/<class>/* and photos/test/<class>/*, or photos/<class>/*
    folder:photos?size=96                 96×96 pixels; without it 64×64
    folder:photos?size=96&on_error=skip   leave unreadable pictures out, and say which

Without `train` and `test` a fifth of every class is the test set, the same fifth every time. Pictures are squeezed into
the square whole, turned as their camera says (EXIF), and transparent ones are laid on white. Hidden files are ignored.
"""

import functools
import os
import warnings
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
from PIL import Image, ImageOps

from cnnkit.data.splits import Source, stratified_split

PREFIX = "folder:"
SIZE = 64
TEST_SHARE = 0.2
TEST_SEED = 1


def load_folder(name):
    """Return the `Source` of a folder of pictures, decoded once a process as long as no file changes.

    Args:
        name: `"folder:PATH"` or `"folder:PATH?option=value&option=value"`; the options are `size` (pixels, 8 or more)
            and `on_error` (`raise` or `skip`).
    Returns:
        `Source`; its `origin` lists the pictures that were left out.
    Raises:
        FileNotFoundError: If the folder is not there.
        ValueError: If an option, the layout or a picture is not as it must be.
    """
    root, size, on_error = parse_name(name)
    pictures = _list_pictures(root)
    source, left_out = _read(root, size, on_error, pictures)
    if left_out:
        warnings.warn(f"{len(left_out)} of {len(pictures)} pictures left out: {'; '.join(left_out)}", stacklevel=3)
    return source


def parse_name(name):
    """Split `folder:PATH?size=96&on_error=skip` into `(PATH, 96, "skip")`."""
    path, _, query = name.removeprefix(PREFIX).partition("?")
    options = {"size": str(SIZE), "on_error": "raise"}
    given = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(given.keys() - options.keys()):
        raise ValueError(f"Expected the options size and on_error in {name!r}. Received: {', '.join(unknown)}.")
    options |= given
    if not options["size"].isdecimal() or int(options["size"]) < 8:
        raise ValueError(
            f"Expected size to be a whole number of pixels >= 8 in {name!r}. Received: {options['size']!r}."
        )
    if options["on_error"] not in ("raise", "skip"):
        raise ValueError(f"Expected on_error to be raise or skip in {name!r}. Received: {options['on_error']!r}.")
    return Path(path).expanduser(), int(options["size"]), options["on_error"]


def _list_pictures(root):
    """Return a tuple of `(split, class name, path, when changed, bytes)` for all pictures, sorted by name."""
    if not root.is_dir():
        raise FileNotFoundError(f"Expected a folder of pictures at {root}. Received: no such folder.")
    splits = [split for split in ("train", "test") if (root / split).is_dir()]
    if len(splits) == 1:
        raise ValueError(f"Expected both train/ and test/ in {root}, or neither. Received: {splits[0]}/ alone.")
    pictures = []
    for split in splits or [""]:
        for folder in _visible(root / split):
            files = [entry for entry in _visible(folder.path) if entry.is_file()] if folder.is_dir() else []
            if folder.is_dir() and not files:
                raise ValueError(
                    f"Expected pictures in {folder.path}. Received: an empty folder. Fill it or remove it."
                )
            for file in files:
                state = file.stat()
                pictures.append((split, folder.name, file.path, state.st_mtime_ns, state.st_size))
    return tuple(pictures)


def _visible(folder):
    return sorted(
        (entry for entry in os.scandir(folder) if not entry.name.startswith(".")), key=lambda entry: entry.name
    )


@functools.lru_cache(maxsize=2)
def _read(root, size, on_error, pictures):
    """Decode the pictures and check the layout; return `(Source, descriptions of the pictures left out)`."""
    class_names = _class_names(root, [picture[:2] for picture in pictures])
    images, rows, left_out = [], [], []
    for split, class_name, path, *_ in pictures:
        try:
            images.append(_picture(path, size))
            rows.append((split, class_names.index(class_name)))
        except Exception as error:  # a damaged file can make a decoder raise anything
            if on_error == "raise":
                raise ValueError(
                    f"Expected a picture at {path}. Received: {error} "
                    "Repair or remove it, or add ?on_error=skip to the folder's name to leave such files out."
                ) from None
            left_out.append(f"{Path(path).relative_to(root).as_posix()} ({error})")
    _class_names(root, [(split, class_names[label]) for split, label in rows], expected=class_names)
    labels = np.array([label for _, label in rows])
    train, test = _test_split(root, labels, np.array([split for split, _ in rows]), class_names)
    origin = f"folder {root.resolve().name}, {len(rows):,} pictures at {size}×{size}"
    if left_out:
        origin += f"; {len(left_out)} left out: {'; '.join(path.split(' (')[0] for path in left_out)}"
    images = np.stack(images)
    return Source(images[train], labels[train], images[test], labels[test], class_names, origin), tuple(left_out)


def _class_names(root, pairs, expected=None):
    """Return the sorted class names of `(split, class name)` pairs, or say what the layout lacks."""
    train = sorted({class_name for split, class_name in pairs if split != "test"})
    test = {class_name for split, class_name in pairs if split == "test"}
    if len(train) < 2:
        raise ValueError(
            f"Expected at least 2 folders of pictures to train on in {root}, one a class. "
            f"Received: {', '.join(train) or 'none'}."
        )
    if unseen := sorted(test - set(train)):
        raise ValueError(
            f"Expected every class of {root}/test in {root}/train too. Received: {', '.join(unseen)} in test alone."
        )
    if expected and (lost := sorted(set(expected) - set(train))):
        raise ValueError(f"Expected a readable picture in every class of {root}. Received: none in {', '.join(lost)}.")
    return tuple(train)


def _test_split(root, labels, splits, class_names):
    """Return the places of the training and of the test pictures: as the folders say, else a fixed stratified fifth."""
    if (splits == "test").any():
        return np.flatnonzero(splits == "train"), np.flatnonzero(splits == "test")
    smallest = np.bincount(labels).argmin()
    if (images := np.bincount(labels)[smallest]) < 3:
        raise ValueError(
            f"Expected at least 3 pictures of every class in {root}: to train, to validate and to test. "
            f"Received: {images} of class {class_names[smallest]!r}."
        )
    count = max(len(class_names), round(TEST_SHARE * len(labels)))
    return stratified_split(labels, count, seed=TEST_SEED, class_names=class_names, name=f"{PREFIX}{root}")


def _picture(path, size):
    """Return one picture as uint8 `(size, size, 3)`."""
    with warnings.catch_warnings():
        # Pillow knows the size from the header: a picture that claims gigapixels is refused before one is decoded.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            if image.mode[0] in "IF":
                raise ValueError(f"{image.mode}: more than 8 bits a channel, and only you know how to scale them.")
            image = ImageOps.exif_transpose(image)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
