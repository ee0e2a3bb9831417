"""Facts about accuracy where one class is far commoner than the others. Ledger 88."""

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from cnnkit.evidence.fact import Fact


def blind(score, common=95, rare=5):
    """The score, in %, of a classifier that names the commonest class whatever it is shown."""
    labels, pictures = np.repeat([0, 1], [common, rare]), np.zeros((common + rare, 1))
    guesses = DummyClassifier(strategy="most_frequent").fit(pictures, labels).predict(pictures)
    return 100 * score(labels, guesses)


FACTS = [
    Fact("special-field-95", 88, "Classifiers for a special field reach 95% and more.",
         lambda: blind(accuracy_score),
         "% right without a look at any picture, where 95 of 100 are of one class", lambda share: share >= 95,
         condition="as long as nobody says of which pictures, and how common their commonest class is"),
    Fact("accuracy-is-skill", 88, "Who has 95% of the pictures right can tell the classes apart.",
         lambda: blind(balanced_accuracy_score),
         "% right in the mean over two classes, of the same classifier: chance", lambda share: share > 50,
         source="ours"),
]  # fmt: skip
