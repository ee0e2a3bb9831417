"""Nearest neighbours of images, exactly: all sums are of whole numbers, so they are the same on every machine."""

import numpy as np

ROWS, COLUMNS = 50, 2000  # images compared at a time, so that what is added up stays in a core's cache
FULL = 2**16 // 255  # so many values of 8 bits add up to one of 16
EXACT = 1024  # so many products of -128 to 127 with such add up to at most 2**24: float32 holds each of these sums


def manhattan(queries, images):
    """Return the sums of absolute differences of all pairs, exactly.

    Args:
        queries, images: uint8 `(n, pixels)` and `(m, pixels)`.
    Returns:
        int64 `(n, m)`. As |a − b| = a + b − 2 min(a, b), minima are all that is computed pair by pair, in 16 bits.
    """
    columns, rows = np.ascontiguousarray(images.T, dtype="uint16"), queries.astype("uint16")
    minima = np.zeros((len(queries), len(images)), "int64")
    for start in range(0, len(queries), ROWS):
        group = np.ascontiguousarray(rows[start : start + ROWS].T)[..., None]  # (pixels, queries, 1)
        smaller = np.empty((group.shape[1], len(images)), "uint16")
        for first in range(0, len(columns), FULL):
            total = np.zeros_like(smaller)
            for pixel in range(first, min(first + FULL, len(columns))):
                total += np.minimum(columns[pixel], group[pixel], out=smaller)
            minima[start : start + ROWS] += total
    return queries.sum(axis=1, dtype="int64")[:, None] + images.sum(axis=1, dtype="int64") - 2 * minima


def euclidean(queries, images):
    """Return the sums of squared differences of all pairs, exactly; arguments and result as of `manhattan`.

    As (a − b)² = a² + b² − 2ab, a matrix product does the work. Values are moved to −128 … 127 first, and added up in
    parts that float32 holds exactly in whatever order a library adds.
    """
    queries, images = (pixels.astype("float32") - 128 for pixels in (queries, images))
    products = np.zeros((len(queries), len(images)), "int64")
    for first in range(0, queries.shape[1], EXACT):
        part = slice(first, first + EXACT)
        products += (queries[:, part] @ images[:, part].T).astype("int64")
    squares = [np.einsum("ij,ij->i", pixels, pixels, dtype="float64").astype("int64") for pixels in (queries, images)]
    return squares[0][:, None] + squares[1] - 2 * products


DISTANCES = {"l1": manhattan, "l2": euclidean}


def nearest(queries, images, metric, count):
    """Return the nearest images of every query, the nearest first; of equal distances the first image counts as nearer.

    Args:
        queries, images: uint8 arrays `(n, ...)` and `(m, ...)`, of images of one shape.
        metric: `"l1"` or `"l2"`.
        count: Integer, neighbours of each, at most m.
    Returns:
        `(distances, places)`: int64 `(n, count)`; L2 distances are squared.
    Raises:
        ValueError: If there are fewer images than neighbours, or the metric is unknown.
    """
    if metric not in DISTANCES or not 1 <= count <= len(images):
        raise ValueError(
            f"Expected a metric out of {', '.join(DISTANCES)} and 1 to {len(images)} neighbours, as there are images. "
            f"Received: metric={metric!r}, count={count}."
        )
    queries, images = (pixels.reshape(len(pixels), -1) for pixels in (queries, images))
    best = np.empty((len(queries), 0), "int64")
    for start in range(0, len(images), COLUMNS):
        part = images[start : start + COLUMNS]
        # One number says distance and place, and no two are equal: how they are sorted makes no difference.
        keys = DISTANCES[metric](queries, part) * len(images) + np.arange(start, start + len(part))
        keys = np.hstack([best, keys])
        best = np.partition(keys, count - 1, axis=1)[:, :count] if keys.shape[1] > count else keys
    return np.divmod(np.sort(best, axis=1), len(images))


def vote(labels, num_classes):
    """Return the class that most of the first k neighbours have, for k = 1, 2, …; of equal counts the lowest class.

    Args:
        labels: Integers `(n, count)`, the neighbours' classes, the nearest first.
        num_classes: Integer.
    Returns:
        Integers `(n, count)`: column k - 1 is the vote of k neighbours, as scikit-learn's KNeighborsClassifier counts.
    """
    return np.cumsum(np.eye(num_classes, dtype="int16")[labels], axis=1).argmax(axis=-1)
