"""Execute the notebooks: notebooks/source/NN_topic.py is what you edit, the .ipynb is built from it.

A built notebook carries the sha256 of the cells that ran: outputs older than the source show, and an edit that somebody
made in the .ipynb is never built over.
"""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from cnnkit import HOME
from cnnkit.lab import store

MAX_MEGABYTES = 1.5  # GitHub renders larger notebooks late or not at all
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|work|tmp|Users|private)/[^\s'\"<>)]*")
# TensorFlow prints this at its start whatever TF_CPP_MIN_LOG_LEVEL says. Its warnings are on stdout in Jupyter.
START_UP_LOG = r"^(?:WARNING: All log messages before absl::|I\d{4} [\d:.]+ +\d+ \S+\.cc:\d+\] ).*\n?"
WARNING = re.compile(r"^(?:(?:WARNING|ERROR|CRITICAL):(?:tensorflow|absl):|[WEF]\d{4} [\d:.]+ ).*", re.M)
CODE_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
HEADING = re.compile(r"(?<!\A)^#{1,6} .*", re.M)  # one that does not start its cell
RUN_ON = re.compile(r"# %% \[markdown\]\S.*")  # jupytext takes the rest of this line for the cell's title


def build(names, profile, root=HOME):
    """Execute notebooks from top to bottom, one line of progress each, and write those that ran without a fault.

    They go to notebooks/ or, in the profile `"smoke"`, to results/smoke/notebooks/; without `names`, all do. Return the
    exit status, 1 if one failed: the old one is then untouched. A ValueError if a name is unknown.
    """
    root, failed = Path(root).resolve(), False
    sources = {path.stem: path for path in list_sources(root)}
    if unknown := sorted(set(names) - set(sources)):
        raise ValueError(f"Expected notebooks out of {', '.join(sources)}. Received: {', '.join(unknown)}.")
    for name in names or sources:
        start = time.perf_counter()
        try:
            words, place = _build_one(sources[name], profile, root).relative_to(root), sys.stdout
        except RuntimeError as error:
            words, place, failed = f"failed: {error}", sys.stderr, True
        print(f"{name:<28} {time.perf_counter() - start:7.1f} s  {words}", file=place, flush=True)
    return int(failed)


def list_sources(root=HOME):
    """Return the sorted paths of the notebooks' sources."""
    return sorted((Path(root) / "notebooks" / "source").glob("*.py"))


def list_faults(notebook, source):
    """Return what keeps a notebook (a `NotebookNode`) of that source (a path) from being shown, a list of sentences."""
    faults, ran = [], notebook.metadata.get("cnnkit", {}).get("cells_sha256")
    if {ran, _digest(notebook)} != {_digest(jupytext.read(source, fmt="py:percent"))}:
        faults.append(f"its cells or outputs are not those of {source.name} as it is now; run it again")
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1):
        if RUN_ON.match(line):
            faults.append(f"{source.name}, line {number}: text behind [markdown] is lost; break the line there: {line}")
    for number, cell in enumerate(notebook.cells, start=1):
        faults += [f"cell {number} {fault}" for fault in _cell_faults(cell)]
    if (size := len(nbformat.writes(notebook).encode()) / 1e6) > MAX_MEGABYTES:
        faults.append(f"it takes {size:.1f} MB, expected at most {MAX_MEGABYTES} MB; draw fewer or smaller figures")
    return faults


def _build_one(source, profile, root):
    notebook = jupytext.read(source, fmt="py:percent")
    target = root / ("notebooks" if profile == "full" else "results/smoke/notebooks") / f"{source.stem}.ipynb"
    _check_edits(target, notebook)
    # The digest is of what runs: an edit of the source during a long run is found afterwards.
    origin = {"cells_sha256": _digest(notebook), "profile": profile}
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "cnnkit": origin})
    _check_faults(notebook, source)
    _execute(notebook, profile, root)
    _strip(notebook, root)
    _check_faults(notebook, source)
    store.write_atomically(target, nbformat.writes(notebook) + "\n")
    return target


def _check_edits(target, notebook):
    """Refuse to build over a notebook that was edited after it was built, in whatever editor."""
    old = nbformat.read(target, as_version=4) if target.exists() else notebook
    built = old.metadata.get("cnnkit", {}).get("cells_sha256")  # None: some editors drop what they do not know
    if _digest(old) not in (built, _digest(notebook)):
        name = f"notebooks/source/{target.stem}.py"
        take_over = f"Take the edit over with\n    jupytext --to py:percent --output {name} {target}"
        way_on = f"{take_over}\nor delete it to build from {name}."
        raise RuntimeError(f"{target} was edited since it was built, and would lose that. {way_on}")


def _check_faults(notebook, source):
    if faults := list_faults(notebook, source):
        raise RuntimeError("\n  ".join(["it is not written:", *faults]))


def _execute(notebook, profile, root):
    """Run the cells in a fresh kernel of this Python, in notebooks/, as JupyterLab would, up to one that raises."""
    environment = os.environ | {
        "CNNKIT_PROFILE": profile,
        "CNNKIT_PROGRESS": "off",  # a bar leaves its last state in the output, and that differs from run to run
        "CNNKIT_RESULTS_DIR": str(store.results_dir("full").resolve()),  # it may be relative to the caller's folder
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    place = {"metadata": {"path": str(root / "notebooks")}}
    client = NotebookClient(notebook, kernel_name="python3", timeout=None, record_timing=False, resources=place)
    with contextlib.suppress(CellExecutionError):  # the cell's output says it
        client.execute(env=environment, stderr=subprocess.DEVNULL)  # of the kernel itself, not of cells


def _strip(notebook, root):
    """Take out what differs from machine to machine and from run to run."""
    changing = re.compile(rf"{START_UP_LOG}| at 0x[0-9a-f]{{6,}}|{re.escape(str(root))}/?", re.M)
    notebook.metadata["language_info"] = nbformat.from_dict({"name": "python"})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03d}"
        tags = cell.metadata.get("tags", [])
        hidden = {"jupyter": {"source_hidden": True}} if "hide-input" in tags else {}
        cell.metadata = nbformat.from_dict({"tags": tags} | hidden if tags else {})
        for output in cell.get("outputs", []):
            for holder, kind in _texts(output):
                holder[kind] = changing.sub("", holder[kind])
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("text", "some")]


def _cell_faults(cell):
    """Yield what is wrong with a cell and, if it has run, with its outputs."""
    if cell.cell_type == "markdown":
        for line in HEADING.findall(CODE_BLOCK.sub("", cell.source.strip())):
            yield f"has a heading below its first line; start a cell with it: {line}"
    texts = [cell.source]
    for output in cell.get("outputs", []):
        texts += [holder[kind] for holder, kind in _texts(output)]
        if output.output_type == "error":
            yield f"raised {output.ename}: {output.evalue}\n{textwrap.indent(cell.source, '    ')}"
        elif output.get("name") == "stderr":
            yield f"wrote to stderr: {output.text.strip()}"
        elif warning := WARNING.search(output.get("text", "")):
            yield f"shows a warning: {warning[0]}"
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
            yield "shows a widget, which is blank outside Jupyter; show plain text or a figure"
    for path in MACHINE_PATH.findall("\n".join(texts)):
        yield f"shows a path of this machine: {path}"


def _texts(output):
    """Return `(dict, key)` of every text in an output; pictures are none, and base64 may look like a path."""
    data = output.get("data", {})
    return [(output, "text")] * ("text" in output) + [(data, kind) for kind in data if kind.startswith("text/")]


def _digest(notebook):
    """Return the sha256 of what stands in the cells; blank lines around it come and go with the editor."""
    cells = [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()
