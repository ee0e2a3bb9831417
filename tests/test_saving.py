"""Pictures of others: what they say of their origin is read with care."""

import json
import struct
import zlib

import numpy as np
import pandas as pd
import pytest

from cnnkit import plots
from cnnkit.plots import saving

ORIGIN = {"experiment": "x", "runs": 3, "rows_sha256": "ab", "commit": "0123456789", "cnnkit": "0.2.0"}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(text, side=2):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + text + chunk(b"IDAT", zlib.compress(bytes(14))) + chunk(b"IEND", b"")


def says(words, side=2):
    return png(chunk(b"tEXt", b"cnnkit\0" + (words if isinstance(words, bytes) else json.dumps(words).encode())), side)


def test_what_a_figure_says_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(says(ORIGIN))
    assert plots.read_provenance(tmp_path / "a.png") == ORIGIN


DAMAGED = {
    "list": says([1, 2]),
    "null": says(None),
    "no JSON": says(b"hello"),
    "deep": says(b"[" * 100_000),
    "too few": says({"experiment": "x"}),
    "another kind": says(ORIGIN | {"runs": "three"}),
    "nested": says(ORIGIN | {"commit": ["\033[2J"]}),
    "no text": png(b""),
    "gigapixels": says(ORIGIN, 2**31 - 1),
    "too large": says(ORIGIN, 11_000),
    "a text that fills the memory": png(chunk(b"zTXt", b"cnnkit\0\0" + zlib.compress(bytes(10**8)))),
    "cut off": says(ORIGIN)[:60],
    "a wrong checksum": says(ORIGIN).replace(b"0.2.0", b"0.3.0"),
    "empty": b"",
    "no picture": b"\033[2J",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_picture_of_others_is_one_clear_error_that_names_it(tmp_path, content):
    (tmp_path / "a\033b.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected a PNG written by .*a\?b\.png, which carries no provenance") as told:
        plots.read_provenance(tmp_path / "a\033b.png")
    assert "\033" not in str(told.value)


@pytest.mark.parametrize("name", ["none.png", "."])
def test_what_cannot_be_read_stays_an_error_of_files(tmp_path, name):
    with pytest.raises(OSError):
        plots.read_provenance(tmp_path / name)


def test_signs_that_a_terminal_obeys_are_replaced(tmp_path):
    words = "\033[2J\033]0;owned\007 \x9b1m \r \n \u202e \ud800 é"
    (tmp_path / "a.png").write_bytes(says(ORIGIN | {"experiment": words}))
    origin = plots.read_provenance(tmp_path / "a.png")
    assert origin == ORIGIN | {"experiment": "?[2J?]0;owned? ?1m ? ? ? ? é"}


@pytest.mark.parametrize(
    "name", ["train_loss", "best_val_accuracy", "test_loss", "val_score", "test_balanced_accuracy"]
)
def test_the_hash_of_rows_covers_every_metric(name):
    rows = pd.DataFrame({"run_id": ["a", "b"], "commit": "c", **dict.fromkeys(saving.METRICS, np.float32(0.1))})
    changed = rows.assign(**{name: [0.1, 0.2]})
    assert plots.hash_rows(rows) == plots.hash_rows(rows[::-1].assign(commit="d"))
    assert plots.hash_rows(rows) != plots.hash_rows(changed)
