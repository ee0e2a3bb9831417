"""Facts: sentences of articles and papers that a computation decides, and their verdicts.

To add one, write its row into the `FACTS` of `course/<chapter>/facts.py`: what is said, then how it is decided.

    Fact("pool-2-at-1", 18, "Pooling 6×6 pixels with 2×2 windows at stride 1 gives 4×4.",
         lambda: positions(6, layers.MaxPooling1D(2, 1)), "positions a side", 4),

Take the figure from the thing itself (a Keras layer, its gradient), in a function of its own where it takes more than
an expression. `make results` then writes its line of `results/claims.csv`. A figure is exact, or rounded: nine of its
digits must be the same on every machine.
"""

import dataclasses
import functools
import math
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Fact:
    """A sentence that a computation decides.

    Args:
        id, ledger, text: As of a `claims.Claim`.
        compute: Function `() -> number`: the figure.
        unit: What the figure counts.
        holds: The figure that the text states, or a function `(figure) -> Boolean`.
        source: As of a `claims.Claim`. The default is for what one of the ledger's articles says, and for nothing else.
        condition: Under which alone the text is true; None if it simply is or is not.
    """

    id: str
    ledger: int
    text: str
    compute: Callable
    unit: str
    holds: float | Callable
    source: str = "popular articles"
    condition: str | None = None

    @functools.cached_property
    def figure(self):
        return float(self.compute())


def check(fact):
    """Compute a fact's figure, once a process, and compare.

    Returns:
        Dict with columns of `claims.csv`: id, ledger, text, source, experiment (""), effect (the figure), unit, verdict
        (TRUE, FALSE or CONDITIONAL) and reason.
    Raises:
        ValueError: If the figure is not a finite number.
    """
    figure = fact.figure
    if not math.isfinite(figure):
        raise ValueError(f"Expected a finite figure of the fact {fact.id}. Received: {figure}. Mend its computation.")
    fine = fact.holds(figure) if callable(fact.holds) else figure == fact.holds
    verdict = "FALSE" if not fine else "TRUE" if fact.condition is None else "CONDITIONAL"
    row = {name: getattr(fact, name) for name in ("id", "ledger", "text", "source")} | {"experiment": ""}
    reason = fact.condition if verdict == "CONDITIONAL" else "computed"
    return row | {"effect": figure, "unit": fact.unit, "verdict": verdict, "reason": reason}
