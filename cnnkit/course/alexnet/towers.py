"""Two towers against one of equal parameters, and against one of equal width: is the split a good idea, or a need?

Run:     python -m cnnkit sweep towers --profile full
Expect:  about 60% on 5,000 images of CIFAR-10; an hour and a half of one core.

AlexNet was cut in two because one card of 3 GB could not hold it. The paper says that two towers do better than one
with half as many filters. Here the question is another: at equal parameters, two towers have more filters and fewer
connections between them. The logits read the maps' means, or dense layers would hold all parameters.
"""

from cnnkit.evidence.experiment import Claim, Comparison, Experiment
from cnnkit.lab.config import RunConfig

TEXT = "Two towers classify better than one of equal parameters (AlexNet's five convolutions, 5,000 CIFAR-10 images)."

towers = Comparison(
    RunConfig(
        dataset="cifar10",
        train_size=5_000,
        model="alexnet_small",
        optimizer_args={"momentum": 0.9},
        schedule="one_cycle",
        batch_size=64,
        epochs=20,
    ),
    by="towers",
    arms={  # 146,410 parameters, 148,195, and what the first has without the cut
        "two": {"model_args": {"head": "average", "towers": 2}},
        "one of equal parameters": {"model_args": {"head": "average", "width": 0.8}},
        "one of equal width": {"model_args": {"head": "average"}},
    },
    rates=tuple(0.005 * 2**k for k in range(5)),
    claims=(
        Claim("towers", TEXT, "two", "one of equal parameters", "Krizhevsky et al. 2012, sec. 3.5", 0.01, ledger=84),
    ),
    tuned_with={"epochs": 8},
)


def answer(found):
    """Return what a second tower changes at equal parameters."""
    (row,) = found.verdicts()
    return f"Two towers beside one of equal parameters: {100 * row['effect']:+.1f} points."


EXPERIMENT = Experiment(
    name="towers",
    question="At equal parameters, are two towers of convolutions better than one?",
    full=towers,
    smoke=towers.small(rates=1, dataset="digits", train_size=500, batch_size=32, epochs=1),
    notebook="05_alexnet",
    answer=answer,
)
