"""`train`: the same config gives the same bits, and nothing looks at the test set."""

import dataclasses
import random

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from sklearn.metrics import balanced_accuracy_score

from cnnkit import data, models
from cnnkit.lab import recipes, training
from cnnkit.lab.config import RunConfig
from cnnkit.lab.feeding import Batches
from cnnkit.lab.store import TIME_COLUMNS
from cnnkit.models import registry

SMALL = RunConfig(model="softmax", train_size=120, epochs=2, batch_size=50)
CONVNET = SMALL.replace(model="keras_mnist", optimizer="adam", learning_rate=0.001)  # with dropout


@pytest.fixture(autouse=True)
def own_state(monkeypatch):
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))
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


def test_conventions_that_a_notebook_sets_do_not_change_a_run():
    one = training.train(SMALL)
    keras.config.set_floatx("float64")
    assert_same_run(one, training.train(SMALL))
    assert keras.config.floatx() == "float32"


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
    "raw pixels": (SMALL.replace(scaling="raw", learning_rate=1e-4), {}),
    "a last batch that is kept": (SMALL.replace(last_batch="keep"), {"train_size": 90}),
    "mixed labels": (SMALL.replace(augmentation="mixup+cutmix+cutout"), {}),
    "penalties": (SMALL.replace(regularization={"l1": 1e-4, "l2": 1e-3, "max_norm": 1.0}), {}),
    "another order": (SMALL, {"shuffle": "sorted"}),
    "early stopping": (SMALL.replace(early_stopping=1), {"early_stopping": 2}),
}


@pytest.mark.parametrize("before, changes", KEPT.values(), ids=KEPT)
def test_a_kept_models_run_equals_a_fresh_one_bit_for_bit(before, changes):
    first = training.train(before, keep_traced=True)
    config = before.replace(**changes) if changes else before.replace(seed=2)
    kept = training.train(config, keep_traced=True)
    assert kept.network is first.network, "traced again for nothing"
    assert_same_run(kept, training.train(config))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "mlp"},
        {"optimizer_args": {"momentum": 0.5}},
        {"augmentation": "flip"},
        {"label_smoothing": 0.1},
        {"regularization": {"l2": 0.01}},
        {"ema": 0.5},
        {"precision": "mixed_bfloat16"},
        {"loss": "hinge"},
        {"scaling": "unit"},
    ],
    ids=str,
)
def test_a_kept_model_is_not_used_for_another_training_step(changes):
    config = SMALL.replace(epochs=1)
    first = training.train(config, keep_traced=True)
    assert training.train(config.replace(**changes), keep_traced=True).network is not first.network


def test_a_new_field_of_a_run_is_part_of_what_is_traced():
    wider = dataclasses.make_dataclass("wider", [("clipnorm", float, 0.0)], bases=(RunConfig,), frozen=True)
    plain, clipped = wider(), wider(clipnorm=1.0)
    assert training.trace_key(plain) != training.trace_key(clipped)
    assert {name for name in training.UNTRACED if name not in RunConfig.__dataclass_fields__} == set()


def test_what_is_not_traced_has_the_same_key():
    same = SMALL.replace(seed=9, train_size=100, batch_size=20, epochs=7, learning_rate=0.7, early_stopping=3)
    assert training.trace_key(same) == training.trace_key(SMALL)
    assert training.trace_key(SMALL, steps=10) == training.trace_key(SMALL, steps=20)
    cosine = SMALL.replace(schedule="cosine")
    assert training.trace_key(cosine, steps=10) != training.trace_key(cosine, steps=20)


def test_a_kept_schedule_is_not_used_for_another_length_or_peak():
    config = SMALL.replace(schedule="cosine")
    first = training.train(config, keep_traced=True)
    for changes in ({"epochs": 3}, {"learning_rate": 0.2}):
        assert training.train(config.replace(**changes), keep_traced=True).network is not first.network


def test_seeds_differ_in_split_start_and_order():
    one, other = training.check(SMALL), training.check(SMALL.replace(seed=2))
    assert one.sha256 != other.sha256 and not np.array_equal(one.x_val, other.x_val)
    still = SMALL.replace(learning_rate=1e-30, epochs=1)
    starts = [training.train(still.replace(seed=seed)).model.get_weights()[0] for seed in (1, 2)]
    assert not np.allclose(*starts)


def test_the_order_of_images_comes_from_the_seed(monkeypatch):
    dataset = training.check(SMALL)
    monkeypatch.setattr(training, "check", lambda config: dataset)  # one split for both seeds

    @models.register
    def from_zero(input_shape, num_classes):
        flat = [keras.Input(input_shape), layers.Flatten(), layers.Dense(num_classes, kernel_initializer="zeros")]
        return keras.Sequential(flat)

    config = SMALL.replace(model="from_zero", epochs=1)
    one, other, again = (training.train(config.replace(seed=seed)).network.get_weights()[0] for seed in (1, 2, 1))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(one, again)


def test_a_start_does_not_depend_on_who_else_draws_numbers(monkeypatch):
    still = CONVNET.replace(learning_rate=1e-30, epochs=1)
    alone = training.train(still).network.get_weights()
    build = models.create_model

    def disturbed(*args, **options):  # as a Dask worker's other threads do
        random.seed(3)
        return build(*args, **options)

    monkeypatch.setattr(models, "create_model", disturbed)
    for one, other in zip(alone, training.train(still).network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


# Full batches and scaled inputs


def test_a_full_batch_is_all_that_trains():
    sizes = {}
    for last_batch in ("drop", "keep"):
        batches = Batches(np.zeros((120, 1)), np.zeros(120), 50, seed=1, last_batch=last_batch)
        sizes[last_batch] = [len(batches[step][0]) for step in range(len(batches))]
    assert sizes == {"drop": [50, 50], "keep": [50, 50, 20]}
    kept, dropped = (training.train(SMALL.replace(last_batch=name)).row for name in ("keep", "drop"))
    assert kept["train_loss"] != dropped["train_loss"]


@pytest.mark.parametrize("scaling", ["standard", "centred", "unit", "raw"])
def test_the_network_sees_scaled_pictures_and_the_model_takes_any(scaling):
    run = training.train(SMALL.replace(scaling=scaling, learning_rate=1e-30, epochs=1))
    dataset = training.check(run.config)
    pictures = dataset.x_train.astype("float32") / 255
    means, deviations = pictures.mean((0, 1, 2)), pictures.std((0, 1, 2))
    expected = {
        "standard": (pictures - means) / deviations,
        "centred": pictures - means,
        "unit": pictures,
        "raw": dataset.x_train.astype("float32"),
    }[scaling]
    np.testing.assert_allclose(run.model(pictures), run.network(expected), rtol=1e-4, atol=1e-4)
    assert (run.model is run.network) == (scaling == "unit")


def test_a_channel_that_is_constant_stays_finite():
    layer = recipes.make_scaling("standard", np.array([0.5, 0.2]), np.array([0.25, 0.0]))
    values = layer(np.full((1, 2, 2, 2), [0.75, 0.2], "float32"))
    np.testing.assert_allclose(values[0, 0, 0], [1.0, 0.0], atol=1e-6)


# A model of one's own


def test_weights_that_a_builder_brings_are_kept():
    @models.register
    def pretrained(input_shape, num_classes, value=0.25):
        body = keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(4, name="body")])
        body.get_layer("body").set_weights([np.full((784, 4), value), np.arange(4)])
        body.trainable = False
        return keras.Sequential([keras.Input(input_shape), body, layers.Dense(num_classes)])

    config = SMALL.replace(model="pretrained", scaling="unit", epochs=1)
    first, second = (training.train(config.replace(seed=seed)) for seed in (1, 2))
    for run in (first, second):
        assert (run.network.layers[0].get_layer("body").get_weights()[0] == 0.25).all()
        assert run.row["num_params"] == 4 * 10 + 10
    fresh = [run.network.layers[1].get_weights()[0] for run in (first, second)]
    assert not np.allclose(*fresh)
    other = training.fingerprint(config.replace(model_args={"value": 0.5}))["model_sha256"]
    assert other != first.row["model_sha256"] == training.fingerprint(config)["model_sha256"]
    with pytest.raises(ValueError, match="Expected scaling=unit or raw for pretrained, which brings trained weights"):
        training.fingerprint(config.replace(scaling="standard"))


def test_an_adapted_normalization_is_kept():
    @models.register
    def adapted(input_shape, num_classes):
        normal = layers.Normalization(axis=None)
        normal.adapt(np.linspace(0, 1, 5).reshape(1, -1))
        return keras.Sequential([keras.Input(input_shape), normal, layers.Flatten(), layers.Dense(num_classes)])

    run = training.train(SMALL.replace(model="adapted", scaling="unit", epochs=1))
    assert float(keras.ops.convert_to_numpy(run.network.layers[0].mean).ravel()[0]) == pytest.approx(0.5)


def test_another_value_of_weights_brought_along_is_another_architecture():
    start = [0.25]

    @models.register
    def brought(input_shape, num_classes):
        network = keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(num_classes)])
        network.layers[-1].set_weights([np.full((784, num_classes), start[0]), np.zeros(num_classes)])
        return network

    config, digests = SMALL.replace(model="brought", scaling="unit"), []
    for value in (0.25, 0.5, 0.25):
        start[0] = value
        digests.append(training.fingerprint(config)["model_sha256"])
    assert digests[0] == digests[2] != digests[1]


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
    best = history.loc[history["val_accuracy"].idxmax()]
    assert (row["best_epoch"], row["best_val_accuracy"]) == (best["epoch"], best["val_accuracy"])
    assert row["best_val_loss"] == history["val_loss"].min()
    assert row["val_score"] == pytest.approx(history["val_accuracy"].iloc[-2:].mean())
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for split in ("train", "val", "test"):  # the figures of one network, measured after the last step
        x, y = (getattr(dataset, f"{name}_{split}") for name in "xy")
        logits = keras.ops.convert_to_numpy(run.model(x.astype("float32") / 255))
        assert row[f"{split}_accuracy"] == pytest.approx((logits.argmax(1) == y).mean())
        assert row[f"{split}_loss"] == pytest.approx(float(entropy(y, logits)), rel=1e-5)
    assert row["test_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, logits.argmax(1)))
    assert row["majority_share"] == np.bincount(y).max() / len(y) and row["test_images"] == len(y)
    assert row["num_params"] == 28 * 28 * 20 + 20 + 20 * 10 + 10
    assert row["run_id"] == run.config.run_id and RunConfig.from_row(row) == run.config


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}, {"augmentation": "flip"}], ids=str)
def test_training_accuracy_can_be_evaluated_after_every_epoch_and_changes_no_bit(changes):
    config = SMALL.replace(**changes)
    plain, logged = training.train(config), training.train(config.replace(log_training=True))
    for a, b in zip(plain.network.get_weights(), logged.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    columns = ["train_eval_loss", "train_eval_accuracy"]
    assert list(logged.history.columns.difference(plain.history.columns)) == sorted(columns)
    assert logged.history[columns].iloc[-1].tolist() == [logged.row["train_loss"], logged.row["train_accuracy"]]
    assert (logged.history["train_eval_accuracy"] != logged.history["train_accuracy"]).any()


def test_validation_can_look_at_few_epochs_and_changes_no_bit_and_no_score():
    often = training.train(config := SMALL.replace(epochs=8, ema=0.9))
    seldom = training.train(config.replace(validate_every=3))
    for a, b in zip(often.network.get_weights(), seldom.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    looks = seldom.history["val_accuracy"].notna()
    assert seldom.history.loc[looks, "epoch"].tolist() == [3, 6, 7, 8]
    pd.testing.assert_frame_equal(
        often.history[looks].drop(columns="seconds"), seldom.history[looks].drop(columns="seconds")
    )
    same = ["status", "val_score", "test_accuracy", "val_loss", "epochs_run"]
    assert {name: often.row[name] for name in same} == {name: seldom.row[name] for name in same}
    assert seldom.history["seconds"].is_monotonic_increasing and seldom.row["train_seconds"] > 0


def test_a_run_that_diverges_between_two_looks_is_scored_as_it_ended():
    run = training.train(SMALL.replace(model="mlp", learning_rate=1e30, epochs=6, validate_every=5))
    assert run.row["status"] == "diverged" and run.row["epochs_run"] < 5
    assert run.row["val_score"] == run.row["val_accuracy"] == run.row["best_val_accuracy"]


@pytest.mark.parametrize("changes", [{"loss": "hinge"}, {"label_smoothing": 0.3}], ids=str)
def test_the_rows_losses_are_cross_entropies_whatever_was_trained_on(changes):
    run = training.train(SMALL.replace(model="mlp", **changes))
    dataset = training.check(run.config)
    logits = run.model(dataset.x_test.astype("float32") / 255)
    entropy = float(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(dataset.y_test, logits))
    assert run.row["test_loss"] == pytest.approx(entropy, rel=1e-5)
    assert run.row["val_loss"] != pytest.approx(run.history["val_loss"].iloc[-1], rel=0.01)


def test_the_learning_rate_of_the_history_is_the_schedules():
    run = training.train(SMALL.replace(schedule="step", schedule_args={"at": [0.5], "drop": 0.1}, epochs=4))
    np.testing.assert_allclose(run.history["learning_rate"], [0.1, 0.1, 0.01, 0.01], rtol=1e-6)


@pytest.mark.parametrize("ema", [None, 0.7])
def test_early_stopping_restores_the_best_weights(ema):
    config = SMALL.replace(model="mlp", optimizer="adam", learning_rate=0.05, epochs=30, early_stopping=2, ema=ema)
    run = training.train(config)
    losses = run.history["val_loss"]
    assert run.row["val_loss"] == pytest.approx(losses.min(), rel=1e-5) and run.row["raw_test_accuracy"] is None
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
    for split in ("val", "test"):  # what the last weights themselves reach is in the same row
        assert run.row[f"raw_{split}_accuracy"] == pytest.approx(plain.row[f"{split}_accuracy"], abs=0.01)
        assert plain.row[f"raw_{split}_accuracy"] is None
    dataset = training.check(config)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for split in ("val", "test"):
        logits = run.model(getattr(dataset, f"x_{split}").astype("float32") / 255)
        value = float(loss(getattr(dataset, f"y_{split}"), logits))
        assert run.row[f"{split}_loss"] == pytest.approx(value, rel=1e-5)


def test_images_are_augmented_in_training_only():
    config = SMALL.replace(augmentation="erase+rotate", learning_rate=1e-30, epochs=1)
    run, plain = training.train(config), training.train(config.replace(augmentation=None))
    assert run.history["train_loss"].iloc[0] != plain.history["train_loss"].iloc[0]
    for name in ("train_loss", "val_loss", "test_loss", "val_accuracy", "test_accuracy"):
        assert run.row[name] == pytest.approx(plain.row[name], rel=1e-6)
    assert run.row["num_params"] == plain.row["num_params"]
    assert run.row["model_sha256"] == plain.row["model_sha256"]


def test_the_test_set_chooses_nothing(monkeypatch):
    config = SMALL.replace(model="mlp", early_stopping=2, ema=0.5, epochs=4)
    honest = training.train(config)
    poison_test_labels(monkeypatch)
    poisoned = training.train(config)
    pd.testing.assert_frame_equal(without_times(honest.history), without_times(poisoned.history), check_exact=True)
    read = {"test_loss", "test_accuracy", "test_balanced_accuracy", "majority_share", *TIME_COLUMNS}
    assert {name for name in honest.row if honest.row[name] != poisoned.row[name]} <= read
    assert poisoned.row["test_accuracy"] < 0.2 < honest.row["test_accuracy"]


def test_the_test_set_is_read_once(monkeypatch):
    sizes, evaluate = [], training._evaluate

    def counted(model, x, one_hot):
        sizes.append(len(x))
        return evaluate(model, x, one_hot)

    monkeypatch.setattr(training, "_evaluate", counted)
    training.train(SMALL)
    dataset = training.check(SMALL)
    assert sizes == [len(dataset.x_train), len(dataset.x_val), len(dataset.x_test)]


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
    assert run.network.get_layer("conv1").compute_dtype == "bfloat16"
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


def kernels(**regularization):
    network = training.train(SMALL.replace(regularization=regularization, epochs=3)).network
    return [weight.numpy() for weight in network.trainable_variables if len(weight.shape) > 1]


def test_penalties_make_kernels_smaller():
    free, l1, l2 = (np.concatenate([k.ravel() for k in kernels(**how)]) for how in ({}, {"l1": 0.1}, {"l2": 1.0}))
    assert np.square(l2).sum() < np.square(free).sum() / 2 and np.abs(l1).sum() < np.abs(free).sum() / 2


def test_no_unit_s_weights_are_longer_than_max_norm():
    lengths = [np.sqrt(np.square(k).sum(axis=tuple(range(k.ndim - 1)))).max() for k in kernels(max_norm=0.5)]
    assert max(lengths) == pytest.approx(0.5, rel=1e-4)
    assert max(np.linalg.norm(k, axis=0).max() for k in kernels()) > 0.6


def test_a_penalty_is_no_part_of_the_evaluated_losses():
    run = training.train(SMALL.replace(regularization={"l2": 0.1}, epochs=1))
    assert run.row["val_loss"] < run.history["val_loss"].iloc[-1] - 0.1
