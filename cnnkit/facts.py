"""Facts: sentences of textbooks that a computation decides, and their verdicts.

To add one: a `Fact` at the end of `FACTS`, whose `compute` takes the figure from the thing itself. `make results` then
writes its line of `results/claims.csv`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np

from cnnkit import anatomy, models


@dataclasses.dataclass(frozen=True)
class Fact:
    """A sentence that a computation decides.

    Args:
        id, ledger, text, source: As of a `claims.Claim`.
        compute: Function `() -> number`: the figure.
        unit: String, what the figure counts.
        holds: The figure that the text states, or a function `(figure) -> Boolean`.
        condition: String, under which alone the text is true; None if it simply is or is not.
    """

    id: str
    ledger: int
    text: str
    source: str
    compute: Callable
    unit: str
    holds: float | Callable
    condition: str | None = None


def check(fact):
    """Compute a fact's figure and compare.

    Returns:
        Dict with the columns of `claims.csv` and `reason`, as `claims.decide` gives: the figure is its `effect`, the
        verdict TRUE, FALSE or CONDITIONAL.
    """
    figure = fact.compute()
    fine = fact.holds(figure) if callable(fact.holds) else figure == fact.holds
    row = {name: getattr(fact, name) for name in ("id", "ledger", "text", "source", "unit")}
    row |= {"experiment": "", "effect": float(figure), "low": np.nan, "high": np.nan, "n": 0, "margin": np.nan}
    verdict = "FALSE" if not fine else "TRUE" if fact.condition is None else "CONDITIONAL"
    return row | {"verdict": verdict, "reason": fact.condition if verdict == "CONDITIONAL" else "computed"}


@functools.cache
def _lenet5():
    return anatomy.layer_table(models.create_model("lenet5", (32, 32, 1), 10))


def _lenet5_layers():
    table = _lenet5()  # a layer of the paper has weights or, as the output's fixed codes, multiplies
    return ((table["num_params"] > 0) | (table["macs"] > 0)).sum()


def _lenet5_connections():
    table = _lenet5()
    units, pooling = table["output_shape"].map(math.prod), table["type"] == "SubSampling"
    biased = (table["num_params"] > 0) & ~pooling
    # A sub-sampling unit has four inputs and a bias, any other its multiply-adds and, if it has weights, a bias.
    return table["macs"].sum() + units[biased].sum() + 5 * units[pooling].sum()


_LECUN = "LeCun et al. 1998, sec. II.B"

FACTS = (
    Fact("lenet5-layers", 7, "LeNet-5 has seven layers, its input not counted.", _LECUN, _lenet5_layers, "layers", 7),
    Fact(
        "lenet5-parameters",
        7,
        "LeNet-5 has 60,000 trainable parameters.",
        _LECUN,
        lambda: _lenet5()["num_params"].sum(),
        "parameters",
        60_000,
    ),
    Fact(
        "lenet5-connections",
        7,
        "LeNet-5 has 340,908 connections.",
        _LECUN,
        _lenet5_connections,
        "connections",
        340_908,
    ),
)
