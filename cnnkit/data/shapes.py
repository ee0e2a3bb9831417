"""`shapes`: ten classes of figures over cluttered grounds, drawn from a seed, with class, box, mask and angle.

The same seed gives the same bytes on every machine: Pillow draws every scene `FINE` times as large and averages it down
in integers, and the stream of `RandomState` is frozen.
"""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from cnnkit.data.splits import REGISTRY, Entry, Source

FINE = 3


def _circle(count, radius):
    """Return `count` corners on a circle, the first above the centre; `radius` may be a value a corner."""
    turns = 2 * np.pi * np.arange(count) / count
    return np.stack([radius * np.sin(turns), -radius * np.cos(turns)], axis=1)


CROSS = [(-28, -95), (28, -95), (28, -28), (95, -28), (95, 28), (28, 28)]
CROSS += [(-x, -y) for x, y in CROSS]
ELL = [(-60, -80), (-10, -80), (-10, 30), (60, 30), (60, 80), (-60, 80)]
TEE = [(-75, -70), (75, -70), (75, -25), (22, -25), (22, 80), (-22, 80), (-22, -25), (-75, -25)]
ARROW = [(0, -95), (79, 0), (20, 0), (20, 90), (-20, 90), (-20, 0), (-79, 0)]

# name -> (its outline and perhaps a hole, in % of the figure's radius with y downwards; largest turn in degrees)
FIGURES = {
    "disc": ([_circle(48, 85)], 0),
    "ring": ([_circle(48, 90), _circle(48, 46)], 0),
    "square": ([[(-70, -70), (70, -70), (70, 70), (-70, 70)]], 45),
    "triangle": ([_circle(3, 100)], 45),
    "cross": ([CROSS], 45),
    "star": ([_circle(10, np.tile([100, 38], 5))], 36),
    "ell": ([ELL], 45),
    "tee": ([TEE], 45),
    "arrow": ([ARROW], 45),
    "crescent": ([_circle(48, 95), _circle(48, 72) + [42, 0]], 45),
}


@dataclass(frozen=True, eq=False)
class Shapes:
    """A batch of scenes; scene `i` shows class `i % 10`.

    A mask is the pixels that the figure covers by more than half, with nothing drawn over it. Angles are within ±45
    degrees (star ±36, disc and ring 0), so that no two of a figure look alike.
    """

    images: np.ndarray  # uint8 (n, size, size, 3)
    labels: np.ndarray  # int64 (n,), index into `FIGURES`
    boxes: np.ndarray  # int64 (n, 4): x_min, y_min, x_max, y_max ("xyxy"); mask[y_min:y_max, x_min:x_max] is the figure
    masks: np.ndarray  # bool (n, size, size)
    angles: np.ndarray  # float64 (n,): degrees counter-clockwise from the upright figure


def make_shapes(n, *, seed, size=32):
    """Draw `n` scenes as `Shapes`, each with one figure. Scene `i` depends on `seed`, `i` and `size`, not on `n`.

    `n` and `seed` are at least 1, `size`, height and width in pixels, at least 16, else it is a ValueError.
    """
    if n < 1 or seed < 1 or size < 16:
        raise ValueError(f"Expected n >= 1, seed >= 1 and size >= 16. Received: n={n}, seed={seed}, size={size}.")
    random, grain = (np.random.RandomState([seed, stream]) for stream in (0, 1))  # grain takes more at a larger size
    labels = np.arange(n) % len(FIGURES)
    scenes = [_draw(random, grain, *list(FIGURES.values())[label], size) for label in labels]
    images, masks, boxes, angles = (np.array(part) for part in zip(*scenes, strict=True))
    return Shapes(images, labels, boxes, masks, angles)


def _draw(random, grain, outlines, most, size):
    """Return the image, mask, box and angle of one scene."""
    side = FINE * size
    radius, angle = random.uniform(0.27, 0.40), random.uniform(-most, most)
    middle = random.uniform(radius, 1 - radius, 2)  # the whole figure is in the picture
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    mask = Image.new("L", (side, side))
    for corners, fill in zip(outlines, (255, 0), strict=False):
        places = side * (middle + radius / 100 * (corners @ np.array([[cos, -sin], [sin, cos]])))
        ImageDraw.Draw(mask).polygon(np.rint(places).astype(int).ravel().tolist(), fill)

    # A light figure on a dark ground, luminances 0.2 or more apart: hue says nothing, and an eye never doubts.
    # Behind it lie lines and dots of any hue, fainter than it: local edges that mean nothing.
    colours = _colours(random, np.repeat([0.06, 0.06, 0.65], [9, 6, 1]), np.repeat([0.45, 0.60, 0.95], [9, 6, 1]))
    scene = Image.fromarray(colours[:9].reshape(3, 3, 3)).resize((side, side), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(scene)
    ends = np.rint(side * random.random_sample((6, 4))).astype(int).tolist()
    widths = np.rint(side * random.uniform(0.024, 0.06, 6)).astype(int).tolist()
    *fills, light = map(tuple, colours[9:].tolist())
    for end, width, fill in zip(ends[:3], widths[:3], fills[:3], strict=True):
        draw.line(end, fill, width)
    for end, width, fill in zip(ends[3:], widths[3:], fills[3:], strict=True):
        draw.circle(end[:2], width, fill)
    scene.paste(light, mask=mask)

    image = np.asarray(scene.reduce(FINE)) + grain.randint(-10, 11, (size, size, 3), dtype="int16")
    covered = np.asarray(mask.reduce(FINE)) > 127
    return np.clip(image, 0, 255).astype("uint8"), covered, Image.fromarray(covered).getbbox(), angle


def _colours(random, low, high):
    """Return uint8 RGB `(n, 3)` of any hue, darkened or lightened to luminances (Rec. 709) from `low` to `high`."""
    luminance = random.uniform(low, high)[:, None]
    colour = random.random_sample((len(low), 3))
    own = colour @ np.array([[0.2126], [0.7152], [0.0722]])
    colour = np.where(luminance < own, colour * luminance / own, 1 - (1 - colour) * (1 - luminance) / (1 - own))
    return np.rint(255 * colour).astype("uint8")


@functools.lru_cache(maxsize=1)
def load_shapes(data_dir=None):
    """Return the `Source` of `shapes`: 5,000 images to train on and 1,000 to test, always the same."""
    train, test = make_shapes(5_000, seed=1), make_shapes(1_000, seed=2)
    origin = "generated by cnnkit.data.shapes, seeds 1 (training pool, 5,000) and 2 (test, 1,000)"
    return Source(train.images, train.labels, test.images, test.labels, tuple(FIGURES), origin)


REGISTRY["shapes"] = Entry(load_shapes, 6_000, (32, 32, 3), 10, lambda: ("embedded", "generated"))
