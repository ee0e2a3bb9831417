"""Execute the notebooks: notebooks/source/NN_topic.py is what you edit, the .ipynb is built from it.

A built notebook carries the sha256 of its source, so that a test can tell outputs that are older than the code, and
that of its own cells, so that an edit that somebody made in the .ipynb is never built over.
"""

import hashlib
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from cnnkit import CHECKOUT, HOME
from cnnkit.lab.store import write_atomically

MAX_BYTES = 1_500_000  # GitHub renders larger notebooks late or not at all
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
KERNEL |= {"language_info": {"name": "python"}}
MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|root|work|tmp|Users|private)/[^\s'\"<>)]*")
# TensorFlow 2.21 prints these on import whatever TF_CPP_MIN_LOG_LEVEL says; warnings and errors of it start otherwise.
START_UP_LOG = re.compile(
    r"^(?:WARNING: All log messages before absl::InitializeLog\(\).*|I\d{4} [\d:.]+ +\d+ \S+\.cc:\d+\] .*)\n?", re.M
)
CODE_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.M | re.S)
HEADING = re.compile(r"(?<!\A)^#{1,6} .*", re.M)  # one that does not start its cell


def build(names, profile, root=CHECKOUT):
    """Execute notebooks from top to bottom, one line of progress each, and write those that ran without a fault.

    Args:
        names: Sequence of names such as `"04_lenet"`; all notebooks when empty.
        profile: `"full"` writes notebooks/NAME.ipynb, `"smoke"` results/smoke/notebooks/NAME.ipynb.
        root: Folder that has notebooks/source.
    Returns:
        Integer, the exit status: 1 if a notebook failed (the old one is then untouched; the others are built), else 0.
    Raises:
        ValueError: If a name or the profile is unknown, or cnnkit is installed without its notebooks.
    """
    if root is None:
        raise ValueError(
            "Expected the notebooks, which are in cnnkit's repository. Received: an installation without one. "
            "Clone the repository and run `make notebooks` there."
        )
    if profile not in ("smoke", "full"):
        raise ValueError(f"Expected the profile smoke or full. Received: {profile!r}.")
    root = Path(root).resolve()
    sources = {path.stem: path for path in list_sources(root)}
    unknown = sorted(set(names) - set(sources))
    if unknown or not sources:
        raise ValueError(
            f"Expected notebooks of {root / 'notebooks' / 'source'}. "
            f"Received: {', '.join(unknown) or 'no notebook'}. There are: {', '.join(sources) or 'none'}."
        )
    failed = False
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
    """Return what keeps a built notebook from being shown, as sentences; an empty list if nothing does.

    `notebook` is an `nbformat.NotebookNode` with outputs, `source` the path of its source.
    """
    fresh, faults = jupytext.read(source, fmt="py:percent"), []
    if notebook.metadata.get("cnnkit", {}).get("source_sha256") != _digest(source):
        faults.append(f"its outputs are older than {source.name}; run it again")
    if _cells(notebook) != _cells(fresh):
        faults.append(f"its cells are not those of {source.name}; run it again")
    faults += _source_faults(notebook)
    for number, cell in enumerate(notebook.cells, start=1):
        faults += [f"cell {number} {fault}" for fault in _output_faults(cell)]
    if "widgets" in notebook.metadata:
        faults.append("it holds the state of widgets; show plain text or a figure")
    if (size := len(nbformat.writes(notebook).encode()) / 1e6) > MAX_BYTES / 1e6:
        faults.append(f"it takes {size:.1f} MB, expected at most {MAX_BYTES / 1e6} MB; draw fewer or smaller figures")
    return faults


def _build_one(source, profile, root):
    notebook = jupytext.read(source, fmt="py:percent")
    target = root / ("notebooks" if profile == "full" else "results/smoke/notebooks") / f"{source.stem}.ipynb"
    # The digest is of what runs: an edit of the source during a long run is found below.
    origin = {"source_sha256": _digest(source), "cells_sha256": _cells(notebook), "profile": profile}
    _check_edits(target, notebook)
    if faults := _source_faults(notebook):
        raise RuntimeError("\n  ".join(faults))
    _execute(notebook, profile, root)
    _strip(notebook, root)
    notebook.metadata = nbformat.from_dict(KERNEL | {"cnnkit": origin})
    if faults := list_faults(notebook, source):
        raise RuntimeError("\n  ".join(["it ran, but is not written:", *faults]))
    write_atomically(target, nbformat.writes(notebook) + "\n")
    return target


def _check_edits(target, notebook):
    """Refuse to build over a notebook that was edited after it was built, in whatever editor."""
    old = nbformat.read(target, as_version=4) if target.exists() else notebook
    built = old.metadata.get("cnnkit", {"cells_sha256": None})  # None: some editors drop what they do not know
    if _cells(old) not in (built.get("cells_sha256", _cells(old)), _cells(notebook)):
        name = f"notebooks/source/{target.stem}.py"
        raise RuntimeError(
            f"{target} was edited since it was built, and would lose that. Take the edit over with\n"
            f"    jupytext --to py:percent --output {name} {target}\nor delete it to build from {name}."
        )


def _execute(notebook, profile, root):
    """Run all cells in a fresh kernel of this Python, in notebooks/, as JupyterLab would."""
    environment = os.environ | {
        "CNNKIT_PROFILE": profile,
        "CNNKIT_PROGRESS": "off",  # a bar leaves its last state in the output, and that differs from run to run
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # the kernel's debugger would warn on the terminal
        "TF_CPP_MIN_LOG_LEVEL": "3",  # without a GPU, TensorFlow reports an error on its first operation
    }
    for name in ("CNNKIT_DATA_DIR", "CNNKIT_RESULTS_DIR"):  # relative to the caller's folder, not to notebooks/
        if environment.get(name):
            environment[name] = str(Path(environment[name]).resolve())
    place = {"metadata": {"path": str(root / "notebooks")}}
    client = NotebookClient(notebook, kernel_name="python3", timeout=None, record_timing=False, resources=place)
    with tempfile.TemporaryFile() as log:  # the kernel's own words: of interest only if it dies
        try:
            client.execute(env=environment, stderr=log)
        except CellExecutionError as error:
            number, cell = next((n, c) for n, c in enumerate(notebook.cells, start=1) if _outputs(c, "error"))
            code = "\n".join(f"    {line}" for line in cell.source.splitlines())
            raise RuntimeError(f"cell {number} raised {error.ename}: {error.evalue}\n{code}") from None
        except RuntimeError as error:
            log.seek(0)
            last = log.read()[-500:].decode(errors="replace").strip()
            raise RuntimeError(f"{error}, as happens when memory runs out. Its last words: {last or 'none'}") from None


def _strip(notebook, root):
    """Take out what differs from machine to machine and from run to run."""
    words = {f"{root}/": "", str(root): "."}
    if Path.home() != Path("/"):
        words[str(Path.home())] = "~"
    if os.environ.get("CNNKIT_DATA_DIR"):
        words = {str(Path(os.environ["CNNKIT_DATA_DIR"]).resolve()): "data"} | words
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:03d}"
        tags = cell.metadata.get("tags", [])
        hidden = {"jupyter": {"source_hidden": True}} if "hide-input" in tags else {}
        cell.metadata = nbformat.from_dict({"tags": tags} | hidden if tags else {})
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                output.text = START_UP_LOG.sub("", output.text)
            for holder, key in _texts(output):
                for path, word in words.items():
                    holder[key] = holder[key].replace(path, word)
                holder[key] = re.sub(r" at 0x[0-9a-f]{6,}", "", holder[key])
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("text", "some")]


def _source_faults(notebook):
    tagged, faults = sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells), []
    if tagged != 1:
        faults.append(f'{tagged} cells are tagged parameters, expected one: # %% tags=["parameters"]')
    for number, cell in enumerate(notebook.cells, start=1):
        late = HEADING.findall(CODE_BLOCK.sub("", cell.source.strip())) if cell.cell_type == "markdown" else []
        faults += [f"cell {number} has a heading below its first line; start a cell with it: {line}" for line in late]
    return faults


def _output_faults(cell):
    faults = [f"raised {output.ename}: {output.evalue}" for output in _outputs(cell, "error")]
    faults += [f"wrote to stderr: {o.text.strip()}" for o in _outputs(cell, "stream") if o.name == "stderr"]
    texts = [cell.source] + [holder[key] for output in cell.get("outputs", []) for holder, key in _texts(output)]
    faults += [f"shows a path of this machine: {path}" for text in texts for path in MACHINE_PATH.findall(text)]
    kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
    if "application/vnd.jupyter.widget-view+json" in kinds:
        faults.append("shows a widget, which is blank outside Jupyter; show plain text or a figure")
    return faults


def _outputs(cell, kind):
    return [output for output in cell.get("outputs", []) if output.output_type == kind]


def _texts(output):
    """Return `(dict, key)` of every text in an output; pictures are none, and base64 may look like a path."""
    data = output.get("data", {})
    return [(output, "text")] * ("text" in output) + [(data, kind) for kind in data if kind.startswith("text/")]


def _digest(source):
    return hashlib.sha256(source.read_text(encoding="utf-8").encode()).hexdigest()


def _cells(notebook):
    """Return the sha256 of what stands in the cells; blank lines around it come and go with the editor."""
    cells = [(cell.cell_type, cell.source.strip()) for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()
