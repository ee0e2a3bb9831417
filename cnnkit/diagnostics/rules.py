"""`diagnose`, and the table of what it knows: symptoms in order of weight, their rules, causes and advice."""

import re
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from cnnkit.diagnostics import history_rules as seen
from cnnkit.diagnostics import model_rules as asked
from cnnkit.diagnostics.reading import COLUMNS, read_history


@dataclass(frozen=True)
class Symptom:
    """`rules` is a dict from what a rule needs to know to the rule, the surest first.

    A rule that is not sure is heard only where no rule before it could be applied.
    """

    name: str
    rules: dict
    causes: str
    advice: str


SYMPTOMS = (
    Symptom(
        "NaN",
        {"history": seen.find_nan, "model": asked.find_nan_inside, "x_train": asked.find_nan_inside},
        "a rate too high; NaN among the images; the logarithm of 0, or a division by a deviation of 0",
        "np.isfinite(images).all(); a rate ten times smaller, warm-up, clipnorm=1; a loss with from_logits=True",
    ),
    Symptom(
        "stuck at chance",
        {
            "3 epochs of train_loss, train_accuracy": seen.find_chance,
            "3 epochs of train_loss, val_accuracy": seen.find_chance,
        },
        "a rate far too high or low; images of 0 to 255; first weights of zero or too small; labels of other images",
        "fit 20 images to a loss of 0 first; a rate ten times smaller, then larger; scaled images; He initialization",
    ),
    Symptom(
        "collapse",
        {"3 epochs of train_accuracy": seen.find_collapse, "3 epochs of val_accuracy": seen.find_collapse},
        "a rate too high for what the weights have become; a bad batch; a saturated softmax",
        "the best weights again, with a third of the rate or one that falls; clipnorm=1; a loss from logits",
    ),
    Symptom(
        "loss and metric at odds",
        {"model, x_val, y_val": asked.find_mismatch, "3 epochs of train_loss, train_accuracy": seen.find_odds},
        "logits taken for probabilities; binary_crossentropy for many classes; labels not as the metric expects them",
        "match last layer, loss, from_logits, labels and metric; count np.mean(outputs.argmax(1) == labels)",
    ),
    Symptom(
        "images of one split in another",
        {
            "x_val, x_test": partial(asked.find_copies, of="val", other="test"),
            "x_val, x_train": partial(asked.find_copies, of="val", other="train"),
            "x_test, x_train": partial(asked.find_copies, of="test", other="train"),
        },
        "the test set used as validation_data; splits drawn twice, or after augmentation",
        "three splits, drawn once, before anything else; the test set is read once, at the end",
    ),
    Symptom(
        "ordered split",
        {
            "y_train, y_val": asked.find_ordered,
            "y_train": asked.find_ordered,
            "3 epochs of val_accuracy, train_accuracy": seen.find_unseen,
        },
        "validation_split takes the last images as they lie, before any shuffling, and they lie by class",
        "train_test_split(images, labels, stratify=labels), then validation_data",
    ),
    Symptom(
        "one prediction for all or another scale",
        {
            "model, x_val": asked.find_one_prediction,
            "x_train, x_val": asked.find_scale,
            "x_train, x_test": asked.find_scale,
            "4 epochs of val_accuracy": seen.find_one_value,
        },
        "one split divided by 255 and another not, or each by its own statistics; dead units; a rate too high",
        "scaling inside the model (Rescaling, or Normalization adapted to training images)",
    ),
    Symptom(
        "training and validation mode differ",
        {
            "model, x_train, y_train": asked.find_mode_gap,
            "3 epochs of val_accuracy, train_accuracy": seen.find_far_validation,
        },
        "batch normalization of too few steps or too small batches, or of a frozen base; validation scaled otherwise",
        "BatchNormalization(momentum=0.9), larger batches, training=False for a frozen base",
    ),
    Symptom(
        "small last batch",
        {
            "batch_size, num_train": seen.find_last_batch,
            "4 epochs of val_accuracy, train_accuracy": seen.find_last_batch,
        },
        "the remainder of an epoch: few images make a whole step, and validation comes right after; or a rate too high",
        "leave it out: batch(n, drop_remainder=True), or a batch size without remainder",
    ),
    Symptom(
        "dead ReLUs",
        {"model, x_val": asked.find_dead},
        "a rate that was too high once; biases far below 0; images far from centred",
        "a lower rate, He initialization, batch normalization, leaky ReLU or ELU",
    ),
    Symptom(
        "overfitting",
        {"4 epochs of train_loss, val_loss": seen.find_overfitting},
        "more weights or epochs than so few images can hold",
        "augmentation, EarlyStopping(restore_best_weights=True), weight decay, dropout, more images, fewer filters",
    ),
    Symptom(
        "validation loss rises with validation accuracy",
        {"4 epochs of train_loss, val_loss, val_accuracy": seen.find_overconfidence},
        "overconfidence: fewer mistakes, each made with more certainty",
        "decide beforehand which of the two counts; label smoothing, temperature scaling",
    ),
    Symptom(
        "validation better than training",
        {
            "model, x_train, y_train, x_val, y_val": asked.find_leak,
            "6 epochs of val_accuracy, train_accuracy": seen.find_easy_validation,
        },
        "dropout, augmentation or wrong labels, which only training has; validation images that are easier, or known",
        "model.evaluate(x_train, y_train): a gap that is gone there is harmless; else compare the splits",
    ),
    Symptom(
        "validation oscillates",
        {"6 epochs of val_accuracy": seen.find_oscillation},
        "a rate too high at the end; few validation images; batch normalization of small batches",
        "a rate that falls to zero, averaged weights (use_ema=True), larger batches, more validation images",
    ),
    Symptom(
        "accuracy changes after loading",
        {"model, x_val": asked.find_reload},
        "classes in another order; other scaling; a layer whose state or code is not saved; weights of another epoch",
        "class names and scaling kept with the .keras file; own layers registered; compiled again, metrics by name",
    ),
    Symptom(
        "not reproducible",
        {"two histories": seen.find_spread},
        "weights, order or augmentation without a seed; sums in another order, on many threads or a GPU",
        "keras.utils.set_random_seed before the model is built; report mean and interval over seeds",
    ),
    Symptom(
        "slow input",
        {"input_share": seen.find_waiting, "7 epochs of seconds": seen.find_slower},
        "images decoded or augmented on one thread; memory that fills up; a graph that grows",
        "cache(), map(..., num_parallel_calls=AUTOTUNE), prefetch(AUTOTUNE); build nothing inside the loop",
    ),
)
KNOWN = ("batch_size", "num_classes", "num_train", "num_val", "input_share")


def diagnose(history=None, model=None, data=None, **known):
    """Say what is wrong with a training run: symptoms with their evidence, the surest and weightiest first.

    Args:
        history: What `read_history` reads, or a list of two that should be equal: the same run, made twice.
        model: Built `keras.Model`, which is asked about at most some thousand images.
        data: Dict or object with arrays out of `x_train, y_train, x_val, y_val, x_test, y_test`, scaled for the model.
        **known: Integers `batch_size, num_classes, num_train, num_val` (images), where `data` does not say them;
            `input_share`, the part of a step that waits for images.
    Returns:
        DataFrame with `symptom, certainty` (`"sure"` or `"perhaps"`), `evidence, causes, advice`, and the place on the
        curve: `column, epoch`; empty where nothing was found. Its `attrs` are `applied`, a list of symptoms,
        `lacking`, a dict from symptoms that were not looked for to what that needs, and `notes` on what was read.
    Raises:
        ValueError: If there is nothing to read, or it is no history, model or data.
    """
    for name, value in known.items():
        if name not in KNOWN or (value is not None and not value >= (name != "input_share")):
            raise ValueError(f"Expected {', '.join(KNOWN)}, numbers of at least 1. Received: {name}={value!r}.")
    if history is None and model is None and data is None:
        raise ValueError("Expected a history, a model or data. Received: none.")
    run = {name: value for name, value in known.items() if value is not None}
    given = history if isinstance(history, list | tuple) else [history]
    histories = [read_history(one) for one in given if one is not None]
    if histories:
        run["history"] = histories[0]
        for name in set(COLUMNS) & set(histories[0]):
            curve = histories[0].set_index("epoch")[name]
            run[name] = curve[np.isfinite(curve)]
    if len(histories) > 1:
        run["two histories"] = histories[:2]
    if data is not None:
        asked.add_data(run, data)
    if model is not None:
        asked.add_model(run, model)
    lines, applied, lacking = [], [], {}
    for symptom in SYMPTOMS:
        found = [rule(run) for needs, rule in symptom.rules.items() if _knows(run, needs)]
        if not found:
            lacking[symptom.name] = "; or ".join(symptom.rules)
            continue
        applied.append(symptom.name)
        found = next((one for one in found if one and (one.sure or one is found[0])), None)
        if found:
            known = {"symptom": symptom.name, "causes": symptom.causes, "advice": symptom.advice} | vars(found)
            lines.append(known | {"certainty": "sure" if found.sure else "perhaps"})
    names = ["symptom", "certainty", "evidence", "causes", "advice", "column", "epoch"]
    lines.sort(key=lambda line: not line["sure"])
    frame = pd.DataFrame(lines, columns=names)
    notes = [note for one in histories for note in one.attrs["notes"]]
    frame.attrs.update(applied=applied, lacking=lacking, notes=notes)
    return frame


def _knows(run, needs):
    """Return whether a run has what a rule needs: names, and for curves at least so many epochs."""
    epochs, names = re.fullmatch(r"(?:(\d+) epochs of )?(.*)", needs).groups(default=0)
    return all(name in run and (not epochs or len(run[name]) >= int(epochs)) for name in names.split(", "))
