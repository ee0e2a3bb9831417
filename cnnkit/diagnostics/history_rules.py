"""What histories show. A rule takes the run, a dict of what is known of it, and returns `Found` or None.

A curve is a Series by epoch of its finite values. A rule is not sure of what a sound run may show as well. Thresholds
without a reason beside them were set on the committed runs of this repository: what they name there is so.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

IMAGES = 500  # of validation, where nobody says how many: an accuracy's standard error is then 2.2 points at most
GAP = 0.05  # of accuracy: smaller ones come and go with a few epochs, whatever the number of images
LATE = 3  # epochs in a row: one or two may be noise


@dataclass(frozen=True)
class Found:
    """Evidence in words, the curve and epoch where one sees it, and whether nothing harmless explains it."""

    evidence: str
    column: str | None = None
    epoch: int | None = None
    sure: bool = True


def sampling_error(share, images=IMAGES):
    """Return the standard error of an accuracy measured on so many images."""
    share = (share * images + 1) / (images + 2)  # all of 500 right is not certainty
    return math.sqrt(share * (1 - share) / images)


def _accuracy(run):
    """Return name and curve of the training accuracy, or of validation where there is no other."""
    column = "train_accuracy" if "train_accuracy" in run else "val_accuracy"
    return column, run.get(column, pd.Series(dtype=float))


def find_nan(run):
    history, (_, accuracy) = run["history"], _accuracy(run)
    for column in [name for name in ("train_loss", "val_loss") if name in history]:
        if len(broken := history.loc[np.isinf(history[column]), "epoch"]):
            then = f"; accuracy then {accuracy.iloc[-1]:.1%}: NaN outputs count as class 0" if len(accuracy) else ""
            return Found(f"{column} is NaN or infinite at epoch {broken.iloc[0]}{then}", column, broken.iloc[0])
    return None


def find_chance(run):
    """No epoch better than guessing, in training or validation, with a loss that says so, or that stands still."""
    column, accuracy = _accuracy(run)
    loss, best = run["train_loss"], max(accuracy.max(), run.get("val_accuracy", accuracy).max())
    # Who guesses as confidently everywhere is right as often as exp(-loss) says; who has learnt is so more often.
    known = run["majority"] if "majority" in run else 1 / run["num_classes"] if "num_classes" in run else None
    guess = known or math.exp(-loss.min())
    band = min(1.15 * guess, guess + 0.15 * (1 - guess)) + 3 * sampling_error(best, run.get("num_val", IMAGES))
    half = len(accuracy) // 2
    flat = half > 1 and math.exp(-loss.min()) < best < 0.35 and accuracy.max() - accuracy.min() < 0.03
    flat = flat and accuracy.iloc[half:].mean() < accuracy.iloc[:half].mean() + 0.01
    chance = best <= band and (known or loss.min() > 0.65)  # of two classes a guess has ln 2 = 0.69
    if not chance and not flat:
        return None
    evidence = f"accuracy {best:.1%} at best, training loss {loss.min():.3g} at least, in {len(accuracy)} epochs"
    evidence += f"; guessing has {known:.1%}" if known else ""
    sure = chance and len(accuracy) > 4  # some runs wake up after three epochs
    return Found(evidence, column, accuracy.index[-1], bool(sure))


def find_collapse(run):
    column, accuracy = _accuracy(run)
    lost = accuracy.cummax() - accuracy
    epoch, stays = lost.idxmax(), lost.iloc[-1] > 0.1
    if lost[epoch] < 0.2:
        return None
    evidence = f"accuracy {accuracy.loc[:epoch].max():.1%}, then {accuracy[epoch]:.1%} at epoch {epoch}"
    loss = run["train_loss"].get(epoch, 0) if "train_loss" in run else 0
    if loss > 1 and abs(loss - 16.118 * (1 - accuracy[epoch])) < 0.02 * loss:  # -ln(1e-7), of Keras' epsilon
        evidence += f"; loss {loss:.2f} = 16.118 × the share of errors: the softmax is saturated"
    return Found(evidence + ("" if stays else f", {accuracy.iloc[-1]:.1%} at the end"), column, epoch, bool(stays))


def find_odds(run):
    """A loss that gives the right class more probability than there are right answers, whose share stands still."""
    column, accuracy = _accuracy(run)
    loss, best = run["train_loss"], accuracy.max()
    if loss.iloc[-1] > 0.7 * loss.iloc[0] or best > 0.5 or best - accuracy.iloc[0] > 0.02:
        return None
    if math.exp(-loss.iloc[-1]) < best + GAP:
        return None
    evidence = f"training loss {loss.iloc[0]:.3g} to {loss.iloc[-1]:.3g}, accuracy {best:.1%} at best"
    return Found(evidence, column, accuracy.index[-1])


def find_unseen(run):
    """Validation always wrong, or always right: it holds classes that training lacks, or one easy class."""
    val, train = run["val_accuracy"], run["train_accuracy"].iloc[-1]
    if not (val.max() < 0.02 and train > 0.5) and not (val.min() == 1 and train < 0.95):
        return None
    evidence = f"validation accuracy {val.max():.1%}, training {train:.1%}"
    return Found(evidence, "val_accuracy", val.index[-1], sure=False)


def find_one_value(run):
    """Validation accuracy stands still from the first epoch on, or nearly so while training learns."""
    val, train = run["val_accuracy"], run.get("train_accuracy", [0])
    learns = max(train) > val.max() + 0.3
    if val.max() - val.min() > (0.02 if learns else 1e-6) or val.max() > 0.75:
        return None
    evidence = f"in {len(val)} epochs validation accuracy is {val.min():.2%} at least and {val.max():.2%} at most"
    return Found(evidence, "val_accuracy", val.index[-1], sure=False)


def find_far_validation(run):
    """Validation far below training where training just begins to work: so early there is little to overfit."""
    train = run["train_accuracy"].reindex(run["val_accuracy"].index)
    gap = (train - run["val_accuracy"].cummax())[train > 0.6]
    if not len(gap) or gap.iloc[0] < 0.3:
        return None
    epoch = gap.index[0]
    evidence = f"at epoch {epoch} training accuracy {train[epoch]:.1%}, validation {run['val_accuracy'][epoch]:.1%}"
    return Found(evidence, "val_accuracy", epoch, sure=False)


def find_last_batch(run):
    """A small last batch takes a whole step, just before validation; its size explains the falls without perhaps."""
    evidence = ""
    if {"num_train", "batch_size"} <= set(run):
        rest = run["num_train"] % run["batch_size"]
        if not 0 < rest <= run["batch_size"] / 4:
            return None
        evidence = f"{run['num_train']:,} images in batches of {run['batch_size']} leave one of {rest}"
        if not {"val_accuracy", "train_accuracy"} <= set(run):
            return Found(evidence)
    val = run["val_accuracy"]
    train, before, later = run["train_accuracy"].reindex(val.index), val.shift(1), val[::-1].cummax()[::-1]
    depth = before - val
    # It worked before and recovers, and training did not fall in that epoch. Below 60%, any high rate does the same.
    depth = depth[(before > 0.6) & (later - val > depth / 2) & (train > train.shift(1) - 0.02)]
    if not len(depth) or depth.max() < max(0.1, 3 * sampling_error(val.median(), run.get("num_val", IMAGES))):
        return None
    epoch = depth.idxmax()
    told = f"epoch {epoch}: validation accuracy {before[epoch]:.1%} to {val[epoch]:.1%}, later {later[epoch]:.1%}"
    told += f" again; training accuracy {train.shift(1)[epoch]:.1%} to {train[epoch]:.1%}"
    return Found("; ".join(filter(None, [told, evidence])), "val_accuracy", epoch, sure=bool(evidence))


def _rising(run, by):
    """Return the epoch of the lowest validation loss, if the last are higher by a factor and training's not."""
    val, train = run["val_loss"], run["train_loss"]
    best = val.idxmin()
    rises = len(val.loc[best:]) > LATE and val.iloc[-LATE:].min() > by * val[best]
    return best if rises and train.iloc[-1] < train.loc[:best].iloc[-1:].min() else None


def find_overfitting(run):
    best, val = _rising(run, 1.05), run["val_loss"]
    if best is None:
        return None
    ends = f"validation loss {val[best]:.3g} at epoch {best}, {val.iloc[-1]:.3g} at the end"
    evidence = f"{ends}, training loss still falls"
    if not {"train_accuracy", "val_accuracy"} <= set(run):
        return Found(evidence, "val_loss", best, sure=False)
    train, held = run["train_accuracy"].iloc[-1], run["val_accuracy"].iloc[-1]
    evidence += f"; accuracy {train:.1%} in training, {held:.1%} in validation"
    large = train - held > max(GAP, 3 * sampling_error(held, run.get("num_val", IMAGES)))
    at_best = run["train_accuracy"].get(best, train) - run["val_accuracy"].get(best, held)
    return Found(evidence, "val_loss", best) if large and at_best < 0.3 else None  # else validation never worked


def find_overconfidence(run):
    best, loss, val = _rising(run, 1.1), run["val_loss"], run["val_accuracy"]
    late, error = val.iloc[-LATE:].mean(), sampling_error(val.iloc[-1], run.get("num_val", IMAGES))
    if best is None or late < val.get(best, 1) + error:
        return None
    evidence = f"from epoch {best} to the end validation loss {loss[best]:.3g} to {loss.iloc[-1]:.3g}, "
    return Found(f"{evidence}validation accuracy {val[best]:.1%} to {late:.1%}", "val_loss", best)


def find_easy_validation(run):
    """Keras' training accuracy is a mean over an epoch: what beats it one epoch earlier, and goes on to, is better."""
    val = run["val_accuracy"]
    train = run["train_accuracy"].reindex(val.index)
    better, grows = (val.shift(1) - train).iloc[-LATE:].min(), train.iloc[-1] - train.iloc[-LATE - 1]
    if not better > max(0.15, 3 * sampling_error(val.iloc[-1], run.get("num_val", IMAGES))) or grows > GAP:
        return None
    evidence = f"accuracy {train.iloc[-1]:.1%} in training, {val.iloc[-1]:.1%} in validation"
    return Found(evidence, "val_accuracy", val.index[-1], sure=False)


def find_oscillation(run):
    """Two falls in the last six epochs, each deeper than the number of images explains."""
    val, images = run["val_accuracy"].iloc[-6:], run.get("num_val", IMAGES)
    deepest, second = (-val.diff()).nlargest(2)
    error = sampling_error(val.mean(), images)
    if second < max(0.03, 3 * error):
        return None
    evidence = f"validation accuracy fell by {100 * deepest:.1f} and {100 * second:.1f} points in the last six epochs"
    evidence = f"{evidence}; on {images:,} images its standard error is {100 * error:.1f}"
    return Found(evidence, "val_accuracy", val.diff().idxmin(), sure="num_val" in run)


def find_slower(run):
    seconds = run["seconds"].iloc[1:]  # the first epoch compiles
    third = len(seconds) // 3
    first, last = seconds.iloc[:third].median(), seconds.iloc[-third:].median()
    if last < 3 * first:  # a busy machine doubles it
        return None
    return Found(f"{first:.3g} s an epoch at the start, {last:.3g} s at the end", sure=False)


def find_waiting(run):
    share = run["input_share"]
    if share < 0.3:
        return None
    return Found(f"reading its images alone takes {share:.0%} of the time of a step", sure=share > 0.9)


def find_spread(run):
    """Two histories that should be one: another seed shows at once, another order of sums grows from nothing."""
    one, other = (history.set_index("epoch") for history in run["two histories"])
    column = next((name for name in one if name in other), None)
    apart = (one[column] - other[column]).abs().dropna() if column else []
    if not len(apart) or apart.max() == 0:
        return None
    epoch = apart[apart > 0].index[0]
    values, rounding = (one[column][epoch], other[column][epoch]), apart.iloc[0] < 1e-4 * abs(one[column].iloc[0])
    evidence = f"{column} {values[0]:.6g} and {values[1]:.6g} at epoch {epoch}, at most {apart.max():.3g} apart"
    return Found(f"{evidence}: {'sums in another order' if rounding else 'another start or order'}", column, epoch)
