"""Facts about regularization. Ledger 51."""

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Lasso, LinearRegression

from cnnkit.evidence.fact import fact


@fact(51, unit="of the 3 weights (of 10) that L1 keeps are among the 3 largest without it", holds=3)
def l1_keeps_largest():
    """L1 regularization keeps the N largest weights and deletes the others."""
    x, y = load_diabetes(return_X_y=True)  # all ten inputs have one mean and one norm
    plain, sparse = (np.abs(model.fit(x, y).coef_) for model in (LinearRegression(), Lasso(alpha=1)))
    kept = np.flatnonzero(sparse)
    return np.isin(kept, np.argsort(plain)[-len(kept) :]).sum()
