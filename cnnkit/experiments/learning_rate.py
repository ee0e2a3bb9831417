"""How big a step? Twelve learning rates, three optimizers, six schedules, and the batch size beside them.

Run:     python -m cnnkit sweep learning_rate --profile full
Expect:  about 98% on MNIST and 60% on CIFAR-10 from 10,000 images and five epochs each.
"""

from cnnkit import plots, results
from cnnkit.claims import FRESH, Claim
from cnnkit.config import RunConfig
from cnnkit.experiments import Experiment, at_best_rate, grid

RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)
OPTIMIZERS = {
    "SGD": {"optimizer": "sgd"},
    "momentum 0.9": {"optimizer": "sgd", "optimizer_args": {"momentum": 0.9}},
    "Adam": {"optimizer": "adam"},
}
SCHEDULES = ("constant", "step", "exponential", "polynomial", "cosine", "one_cycle", "warmup")
SCHEDULE_RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
BATCH_SIZES = (16, 64, 256, 1024)
TUNING_SEEDS = (1, 2, 3)
LOW, HIGH = 0.001, 0.01  # of momentum SGD on CIFAR-10: a rate that still trains well, and a tenth of it


def networks(profile):
    """LeNet-5 on MNIST and the three-convolution network on CIFAR-10, 10,000 images and five epochs each."""
    if profile == "smoke":
        base = RunConfig(batch_size=64, epochs=1)
        return [
            base.replace(dataset="digits", train_size=500),
            base.replace(model="mlp", dataset="digits", train_size=500),
        ]
    base = RunConfig(train_size=10_000, batch_size=64, epochs=5)
    return [base.replace(dataset="mnist"), base.replace(dataset="cifar10", model="caffe_quick")]


def sweep(profile, runs):
    """Twelve learning rates for each network and optimizer, three seeds."""
    arms = [network.replace(**optimizer) for network in networks(profile) for optimizer in OPTIMIZERS.values()]
    return grid(arms, RATES, TUNING_SEEDS) if profile == "full" else grid(arms, RATES[3::2])


def batches(profile, runs):
    """Learning rate against batch size at equal epochs: LeNet-5, plain SGD."""
    arms = [networks(profile)[0].replace(batch_size=size) for size in BATCH_SIZES if profile == "full" or size < 512]
    return grid(arms, RATES[4:] if profile == "full" else RATES[4::2], TUNING_SEEDS[:2] if profile == "full" else (1,))


def schedule_arms(profile):
    """Momentum SGD on the second network under each schedule, at equal steps."""
    return [networks(profile)[1].replace(**OPTIMIZERS["momentum 0.9"], schedule=schedule) for schedule in SCHEDULES]


def tune_schedules(profile, runs):
    """Each schedule has its own learning rate."""
    return grid(schedule_arms(profile), SCHEDULE_RATES if profile == "full" else SCHEDULE_RATES[1:4])


def confirm(profile, runs):
    """Schedules at their best rates; too small and too big a rate; low, high, and high then low. Fresh seeds."""
    fresh = FRESH[: 5 if profile == "full" else 2]
    rates = SCHEDULE_RATES if profile == "full" else SCHEDULE_RATES[1:4]
    best = at_best_rate(schedule_arms(profile), rates, (1,), runs, fresh)
    constant = [config for config in best if config.schedule == "constant"]
    far = [c.replace(learning_rate=c.learning_rate * factor) for c in constant for factor in (0.01, 100.0)]
    drop = schedule_arms(profile)[0]
    falling = drop.replace(schedule="step", schedule_args={"at": [0.6]})
    return [*best, *far, *grid([drop], [LOW, HIGH], fresh), *grid([falling], [HIGH], fresh)]
