"""`folder:PATH`: your own pictures, one folder a class, as RGB of one size.

    folder:photos                         photos/<class>/*, or photos/train/<class>/* and photos/test/<class>/*
    folder:photos?size=96&on_error=skip   96×96 pixels (without it 64×64); leave unreadable pictures out, and say which

Beside `train` and `test`, `val` is the validation set (`Training`, `test_set`, `valid` and the like will do). Without
them a fifth of every class is the test set, always the same. Pictures in folders inside a class's folder are the
class's, but for links. Pictures are squeezed into the square, turned as their camera says (EXIF), and transparent ones
laid on white. What is left out is told, but for hidden files and `LITTER`.
"""

import functools
import itertools
import os
import re
import warnings
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cnnkit.data.splits import Entry, Source, enumerate_some, stratified_split

PREFIX = "folder:"
PART = re.compile(r"(?<![a-z])(train|val|test)(ing|id|idation)?(?![a-z])")
LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
# A file of such a name that cannot be read is an error. Others are tried, too: many a picture has no suffix.
SUFFIXES = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
SUFFIXES |= {".heic", ".heif", ".jxl", ".svg", ".dng"}


def make_entry(name):
    """Return the `Entry` of `"folder:PATH?size=96&on_error=skip"`; its pictures are not looked at."""
    path, _, query = name.removeprefix(PREFIX).partition("?")
    options = {"size": "64", "on_error": "raise"} | dict(parse_qsl(query, keep_blank_values=True))
    size, on_error = options["size"], options["on_error"]
    good_size = re.fullmatch("[0-9]{1,4}", size) and 8 <= int(size) <= 4096
    if not path or len(options) > 2 or not good_size or on_error not in ("raise", "skip"):
        options = "?size=96 (8 to 4096 pixels), ?on_error=skip (or raise) or ?size=96&on_error=skip"
        raise ValueError(f"Expected {PREFIX}PATH, perhaps with {options}. Received: {name!r}.")
    root, size = Path(os.path.expanduser(path)), int(size)
    status = "present" if root.is_dir() else "missing"
    return Entry(lambda _: _load(root, size, on_error), None, (size, size, 3), None, lambda: (status, root))


def _load(root, size, on_error):
    """Return the `Source` of a folder of pictures, decoded once a process as long as no file changes."""
    if not root.is_dir():
        raise FileNotFoundError(f"Expected a folder of pictures at {root}. Received: no such folder.")
    try:
        return _read(root, size, on_error, *_list_files(root))
    except (OSError, MemoryError) as error:
        wanted = f"folders that can be listed in {root}, whose pictures fit into memory at {size}×{size}"
        raise ValueError(f"Expected {wanted}. Received: {error}.") from None


def _list_files(root):
    """Return a tuple of `(part, class name, path, when changed, bytes)`, sorted, and the names of what lies aside."""
    parts = _find_parts(root)
    files, aside = [], [path for path in _visible(root) if "" not in parts and path not in parts.values()]
    for part, top in parts.items():
        folders = [path for path in _visible(top) if path.is_dir()]
        aside += [path for path in _visible(top) if path not in folders]
        if part in ("", "train"):
            _check_classes(top, folders)
        for folder in folders:
            if not (found := walk(folder)):
                raise ValueError(f"Expected pictures in {folder}. Received: an empty folder. Fill it or remove it.")
            aside += [path for path in found if not path.is_file()]
            states = [(path, path.stat()) for path in found if path.is_file()]
            files += [(part, folder.name, str(path), state.st_mtime_ns, state.st_size) for path, state in states]
    return tuple(files), tuple(f"{path.relative_to(root)}{'/' * path.is_dir()}" for path in aside)


def _find_parts(root):
    """Return the folders of the parts by `train`, `val`, `test`; `{"": root}` where the classes lie in the root."""
    found = {"train": [], "val": [], "test": []}
    for path in _visible(root):
        # A folder of pictures is a class, whatever it is called: trains are seen in photographs.
        if (part := PART.search(path.name.lower())) and path.is_dir():
            inside = _visible(path)
            if not inside or any(child.is_dir() for child in inside):
                found[part[1]].append(path)
    names = [f"{path.name}/" for paths in found.values() for path in paths]
    if names and not (found["train"] and found["test"] and max(map(len, found.values())) == 1):
        raise ValueError(
            f"Expected both train/ and test/ of classes' folders in {root}, at most one val/, or the folders alone. "
            f"Received: {', '.join(names)} alone. Rename val/ to test/ (validation is then taken from train/), or move "
            "the classes' folders up (a fifth of every class is then the test set)."
        )
    return {part: paths[0] for part, paths in found.items() if paths} or {"": root}


def _check_classes(top, folders):
    """Raise a ValueError unless `folders` can be the classes in `top`; it names what was found."""
    inner = {path: {p.name for p in _visible(path)} for path in folders if all(p.is_dir() for p in _visible(path))}
    if len(folders) < 2:
        found = "".join(f", a folder of {enumerate_some(sorted(inner[path]))} (try {PREFIX}{path})" for path in inner)
        received = f"{', '.join(path.name for path in folders) or 'none'}{found}"
        raise ValueError(f"Expected at least 2 folders of pictures, one a class, in {top}. Received: {received}.")
    for one, other in itertools.combinations(inner, 2):
        if len(alike := sorted(inner[one] & inner[other])) > 1:
            received = f"{one.name}/ and {other.name}/, both with the folders {enumerate_some(alike)}"
            way = "Which are the classes? Move the pictures up into the outer ones, or call these train and test."
            raise ValueError(f"Expected folders of pictures, one a class, in {top}. Received: {received}. {way}")


def _visible(folder):
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower() not in LITTER)


def walk(folder):
    """Return all files in a folder and in those inside it; links to folders as they are, for they may lead back."""
    parts = (walk(path) if path.is_dir() and not path.is_symlink() else [path] for path in _visible(folder))
    return [path for part in parts for path in part]


@functools.lru_cache(maxsize=2)
def _read(root, size, on_error, files, aside):
    """Decode the pictures, check what came out, and return the `Source`."""
    pairs = sorted({file[:2] for file in files})
    class_names = tuple(name for part, name in pairs if part in ("", "train"))
    if unseen := [f"{name} in {part}" for part, name in pairs if name not in class_names]:
        raise ValueError(f"Expected every class in {root}/train too. Received: {enumerate_some(unseen)} alone.")
    images = np.empty((len(files), size, size, 3), "uint8")
    parts, labels, left_out = [], [], list(aside)
    for part, class_name, path, *_ in files:
        try:
            images[len(labels)] = read_picture(path, (size, size))
            parts.append(part)
            labels.append(class_names.index(class_name))
        except Exception as error:  # a damaged file can make a decoder raise anything
            damaged = is_damaged(path, error)
            if damaged and on_error == "raise":
                way = "Repair or remove it, or add ?on_error=skip to the folder's name to leave such files out."
                received = str(error) or type(error).__name__
                raise ValueError(f"Expected a picture at {path}. Received: {received}. {way}") from None
            name = Path(path).relative_to(root).as_posix()
            left_out.append(f"{name} ({str(error).replace(path, name) if damaged else 'no picture'})")
    parts, labels = np.array(parts, dtype="U5"), np.array(labels, "int64")
    counts = np.bincount(labels[(parts == "train") | (parts == "")], minlength=len(class_names))
    least = 3 if "" in parts else 1  # to train, to validate and to test; or to train on
    if counts.min() < least:
        rarest = f"{counts.min()} of class {class_names[counts.argmin()]!r}"
        received = f"{rarest}; left out: {enumerate_some(left_out) or 'nothing'}"
        raise ValueError(f"Expected at least {least} readable pictures of every class in {root}. Received: {received}.")
    train, test = np.flatnonzero(parts != "test"), np.flatnonzero(parts == "test")
    if "" in parts:
        train, test = stratified_split(labels, max(len(class_names), round(0.2 * len(labels))), seed=1)
    origin = f"folder {root.resolve().name}, {len(labels):,} pictures at {size}×{size}"
    arrays = images[train], labels[train], images[test], labels[test]
    return Source(*arrays, class_names, origin, num_val=int((parts == "val").sum()), left_out=tuple(left_out))


def is_damaged(path, error):
    """Return whether a file that could not be read, for this error, is a picture by its name or its first bytes."""
    return Path(path).suffix.lower() in SUFFIXES or not isinstance(error, UnidentifiedImageError)


def read_picture(path, size, mode="RGB"):
    """Return one picture as uint8 `(height, width, 3)`, or `(height, width)` in mode "L"; `size` is (width, height)."""
    with warnings.catch_warnings():
        # Pillow knows the size from the header: a picture that claims gigapixels is refused before one is decoded.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            if image.mode[0] in "IF":
                raise ValueError(f"{image.mode}: more than 8 bits a channel, and only you know how to scale them")
            image = ImageOps.exif_transpose(image)
            if image.has_transparency_data:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return np.asarray(image.convert(mode).resize(size, Image.Resampling.BILINEAR))
