"""Batch normalisation: how much sooner, how much better, and does it lose with small batches?

Run:     python -m cnnkit sweep batch_norm --profile full
Expect:  about 49% without and 53% with it, on 2,500 images of CIFAR-10 at half their resolution; an hour of one core.

Two parts. `level`: a rate that falls, batches of 8, 32 and 128, and the accuracy at the end; each arm has a grid where
its batch size puts it. `speed`: a constant rate, chosen to be soonest, and the steps until half of the training images
are right, evaluated; Ioffe and Szegedy 2015 needed 14 times fewer steps on ImageNet. The moving averages forget with
0.9: with Keras' 0.99, short runs are evaluated by statistics of their beginning.
"""

import dataclasses

from cnnkit.evidence.experiment import COSINE, Claim, Comparison, Experiment, RunConfig, doubled

NORMS = {"plain": {}, "batch norm": {"model_args": {"batch_norm": True}}}
FIRST = {"plain": {8: 0.0005, 32: 0.001, 128: 0.002}, "batch norm": {8: 0.001, 32: 0.0025, 128: 0.01}}  # of the grids
IOFFE = "popular articles; Ioffe and Szegedy 2015"
THERE = "(three convolutions, 2,500 CIFAR-10 images at half their resolution)"

level = Comparison(
    RunConfig(dataset="halved:cifar10", train_size=2_500, model="caffe_quick", epochs=24, validate_every=8, **COSINE),
    by="network, batch",
    arms={f"{norm}, {size}": NORMS[norm] | {"batch_size": size} for norm in NORMS for size in FIRST[norm]},
    rates={f"{norm}, {size}": doubled(rate) for norm in NORMS for size, rate in FIRST[norm].items()},
    where=THERE,
    margin=0.01,
    ledger=48,
    claims=(
        *(
            Claim(f"batch-norm-{size}", f"Batch normalisation improves accuracy with batches of {size}",
                  f"batch norm, {size}", f"plain, {size}", IOFFE)
            for size in FIRST["plain"]
        ),
        Claim("batch-norm-small-batches", "With batches of 8 batch normalisation buys less than with batches of 32",
              "batch norm, 32", "plain, 32", "ours", beside=("batch norm, 8", "plain, 8")),
    ),
    control="plain, 128",
    tuned_with={"epochs": 8},
    seeds=10,
)  # fmt: skip

TARGET = ("train_eval_accuracy", 0.5)
FASTER = {"metric": "steps", "target": TARGET, "ratio": True}
speed = Comparison(
    level.base.replace(schedule="constant", batch_size=64, epochs=30, validate_every=30, log_training=True),
    by="network",
    arms=NORMS,
    rates={norm: doubled(FIRST[norm][32]) for norm in NORMS},
    where=THERE,
    ledger=48,
    claims=(
        Claim("batch-norm-sooner", "With batch normalisation half of the training images are right in fewer steps",
              "batch norm", "plain", IOFFE, margin=1.0, **FASTER),
        Claim("batch-norm-twice", "With batch normalisation half of them are right in less than half the steps",
              "batch norm", "plain", IOFFE, margin=2.0, **FASTER),
    ),
    control="batch norm",
    score=TARGET,
    seeds=10,
    longer_seeds=0,  # the time until then is the question
)  # fmt: skip


EXPERIMENT = Experiment(
    name="batch_norm",
    question="Does batch normalisation train sooner and end better, and with which batches?",
    full={"level": level, "speed": speed},
    smoke=dataclasses.replace(speed, score="val_score").small(dataset="digits", train_size=500, epochs=1),
    answer="With it {batch-norm-sooner:.1f} times sooner there, and {batch-norm-32:+.1f} points in the end.",
)
