"""AlexNet's five convolutions in small: two towers, windows that overlap, dense layers, and dropout on them.

Run:     python -m cnnkit sweep layout --profile full
Expect:  about 55% on 5,000 images of CIFAR-10 at half their resolution; 100 minutes of one core.

AlexNet was cut in two because one card of 3 GB could not hold it. The paper compares with one tower of about as many
parameters, which the dense layers hold. Here the logits read the maps' means instead, so that "equal parameters" is of
the convolutions: two towers have more filters, and fewer connections between them. The arms with dense layers have two
of 1024 ReLUs, as AlexNet has two of 4096, and dropout of a half on both, or none.
"""

from cnnkit.evidence.experiment import ONE_CYCLE, Claim, Comparison, Experiment, RunConfig, doubled

PAPER = "popular articles; Krizhevsky et al. 2012, sec. {}".format
ARMS = {
    "one tower": {"head": "average"},
    "one narrower": {"head": "average", "width": 0.8},
    "two towers": {"head": "average", "towers": 2},
    "pooling 2×2": {"head": "average", "pool_size": 2},
    "dense": {"dropout_rate": 0.0},
    "dense + dropout": {},
}
BASE = RunConfig(
    dataset="halved:cifar10", train_size=5_000, model="alexnet_small", batch_size=64, epochs=40, **ONE_CYCLE
)
layout = Comparison(
    BASE.replace(validate_every=10),
    by="layout",
    arms={name: {"model_args": args} for name, args in ARMS.items()},
    rates=doubled(0.005),
    where="(AlexNet's five convolutions in small, 5,000 CIFAR-10 images at half their resolution)",
    margin=0.01,
    claims=(
        Claim("towers", "Two towers classify better than one of equal parameters", "two towers", "one narrower",
              "ours, after Krizhevsky et al. 2012, sec. 3.2", ledger=84),
        Claim("towers-cut", "Cutting one tower in two, at equal width, costs accuracy", "one tower", "two towers",
              "ours", ledger=84),
        Claim("overlap", "Pooling windows of 3×3 that overlap classify better than those of 2×2 that do not",
              "one tower", "pooling 2×2", PAPER("3.4"), margin=0.0, ledger=37),
        Claim.of_gap("overlap-gap", "Overlapping windows overfit less", "one tower", "pooling 2×2", PAPER("3.4"),
                     ledger=37),
        Claim("dropout-dense", "Dropout of a half on two dense layers improves accuracy", "dense + dropout", "dense",
              PAPER("4.2"), ledger=49),
        Claim.of_gap("dropout-gap", "Dropout of a half on two dense layers narrows the gap", "dense + dropout",
                     "dense", PAPER("4.2"), ledger=49),
    ),
    control="dense + dropout",  # it takes the longest
    tuned_with={"epochs": 12},
    seeds=10,
)  # fmt: skip


EXPERIMENT = Experiment(
    name="layout",
    question="Do two towers, overlapping windows and dropout improve AlexNet's plan at CIFAR size?",
    full=layout,
    smoke=layout.small(dataset="digits", train_size=500, batch_size=32, epochs=1),
    answer="In points: overlapping windows {overlap:+.1f}, dropout {dropout-dense:+.1f}, a second tower {towers:+.1f}.",
)
