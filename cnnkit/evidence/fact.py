"""Facts: sentences of articles and papers that a computation decides, the list of all, and their verdicts.

To add one, write into `course/<chapter>/facts.py` a function that takes the figure from the thing itself (a Keras
layer, its gradient), under `@fact(...)`, with the sentence as its docstring. `make results` then writes its line of
`results/claims.csv`. A figure is exact, or rounded: nine of its digits must be the same on every machine.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

ARTICLES = "popular articles"
FACTS = []  # every fact whose file has been imported; `course.list_facts()` imports all files


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


def fact(ledger, *, unit, holds, source=ARTICLES, condition=None):
    """Append a function `() -> number` to `FACTS`: its name is the fact's id, its docstring the text; a decorator.

    Args: As of `Fact`. The default source is for what one of the ledger's articles says, and for nothing else.
    Raises:
        ValueError: If there is a fact of that id, or the function has no docstring.
    """

    def decorate(compute):
        name = compute.__name__.replace("_", "-")
        if twin := next((known for known in FACTS if known.id == name), None):
            raise ValueError(
                f"Expected a fact's id only once. Received: {name} in {compute.__module__}, after that of "
                f"{twin.compute.__module__}. Rename one of the functions."
            )
        if not compute.__doc__:
            raise ValueError(f"Expected a fact's text as its docstring. Received: none for {name}. Write the sentence.")
        FACTS.append(Fact(name, ledger, " ".join(compute.__doc__.split()), source, compute, unit, holds, condition))
        return compute

    return decorate


def check(fact):
    """Compute a fact's figure, once a process, and compare.

    Returns:
        Dict with columns of `claims.csv`: id, ledger, text, source, experiment (""), effect (the figure), unit, verdict
        (TRUE, FALSE or CONDITIONAL) and reason.
    Raises:
        ValueError: If the figure is not a finite number.
    """
    figure = _figure(fact)
    if not math.isfinite(figure):
        raise ValueError(f"Expected a finite figure of the fact {fact.id}. Received: {figure}. Mend its computation.")
    fine = fact.holds(figure) if callable(fact.holds) else figure == fact.holds
    verdict = "FALSE" if not fine else "TRUE" if fact.condition is None else "CONDITIONAL"
    row = {name: getattr(fact, name) for name in ("id", "ledger", "text", "source")} | {"experiment": ""}
    reason = fact.condition if verdict == "CONDITIONAL" else "computed"
    return row | {"effect": figure, "unit": fact.unit, "verdict": verdict, "reason": reason}


@functools.cache
def _figure(fact):
    return float(fact.compute())
