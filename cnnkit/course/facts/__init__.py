"""Facts: sentences of articles and papers that a computation decides, and their verdicts.

To add one, write into the file of its topic a function that takes the figure from the thing itself (a Keras layer, its
gradient), under `@fact(...)`. `make results` then writes its line of `results/claims.csv`. A figure is exact, or a
count: nine of its digits must be the same on every machine.
"""

from cnnkit.course.facts import arithmetic, economy, fields, gradients, learning, parameters, sizes
from cnnkit.evidence.fact import Fact, check

_TOPICS = (sizes, fields, parameters, economy, arithmetic, gradients, learning)
FACTS = tuple(value for topic in _TOPICS for value in vars(topic).values() if isinstance(value, Fact))

__all__ = ["FACTS", "Fact", "check"]
