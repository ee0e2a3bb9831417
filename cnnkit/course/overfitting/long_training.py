"""From 5 epochs to 80 on few images: when does the validation loss turn, when the accuracy, and does it fall at all?

Run:     python -m cnnkit sweep long_training --profile full
Expect:  about 49% on 2,500 images of CIFAR-10 at half their resolution, all of them learnt by heart after 80 epochs;
         25 minutes of one core.

All arms have the learning rate that suits 20 epochs, falling to 0 whatever their number; one keeps half of it for all
80 epochs, so that its curves are those of a run that nobody stops. Every epoch's validation is in its history.
"""

import matplotlib.pyplot as plt
import pandas as pd

from cnnkit import plots
from cnnkit.evidence.experiment import COSINE, Claim, Comparison, Experiment, RunConfig, Times, doubled

WHERE = "(three convolutions, 2,500 CIFAR-10 images at half their resolution)"
LONGEST = "80, constant"


def _claim(id, text, better, worse, source="popular articles", margin=0.01, **how):
    return Claim(id, f"{text} {WHERE}.", better, worse, source, margin, ledger=69, **how)


runs = Comparison(
    RunConfig(dataset="halved:cifar10", train_size=2_500, model="caffe_quick", batch_size=50, epochs=20, **COSINE),
    by="length, rate",
    arms={"20, falling": {}}
    | {f"{n}, falling": {"epochs": n, "learning_rate": Times("20, falling", 1)} for n in (5, 10, 40, 80)}
    | {LONGEST: {"epochs": 80, "schedule": "constant", "learning_rate": Times("20, falling", 0.5)}},
    rates={"20, falling": doubled(0.001)},
    claims=(
        _claim("more-epochs-better", "Twice as many epochs, 40 instead of 20, classify better", "40, falling",
               "20, falling"),
        _claim("long-training-worse", "80 epochs, four times as many, overfit and so classify worse than 20",
               "20, falling", "80, falling"),
        _claim("long-training-loss", "80 epochs end at a test loss above that of 20", "20, falling", "80, falling",
               margin=0.1, metric="test_loss", lower_is_better=True),
        _claim("validation-loss-rises", "At a constant rate the validation loss ends at more than 1.5 times its lowest",
               LONGEST, LONGEST, "ours", margin=1.5, metric=("best_val_loss", "val_loss"), lower_is_better=True,
               ratio=True),
    ),
    control="20, falling",
    seeds=8,
)  # fmt: skip


def turning_points(history):
    """Return one line a run: the epochs in which its validation `loss turns` and its `accuracy is best`.

    `rise` is how many times its lowest the loss is at the end, `fall` what the accuracy has lost since its best, both
    by the mean of the last five epochs. A maximum over noisy epochs has its part in it.
    """
    runs = history.set_index("epoch").sort_index().groupby("run_id")
    loss, accuracy = runs["val_loss"], runs["val_accuracy"]
    ends = runs[["val_loss", "val_accuracy"]].apply(lambda run: run.tail(5).mean())
    columns = {"loss turns": loss.idxmin(), "accuracy is best": accuracy.idxmax()}
    columns |= {"rise": ends["val_loss"] / loss.min(), "fall": accuracy.max() - ends["val_accuracy"]}
    return pd.DataFrame(columns).rename_axis("run_id").reset_index()


def plot_two_curves(found):
    """Return the curves of the run that is never stopped, the best epoch of each seed's validation ringed."""
    plan = next(iter(found.plans.values()))
    fresh = plan.of_role("fresh").query("arm == @LONGEST and not collapsed")
    history = plan.history[plan.history["run_id"].isin(fresh["run_id"])]
    if history.empty:
        return {}
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    points = turning_points(history).set_index("run_id")
    for ax, (measure, best) in zip(axes, {"loss": "loss turns", "accuracy": "accuracy is best"}.items(), strict=True):
        plots.plot_curves(history.merge(fresh[["run_id", "seed", "collapsed"]], on="run_id"), metric=measure, ax=ax)
        lines = history.pivot(index="epoch", columns="run_id", values=f"val_{measure}")
        heights = [lines.at[epoch, run] for run, epoch in points[best].items()]
        ax.plot(points[best], heights, "o", mfc="none", mec="#b3400e", ms=8, zorder=5)
    return {"two_curves": figure}


EXPERIMENT = Experiment(
    name="long_training",
    question="Do more epochs overfit, and does the accuracy notice?",
    full=runs,
    smoke=runs.small(dataset="digits", train_size=200, model="mlp", batch_size=20),
    answer="80 epochs instead of 20 change the test error by {long-training-worse:+.1f} points and the test loss by "
    "{long-training-loss:+.2f} nats.",
    more_figures=plot_two_curves,
)
