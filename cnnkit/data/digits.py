"""`digits`: the 1,797 handwritten digits that scikit-learn carries, enlarged from 8×8 to 28×28."""

import functools

import numpy as np
import sklearn
from PIL import Image
from sklearn.datasets import load_digits as load_sklearn_digits

from cnnkit.data.splits import REGISTRY, Entry, Source, stratified_split

SIZE = 28  # MNIST's, so that the same networks fit
TEST_SHARE = 0.2
TEST_SEED = 1  # fixed: every seed of a run is tested on the same 359 images
CLASS_NAMES = tuple("0123456789")


@functools.lru_cache(maxsize=1)
def load_digits():
    """Return the `Source` of `digits`: 1,438 images to train on, 359 to test, uint8 `(n, 28, 28, 1)`.

    Enlarged bilinearly: smooth strokes as in MNIST, no ringing as with bicubic, no blocks as with nearest neighbour.
    Pillow computes it in integers, so the pixels are the same on every machine.

    Source: Alpaydin & Kaynak 1998, "Optical recognition of handwritten digits", UCI; the part scikit-learn carries.
    """
    data = load_sklearn_digits()
    small = np.rint(data.images * (255 / 16)).astype("uint8")  # grey levels 0 to 16
    images = np.stack([Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for image in small])
    images, labels = images[..., None], data.target
    train, test = stratified_split(labels, round(TEST_SHARE * len(labels)), seed=TEST_SEED)
    origin = f"scikit-learn {sklearn.__version__}"
    return Source(images[train], labels[train], images[test], labels[test], CLASS_NAMES, origin)


REGISTRY["digits"] = Entry(
    lambda data_dir: load_digits(), 1_797, (SIZE, SIZE, 1), 10, lambda data_dir: ("embedded", "scikit-learn")
)
