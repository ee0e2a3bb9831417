"""A folder of photographs as one gets it: uneven classes, mixed formats, and files that are no pictures."""

import io

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from cnnkit import data

FORMATS = (*6 * ["jpg"], "png", "png", "webp", "gif")  # of every ten pictures
ANIMALS = {"cat": 900, "dog": 225, "bird": 60}  # of CIFAR-10
SIDE = 48  # pixels of a piece of scikit-learn's two photographs
TURNED = 6  # EXIF: the camera was held upright, turn the picture clockwise


def photographs(profile):
    """Return real photographs, uneven in number: a dict of class to uint8 `(n, height, width, 3)`.

    In full of three classes of CIFAR-10, where it is there; else pieces of scikit-learn's two photographs that do not
    overlap, and only every fourth of the flower.
    """
    if profile == "full" and data.is_available("cifar10"):
        cifar = data.load_dataset("cifar10")
        label = {name: cifar.class_names.index(name) for name in ANIMALS}
        return {name: cifar.x_train[cifar.y_train == label[name]][:count] for name, count in ANIMALS.items()}
    return {"temple": _pieces("china.jpg"), "flower": _pieces("flower.jpg")[::4]}


def _pieces(name):
    photo = load_sample_image(name)
    rows, columns = photo.shape[0] // SIDE, photo.shape[1] // SIDE
    cut = photo[: rows * SIDE, : columns * SIDE].reshape(rows, SIDE, columns, SIDE, 3)
    return cut.transpose(0, 2, 1, 3, 4).reshape(-1, SIDE, SIDE, 3)


def make_folder(root, pictures):
    """Write `pictures`, as of `photographs`, to `root/<class>/`, with what real folders hold besides.

    In each class one is turned as a phone does (EXIF), one is grey, one transparent; in the first one a file has lost
    its second half. `Thumbs.db` and a text lie about.
    """
    for name, images in pictures.items():
        folder = root / name
        folder.mkdir(parents=True)
        (folder / "Thumbs.db").write_bytes(b"what Windows leaves behind")
        for place, image in enumerate(map(Image.fromarray, images)):
            how, suffix = {}, FORMATS[place % len(FORMATS)]
            if place == 0:
                image, how = image.transpose(Image.Transpose.ROTATE_90), {"exif": _exif()}
            elif place == 1:
                image = image.convert("L")
            elif suffix == "png":
                image.putalpha(Image.fromarray(np.full(image.size[::-1], 255, "uint8")))
            image.save(folder / f"{name}_{place:04d}.{suffix}", **how)
    (root / "read me.txt").write_text("Holidays, 2019.")
    Image.fromarray(next(iter(pictures.values()))[0]).save(file := io.BytesIO(), "JPEG")
    half = file.getvalue()[: len(file.getvalue()) // 2]
    (root / next(iter(pictures)) / "half.jpg").write_bytes(half)


def _exif():
    exif = Image.Exif()
    exif[0x0112] = TURNED  # orientation
    return exif
