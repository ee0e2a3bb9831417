"""Raw, unit, centred and standardised pictures: which train best, each at its own rate, and what if all had one?

Run:     python -m cnnkit sweep scaling --profile full
Expect:  about 98% on MNIST from 10,000 images, about 49% on CIFAR-10 at half its resolution from 2,500; 35 minutes of
         one core.

Pictures that are s times as large make the first gradients of a network of ReLUs s times as large, and what a step does
to its scores s² times; but scores that are s times too large have s times as far to go. So raw pictures' best rate
should lie between s and s² below that of standardised ones, s being 84 (MNIST) and 133 (CIFAR-10); a first scan put the
grids where they are. Two arms have the rate of standardised pictures all the same: what scaling costs the untuned.
"""

from cnnkit.evidence.experiment import COSINE, Claim, Comparison, Experiment, RunConfig, Times, doubled

OWN = ("raw", "unit", "centred", "standard")


def scalings(base, first, margin, where):
    """Each scaling at its best of six rates from `first` (a dict) on, and raw and unit at that of standard."""
    arms = {f"{name}, own": {"scaling": name} for name in OWN}
    arms |= {f"{name}, of standard": {"scaling": name, "learning_rate": Times("standard, own", 1)} for name in OWN[:2]}

    def claim(id, text, better, worse, rate="own", **how):
        name = f"{id}-{base.dataset.removeprefix('halved:')}"
        return Claim(name, text, f"{better}, own", f"{worse}, {rate}", **how)

    one = "At the rate that suits standardised pictures"
    return Comparison(
        base,
        by="scaling, rate",
        arms=arms,
        rates={f"{name}, own": doubled(rate) for name, rate in first.items()},
        where=where,
        margin=margin,
        ledger=76,
        claims=(
            claim("unit-beats-raw", "Pictures in [0, 1] are learnt better than raw ones", "unit", "raw"),
            claim("centred-beats-unit", "Centred pictures are learnt better than those in [0, 1]", "centred", "unit"),
            claim("standard-beats-centred", "A z-score is better than centring alone", "standard", "centred"),
            claim("standard-forgives", f"{one} those in [0, 1] are learnt worse", "standard", "unit", "of standard"),
        ),
        control="standard, own",
        seeds=10,
    )  # fmt: skip


mnist = scalings(
    RunConfig(dataset="mnist", train_size=10_000, batch_size=64, epochs=10, validate_every=5, **COSINE),
    first={"raw": 3e-5, "unit": 0.02, "centred": 0.02, "standard": 0.004},
    margin=0.002,
    where="(LeNet-5, 10,000 MNIST images)",
)
cifar10 = scalings(
    mnist.base.replace(dataset="halved:cifar10", train_size=2_500, model="caffe_quick", epochs=24),
    first={"raw": 1e-6, "unit": 0.0025, "centred": 0.01, "standard": 0.002},
    margin=0.01,
    where="(three convolutions, 2,500 CIFAR-10 images at half their resolution)",
)


EXPERIMENT = Experiment(
    name="scaling",
    question="How should pixels be scaled, if each scaling has a learning rate of its own, and if not?",
    full={"mnist": mnist, "cifar10": cifar10},
    smoke=mnist.small(dataset="digits", train_size=500, batch_size=32, epochs=2),
    answer="On CIFAR-10, tuned, centring gains {centred-beats-unit-cifar10:+.1f} points, a z-score "
    "{standard-beats-centred-cifar10:+.1f} more; untuned, {standard-forgives-cifar10:+.1f}.",
)
