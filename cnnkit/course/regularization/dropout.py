"""Dropout: how much, of which layers, with which learning rate, and for how large a network?

Run:     python -m cnnkit sweep dropout --profile full
Expect:  about 43% without, 50% with it, on 3,000 images of CIFAR-10 at half their resolution; 75 minutes of one core.

50 epochs: what silences units slows learning. In 25, tried with one seed before this was declared, the usual shares
gained one point, in 50 six, in 100 eight; without them 25 are enough. Three parts. `places`: shares of the dense
layer's units from a tenth to nine, and the usual shares of pixels, maps and units. `rates`: what Srivastava et al. 2014
advise beside it (their app. A): ten times the rate, a momentum of 0.95 to 0.99, units no longer than 3 to 4; ours start
at a length of 1.4, so that 2 is as tight. `widths`: an eighth and a half of Keras' example.
"""

from cnnkit import plots
from cnnkit.course.regularization._recipe import ALONE, BASE, COMMON, RATES, SMALL, drop
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, Times, by_split

SRIVASTAVA = "popular articles; Srivastava et al. 2014, "
SHARES = (0.1, 0.2, 0.5, 0.7, 0.9)
KERAS = {"conv_dropout": 0.25, "dense_dropout": 0.5}  # the shares of Keras' example
HOW = COMMON | {"tuned_with": {"epochs": 15}, "seeds": 8}
HIGHER = tuple(2 * rate for rate in RATES)  # for units that are kept short, and for narrow layers
LONGER = BASE.replace(epochs=50)

places = Comparison(
    LONGER,
    by="place, share",
    arms={
        "none, 0": {},
        **{f"dense, {share}": drop(dense_dropout=share) for share in SHARES},
        "pixels, 0.2": drop(input_dropout=0.2),
        "maps, 0.25": drop(conv_dropout=0.25),
        "maps and dense, 0.25 and 0.5": drop(**KERAS),
        "all, 0.2 to 0.5": drop(input_dropout=0.2, **KERAS),
    },
    ledger=49,
    claims=(
        Claim("dropout-half", "Dropout of a half on the dense layer improves accuracy", "dense, 0.5", "none, 0"),
        Claim("dropout-fifth", "Dropout of a fifth on the dense layer improves accuracy", "dense, 0.2", "none, 0"),
        Claim.of_gap("dropout-half-gap", "Dropout of a half on the dense layer narrows the gap", "dense, 0.5",
                     "none, 0"),
        Claim("dropout-tenth", "Dropout of a tenth on the dense layer buys less than a point", "none, 0", "dense, 0.1",
              margin=-0.01),
        Claim("dropout-seven-tenths", "Dropout of seven tenths on the dense layer classifies worse than of a half",
              "dense, 0.5", "dense, 0.7"),
        Claim("dropout-nine-tenths", "Dropout of nine tenths on the dense layer classifies worse than of a half",
              "dense, 0.5", "dense, 0.9"),
        Claim("dropout-pixels", "Dropout of a fifth of the pixels improves accuracy", "pixels, 0.2", "none, 0",
              ledger=50),
        Claim("dropout-maps", "Dropout of a quarter of the maps' values beside the dense layer's improves accuracy",
              "maps and dense, 0.25 and 0.5", "dense, 0.5", SRIVASTAVA + "sec. 6.1.2", ledger=50),
        Claim("dropout-everywhere", "Dropout of pixels, maps and units beats that of the dense layer's units alone",
              "all, 0.2 to 0.5", "dense, 0.5", ledger=50),
    ),
    control="maps and dense, 0.25 and 0.5",
    rates=RATES,
    **HOW,
)  # fmt: skip

LONG, TENFOLD = {"regularization": {"max_norm": 2.0}}, {"learning_rate": Times("plain, own", 10)}
FREE = ("plain, own", "dropout, own", "dropout + momentum 0.95, own")
rates = Comparison(
    LONGER,
    by="network, rate",
    arms={
        "plain, own": {},
        "dropout, own": drop(**KERAS),
        "dropout, of plain": drop(**KERAS) | {"learning_rate": Times("plain, own", 1)},
        "dropout, threefold": drop(**KERAS) | {"learning_rate": Times("plain, own", 3)},
        "dropout, tenfold": drop(**KERAS) | TENFOLD,
        "max-norm, own": LONG,
        "dropout + max-norm, own": drop(**KERAS) | LONG,
        "dropout + max-norm, tenfold": drop(**KERAS) | LONG | TENFOLD,
        "dropout + momentum 0.95, own": drop(**KERAS) | {"optimizer_args": {"momentum": 0.95}},
    },
    ledger=50,
    claims=(
        Claim("dropout-own-rate", "With dropout its own best rate beats that which suits the network without it",
              "dropout, own", "dropout, of plain", "ours"),
        Claim("dropout-threefold", "With dropout three times the rate that suits the network without it beats it",
              "dropout, threefold", "dropout, of plain", SRIVASTAVA + "app. A"),
        Claim("dropout-tenfold", "With dropout ten times the rate that suits the network without it beats that rate",
              "dropout, tenfold", "dropout, of plain", SRIVASTAVA + "app. A"),
        Claim("dropout-tenfold-collapses", "With dropout more runs collapse at ten times that rate",
              "dropout, of plain", "dropout, tenfold", "ours", metric="collapsed", margin=0.1),
        Claim("dropout-tenfold-max-norm", "With dropout and units of at most 2 ten times that rate beats it, too",
              "dropout + max-norm, tenfold", "dropout, of plain", SRIVASTAVA + "app. A"),
        Claim("dropout-momentum", "With dropout momentum 0.95 classifies better than 0.9",
              "dropout + momentum 0.95, own", "dropout, own", SRIVASTAVA + "app. A"),
        Claim("dropout-max-norm", "Beside dropout units of at most 2 improve accuracy", "dropout + max-norm, own",
              "dropout, own", SRIVASTAVA + "sec. 5.1"),
        Claim("max-norm-alone", "Without dropout units of at most 2 improve accuracy", "max-norm, own", "plain, own",
              "ours"),
    ),
    control="dropout, own",
    rates=dict.fromkeys(FREE, RATES) | dict.fromkeys(("max-norm, own", "dropout + max-norm, own"), HIGHER),
    longer_seeds=0,  # the control is that of `places`
    **HOW,
)  # fmt: skip
widths = Comparison(
    LONGER,
    by="width, dropout",
    arms={
        f"{width}, {name}": {"model_args": ALONE | {"width": width} | shares}
        for width in (0.125, 0.5)
        for name, shares in (("none", {}), ("with", KERAS))
    },
    ledger=50,
    claims=(
        Claim("dropout-big-nets", "Dropout buys more in a network four times as wide", "0.5, with", "0.5, none",
              beside=("0.125, with", "0.125, none")),
    ),
    control="0.5, with",
    rates={f"{width}, {name}": rates for width, rates in ((0.125, HIGHER), (0.5, RATES)) for name in ("none", "with")},
    longer_seeds=0,  # as above
    **HOW,
)  # fmt: skip


def plot_shares(found):
    """Return the training and the test accuracy by the dense layer's share."""
    if "places" not in found.plans:
        return {}
    fresh = found.plans["places"].of_role("fresh").query("place in ('none', 'dense')")
    lines = by_split(fresh.astype({"share": float}))
    return {"shares": plots.plot_sweep(lines, x="share", y="accuracy", hue="images", log_x=False)}


EXPERIMENT = Experiment(
    name="dropout",
    question="How much dropout, of which layers, with which rate, and for which networks?",
    full={"places": places, "rates": rates, "widths": widths},
    smoke={"widths": widths.small(**SMALL)},
    answer="In points: dropout of half of the dense layer {dropout-half:+.1f}, of maps beside it {dropout-maps:+.1f}, "
    "of pixels {dropout-pixels:+.1f}.",
    more_figures=plot_shares,
)
