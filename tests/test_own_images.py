"""Chapter 14: transfer from a saved network, bottlenecks that are refused, halves of classes, the folder, the facts."""

from types import SimpleNamespace

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cnnkit import course, data, models
from cnnkit.course.own_images import _folder, facts, three_ways
from cnnkit.lab import export, training
from cnnkit.lab.config import RunConfig
from cnnkit.models import transfer

pytestmark = pytest.mark.filterwarnings(  # Keras 3.15 with NumPy 2.4
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
SMALL = RunConfig(dataset="first_half:digits", train_size=100, model="mlp", model_args={"units": [16]}, epochs=1)
TARGET = "second_half:digits"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The file of a network that has learnt the digits 0 to 4 a little."""
    path = tmp_path_factory.mktemp("source") / "source.keras"
    export.save_model(training.train(SMALL), path)
    return path


def config(source, **changes):
    args = {"source": str(source)} | changes.pop("model_args", {})
    return SMALL.replace(dataset=TARGET, model="transfer", model_args=args, scaling="unit", **changes)


def body_weights(network):
    return network.get_layer("body").get_weights()


# --- Half of the classes


def test_halves_share_no_class_and_leave_none_out():
    plain, first, second = (data.load_dataset(name) for name in ("digits", "first_half:digits", TARGET))
    assert first.class_names + second.class_names == plain.class_names == tuple("0123456789")
    assert (
        np.bincount(first.y_test).tolist() + np.bincount(second.y_test).tolist() == np.bincount(plain.y_test).tolist()
    )
    seven = plain.x_test[plain.y_test == 7]
    assert np.array_equal(second.x_test[second.y_test == second.class_names.index("7")], seven)
    assert "of its classes 5, 6, 7, 8, 9 alone" in second.source and second.sha256 != first.sha256
    assert data.load_dataset("halved:first_half:digits").input_shape == (14, 14, 1)


def test_of_an_odd_number_the_first_half_is_larger_and_one_class_is_no_half():
    shapes = data.load_dataset("shapes").num_classes
    assert data.load_dataset("first_half:shapes").num_classes == (shapes + 1) // 2
    assert data.load_dataset(f"second_half:{TARGET}").class_names == ("8", "9")
    with pytest.raises(ValueError, match="2 classes or more in half of them. Received: 8, 9"):
        data.load_dataset(f"first_half:second_half:{TARGET}")


# --- Transfer


def test_a_frozen_network_keeps_the_weights_of_its_source_and_a_fine_tuned_one_moves_them(source):
    taken = body_weights(models.create_model("transfer", (28, 28, 1), 5, source=str(source)))
    original = export.load_model(source)[0].layers[-2].get_weights()
    for mine, theirs in zip(taken, original, strict=False):
        np.testing.assert_array_equal(mine, theirs)
    frozen = training.train(config(source, model_args={"freeze": True}))
    assert frozen.row["num_params"] == 16 * 5 + 5
    for mine, theirs in zip(body_weights(frozen.network), taken, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    tuned = training.train(config(source))
    assert not np.array_equal(body_weights(tuned.network)[0], taken[0])


def test_it_scales_pictures_as_its_source_did(source):
    saved, _ = export.load_model(source)
    network = models.create_model("transfer", (28, 28, 1), 5, source=str(source))
    head = saved.layers[-2].layers[-1].get_weights()
    network.get_layer("logits").set_weights(head)
    pictures = data.load_dataset("first_half:digits").x_test[:20]
    shares = keras.ops.softmax(network.predict(pictures / np.float32(255), verbose=0))
    np.testing.assert_allclose(shares, saved.predict(pictures, verbose=0), rtol=2e-3, atol=1e-5)


def test_another_network_in_the_file_is_another_model(source, tmp_path):
    path = tmp_path / "net.keras"
    path.write_bytes(source.read_bytes())
    before = training.fingerprint(config(path))["model_sha256"]
    assert before == training.fingerprint(config(source))["model_sha256"]  # its place is no part of it
    export.save_model(training.train(SMALL.replace(seed=2)), path)
    assert training.fingerprint(config(path))["model_sha256"] != before


def test_weights_need_pictures_as_they_know_them(source):
    with pytest.raises(ValueError, match="scaling=unit or raw for transfer"):
        training.fingerprint(config(source).replace(scaling="standard"))


def test_what_cannot_be_a_source_is_said(source, tmp_path):
    def build(name, shape=(28, 28, 1)):
        models.create_model("transfer", shape, 5, source=str(name))

    with pytest.raises(ValueError, match="train ... --save.*nothing.keras, which cannot be read"):
        build(tmp_path / "nothing.keras")
    with pytest.raises(ValueError, match=r"pictures of 28×28×1, as .*\?size=28"):
        build(source, (32, 32, 3))
    with pytest.raises(ValueError, match="source of transfer out of .*MobileNetV2.*Received: source='VGG16'"):
        build("imagenet:VGG16")
    assert "transfer" not in models.list_models() and models.get_builder("transfer")


def test_imagenets_weights_or_one_sentence(monkeypatch):
    def application(include_top, weights, input_shape, pooling):
        assert weights == "imagenet" and not include_top and pooling == "avg"
        if offline:
            raise Exception("URL fetch failure on https://storage.googleapis.com/x: None -- [Errno -2] Name or service")
        pictures = keras.Input(input_shape)
        return keras.Model(pictures, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(pictures)))

    monkeypatch.setattr(keras.applications, "MobileNetV2", application)
    offline = False
    network = models.create_model("transfer", (32, 32, 3), 7, source="imagenet:MobileNetV2", freeze=True)
    assert network.output_shape == (None, 7) and len(network.trainable_weights) == 2
    offline = True
    with pytest.raises(
        ValueError, match="weights of MobileNetV2 in ~/.keras/models, or a network.*copy that"
    ) as caught:
        models.create_model("transfer", (32, 32, 3), 7, source="imagenet:MobileNetV2")
    assert "\n" not in str(caught.value)


# --- Bottlenecks


def test_bottlenecks_are_what_the_last_layer_reads_and_are_read_again(source, tmp_path, monkeypatch):
    keep = tmp_path / "features.npz"
    features = export.bottlenecks(source, TARGET, keep, train_size=50)
    network = models.create_model("transfer", (28, 28, 1), 5, source=str(source), freeze=True)
    pictures = data.load_dataset(TARGET, train_size=50).x_train / np.float32(255)
    below = keras.Model(network.input, network.get_layer("logits").input)
    np.testing.assert_allclose(features["train"], below.predict(pictures, verbose=0), rtol=1e-3, atol=1e-4)
    monkeypatch.setattr(keras.Model, "predict", lambda *args, **how: pytest.fail("computed again"))
    again = export.bottlenecks(source, TARGET, keep, train_size=50)
    assert all(np.array_equal(features[split], again[split]) for split in ("train", "val", "test"))


def test_bottlenecks_of_other_pictures_or_of_another_network_are_refused(source, tmp_path):
    keep = tmp_path / "features.npz"
    export.bottlenecks(source, TARGET, keep, train_size=50)
    kept = keep.read_bytes()
    with pytest.raises(ValueError, match="in .*features.npz. Received: those of other pictures. Remove it"):
        export.bottlenecks(source, TARGET, keep, train_size=51)
    other = tmp_path / "other.keras"
    export.save_model(training.train(SMALL.replace(seed=2)), other)
    with pytest.raises(ValueError, match="by other.keras in .*Received: those of other weights"):
        export.bottlenecks(other, TARGET, keep, train_size=50)
    assert keep.read_bytes() == kept
    keep.write_bytes(kept[:1000])
    with pytest.raises(ValueError, match="features.npz. Received: a file that cannot be read .*Remove it"):
        export.bottlenecks(source, TARGET, keep, train_size=50)


# --- The folder, the facts, the experiment


def test_the_folder_is_read_but_for_what_is_no_picture(tmp_path):
    pictures = _folder.photographs("smoke")
    pictures["temple"] = pictures["temple"][::-1]  # a piece of sky looks alike whichever way it is turned
    assert {name: x.shape for name, x in pictures.items()} == {"temple": (104, 48, 48, 3), "flower": (26, 48, 48, 3)}
    _folder.make_folder(tmp_path / "photos", pictures)
    assert {path.suffix for path in (tmp_path / "photos" / "temple").iterdir()} >= {".jpg", ".png", ".webp", ".gif"}
    name = f"folder:{tmp_path / 'photos'}?size=48"
    with pytest.raises(ValueError, match="a picture at .*half.jpg.*on_error=skip"):
        data.load_dataset(name)
    with pytest.warns(UserWarning, match="half.jpg"):
        dataset = data.load_dataset(f"{name}&on_error=skip")
    pool = np.concatenate([dataset.x_train, dataset.x_val, dataset.x_test]).astype(int)
    assert len(pool) == 130 and dataset.class_names == ("flower", "temple")
    with Image.open(tmp_path / "photos" / "temple" / "temple_0000.jpg") as file:
        stored = np.asarray(file).astype(int)
    apart = [np.abs(each - pictures["temple"][0]).mean(axis=(-3, -2, -1)).min() for each in (pool, stored)]
    assert apart[0] < 8 < 12 < apart[1]  # as the camera says, and as it lies in the file


def test_facts():
    assert (facts.blind(lambda a, b: np.mean(a == b)), facts.blind(lambda a, b: np.mean(a == b), 80, 20)) == (95, 80)
    verdicts = {one.id: course.fact.check(one)["verdict"] for one in facts.FACTS}
    assert verdicts == {"special-field-95": "CONDITIONAL", "accuracy-is-skill": "FALSE"}


def test_every_way_sees_the_same_pictures_and_all_its_batches_are_full():
    comparison = three_ways.ways
    assert len(comparison.arms) == 3 * len(three_ways.EPOCHS)
    for arm, run in comparison.configs.items():
        way, images = arm.split(", ")
        assert run.train_size == three_ways.CLASSES * int(images) and run.train_size % run.batch_size == 0
        assert (run.model == "transfer") == (way != "scratch") == (run.scaling == "unit")
        assert len(comparison.rates_of(arm)) >= 5
    shared = {config.run_id for config in three_ways.bias.configs.values()}
    assert comparison.configs["frozen, 100"].run_id in shared  # trained once for both questions


def test_the_learning_curve_has_a_line_a_way_and_rises_by_pictures_not_by_the_alphabet():
    lines = [(way, n, seed) for way in three_ways.RATES for n in ("5", "20", "100") for seed in (101, 102)]
    rows = pd.DataFrame(lines, columns=["way", "images", "seed"]).assign(test_accuracy=0.5)
    plan = SimpleNamespace(of_role=lambda role: rows.assign(run_id=range(len(rows))))
    ax = three_ways.plot_ways(SimpleNamespace(plans={"ways": plan}))["ways"]
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(three_ways.RATES)
    assert ax.get_xlabel() == "Pictures a class" and list(ax.get_xticks()) == [5, 20, 100]


def test_the_source_network_is_trained_first_where_it_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(three_ways, "HOME", tmp_path)
    monkeypatch.setattr(three_ways, "SOURCES", {"smoke": SMALL})
    monkeypatch.setattr(three_ways.Experiment, "train", lambda *args: None)
    for _ in range(2):
        three_ways.EXPERIMENT.train("smoke", None, False)
        monkeypatch.setattr(training, "train", lambda *args: pytest.fail("trained again"))
    card = transfer.load_model(tmp_path / three_ways.FILES["smoke"])[1]
    assert tuple(card["class_names"]) == tuple("01234") and card["row"]["seed"] == SMALL.seed
