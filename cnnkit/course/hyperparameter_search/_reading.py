"""What trials of searches say: which of them were lost, what matters, what lies at an edge, what to expect of n."""

import numpy as np
import pandas as pd
from scipy import special, stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from cnnkit.evidence import claims
from cnnkit.lab.search import Range

EDGE = 0.1  # of a range


def whole(trials):
    """Return the trials of the most epochs, none twice; `trials` are as `search.run_search` returns them."""
    return trials[trials["epochs"] == trials["epochs"].max()].drop_duplicates(["algorithm", "search_seed", "run_id"])


def encode(trials, space):
    """Return numbers, a column a hyperparameter: a range from 0 to 1 on its own scale, a choice by its place."""
    columns = {}
    for name, values in space.items():
        if isinstance(values, Range):
            numbers = np.array([values.low, values.high, *trials[name]], dtype=float)
            numbers = np.log(numbers) if values.log else numbers
            columns[name] = (numbers[2:] - numbers[0]) / (numbers[1] - numbers[0])
        else:
            places = {"none" if value is None else value: place for place, value in enumerate(values)}
            columns[name] = trials[name].astype(object).where(trials[name].notna(), "none").map(places).astype(float)
    return pd.DataFrame(columns, index=trials.index)


def importances(trials, space, share=1.0):
    """Return how much each hyperparameter of random search's whole trials tells of the score: a line a search and name.

    A forest is fitted to the logarithms of the errors of all searches but one. `importance` is the R² that it loses on
    that one where a column is shuffled, `r2` what it has there, `oob` what it has on trials of its own that a tree did
    not see. `share` keeps the best of all trials: what matters once a setting trains. One search has no line.
    """
    trials = whole(trials[trials["algorithm"] == "random"])
    scores = trials["score"].fillna(trials["score"].min())
    kept = scores >= scores.quantile(1 - share)
    x, seeds, lines = encode(trials, space)[kept], trials.loc[kept, "search_seed"], []
    y = np.log((1 - scores[kept]).clip(lower=0.001))
    for seed in seeds.unique() if seeds.nunique() > 1 else ():
        forest = RandomForestRegressor(100, min_samples_leaf=2, oob_score=True, random_state=1)
        forest.fit(x[seeds != seed], y[seeds != seed])
        mine = x[seeds == seed], y[seeds == seed]
        lost = permutation_importance(forest, *mine, n_repeats=10, random_state=1)["importances_mean"]
        known = {"search_seed": seed, "r2": forest.score(*mine), "oob": forest.oob_score_}
        lines += [known | {"hyperparameter": name, "importance": one} for name, one in zip(space, lost, strict=True)]
    return pd.DataFrame(lines, columns=["search_seed", "hyperparameter", "importance", "r2", "oob"])


def edges(trials, space):
    """Return how many searches' best settings lie at each end of what has two: a tenth of a range, a choice's last.

    A line a hyperparameter and end: `end`, `there` of `searches`, `chance`, the share to expect of any setting, and
    `flag`, whether so many would be there by chance in less than 5%: then the space should go on beyond.
    """
    whole_ones = whole(trials)
    best = whole_ones.loc[whole_ones.groupby(["algorithm", "search_seed"])["score"].idxmax()]
    places, lines = encode(best, space), []
    for name, values in space.items():
        ranged = isinstance(values, Range)
        if not ranged and any(isinstance(value, str) for value in values):
            continue
        ends = (values.low, values.high) if ranged else (values[0], values[-1])
        chance, top = (EDGE, 1 - EDGE) if ranged else (1 / len(values), len(values) - 1)
        counts = (places[name] <= (EDGE if ranged else 0)).sum(), (places[name] >= top).sum()
        for end, there in zip(ends, counts, strict=True):
            rare = stats.binomtest(int(there), len(best), chance, "greater").pvalue < 0.05
            line = {"hyperparameter": name, "end": end, "there": there, "searches": len(best)}
            lines.append(line | {"chance": chance, "flag": "extend it" if rare else ""})
    return pd.DataFrame(lines)


def lost(trials, runs):
    """Return by algorithm how many `whole` trials there are, and how many of these `diverged` or `collapsed`.

    `runs` are their rows, among others. Collapsed as fresh runs are: nearer to chance than to the best.
    """
    first = whole(trials)[["algorithm", "run_id"]].merge(runs, on="run_id").assign(arm="all")
    first = first.assign(collapsed=claims.find_collapsed(first), diverged=first["status"] == "diverged")
    counts = {"whole": ("run_id", "size"), "diverged": ("diverged", "sum"), "collapsed": ("collapsed", "sum")}
    return first.groupby("algorithm").agg(**counts)


def expected_best(scores):
    """Return the expected best of n of these scores, drawn without putting back, for n = 1, 2, ...: a Series.

    Of N scores the i-th smallest is the best of n in C(i-1, n-1) of C(N, n) draws.
    """
    ranked = np.sort(np.asarray(scores, dtype=float))
    total, ranks = len(ranked), np.arange(len(ranked))
    means = [ranked @ (special.comb(ranks, n - 1) / special.comb(total, n)) for n in range(1, total + 1)]
    return pd.Series(means, index=pd.RangeIndex(1, total + 1, name="n"))
