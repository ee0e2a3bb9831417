"""The table of networks: what plain, good recipes reach on all of MNIST and CIFAR-10, beside what was published.

Run:     python -m cnnkit sweep networks --profile full
Expect:  LeNet-5 above 99%, caffe_quick above 78%; an hour of one core.

It compares nothing, so it plans no seeds and checks no budget: it says which level a network must reach elsewhere for
its result to count. Rates are chosen in short runs. caffe_quick alone sees pictures flipped and shifted.
"""

import pandas as pd

from cnnkit import anatomy, models
from cnnkit.evidence.experiment import ONE_CYCLE, Comparison, Experiment, RunConfig, doubled

PROBLEMS = {"mnist": ((28, 28, 1), 54_000), "cifar10": ((32, 32, 3), 45_000)}  # shape, and images to train on
# Test accuracy and where it is printed, by part and network.
PUBLISHED = {
    ("mnist", "softmax"): (0.880, "LeCun et al. 1998, linear classifier"),
    ("mnist", "lenet5"): (0.9905, "LeCun et al. 1998"),
    ("cifar10", "mlp"): (0.505, "Zhang et al. 2017, 1×512"),
    ("cifar10", "caffe_quick"): (0.753, "Caffe's log, 10 epochs"),
}


def networks(base, rates, level, tuned_with, **arms):
    """Networks by name, each with five learning rates a factor of 2 apart, from the lowest in `rates`."""
    return Comparison(
        base,
        by="network",
        arms={name: {"model": name, **fields} for name, fields in arms.items()},
        rates={name: doubled(lowest, 5) for name, lowest in rates.items()},
        control=next(reversed(arms)),
        tuned_with=tuned_with,
        seeds=3,
        longer_seeds=0,
        level=level,
    )


mnist = networks(
    RunConfig(dataset="mnist", batch_size=128, epochs=20, **ONE_CYCLE),
    rates={"softmax": 0.01, "mlp": 0.01, "lenet5": 0.02, "lenet5_modern": 0.01},
    level=0.99,
    tuned_with={"epochs": 5},
    softmax={},
    mlp={},
    lenet5={"scaling": "unit"},
    lenet5_modern={},
)
cifar10 = networks(
    RunConfig(dataset="cifar10", batch_size=128, epochs=20, **ONE_CYCLE),
    rates={"softmax": 0.001, "mlp": 0.005, "caffe_quick": 0.005},
    level=0.78,
    tuned_with={"epochs": 8, "train_size": 10_000},
    softmax={},
    mlp={},
    caffe_quick={"augmentation": "flip+shift", "epochs": 24},
)


def answer(found):
    """Return what the best network reads of CIFAR-10."""
    best = found.table().query("part == 'cifar10'").sort_values("mean").iloc[-1]
    return f"{best['network']} reads {best['mean']:.1%} of CIFAR-10's test images."


def costs(found):
    """Return the front page's table of the parts that are all there, strings.

    It has multiply-adds of a picture, minutes of a core, and the range over the seeds.
    """
    lines = []
    for part, plan in [pair for pair in found.plans.items() if not pair[1].missing]:
        shape, images = PROBLEMS[part]
        for name, runs in plan.of_role("fresh").groupby("arm", sort=False):
            config, accuracy = plan.comparison.configs[name], 100 * runs["test_accuracy"]
            reached = f"{accuracy.mean():.2f} ({accuracy.min():.2f} to {accuracy.max():.2f}; n = {len(runs)})"
            published, source = PUBLISHED.get((part, name), (None, ""))
            line = {"Data": f"{part}, {images:,} images", "Network": name}
            line["Parameters"] = f"{runs['num_params'].iloc[0]:,.0f}"
            line["Multiply-adds"] = (
                f"{anatomy.totals(models.sketch_model(config.model, shape, 10, **config.model_args)).macs:,}"
            )
            line["Epochs"] = f"{config.epochs}{', flip + shift' * bool(config.augmentation)}"
            line["Minutes"] = f"{runs['train_seconds'].mean() / 60:.1f}"
            line["Test accuracy (%)"] = reached
            line["Published (%)"] = f"{100 * published:.4g} ({source})" if published else "–"
            lines.append(line)
    return pd.DataFrame(lines)


EXPERIMENT = Experiment(
    name="networks",
    question="What do the networks of this course reach on all images, trained plainly and well?",
    full={"mnist": mnist, "cifar10": cifar10},
    smoke={"digits": mnist.small(seeds=2, dataset="digits", batch_size=32, epochs=3)},
    answer=answer,
)
