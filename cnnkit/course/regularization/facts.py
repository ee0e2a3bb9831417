"""Facts about regularization. Ledger 51."""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso, LinearRegression

from cnnkit.evidence.fact import Fact


def kept_of_largest():
    """How many of the weights that L1 leaves are among as many that are the largest without it."""
    x, y = load_diabetes(return_X_y=True)  # all ten inputs have one mean and one norm
    plain, sparse = (np.abs(model.fit(x, y).coef_) for model in (LinearRegression(), Lasso(alpha=1)))
    kept = np.flatnonzero(sparse)
    return np.isin(kept, np.argsort(plain)[-len(kept) :]).sum()


FACTS = [
    Fact("l1-keeps-largest", 51, "L1 regularization keeps the N largest weights and deletes the others.",
         kept_of_largest, "of the 3 weights (of 10) that L1 keeps are among the 3 largest without it", 3),
]  # fmt: skip
