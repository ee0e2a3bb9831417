"""Half precision: does a training in bfloat16 end where one in float32 does?

Run:     python -m cnnkit sweep precision --profile full
Expect:  about 72.5% on 10,000 images of CIFAR-10; an hour and a quarter of one core.

Only if it loses at most half a point may the dearest runs of the table of networks use it. Weights stay float32, layers
compute in bfloat16 (8 bits of mantissa, the exponents of float32), and the last layer's logits are float32 again.
"""

from cnnkit.evidence.experiment import ONE_CYCLE, Claim, Comparison, Experiment, RunConfig, Times, doubled

TEXT = "Mixed bfloat16 ends at most half a point below float32 (vgg_small, batch norm, 10,000 CIFAR-10 images)."
VGG = ONE_CYCLE | {"model": "vgg_small", "model_args": {"filters": 16}}
precision = Comparison(
    RunConfig(dataset="cifar10", train_size=10_000, batch_size=64, epochs=15, augmentation="flip+shift", **VGG),
    by="precision",
    arms={
        "float32": {},
        "mixed_bfloat16": {"precision": "mixed_bfloat16", "learning_rate": Times("float32", 1.0)},
    },
    rates=doubled(0.0125),
    claims=(Claim("bfloat16-is-no-worse", TEXT, "mixed_bfloat16", "float32", "ours", margin=-0.005),),
    tuned_with={"train_size": 5_000, "epochs": 8},
    seeds=12,
)


EXPERIMENT = Experiment(
    name="precision",
    question="Does a training in half precision end where one in float32 does?",
    full=precision,
    smoke=precision.small(dataset="digits", train_size=500, batch_size=32, epochs=1, augmentation=None),
    answer="bfloat16 changes accuracy by {bfloat16-is-no-worse:+.2f} points.",
)
