"""`folder:PATH`: your own pictures, one folder a class, as RGB of one size.

    folder:photos                         photos/<class>/*, or photos/train/<class>/* and photos/test/<class>/*
    folder:photos?size=96                 96×96 pixels; without it 64×64
    folder:photos?size=96&on_error=skip   leave unreadable pictures out, and say which

Beside `train` and `test`, `val` is the validation set (`Training`, `test_set`, `valid` and the like will do). Without
them a fifth of every class is the test set, the same fifth every time. Pictures in folders inside a class's folder are
the class's. Pictures are squeezed into the square whole, turned as their camera says (EXIF), and transparent ones are
laid on white. What is left out is said in `Dataset.source` and as a warning, but for hidden files and `LITTER`.
"""

import functools
import itertools
import os
import re
import unicodedata
import warnings
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cnnkit.data.splits import Entry, Source, enumerate_some, stratified_split

PREFIX = "folder:"
SIZE, LARGEST = 64, 4096
TEST_SHARE, TEST_SEED = 0.2, 1
PART = re.compile(r"(?<![a-z])(train|val|test)(ing|id|idation)?(?![a-z])")
LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
# A file of such a name that cannot be read is an error. Others are tried, too: many a picture has no suffix.
SUFFIXES = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
SUFFIXES |= {".heic", ".heif", ".jxl", ".svg", ".dng"}


def make_entry(name):
    """Return the `Entry` of `"folder:PATH?options"`; its pictures are not looked at."""
    root, size, _ = parse_name(name)
    status = "present" if root.is_dir() else "missing"
    return Entry(lambda data_dir: load_folder(name), None, (size, size, 3), None, lambda data_dir: (status, root))


def load_folder(name):
    """Return the `Source` of a folder of pictures, decoded once a process as long as no file changes.

    Args:
        name: `"folder:PATH?size=96&on_error=skip"`: size in pixels, 8 to 4,096, and `raise` or `skip`; both optional.
    Returns:
        `Source`; its `left_out` lists the files that are no part of it.
    Raises:
        FileNotFoundError: If the folder is not there.
        ValueError: If an option, the layout or a picture is not as it must be.
    """
    root, size, on_error = parse_name(name)
    if not root.is_dir():
        raise FileNotFoundError(f"Expected a folder of pictures at {root}. Received: no such folder.")
    try:
        files, aside = _list_files(root)
    except (OSError, RecursionError) as error:
        raise ValueError(f"Expected folders that can be listed in {root}. Received: {error}.") from None
    return _read(root, size, on_error, files, aside)


def parse_name(name):
    """Split `folder:PATH?size=96&on_error=skip` into `(PATH, 96, "skip")`."""
    path, _, query = name.removeprefix(PREFIX).partition("?")
    options = {"size": str(SIZE), "on_error": "raise"}
    given = dict(parse_qsl(query, keep_blank_values=True))
    if not path:
        raise ValueError(f"Expected a path after {PREFIX}, for example {PREFIX}photos. Received: {name!r}.")
    if unknown := sorted(given.keys() - options.keys()):
        raise ValueError(f"Expected the options size and on_error in {name!r}. Received: {', '.join(unknown)}.")
    size, on_error = (options | given).values()
    if not re.fullmatch("[0-9]{1,5}", size) or not 8 <= int(size) <= LARGEST:
        raise ValueError(
            f"Expected size to be a whole number of pixels >= 8 and <= {LARGEST:,} in {name!r}. Received: {size!r}."
        )
    if on_error not in ("raise", "skip"):
        raise ValueError(f"Expected on_error to be raise or skip in {name!r}. Received: {on_error!r}.")
    return Path(os.path.expanduser(path)), int(size), on_error


def _list_files(root):
    """Return a tuple of `(part, class name, path, when changed, bytes)`, sorted, and the names of what lies aside."""
    parts = _find_parts(root)
    above = {folder.resolve() for folder in (root, *parts.values())}
    files, aside = [], [path for path in _visible(root) if "" not in parts and path not in parts.values()]
    for part, top in parts.items():
        folders = [path for path in _visible(top) if path.is_dir() and path.resolve() not in above]
        aside += [path for path in _visible(top) if not path.is_dir()]
        if part in ("", "train"):
            _check_classes(top, folders)
        for folder in folders:
            found = list(_walk(folder, above))
            if not found:
                raise ValueError(f"Expected pictures in {folder}. Received: an empty folder. Fill it or remove it.")
            for path in found:
                if path.is_file() or not path.exists():  # a link to nowhere is reported when it is read
                    state = path.stat() if path.exists() else path.lstat()
                    files.append((part, folder.name, str(path), state.st_mtime_ns, state.st_size))
                else:
                    aside.append(path)
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
            f"Received: {', '.join(names)} alone. With train/ and val/, rename val/ to test/: validation is then taken "
            "from train/. With one of them, move its folders up: a fifth of every class is then the test set."
        )
    return {part: paths[0] for part, paths in found.items() if paths} or {"": root}


def _check_classes(top, folders):
    """Raise a ValueError unless `folders` can be the classes in `top`; it names what was found."""
    inside = {path: _visible(path) for path in folders}
    inner = {path: {p.name for p in found} for path, found in inside.items() if all(p.is_dir() for p in found)}
    if len(folders) < 2:
        found = "".join(f", a folder of {enumerate_some(sorted(inner[path]))} (try {PREFIX}{path})" for path in inner)
        raise ValueError(
            f"Expected at least 2 folders of pictures to train on in {top}, one a class. "
            f"Received: {', '.join(path.name for path in folders) or 'none'}{found}."
        )
    for one, other in itertools.combinations([path for path in inner if len(inner[path]) > 1], 2):
        if len(alike := sorted(inner[one] & inner[other])) > 1:
            raise ValueError(
                f"Expected folders of pictures in {top}, one a class, or train/ and test/ of such folders. Received: "
                f"{one.name}/ and {other.name}/, both with the folders {enumerate_some(alike)}: which are the classes? "
                "Move the pictures up into the outer ones, or call the outer ones train and test."
            )


def _visible(folder):
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower() not in LITTER)


def _walk(folder, above):
    """Yield all files in a folder and in those inside it, but for links that lead back to a folder above."""
    above = above | {folder.resolve()}
    for path in _visible(folder):
        if not path.is_dir():
            yield path
        elif path.resolve() not in above:
            yield from _walk(path, above)


@functools.lru_cache(maxsize=2)
def _read(root, size, on_error, files, aside):
    """Decode the pictures, check what came out, and return the `Source`."""
    class_names = _class_names(root, sorted({file[:2] for file in files}))
    try:
        images = np.empty((len(files), size, size, 3), "uint8")
    except MemoryError as error:
        raise ValueError(f"Expected a ?size= of {root} that fits into memory. Received: {size} ({error}).") from None
    parts, labels, left_out = [], [], list(aside)
    for part, class_name, path, *_ in files:
        try:
            images[len(labels)] = _picture(path, size)
            parts.append(part)
            labels.append(class_names.index(class_name))
        except Exception as error:  # a damaged file can make a decoder raise anything
            claims = Path(path).suffix.lower() in SUFFIXES or not isinstance(error, UnidentifiedImageError)
            if claims and on_error == "raise":
                raise ValueError(
                    f"Expected a picture at {path}. Received: {error or type(error).__name__}. "
                    "Repair or remove it, or add ?on_error=skip to the folder's name to leave such files out."
                ) from None
            name = Path(path).relative_to(root).as_posix()
            left_out.append(f"{name} ({str(error).replace(path, name) if claims else 'no picture'})")
    parts, labels = np.array(parts, dtype="U5"), np.array(labels, "int64")
    counts = np.bincount(labels[(parts == "train") | (parts == "")], minlength=len(class_names))
    least, purpose = (3, "to train, to validate and to test") if "" in parts else (1, "to train on")
    if counts.min() < least:
        said = f"; left out: {enumerate_some(left_out)}" if left_out else ""
        raise ValueError(
            f"Expected at least {least} readable pictures of every class in {root}, {purpose}. "
            f"Received: {counts.min()} of class {class_names[counts.argmin()]!r}{said}."
        )
    train, test = np.flatnonzero(parts != "test"), np.flatnonzero(parts == "test")
    if "" in parts:
        count = max(len(class_names), round(TEST_SHARE * len(labels)))
        train, test = stratified_split(labels, count, seed=TEST_SEED)
    origin = f"folder {root.resolve().name}, {len(labels):,} pictures at {size}×{size}"
    arrays = images[train], labels[train], images[test], labels[test]
    return Source(*arrays, class_names, origin, num_val=int((parts == "val").sum()), left_out=tuple(left_out))


def _class_names(root, pairs):
    """Return the class names of sorted `(part, class name)` pairs, or say which do not fit together."""
    names = tuple(name for part, name in pairs if part in ("", "train"))
    plain = {}
    for _, name in pairs:  # many a disk takes Cat and cat for one folder
        other = plain.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise ValueError(
                f"Expected class names in {root} that differ in more than upper and lower case. "
                f"Received: {other}, {name}. Give the folders of one class one name."
            )
    if unseen := [f"{name} in {part}" for part, name in pairs if name not in names]:
        raise ValueError(
            f"Expected every class of {root} in {root}/train too. Received: {enumerate_some(unseen)} alone."
        )
    return names


def _picture(path, size):
    """Return one picture as uint8 `(size, size, 3)`."""
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
            return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
