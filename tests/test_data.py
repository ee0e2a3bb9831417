"""Every row of the data table, three splits, digests, and what is said when data is not as it must be."""

import io
import math
import os
import struct
import subprocess
import sys
import types
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

import cnnkit
from cnnkit import data as package
from cnnkit.data import (
    Entry,
    Source,
    check_duplicates,
    check_name,
    describe,
    is_available,
    list_datasets,
    load_dataset,
    splits,
)
from cnnkit.data.arrays import ARCHIVES, data_path

WAYS_ON = "Two ways on: put a good .*CNNKIT_PROFILE=smoke"


def fake_arrays(name, *, n=12, seed=0, column=False):
    """Random arrays in the shape of a known archive: `n` images a class, half as many to test."""
    (shape, class_names, _), random = ARCHIVES[name], np.random.RandomState(seed)
    shape = shape[:2] if shape[2] == 1 else shape
    arrays = {}
    for split, count in (("train", n), ("test", n // 2)):
        labels = np.repeat(np.arange(len(class_names), dtype="uint8"), count)
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
    assert data.input_shape == ARCHIVES[name][0]
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
    frame = describe().set_index("name")
    assert list(frame["status"]) == ["embedded"] * 2 + ["present"] + ["downloads"] * 3
    assert frame.loc["cifar100", ["images", "shape", "classes"]].tolist() == [60_000, "32×32×3", 100]
    assert [name for name in list_datasets() if is_available(name)] == ["digits", "shapes", "mnist"]
    for name in ("digits", "shapes"):
        data = load_dataset(name)
        assert frame.loc[name, "images"] == len(data.y_train) + len(data.y_val) + len(data.y_test)


def test_a_data_set_is_one_entry(monkeypatch, tmp_path):
    x, y = np.arange(30 * 4, dtype="uint8").reshape(30, 2, 2, 1), np.arange(30) % 2
    source = Source(x, y, x, y, ("even", "odd"), "a test")
    mine = Entry(lambda data_dir: source, 60, (2, 2, 1), 2, lambda: ("embedded", "here"))
    monkeypatch.setitem(package.REGISTRY, "mine", mine)
    assert list_datasets()[:3] == ["digits", "shapes", "mine"] and check_name("mine") is mine and is_available("mine")
    assert describe().iloc[2].tolist() == ["mine", 60, "2×2×1", 2, "embedded", "here"]
    assert load_dataset("mine").class_names == load_dataset("permuted:mine").class_names == ("even", "odd")


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_an_entry_says_what_its_loader_returns(name):
    entry = package.REGISTRY[name]
    source = entry.load(None)
    images = len(source.y_train) + len(source.y_test)
    assert (entry.images, entry.shape, entry.classes) == (images, source.x_train.shape[1:], len(source.class_names))


# --- permuted:NAME ---


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_permuted_pixels_are_the_same_pixels_in_one_other_order(name):
    plain, moved = load_dataset(name, train_size=50, seed=2), load_dataset(f"permuted:{name}", train_size=50, seed=2)
    height, width, channels = plain.input_shape
    order = np.random.RandomState(0).permutation(height * width)
    for part in ("train", "val", "test"):
        x, y = getattr(plain, f"x_{part}"), getattr(moved, f"x_{part}")
        np.testing.assert_array_equal(x.reshape(len(x), -1, channels)[:, order], y.reshape(len(y), -1, channels))
        np.testing.assert_array_equal(getattr(plain, f"y_{part}"), getattr(moved, f"y_{part}"))
    assert moved.name == f"permuted:{name}" and moved.sha256 != plain.sha256 and "another order" in moved.source
    assert_well_formed(moved)


def test_the_order_of_permuted_pixels_never_changes():
    """What a run is depends on it. The first places were read off NumPy's frozen stream."""
    x, y = np.arange(2 * 9, dtype="uint8").reshape(2, 3, 3, 1), np.array([0, 1])
    moved = splits.permute_pixels(Source(x, y, x, y, ("a", "b"), "a test"))
    assert moved.x_train.reshape(2, 9).tolist() == [[7, 2, 1, 4, 8, 6, 3, 0, 5], [16, 11, 10, 13, 17, 15, 12, 9, 14]]


def test_permuted_is_there_where_its_data_set_is(data_dir, photos):
    np.savez(data_dir / "mnist.npz", **fake_arrays("mnist"))
    names = ["digits", "mnist", "cifar10", f"folder:{photos}?size=8", "folder:nowhere"]
    assert [is_available(f"permuted:{name}") for name in names] == [True, True, False, True, False]
    assert load_dataset(f"permuted:folder:{photos}?size=8").input_shape == (8, 8, 3)
    with pytest.raises(ValueError, match="Expected folder:PATH.*sise=8"):
        check_name(f"permuted:folder:{photos}?sise=8")


def test_halved_pictures_have_the_means_of_four_pixels(photos):
    plain, halved = load_dataset("shapes", train_size=50, seed=2), load_dataset("halved:shapes", train_size=50, seed=2)
    corners = [plain.x_val[:, i::2, j::2].astype(float) for i in (0, 1) for j in (0, 1)]
    assert np.abs(np.mean(corners, axis=0) - halved.x_val).max() <= 0.5
    assert halved.sha256 != plain.sha256 and "half the resolution" in halved.source
    assert_well_formed(halved)
    quarter = load_dataset("halved:permuted:halved:digits")
    assert quarter.input_shape == (7, 7, 1)
    with pytest.raises(ValueError, match="even sides to halve them. Received: 9×9"):
        load_dataset(f"halved:folder:{photos}?size=9")


def test_relabelled_pictures_are_the_same_and_their_training_labels_follow_no_rule():
    plain, dealt = (load_dataset(name) for name in ("digits", "relabelled:digits"))
    pools = [np.concatenate([each.x_train, each.x_val]).reshape(-1, 14 * 14 * 4) for each in (plain, dealt)]
    labels = [np.concatenate([each.y_train, each.y_val]) for each in (plain, dealt)]
    order = [np.lexsort(pool.T) for pool in pools]
    assert np.array_equal(pools[0][order[0]], pools[1][order[1]])
    assert np.array_equal(*map(np.bincount, labels))
    assert 0.05 < np.mean(labels[0][order[0]] == labels[1][order[1]]) < 0.16
    assert np.array_equal(plain.y_test, dealt.y_test) and "dealt out anew" in dealt.source


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


@pytest.mark.parametrize("counts", [(1000, 3), (2, 2), (300, 2, 2, 2, 2), (3, 900, 5, 41), (*[2] * 30, 500)])
def test_every_split_holds_every_class_however_rare(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(len(labels), dtype=">u4").view("uint8").reshape(-1, 2, 2, 1)
    names = tuple(f"class {i}" for i in range(len(counts)))
    source = Source(x, labels, x, labels, names, "a test")
    for train_size in (None, len(counts)):
        for seed in range(1, 6):
            data = splits.split(source, "mine", train_size=train_size, seed=seed)
            for part in (data.y_train, data.y_val):
                assert np.bincount(part, minlength=len(counts)).min() >= 1
            assert not rows(data.x_train) & rows(data.x_val)
            assert len(data.y_train) == (train_size or len(labels) - len(data.y_val))
            assert len(data.y_val) == max(len(counts), round(len(labels) / 10))
            images = np.concatenate([data.x_train, data.x_val]).reshape(-1, 4).copy().view(">u4").ravel()
            np.testing.assert_array_equal(labels[images], np.concatenate([data.y_train, data.y_val]))


def test_a_class_that_cannot_be_split_is_refused():
    x, labels = np.zeros((21, 2, 2, 1), "uint8"), np.array([0] * 20 + [1])
    source = Source(x, labels, x, labels, ("common", "rare"), "a test")
    with pytest.raises(ValueError, match="at least 2 training images of every class in mine.*1 of class 'rare'"):
        splits.split(source, "mine")


# --- statistics ---


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_channel_statistics_are_those_of_the_training_pixels_in_0_to_1(name):
    data = load_dataset(name, train_size=700)
    pixels = data.x_train.reshape(-1, data.input_shape[2]).astype("float64") / 255
    means, deviations = data.channel_statistics()
    assert means.dtype == deviations.dtype == "float64"
    np.testing.assert_allclose(means, pixels.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(deviations, pixels.std(axis=0), rtol=1e-12)
    assert data.channel_statistics()[0] is means  # computed once


def test_channel_statistics_are_exact():
    """Of as many pixels as CIFAR-10 has, whose sums of squares times their number are beyond 64 bits."""
    x = np.zeros((45_000, 32, 32, 3), "uint8")
    x[..., 0], x[0, 0, 0, 0], x[::2, ..., 1], x[..., 2] = 255, 254, 255, 77
    labels = np.arange(len(x)) % 2
    data = splits.split(Source(x, labels, x[:4], labels[:4], ("a", "b"), "a test", num_val=2), "mine")
    count = len(data.y_train) * 32 * 32
    means, deviations = data.channel_statistics()
    assert means.tolist() == [(255 * count - 1) / (255 * count), 0.5 + 0.5 * (len(data.y_train) % 2), 77 / 255]
    assert deviations.tolist() == pytest.approx([math.sqrt(count - 1) / count / 255, 0.5, 0], rel=1e-15)


# --- digests ---


def test_the_digest_names_the_arrays_in_use(data_dir, tmp_path_factory):
    arrays = fake_arrays("mnist")
    np.savez(data_dir / "mnist.npz", **arrays)
    reference = load_dataset("mnist").sha256
    other_seed, part = load_dataset("mnist", seed=2).sha256, load_dataset("mnist", train_size=50).sha256
    assert len({reference, other_seed, part, load_dataset("permuted:mnist").sha256}) == 4

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
    frame, sentence = check_duplicates(load_dataset("mnist"))
    counts = frame.set_index(["of", "also_in"])
    pool = counts.loc[("test", "train")] + counts.loc[("test", "val")]  # a leaked image is in one of the two
    assert pool.tolist() == [4, 2]
    assert counts.loc[("test", "test")].tolist() == [3, 3]
    assert counts.loc[("train", "train")].tolist() == counts.loc[("val", "train")].tolist() == [0, 0]
    leaked = counts.loc[("test", "train"), "images"]
    assert sentence.startswith(f"mnist: {leaked} of 100 test images ({leaked}.00%) are also in train")


def test_check_says_when_there_is_nothing():
    frame, sentence = check_duplicates(load_dataset("digits"))
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


def flip_a_byte(path):
    np.savez(path, **fake_arrays("mnist"))
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)


def pack(key="x_train", member=None, flags=None, method=None, compression=zipfile.ZIP_STORED):
    """Return a writer of an archive whose member `key` is `member`, or whose zip headers say `flags` and `method`."""

    def write(path):
        with zipfile.ZipFile(path, "w", compression) as file:
            for name, array in fake_arrays("mnist").items():
                buffer = io.BytesIO()
                np.save(buffer, array)
                file.writestr(f"{name}.npy", member if member and name == key else buffer.getvalue())
        content = bytearray(path.read_bytes())
        for value, local, central in ((flags, 6, 8), (method, 8, 10)):
            for mark, place in ((b"PK\3\4", local), (b"PK\1\2", central)):
                start = content.find(mark)
                while start >= 0 and value is not None:
                    content[start + place] = value
                    start = content.find(mark, start + 1)
        path.write_bytes(content)

    return write


def claim(header):
    """Return a .npy of 1,000 bytes whose header says something else."""
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(1000)


def damage_lzma(path):
    pack(compression=zipfile.ZIP_LZMA)(path)
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(byte ^ 0x55 for byte in content[60:90])
    path.write_bytes(content)


GIANT = "Received: .*(MemoryError|EOF: reading array data)"  # which of them is for the system to say


def save(**changes):
    return lambda path: np.savez(path, **fake_arrays("mnist") | changes)


BAD_ARCHIVES = {
    "truncated": (truncate, "Received: one that cannot be read .*not a zip file"),
    "empty file": (lambda path: path.write_bytes(b""), "Received: one that cannot be read .*not a zip file"),
    "text": (lambda path: path.write_text("<html>404</html>"), "Received: one that cannot be read .*not a zip file"),
    "a folder": (lambda path: path.mkdir(), "Received: one that cannot be read .*Is a directory"),
    "bytes flipped": (flip_bytes, "Received: one that cannot be read .*(CRC|decompressing)"),
    "a byte flipped, stored": (flip_a_byte, "Received: one that cannot be read .*CRC"),
    "encrypted": (pack(flags=1), "Received: one that cannot be read .*is encrypted"),
    "unknown compression": (pack(method=97), "Received: one that cannot be read .*compression method"),
    "damaged LZMA": (damage_lzma, "Received: one that cannot be read .*LZMAError"),
    "no .npy": (pack(member=b"not an array"), "Received: .*magic string"),
    "version 9": (pack(member=b"\x93NUMPY\x09\x00" + bytes(100)), r"Received: .*not \(9, 0\)"),
    "no header": (pack(member=claim("(((")), "Received: one that cannot be read"),
    "730 GB": (pack(member=claim("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000, 28, 28)}")), GIANT),
    "730 GB of labels": (
        pack("y_test", claim("{'descr': '<i8', 'fortran_order': False, 'shape': (100000000000,)}")),
        GIANT,
    ),
    "fewer bytes than claimed": (
        pack(member=claim("{'descr': '|u1', 'fortran_order': False, 'shape': (500, 28, 28)}")),
        "Received: EOF: reading array data, expected .* bytes got 1000",
    ),
    "more bytes than claimed": (
        pack(member=claim("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 28, 28)}")),
        r"Received: x_train with more bytes than its shape \(1, 28, 28\) holds",
    ),
    "wrong key": (drop_a_key, "Received: no x_train; it holds y_train, x_test, y_test, images"),
    "pickled": (save(x_train=np.array([{"a": 1}], dtype=object)), "Received: Object arrays cannot be loaded"),
    "structures": (save(x_train=np.zeros(9, [("é", "u1")])), "Received: "),
    "vectors": (
        save(x_train=np.zeros((120, 784), "uint8")),
        r"Received: x_train of shape \(120, 784\), not \(n, 28, 28, 1\)",
    ),
    "other images": (save(x_test=np.zeros((60, 32, 32, 3), "uint8")), r"Received: x_test of shape \(60, 32, 32, 3\)"),
    "floats": (save(x_train=np.zeros((120, 28, 28))), "Received: images float64"),
    "label too large": (save(y_train=np.full(120, 10)), "Expected labels from 0 to 9.*Received: 10 to 10"),
    "label negative": (save(y_test=np.full(60, -1)), "Received: -1 to -1"),
    "float labels": (save(y_train=np.zeros(120)), "labels float64"),
    "one-hot labels": (save(y_train=np.zeros((120, 10), int)), r"labels int64 of shape \(120, 10\)"),
    "label missing": (
        save(y_train=np.zeros(119, int)),
        r"n integer labels.*\(120, 28, 28, 1\), labels int64 of shape \(119,\)",
    ),
    "no images": (
        save(x_test=np.zeros((0, 28, 28), "uint8"), y_test=np.zeros(0, int)),
        "n >= 1, .* in the test set",
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


def test_an_archive_that_memory_cannot_hold_is_one_clear_error(data_dir, monkeypatch):
    def no_memory(*args, **kwargs):
        raise MemoryError("Unable to allocate 5 GiB")

    np.savez(data_dir / "mnist.npz", **fake_arrays("mnist"))
    monkeypatch.setattr(np.lib.format, "read_array", no_memory)
    with pytest.raises(ValueError, match="one that cannot be read .MemoryError: Unable to allocate 5 GiB"):
        load_dataset("mnist")


def test_arrays_in_another_order_of_memory_are_the_same_data(data_dir):
    arrays = fake_arrays("cifar10")
    digests = set()
    for order in "CF":
        np.savez(data_dir / "new.npz", **arrays | {"x_test": np.asarray(arrays["x_test"], order=order)})
        (data_dir / "new.npz").rename(data_dir / "cifar10.npz")
        data = load_dataset("cifar10")
        digests.add(data.sha256)
        assert data.x_test.flags.c_contiguous and np.array_equal(data.x_test, arrays["x_test"])
    assert len(digests) == 1


def test_a_test_set_that_lacks_a_class_is_told(data_dir):
    arrays = fake_arrays("mnist")
    np.savez(data_dir / "mnist.npz", **arrays | {"y_test": np.minimum(arrays["y_test"], 7)})
    with pytest.warns(UserWarning, match="mnist: no image of 8, 9 in the test set"):
        assert load_dataset("mnist").source.endswith("; no image of 8, 9 in the test set")


def test_without_a_checkout_data_is_looked_for_where_python_was_started(tmp_path, monkeypatch):
    monkeypatch.delenv("CNNKIT_DATA_DIR", raising=False)
    assert data_path("mnist") == cnnkit.HOME / "data" / "mnist.npz"
    monkeypatch.setattr("cnnkit.data.arrays.HOME", tmp_path)
    assert data_path("mnist") == tmp_path / "data" / "mnist.npz"
    assert describe().set_index("name").loc["mnist", "where"] == str(tmp_path / "data" / "mnist.npz")


def test_no_network_says_what_was_looked_for_and_two_ways_on(data_dir, no_network):
    with pytest.raises(FileNotFoundError, match="URL fetch failure") as caught:
        load_dataset("cifar10")
    advice = str(caught.value).split("known). ")[1].replace(str(data_dir), "")
    assert "download" not in advice and "network" not in advice and "digits or shapes" in advice
    assert str(data_dir / "cifar10.npz") in str(caught.value) and caught.match(WAYS_ON)
    assert caught.value.__suppress_context__
    assert not (data_dir / "cifar10.npz").exists()


def test_an_unknown_name_lists_the_known_ones():
    for ask in (load_dataset, is_available, check_name):
        for name in ("minst", "permuted:minst", "halved:halved:permuted", "", 5):
            with pytest.raises(ValueError, match=f"digits, shapes, mnist, .*or folder:PATH, .*Received: {name!r}"):
                ask(name)


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


def split_folders(root, counts, classes=("a", "b"), size=(16, 16)):
    """Write `counts[part]` pictures of noise for every class in `root/part/class`; no two are alike."""
    numbers = np.random.RandomState(len(counts))
    for part, count in counts.items():
        for name in classes:
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(numbers.randint(0, 256, (*size, 3), "uint8")).save(root / part / name / f"{i:02}.png")


@pytest.mark.parametrize(
    "names",
    ["train val test", "Train Valid Test", "training_set validation_set test_set", "seg_train seg_val seg_test"],
)
def test_a_folder_s_own_validation_set_is_used(tmp_path, names):
    train, val, test = names.split()
    split_folders(tmp_path, {train: 10, val: 4, test: 3})
    one, two = (load_dataset(f"folder:{tmp_path}?size=8", seed=seed) for seed in (1, 2))
    assert_well_formed(one)
    assert [np.bincount(y).tolist() for y in (one.y_train, one.y_val, one.y_test)] == [[10, 10], [4, 4], [3, 3]]
    assert one.sha256 == two.sha256  # no seed decides anything
    first = np.asarray(Image.open(tmp_path / val / "a" / "00.png").resize((8, 8), Image.Resampling.BILINEAR))
    assert np.array_equal(one.x_val[0], first)
    small, other = (load_dataset(f"folder:{tmp_path}?size=8", seed=seed, train_size=7) for seed in (1, 2))
    assert len(small.y_train) == 7 and rows(small.x_train) < rows(one.x_train) and small.sha256 != other.sha256
    assert np.array_equal(small.x_val, one.x_val)


def test_one_training_picture_a_class_is_enough_beside_val(tmp_path):
    split_folders(tmp_path, {"train": 1, "val": 1, "test": 1})
    assert load_dataset(f"folder:{tmp_path}?size=8").y_train.tolist() == [0, 1]


def test_a_class_that_a_part_lacks_is_told(tmp_path):
    split_folders(tmp_path, {"train": 4, "val": 2, "test": 2})
    split_folders(tmp_path, {"train": 3}, classes=("owl",), size=(9, 9))
    with pytest.warns(UserWarning) as told:
        data = load_dataset(f"folder:{tmp_path}?size=8")
    assert data.source.endswith("no image of owl in the validation set; no image of owl in the test set")
    lacking = [
        f"owl in the {part} set." in str(w.message) for part, w in zip(("validation", "test"), told, strict=True)
    ]
    assert all(lacking)
    paint(tmp_path / "val" / "eagle" / "0.png", "red")
    with pytest.raises(ValueError, match="in .*/train too. Received: eagle in val alone"):
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


def test_a_rare_class_is_in_every_split(tmp_path):
    for name, count in (("common", 200), ("rare", 3)):
        for i in range(count):
            paint(tmp_path / name / f"{i:03}.png", (i, 100 * (name == "rare"), 0), size=(8, 8))
    for train_size in (None, 2, 30):
        data = load_dataset(f"folder:{tmp_path}?size=8", train_size=train_size)
        assert_well_formed(data)
    assert sorted(np.bincount(data.y_test)) == [1, 40]


def test_pictures_in_folders_inside_a_class_are_the_class_s(photos):
    for i in range(5):
        paint(photos / "cat" / "siamese" / "kittens" / f"{i}.PNG", (0, 0, 40 * i))
    data = load_dataset(f"folder:{photos}?size=8")
    assert data.class_names == ("cat", "dog") and data.source.startswith("folder photos, 35 pictures")
    labels = np.concatenate([data.y_train, data.y_val, data.y_test])
    assert np.bincount(labels).tolist() == [15, 20]


def test_links_in_a_circle_end(photos):
    (photos / "cat" / "again").symlink_to(photos / "cat")
    (photos / "cat" / "all").symlink_to(photos)
    (photos / "dog" / "itself.png").symlink_to(photos / "dog" / "itself.png")
    with pytest.warns(UserWarning, match=r"3 left out: cat/again/, cat/all/, dog/itself\.png"):
        data = load_dataset(f"folder:{photos}?size=8")
    assert data.class_names == ("cat", "dog") and data.source.startswith("folder photos, 30 pictures")


def test_what_windows_and_others_leave_in_folders_is_no_picture(photos):
    before = load_dataset(f"folder:{photos}?size=8")
    for folder in (photos, photos / "cat", photos / "dog"):
        (folder / "Thumbs.db").write_bytes(bytes.fromhex("d0cf11e0") + bytes(100))
        (folder / "desktop.ini").write_text("[.ShellClassInfo]")
        (folder / ".DS_Store").write_bytes(b"junk")
        paint(folder / "@eaDir" / "thumbnail.png", "red")
        paint(folder / "__MACOSX" / "._00.png", "red")
    after = load_dataset(f"folder:{photos}?size=8")
    assert after.sha256 == before.sha256 and after.source == before.source


def test_other_files_are_left_out_with_a_word(photos):
    before = load_dataset(f"folder:{photos}?size=8")
    (photos / "cat" / "00.xml").write_text("<annotation/>")
    (photos / "labels.csv").write_text("a,b")
    os.mkfifo(photos / "cat" / "pipe")
    with pytest.warns(UserWarning, match=r"3 left out: labels\.csv, cat/pipe, cat/00\.xml \(no picture\)"):
        data = load_dataset(f"folder:{photos}?size=8")
    assert data.sha256 == before.sha256 and "labels.csv" in data.source
    paint(photos / "loose.png", "red")
    with pytest.warns(UserWarning, match=r"4 left out: .*loose\.png"):
        load_dataset(f"folder:{photos}?size=8")


def test_folders_beside_train_and_test_are_left_out_with_a_word(tmp_path):
    split_folders(tmp_path, {"train": 4, "test": 2})
    paint(tmp_path / "extra" / "0.png", "red")
    paint(tmp_path / "train" / "0.png", "red")
    with pytest.warns(UserWarning, match=r"2 left out: extra/, train/0\.png"):
        load_dataset(f"folder:{tmp_path}?size=8")


def test_a_picture_needs_no_suffix_and_any_case_will_do(photos):
    (photos / "cat" / "00.png").rename(photos / "cat" / "00")
    (photos / "cat" / "01.png").rename(photos / "cat" / "01.PNG")
    with warnings.catch_warnings(action="error"):
        assert "30 pictures" in load_dataset(f"folder:{photos}?size=8").source
    (photos / "cat" / "02.HEIC").write_bytes(b"a picture of a kind that Pillow does not know")
    with pytest.raises(ValueError, match="02.HEIC"):
        load_dataset(f"folder:{photos}?size=8")


def test_long_lists_are_cut(photos):
    for i in range(25):
        (photos / "cat" / f"{i:02}.txt").write_text("text")
    with pytest.warns(UserWarning, match=r"25 left out: cat/00\.txt .* and 15 more\."):
        load_dataset(f"folder:{photos}?size=8")


def test_a_class_called_train_is_a_class(photos):
    (photos / "dog").rename(photos / "train")
    assert load_dataset(f"folder:{photos}?size=8").class_names == ("cat", "train")


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
    with pytest.warns(UserWarning, match=r"1 left out: dog/bad\.bmp .*" + message):
        data = load_dataset(f"folder:{photos}?on_error=skip")
    assert data.source.startswith("folder photos, 30 pictures at 64×64; 1 left out: dog/bad.bmp (")
    assert str(photos) not in data.source
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
    with pytest.raises(ValueError, match="at least 3 readable pictures of every class.*Received: 1 of class 'cat'"):
        load_dataset(f"folder:{empty}")
    (photos / "train").mkdir()
    with pytest.raises(ValueError, match="both train/ and test/ of classes' folders in .* Received: train/ alone"):
        load_dataset(f"folder:{photos}")


def test_a_class_of_bad_pictures_alone_is_refused_even_when_skipping(photos):
    (photos / "owl").mkdir()
    (photos / "owl" / "0.png").write_text("junk")
    with pytest.raises(ValueError, match="readable pictures of every class.*Received: 0 of class 'owl'.*owl/0.png"):
        load_dataset(f"folder:{photos}?on_error=skip")


LAYOUTS = {  # files -> what the message names
    "train and val": (
        "train/a/0 train/b/0 val/a/0 val/b/0",
        "Expected both train/.*: train/, val/ alone.*Rename val/",
    ),
    "train alone": ("train/a/0 train/b/0", "both train/ and test/.*Received: train/ alone.*a fifth"),
    "test without train": ("test/a/0 test/b/0", "both train/ and test/.*Received: test/ alone"),
    "test of loose pictures": ("train/a/0 train/b/0 test/0", "test/ of classes' folders in .*Received: train/ alone"),
    "two of one part": ("train/a/0 Training/a/0 test/a/0", "Received: Training/, train/, test/ alone"),
    "one folder deeper": ("photos/cat/0 photos/dog/0", "Received: photos, a folder of cat, dog .try folder:.*/photos"),
    "parts one folder deeper": ("data/train/a/0 data/test/a/0", "Received: data, a folder of test, train .try"),
    "one class to train on": (
        "train/a/0 test/a/0 test/b/0",
        "2 folders of pictures, one a class, in .*/train.*Received: a",
    ),
    "parts of another name": ("day1/cat/0 day1/dog/0 day2/cat/0 day2/dog/0", "day1/ and day2/, both .*cat, dog. Which"),
    "parts inside classes": (
        "cat/train/0 cat/test/0 dog/train/0 dog/test/0",
        "cat/ and dog/, both .*test, train. Which",
    ),
    "pictures and labels": (
        "images/train/0 images/val/0 x/y/0 labels/train/0 labels/val/0",
        "images/ and labels/, both",
    ),
    "pictures alone": ("0 1 2", "at least 2 folders of pictures.*Received: none"),
    "another case in test": (
        "train/cat/0 train/dog/0 test/Cat/0 test/dog/0",
        "in .*/train too. Received: Cat in test",
    ),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_a_layout_that_is_not_understood_is_named(case, tmp_path):
    files, message = LAYOUTS[case]
    for file in files.split():
        paint(tmp_path / f"{file}.png", "red", size=(8, 8))
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset(f"folder:{tmp_path}?size=8")
    assert "empty" not in str(caught.value)


def test_an_empty_part_or_class_is_told(tmp_path):
    split_folders(tmp_path, {"train": 4, "val": 2, "test": 2})
    (tmp_path / "val" / "c").mkdir()
    with pytest.raises(ValueError, match="val/c. Received: an empty folder"):
        load_dataset(f"folder:{tmp_path}?size=8")
    (tmp_path / "val" / "c").rmdir()
    for folder in (tmp_path / "test" / "a", tmp_path / "test" / "b"):
        folder.rename(tmp_path / "val" / f"{folder.name}/more")
    with pytest.raises(ValueError, match="n >= 1, .* in the test set"):
        load_dataset(f"folder:{tmp_path}?size=8")


def test_a_folder_that_cannot_be_listed_is_named(photos, monkeypatch):
    def refuse(path):
        if path.name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    iterdir = type(photos).iterdir
    monkeypatch.setattr(type(photos), "iterdir", refuse)
    with pytest.raises(ValueError, match="folders that can be listed in .*Permission denied: .*dog"):
        load_dataset(f"folder:{photos}")


def test_pictures_that_memory_cannot_hold_are_refused(photos, monkeypatch):
    def no_memory(*args):
        raise MemoryError("Unable to allocate 5 GiB")

    monkeypatch.setattr("cnnkit.data.folder.np.empty", no_memory)
    with pytest.raises(ValueError, match="fit into memory at 4096×4096. Received: Unable to allocate 5 GiB"):
        load_dataset(f"folder:{photos}?size=4096")


@pytest.mark.parametrize(
    "name",
    ["PATH?sise=3", "PATH?size=big", "PATH?size=4", "PATH?size=4097", "PATH?size=", "PATH?on_error=no", "", "?size=8"],
)
def test_a_folder_without_a_path_or_with_bad_options_is_refused(name):
    with pytest.raises(ValueError, match="Expected folder:PATH.*8 to 4096 pixels") as caught:
        check_name(f"folder:{name}")
    assert f"Received: 'folder:{name}'" in str(caught.value)
