"""Stacks of 2 to 20 convolutions: from which first weights, and with which activations, do they train at all?

Run:     python -m cnnkit sweep trainability --profile full
Expect:  above 98% of the training images where it trains, a tenth where it does not; 50 minutes of one core.

2,500 images of MNIST at half their resolution, 400 updates: easy and short, so that what is seen is whether a network
begins to learn; most claims read the training images that are right at the end, by which rates are chosen, too. Arms
that stayed at chance at every rate of a first scan (factors of 1 to 100) have none to choose: they get that of the
network of the same depth that trains, four times over, since small signals want longer steps.
"""

from cnnkit import plots
from cnnkit.evidence.experiment import ONE_CYCLE, Claim, Comparison, Experiment, RunConfig, Times, doubled

BASE = RunConfig(
    dataset="halved:mnist", train_size=2_500, model="conv_stack", batch_size=50, epochs=8, validate_every=8, **ONE_CYCLE
)
COMMON = {"score": "train_accuracy", "tuned_with": {"epochs": 4}, "margin": 0.01}
COMMON["where"] = "(3×3 convolutions of 16 filters, 2,500 MNIST images at half their resolution, 8 epochs)"
# Gains by depth, each with the rate at which its grid begins; without one it follows He's, of gain 1.
GAINS = {
    "4": {"0.5": 0.02, "1": 0.005, "2": 0.001},
    "10": {"0.5": None, "0.71": 0.01, "1": 0.005, "1.41": 0.001, "2": 0.001},
    "20": {"0.5": None, "0.71": None, "1": 0.00125, "1.41": 0.0005, "2": 0.00025},
}


def _claim(id, text, better, worse, source="popular articles", metric="train_accuracy", **how):
    return Claim(id, text, better, worse, source, metric=metric, **how)


def _start(depth, gain):
    follows = {"learning_rate": Times(f"{depth}, 1", 4)} if GAINS[depth][gain] is None else {}
    return {"model_args": {"depth": int(depth), "gain": float(gain)}} | follows


HE, SAXE = "popular articles; He et al. 2015, sec. 2.2", "popular articles; Saxe et al. 2014"
starts = Comparison(
    BASE,
    by="layers, start",
    arms={f"{depth}, {gain}": _start(depth, gain) for depth, gains in GAINS.items() for gain in gains}
    | {f"20, {kind}": {"model_args": {"depth": 20, "start": kind}} for kind in ("uniform", "orthogonal")},
    rates={f"{depth}, {gain}": doubled(rate) for depth, gains in GAINS.items() for gain, rate in gains.items() if rate}
    | dict.fromkeys(("20, uniform", "20, orthogonal"), doubled(GAINS["20"]["1"])),
    claims=(
        _claim("start-too-small", "In 20 layers of ReLUs more runs learn nothing from half of He's variance, Glorot's, "
               "than from He's, at four times their rate", "20, 1", "20, 0.71", HE, metric="collapsed", margin=0.1),
        _claim("start-too-small-10", "In 10 layers of ReLUs weights of half He's variance do worse",
               "10, 1", "10, 0.71", HE),
        _claim("start-too-large", "In 10 layers of ReLUs weights of twice He's variance end at a higher training "
               "error", "10, 1", "10, 1.41"),
        _claim("start-too-large-test", "In 10 layers of ReLUs weights of twice He's variance classify worse",
               "10, 1", "10, 1.41", metric="test_accuracy"),
        _claim("start-orthogonal", "In 20 layers orthogonal weights do better than normal ones of equal variance",
               "20, orthogonal", "20, 1", SAXE),
        _claim("start-uniform", "In 20 layers normal weights do better than uniform ones of equal variance",
               "20, 1", "20, uniform", "ours"),
    ),
    control="20, 1",
    ledger=53,
    seeds=6,
    **COMMON,
)  # fmt: skip

ACTIVATIONS = {"sigmoid": (0.71, 0.02), "tanh": (0.71, 0.005), "relu": (1, 0.005), "elu": (1, 0.0025)}
DEPTHS = (2, 4, 12)


def _unit(name, depth):
    follows = {"learning_rate": Times("sigmoid, 2", 4)} if (name, depth) in (("sigmoid", 4), ("sigmoid", 12)) else {}
    return {"model_args": {"activation": name, "gain": ACTIVATIONS[name][0], "depth": depth}} | follows


activations = Comparison(
    BASE,
    by="activation, layers",
    arms={f"{name}, {depth}": _unit(name, depth) for name in ACTIVATIONS for depth in DEPTHS},
    rates={
        f"{name}, {depth}": doubled(first) for name, (_, first) in ACTIVATIONS.items() for depth in DEPTHS
        if "learning_rate" not in _unit(name, depth)
    },
    claims=(
        _claim("sigmoid-deep", "In 4 layers more runs learn nothing with sigmoids than with ReLUs", "relu, 4",
               "sigmoid, 4", metric="collapsed", margin=0.1),
        _claim("sigmoid-deeper", "With sigmoids more runs learn nothing in 4 layers than in 2", "sigmoid, 2",
               "sigmoid, 4", metric="collapsed", margin=0.1),
        _claim("tanh-deep", "In 12 layers ReLUs train better than tanh", "relu, 12", "tanh, 12"),
        _claim("elu-deep", "In 12 layers ELUs classify better than ReLUs", "elu, 12", "relu, 12",
               "Clevert et al. 2016", metric="test_accuracy"),
    ),
    control="relu, 12",
    ledger=54,
    seeds=8,
    **COMMON,
)  # fmt: skip


def plot_map(found):
    """Return the training images that are right by gain and layers, and by activation and layers."""
    drawn = {}
    for part, (x, column) in {"starts": ("gain", "start"), "activations": ("activation", "activation")}.items():
        if part in found.plans:
            fresh = found.plans[part].of_role("fresh")
            fresh = fresh[~fresh[column].isin(["uniform", "orthogonal"])].assign(layers=fresh["layers"].astype(int))
            # A run that stays at chance is what the map is about: it counts in its cell's mean.
            fresh = fresh.assign(collapsed=False, **({"gain": fresh[column].astype(float)} if x == "gain" else {}))
            drawn[f"map_{part}"] = plots.plot_heatmap(fresh, x=x, y="layers", values="train_accuracy")
    return drawn


def answer(found):
    """Return what the depths let through."""
    level = found.plans["starts"].of_role("fresh").groupby("arm")["train_accuracy"].mean()
    he, glorot = level["20, 1"], level["20, 0.71"]
    return f"Twenty layers of ReLUs learn {he:.0%} of the images from He's start, {glorot:.0%} from Glorot's."


FEW = "relu, 4", "sigmoid, 2", "sigmoid, 4"  # each is traced anew
EXPERIMENT = Experiment(
    name="trainability",
    question="From which first weights, and with which activations, do deep networks train at all?",
    full={"starts": starts, "activations": activations},
    smoke={"activations": activations.small(arms=FEW, dataset="digits", train_size=200, epochs=1)},
    answer=answer,
    more_figures=plot_map,
)
