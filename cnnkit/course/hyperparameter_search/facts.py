"""Facts about searches: grids and chance, the best of many noisy scores, what Hyperband spends. Ledger 74."""

import itertools
import math

from scipy import stats

from cnnkit.evidence.fact import Fact


def best_of(n):
    """The mean of the best of n standard normal numbers, in standard deviations."""
    return float(stats.order_statistic(stats.Normal(), r=n, n=n).mean())


def trials_for(share, sure):
    """How many random trials it takes to have one among the best `share` of all settings, with probability `sure`."""
    return math.ceil(math.log(1 - sure) / math.log(1 - share))


def values_tried(trials, dimensions):
    """How many values of one hyperparameter the largest full grid of at most so many trials tries."""
    side = math.floor(trials ** (1 / dimensions) + 1e-9)
    return len({setting[0] for setting in itertools.product(range(side), repeat=dimensions)})


def brackets(most, factor=3):
    """Hyperband's brackets as keras-tuner cuts them: a list of lists of `(trials, epochs of each)`, a pair a round."""
    count = math.floor(math.log(most, factor) + 1e-9)
    size = math.ceil(1 + math.log(most, factor) - 1e-9)
    return [
        [(math.ceil(size / (last + 1) * factor**left), math.ceil(most / factor**left)) for left in range(last, -1, -1)]
        for last in range(count, -1, -1)
    ]


FACTS = [
    Fact("best-of-twenty", 74, "The best validation score of twenty settings is what that setting scores again.",
         lambda: round(best_of(20), 6), "deviations of the noise too high, where all settings are equally good", 0,
         source="read off a search's log"),
    Fact("sixty-trials", 0, "Sixty random trials find one of the best 5% of settings, with 95% probability.",
         lambda: trials_for(0.05, 0.95), "trials", lambda trials: trials <= 60),
    Fact("grid-tries-few", 0, "A full grid of 256 trials over 8 hyperparameters tries 256 learning rates.",
         lambda: values_tried(256, 8), "learning rates", 256, source="Bergstra and Bengio 2012 say why it does not"),
]  # fmt: skip
