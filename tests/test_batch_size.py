"""Chapter batch_size: runs that never reach a target, what its designs hold equal, and the stopwatch's verdict."""

import numpy as np
import pandas as pd
import pytest

from cnnkit.course.batch_size import batch_size, facts, last_batch, race, step_time
from cnnkit.evidence import claims
from cnnkit.evidence.fact import check
from cnnkit.lab import store


def make_race(reach):
    """Stage made-up rows of the small race, stage by stage, and return what was found.

    `reach(config)` is the share of its epochs after which a run is at the target; above 1 it never is.
    """
    level = race.smoke.score[1]
    while (found := race.EXPERIMENT.read("smoke")).missing:
        for config in found.missing:
            epochs = np.arange(1, config.epochs + 1)
            row = {"run_id": config.run_id, **config.to_row(), "status": "completed", "majority_share": 0.1}
            row |= dict.fromkeys(("val_accuracy", "val_score", "best_val_accuracy", "test_accuracy"), 0.9)
            row |= {"test_images": 359, "num_params": 61_706, "train_seconds": 1.0, "epochs_run": config.epochs}
            seconds = epochs * (1 + 0.1 * (config.seed % 7)) * 0.01 * config.batch_size**0.1
            lines = {
                "epoch": epochs,
                "train_eval_loss": np.where(epochs < reach(config) * config.epochs, 2 * level, level / 2),
            }
            lines |= {"val_accuracy": 0.9 - 1 / (epochs + config.batch_size), "seconds": seconds}
            store.stage(row, pd.DataFrame(lines), "race")
        store.rebuild("race")
    return found


def test_a_target_that_no_run_reaches_decides_nothing_and_breaks_nothing():
    found = make_race(lambda config: 2)
    assert found.complete and not found.plans[""].choices
    verdicts = pd.DataFrame(found.verdicts())
    assert (verdicts["verdict"] == "INCONCLUSIVE").all()
    assert verdicts["reason"].str.contains("never reached the target").all()
    assert race.times(found).empty and race.plot_times(found) == {}
    assert found.answer() == "No batch size reached the target." and found.table().empty and found.figures() == {}


def test_a_run_that_never_reaches_the_target_counts_as_longer_than_its_end_and_is_drawn_so():
    found = make_race(lambda config: 2 if config.batch_size == 512 and config.seed > 100 else 0.4)
    times = race.times(found).set_index(["arm", "seed"])
    assert not times.loc["all", "reached"].any() and (times.loc["all", "epochs"] == 16).all()
    assert times.loc["128", "reached"].all() and (times.loc["128", "steps"] == 4 * times.loc["128", "epochs"]).all()
    sooner = {verdict["id"]: verdict for verdict in found.verdicts()}["mini-batch-epochs"]
    assert sooner["effect"] == pytest.approx(16 / 2) and sooner["n"] == 2
    triangles = [line for line in race.plot_times(found)["times"].axes[0].lines if line.get_marker() == "^"]
    assert triangles[0].get_xdata().tolist() == [512, 512]


def test_equal_epochs_and_equal_steps_are_equal_and_share_what_they_can():
    epochs, steps = (part.configs for part in batch_size.FULL.values())
    assert {config.epochs for config in epochs.values()} == {batch_size.EPOCHS}
    assert {config.epochs * config.train_size // config.batch_size for config in steps.values()} == {batch_size.STEPS}
    assert epochs["256, tuned"].run_id == steps["256, tuned"].run_id
    assert last_batch.last.base.train_size % last_batch.last.base.batch_size == 16


def trials(faster):
    """Made-up trials of one network: a power of two is `faster` times as fast as its size alone would have it."""
    rng, lines = np.random.default_rng(1), []
    for repeat in range(1, 31):
        for size in step_time.SIZES:
            value = (1 + 0.1 * size) * rng.normal(1, 0.005) / (faster if size in step_time.POWERS else 1)
            lines.append({"what": "milliseconds", "batch_size": size, "repeat": repeat, "value": value})
    lines.append({"what": "peak_mib", "batch_size": 64, "repeat": 1, "value": 400.0})
    return pd.DataFrame(lines).assign(network="lenet5_modern", device="a CPU, 1 thread", commit="0123456789")


@pytest.mark.parametrize("faster, verdict", [(1.1, "SUPPORTED"), (1.0, "INCONCLUSIVE"), (0.9, "REFUTED")])
def test_the_stopwatch_decides_as_seeds_do_and_names_its_machine(results_root, faster, verdict):
    store.write_atomically(results_root / "step_time" / "trials.csv", trials(faster).to_csv(index=False))
    found = step_time.EXPERIMENT.read("smoke")
    row = claims.as_table(found.verdicts()).iloc[0]
    assert row["effect"] == pytest.approx(faster, rel=0.01) and row["n"] == 15 and row["ledger"] == 41
    assert row["verdict"] == verdict and "a CPU, 1 thread" in row["conditions"]
    placebo = step_time.ratios(found).query("batch_size == @step_time.PLACEBO")["ratio"]
    assert placebo.mean() == pytest.approx(1, abs=0.01)
    assert set(found.figures()) == {"step_time", "powers"} and len(found.table()) == len(step_time.SIZES)


def test_an_image_of_a_small_last_batch_pulls_harder_and_only_equal_batches_average_to_the_full_gradient():
    weight, exact = map(check, facts.FACTS)
    assert weight["effect"] == pytest.approx(64 / 16) and weight["verdict"] == "FALSE"
    assert exact["verdict"] == "CONDITIONAL"
    assert not np.allclose(facts.mean_gradient(32, 64), facts.mean_gradient())  # 32, 32 and 16
