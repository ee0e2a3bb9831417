"""Label smoothing, early stopping and averaged weights, under a constant and under a falling rate.

Run:     python -m cnnkit sweep endings --profile full
Expect:  about 42% on 3,000 images of CIFAR-10 at half their resolution; 20 minutes of one core.

Stopping and averaging are said to cure what a constant rate does; a falling one may leave them nothing to do. So both
are tried under both. Stopping waits three epochs for a better validation loss and keeps the best weights; averages
reach back 100 updates, 1.7 epochs. On MNIST, without overfitting, averages are the experiment `moving_average` of 04.
"""

from cnnkit.course.regularization._recipe import BASE, COMMON, RATES, SMALL
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, Times

CONSTANT = {"schedule": "constant"}
FOLLOWS = {under: {"learning_rate": Times(f"nothing, {under}", 1)} for under in ("constant", "falling")}
RAW = {"metric": ("test_accuracy", "raw_test_accuracy"), "ledger": 57}
SZEGEDY = "Szegedy et al. 2016, sec. 7"
endings = Comparison(
    BASE.replace(validate_every=1),
    by="remedy, rate",
    arms={
        "nothing, constant": CONSTANT,
        "stopping, constant": CONSTANT | {"early_stopping": 3} | FOLLOWS["constant"],
        "averages, constant": CONSTANT | {"ema": 0.99},
        "nothing, falling": {},
        "stopping, falling": {"early_stopping": 3} | FOLLOWS["falling"],
        "averages, falling": {"ema": 0.99} | FOLLOWS["falling"],
        "smoothing 0.1, falling": {"label_smoothing": 0.1},
    },
    rates={
        **dict.fromkeys(("nothing, constant", "averages, constant"), (0.0025, *RATES[:4])),
        **dict.fromkeys(("nothing, falling", "smoothing 0.1, falling"), RATES),
    },
    ledger=79,
    claims=(
        Claim("stopping-accuracy", "At a constant rate early stopping improves accuracy", "stopping, constant",
              "nothing, constant", "popular articles; Goodfellow et al. 2016, sec. 7.8"),
        Claim("stopping-loss", "At a constant rate early stopping ends at a lower test loss", "stopping, constant",
              "nothing, constant", "ours", metric="test_loss", lower_is_better=True, margin=0.05),
        Claim("falling-beats-stopping", "A falling rate, trained out, beats early stopping at a constant one",
              "nothing, falling", "stopping, constant", "ours"),
        Claim("stopping-falling", "Under a falling rate early stopping costs accuracy", "nothing, falling",
              "stopping, falling", "ours"),
        Claim("smoothing-accuracy", "Label smoothing of 0.1 improves accuracy", "smoothing 0.1, falling",
              "nothing, falling", SZEGEDY),
        Claim("smoothing-loss", "Label smoothing of 0.1 ends at a lower test loss", "smoothing 0.1, falling",
              "nothing, falling", "ours", metric="test_loss", lower_is_better=True, margin=0.05),
        Claim("average-overfit-constant", "At a constant rate averaged weights classify better than last ones, each at "
              "its own rate", "averages, constant", "nothing, constant", "popular articles; Izmailov et al. 2018",
              ledger=57),
        Claim("average-overfit-falling", "Under a falling rate averaged weights classify better than the last ones",
              "averages, falling", "averages, falling", "popular articles; Izmailov et al. 2018", **RAW),
    ),
    control="nothing, falling",
    tuned_with={"epochs": 10},
    seeds=8,
    **COMMON,
)  # fmt: skip

EXPERIMENT = Experiment(
    name="endings",
    question="What do label smoothing, early stopping and averaged weights buy?",
    full=endings,
    smoke=endings.small(**SMALL | {"epochs": 2}),
    answer="In points: early stopping {stopping-accuracy:+.1f}, averages {average-overfit-constant:+.1f} (constant "
    "rate), smoothing {smoothing-accuracy:+.1f}.",
)
