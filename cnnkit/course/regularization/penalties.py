"""L1, L2 and max-norm, each at the best of its strengths: which classifies better, and does less L2 cure overfitting?

Run:     python -m cnnkit sweep penalties --profile full
Expect:  about 42% alone on 3,000 images of CIFAR-10 at half their resolution; 70 minutes of one core.

A penalty is λ times the sum of the kernels' sizes (L1) or squares (L2), as Keras counts it; biases are free. With all
weights at their start, λ of 0.0001 (L1) and 0.0006 (L2) add half a nat to a loss of 2.3: the grids lie around that.
Strengths are chosen like rates, by validation; a max-norm of 2 is the loosest that is tried.
"""

from cnnkit import plots
from cnnkit.course.regularization._recipe import BASE, COMMON, RATES, SMALL, BestOf
from cnnkit.evidence.experiment import Claim, Experiment, by_split

STRENGTHS = {
    "L1": {"l1": (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)},
    "L2": {"l2": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)},
    "max-norm": {"max_norm": (0.7, 1.0, 1.4, 2.0)},
}
ARMS = {
    f"{name}, {value:g}": {"regularization": {field: value}}
    for name, grid in STRENGTHS.items()
    for field, values in grid.items()
    for value in values
}
CS231N = "popular articles, after Karpathy, CS231n notes"
strengths = BestOf(
    BASE,
    by="penalty, strength",
    arms={"none, 0": {}} | ARMS,
    groups=tuple(STRENGTHS),
    rates={arm: tuple(2 * rate for rate in RATES) if arm.startswith("max") else RATES for arm in ("none, 0", *ARMS)},
    ledger=51,
    claims=(
        Claim("l2-beats-l1", "L2 classifies better than L1, each at its best strength", "L2, best", "L1, best", CS231N),
        Claim("l2-improves", "L2 improves accuracy at its best strength", "L2, best", "none, 0"),
        Claim("l1-improves", "L1 improves accuracy at its best strength", "L1, best", "none, 0"),
        Claim("max-norm-improves", "Max-norm improves accuracy at its best strength", "max-norm, best", "none, 0",
              "Srivastava et al. 2014, sec. 5.1", ledger=50),
        Claim.of_gap("l2-gap", "L2 narrows the gap at its best strength", "L2, best", "none, 0", CS231N),
        Claim.of_gap("l2-lower-cures", "A tenth of an L2 of 0.003 overfits less", "L2, 0.0003", "L2, 0.003", ledger=79),
        Claim("l2-paper-range", "L2 of 0.0003 buys less than a point", "none, 0", "L2, 0.0003", ledger=52,
              margin=-0.01),
    ),
    control="L2, 0.003",
    seeds=10,
    **COMMON,
)  # fmt: skip


def plot_strengths(found):
    """Return training and test accuracy by strength, a panel a penalty; dotted: without any."""
    fresh = found.plans[""].of_role("fresh").query("not collapsed and strength != 'best'")
    alone = fresh[fresh["penalty"] == "none"]
    drawn = {}
    for name in [name for name in STRENGTHS if (fresh["penalty"] == name).any()]:
        both = by_split(fresh[fresh["penalty"] == name].astype({"strength": float}))
        ax = plots.plot_sweep(both, x="strength", y="accuracy", hue="images")
        for side in ("test", "train"):
            ax.axhline(alone[f"{side}_accuracy"].mean(), color="0.35", linestyle=":", linewidth=1)
        ax.set_xlabel(f"{name} (dotted: none)")
        drawn[f"strengths_{name.replace('-', '_')}"] = ax
    return drawn


small = {arm: strengths.arms[arm] for arm in ("none, 0", "L1, 0.0003", "L2, 0.003")}  # each is traced anew
EXPERIMENT = Experiment(
    name="penalties",
    question="Which classifies better at its best strength, L1, L2 or max-norm?",
    full=strengths,
    smoke=BestOf(BASE, "penalty, strength", small, RATES, strengths.claims[:3], groups=("L1", "L2"), **COMMON).small(
        **SMALL
    ),
    answer="In points, each at its best: L2 {l2-improves:+.1f}, L1 {l1-improves:+.1f}, max-norm "
    "{max-norm-improves:+.1f}.",
    more_figures=plot_strengths,
)
