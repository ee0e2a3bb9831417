"""What a fact is, and how it is checked."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

ARTICLES = "popular articles"


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


def fact(ledger, text, *, unit, holds, source=ARTICLES, condition=None):
    """Make a function `() -> number` the computation of a `Fact`, whose id is the function's name; a decorator."""

    def decorate(compute):
        return Fact(compute.__name__.replace("_", "-"), ledger, text, source, compute, unit, holds, condition)

    return decorate


def check(fact):
    """Compute a fact's figure, once a process, and compare.

    Returns:
        Dict with the columns of `claims.csv` and `reason`, as `claims.decide` gives: the figure is its `effect`, the
        verdict TRUE, FALSE or CONDITIONAL.
    """
    figure = _figure(fact)
    fine = fact.holds(figure) if callable(fact.holds) else figure == fact.holds
    row = {name: getattr(fact, name) for name in ("id", "ledger", "text", "source", "unit")}
    row |= {"experiment": "", "effect": figure, "low": np.nan, "high": np.nan, "n": 0, "margin": np.nan}
    verdict = "FALSE" if not fine else "TRUE" if fact.condition is None else "CONDITIONAL"
    return row | {"verdict": verdict, "reason": fact.condition if verdict == "CONDITIONAL" else "computed"}


@functools.cache
def _figure(fact):
    return float(fact.compute())
