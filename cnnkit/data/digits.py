"""`digits`: the 1,797 handwritten digits that scikit-learn carries, enlarged from 8×8 to MNIST's 28×28."""

import functools

import numpy as np
import sklearn
from PIL import Image
from sklearn.datasets import load_digits as load_sklearn_digits

from cnnkit.data.splits import REGISTRY, Entry, Source, stratified_split


@functools.lru_cache(maxsize=1)
def load_digits(data_dir=None):
    """Return the `Source` of `digits`: 1,438 images to train on, always the same 359 to test, uint8 `(n, 28, 28, 1)`.

    Enlarged bilinearly, with smooth strokes as in MNIST, in Pillow's integers: the same pixels on every machine.
    Source: Alpaydin & Kaynak 1998, "Optical recognition of handwritten digits", UCI; the part scikit-learn carries.
    """
    data = load_sklearn_digits()
    small = np.rint(data.images * (255 / 16)).astype("uint8")  # grey levels 0 to 16
    images = np.stack([Image.fromarray(image).resize((28, 28), Image.Resampling.BILINEAR) for image in small])
    train, test = stratified_split(data.target, round(0.2 * len(images)), seed=1)
    arrays = [array[places] for places in (train, test) for array in (images[..., None], data.target)]
    return Source(*arrays, tuple("0123456789"), f"scikit-learn {sklearn.__version__}")


REGISTRY["digits"] = Entry(load_digits, 1_797, (28, 28, 1), 10, lambda: ("embedded", "scikit-learn"))
