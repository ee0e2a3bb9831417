"""Momentum from 0 to 0.99: is it faster, steadier, better, and is it more than a longer step?

Run:     python -m cnnkit sweep momentum --profile full
Expect:  about 49% on CIFAR-10 from 2,500 images at half size; 45 minutes of one core.

Steps with momentum are up to 1 / (1 - beta) times as long, so the grids are shifted by about that, and an arm follows
plain SGD at a rate that makes a steady gradient move the weights equally far. "Stable" is tested at four times that,
where runs begin to collapse. For speed, rates are chosen among the same tuning runs by the time to a target.
"""

from cnnkit.course.optimizers.optimizers import CAFFE, LEVELS, WHERE
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, Times, doubled

FIRST = {0: 0.01, 0.5: 0.005, 0.9: 0.002, 0.99: 0.0002}  # the lowest of six rates, each twice the last
TUNED = {f"{beta}, tuned": {"optimizer_args": {"momentum": float(beta)}} for beta in FIRST}
RATES = {f"{beta}, tuned": doubled(rate) for beta, rate in FIRST.items()}
OTHERS = {  # whose rate they follow, and by what factor
    "0.9, matched": Times("0, tuned", 0.1),
    "0, fourfold": Times("0, tuned", 4.0),
    "0.9, matched fourfold": Times("0, tuned", 0.4),
}
ARMS = TUNED | {arm: TUNED[f"{arm.split(', ')[0]}, tuned"] | {"learning_rate": rate} for arm, rate in OTHERS.items()}
TARGET = ("val_accuracy", LEVELS["cifar10"][0])
HOW = {"by": "momentum, rate", "where": WHERE, "ledger": 45, "seeds": 10}

final = Comparison(
    CAFFE,
    arms=ARMS,
    rates=RATES,
    claims=(
        Claim("momentum-accuracy", "Momentum 0.9 classifies better than none", "0.9, tuned", "0, tuned"),
        Claim("momentum-is-more-than-a-step", "Momentum 0.9 at a tenth of plain SGD's rate classifies better than it",
              "0.9, matched", "0, tuned", source="ours"),
        Claim("momentum-usual", "Momentum 0.9 classifies better than 0.99", "0.9, tuned", "0.99, tuned"),
        Claim("momentum-collapses-less", "At four times plain SGD's best rate fewer runs collapse with momentum 0.9 "
              "and a tenth of that rate", "0.9, matched fourfold", "0, fourfold", margin=0.1, metric="collapsed"),
    ),
    control="0, tuned",
    margin=0.01,
    **HOW,
)  # fmt: skip
three = [f"{beta}, tuned" for beta in (0, 0.9, 0.99)]
speed = Comparison(
    CAFFE,
    arms={arm: TUNED[arm] for arm in three},
    rates={arm: RATES[arm] for arm in three},
    claims=(
        Claim("momentum-sooner", f"Momentum 0.9 is sooner at {TARGET[1]:.0%} of the validation images than none",
              "0.9, tuned", "0, tuned", margin=1.0, metric="steps", target=TARGET, ratio=True),
    ),
    score=TARGET,
    longer_seeds=0,  # when it gets there is the question
    **HOW,
)  # fmt: skip


EXPERIMENT = Experiment(
    name="momentum",
    question="Is momentum faster, steadier and better than plain SGD, or only a longer step?",
    full={"final": final, "speed": speed},
    smoke={"final": final.small(dataset="digits", train_size=300, model="mlp", batch_size=32, epochs=2)},
    answer="Momentum 0.9 gains {momentum-accuracy:+.1f} points over plain SGD, {momentum-is-more-than-a-step:+.1f} at "
    "steps as long as its.",
)
