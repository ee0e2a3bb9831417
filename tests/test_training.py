"""`train`: the same config gives the same bits, and nothing looks at the test set."""

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from cnnkit import data, models
from cnnkit.lab import training
from cnnkit.lab.config import RunConfig
from cnnkit.lab.store import TIME_COLUMNS

SMALL = RunConfig(model="softmax", train_size=120, epochs=2, batch_size=50)
CONVNET = SMALL.replace(model="keras_mnist", optimizer="adam", learning_rate=0.001)  # with dropout


@pytest.fixture(autouse=True)
def own_state(monkeypatch):
    monkeypatch.setattr(models, "_BUILDERS", dict(models._BUILDERS))
    monkeypatch.setattr(training, "_kept", {})


def without_times(frame):
    return frame.drop(columns=[name for name in TIME_COLUMNS if name in frame])


def assert_same_run(one, other):
    pd.testing.assert_frame_equal(
        without_times(pd.DataFrame([one.row])), without_times(pd.DataFrame([other.row])), check_exact=True
    )
    pd.testing.assert_frame_equal(without_times(one.history), without_times(other.history), check_exact=True)
    for ours, theirs in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def poison_test_labels(monkeypatch):
    load = data.load_dataset

    def poisoned(*args, **options):
        dataset = load(*args, **options)
        return dataclasses.replace(dataset, y_test=(dataset.y_test + 1) % 10)

    monkeypatch.setattr(data, "load_dataset", poisoned)


def test_a_run_can_be_repeated_bit_for_bit():
    one, other = training.train(CONVNET), training.train(CONVNET)
    assert one.model is not other.model
    assert_same_run(one, other)


KEPT = {
    "sgd": (SMALL, {}),
    "momentum": (SMALL.replace(optimizer_args={"momentum": 0.9}), {}),
    "adam with dropout": (CONVNET, {}),
    "augmentation": (SMALL.replace(augmentation="shift+rotate+flip+zoom+erase"), {}),
    "moving average": (SMALL.replace(ema=0.9), {}),
    "schedule": (SMALL.replace(schedule="cosine"), {}),
    "mixed precision": (SMALL.replace(precision="mixed_bfloat16"), {}),
    "another learning rate": (SMALL, {"learning_rate": 0.5}),
    "another seed": (CONVNET, {"seed": 5}),
    "another train size": (SMALL, {"train_size": 90}),
    "another batch size": (CONVNET.replace(epochs=1), {"batch_size": 24}),
    "another number of epochs": (SMALL, {"epochs": 1}),
}


@pytest.mark.parametrize("before, changes", KEPT.values(), ids=KEPT)
def test_a_kept_models_run_equals_a_fresh_one_bit_for_bit(before, changes):
    first = training.train(before, keep_traced=True)
    config = before.replace(**changes) if changes else before.replace(seed=2)
    kept = training.train(config, keep_traced=True)
    assert kept.model is first.model, "traced again for nothing"
    assert_same_run(kept, training.train(config))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "mlp"},
        {"optimizer_args": {"momentum": 0.5}},
        {"augmentation": "flip"},
        {"label_smoothing": 0.1},
        {"ema": 0.5},
        {"precision": "mixed_bfloat16"},
        {"loss": "hinge"},
    ],
    ids=str,
)
def test_a_kept_model_is_not_used_for_another_training_step(changes):
    config = SMALL.replace(epochs=1)
    first = training.train(config, keep_traced=True)
    assert training.train(config.replace(**changes), keep_traced=True).model is not first.model


def test_a_kept_schedule_is_not_used_for_another_length_or_peak():
    config = SMALL.replace(schedule="cosine")
    first = training.train(config, keep_traced=True)
    for changes in ({"epochs": 3}, {"learning_rate": 0.2}):
        assert training.train(config.replace(**changes), keep_traced=True).model is not first.model


def test_seeds_differ_in_split_start_and_order():
    one, other = training.check(SMALL), training.check(SMALL.replace(seed=2))
    assert one.sha256 != other.sha256 and not np.array_equal(one.x_val, other.x_val)
    still = SMALL.replace(learning_rate=1e-30, epochs=1)
    starts = [training.train(still.replace(seed=seed)).model.get_weights()[0] for seed in (1, 2)]
    assert not np.allclose(*starts)


def test_the_order_of_images_comes_from_the_seed(monkeypatch):
    dataset = training.check(SMALL)
    monkeypatch.setattr(training, "check", lambda config: dataset)  # one split and one start for both seeds
    monkeypatch.setattr(training, "_seeded", lambda model, seed: keras.models.clone_model(model))

    @models.register
    def from_zero(input_shape, num_classes):
        flat = [keras.Input(input_shape), layers.Flatten(), layers.Dense(num_classes, kernel_initializer="zeros")]
        return keras.Sequential(flat)

    config = SMALL.replace(model="from_zero", epochs=1)
    one, other, again = (training.train(config.replace(seed=seed)).model.get_weights()[0] for seed in (1, 2, 1))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one, again)


def test_a_run_that_diverges_is_a_row():
    run = training.train(SMALL.replace(model="mlp", learning_rate=1e30, epochs=4))
    assert run.row["status"] == "diverged" and run.row["error"] is None
    assert run.row["epochs_run"] == len(run.history) < 4
    assert run.row["train_loss"] is None and run.row["test_loss"] is None
    assert 0 <= run.row["test_accuracy"] < 0.2


def test_the_row_agrees_with_history_and_model():
    run = training.train(SMALL.replace(model="mlp", model_args={"units": [20]}, epochs=3))
    row, history, dataset = run.row, run.history, training.check(run.config)
    assert list(history.columns) == [
        *["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds"]
    ]
    assert history["epoch"].tolist() == [1, 2, 3] and history["seconds"].is_monotonic_increasing
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        assert row[name] == history[name].iloc[-1]
    best = history.loc[history["val_accuracy"].idxmax()]
    assert (row["best_epoch"], row["best_val_loss"]) == (best["epoch"], best["val_loss"])
    assert row["num_params"] == 28 * 28 * 20 + 20 + 20 * 10 + 10
    logits = keras.ops.convert_to_numpy(run.model(dataset.x_test.astype("float32") / 255))
    assert row["test_accuracy"] == pytest.approx((logits.argmax(1) == dataset.y_test).mean())
    logits = keras.ops.convert_to_numpy(run.model(dataset.x_val.astype("float32") / 255))
    assert row["val_accuracy"] == pytest.approx((logits.argmax(1) == dataset.y_val).mean())
    assert row["run_id"] == run.config.run_id and RunConfig.from_row(row) == run.config


def test_the_learning_rate_of_the_history_is_the_schedules():
    run = training.train(SMALL.replace(schedule="step", schedule_args={"at": [0.5], "drop": 0.1}, epochs=4))
    np.testing.assert_allclose(run.history["learning_rate"], [0.1, 0.1, 0.01, 0.01], rtol=1e-6)


@pytest.mark.parametrize("ema", [None, 0.7])
def test_early_stopping_restores_the_best_weights(ema):
    config = SMALL.replace(model="mlp", optimizer="adam", learning_rate=0.05, epochs=30, early_stopping=2, ema=ema)
    run = training.train(config)
    losses = run.history["val_loss"]
    assert run.row["epochs_run"] < 30 and losses.idxmin() == len(losses) - 3
    dataset = training.check(config)
    logits = run.model(dataset.x_val.astype("float32") / 255)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(dataset.y_val, logits)
    assert float(loss) == pytest.approx(losses.min(), rel=1e-5)


def test_early_stopping_restores_the_best_weights_when_it_never_stopped():
    config = SMALL.replace(model="mlp", optimizer="adam", learning_rate=0.05, epochs=9, early_stopping=8, ema=0.7)
    run = training.train(config)
    dataset = training.check(config)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    best = float(loss(dataset.y_val, run.model(dataset.x_val.astype("float32") / 255)))
    assert run.row["epochs_run"] == 9 and best == pytest.approx(run.history["val_loss"].min(), rel=1e-5)


def test_the_moving_average_is_what_is_evaluated():
    config = SMALL.replace(ema=0.9, epochs=3, learning_rate=0.5)
    run, plain = training.train(config), training.train(config.replace(ema=None))
    assert run.row["val_loss"] != plain.row["val_loss"]
    np.testing.assert_allclose(run.history["train_loss"], plain.history["train_loss"], rtol=1e-5)  # the same steps
    dataset = training.check(config)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for split in ("val", "test"):
        logits = run.model(getattr(dataset, f"x_{split}").astype("float32") / 255)
        value = float(loss(getattr(dataset, f"y_{split}"), logits))
        assert run.row[f"{split}_loss"] == pytest.approx(value, rel=1e-5)


def test_images_are_augmented_in_training_only():
    config = SMALL.replace(augmentation="erase+rotate", learning_rate=1e-30, epochs=1)
    run, plain = training.train(config), training.train(config.replace(augmentation=None))
    assert run.row["train_loss"] != plain.row["train_loss"]
    for name in ("val_loss", "test_loss", "val_accuracy", "test_accuracy"):
        assert run.row[name] == plain.row[name]
    assert run.row["num_params"] == plain.row["num_params"]
    assert run.row["model_sha256"] == plain.row["model_sha256"]


def test_the_test_set_chooses_nothing(monkeypatch):
    config = SMALL.replace(model="mlp", early_stopping=2, ema=0.5, epochs=4)
    honest = training.train(config)
    poison_test_labels(monkeypatch)
    poisoned = training.train(config)
    pd.testing.assert_frame_equal(without_times(honest.history), without_times(poisoned.history), check_exact=True)
    read = {"test_loss", "test_accuracy", *TIME_COLUMNS}
    assert {name for name in honest.row if honest.row[name] != poisoned.row[name]} <= read
    assert poisoned.row["test_accuracy"] < 0.2 < honest.row["test_accuracy"]


def test_the_test_set_is_read_once(monkeypatch):
    sizes, evaluate = [], keras.Model.evaluate

    def counted(model, x=None, *args, **options):
        sizes.append(sum(len(labels) for _, labels in x))
        return evaluate(model, x, *args, **options)

    monkeypatch.setattr(keras.Model, "evaluate", counted)
    training.train(SMALL)
    dataset = training.check(SMALL)
    assert sizes == [len(dataset.x_val)] * 2 + [len(dataset.x_test)]


@pytest.mark.parametrize("name, precision", [("softmax", "mixed_bfloat16"), ("mlp", "float32"), ("lenet5", "float32")])
def test_a_row_carries_the_fingerprint_of_its_config(name, precision):
    config = SMALL.replace(model=name, precision=precision, epochs=1, train_size=60)
    row = training.train(config).row
    assert training.fingerprint(config) == {"data_sha256": row["data_sha256"], "model_sha256": row["model_sha256"]}
    assert training.fingerprint(config.replace(seed=2))["model_sha256"] == row["model_sha256"]


def test_a_digest_is_of_the_architecture_not_of_names():
    def build(units, activation="relu", wide=False):
        x = pixels = keras.Input((8, 8, 1))
        x = layers.Conv2D(4, 3, activation=activation)(x)
        x = layers.Flatten()(x)
        outputs = layers.Dense(units)(layers.Concatenate()([x, x]) if wide else x)
        return keras.Model(pixels, outputs)

    digests = [training.architecture_digest(model) for model in (build(3), build(3))]
    others = [training.architecture_digest(model) for model in (build(4), build(3, "tanh"), build(3, wide=True))]
    assert digests[0] == digests[1]
    assert len({digests[0], *others}) == 4


def test_mixed_precision_trains_and_leaves_the_policy_alone():
    run = training.train(CONVNET.replace(precision="mixed_bfloat16"))
    assert run.row["status"] == "completed"
    assert run.model.get_layer("conv1").compute_dtype == "bfloat16"
    assert run.model.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_arrays_replaced_on_disk_are_read_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNKIT_DATA_DIR", str(tmp_path))
    digests = []
    for seed in (1, 2):
        images = np.random.default_rng(seed).integers(0, 256, size=(300, 28, 28), dtype="uint8")
        labels = np.arange(300) % 10
        np.savez(tmp_path / "mnist.npz", x_train=images, y_train=labels, x_test=images[:50], y_test=labels[:50])
        digests.append(training.fingerprint(SMALL.replace(dataset="mnist"))["data_sha256"])
    assert digests[0] != digests[1]
