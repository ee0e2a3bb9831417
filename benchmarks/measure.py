"""What the benchmarks share: one line of the table, processes of their own, and a stand-in where MNIST is not there."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from cnnkit import data
from cnnkit.data.arrays import data_path

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Two figures of one unit from one run, and what is asked of them.

    Args:
        what: String: what was measured.
        ours, theirs: Floats, cnnkit's figure and the one it is held against, in `unit`.
        unit: String.
        against: String: where `theirs` comes from.
        required: String, or empty where nothing is asked.
        met: Boolean, whether it was so.
    """

    what: str
    ours: float
    theirs: float
    unit: str
    against: str
    required: str = ""
    met: bool = True


def in_process(function, *args, **environment):
    """Call a module's function in a Python process of its own, where nothing is loaded yet.

    Args:
        function: Function of a module under `benchmarks` or `cnnkit`; it returns what JSON can hold.
        *args: Its arguments, plain values.
        **environment: Variables to set for it.
    Returns:
        `(result, seconds)`: what it returned, and the wall time from the start of Python to its end.
    Raises:
        RuntimeError: If the process fails; with the end of its error output.
    """
    code = f"import json; from {function.__module__} import {function.__name__} as f; print(json.dumps(f(*{args!r})))"
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"CNNKIT_PROFILE": "smoke", "CNNKIT_PROGRESS": "off"} | environment,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise RuntimeError(
            f"Expected {function.__module__}.{function.__name__} to run. Received: {done.stderr[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1]), seconds


def mnist_or_stand_in(folder):
    """Return the folder that has mnist.npz and a word for the table.

    Args:
        folder: Where to write a stand-in when the data directory has no MNIST: scikit-learn's digits, each moved by up
            to three pixels, in as many images of the same shape. It costs the same time and teaches the same.
    """
    if data.is_available("mnist"):
        return str(data_path("mnist").parent.resolve()), "MNIST"
    digits, rng = data.load_dataset("digits"), np.random.default_rng(1)
    arrays = {}
    for split, count in (("train", 60_000), ("test", 10_000)):
        which = rng.integers(len(digits.x_train), size=count)
        moves = rng.integers(-3, 4, size=(count, 2))
        images = [np.roll(digits.x_train[i, :, :, 0], move, (0, 1)) for i, move in zip(which, moves, strict=True)]
        arrays |= {f"x_{split}": np.stack(images), f"y_{split}": digits.y_train[which]}
    np.savez(Path(folder) / "mnist.npz", **arrays)
    return str(folder), "moved digits of MNIST's shape (no mnist.npz here)"
