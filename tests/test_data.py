"""Every row of the data table, three splits, digests, and what is said when data is not as it must be."""

import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from cnnkit.data import (
    check,
    dataset_sha256,
    describe,
    is_available,
    list_datasets,
    load_dataset,
)
from cnnkit.data.arrays import ARCHIVES

WAYS_ON = "Two ways on: put a good .*CNNKIT_PROFILE=smoke"


def fake_arrays(name, *, n=12, seed=0, column=False):
    """Random arrays in the shape of a known archive: `n` images a class, half as many to test."""
    archive, random = ARCHIVES[name], np.random.RandomState(seed)
    shape = archive.shape[:2] if archive.shape[2] == 1 else archive.shape
    arrays = {}
    for split, count in (("train", n), ("test", n // 2)):
        labels = np.repeat(np.arange(len(archive.class_names), dtype="uint8"), count)
        arrays[f"x_{split}"] = random.randint(0, 256, (len(labels), *shape), dtype="uint8")
        arrays[f"y_{split}"] = labels[:, None] if column else labels
    return arrays


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNKIT_DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def fake_keras(monkeypatch):
    """Put a `keras.datasets` of random arrays in Keras' place; return the list of what was downloaded from it."""
    downloaded = []

    def module(name):
        def load_data():
            downloaded.append(name)
            arrays = fake_arrays(name, column=name.startswith("cifar"))
            return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])

        return types.SimpleNamespace(load_data=load_data)

    datasets = types.SimpleNamespace(**{name: module(name) for name in ARCHIVES})
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(datasets=datasets))
    return downloaded


@pytest.fixture
def no_network(monkeypatch):
    def load_data():
        raise Exception("URL fetch failure on https://example.org: None -- Name or service not known")

    datasets = types.SimpleNamespace(**{name: types.SimpleNamespace(load_data=load_data) for name in ARCHIVES})
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(datasets=datasets))


def rows(images):
    return {image.tobytes() for image in images}


def assert_well_formed(data):
    for split in ("train", "val", "test"):
        x, y = getattr(data, f"x_{split}"), getattr(data, f"y_{split}")
        assert x.dtype == np.uint8 and x.shape == (len(y), *data.input_shape) and x.flags.c_contiguous
        assert y.dtype == np.int64 and y.ndim == 1
        assert set(y) == set(range(data.num_classes))
        with pytest.raises(ValueError, match="read-only"):
            x[0] = 0
    assert not rows(data.x_train) & rows(data.x_val)
    assert not rows(data.x_train) & rows(data.x_test)
    assert not rows(data.x_val) & rows(data.x_test)
    assert len(data.sha256) == 64


# --- every row of the table ---


@pytest.mark.parametrize(
    ("name", "shape", "sizes"), [("digits", (28, 28, 1), (1294, 144, 359)), ("shapes", (32, 32, 3), (4500, 500, 1000))]
)
def test_embedded_data_sets(name, shape, sizes):
    data = load_dataset(name)
    assert_well_formed(data)
    assert data.input_shape == shape and data.num_classes == 10
    assert (len(data.x_train), len(data.x_val), len(data.x_test)) == sizes


def test_digits_are_the_digits_of_scikit_learn():
    """A nearest neighbour in pixels names nearly all of them: images and labels belong together after enlarging."""
    data = load_dataset("digits")
    x, x_test = (images.reshape(len(images), -1) / 255.0 for images in (data.x_train, data.x_test))
    distance = (x**2).sum(axis=1) - 2 * x_test @ x.T
    assert np.mean(data.y_train[distance.argmin(axis=1)] == data.y_test) > 0.97
    assert data.x_train.max() == 255 and data.source.startswith("scikit-learn ")


@pytest.mark.parametrize("name", ARCHIVES)
def test_npz_in_the_data_directory(name, data_dir, no_network):
    arrays = fake_arrays(name, column=name.startswith("cifar"))
    np.savez(data_dir / f"{name}.npz", **arrays)
    data = load_dataset(name)
    assert_well_formed(data)
    assert data.input_shape == ARCHIVES[name].shape
    assert data.num_classes == {"cifar100": 100}.get(name, 10)
    assert data.source == f"{name}.npz in the data directory"
    assert np.array_equal(data.x_test.reshape(arrays["x_test"].shape), arrays["x_test"])
    assert np.array_equal(data.y_test, arrays["y_test"].ravel())


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_missing_archive_is_downloaded_once_and_kept(name, data_dir, fake_keras):
    assert not is_available(name)
    first = load_dataset(name)
    assert is_available(name) and fake_keras == [name]
    assert [path.name for path in data_dir.iterdir() if not path.name.endswith(".lock")] == [f"{name}.npz"]
    assert load_dataset(name).sha256 == first.sha256 and fake_keras == [name]


def test_a_replaced_archive_is_read_anew(data_dir):
    digests = set()
    for seed in (0, 1):
        np.savez(data_dir / "new.npz", **fake_arrays("mnist", seed=seed))
        (data_dir / "new.npz").rename(data_dir / "mnist.npz")
        digests.add(load_dataset("mnist").sha256)
    assert len(digests) == 2


def test_the_list_and_what_is_said_about_each(data_dir, tmp_path):
    np.savez(data_dir / "mnist.npz", **fake_arrays("mnist"))
    assert list_datasets() == ["digits", "shapes", "mnist", "fashion_mnist", "cifar10", "cifar100"]
    frame = describe([*list_datasets(), f"folder:{tmp_path}", "folder:nowhere"]).set_index("name")
    assert list(frame["status"]) == ["embedded"] * 2 + ["present"] + ["downloads"] * 3 + ["present", "missing"]
    assert frame.loc["cifar100", ["images", "shape", "classes"]].tolist() == [60_000, "32×32×3", 100]
    assert [name for name in list_datasets() if is_available(name)] == ["digits", "shapes", "mnist"]
    for name in ("digits", "shapes"):
        data = load_dataset(name)
        assert frame.loc[name, "images"] == len(data.y_train) + len(data.y_val) + len(data.y_test)


def test_importing_the_package_loads_neither_keras_nor_tensorflow():
    code = "import sys, cnnkit.data; print({'keras', 'tensorflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


# --- splits ---


def test_validation_follows_the_seed_and_the_test_set_does_not():
    one, again, two = (load_dataset("digits", seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.x_val, again.x_val) and np.array_equal(one.x_train, again.x_train)
    assert not np.array_equal(one.x_val, two.x_val)
    assert np.array_equal(one.x_test, two.x_test) and np.array_equal(one.y_test, two.y_test)
    assert rows(one.x_train) | rows(one.x_val) == rows(two.x_train) | rows(two.x_val)


@pytest.mark.parametrize("train_size", [None, 10, 500])
def test_every_split_has_the_classes_in_the_pool_s_proportions(train_size):
    data = load_dataset("digits", train_size=train_size, seed=3)
    pool = np.bincount(load_dataset("digits").y_train)
    for labels in (data.y_train, data.y_val, data.y_test):
        assert np.abs(np.bincount(labels) - len(labels) * pool / pool.sum()).max() <= 1.5
    assert train_size is None or len(data.y_train) == train_size


def test_a_subset_is_a_part_of_the_training_set_and_validation_stays():
    full, part = load_dataset("digits", seed=2), load_dataset("digits", seed=2, train_size=200)
    assert rows(part.x_train) < rows(full.x_train)
    assert np.array_equal(part.x_val, full.x_val)
    assert load_dataset("digits", seed=2, train_size=len(full.x_train)).sha256 == full.sha256


@pytest.mark.parametrize("train_size", [0, 9, 1285, 1293, 1295, 10**6])
def test_an_impossible_train_size_is_refused(train_size):
    with pytest.raises(ValueError, match=f"from 10 .* to 1,284, or 1,294 or None.*Received: train_size={train_size}"):
        load_dataset("digits", train_size=train_size)


@pytest.mark.parametrize("seed", [0, -1])
def test_a_seed_below_one_is_refused_before_anything_is_read(seed, data_dir):
    with pytest.raises(ValueError, match=f"Expected seed >= 1 for the splits of mnist. Received: seed={seed}"):
        load_dataset("mnist", seed=seed)


# --- digests ---


def test_the_digest_names_the_arrays_in_use(data_dir, tmp_path_factory):
    arrays = fake_arrays("mnist")
    np.savez(data_dir / "mnist.npz", **arrays)
    reference = load_dataset("mnist").sha256
    assert dataset_sha256("mnist") == reference
    assert dataset_sha256("mnist", seed=2, train_size=50) == load_dataset("mnist", seed=2, train_size=50).sha256
    assert len({reference, dataset_sha256("mnist", seed=2), dataset_sha256("mnist", train_size=50)}) == 3

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    labels = {key: arrays[key].astype("int64")[:, None] for key in ("y_train", "y_test")}
    np.savez_compressed(elsewhere / "mnist.npz", **arrays | labels)
    assert load_dataset("mnist", data_dir=elsewhere).sha256 == reference

    for key in ("x_train", "x_test"):
        changed = arrays | {key: arrays[key].copy()}
        changed[key][3, 4, 5] ^= 1
        np.savez(elsewhere / "mnist.npz", **changed)
        assert load_dataset("mnist", data_dir=elsewhere).sha256 != reference


# --- duplicates ---


def test_check_counts_planted_duplicates_and_their_labels(data_dir):
    arrays = fake_arrays("mnist", n=20)
    arrays["x_test"][:4] = arrays["x_train"][:4]  # four leaks, two of them under another label
    arrays["y_test"][:4] = [0, 0, 1, 2]
    arrays["x_test"][49:52] = arrays["x_test"][50]  # three equal test images, the first of another class
    np.savez(data_dir / "mnist.npz", **arrays)
    frame, sentence = check("mnist")
    counts = frame.set_index(["of", "also_in"])
    pool = counts.loc[("test", "train")] + counts.loc[("test", "val")]  # a leaked image is in one of the two
    assert pool.tolist() == [4, 2]
    assert counts.loc[("test", "test")].tolist() == [3, 3]
    assert counts.loc[("train", "train")].tolist() == counts.loc[("val", "train")].tolist() == [0, 0]
    leaked = counts.loc[("test", "train"), "images"]
    assert sentence.startswith(f"mnist: {leaked} of 100 test images ({leaked}.00%) are also in train")


def test_check_says_when_there_is_nothing():
    frame, sentence = check("digits")
    assert frame["images"].sum() == 0 and sentence.startswith("digits: no image occurs twice")


# --- bad input: archives ---


def truncate(path):
    np.savez(path, **fake_arrays("mnist"))
    path.write_bytes(path.read_bytes()[:-2000])


def flip_bytes(path):
    np.savez_compressed(path, **fake_arrays("mnist"))
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)


def drop_a_key(path):
    arrays = fake_arrays("mnist")
    arrays["images"] = arrays.pop("x_train")
    np.savez(path, **arrays)


def save(**changes):
    return lambda path: np.savez(path, **fake_arrays("mnist") | changes)


BAD_ARCHIVES = {
    "truncated": (truncate, "Received: a truncated one"),
    "empty file": (lambda path: path.write_bytes(b""), "Received: a truncated one"),
    "text": (lambda path: path.write_text("<html>404</html>"), "or another kind of file"),
    "bytes flipped": (flip_bytes, "to hold the arrays"),
    "wrong key": (drop_a_key, "arrays x_train are missing; it holds y_train, x_test, y_test, images"),
    "pickled": (save(x_train=np.array([{"a": 1}], dtype=object)), "allow_pickle=False"),
    "vectors": (
        save(x_train=np.zeros((120, 784), "uint8")),
        r"shape \(n, 28, 28\). Received: uint8 of shape \(120, 784\)",
    ),
    "other images": (save(x_test=np.zeros((60, 32, 32, 3), "uint8")), r"Received: uint8 of shape \(60, 32, 32, 3\)"),
    "floats": (save(x_train=np.zeros((120, 28, 28))), "Received: float64"),
    "label too large": (save(y_train=np.full(120, 10)), "Expected labels from 0 to 9.*labels from 10 to 10"),
    "label negative": (save(y_test=np.full(60, -1)), "Received: labels from -1 to -1"),
    "float labels": (save(y_train=np.zeros(120)), "Received: float64"),
    "one-hot labels": (save(y_train=np.zeros((120, 10), int)), r"Received: int64 of shape \(120, 10\)"),
    "label missing": (save(y_train=np.zeros(119, int)), r"Expected 120 integer labels.*\(119,\)"),
    "no images": (
        save(x_test=np.zeros((0, 28, 28), "uint8"), y_test=np.zeros(0, int)),
        "at least one image in the test",
    ),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_a_bad_archive_is_one_clear_error(case, data_dir):
    make, message = BAD_ARCHIVES[case]
    make(data_dir / "mnist.npz")
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset("mnist")
    assert str(data_dir / "mnist.npz") in str(caught.value)
    assert caught.match(WAYS_ON)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_no_network_says_what_was_looked_for_and_two_ways_on(data_dir, no_network):
    with pytest.raises(FileNotFoundError, match="URL fetch failure") as caught:
        load_dataset("cifar10")
    assert str(data_dir / "cifar10.npz") in str(caught.value) and caught.match(WAYS_ON)
    assert caught.value.__suppress_context__
    assert not (data_dir / "cifar10.npz").exists()


def test_an_unknown_name_lists_the_known_ones():
    for ask in (load_dataset, is_available, check, lambda name: describe([name])):
        with pytest.raises(ValueError, match="digits, shapes, mnist, .*or folder:PATH. Received: 'minst'"):
            ask("minst")


# --- folders of pictures ---


def paint(path, colour, size=(40, 30), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


@pytest.fixture
def photos(tmp_path):
    """Ten cats and twenty dogs of one grey each, no two alike."""
    for label, (name, count) in enumerate((("cat", 10), ("dog", 20))):
        for i in range(count):
            paint(tmp_path / "photos" / name / f"{i:02}.png", (100 * label + 3 * i,) * 3)
    return tmp_path / "photos"


def test_a_folder_of_classes_gets_a_fixed_stratified_test_set(photos):
    one, two = (load_dataset(f"folder:{photos}", seed=seed) for seed in (1, 2))
    assert_well_formed(one)
    assert one.class_names == ("cat", "dog") and one.input_shape == (64, 64, 3)
    assert np.bincount(one.y_test).tolist() == [2, 4]
    assert np.array_equal(one.x_test, two.x_test) and not np.array_equal(one.x_val, two.x_val)
    assert ((one.x_train[:, 0, 0, 0] >= 100) == one.y_train).all()
    assert one.source == "folder photos, 30 pictures at 64×64"


def test_a_folder_with_train_and_test(tmp_path):
    for split, count in (("train", 6), ("test", 2)):
        for name in ("a", "b"):
            for i in range(count):
                paint(tmp_path / split / name / f"{i}.jpg", (i * 20 + (split == "test") * 10, 80 * (name == "b"), 0))
    data = load_dataset(f"folder:{tmp_path}?size=16")
    assert data.input_shape == (16, 16, 3)
    assert (len(data.y_train), len(data.y_val), data.y_test.tolist()) == (10, 2, [0, 0, 1, 1])
    paint(tmp_path / "test" / "c" / "0.png", "red")
    with pytest.raises(ValueError, match="in .*/train too. Received: c in test alone"):
        load_dataset(f"folder:{tmp_path}")


def test_pictures_of_all_kinds_become_rgb(photos):
    paint(photos / "cat" / "00.png", 128, mode="L")
    paint(photos / "cat" / "01.png", (255, 0, 0, 0), mode="RGBA")
    paint(photos / "cat" / "02.gif", 3, mode="P")
    turned = Image.new("RGB", (40, 20), "black")
    turned.paste("white", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the camera was held upright, turn a quarter to the right
    turned.save(photos / "cat" / "03.png", exif=exif)
    data = load_dataset(f"folder:{photos}?size=8")
    images = rows(np.concatenate([data.x_train, data.x_val, data.x_test]))
    grey, white = np.full((8, 8, 3), 128, "uint8"), np.full((8, 8, 3), 255, "uint8")
    assert grey.tobytes() in images and white.tobytes() in images  # transparent is laid on white
    halves = [np.frombuffer(image, "uint8").reshape(8, 8, 3) for image in images]
    assert any(half[0].min() == 255 and half[-1].max() == 0 for half in halves)  # white on top after turning


def test_hidden_files_are_ignored_and_a_new_picture_is_seen(photos):
    before = load_dataset(f"folder:{photos}")
    (photos / ".DS_Store").write_bytes(b"junk")
    (photos / "cat" / ".hidden.png").write_bytes(b"junk")
    assert load_dataset(f"folder:{photos}").sha256 == before.sha256
    paint(photos / "cat" / "99.png", "blue")
    assert load_dataset(f"folder:{photos}").sha256 != before.sha256


def gigapixels(path):
    """A BMP of 54 bytes whose header claims 50,000 × 50,000 pixels."""
    header = b"BM" + (54).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little")
    path.write_bytes(header + (50_000).to_bytes(4, "little") * 2 + b"\x01\x00\x18\x00" + bytes(24))


def cut(path):
    whole = path.with_suffix(".jpg")
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (64, 64, 3), "uint8")).save(whole)
    path.write_bytes(whole.read_bytes()[:-800])
    whole.unlink()


BAD_PICTURES = {
    "text": (lambda path: path.write_text("not a picture"), "cannot identify"),
    "empty": (lambda path: path.write_bytes(b""), "cannot identify"),
    "cut short": (cut, "truncated"),
    "gigapixels": (gigapixels, "2500000000 pixels"),
    "16 bits": (lambda path: Image.new("I;16", (9, 9)).save(path, "png"), "more than 8 bits"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_a_bad_picture_is_named_or_left_out(case, photos):
    make, message = BAD_PICTURES[case]
    make(photos / "dog" / "bad.bmp")
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset(f"folder:{photos}")
    assert str(photos / "dog" / "bad.bmp") in str(caught.value) and caught.match("on_error=skip")
    assert caught.value.__suppress_context__
    with pytest.warns(UserWarning, match=r"1 of 31 pictures left out: dog/bad\.bmp .*" + message):
        data = load_dataset(f"folder:{photos}?on_error=skip")
    assert data.source == "folder photos, 30 pictures at 64×64; 1 left out: dog/bad.bmp"
    (photos / "dog" / "bad.bmp").unlink()
    assert np.array_equal(load_dataset(f"folder:{photos}").x_train, data.x_train)


def test_folders_that_are_no_data_set(tmp_path, photos):
    empty = tmp_path / "empty"
    empty.mkdir()
    for root, error, message in (
        (tmp_path / "nowhere", FileNotFoundError, "nowhere. Received: no such folder"),
        (empty, ValueError, "at least 2 folders of pictures.*Received: none"),
    ):
        with pytest.raises(error, match=message):
            load_dataset(f"folder:{root}")
    paint(empty / "cat" / "0.png", "red")
    with pytest.raises(ValueError, match="at least 2 folders of pictures.*Received: cat"):
        load_dataset(f"folder:{empty}")
    (empty / "dog").mkdir()
    with pytest.raises(ValueError, match="dog. Received: an empty folder"):
        load_dataset(f"folder:{empty}")
    paint(empty / "dog" / "0.png", "red")
    with pytest.raises(ValueError, match="at least 3 pictures of every class.*Received: 1 of class 'cat'"):
        load_dataset(f"folder:{empty}")
    (photos / "train").mkdir()
    with pytest.raises(ValueError, match="both train/ and test/ in .* Received: train/ alone"):
        load_dataset(f"folder:{photos}")


def test_a_class_of_bad_pictures_alone_is_refused_even_when_skipping(photos):
    (photos / "owl").mkdir()
    (photos / "owl" / "0.png").write_text("junk")
    with pytest.raises(ValueError, match="readable picture in every class.*Received: none in owl"):
        load_dataset(f"folder:{photos}?on_error=skip")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sise=3", "options size and on_error .*Received: sise"),
        ("size=big", "size to be a whole number .*Received: 'big'"),
        ("size=4", "pixels >= 8 .*Received: '4'"),
        ("on_error=ignore", "raise or skip .*Received: 'ignore'"),
    ],
)
def test_bad_options_of_a_folder_are_refused(query, message, photos):
    with pytest.raises(ValueError, match=message):
        load_dataset(f"folder:{photos}?{query}")
