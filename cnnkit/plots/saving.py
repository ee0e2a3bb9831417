"""Where a figure comes from, written into the figure."""

import hashlib
import io
import json
import warnings
from pathlib import Path

from PIL import Image

from cnnkit import __version__
from cnnkit.lab.store import METRICS, write_atomically
from cnnkit.plots.style import check_frame

ORIGIN = {"experiment": str, "runs": int, "rows_sha256": str, "commit": str, "cnnkit": str}  # what a figure carries


def mark_profile(figure, profile):
    """Say on a figure (or an Axes' figure) of the profile `"smoke"` that it is one; leave those of `"full"` alone."""
    if profile == "smoke":
        figure = figure.get_figure(root=True)
        if figure.get_layout_engine() is None:  # else the words would stand on the axis label
            figure.set_layout_engine("constrained")
        words = "smoke run: too small to conclude from"
        figure.supxlabel(words, color="#b3400e", weight="bold", fontsize="medium")


def save_figure(figure, path, *, experiment, rows):
    """Write a figure as PNG (150 dpi, atomically) that carries where it came from; the same rows give the same bytes.

    `figure` may be an Axes of it, `rows` is a DataFrame of the runs of `experiment` that it shows, with `run_id` and
    `commit`; a ValueError if it is empty or lacks one. Returns the `pathlib.Path` of the PNG.
    """
    check_frame(rows, "run_id", "commit")
    commits = " ".join(sorted(set(rows["commit"].dropna().astype(str))))
    facts = experiment, rows["run_id"].nunique(), hash_rows(rows), commits, __version__
    origin = json.dumps(dict(zip(ORIGIN, facts, strict=True)))
    metadata = {"Software": None, "cnnkit": origin}  # Matplotlib's own version would change the bytes
    look = {"dpi": 150, "bbox_inches": "tight", "pil_kwargs": {"optimize": True}}
    png = io.BytesIO()
    figure.get_figure(root=True).savefig(png, format="png", metadata=metadata, **look)
    write_atomically(path, png.getvalue())
    return Path(path)


def hash_rows(rows):
    """Return the sha256 of the run ids and metrics of `rows`, whatever the order of lines and columns."""
    columns = ["run_id", *(name for name in METRICS if name in rows)]
    table = rows[columns].drop_duplicates().sort_values(columns)
    # Metrics are float32: nine significant digits hold them, and outlive any way to a CSV file and back.
    return hashlib.sha256(table.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()).hexdigest()


def read_provenance(path):
    """Return what `save_figure` wrote into a PNG, or raise ValueError; what a terminal would obey becomes "?"."""
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings(action="error"), Image.open(file, formats=["PNG"]) as image:
                origin = json.loads(image.info["cnnkit"])
            if [type(origin[name]) for name in ORIGIN] != [*ORIGIN.values()]:
                raise TypeError
        except Exception:  # Pillow has no common one: what others made may claim gigapixels or be anything
            received = f"{_printable(str(path))}, which carries no provenance. Make it again with save_figure"
            raise ValueError(f"Expected a PNG written by cnnkit.plots.save_figure. Received: {received}.") from None
    return {name: _printable(origin[name]) if kind is str else origin[name] for name, kind in ORIGIN.items()}


def _printable(text):
    return "".join(sign if sign.isprintable() else "?" for sign in text)
