"""One choice at a time: width, depth, kernels, head, pooling, padding, resolution, and separable convolutions.

Run:     python -m cnnkit sweep ablations --profile full
Expect:  about 52% on 2,500 images of CIFAR-10 at half their resolution; four hours of one core.

The network is `vgg_small`, three blocks of two 3×3 convolutions, 16, 32 and 64 filters wide, with batch normalization.
Pictures of 16×16 cost a quarter of whole ones; where the size of the last maps matters (kernels, padding, resolution)
they are whole, and tuned at half the size where the logits read means. 30 epochs: nearly all training images are right.
Nothing is augmented: what overfits shall show it. MobileNet's plan has a part of its own.
"""

import dataclasses

from cnnkit.evidence import claims
from cnnkit.evidence.experiment import ONE_CYCLE, Claim, Comparison, Experiment, RunConfig, doubled

HALVED, RATES = "halved:cifar10", doubled(0.05, 5)
RECIPE = ONE_CYCLE | {"dataset": HALVED, "train_size": 2_500, "model": "vgg_small"}
RECIPE |= {"batch_size": 64, "epochs": 30, "validate_every": 15}
NAMES = {"vgg_small": "VGG", "mobilenet_small": "MobileNet"}
WHOLE = {"dataset": "cifar10", "tuned": {"dataset": HALVED}}
BASE, SHALLOW = {"filters": 16}, {"filters": 16, "depth": 1}


def ablation(by, arms, *claims, control, base=BASE, others=(), rates=RATES, tuned=(), **fields):
    """Compare `arms`, dicts of the network's arguments beside `base`.

    `others` are pairs of an arm that reads other data and their name; `tuned` changes the runs that tune.
    """
    data = {arm: {"dataset": name} for arm, name in others}
    run = RunConfig(**RECIPE | fields)
    size = " at half their resolution" if run.dataset == HALVED else ""
    return Comparison(
        run,
        by=by,
        arms={arm: {"model_args": base | args} | data.get(arm, {}) for arm, args in arms.items()},
        rates=rates,
        claims=claims,
        where=f"(small {NAMES[run.model]}, {run.train_size:,} CIFAR-10 images{size})",
        margin=0.01,
        control=control,
        tuned_with={"epochs": 10, **dict(tuned)},
        seeds=8,
    )


def claim(ledger, id, better, worse, text, source="popular articles", **how):
    return Claim(id, text, better, worse, source, ledger=ledger, **how)


def gap(ledger, id, narrow, wide, text):
    return Claim.of_gap(id, text, narrow, wide, ledger=ledger)


width = ablation(
    "filters",
    {str(count): {"filters": count} for count in (4, 8, 16, 32)},
    claim(70, "width-rises", "16", "8", "With more channels accuracy rises (16 filters after 8)"),
    claim(70, "width-falls", "16", "32", "With still more channels accuracy falls (32 filters after 16)"),
    control="16",
)
depth = ablation(
    "depth",
    {str(count): {"depth": count} for count in (1, 2, 3, 4)},
    gap(71, "depth-overfits", "2", "4", "More layers overfit more (four convolutions a block after two)"),
    claim(71, "depth-is-harder", "2", "4", "More layers are harder to train, by training accuracy (four after two)",
          metric="train_accuracy"),
    control="2",
)  # fmt: skip
# Filters for equal multiply-adds, 9.9 million: 0.97, 1.11 and 1.10 times as many beside 3×3; stacks: 17.0, 17.1.
kernels = ablation(
    "kernels",
    {
        "1×1": {"filters": 48, "kernel_size": 1},
        "3×3": {},
        "5×5": {"filters": 10, "kernel_size": 5},
        "7×7": {"filters": 7, "kernel_size": 7},
        "three of 3×3": {"depth": 3},
        "one of 7×7": {"filters": 17, "depth": 1, "kernel_size": 7},
    },
    claim(89, "kernel-3-beats-5", "3×3", "5×5", "Kernels of 3×3 beat those of 5×5 at equal multiply-adds"),
    claim(89, "kernel-3-beats-1", "3×3", "1×1", "Kernels of 3×3 beat those of 1×1 at equal multiply-adds"),
    claim(14, "stack-beats-7x7", "three of 3×3", "one of 7×7", "Three 3×3 beat one 7×7 at equal multiply-adds",
          source="Simonyan and Zisserman 2014, sec. 2.3"),
    control="3×3",
    **WHOLE,
)  # fmt: skip
LOW = doubled(0.0125, 5)
head = ablation(
    "head",
    {"average": {}, "flatten": {"head": "flatten"}, "dense": {"head": "dense"}},
    claim(63, "average-accuracy", "average", "dense", "The maps' means classify better than a dense layer of 256 "
          "without dropout"),
    gap(63, "average-gap", "average", "dense", "The maps' means overfit less than a dense layer of 256 without "
        "dropout"),
    control="average",
    rates={"average": RATES, "flatten": LOW, "dense": LOW},
)  # fmt: skip
pace = dataclasses.replace(
    ablation(
        "head",
        {"average": {}, "dense": {"head": "dense"}},
        claim(63, "average-is-slower", "dense", "average", "The maps' means take more epochs to 50% than a dense layer",
              metric="epochs", target=("val_accuracy", 0.5), ratio=True, margin=1.0),
        control="average",
        rates=doubled(0.0125),
        schedule="constant",
        train_size=5_000,
        epochs=12,
        validate_every=1,
    ),
    score=("val_accuracy", 0.5),
    tuned_with={},
    longer_seeds=0,  # when it gets there is the question
    seeds=10,
)  # fmt: skip
pooling = ablation(
    "pooling",
    {
        "max": {},
        "average": {"pooling": "average"},
        "stride": {"pooling": "stride"},
        "max of 3×3": {"pool_size": 3},
        "max of 4×4": {"pool_size": 4},
    },
    claim(
        64,
        "pooling-beats-stride",
        "max",
        "stride",
        "Max-pooling classifies better than convolutions of stride 2, which cost half as much",
    ),
    gap(64, "pooling-gap", "max", "stride", "Max-pooling overfits less than convolutions of stride 2"),
    claim(
        65,
        "pooling-too-large",
        "max",
        "max of 4×4",
        "First windows of 4×4, 4 apart, lose what those of 2×2 keep (all later maps are a quarter as large)",
    ),
    control="max",
)
padding = ablation(
    "padding",
    {kind: {"padding": kind} for kind in ("same", "valid", "frame")},
    claim(66, "padding-valid", "same", "valid", "Padding every layer classifies better than none"),
    claim(66, "padding-frame", "same", "frame", "Padding every layer beats as many zeros around the picture alone",
          source="ours"),
    control="same",
    base=SHALLOW,
    **WHOLE,
)  # fmt: skip
resolution = ablation(
    "side",
    {"32": {}, "16": {}, "8": {}},
    claim(72, "resolution-half", "32", "16", "Half the width and height classify worse (16 pixels after 32)"),
    claim(72, "resolution-quarter", "16", "8", "A quarter of the resolution classifies worse than half of it (8 pixels "
          "after 16)"),
    control="32",
    base=SHALLOW,
    dataset="cifar10",
    others=[("16", HALVED), ("8", f"halved:{HALVED}")],
)  # fmt: skip
PLAIN = {"width_multiplier": 0.5, "separable": False}
HOWARD = "popular articles; Howard et al. 2017, sec. 4"
separable = ablation(
    "convolutions",
    {"separable": {}, "separable ½": {"width_multiplier": 0.5}, "plain ½": PLAIN},
    claim(13, "separable-costs", "plain ½", "separable ½", "Separable convolutions, with an eighth of the weights, "
          "cost more than a point (half as wide as MobileNet's)", source=HOWARD),
    claim(13, "width-multiplier-costs", "separable", "separable ½", "A width multiplier of ½ costs more than a point",
          source=HOWARD),
    control="separable",
    model="mobilenet_small",
    base={},
)  # fmt: skip
PARTS = {"width": width, "depth": depth, "kernels": kernels, "head": head, "pooling": pooling, "padding": padding}
PARTS |= {"resolution": resolution, "separable": separable, "pace": pace}


def answer(found):
    """Return what the largest of the decided differences is worth."""
    sure = claims.as_table(found.verdicts()).query(
        "unit == 'test_accuracy' and verdict == 'SUPPORTED' and ledger != 72"
    )
    if sure.empty:
        return "No choice is worth more than a point here."
    most = sure.loc[sure["effect"].idxmax()]
    return f"The choice that matters most ({most['id']}) is worth {100 * most['effect']:.1f} points."


EXPERIMENT = Experiment(
    name="ablations",
    question="What are width, depth, kernels, head, pooling, padding and resolution worth, one at a time?",
    full=PARTS,
    smoke=head.small(dataset="digits", train_size=500, batch_size=32, epochs=1),
    answer=answer,
)
