"""What this chapter's experiments share: a network that overfits when left alone, and the best of several strengths."""

import dataclasses

from cnnkit.evidence.comparison import Comparison, Plan, Times, doubled
from cnnkit.lab.config import ONE_CYCLE, RunConfig

ALONE = {"width": 0.5, "conv_dropout": 0.0, "dense_dropout": 0.0}  # Keras' example at half its width: 52,250 weights
BASE = RunConfig(dataset="halved:cifar10", train_size=3_000, model="keras_cifar", model_args=ALONE, **ONE_CYCLE)
BASE = BASE.replace(batch_size=50, epochs=25, validate_every=5)
RATES = doubled(0.005, 5)
COMMON = {"where": "(four convolutions, 3,000 CIFAR-10 images at half their resolution)", "margin": 0.01}
SMALL = {"dataset": "halved:digits", "train_size": 200, "epochs": 1}  # in smoke


def drop(**shares):
    """Return the `RunConfig` fields that give the network some dropout, such as `dense_dropout=0.5`."""
    return {"model_args": ALONE | shares}


@dataclasses.dataclass(frozen=True)
class BestOf(Comparison):
    """A comparison with one more arm for each group of arms that try one thing at several strengths: its best.

    Of the arms `"L1, 0.0001"`, `"L1, 0.001"`, ... the one that validates best in the tuning runs, each at its own rate,
    is also the arm `"L1, best"`, for claims. Strengths are declared in order; the strongest, if best, decides nothing.
    """

    groups: tuple = ()  # such as `("L1",)`

    def __post_init__(self):
        arms, first = dict(self.arms), {arm.split(", ")[0]: arm for arm in reversed(self.arms)}
        for group in self.groups:
            if group not in first:
                raise ValueError(f"Expected groups out of {', '.join(sorted(first))}, of arms. Received: {group}.")
            arms.setdefault(f"{group}, best", arms[first[group]] | {"learning_rate": Times(first[group], 1)})
        object.__setattr__(self, "arms", arms)
        super().__post_init__()

    def plan(self, rows, history):
        """Return the `Plan`, whose `comparison` has the best strengths in it once the tuning runs are there."""
        return _BestPlan(self, rows, history)


class _BestPlan(Plan):
    def _confirm(self):
        self._choose()
        arms, at_edge = dict(self.comparison.arms), {}
        for group in self.comparison.groups:
            tried = [arm for arm in arms if arm.startswith(f"{group}, ") and self.comparison.rates_of(arm)]
            means = {arm: self.scores[arm].loc[self._rate(arm)].mean() for arm in tried if self._rate(arm)}
            if means:
                best = max(means, key=means.get)
                arms[f"{group}, best"] = arms[best] | {"learning_rate": Times(best, 1)}
                if best in self.undecided:
                    at_edge[f"{group}, best"] = self.undecided[best]
                elif best == (tried[0] if group == "max-norm" else tried[-1]):  # beyond the weakest is none
                    at_edge[f"{group}, best"] = f"the best of {group} is at the edge of what was tried: {best}"
        self.comparison = dataclasses.replace(self.comparison, arms=arms)
        runs = super()._confirm()
        self.undecided |= at_edge
        return runs

    def _conditions(self, claim):
        chosen = [self.comparison.followers[arm].arm for arm in claim.arms if arm.endswith(", best")]
        return "; best: ".join(filter(None, [super()._conditions(claim), " and ".join(chosen)]))
