"""Batches in the order of a seed, and TensorFlow's reading of them against Keras' own."""

import keras
import numpy as np
import pytest

from cnnkit.lab import feeding, recipes, training
from cnnkit.lab.config import RunConfig

X, Y = np.arange(10, dtype="float32"), np.arange(10, dtype="float32") % 3


def epochs(source, count=3):
    """What `count` epochs bring of a pipeline: a list of images and one of labels each."""
    return [[np.concatenate(part).tolist() for part in zip(*source, strict=True)] for _ in range(count)]


def test_a_seed_decides_an_order_that_is_new_every_epoch():
    read = epochs(feeding.pipeline(feeding.Batches(X, Y, 4, seed=1)))
    assert all(sorted(x) == X.tolist() and y == [value % 3 for value in x] for x, y in read)
    assert len({str(x) for x, _ in read}) == 3
    assert read == epochs(feeding.pipeline(feeding.Batches(X, Y, 4, seed=1)))
    assert read != epochs(feeding.pipeline(feeding.Batches(X, Y, 4, seed=2)))


def test_one_order_may_serve_all_epochs():
    labels = np.eye(3)[Y.astype(int)]
    orders = {how: feeding.Batches(X, labels, 4, seed=1, shuffle=how) for how in ("once", "never", "sorted")}
    read = {how: epochs(feeding.pipeline(source)) for how, source in orders.items()}
    assert all(first == second == third for first, second, third in read.values())
    assert read["never"][0][0] == X.tolist() != read["once"][0][0] and sorted(read["once"][0][0]) == X.tolist()
    assert read["sorted"][0][0] == sorted(X, key=lambda x: (x % 3, x))


def test_without_a_seed_the_arrays_keep_their_order():
    source = feeding.Batches(X, Y, 4)
    assert [len(labels) for _, labels in feeding.pipeline(source)] == [4, 4, 2] and len(source) == 3
    assert epochs(feeding.pipeline(source), 2) == [[X.tolist(), Y.tolist()]] * 2


@pytest.mark.parametrize(
    "config", [RunConfig(train_size=300, epochs=3), RunConfig(train_size=90, augmentation="shift")]
)
def test_a_run_has_the_same_bits_when_keras_reads_the_batches(monkeypatch, config):
    rows = []
    for read in (feeding.pipeline, lambda source: source):
        monkeypatch.setattr(training, "pipeline", read)
        training._inputs.cache_clear()
        rows.append(training.train(config).row)
    names = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"]
    assert [rows[0][name] for name in names] == [rows[1][name] for name in names]


def test_another_backend_gets_the_batches_themselves(monkeypatch):
    source = feeding.Batches(X, Y, 4, seed=1)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert feeding.pipeline(source) is source


@pytest.mark.parametrize("mix", recipes.MIXINGS.values(), ids=recipes.MIXINGS)
def test_mixed_labels_count_what_is_seen(mix):
    labels = np.eye(4)[np.arange(32) % 4].astype("float32")
    pictures = np.broadcast_to(labels[:, None, None], (32, 9, 7, 4)).astype("float32")  # a channel a class
    source = feeding.Batches(pictures, labels, 16, seed=1, mixings=[mix])
    batches = [source[index] for index in range(2)]
    for x, y in batches:
        assert x.dtype == y.dtype == np.float32
        np.testing.assert_allclose(x.mean(axis=(1, 2)), y, atol=1e-5)
        assert (y.max(axis=1) < 1).any()
    again = feeding.Batches(pictures, labels, 16, seed=1, mixings=[mix])
    np.testing.assert_array_equal(again[1][0], batches[1][0])
    source.on_epoch_end()
    assert not np.array_equal(source[1][0], batches[1][0])
