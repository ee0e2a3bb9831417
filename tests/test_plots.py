"""Figures say what the rows say: means, intervals, n, diverged runs, and where they come from."""

import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from cnnkit import plots
from cnnkit.lab.store import student_interval, summarise


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def make_runs(seeds=3, rates=(0.001, 0.01, 0.1), optimizers=("adam", "sgd")):
    lines = [
        {"run_id": f"{o}-{rate}-{seed}", "optimizer": o, "learning_rate": rate, "seed": seed, "commit": "abc1234"}
        for o in optimizers
        for rate in rates
        for seed in range(1, seeds + 1)
    ]
    runs = pd.DataFrame(lines).assign(status="completed", val_loss=0.5)
    runs["val_accuracy"] = np.random.default_rng(1).uniform(0.8, 0.9, len(runs))
    return runs


def make_history(seeds=3, epochs=4):
    runs = make_runs(seeds, rates=(0.01,))
    history = runs[["run_id", "optimizer", "seed"]].merge(pd.DataFrame({"epoch": range(1, epochs + 1)}), how="cross")
    random = np.random.default_rng(2)
    for column in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        history[column] = random.uniform(0.3, 0.6, len(history))
    return history


def text_of(ax):
    return "\n".join(text.get_text() for text in ax.texts)


def crosses_of(ax):
    return sum(len(line.get_xdata()) for line in ax.lines if line.get_marker() == "x")


def band_of(ax, x):
    """The lowest and highest y of the shaded band at x."""
    corners = np.concatenate([path.vertices for band in ax.collections for path in band.get_paths()])
    heights = corners[np.isclose(corners[:, 0], x), 1]
    return heights.min(), heights.max()


def test_importing_plots_loads_neither_keras_nor_tensorflow():
    code = "import sys, cnnkit.plots; sys.exit(bool({'keras', 'tensorflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def points_of(ax):
    """Every single run drawn as a small point: `{x: sorted ys}`."""
    drawn = {}
    for line in ax.lines:
        if line.get_linestyle() == "None" and line.get_markersize() < 4:
            for x, y in zip(*line.get_data(), strict=True):
                drawn[x] = sorted([*drawn.get(x, []), y])
    return drawn


@pytest.mark.parametrize(("seeds", "words"), [(3, "mean and range, n = 3"), (5, "95% Student-t interval, n = 5")])
def test_sweep_draws_the_mean_and_a_band_that_few_seeds_can_bear(seeds, words):
    runs = make_runs(seeds, optimizers=("sgd",))
    ax = plots.plot_sweep(runs)
    values = runs.loc[runs["learning_rate"] == 0.01, "val_accuracy"]
    mean, low, high = student_interval(values)
    assert dict(zip(*ax.lines[0].get_data(), strict=True))[0.01] == pytest.approx(mean)
    assert band_of(ax, 0.01) == pytest.approx((low, high) if seeds == 5 else (values.min(), values.max()))
    assert ax.get_xscale() == "log"
    assert ax.get_ylabel() == "Validation accuracy (%)"
    assert words in text_of(ax)


def test_sweep_draws_single_runs_up_to_twenty():
    runs = make_runs(20, optimizers=("sgd",))
    ax = plots.plot_sweep(runs)
    assert points_of(ax) == {
        rate: pytest.approx(sorted(part["val_accuracy"])) for rate, part in runs.groupby("learning_rate")
    }
    assert "points: single runs" in text_of(ax)
    ax = plots.plot_sweep(make_runs(21, optimizers=("sgd",)))
    assert points_of(ax) == {}
    assert "single runs" not in text_of(ax)


def test_a_band_does_not_leave_what_is_possible():
    runs = make_runs(5, optimizers=("sgd",), rates=(0.01, 0.1))
    runs["val_accuracy"] = [0.1, 0.99, 0.99, 0.99, 0.99] * 2
    assert student_interval(runs["val_accuracy"][:5])[2] > 1
    assert band_of(plots.plot_sweep(runs), 0.01)[1] == 1


def test_a_band_of_losses_ends_at_the_lowest_run_and_so_keeps_to_a_logarithmic_axis():
    history = make_history(5, 2).query("optimizer == 'sgd'").sort_values("epoch")
    history["val_loss"] = [0.01, 0.01, 0.01, 0.01, 1.0] * 2
    _, low, high = student_interval(history["val_loss"][:5])
    assert low < 0
    assert band_of(plots.plot_curves(history, metric="val_loss"), 2) == pytest.approx((0.01, high))


def test_error_is_drawn_on_a_logarithmic_axis_and_perfect_runs_stay_visible():
    runs = make_runs(2, optimizers=("sgd",), rates=(0.01, 0.1)).rename(columns={"val_accuracy": "val_score"})
    runs["val_score"] = [0.98, 0.96, 1.0, 1.0]
    ax = plots.plot_sweep(runs, y="val_score", error=True)
    assert ax.get_yscale() == "log"
    assert ax.get_ylabel() == "Last epochs' validation error (%)"
    assert list(ax.lines[0].get_ydata()) == pytest.approx([0.03, 0.01])  # none at all: half of the smallest
    assert points_of(ax) == {0.01: pytest.approx([0.02, 0.04]), 0.1: pytest.approx([0.01, 0.01])}
    assert ax.get_ylim()[0] < 0.01
    assert ax.yaxis.get_major_formatter()(0.02, 0) == "2"
    with pytest.raises(ValueError, match="Expected an accuracy, to draw its error. Received: 'val_loss'"):
        plots.plot_sweep(runs, y="val_loss", error=True)


def test_the_chosen_rate_of_each_group_gets_a_ring():
    runs = make_runs()
    ax = plots.plot_sweep(runs, hue="optimizer", chosen={"adam": 0.01, "sgd": 0.1})
    rings = [(*line.get_xydata()[0], line.get_markeredgecolor()) for line in ax.lines if line.get_markersize() >= 10]
    means = runs.groupby(["optimizer", "learning_rate"])["val_accuracy"].mean()
    colours = [line.get_color() for line in ax.get_legend().get_lines()]
    assert rings == [
        (0.01, pytest.approx(means["adam", 0.01]), colours[0]),
        (0.1, pytest.approx(means["sgd", 0.1]), colours[1]),
    ]
    assert "ring: the chosen learning rate" in text_of(ax)
    plots.plot_sweep(runs.query("optimizer == 'sgd'"), chosen={None: 0.1})


@pytest.mark.parametrize("error", [False, True])
def test_panels_that_share_an_axis_clip_nothing_of_each_other(error):
    _, axes = plt.subplots(1, 3, sharey=True)
    runs = make_runs()
    panels = [runs, runs.assign(val_accuracy=runs["val_accuracy"] - 0.6), runs.assign(val_accuracy=0.99)]
    panels[0] = panels[0].assign(status=["diverged", *["completed"] * 16, "diverged"])
    for ax, part in zip(axes, panels, strict=True):
        plots.plot_sweep(part, hue="optimizer", ax=ax, error=error)
    low, high = axes[0].get_ylim()
    values = np.concatenate([part["val_accuracy"] for part in panels])
    drawn = 1 - values if error else values
    assert low < drawn.min() < drawn.max() < high
    crosses = [line for line in axes[0].lines if line.get_marker() == "x"]
    transform = axes[0].get_xaxis_transform() + axes[0].transData.inverted()
    heights = [transform.transform((0, line.get_ydata()[0]))[1] for line in crosses]
    assert len(set(heights)) == 2
    assert min(heights) > drawn.max() if error else max(heights) < drawn.min()  # no value comes near a cross


def test_one_seed_has_points_and_no_band_and_says_so():
    for ax in (plots.plot_sweep(make_runs(1), hue="optimizer"), plots.plot_curves(make_history(1), hue="optimizer")):
        assert "n = 1 seed, so no interval" in text_of(ax)
        assert not any(np.isfinite(path.vertices).all() for band in ax.collections for path in band.get_paths())
        assert any(line.get_marker() == "o" and len(line.get_xdata()) for line in ax.lines)


@pytest.mark.parametrize("value", [np.nan, 0.1])  # a diverged run may still have a finite last value: it must not count
def test_diverged_runs_are_crosses_and_no_part_of_the_mean(value):
    runs = make_runs(optimizers=("sgd",))
    runs.loc[[3, 6, 7, 8], ["status", "val_accuracy"]] = ["diverged", value]
    ax = plots.plot_sweep(runs)
    drawn = dict(zip(*ax.lines[0].get_data(), strict=True))
    assert drawn[0.01] == pytest.approx(runs.loc[[4, 5], "val_accuracy"].mean())
    assert 0.1 not in drawn
    assert crosses_of(ax) == 4
    assert "× 4 of 9 runs diverged, not in the mean" in text_of(ax)


def test_a_collapsed_run_is_a_cross_and_widens_no_band():
    runs = make_runs(optimizers=("sgd",)).assign(collapsed=pd.Series([np.nan] * 3 + [False] * 6, dtype=object))
    runs.loc[3, ["val_accuracy", "collapsed"]] = [0.1, True]
    ax = plots.plot_sweep(runs)
    values = runs.loc[[4, 5], "val_accuracy"]
    assert band_of(ax, 0.01) == pytest.approx((values.min(), values.max()))
    assert ax.get_ylim()[0] > 0.7
    assert crosses_of(ax) == 1
    assert "× 1 of 9 runs diverged or collapsed" in text_of(ax)
    history = make_history().assign(collapsed=lambda lines: lines["run_id"] == "sgd-0.01-1")
    ax = plots.plot_curves(history, metric="val_accuracy", hue="optimizer")
    sound = history[~history["collapsed"] & (history["optimizer"] == "sgd")].groupby("epoch")["val_accuracy"]
    thick = [line for line in ax.lines if line.get_marker() == "s"]
    assert thick[0].get_ydata() == pytest.approx(sound.mean())
    assert "× 1 of 6 runs ended early or collapsed" in text_of(ax)


def test_failed_runs_are_left_out_and_counted():
    runs = make_runs()
    runs.loc[0, ["status", "val_accuracy"]] = ["failed", np.nan]
    ax = plots.plot_sweep(runs, hue="optimizer")
    assert crosses_of(ax) == 0
    assert "1 of 18 runs failed, left out" in text_of(ax)


def test_sweep_groups_differ_in_more_than_colour_and_a_missing_value_is_a_group():
    runs = make_runs(optimizers=("adam", "momentum", "sgd"))
    runs["schedule"] = runs["optimizer"].map({"adam": "cosine", "momentum": "step", "sgd": None})
    ax = plots.plot_sweep(runs, hue="schedule")
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["cosine", "step", "none"]
    looks = [(line.get_marker(), line.get_linestyle()) for line in legend.get_lines()]
    assert len(set(looks)) == len(looks) == 3


def test_panels_have_one_value_each_the_others_in_grey_and_say_what_differs():
    runs = make_runs(optimizers=("sgd", "adam", "ftrl", "lion"))
    runs.loc[runs["run_id"] == "lion-0.1-2", "status"] = "diverged"
    chosen = dict.fromkeys(("sgd", "adam", "ftrl", "lion"), 0.01)
    how = {"x": "learning_rate", "y": "val_accuracy", "hue": "optimizer", "error": True, "chosen": chosen}
    figure = plots.plot_panels(plots.plot_sweep, runs, **how)
    panels = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title().split("\n")[0] for ax in panels] == ["sgd", "adam", "ftrl", "lion"]
    for ax in panels:
        assert [line.get_color() for line in ax.lines].count("0.85") == 4 and not text_of(ax)
        assert ax.get_xlabel() == ("" if ax in panels[:2] else "Learning rate")
    assert (
        crosses_of(panels[3]) == 1 and "diverged" in panels[3].get_title() and "diverged" not in panels[0].get_title()
    )
    below = figure.get_supxlabel()
    assert "ring: the chosen learning rate" in below and "grey: the means of the others" in below

    runs.loc[runs["run_id"].str.startswith("sgd-0.1"), "val_accuracy"] = 0.1
    figure = plots.plot_panels(plots.plot_sweep, runs, **how)
    beyond = [[line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "^"] for ax in figure.axes[:2]]
    assert beyond == [[[0.1]], []] and "▲" in figure.get_supxlabel() and figure.axes[0].get_ylim()[1] < 0.9

    lines = make_history().assign(optimizer=lambda frame: frame["optimizer"].str.upper())
    figure = plots.plot_panels(plots.plot_curves, lines, x="epoch", y="val_accuracy", hue="optimizer")
    assert [ax.get_title() for ax in figure.axes if ax.axison] == ["ADAM", "SGD"]
    assert "n = 3 seeds" in figure.get_supxlabel()


def test_sweep_refuses_a_band_over_more_than_seeds():
    with pytest.raises(ValueError, match="differ only in their seed.*seed=1"):
        plots.plot_sweep(make_runs())  # two optimizers, no hue


def test_sweep_refuses_zero_on_a_logarithmic_axis_and_names():
    with pytest.raises(ValueError, match=r"learning_rate=0.0. Pass log_x=False"):
        plots.plot_sweep(make_runs(rates=(0.0, 0.1)), hue="optimizer")
    with pytest.raises(ValueError, match="Expected numbers in optimizer"):
        plots.plot_sweep(make_runs(), x="optimizer")


def test_curves_draw_training_and_validation_with_units():
    ax = plots.plot_curves(make_history().query("optimizer == 'sgd'"), metric="loss")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", "Loss (nats)")
    assert "n = 3 seeds; thin lines: single runs" in text_of(ax)
    assert sum(line.get_linewidth() < 1 for line in ax.lines) == 3  # of validation


def test_curves_of_errors_are_logarithmic_too():
    history = make_history().query("optimizer == 'sgd'")
    history["val_accuracy"] = np.where(history["epoch"] == 1, 0.5, 1.0)
    ax = plots.plot_curves(history, metric="val_accuracy", error=True)
    assert (ax.get_yscale(), ax.get_ylabel()) == ("log", "Validation error (%)")
    assert {0.5, 0.25} == {float(y) for line in ax.lines for y in line.get_ydata()}  # none at all: half of the smallest
    with pytest.raises(ValueError, match="Expected an accuracy, to draw its error. Received: 'val_loss'"):
        plots.plot_curves(history, metric="val_loss", error=True)


def test_curves_mark_runs_that_ended_early_even_in_their_first_epoch():
    history = make_history()
    history = history[(history["run_id"] != "sgd-0.01-1") | (history["epoch"] == 1)]
    history.loc[history["run_id"] == "sgd-0.01-1", "val_loss"] = np.nan
    history = history[(history["run_id"] != "sgd-0.01-2") | (history["epoch"] <= 2)]
    ax = plots.plot_curves(history, metric="loss", hue="optimizer")
    assert crosses_of(ax) == 2
    assert "× 2 of 6 runs ended early or collapsed" in text_of(ax)


def test_a_missing_column_says_how_to_get_it():
    with pytest.raises(ValueError, match="without optimizer.*history.merge"):
        plots.plot_curves(make_history().drop(columns="optimizer"), hue="optimizer")
    with pytest.raises(ValueError, match="Received: 0 lines"):
        plots.plot_sweep(make_runs()[:0])


def test_heatmap_writes_means_in_percent_and_counts_diverged():
    runs = make_runs(optimizers=("sgd",))
    runs = pd.concat([runs.assign(batch_size=size) for size in (16, 128)], ignore_index=True)
    runs["val_accuracy"] = [0.85, 0.9, 0.95] * 6
    runs.loc[[0, 6, 7, 8], ["status", "val_accuracy"]] = ["diverged", np.nan]
    ax = plots.plot_heatmap(runs, x="learning_rate", y="batch_size")
    cells = [text.get_text() for text in ax.texts]
    cell = "90.0 \n85.0–95.0"
    assert cells[:6] == ["92.5 ×1\n90.0–95.0", cell, "×3", cell, cell, cell]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.001", "0.01", "0.1"]
    assert ax.get_ylim() == (0, 2)  # the larger batch on top
    assert "n = 2 to 3 seeds" in cells[6]


def test_confusion_counts_and_mutes_the_diagonal():
    ax = plots.plot_confusion([0, 0, 1, 2, 2], [0, 1, 1, 2, 0], ["cat", "dog", "owl"])
    counts = {(round(t.get_position()[1] - 0.5), round(t.get_position()[0] - 0.5)): t for t in ax.texts[:-1]}
    assert {place: text.get_text() for place, text in counts.items()} == {
        (0, 0): "1", (1, 1): "1", (2, 2): "1", (0, 1): "1", (2, 0): "1",
    }  # fmt: skip
    assert counts[0, 0].get_color() == "0.5" != counts[0, 1].get_color()
    assert "2 errors in 5 images (40.00%)" in text_of(ax)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        ([0, 1], np.zeros((2, 3)), r"argmax\(axis=-1\)"),
        ([0, 1], [0], "one shape"),
        ([0, 3], [0, 1], r"classes 0 to 2.*Received: \[3\]"),
    ],
)
def test_confusion_refuses(y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_confusion(y_true, y_pred, ["cat", "dog", "owl"])


def test_images_keep_their_values_and_pixels():
    grey = np.arange(2 * 4 * 4, dtype="uint8").reshape(2, 4, 4)
    ax = plots.plot_images([*grey, np.full((8, 4, 3), 0.5)], titles=["a", "b", "c"])
    assert [image.get_interpolation() for image in ax.images] == ["nearest"] * 3
    assert ax.images[0].get_clim() == (0, 255)  # one scale for all, not each stretched to its own range
    assert ax.images[2].get_array().shape == (8, 4, 3)
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c"]


def test_weights_share_one_scale_around_zero():
    weights = np.array([[[[-0.5]]], [[[0.25]]]])
    ax = plots.plot_images(weights)
    assert [image.get_clim() for image in ax.images] == [(0, 1)] * 2  # of blue, white and red
    assert [image.get_array().item() for image in ax.images] == [0, 0.75]
    assert "−0.5 to 0.5" in text_of(ax)
    rgb = plots.plot_images(np.array([-0.5, 0, 0.5]).reshape(1, 1, 1, 3))
    assert np.ravel(rgb.images[0].get_array().data) == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 5, 5, 16)), r"shape \(5, 5, 16\).*one channel"),
        (np.full((1, 2, 2), np.nan), "finite: False"),
        (np.zeros((0, 2, 2)), "0 images"),
        (np.zeros((257, 2, 2)), r"images\[:64\]"),
    ],
)
def test_images_refuse(images, message):
    with pytest.raises(ValueError, match=message):
        plots.plot_images(images)
    with pytest.raises(ValueError, match="2 images and 1 titles"):
        plots.plot_images(np.zeros((2, 2, 2)), titles=["one"])


def test_intervals_print_what_they_draw():
    summary = summarise(make_runs(), "optimizer", "val_accuracy")
    ax = plots.plot_intervals(summary, y="optimizer")
    line = summary.iloc[0]
    assert ax.texts[0].get_text() == f"{100 * line['mean']:.2f} [{100 * line.low:.2f}, {100 * line.high:.2f}]   n = 9"
    bars = ax.containers[0].lines[2][0].get_segments()
    assert bars[0][:, 0] == pytest.approx([100 * line.low, 100 * line.high])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["adam", "sgd"]


def test_intervals_of_claims_show_margin_and_one_seed_without_a_bar():
    claims = pd.DataFrame({"id": ["a", "b"], "effect": [0.02, -0.01], "low": [0.01, np.nan], "high": [0.03, np.nan]})
    claims = claims.assign(n=[5, 1], margin=0.01, verdict=["SUPPORTED", "INCONCLUSIVE"])
    ax = plots.plot_intervals(claims, y="id", x="effect", reference=0)
    assert ax.get_xlabel() == "Difference in validation accuracy (percentage points)"
    assert [text.get_text() for text in ax.texts[:2]] == ["2.00 [1.00, 3.00]   n = 5", "−1.00   n = 1"]
    assert ax.patches[0].get_bbox().intervalx == pytest.approx([-1, 1])


def test_intervals_show_single_runs_and_count_collapsed_ones_at_the_edge():
    runs = make_runs(6, rates=(0.01,)).assign(collapsed=False)
    runs.loc[2, ["val_accuracy", "collapsed"]] = [0.1, True]
    runs.loc[3, ["val_accuracy", "status"]] = [np.nan, "diverged"]
    summary = summarise(runs[~runs["collapsed"]], "optimizer", "val_accuracy")
    ax = plots.plot_intervals(summary, y="optimizer", runs=runs)
    drawn = {line.get_ydata()[0]: line.get_xdata() for line in ax.lines if line.get_markersize() < 4}
    heights = sorted(drawn)
    assert drawn[heights[0]] == pytest.approx(100 * runs.loc[[0, 1, 4, 5], "val_accuracy"])
    assert drawn[heights[1]] == pytest.approx(100 * runs.loc[6:, "val_accuracy"])
    count = next(text for text in ax.texts if text.get_text() == "×2")
    assert count.get_position() == (0.01, heights[0])
    assert ax.get_xlim()[0] > 70
    assert "points: single runs\n× 2 of 12 runs diverged or collapsed, not in the mean" in text_of(ax)


def test_an_arm_of_few_seeds_has_its_range_and_no_interval_beyond_what_is_possible():
    runs = make_runs(5, rates=(0.01,))
    runs["val_accuracy"] = [0.94, 0.99, 0.99, 0.5, 0.5] + [0.1, 0.99, 0.99, 0.99, 0.99]
    runs.loc[[3, 4], "status"] = "failed"
    summary = summarise(runs[runs["status"] != "failed"], "optimizer", "val_accuracy")
    assert (summary["high"] > 1).all()
    ax = plots.plot_intervals(summary, y="optimizer", runs=runs)
    few, many = (bar[:, 0] for bar in ax.containers[0].lines[2][0].get_segments())
    assert few == pytest.approx([94, 99])
    assert many == pytest.approx([100 * summary["low"][1], 100])
    assert ax.texts[-3].get_text() == "97.33 [94.00, 99.00]   n = 3"
    alike = runs[:3].assign(val_accuracy=0.7)  # their mean is not quite 0.7
    plots.plot_intervals(summarise(alike, "optimizer", "val_accuracy"), y="optimizer", runs=alike)
    assert "mean and 95% Student-t interval, below five seeds range, n = 3 to 5 seeds; points" in text_of(ax)


def test_functions_draw_on_the_axes_given_and_leave_global_style_alone():
    before = dict(matplotlib.rcParams)
    _, ax = plt.subplots()
    assert plots.plot_sweep(make_runs(), hue="optimizer", ax=ax) is ax
    assert plt.get_fignums() == [1]
    assert dict(matplotlib.rcParams) == before


def test_only_a_smoke_figure_is_marked():
    ax = plots.plot_sweep(make_runs(), hue="optimizer")
    plots.mark_profile(ax, "full")
    assert ax.figure.get_supxlabel() == ""
    plots.mark_profile(ax, "smoke")
    assert ax.figure.get_supxlabel() == "smoke run: too small to conclude from"


def test_the_same_rows_give_the_same_bytes_with_their_provenance(tmp_path):
    runs = make_runs()
    for name, rows in (("a.png", runs), ("b.png", runs[::-1])):
        plots.save_figure(plots.plot_sweep(rows, hue="optimizer"), tmp_path / name, experiment="quickstart", rows=rows)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    origin = plots.read_provenance(tmp_path / "a.png")
    assert origin["experiment"] == "quickstart"
    assert (origin["runs"], origin["commit"]) == (18, "abc1234")
    assert origin["rows_sha256"] == plots.hash_rows(runs)
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}
    assert (tmp_path / "a.png").stat().st_size < 200_000
    with Image.open(tmp_path / "a.png") as image:
        assert "Software" not in image.info  # another Matplotlib need not mean another file


def test_the_hash_of_rows_changes_with_a_metric_and_survives_a_csv(tmp_path):
    runs = make_runs()
    runs.to_csv(tmp_path / "runs.csv", index=False)
    assert plots.hash_rows(pd.read_csv(tmp_path / "runs.csv")) == plots.hash_rows(runs)
    runs.loc[0, "val_accuracy"] += 1e-6
    assert plots.hash_rows(pd.read_csv(tmp_path / "runs.csv")) != plots.hash_rows(runs)


def test_a_figure_without_provenance_is_refused(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("no picture")
    for name in ("plain.png", "text.png"):
        with pytest.raises(ValueError, match="carries no provenance"):
            plots.read_provenance(tmp_path / name)
    with pytest.raises(ValueError, match="without commit"):
        rows = make_runs().drop(columns="commit")
        plots.save_figure(plt.figure(), tmp_path / "new.png", experiment="quickstart", rows=rows)


def make_verdict(**line):
    nothing = dict.fromkeys(("reading", "p", "q", "flips", "needed", "conditions", "collapsed"), np.nan)
    same = {"id": "a", "ledger": 77, "text": "A beats B.", "verdict": "INCONCLUSIVE", "reason": "too wide", "looks": 1}
    return nothing | same | {"low": -0.02, "high": 0.01, "n": 5, "margin": 0.001} | line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"unit": "test_accuracy", "effect": -0.0123}, "−1.23 pp [−2.00, 1.00], n = 5, margin 0.1"),
        ({"unit": "train_loss", "effect": 0.5}, "+0.5 nats [−0.02, 0.01], n = 5, margin 0.001"),
        ({"unit": "epochs", "effect": 3.0, "looks": 2}, "+3 epochs [−0.02, 0.01], n = 5, margin 0.001, 2 looks"),
        ({"unit": "collapsed", "effect": 0.5, "margin": 0.1}, "+0.50 share [−0.02, 0.01], n = 5, margin 0.1"),
        (
            {"unit": "ratio", "effect": 1.5, "low": 1.2, "high": 2.0, "margin": 1.1, "q": 0.0342},
            "1.5 times [1.2, 2], n = 5, margin 1.1, q = 0.034",
        ),
        (
            {"unit": "val_score", "effect": 0.01, "q": 1e-9, "collapsed": "1 of 16", "needed": 14.0},
            "+1.00 pp [−2.00, 1.00], n = 5, margin 0.1, q < 0.001; 1 of 16 runs collapsed; n = 14 would decide",
        ),
        ({"unit": "parameters", "effect": 60_965_224.0, "verdict": "TRUE"}, "60,965,224 parameters"),
        ({"unit": "positions", "effect": 6.25, "verdict": "FALSE"}, "6.25 positions"),
        ({"unit": "ratio", "effect": np.nan, "collapsed": "0 of 16"}, ""),
        ({"unit": "ratio", "effect": np.nan, "collapsed": "9 of 16"}, "9 of 16 runs collapsed"),
    ],
)
def test_an_effect_in_words(line, words):
    assert plots.tell_effect(make_verdict(**line)) == words


def test_verdicts_in_words_give_their_reading_and_conditions_and_no_number_of_a_ledger(tmp_path):
    refuted = {"effect": 0.0012, "low": -0.0005, "high": 0.0029, "n": 8, "unit": "test_accuracy", "margin": 0.002}
    refuted |= {"verdict": "REFUTED", "reading": "no difference", "q": 0.003, "conditions": "all of mnist; lenet5"}
    computed = {"id": "b", "effect": 5.0, "unit": "apples", "verdict": "TRUE", "reason": "computed"}
    empty = {"id": "c", "effect": np.nan, "unit": "test_accuracy", "n": 0}
    table = pd.DataFrame([make_verdict(**line) for line in (refuted, computed, empty)])
    words = [
        "REFUTED (no difference)  A beats B. (a)",
        "    +0.12 pp [−0.05, 0.29], n = 8, margin 0.2, q = 0.003",
        "    all of mnist; lenet5",
        "TRUE  A beats B. (b)",
        "    5 apples",
        "INCONCLUSIVE  A beats B. (c)",
        "    too wide",
    ]
    assert plots.tell_verdicts(table, indent="").splitlines() == words
    table.to_csv(tmp_path / "claims.csv", index=False)  # a table that was read has numbers where texts are missing
    assert plots.tell_verdicts(pd.read_csv(tmp_path / "claims.csv"), indent="").splitlines() == words
    assert plots.count_verdicts(table) == "1 TRUE, 1 REFUTED, 1 INCONCLUSIVE"
    waiting = table.assign(reason=["", "", "being measured: 0 of at least 9 runs are here"])
    assert plots.count_verdicts(waiting) == "1 TRUE, 1 REFUTED, 1 being measured"
    long = plots.tell_verdicts(table.assign(text="word " * 40), indent="  ").splitlines()
    assert max(map(len, long)) <= 96
    assert all(line.startswith("  ") for line in long)


def test_a_table_in_words():
    runs = pd.DataFrame({"train_size": [500, 10_000, 10_000], "test_loss": [0.5, 0.25, 0.35]})
    table = summarise(runs, "train_size", "test_loss")
    lines = plots.terminal_table(table).splitlines()
    assert lines[0] == "  Training size (images)  Test loss (nats), mean ± 95%  n"
    assert lines[2].split() == ["500", "0.5", "1"]
    assert lines[3].split() == ["10,000", "0.3", "±", "0.6353", "2"]
    assert plots.markdown_table(plots.readable(table)).splitlines()[-1] == "| 10,000 | 0.3 ± 0.6353 | 2 |"
    levels = pd.DataFrame(
        {"arm": ["a"], "mean": [0.981], "low": [0.98], "high": [0.982], "n": [8], "sampling": [0.0014]}
    )
    levels.attrs["metric"] = "test_accuracy"
    assert plots.readable(levels).to_dict("records") == [
        {
            "Arm": "a",
            "Test accuracy (%), mean ± 95%": "98.10 ± 0.10",
            "n": "8",
            "The test set's own error in accuracy (%)": "0.14",
        }
    ]


def test_a_column_of_names_has_no_unit_and_a_letter_stays_a_letter():
    arms = pd.DataFrame({"loss": ["hinge", "crossentropy"], "k": [1, 3], "published_accuracy": ["", "96.9"]})
    assert list(plots.readable(arms)) == ["Loss", "k", "Published accuracy (%)"]
    assert list(plots.readable(arms.assign(loss=0.5)))[0] == "Loss (nats)"
    runs = make_runs().rename(columns={"optimizer": "loss"})
    assert plots.plot_sweep(runs, hue="loss").get_legend().get_title().get_text() == "Loss"
