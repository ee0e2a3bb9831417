"""`diagnose` names every run that was broken on purpose, and accuses no sound one."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from sklearn.datasets import load_digits

from cnnkit import diagnostics
from cnnkit.__main__ import main
from cnnkit.diagnostics import callback

HISTORIES = Path(__file__).parent / "histories"
SOUND = sorted(HISTORIES.glob("sound_*.csv"))
BROKEN = {
    "stuck_at_chance": "stuck at chance",
    "nan": "NaN",
    "collapse": "collapse",
    "overfitting": "overfitting",
    "overconfidence": "validation loss rises with validation accuracy",
    "easy_validation": "validation better than training",
    "batch_norm": "training and validation mode differ",
    "ordered": "ordered split",
    "one_prediction": "one prediction for all or another scale",
    "oscillation": "validation oscillates",
    "last_batch": "small last batch",
    "odds": "loss and metric at odds",
}


def symptoms(*args, **known):
    return diagnostics.diagnose(*args, **known)["symptom"].tolist()


# Histories alone


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_run_is_named_by_its_history(name):
    found = diagnostics.diagnose(HISTORIES / f"{name}.csv")
    assert BROKEN[name] in found["symptom"].tolist()
    line = found.set_index("symptom").loc[BROKEN[name]]
    assert any(letter.isdigit() for letter in line["evidence"]) and line["causes"] and line["advice"]


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
def test_a_sound_run_is_not_accused_at_any_epoch(path):
    history = diagnostics.read_history(path)
    for epochs in {*range(1, min(21, len(history))), len(history)}:
        found = diagnostics.diagnose(history.head(epochs))
        assert found.empty, f"after {epochs} epochs: {found['evidence'].tolist()}"


def test_there_are_sound_runs_enough():
    assert len(SOUND) >= 10


def history(**columns):
    return pd.DataFrame({"epoch": np.arange(1, 1 + len(next(iter(columns.values())))), **columns})


def test_two_histories_of_one_seed_must_be_equal():
    paths = [HISTORIES / "seed_1.csv", HISTORIES / "seed_2.csv"]
    assert symptoms(paths) == ["not reproducible"]
    assert symptoms([paths[0], paths[0]]) == []


def test_epochs_that_grow_slower_are_named_perhaps():
    losses = np.linspace(2, 1, 12)
    found = diagnostics.diagnose(history(loss=losses, time=np.linspace(300, 2900, 12)))
    assert found[["symptom", "certainty"]].values.tolist() == [["slow input", "perhaps"]]


def test_a_small_last_batch_is_certain_once_its_size_is_known():
    path = HISTORIES / "last_batch.csv"
    certain = diagnostics.diagnose(path, num_train=961, batch_size=64).set_index("symptom")
    assert certain.loc["small last batch", "certainty"] == "sure"
    assert "leave one of 1" in certain.loc["small last batch", "evidence"]
    assert diagnostics.diagnose(path).set_index("symptom").loc["small last batch", "certainty"] == "perhaps"
    assert "small last batch" not in symptoms(path, num_train=960, batch_size=64)
    assert symptoms(data={"x_train": np.arange(961)}, batch_size=64) == ["small last batch"]


def test_the_surest_and_weightiest_come_first():
    found = diagnostics.diagnose(HISTORIES / "nan.csv")
    assert found.loc[0, "symptom"] == "NaN" and found["certainty"].is_monotonic_decreasing


# Models and data


@pytest.fixture(scope="module")
def data():
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8, 1) / 16).astype("float32")
    parts = {"train": slice(0, 1000), "val": slice(1000, 1400), "test": slice(1400, None)}
    return {
        f"{kind}_{split}": array[part]
        for split, part in parts.items()
        for kind, array in (("x", images), ("y", labels))
    }


def build(*stack):
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def fitted(data, *stack, epochs=12):
    keras.utils.set_random_seed(1)
    model = build(*stack)
    model.fit(data["x_train"], data["y_train"], epochs=epochs, verbose=0)
    return model


@pytest.fixture(scope="module")
def sound(data):
    stack = [layers.Conv2D(16, 3, activation="relu"), layers.BatchNormalization(momentum=0.9), layers.Flatten()]
    return fitted(data, *stack, layers.Dense(32, activation="relu"), layers.Dropout(0.3), layers.Dense(10, "softmax"))


@pytest.fixture
def model(sound):
    """A copy that a test may break."""
    copy = keras.models.clone_model(sound)
    copy.set_weights(sound.get_weights())
    copy.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return copy


def test_sound_models_are_not_accused(sound, data):
    found = diagnostics.diagnose(None, sound, data, batch_size=100)
    assert found.empty, found["evidence"].tolist()
    assert len(found.attrs["applied"]) >= 10
    linear = fitted(data, layers.Flatten(), layers.Dense(10, "softmax"))
    assert symptoms(None, linear, data) == []


def broken_arrays(data):
    order = np.argsort(data["y_train"], kind="stable")
    x, y = data["x_train"][order], data["y_train"][order]
    return {
        "images of one split in another": data | {"x_val": data["x_test"], "y_val": data["y_test"]},
        "ordered split": data | {"x_train": x[:800], "y_train": y[:800], "x_val": x[800:], "y_val": y[800:]},
        "one prediction for all or another scale": data | {"x_val": data["x_val"] * 255},
        "NaN": data | {"x_train": np.where(data["x_train"] > 0.99, np.nan, data["x_train"])},
    }


@pytest.mark.parametrize(
    "symptom", broken_arrays({"x_train": np.ones(1), "y_train": np.ones(1), "x_test": 0, "y_test": 0, "x_val": 0})
)
def test_broken_data_is_named_without_a_model(data, symptom):
    assert symptoms(data=broken_arrays(data)[symptom]) == [symptom]


def test_labels_in_order_are_named_before_they_are_split(data):
    found = diagnostics.diagnose(data={"x_train": data["x_train"], "y_train": np.sort(data["y_train"])})
    assert found[["symptom", "certainty"]].values.tolist() == [["ordered split", "perhaps"]]


def test_weights_that_are_nan(model, data):
    model.layers[-1].bias.assign(np.full(10, np.nan))
    assert "NaN" in symptoms(None, model, data)


def test_one_prediction_for_all(model, data):
    model.layers[-1].bias.assign(np.eye(10)[3] * 1e3)
    assert "one prediction for all or another scale" in symptoms(None, model, data)


def test_dead_relus(model, data):
    model.layers[0].kernel.assign(-np.abs(model.layers[0].kernel))
    model.layers[0].bias.assign(-np.ones(16))
    assert "dead ReLUs" in symptoms(None, model, data)


def test_moving_statistics_that_are_not_the_batches(model, data):
    model.layers[1].moving_variance.assign(np.full(16, 100.0))
    model.layers[1].moving_mean.assign(np.linspace(-20, 20, 16))
    before = [weights.copy() for weights in model.get_weights()]
    assert "training and validation mode differ" in symptoms(None, model, data)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_loss_that_takes_logits_for_probabilities(data):
    assert "loss and metric at odds" in symptoms(None, build(layers.Flatten(), layers.Dense(10)), data)


def test_binary_crossentropy_on_ten_classes(data):
    model = build(layers.Flatten(), layers.Dense(10, "softmax"))
    model.compile("adam", "binary_crossentropy", metrics=["binary_accuracy"])
    one_hot = data | {name: np.eye(10)[data[name]] for name in ("y_train", "y_val")}
    found = diagnostics.diagnose(None, model, one_hot).set_index("symptom")
    assert "Keras says" in found.loc["loss and metric at odds", "evidence"]


def test_training_images_that_are_harder(sound, data):
    spoilt = data | {"x_train": np.random.default_rng(0).permuted(data["x_train"], axis=1)}
    assert symptoms(None, sound, spoilt) == ["validation better than training"]


def test_classes_in_another_order(sound, data):
    moved = data | {name: (data[name] + 1) % 10 for name in ("y_train", "y_val", "y_test")}
    found = diagnostics.diagnose(None, sound, moved)
    assert (
        found["symptom"].tolist() == ["accuracy changes after loading"] and "another order" in found.loc[0, "evidence"]
    )


def test_a_layer_whose_state_is_not_saved(data):
    @keras.saving.register_keras_serializable("test_diagnostics")
    class Shift(layers.Layer):
        shift = 0.0

        def call(self, x):
            return x + self.shift

    model = build(layers.Flatten(), shift := Shift(), layers.Dense(10, "softmax"))
    shift.shift = 3.0
    assert "accuracy changes after loading" in symptoms(None, model, data)


def test_a_model_below_its_own_history(sound, data):
    good = history(
        loss=[1.0, 0.5, 0.3], accuracy=[0.7, 0.9, 0.95], val_loss=[0.6, 0.4, 0.3], val_accuracy=[0.9, 0.95, 0.96]
    )
    assert symptoms(good, sound, data) == []
    dark = data | {name: data[name] * 0.1 for name in ("x_train", "x_val", "x_test")}
    found = diagnostics.diagnose(good, sound, dark).set_index("symptom")
    assert "in the history" in found.loc["accuracy changes after loading", "evidence"]


# During training


def test_the_callback_says_each_once(data):
    said = []
    keras.utils.set_random_seed(1)
    model = build(layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dense(10, "softmax"))
    model.optimizer.learning_rate = 1e4
    leaked = data | {"x_test": data["x_val"], "y_test": data["y_val"]}
    watch = callback.Diagnose(leaked, say=said.append)
    fit = {"validation_data": (data["x_val"], data["y_val"]), "epochs": 6, "verbose": 0, "callbacks": [watch]}
    model.fit(data["x_train"], data["y_train"], **fit)
    assert "val images are test images" in said[0]
    text = "\n".join(said)
    assert text.count("stuck at chance:") == 1 and text.count("images of one split in another") == 1
    assert {"stuck at chance", "one prediction for all or another scale"} <= set(watch.found["symptom"])


class Clock:
    """Time that passes a little each time one looks, and as long as a pipeline takes."""

    now = 0.0

    def perf_counter(self):
        self.now += 0.001
        return self.now


@pytest.mark.parametrize("pause, said", [(0.0, []), (1.0, ["slow input"])])
def test_the_callback_measures_its_pipeline(data, monkeypatch, pause, said):
    clock = Clock()
    monkeypatch.setattr(callback, "time", clock)

    class Slow(keras.utils.PyDataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            clock.now += pause
            return data["x_train"][index::8], data["y_train"][index::8]

    batches, texts = Slow(), []
    model = build(layers.Flatten(), layers.Dense(10, "softmax"))
    watch = callback.Diagnose(pipeline=batches, say=texts.append)
    model.fit(batches, epochs=2, verbose=0, callbacks=[watch])
    assert watch.found["symptom"].tolist() == said and len(texts) == len(said)


# What others write

LIGHTNING = """epoch,step,train_acc,train_loss_epoch,train_loss_step,val_acc,val_loss
0,9,,,2.1,,
0,19,,,1.7,,
0,19,,,,0.50,1.5
0,19,0.40,1.9,,,
1,29,,,1.2,,
1,39,,,,0.70,0.9
1,39,0.65,1.1,,,
"""
FASTAI = "epoch,train_loss,valid_loss,accuracy,time\n0,0.9,0.5,0.81,00:12\n1,0.4,0.3,0.90,01:10\n"
PERCENT = "Epoch;Loss;Acc;Val_Loss;Val_Acc\n1;0,9;61.0;0,8;62,5\n2;0,5;81.0;0,6;80\n"
RESUMED = "epoch,accuracy,loss\n0,0.5,2.0\n1,0.6,1.5\nepoch,loss,accuracy\n0,1.2,0.7\n1,1.0,0.8\n"
OVERLAP = "epoch,accuracy,loss\n0,0.5,2.0\n1,0.6,1.5\n2,0.1,9.0\n2,0.7,1.2\n"
AGAIN = "epoch,accuracy,loss\n0,0.5,2.0\n1,0.6,1.5\n2,0.1,9.0\n1,0.7,1.2\n"


def read(tmp_path, text, name="history.csv"):
    (tmp_path / name).write_text(text)
    return diagnostics.read_history(tmp_path / name)


def test_lightning_writes_a_line_for_each_kind(tmp_path):
    frame = read(tmp_path, LIGHTNING)
    assert frame.to_dict("list") == {
        "epoch": [1, 2],
        "train_loss": [1.9, 1.1],
        "train_accuracy": [0.4, 0.65],
        "val_loss": [1.5, 0.9],
        "val_accuracy": [0.5, 0.7],
    }


def test_fastais_accuracy_is_of_validation(tmp_path):
    frame = read(tmp_path, FASTAI)
    assert frame["val_accuracy"].tolist() == [0.81, 0.9] and "train_accuracy" not in frame
    assert frame["seconds"].tolist() == [12, 70] and frame["epoch"].tolist() == [1, 2]
    errors = read(tmp_path, FASTAI.replace("accuracy", "error_rate"))
    np.testing.assert_allclose(errors["val_accuracy"], [0.19, 0.1])


def test_accuracy_in_percent_and_decimal_commas(tmp_path):
    frame = read(tmp_path, PERCENT)
    np.testing.assert_allclose(frame[["train_accuracy", "val_accuracy"]], [[0.61, 0.625], [0.81, 0.8]])
    assert frame["train_loss"].tolist() == [0.9, 0.5] and "percent" in frame.attrs["notes"][0]


@pytest.mark.parametrize(
    "text, losses", [(RESUMED, [2, 1.5, 1.2, 1]), (AGAIN, [2, 1.2])], ids=["two headers", "epochs again"]
)
def test_a_resumed_run_is_one(tmp_path, text, losses):
    frame = read(tmp_path, text)
    assert frame["train_loss"].tolist() == losses and frame["epoch"].tolist() == list(range(1, 1 + len(losses)))
    assert "resumed" in frame.attrs["notes"][0]


def test_a_nan_is_told_from_what_is_not_there(tmp_path):
    kept = "epoch,accuracy,loss,val_accuracy,val_loss\n0,0.5,2.0,NA,NA\n1,0.6,1.5,0.5,1.6\n"
    assert symptoms(read(tmp_path, kept)) == []
    assert symptoms(read(tmp_path, kept + "2,0.6,nan,0.5,nan\n")) == ["NaN"]
    assert symptoms(read(tmp_path, "epoch,train_loss,val_loss\n1,2.0,2.1\n2,,\n")) == ["NaN"]  # pandas' way
    assert symptoms({"loss": [2.0, float("nan")]}) == ["NaN"]


def test_json_of_a_keras_history(tmp_path):
    logs = {"accuracy": [0.5, 0.75], "loss": [2.0, float("nan")], "val_loss": [2.0, 1.5]}
    frame = read(tmp_path, json.dumps(logs), "history.json")
    assert frame["train_accuracy"].tolist() == [0.5, 0.75] and np.isinf(frame["train_loss"].iloc[1])
    kept = keras.callbacks.History()
    kept.history = logs
    pd.testing.assert_frame_equal(diagnostics.read_history(kept), frame)
    pd.testing.assert_frame_equal(read(tmp_path, pd.DataFrame(logs).to_json(), "frame.json").iloc[:1], frame.iloc[:1])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Keras' callback on NumPy 2
def test_tensorboards_scalars(tmp_path, data):
    logs, model = tmp_path / "logs", build(layers.Flatten(), layers.Dense(10, "softmax"))
    board = keras.callbacks.TensorBoard(logs)
    validation = (data["x_val"], data["y_val"])
    kept = model.fit(
        data["x_train"], data["y_train"], validation_data=validation, epochs=3, verbose=0, callbacks=[board]
    )
    frame, told = diagnostics.read_history(logs), diagnostics.read_history(kept)
    np.testing.assert_allclose(frame[list(told)], told, rtol=1e-6)
    with pytest.raises(ValueError, match="scalars of one run"):
        (tmp_path / "again").mkdir()
        logs.rename(tmp_path / "again/one")
        subprocess.run(["cp", "-r", "again/one", "again/two"], cwd=tmp_path, check=True)
        diagnostics.read_history(tmp_path / "again")


# Bad input


def test_what_cannot_be_read_is_said(tmp_path):
    for text in ("", "\n\n", "epoch,loss\n", "hello\nworld\n", "epoch,mood\n1,good\n", "{}", "[]"):
        with pytest.raises(
            ValueError, match="Expected an epoch or more of columns such as epoch, loss|Expected a history"
        ):
            read(tmp_path, text)
    with pytest.raises(ValueError, match="two of|one of 2 as run"):
        diagnostics.read_history(pd.DataFrame({"run_id": ["a", "b"], "epoch": [1, 1], "loss": [1.0, 2.0]}))
    with pytest.raises(ValueError, match="Received: int"):
        diagnostics.diagnose(3)
    with pytest.raises(ValueError, match="Received: none"):
        diagnostics.diagnose()
    with pytest.raises(ValueError, match="batch_size=0"):
        diagnostics.diagnose(HISTORIES / "nan.csv", batch_size=0)


def test_one_epoch_applies_fewer_rules_and_says_which():
    found = diagnostics.diagnose({"loss": [2.3], "accuracy": [0.1]})
    assert found.empty and found.attrs["applied"] == ["NaN"]
    assert found.attrs["lacking"]["overfitting"] == "4 epochs of train_loss, val_loss"


def test_unequal_columns_and_text_are_left_out_and_named():
    frame = diagnostics.read_history({"loss": [2, 1, 1], "accuracy": [0.1, 0.2, 0.3], "val_loss": [2]})
    assert list(frame) == ["epoch", "train_loss", "train_accuracy"] and "val_loss left out" in frame.attrs["notes"][0]
    frame = diagnostics.read_history({"loss": ["2.0", "high", "1.0"], "accuracy": [0.1, 0.2, 0.3]})
    assert "'high'" in frame.attrs["notes"][0] and np.isnan(frame.loc[1, "train_loss"])


def test_a_hundred_thousand_lines(tmp_path):
    epochs = np.arange(100_000)
    table = pd.DataFrame({"epoch": epochs, "loss": 2 / (1 + epochs), "accuracy": 1 - 0.9 / (1 + epochs)})
    table.to_csv(tmp_path / "long.csv", index=False)
    assert symptoms(tmp_path / "long.csv") == []


def test_a_model_of_another_framework_is_refused(data):
    class Module:
        __module__ = "torch.nn"

    with pytest.raises(ValueError, match=r"Expected a built Keras model. Received: torch.nn.Module"):
        diagnostics.diagnose(HISTORIES / "nan.csv", Module(), data)
    with pytest.raises(ValueError, match="not built"):
        diagnostics.diagnose(None, keras.Sequential([layers.Dense(3)]), data)
    with pytest.raises(ValueError, match="Expected data as a dict"):
        diagnostics.diagnose(data=[data["x_train"]])
    with pytest.raises(ValueError, match="1000 images, 3 labels"):
        diagnostics.diagnose(data=data | {"y_train": [1, 2, 3]})


def test_data_without_labels_applies_fewer_rules(sound, data):
    images = {name: array for name, array in data.items() if name[0] == "x"}
    found = diagnostics.diagnose(None, sound, images)
    told = {"dead ReLUs", "one prediction for all or another scale", "accuracy changes after loading"}
    assert found.empty and told <= set(found.attrs["applied"])
    assert "y_train" in found.attrs["lacking"]["ordered split"]


# Words, picture, command


def test_the_command_tells_and_draws(tmp_path, capsys):
    picture = tmp_path / "picture.png"
    assert main(["diagnose", str(HISTORIES / "overfitting.csv"), "--out", str(picture)]) == 0
    said = capsys.readouterr().out
    assert (
        "1. overfitting: validation loss" in said
        and "Try: augmentation" in said
        and max(map(len, said.splitlines())) <= 96
    )
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main(["diagnose", str(SOUND[0])]) == 0
    said = capsys.readouterr().out
    assert (
        said.startswith("Nothing found.\nLooked for: NaN")
        and "Not looked for: dead ReLUs (needs model, x_val)." in said
    )
    assert main(["diagnose", str(tmp_path / "nowhere.csv")]) == 1


def test_the_place_is_ringed():
    frame = diagnostics.read_history(HISTORIES / "overfitting.csv")
    found = diagnostics.diagnose(frame)
    loss, accuracy = diagnostics.plot_diagnosis(frame, found)
    ring = next(line for line in loss.lines if line.get_marker() == "o")
    place = found.loc[0, "epoch"]
    assert (
        ring.get_xdata() == [place] and ring.get_ydata() == frame.set_index("epoch").loc[[place], "val_loss"].tolist()
    )
    assert "1: overfitting" in accuracy.texts[-1].get_text()
    loss, _ = diagnostics.plot_diagnosis(frame, pd.concat([found.iloc[:1]] * 2))
    assert [text.get_text() for text in loss.texts] == ["1, 2"]  # at one place


def test_a_history_is_read_without_keras():
    code = f"import sys\nfrom cnnkit.__main__ import main\nmain(['diagnose', {str(SOUND[0])!r}])\n"
    code += "print({'keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_history_that_was_read_is_not_read_again(tmp_path):
    lines = "epoch,step,train_loss,val_loss\n0,9,2.0,\n0,9,,1.8\n1,19,1.5,\n1,19,,1.4\n2,20,,\n"
    (tmp_path / "metrics.csv").write_text(lines)
    frame = diagnostics.read_history(tmp_path / "metrics.csv")
    assert (
        diagnostics.read_history(frame) is frame
        and diagnostics.diagnose(frame).empty == diagnostics.diagnose(tmp_path / "metrics.csv").empty
    )


@pytest.mark.parametrize(
    "text",
    [
        "epoch,loss,accuracy\n0,2.0,0.3\n\n1,1.5,0.5\n",
        "epoch,accuracy,loss\n0,0.3,2.0\n1,0.5,1.5\n2,0.5",
        "{'loss': [2.0, 1.5], 'accuracy': [0.3, 0.5], 'matrices': [[1], [2, 3]]}",
        '{"epoch": 1, "loss": 2.0, "accuracy": 0.3}\n{"epoch": 2, "loss": 1.5, "accuracy": 0.5}\n',
        '{"log_history": [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.5}], "best_metric": null}',
    ],
    ids=["blank line", "cut off", "printed", "lines of JSON", "Trainer"],
)
def test_what_others_leave_in_their_files_is_read(tmp_path, text):
    (tmp_path / "log.txt").write_text(text)
    losses = diagnostics.read_history(tmp_path / "log.txt")["train_loss"]
    assert losses.iloc[:2].tolist() == [2.0, 1.5] and np.isfinite(losses.dropna()).all()


def test_json_that_was_cut_off_is_one_sentence(tmp_path):
    (tmp_path / "log.json").write_text('{"loss": [2.0, 1.')
    with pytest.raises(ValueError, match="Expected a history as JSON or CSV. Received: .*Was it cut off"):
        diagnostics.read_history(tmp_path / "log.json")
