"""`shapes`: the same pixels everywhere, and boxes, masks and angles that fit the pixels."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from cnnkit.data import load_dataset, make_shapes
from cnnkit.data.shapes import FIGURES


@pytest.fixture(scope="module")
def scenes():
    return make_shapes(600, seed=1)


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:12]


def test_arrays_have_the_promised_shapes_and_types(scenes):
    n = 600
    assert (scenes.images.shape, scenes.images.dtype) == ((n, 32, 32, 3), "uint8")
    assert (scenes.labels.shape, scenes.labels.dtype) == ((n,), "int64")
    assert (scenes.boxes.shape, scenes.boxes.dtype) == ((n, 4), "int64")
    assert (scenes.masks.shape, scenes.masks.dtype) == ((n, 32, 32), "bool")
    assert (scenes.angles.shape, scenes.angles.dtype) == ((n,), "float64")
    assert list(np.bincount(scenes.labels)) == [n // 10] * 10


def test_pixels_are_the_same_on_every_machine(scenes):
    """Committed rows carry digests of these pixels: another digest here makes every one of them stale."""
    assert digest(scenes.images) == "65feb382332a"
    assert digest(scenes.masks) == "dea064156b85"


def test_a_scene_depends_on_its_place_and_seed_alone(scenes):
    few = make_shapes(7, seed=1)
    for field in ("images", "labels", "boxes", "masks", "angles"):
        assert np.array_equal(getattr(few, field), getattr(scenes, field)[:7])
    assert not np.array_equal(make_shapes(7, seed=2).images, few.images)


def test_a_box_is_the_tight_frame_of_its_mask(scenes):
    for mask, (x_min, y_min, x_max, y_max) in zip(scenes.masks, scenes.boxes, strict=True):
        rows, columns = np.nonzero(mask)
        assert (x_min, y_min, x_max, y_max) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert 0 <= x_min < x_max <= 32 and 0 <= y_min < y_max <= 32


def test_a_figure_is_whole_and_stands_out_from_its_ground(scenes):
    luminance = scenes.images / 255 @ [0.2126, 0.7152, 0.0722]
    for grey, mask in zip(luminance, scenes.masks, strict=True):
        parts = np.bincount(ndimage.label(mask, structure=np.ones((3, 3)))[0].ravel())[1:]
        assert parts.max() > 0.95 * parts.sum()  # the last pixel of a star's tip may stand apart
        inside = grey[ndimage.binary_erosion(mask)]
        assert inside.std() < 0.04  # one colour: no distractor lies over it
        assert abs(np.median(inside) - np.median(grey[~ndimage.binary_dilation(mask)])) > 0.1


def test_angles_are_distinct_and_turn_the_figure_counter_clockwise():
    scenes = make_shapes(400, seed=3, size=64)
    largest = np.array([FIGURES[name][1] for name in FIGURES])[scenes.labels]
    assert (np.abs(scenes.angles) <= largest).all() and np.ptp(scenes.angles) > 80
    # An arrow's axis, from the pixels alone: the figure's longest direction, its head towards the top.
    for i in np.flatnonzero(scenes.labels == list(FIGURES).index("arrow")):
        rows, columns = np.nonzero(scenes.masks[i])
        points = np.stack([columns - columns.mean(), rows.mean() - rows])
        axis = np.linalg.eigh(points @ points.T)[1][:, 1]
        axis *= np.sign(axis[1])
        assert np.degrees(np.arctan2(-axis[0], axis[1])) == pytest.approx(scenes.angles[i], abs=6)


def test_any_size_shows_the_same_scene_finer(scenes):
    large = make_shapes(20, seed=1, size=96)
    assert large.images.shape == (20, 96, 96, 3)
    assert np.abs(large.boxes / 3 - scenes.boxes[:20]).max() < 2


@pytest.mark.parametrize(("field", "value"), [("n", 0), ("seed", 0), ("size", 15)])
def test_arguments_too_small_are_refused(field, value):
    arguments = {"n": 10, "seed": 1, "size": 32} | {field: value}
    with pytest.raises(ValueError, match=f"Expected .*{field} >= .*Received: .*{field}={value}"):
        make_shapes(arguments.pop("n"), **arguments)


def test_the_data_set_cannot_be_guessed_from_single_pixels():
    """No linear model on pixels comes far: ridge regression to the classes stays under half of them right."""
    data = load_dataset("shapes")
    x, x_test = (images.reshape(len(images), -1)[:, ::4] / 255 - 0.5 for images in (data.x_train, data.x_test))
    weights = np.linalg.solve(x.T @ x + 100 * np.eye(x.shape[1]), x.T @ np.eye(10)[data.y_train])
    assert np.mean((x_test @ weights).argmax(axis=1) == data.y_test) < 0.5
