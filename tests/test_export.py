"""A network that is saved says elsewhere what it said here, and a file that is none of ours is one clear error."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from PIL import Image

from cnnkit.data import load_dataset
from cnnkit.lab import export, store, training
from cnnkit.lab.config import RunConfig

pytestmark = pytest.mark.filterwarnings(  # Keras 3.15 with NumPy 2.4
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
CONFIG = RunConfig(dataset="shapes", train_size=300, model="softmax", learning_rate=0.01, epochs=2)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path, run = tmp_path_factory.mktemp("models") / "shapes.keras", training.train(CONFIG)
    export.save_model(run, path)
    return path, run


@pytest.mark.parametrize("scaling", ["standard", "centred", "unit", "raw"])
def test_a_saved_network_takes_pictures_as_they_are(tmp_path, scaling):
    run = training.train(CONFIG.replace(scaling=scaling, learning_rate=1e-5 if scaling == "raw" else 0.01))
    export.save_model(run, tmp_path / "net.keras")
    model, card = export.load_model(tmp_path / "net.keras")
    dataset = load_dataset("shapes", train_size=300, seed=CONFIG.seed)
    logits = run.model.predict(dataset.x_test[:40] / np.float32(255), verbose=0)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict(dataset.x_test[:40], verbose=0), shares, rtol=2e-3, atol=1e-5)
    assert tuple(card["class_names"]) == dataset.class_names and card["row"]["run_id"] == run.config.run_id


def test_plain_keras_opens_it_without_cnnkit(saved):
    code = f"import keras, numpy as np; m = keras.saving.load_model({str(saved[0])!r}); "
    code += "print(m.predict(np.zeros((1, 50, 70, 3), 'uint8'), verbose=0).sum().round(4)); import sys; "
    code += "assert not any(name.startswith('cnnkit') for name in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=saved[0].parent)
    assert told.stdout.strip() == "1.0", told.stderr


def test_predictions_name_three_classes_a_picture(saved, tmp_path):
    dataset = load_dataset("shapes", train_size=300, seed=CONFIG.seed)
    (tmp_path / "deep").mkdir()
    for i in range(3):
        Image.fromarray(dataset.x_test[i]).save(tmp_path / "deep" / f"{i}.png")
    Image.fromarray(dataset.x_test[3]).resize((300, 200)).save(tmp_path / "large.jpg")
    table = export.predict(saved[0], [tmp_path / "large.jpg", tmp_path / "deep"])
    assert [name.rsplit("/", 1)[1] for name in table["file"]] == ["large.jpg", "0.png", "1.png", "2.png"]
    guessed = saved[1].model.predict(dataset.x_test[:3] / np.float32(255), verbose=0).argmax(axis=1)
    assert table["class"].tolist()[1:] == [dataset.class_names[label] for label in guessed]
    assert (table["probability"] >= table["second_probability"]).all() and "third_class" in table


def test_a_confusion_matrix_counts_the_rows_test_accuracy(saved):
    table = export.evaluate(saved[0], "shapes")
    dataset = load_dataset("shapes")
    assert table.sum(axis=1).tolist() == np.bincount(dataset.y_test).tolist()
    right = sum(table.at[name, name] for name in table.index)
    assert right / len(dataset.y_test) == pytest.approx(saved[1].row["test_accuracy"], abs=0.003)


def make_folder(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
        for i in range(5):
            Image.new("RGB", (20, 20), (50 * i, 90, 20)).save(root / name / f"{i}.png")
    return f"folder:{root}"


def test_a_folder_may_hold_some_of_the_classes_and_no_others(saved, tmp_path):
    known = saved[1].row and load_dataset("shapes").class_names
    table = export.evaluate(saved[0], make_folder(tmp_path / "some", known[2], known[0]))
    assert sorted(table.index) == sorted([known[0], known[2]]) and tuple(table.columns) == known
    with pytest.raises(ValueError, match=f"classes out of {known[0]}, .*Received: zebra, too"):
        export.evaluate(saved[0], make_folder(tmp_path / "others", known[0], "zebra"))
    with pytest.raises(ValueError, match="3 channels.*Received: 1 in digits|classes out of"):
        export.evaluate(saved[0], "digits")


def truncated(path, saved):
    path.write_bytes(saved.read_bytes()[:2000])


def without_card(path, saved):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(path)


def with_lambda(path, saved):
    keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)]).save(path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(export.CARD, json.dumps({"class_names": ["a"], "input_shape": [4, 4, 3], "row": {"keras": "3"}}))


def of_another_keras(path, saved):
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "config.json":
                text = text.replace(b'"Rescaling"', b'"Rescaling9"')
            if name == export.CARD:
                text = json.dumps(json.loads(text) | {"row": {"keras": "9.1"}}).encode()
            new.writestr(name, text)


def with_card(**changes):
    def make(path, saved):
        with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                text = old.read(name)
                new.writestr(name, json.dumps(json.loads(text) | changes) if name == export.CARD else text)

    return make


@pytest.mark.parametrize(
    "make, reason",
    [
        (with_card(input_shape=[10**6, 10**6, 3]), "whose card was changed"),
        (with_card(input_shape=None), "whose card was changed"),
        (with_card(class_names="abc"), "whose card was changed"),
        (with_card(row=[]), "whose card was changed"),
        (with_card(class_names=["one", "two"]), "with 10 outputs and names of 2 classes"),
        (lambda path, saved: None, "cannot be read"),
        (truncated, "cannot be read"),
        (without_card, "without a card of cnnkit"),
        (with_lambda, "cannot load.*[Ll]ambda"),
        (of_another_keras, "saved by 9.1"),
    ],
    ids=["vast", "no shape", "a text", "no row", "few names"]
    + ["missing", "truncated", "no card", "lambda", "another Keras"],
)
def test_a_file_that_is_not_ours_is_one_clear_error(saved, tmp_path, make, reason):
    make(tmp_path / "bad.keras", saved[0])
    with pytest.raises(ValueError, match=f"(?s)train ... --save.*bad.keras.*{reason}") as caught:
        export.load_model(tmp_path / "bad.keras")
    assert "\n" not in str(caught.value)


def test_a_picture_that_is_none_is_named(saved, tmp_path):
    (tmp_path / "text.png").write_text("hello")
    for pictures in (tmp_path / "text.png", tmp_path):
        with pytest.raises(ValueError, match="a picture at .*text.png"):
            export.predict(saved[0], [pictures])
    with pytest.warns(UserWarning, match="Left out: .*text.png"), pytest.raises(ValueError, match="Expected pictures"):
        export.predict(saved[0], [tmp_path], on_error="skip")


def test_in_a_folder_what_is_no_picture_is_left_out(saved, tmp_path):
    (tmp_path / ".thumbs").mkdir()
    for name in ("one.png", ".thumbs/two.png"):
        Image.new("RGB", (20, 30)).save(tmp_path / name)
    for name in ("notes.txt", "Thumbs.db"):
        (tmp_path / name).write_text("hello")
    with pytest.warns(UserWarning, match="Left out: [^,]*notes.txt.$"):
        table = export.predict(saved[0], [tmp_path])
    assert table["file"].tolist() == [str(tmp_path / "one.png")]
    with pytest.raises(ValueError, match="a picture at .*notes.txt"):
        export.predict(saved[0], [tmp_path / "notes.txt"])


def test_a_run_that_ends_in_an_error_is_a_failed_row(results_root, tmp_path, monkeypatch):
    def train(*args, **how):
        raise RuntimeError("no memory")

    monkeypatch.setattr(training, "train", train)
    with pytest.raises(ValueError, match="to save its network. Received: RuntimeError: no memory"):
        export.train_and_save(CONFIG, "mine", tmp_path / "net.keras")
    assert store.read_runs("mine")["status"].tolist() == ["failed"] and not (tmp_path / "net.keras").exists()


def test_a_model_is_refused_a_bad_name_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *args, **how: pytest.fail("trained"))
    for path in (tmp_path / "net.h5", tmp_path / "nowhere" / "net.keras"):
        with pytest.raises(ValueError, match="ends in .keras, in a folder that exists"):
            export.train_and_save(CONFIG, "scratch", path)


def test_a_model_is_refused_a_place_that_cannot_be_written(results_root, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *args, **how: pytest.fail("trained"))
    (tmp_path / "folder.keras").mkdir()
    for name in ("folder.keras", "x" * 249 + ".keras"):
        with pytest.raises(OSError, match="Expected a file that can be written"):
            export.train_and_save(CONFIG, "scratch", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.keras"]


def test_what_cannot_be_saved_leaves_what_was_there(saved, tmp_path, monkeypatch):
    path = tmp_path / "net.keras"
    path.write_bytes(b"old")
    monkeypatch.setattr(zipfile.ZipFile, "writestr", lambda *args: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        export.save_model(saved[1], path)
    assert path.read_bytes() == b"old" and [each.name for each in tmp_path.iterdir()] == ["net.keras"]
