"""Few pictures of a class: train from scratch, keep another network's features, or fine-tune all of its weights?

Run:     python -m cnnkit sweep three_ways --profile full
Expect:  about 45% (5 pictures a class, from scratch) to 80% (500, fine-tuned); 90 minutes of one core.

The pictures are the last five classes of CIFAR-10 (dog, frog, horse, ship, truck) at half their resolution. The source
network has learnt the first five (airplane, automobile, bird, cat, deer), 22,500 pictures of them: near kin. It is
`source.keras` beside the rows, and committed with them, as their digests are of its weights; where it is not, it is
trained first (`SOURCE`, a minute). There is one such network: intervals do not say what another one would have brought.
Before:  validation after every epoch took four fifths of the time of the smallest runs; those rows were of tuning only.
"""

import dataclasses

from cnnkit import HOME, plots
from cnnkit.evidence.experiment import COSINE, ONE_CYCLE, Claim, Comparison, Experiment, RunConfig, doubled
from cnnkit.lab import export, training
from cnnkit.lab.provenance import use_one_thread
from cnnkit.models.transfer import load_model

NETWORK = {"model": "caffe_quick", "model_args": {"batch_norm": True}}
FILES = {"full": "results/three_ways/source.keras", "smoke": "results/smoke/three_ways/source.keras"}
SOURCE = RunConfig(dataset="halved:first_half:cifar10", augmentation="flip", **NETWORK, **ONE_CYCLE)
SOURCE = SOURCE.replace(learning_rate=0.05, batch_size=100, epochs=20)
SOURCES = {"full": SOURCE, "smoke": SOURCE.replace(dataset="halved:first_half:digits", augmentation=None, epochs=5)}
EPOCHS = {5: 100, 20: 60, 50: 40, 100: 30, 500: 20}  # by pictures a class; 100 to 2,000 steps
CLASSES = 5
# Over frozen features the loss is convex: a wide plateau of rates, so the grid goes from end to end in factors of 4.
RATES = {way: doubled(0.00125, 7) for way in ("scratch", "fine-tuned")}
RATES |= {"frozen": tuple(0.0003125 * 4**k for k in range(7))}
CS231N = "Karpathy, CS231n notes, transfer learning"


def ways_from(file):
    """Return by way the `RunConfig` fields of its runs; `file` is the source network's."""
    kept = {"model": "transfer", "scaling": "unit"}
    return {
        "scratch": NETWORK,
        "frozen": kept | {"model_args": {"source": file, "freeze": True}},
        "fine-tuned": kept | {"model_args": {"source": file}},
    }


def arms_of(file, epochs):
    """Return the arms: each way with so many pictures a class as are keys of `epochs`."""
    sizes = {n: {"train_size": CLASSES * n, "epochs": count} for n, count in epochs.items()}
    return {f"{way}, {n}": fields | sizes[n] for n in sizes for way, fields in ways_from(file).items()}


# 2,500 validation images are a hundred times as many as the fewest that train.
BASE = RunConfig(dataset="halved:second_half:cifar10", batch_size=25, validate_every=10, **COSINE)
ways = Comparison(
    BASE,
    by="way, images",
    arms=arms_of(FILES["full"], EPOCHS),
    rates={f"{way}, {n}": rates for n in EPOCHS for way, rates in RATES.items()},
    where="(three convolutions; the second five classes of CIFAR-10, at half their resolution, after the first five)",
    margin=0.01,
    claims=(
        Claim("transfer-frozen-5", "With 5 pictures a class, frozen features classify better than a network from "
              "scratch", "frozen, 5", "scratch, 5", "Donahue et al. 2014"),
        Claim("transfer-tuned-5", "With 5 pictures a class, a fine-tuned network classifies better than one from "
              "scratch", "fine-tuned, 5", "scratch, 5", "Yosinski et al. 2014"),
        Claim("transfer-freeze-few", "With 5 pictures a class it is better to freeze the features than to fine-tune "
              "them", "frozen, 5", "fine-tuned, 5", CS231N),
        Claim("transfer-tune-many", "With 500 pictures a class it is better to fine-tune the features than to freeze "
              "them", "fine-tuned, 500", "frozen, 500", CS231N),
        Claim("transfer-tuned-500", "With 500 pictures a class, a fine-tuned network still classifies better than one "
              "from scratch", "fine-tuned, 500", "scratch, 500", "Yosinski et al. 2014"),
        Claim("transfer-frozen-500", "With 500 pictures a class, a network from scratch classifies better than frozen "
              "features", "scratch, 500", "frozen, 500", "ours"),
        Claim("transfer-shrinks", "Fine-tuning gains less over training from scratch with 500 pictures a class than "
              "with 20", "fine-tuned, 20", "scratch, 20", "ours", beside=("fine-tuned, 500", "scratch, 500")),
        Claim("transfer-five-times", "Fine-tuned on 20 pictures a class, a network classifies better than one from "
              "scratch on 100", "fine-tuned, 20", "scratch, 100", "ours"),
    ),
    control="fine-tuned, 100",
    seeds=12,  # they draw the pictures, too
)  # fmt: skip

frozen = ways.arms["frozen, 100"]
bias = Comparison(
    BASE.replace(**frozen),
    by="last layer",
    arms={"with biases": {}, "without": {"model_args": frozen["model_args"] | {"use_bias": False}}},
    rates=ways.rates["frozen, 100"],
    where="(the last one, on 64 frozen features, 100 pictures of each of five classes of CIFAR-10)",
    margin=0.01,
    ledger=31,
    claims=(
        Claim("dense-needs-bias", "A dense layer classifies better with biases than without", "with biases", "without",
              "Karpathy, CS231n notes; caffenet-benchmark: 47.1% with biases in all layers, 44.5% without"),
    ),
    seeds=8,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class WithSource(Experiment):
    """An `Experiment` whose source network is trained first, where its file is not there or of another run."""

    def train(self, profile, client, refresh):
        path, config = HOME / FILES[profile], SOURCES[profile]
        if not path.exists() or load_model(path)[1]["row"]["run_id"] != config.run_id:
            path.parent.mkdir(parents=True, exist_ok=True)
            use_one_thread()
            export.save_model(training.train(config), path)
        super().train(profile, client, refresh)


def plot_ways(found):
    """Return the learning curve: test accuracy by pictures a class, a line a way."""
    runs = found.plans["ways"].of_role("fresh").astype({"images": int})
    ax = plots.plot_sweep(runs, x="images", y="test_accuracy", hue="way")
    ax.set(xlabel="Pictures a class")
    return {"ways": ax}


small = dataclasses.replace(
    ways,
    arms=arms_of(FILES["smoke"], {5: 20}),
    rates={f"{way}, 5": (0.01, 0.02, 0.04, 0.08, 0.16) for way in RATES},
    claims=ways.claims[:3],
    control="fine-tuned, 5",
)

EXPERIMENT = WithSource(
    name="three_ways",
    question="With few pictures a class: from scratch, on another network's frozen features, or fine-tuned?",
    full={"ways": ways, "bias": bias},
    smoke={"ways": small.small(dataset="halved:second_half:digits")},
    answer="Fine-tuned over from scratch: {transfer-tuned-5:+.1f} points with 5 pictures a class, "
    "{transfer-tuned-500:+.1f} with 500.",
    more_figures=plot_ways,
)
