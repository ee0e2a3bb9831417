"""Callbacks in anyone's `fit`: what they see is what loops by hand see, and the model is none the wiser."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers

from cnnkit import data
from cnnkit.callbacks import LayerStatistics, RangeTest, ScheduleLog

DIGITS = data.load_dataset("digits")
X, Y = DIGITS.x_train[:200].astype("float32") / 255, DIGITS.y_train[:200]
LOSS = {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "metrics": ["accuracy"]}
FIT = {"batch_size": 16, "verbose": 0}  # 13 steps an epoch, the last of 8 images


def network(optimizer=None, **compiled):
    """A small network with all that has a state of its own: a moving average, a seed, an optimizer's variables."""
    keras.utils.set_random_seed(1)
    stack = [
        keras.Input(DIGITS.input_shape),
        layers.Conv2D(4, 3, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01), name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.Dropout(0.3, name="drop"),
        layers.Flatten(name="flat"),
        layers.Dense(10, activity_regularizer=keras.regularizers.L2(0.01), name="dense"),
    ]
    model = keras.Sequential(stack)
    model.compile(optimizer or keras.optimizers.SGD(0.05, momentum=0.9), **LOSS | compiled)
    return model


def state(model):
    variables = [*model.variables, *model.metrics_variables]
    if model.optimizer:
        variables += model.optimizer.variables
    return [variable.numpy() for variable in variables]


def assert_same(one, other):
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def ended(losses, **settings):
    """A range test that has seen these losses."""
    test = RangeTest(steps=max(len(losses), 20), **settings)
    test.losses = list(losses)
    return test


def test_range_test_sees_the_losses_of_a_loop_by_hand():
    test = RangeTest(low=1e-4, high=0.1, steps=30)
    network().fit(X, Y, epochs=3, shuffle=False, callbacks=[test], **FIT)
    model, losses = network(), []
    rates = 1e-4 * 1e3 ** (np.arange(30) / 29)
    for step, rate in enumerate(rates):
        batch = slice(step % 13 * 16, step % 13 * 16 + 16)
        model.optimizer.learning_rate = rate
        losses.append(model.train_on_batch(X[batch], Y[batch])[0])
    np.testing.assert_allclose(test.losses, losses, rtol=1e-4)  # two traces of the step round differently
    np.testing.assert_allclose(test.curve["learning_rate"], rates)
    mean, smooth = 0.0, []
    for step, loss in enumerate(losses, start=1):
        mean = 0.98 * mean + 0.02 * loss
        smooth.append(mean / (1 - 0.98**step))
    np.testing.assert_allclose(test.curve["smooth"], smooth, rtol=1e-4)
    assert test.curve["kept"].to_numpy().nonzero()[0].tolist() == list(range(5, 25))


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01, weight_decay=0.01),
    "moving average": lambda: keras.optimizers.SGD(0.05, use_ema=True, ema_overwrite_frequency=5),
    "scaled loss": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05)),
    "accumulated": lambda: keras.optimizers.SGD(0.05, gradient_accumulation_steps=2),
}


@pytest.mark.parametrize("name, epochs", [("momentum", 0), *((name, 1) for name in OPTIMIZERS)])
def test_range_test_leaves_no_trace(name, epochs):
    with_test, without = network(OPTIMIZERS[name]()), network(OPTIMIZERS[name]())
    for model in (with_test, without):
        model.optimizer.build(model.trainable_variables)
        model.fit(X, Y, epochs=epochs, **FIT)
    test = RangeTest(steps=20)
    with_test.fit(X, Y, epochs=2, callbacks=[test], validation_data=None if epochs else (X, Y), **FIT)
    assert len(test.losses) >= 10 and not with_test.stop_training
    if epochs:  # else the metrics are not there yet
        assert_same(state(with_test), state(without))
    histories = [model.fit(X, Y, epochs=2, **FIT).history for model in (with_test, without)]
    assert histories[0] == histories[1]
    assert_same(state(with_test), state(without))


def test_range_test_ends_when_the_loss_is_no_number_or_high():
    for low, high in ((1.0, 1e30), (1e-3, 1e3)):
        model = network()
        before = model.get_weights()
        test = RangeTest(low, high, steps=60)
        model.fit(X, Y, epochs=5, callbacks=[test], **FIT)
        assert_same(model.get_weights(), before)
        curve = test.curve
        assert len(curve) < 60 and np.isfinite(test.losses[:-1]).all()
        assert not np.isfinite(test.losses[-1]) or curve["smooth"].iloc[-1] > 4 * curve["smooth"].min()
        assert not curve["kept"].iloc[-6:].any() and np.isfinite(curve["smooth"][curve["kept"]]).all()


def test_range_test_suggests_the_steepest_and_a_tenth_of_the_lowest():
    step = np.arange(100)
    valley = 2.5 - np.tanh((step - 40) / 5) + np.exp((step - 85) / 4)  # falls fastest at 40
    test = ended(valley, beta=0.0)
    rates, end = test.curve["learning_rate"], np.argmax(valley > 4 * np.minimum.accumulate(valley))
    assert test.curve["kept"].to_numpy().nonzero()[0].tolist() == list(range(100 // 6, end - 5))
    lowest = rates[valley.argmin()]
    assert test.suggestion == {"steepest": rates[40], "lowest": lowest, "tenth": pytest.approx(lowest / 10)}
    test.beta = 0.9  # the same losses, read with another mean: it comes later
    assert test.suggestion["steepest"] > rates[40]


def test_range_test_suggests_nothing_at_an_edge():
    falling = ended(np.linspace(3, 2, 60) ** 2, beta=0.0).suggestion  # fastest at the beginning, lowest at the end
    assert all(np.isnan(rate) for rate in falling.values())
    assert all(np.isnan(rate) for rate in ended([2.0, np.nan]).suggestion.values())
    assert all(np.isnan(rate) for rate in RangeTest().suggestion.values())


COSINE = keras.optimizers.schedules.CosineDecay(0.1, 50)
REFUSED = {
    "schedule": (lambda: network(keras.optimizers.SGD(COSINE)), "can be set: .* Received: SGD with a schedule"),
    "no optimizer": (lambda: without_optimizer(), "Received: NoneType with no rate"),
    "several steps": (lambda: network(steps_per_execution=4), "steps_per_execution=1.* Received: steps_per_exec.*=4"),
}


def without_optimizer():
    model = network()
    model.optimizer = None
    return model


@pytest.mark.parametrize("name", REFUSED)
def test_range_test_refuses_before_anything_changes(name):
    build, message = REFUSED[name]
    model = build()
    before = state(model)
    with pytest.raises(ValueError, match=f"Expected .*{message}"):
        model.fit(X, Y, epochs=30, callbacks=[RangeTest()], **FIT)
    assert_same(state(model), before)


def test_range_test_refuses_a_fit_that_is_too_short():
    model = network()
    before = state(model)
    with pytest.raises(ValueError, match="Expected 300 batches or more: .*epochs.* Received: 26"):
        model.fit(X, Y, epochs=2, callbacks=[RangeTest()], **FIT)
    assert_same(state(model), before)
    weights = model.get_weights()
    unknown = tf.data.Dataset.from_generator(
        lambda: iter([(X[:16], Y[:16])] * 5),
        output_signature=(tf.TensorSpec((16, *X.shape[1:])), tf.TensorSpec((16,), tf.int64)),
    )
    test = RangeTest(high=0.1)
    short = pytest.raises(ValueError, match="Expected 300 batches or more: .*epochs.* Received: 5")
    with pytest.warns(UserWarning, match="ran out of data"), short:
        model.fit(unknown, shuffle=False, callbacks=[test], verbose=0)
    assert_same(model.get_weights(), weights)
    assert len(test.curve) == 5


def test_callbacks_refuse_a_model_without_weights():
    model = keras.Sequential([layers.Flatten(), layers.Dense(10)])
    model.compile("sgd", **LOSS)
    for callback in (RangeTest(steps=20), LayerStatistics(X[:8], Y[:8])):
        with pytest.raises(ValueError, match="Expected a model that has its weights: .*keras.Input"):
            model.fit(X, Y, epochs=2, callbacks=[callback], **FIT)


SETTINGS = ({"low": 0.0}, {"low": 1.0, "high": 1.0}, {"steps": 19}, {"beta": 1.0})


@pytest.mark.parametrize("settings", SETTINGS)
def test_range_test_refuses_settings(settings):
    with pytest.raises(ValueError, match="Expected 0 < low < high, .* Received: low="):
        RangeTest(**settings)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 5:
            raise KeyboardInterrupt


@pytest.mark.parametrize("again", [False, True])
def test_an_interrupted_range_test_can_be_undone(again):
    model, test = network(), RangeTest(steps=20)
    model.optimizer.build(model.trainable_variables)
    before = state(model)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=2, callbacks=[test, Interrupt()], **FIT)
    assert (model.get_weights()[0] != before[0]).any()
    if again:  # the next test begins where the first one began
        model.fit(X, Y, epochs=2, callbacks=[test], **FIT)
    test.restore()
    model.compile(model.optimizer, **LOSS)  # metrics only came with the first batch
    assert_same(state(model), before)


def by_hand(model, x, y):
    """The tensors of a plain Functional network, outputs and then weights, and their gradients."""
    probe = keras.Model(model.input, [layer.output for layer in model.layers[1:]])
    with tf.GradientTape() as tape:
        outputs = probe(x, training=True)
        penalty = 0.01 * tf.reduce_sum(model.get_layer("conv").kernel ** 2)
        loss = keras.losses.sparse_categorical_crossentropy(y, outputs[-1], from_logits=True)
        loss = tf.reduce_mean(loss) + penalty
    tensors = [*outputs, *(weight.value for weight in model.trainable_variables)]
    return tensors, tape.gradient(loss, tensors)


def plain_layers():
    penalty = keras.regularizers.L2(0.01)
    return [
        layers.Conv2D(4, 3, activation="relu", kernel_regularizer=penalty, name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.MaxPooling2D(name="pool"),
        layers.Flatten(name="flat"),
        layers.Dense(10, name="dense"),
    ]


def test_layer_statistics_are_those_of_numpy_and_a_gradient_tape():
    keras.utils.set_random_seed(1)
    inputs = outputs = keras.Input(DIGITS.input_shape)
    for layer in plain_layers():
        outputs = layer(outputs)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", **LOSS)
    frame = LayerStatistics(X[:32], Y[:32]).measure(model)
    tensors, gradients = by_hand(model, X[:32], Y[:32])
    names = [(layer.name, "output") for layer in model.layers[1:]]
    names += [("conv", "kernel"), ("conv", "bias"), ("norm", "gamma"), ("norm", "beta")]
    names += [("dense", "kernel"), ("dense", "bias")]
    assert list(zip(frame["layer"], frame["tensor"], strict=True)) == names
    for line, tensor, gradient in zip(frame.itertuples(), tensors, gradients, strict=True):
        tensor, norm = tensor.numpy().astype("float64"), np.linalg.norm(gradient)
        expected = [tensor.mean(), tensor.std(), (tensor == 0).mean(), np.linalg.norm(tensor), norm]
        found = [line.mean, line.deviation, line.zeros, line.norm, line.gradient_norm]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(frame["ratio"], frame["gradient_norm"] / frame["norm"])
    assert 0 < frame["zeros"][0] < 1


def test_layer_statistics_reach_into_models_within_the_model():
    frames = []
    for inner in (1, 2, 5):
        keras.utils.set_random_seed(1)
        stack = plain_layers()
        deep = keras.Sequential([keras.Input(DIGITS.input_shape), *stack[:inner]], name="deep")
        inputs = keras.Input(DIGITS.input_shape)
        model = keras.Model(inputs, keras.Sequential([deep, *stack[inner:]], name="whole")(inputs))
        model.compile("sgd", **LOSS)
        frames.append(LayerStatistics(X[:32], Y[:32]).measure(model))
        assert frames[-1]["layer"].iloc[0] == "whole/deep/conv" and len(frames[-1]) == 11
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame.drop(columns="layer"), frames[0].drop(columns="layer"))


def test_layer_statistics_take_several_outputs_and_say_where_no_gradient_passes():
    inputs = keras.Input(DIGITS.input_shape)
    flat = layers.Flatten(name="flat")(inputs)
    heads = [layers.Dense(10, activation="softmax", name="digit")(flat), layers.Dense(1, name="parity")(flat)]
    model = keras.Model(inputs, heads)
    model.compile("sgd", ["sparse_categorical_crossentropy", "mse"])
    frame = LayerStatistics(X[:32], [Y[:32], Y[:32] % 2]).measure(model).set_index(["layer", "tensor"])
    missing = frame["gradient_norm"].isna()
    assert missing[("flat", "output")] and not missing[("parity", "output")]  # flat: the pictures are no variables
    assert (frame["gradient_norm"].dropna() > 0).all() and not missing.drop("output", level="tensor").any()
    assert frame.loc[("digit", "output"), "mean"] == pytest.approx(0.1)


def test_layer_statistics_and_schedule_log_do_not_touch_what_they_watch():
    watched, alone = network(), network()
    statistics = LayerStatistics(X[:32], Y[:32], every=5)
    before = state(watched)
    statistics.measure(watched)
    assert_same(state(watched), before)
    call = keras.Layer.__call__
    histories = [
        model.fit(X, Y, epochs=2, validation_data=(X, Y), callbacks=callbacks, **FIT).history
        for model, callbacks in ((watched, [statistics, ScheduleLog(every=1)]), (alone, []))
    ]
    assert histories[0] == histories[1] and keras.Layer.__call__ is call
    assert_same(state(watched), state(alone))
    assert statistics.table["step"].unique().tolist() == [0, 5, 10, 15, 20, 25]
    norms = statistics.table.query("layer == 'conv' and tensor == 'kernel'")["norm"]
    assert norms.is_unique


def test_layer_statistics_count_steps_where_a_call_takes_several():
    model = network(steps_per_execution=4)
    statistics, schedule = LayerStatistics(X[:32], Y[:32], every=6), ScheduleLog(every=1)
    model.fit(X, Y, epochs=1, callbacks=[statistics, schedule], **FIT)
    assert statistics.table["step"].unique().tolist() == [0, 8]
    assert schedule.table["step"].tolist() == [0, 4, 8, 12]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.dense = layers.Flatten(), layers.Dense(10)

    def call(self, x):
        return self.dense(self.flat(x))


def test_layer_statistics_refuse_what_they_cannot_measure(monkeypatch):
    model = Subclassed()
    model(X[:1])
    model.compile("sgd", **LOSS)
    before = state(model)
    statistics = LayerStatistics(X[:32], Y[:32])
    with pytest.raises(ValueError, match="Expected a Sequential or Functional model.*Received: Subclassed"):
        model.fit(X, Y, callbacks=[statistics], **FIT)
    assert_same(state(model), before)
    with pytest.raises(ValueError, match="Expected a compiled model"):
        statistics.measure(keras.Sequential([keras.Input(DIGITS.input_shape), layers.Flatten(), layers.Dense(10)]))
    for callback in (LayerStatistics, ScheduleLog):
        with pytest.raises(ValueError, match="Expected every of at least 1 step"):
            callback(*([X, Y] if callback is LayerStatistics else []), every=0)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="Expected the TensorFlow backend.*Received: jax"):
        statistics.measure(network())


def test_schedule_log_is_the_schedule():
    log = ScheduleLog(every=1)
    model = network(keras.optimizers.SGD(COSINE, momentum=0.8, weight_decay=0.001))
    model.fit(X, Y, epochs=2, callbacks=[log], **FIT)
    model.fit(X, Y, callbacks=[second := ScheduleLog()], **FIT)
    assert log.table["step"].tolist() == list(range(26)) and second.table["step"].tolist() == [26, 36]
    for table in (log.table, second.table):
        np.testing.assert_array_equal(table["learning_rate"], [float(COSINE(step)) for step in table["step"]])
    assert log.table[["momentum", "weight_decay"]].drop_duplicates().to_numpy().tolist() == [[0.8, 0.001]]


def test_schedule_log_sees_a_rate_that_another_callback_sets():
    for optimizer in (keras.optimizers.Adam(0.01), keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01))):
        model, log = network(optimizer), ScheduleLog(every=1)

        def halve(epoch, logs, optimizer=optimizer):
            optimizer.learning_rate = 0.01 / 2 ** (epoch + 1)

        model.fit(X, Y, epochs=2, callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=halve), log], **FIT)
        np.testing.assert_allclose(log.table["learning_rate"], [0.005] * 13 + [0.0025] * 13, rtol=1e-6)
        assert (log.table["beta_1"] == 0.9).all() and "momentum" not in log.table
