"""Plain and residual networks of 8, 20 and 56 layers: does more depth train worse, and do shortcuts mend it?

Run:     python -m cnnkit sweep depth --profile full
Expect:  about 48% on 2,500 images of CIFAR-10 at half their resolution; 100 minutes of one core.

Degradation (He et al. 2015, sec. 1 and 4.2) is about the TRAINING error of the finished network, so that is what most
claims read, evaluated. All networks are batch-normalised; plain and residual twins have equal parameters. They are half
as wide as the paper's, on pictures of half the sides: a 16th of its cost.
"""

from cnnkit import plots
from cnnkit.evidence.experiment import ONE_CYCLE, Claim, Comparison, Experiment, RunConfig, doubled

KINDS = {"plain": "plain", "residual": "resnet"}
FIRST = {("plain", 8): 0.025, ("plain", 20): 0.0125, ("plain", 56): 0.00625}  # rates, where the grids begin
FIRST |= dict.fromkeys((("residual", depth) for depth in (8, 20, 56)), 0.025)
HE = "popular articles; He et al. 2015, sec. 4.2"


def _claim(id, text, better, worse, source=HE, metric="train_accuracy", **how):
    return Claim(id, text, better, worse, source, metric=metric, **how)


networks = Comparison(
    RunConfig(dataset="halved:cifar10", train_size=2_500, batch_size=32, epochs=30, **ONE_CYCLE),
    by="network, layers",
    arms={
        f"{kind}, {depth}": {"model": f"{KINDS[kind]}{depth}", "model_args": {"width": 8}} for kind, depth in FIRST
    },
    rates={f"{kind}, {depth}": doubled(FIRST[kind, depth], 5) for kind, depth in FIRST},
    where="(half as wide as the paper's, 2,500 CIFAR-10 images at half their resolution, 30 epochs)",
    margin=0.01,
    ledger=55,
    claims=(
        _claim("degradation", "Of plain networks, one of 56 layers ends at a higher training error than one of 20",
               "plain, 20", "plain, 56"),
        _claim("residual-no-degradation", "Of residual networks, one of 56 layers ends at a training error no higher "
               "than one of 20, give or take a point", "residual, 56", "residual, 20", margin=-0.01),
        _claim("residual-trains-deep", "At 56 layers a residual network ends at a lower training error than plain",
               "residual, 56", "plain, 56"),
        _claim("residual-generalises", "At 56 layers a residual network classifies better than a plain one",
               "residual, 56", "plain, 56", metric="test_accuracy"),
        _claim("shortcuts-buy-more-deep", "Shortcuts lower the training error more at 56 layers than at 20",
               "residual, 56", "plain, 56", "ours", beside=("residual, 20", "plain, 20")),
        _claim("residual-shallow", "At 8 layers, too, a residual network ends at a lower training error than plain",
               "residual, 8", "plain, 8", "ours"),
    ),
    control="plain, 56",
    score="train_accuracy",
    tuned_with={"epochs": 12},
    seeds=10,
)  # fmt: skip


def plot_depth(found):
    """Return the training error of the finished networks by their depth."""
    runs = found.plans[""].of_role("fresh").astype({"layers": int})
    return {"depth": plots.plot_sweep(runs, x="layers", y="train_accuracy", hue="network", error=True)}


def answer(found):
    """Return the training errors of 20 and 56 layers, plain and residual."""
    fresh = found.plans[""].of_role("fresh").query("not collapsed")
    error = 100 * (1 - fresh.groupby("arm")["train_accuracy"].mean())
    told = [f"{kind} {error[f'{kind}, 20']:.0f}% and {error[f'{kind}, 56']:.0f}%" for kind in KINDS]
    return f"Training error with 20 and 56 layers: {'; '.join(told)}."


SHALLOW = "residual, 8", "plain, 8"  # the deep ones trace for long
EXPERIMENT = Experiment(
    name="depth",
    question="Do deeper networks train worse, and do shortcuts mend it?",
    full=networks,
    smoke=networks.small(arms=SHALLOW, dataset="digits", train_size=200, batch_size=32, epochs=1),
    answer=answer,
    more_figures=plot_depth,
)
