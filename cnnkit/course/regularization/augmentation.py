"""Altered pictures: eight ways, in 15 and in 45 epochs, and mirrored digits as the case where they must harm.

Run:     python -m cnnkit sweep augmentation --profile full
Expect:  about 42% unaltered on 3,000 images of CIFAR-10 at half their resolution, 98% on MNIST; an hour of one core.

Crops are shifts by up to an eighth of a side, the rest black; Cutout's grey square is half as wide as the picture;
MixUp and CutMix mix pictures and labels. All are drawn anew in every batch. Of RandAugment, Keras computes all eleven
changes to keep two, which costs ten minutes of these. Arms of 45 epochs have the rate of those of 15.
"""

from cnnkit.course.regularization._recipe import BASE, COMMON, RATES
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, Times, doubled

WAYS = {"none": None, "flip": "flip", "crop": "shift", "both": "flip+shift", "Cutout": "cutout"}
WAYS |= {"RandAugment": "randaugment", "MixUp": "mixup", "CutMix": "cutmix"}
EPOCHS = (15, 45)


def _arm(way, epochs):
    follows = {"learning_rate": Times(f"{way}, {EPOCHS[0]}", 1)} if epochs != EPOCHS[0] else {}
    return {"augmentation": WAYS[way], "epochs": epochs} | follows


def _gain(way, source):
    words = f"{way.replace('flip', 'Flipping')} improves accuracy in 45 epochs"
    return Claim(f"{way.lower()}-improves", words, f"{way}, 45", "none, 45", source)


lengths = Comparison(
    BASE,
    by="pictures, length",
    arms={f"{way}, {epochs}": _arm(way, epochs) for epochs in EPOCHS for way in WAYS},
    rates=RATES,
    ledger=56,
    claims=(
        Claim("augmentation-long", "Flips and crops improve accuracy in 45 epochs", "both, 45", "none, 45"),
        Claim("augmentation-short", "Flips and crops improve accuracy in 15 epochs", "both, 15", "none, 15"),
        Claim("augmentation-needs-epochs", "Flips and crops buy more in 45 epochs than in 15", "both, 45", "none, 45",
              "ours", beside=("both, 15", "none, 15")),
        Claim.of_gap("augmentation-gap", "Flips and crops narrow the gap in 45 epochs", "both, 45", "none, 45"),
        Claim("crops-beside-flips", "Crops beside flips beat flips alone in 45 epochs", "both, 45", "flip, 45", "ours"),
        _gain("flip", "popular articles"),
        _gain("Cutout", "DeVries and Taylor 2017"),
        _gain("RandAugment", "Cubuk et al. 2020"),
        _gain("MixUp", "Zhang et al. 2018"),
        _gain("CutMix", "Yun et al. 2019"),
    ),
    control="both, 45",
    seeds=8,
    **COMMON,
)  # fmt: skip
mnist = Comparison(
    BASE.replace(dataset="mnist", train_size=5_000, model="lenet5_modern", model_args={}, epochs=12),
    by="pictures",
    arms={way: {"augmentation": WAYS[way]} for way in ("none", "flip", "crop")},
    rates=doubled(0.005),
    where="(LeNet-5, 5,000 MNIST images)",
    margin=0.002,
    ledger=56,
    claims=(
        Claim("flips-harm-digits", "Flips cost accuracy where mirrored pictures mean nothing", "none", "flip", "ours"),
        Claim("crops-help-digits", "Crops improve accuracy", "crop", "none"),
    ),
    control="crop",
    tuned_with={"epochs": 6},
    seeds=8,
)


EXPERIMENT = Experiment(
    name="augmentation",
    question="Which altered pictures improve accuracy, in how many epochs, and where do they harm?",
    full={"cifar10": lengths, "mnist": mnist},
    smoke={"mnist": mnist.small(dataset="digits", train_size=200, epochs=1)},
    answer="Flips and crops gain {augmentation-long:+.1f} points in 45 epochs, {augmentation-short:+.1f} in 15; flips "
    "cost digits {flips-harm-digits:.1f}.",
)
