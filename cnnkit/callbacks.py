"""Callbacks that Keras lacks, for anyone's `model.fit`: a run's log, range test, layer statistics, schedule log."""

import time
from unittest import mock

import keras
import numpy as np
import pandas as pd

COLUMNS = {"loss": "train_loss", "accuracy": "train_accuracy", "val_loss": "val_loss", "val_accuracy": "val_accuracy"}
GRAPHS = (keras.Sequential, keras.Function)  # models that know their layers' graph; a Functional one is a Function
SAID = ("learning_rate", "momentum", "beta_1", "weight_decay")  # what an optimizer may have
BEYOND = 4  # times the lowest smooth loss, and a range test has seen enough


def _expect(right, what, received):
    if not right:
        raise ValueError(f"Expected {what}. Received: {received}.")


class RunLog(keras.callbacks.Callback):
    """Keep `lines`, a dict an epoch, and where the optimizer averages weights, the last `weights` themselves.

    A line is `epoch` (from 1), `train_loss` (nats) and `train_accuracy` (fraction; both running means), `val_loss`,
    `val_accuracy` (NaN in an epoch without validation), `learning_rate` and `seconds` (of training alone, cumulative).
    """

    def __init__(self):
        super().__init__()
        self.lines, self.seconds, self.weights = [], 0.0, None

    def on_epoch_begin(self, epoch, logs=None):
        self._begun = time.perf_counter()

    def on_test_begin(self, logs=None):
        self.seconds, self._begun = self.seconds + time.perf_counter() - self._begun, None

    def on_epoch_end(self, epoch, logs=None):
        if self._begun is not None:
            self.on_test_begin()
        line = {column: float(logs.get(name, np.nan)) for name, column in COLUMNS.items()}  # in our own order
        rate = float(self.model.optimizer.learning_rate)
        self.lines.append({"epoch": epoch + 1, **line, "learning_rate": rate, "seconds": round(self.seconds, 3)})
        if self.model.optimizer.use_ema:
            self.weights = self.model.get_weights()


class RangeTest(keras.callbacks.Callback):
    """Raise the learning rate exponentially, batch by batch, watch the loss, and put the model back as it was.

    The test stops `fit` after `steps` batches, or when the loss is no finite number or its running mean, debiased, is
    above four times its lowest. Give `fit` epochs enough, batches of one size, and no other callback that writes
    weights. Weights, optimizer, metrics and the seeds of random layers are put back when `fit` ends; after one that was
    interrupted, `restore()` does it.

    Args:
        low, high: Floats, the first learning rate and the last.
        steps: Integer, at least 20: the batches from `low` to `high`.
        beta: Float in [0, 1): how much of the running mean each batch keeps. It may be set anew when the test is done.
    Raises:
        ValueError: From `fit`, with the model as it was: if the rate cannot be set, the weights are not there yet, a
            call takes several steps, or `fit` has fewer than `steps` batches.
    Source: Smith 2015, where the rate rises linearly; the mean and what is dropped are as today's finders have them.
    """

    def __init__(self, low=1e-5, high=10.0, steps=300, beta=0.98):
        super().__init__()
        right = 0 < low < high and steps >= 20 and 0 <= beta < 1
        received = f"low={low}, high={high}, steps={steps}, beta={beta}"
        _expect(right, "0 < low < high, steps of at least 20 and beta in [0, 1)", received)
        self.low, self.high, self.steps, self.beta = low, high, steps, beta
        self.losses, self._kept = [], []

    def on_train_begin(self, logs=None):
        self.restore()  # where the fit before was interrupted
        model, optimizer = self.model, self.model.optimizer
        rate = getattr(optimizer, "learning_rate", None)
        received = f"{type(optimizer).__name__} with {'no rate' if rate is None else 'a schedule'}"
        what = "an optimizer whose learning rate can be set: compile the model with a number for it, without a schedule"
        _expect(isinstance(rate, keras.Variable), what, received)
        _expect(model.built, "a model that has its weights: let it begin with keras.Input, or call it once", "none yet")
        what = "steps_per_execution=1, since every batch has its own rate: compile the model with that"
        _expect(model.steps_per_execution == 1, what, f"steps_per_execution={model.steps_per_execution}")
        tracker = next((metric for metric in model.metrics if metric.name == "loss"), None)
        _expect(tracker, "a model with a metric named loss, as a compiled one has", model.metrics_names)
        if self.params["steps"]:  # None: only the data know
            self._expect_steps(self.params["epochs"] * self.params["steps"])
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        variables = [*model.variables, *optimizer.variables, *model.metrics_variables]
        self._kept = [(variable, variable.numpy()) for variable in variables]
        self.losses, self._lowest, self._tracker = [], np.inf, tracker

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self._rate(len(self.losses))
        self._tracker.reset_state()  # else the loss is the mean of all batches so far

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])
        smooth = np.average(self.losses, weights=self.beta ** np.arange(len(self.losses))[::-1])
        self._lowest = min(self._lowest, smooth)
        if len(self.losses) == self.steps or not smooth <= BEYOND * self._lowest < np.inf:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        stopped = self.model.stop_training
        self.restore()
        if not stopped:
            self._expect_steps(len(self.losses))

    def restore(self):
        """Put everything back as it was before the test; once it is, do nothing."""
        if self._kept:
            self.model.reset_metrics()  # those that only came with the first batch
            for variable, value in self._kept:
                variable.assign(value)
            self.model.stop_training, self._kept = False, []

    @property
    def curve(self):
        """DataFrame, a line a batch: `learning_rate`, `loss` before its update, the running mean `smooth`, and `kept`.

        Not kept are the first sixth of `steps`, where the mean has seen few batches, and the last five before its rise.
        """
        step = np.arange(len(self.losses))
        curve = pd.DataFrame({"learning_rate": self._rate(step), "loss": np.array(self.losses, dtype="float64")})
        finite = np.isfinite(curve["loss"])
        curve["smooth"] = curve["loss"][finite].ewm(alpha=1 - self.beta).mean()  # pandas, too, debiases
        over = ~finite | (curve["smooth"] > BEYOND * curve["smooth"].cummin())
        end = np.append(over, True).argmax()
        return curve.assign(kept=(step >= self.steps // 6) & (step < end - 5))

    @property
    def suggestion(self):
        """Dict of learning rates: where `smooth` falls `steepest`, where it is `lowest`, and a `tenth` of that.

        Of what is kept of the curve; a place at its edge is no suggestion (NaN), as the true one may lie beyond.
        """
        kept = self.curve.query("kept")
        if len(kept) < 3:
            return dict.fromkeys(("steepest", "lowest", "tenth"), np.nan)
        rates = kept["learning_rate"].to_numpy(copy=True)
        rates[[0, -1]] = np.nan
        steepest, lowest = rates[np.gradient(kept["smooth"]).argmin()], rates[kept["smooth"].argmin()]
        return {"steepest": float(steepest), "lowest": float(lowest), "tenth": float(lowest / 10)}

    def _rate(self, step):
        return self.low * (self.high / self.low) ** (step / (self.steps - 1))

    def _expect_steps(self, steps):
        what = f"{self.steps} batches or more: give fit more epochs, or the test fewer steps"
        _expect(steps >= self.steps, what, steps)


class _EveryFewSteps(keras.callbacks.Callback):
    """Keep in `seen`, by updates taken, what `measure` returns of the model before the first step and every `every`."""

    def __init__(self, every):
        super().__init__()
        _expect(every >= 1, "every of at least 1 step", f"every={every}")
        self.every, self.seen = every, {}

    def on_train_begin(self, logs=None):
        self.seen, self._next = {}, 0

    def on_train_batch_begin(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        if step >= self._next:  # a call of several steps has at most one look
            self.seen[step], self._next = self.measure(self.model), step + self.every


class LayerStatistics(_EveryFewSteps):
    """Look at every layer's output, and at every weight with its gradient, on one batch as a training step sees it.

    Batch normalization takes the batch's own statistics and dropout drops, as in training, but nothing of the model
    changes: no moving average, no seed, no metric. In `fit` it looks before the first step and again every `every`
    steps, and `table` holds what it saw; without `fit`, `measure(model)` looks once.

    Args:
        x, y: Inputs and targets of the batch, arrays as `fit` takes them.
        every: Integer, steps from one look to the next; a look takes about as long as three steps.
    Raises:
        ValueError: From `fit` and `measure`, if the model is subclassed, has no weights yet or is not compiled, or if
            Keras' backend is not TensorFlow: Keras itself has no word for a gradient.
    """

    def __init__(self, x, y, every=100):
        super().__init__(every)
        self.x, self.y = (keras.tree.map_structure(keras.ops.convert_to_tensor, part) for part in (x, y))

    @property
    def table(self):
        """DataFrame: what `measure` returns, by `step`, the updates taken before."""
        return pd.concat(self.seen, names=["step", None]).reset_index("step").reset_index(drop=True)

    def measure(self, model):
        """Return a DataFrame with a line a tensor: every layer's output, then every trainable weight, in their order.

        `layer` (`model/layer` in a model within the model), `tensor` (`output`, or the weight: `kernel`, ...), its
        `mean`, `deviation`, share of `zeros` and `norm`; `gradient_norm`, of the compiled loss with all regularizers,
        and the `ratio` of both norms. Without a gradient where none passes: before all weights, or at a softmax that
        the loss takes into its own.
        """
        backend = keras.backend.backend()
        _expect(backend == "tensorflow", "the TensorFlow backend, for its gradients", backend)
        what = "a Sequential or Functional model, which knows its layers: make it one with keras.Model(inputs, outputs)"
        _expect(isinstance(model, GRAPHS), what, f"{type(model).__name__}, a subclass of its own")
        _expect(model.built, "a model that has its weights: let it begin with keras.Input, or call it once", "none yet")
        _expect(model.compiled, "a compiled model, whose loss has a gradient", "one that is not compiled")
        import tensorflow as tf

        names, tensors, plain = dict(_named_layers(model)), [], keras.Layer.__call__

        def call(layer, *args, **kwargs):
            outputs = plain(layer, *args, **kwargs)
            tensors.extend((names[layer], "output", one) for one in keras.tree.flatten(outputs) if layer in names)
            return outputs

        def numbers(tensor):
            return tf.convert_to_tensor(tensor).numpy().astype("float64")  # whose squares neither overflow nor vanish

        # No Keras model ends at a layer inside another model (https://github.com/keras-team/keras/issues/16123), so
        # that the calls are overheard.
        state = [(weight, weight) for weight in model.trainable_variables]
        with (
            mock.patch.object(keras.Layer, "__call__", call),
            keras.StatelessScope(state, collect_losses=True) as scope,
            tf.GradientTape() as tape,
        ):
            tape.watch([scope.get_current_value(weight) for weight, _ in state])
            loss = model.compute_loss(self.x, self.y, model(self.x, training=True))
        for layer, name in names.items():
            for weight in layer.trainable_variables:
                within = weight.path.rpartition(f"{layer.name}/")[2]
                tensors.append((name, within, scope.get_current_value(weight)))
        gradients = tape.gradient(loss, [tensor for *_, tensor in tensors])
        lines = []
        for (layer, name, tensor), gradient in zip(tensors, gradients, strict=True):
            values = numbers(tensor)
            line = {"layer": layer, "tensor": name, "mean": values.mean(), "deviation": values.std()}
            line |= {"zeros": (values == 0).mean(), "norm": np.linalg.norm(values)}
            lines.append(line | {"gradient_norm": np.nan if gradient is None else np.linalg.norm(numbers(gradient))})
        frame = pd.DataFrame(lines)
        return frame.assign(ratio=frame["gradient_norm"] / frame["norm"])


class ScheduleLog(_EveryFewSteps):
    """Note what the optimizer says of itself: its learning rate, whatever sets that, and its constants.

    Put it behind callbacks that set the rate. Keras builds the constants into the traced step: one that is set later
    stands in the log, but acts only after `compile`.

    Args:
        every: Integer, steps from one line to the next. To ask a Keras schedule takes up to 1 ms: 10 keep that small.
    """

    def __init__(self, every=10):
        super().__init__(every)

    def measure(self, model):
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of one that scales losses
        told = {name: getattr(optimizer, name, None) for name in SAID}
        return {name: float(value) for name, value in told.items() if value is not None}

    @property
    def table(self):
        """DataFrame: `step` (updates taken before), `learning_rate`; `momentum`, `beta_1`, `weight_decay` where set."""
        return pd.DataFrame.from_dict(self.seen, orient="index").rename_axis("step").reset_index()


def _named_layers(model, within=""):
    """Yield each layer of a model, and of the models in it, with its name."""
    for layer in model.layers:
        if isinstance(layer, GRAPHS):
            yield from _named_layers(layer, f"{within}{layer.name}/")
        else:
            yield layer, f"{within}{layer.name}"
