"""Facts about learning by heart, choosing and splitting. Ledger 73-75, 79."""

import keras
import numpy as np
from keras import layers
from sklearn.neighbors import KNeighborsClassifier

from cnnkit import data
from cnnkit.course.hyperparameter_search.facts import best_of
from cnnkit.course.overfitting import _clinic
from cnnkit.evidence.fact import Fact


def trained_weights(**options):
    """The weights of a small network of digits after two epochs, in one array; `fit` takes the options."""
    keras.utils.set_random_seed(1)
    model, digits = _clinic.build(layers.Flatten(), layers.Dense(10, "softmax")), _clinic.digits()
    model.fit(digits["x_train"], digits["y_train"], epochs=2, verbose=0, **options)
    return np.concatenate([array.ravel() for array in model.get_weights()])


def moved_by_validation():
    """How many weights are others where validation images are watched meanwhile."""
    digits = _clinic.digits()
    watched = trained_weights(validation_data=(digits["x_val"], digits["y_val"]))
    return int((np.abs(watched - trained_weights()) > 1e-6).sum())


def learnt_by_heart():
    """Test accuracy of the nearest neighbour, which has all its training digits right, where labels were dealt out."""
    digits = data.load_dataset("relabelled:digits")
    flat = [x.reshape(len(x), -1).astype("float32") for x in (digits.x_train, digits.x_test)]
    nearest = KNeighborsClassifier(1).fit(flat[0], digits.y_train)
    assert nearest.score(flat[0], digits.y_train) > 0.95
    return round(nearest.score(flat[1], digits.y_test), 3)


def line_through_parabola(points, draws=2000):
    """The mean squared training error of straight lines, each fitted to so many random points of a parabola."""
    x = np.random.default_rng(1).uniform(-1, 1, (draws, points))
    y = x**2
    x, y = (values - values.mean(axis=1, keepdims=True) for values in (x, y))
    slope = (x * y).sum(axis=1, keepdims=True) / (x**2).sum(axis=1, keepdims=True)
    return ((y - slope * x) ** 2).mean()


FACTS = [
    Fact("by-heart-is-no-rule", 73, "A classifier that has 95% of its training images right has learnt the task.",
         learnt_by_heart, "of the test digits right, by a nearest neighbour that has learnt random labels by heart",
         lambda share: share > 0.95, source="ours"),
    Fact("best-of-ten", 74, "The best of ten equally good settings has, on the test set that chose it, its true score.",
         lambda: round(best_of(10), 2), "standard errors too much, if their mistakes are independent", 0,
         source="Keras' examples chose on the test set"),
    Fact("split-prevents", 75, "Splitting off validation images prevents overfitting.",
         moved_by_validation, "of 650 weights end elsewhere if validation images are watched", lambda moved: moved > 0),
    Fact("tenth-validates", 75, "A tenth of the images is enough for validation: of 1,000, it measures to a point.",
         lambda: round(100 * np.sqrt(0.9 * 0.1 / 100), 2), "points, standard error of an accuracy of 90%",
         lambda error: error <= 1, source="ours"),
    Fact("examples-against-underfitting", 79, "A model that underfits fits its examples better if there are more.",
         lambda: round(line_through_parabola(500) / line_through_parabola(5), 1),
         "times the error of lines through a parabola, 500 points instead of 5", lambda ratio: ratio < 1),
]  # fmt: skip
