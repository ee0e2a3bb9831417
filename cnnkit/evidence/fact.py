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
    """A sentence that a computation decides; its id, ledger, text and source are as of a `claims.Claim`."""

    id: str
    ledger: int  # 0 for a sentence of our own that is not in the ledger
    text: str
    compute: Callable  # () -> number: the figure
    unit: str  # what the figure counts
    holds: float | Callable  # the figure that the text states, or a function (figure) -> Boolean
    source: str = "popular articles"  # the default is for what one of the ledger's articles says, and for nothing else
    condition: str | None = None  # under which alone the text is true

    @functools.cached_property
    def figure(self):  # once a process
        return float(self.compute())


def check(fact):
    """Return a fact's line of `claims.csv` as a dict: `effect` is the figure, `verdict` TRUE, FALSE or CONDITIONAL.

    Raises:
        ValueError: If the figure is not a finite number.
    """
    figure = fact.figure
    if not math.isfinite(figure):
        raise ValueError(f"Expected a finite figure of the fact {fact.id}. Received: {figure}. Mend its computation.")
    holds = fact.holds(figure) if callable(fact.holds) else figure == fact.holds
    verdict, reason = ("TRUE" if holds else "FALSE"), "computed"
    if holds and fact.condition:
        verdict, reason = "CONDITIONAL", fact.condition
    row = {name: getattr(fact, name) for name in ("id", "text", "source")} | {"ledger": fact.ledger or None}
    return row | {"experiment": "", "effect": figure, "unit": fact.unit, "verdict": verdict, "reason": reason}
