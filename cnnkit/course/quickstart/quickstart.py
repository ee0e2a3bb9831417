"""LeNet-5 and a linear layer on handwritten digits: which learning rate, and how good with it?

Run:     python -m cnnkit sweep quickstart                   (smoke: digits, offline, about a minute)
         python -m cnnkit sweep quickstart --profile full    (MNIST, about 6 minutes of one core)
Before:  0.1 tried twelve rates with three epochs in [0, 1], and showed three decades of no interest. Its seeds had been
         seen: hence block 2.
"""

from cnnkit.evidence.experiment import ONE_CYCLE, Claim, Comparison, Experiment, RunConfig

CLAIM = "LeNet-5 reads digits better than one linear layer."

networks = Comparison(
    RunConfig(dataset="mnist", train_size=10_000, batch_size=64, epochs=10, **ONE_CYCLE),
    by="network",
    arms={"LeNet-5": {"model": "lenet5_modern"}, "linear layer": {"model": "softmax"}},
    rates={"LeNet-5": (0.01, 0.02, 0.04, 0.08, 0.16, 0.32), "linear layer": (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)},
    claims=(Claim("lenet-beats-linear", CLAIM, "LeNet-5", "linear layer", "LeCun et al. 1998, fig. 9"),),
    margin=0.002,
    ledger=77,
    block=2,
    level=0.98,
)

EXPERIMENT = Experiment(
    name="quickstart",
    question="Which learning rate does LeNet-5 want, and how many digits does it then read?",
    full=networks,
    smoke=networks.small(rates=5, seeds=3, dataset="digits", train_size=None, batch_size=32, epochs=10),
)
