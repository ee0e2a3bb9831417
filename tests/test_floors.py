"""A module imports only from floors below it, and few modules may import what is heavy."""

import ast
from pathlib import Path

import pytest

import cnnkit

PACKAGE = Path(cnnkit.__file__).parent
# A line a floor, the ground first; nothing imports from its own floor either.
FLOORS = """
    quiet provenance results data layers callbacks batches neighbours anatomy from_scratch recipes
    models plots claims processes
    config wording
    training diagnostics
    sweeps preload
    search
    experiments facts
    reruns doctor notebooks
    corrections
    gallery
    frontpage verify
    __main__
"""
FLOOR = {name: height for height, line in enumerate(FLOORS.strip().splitlines()) for name in line.split()}
ONLY_IN = {"distributed": {"sweeps"}, "dask": {"sweeps"}, "keras_tuner": {"search"}}
LIGHT = {"results", "plots", "claims"}
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path):
    """`cnnkit/data/arrays.py` belongs to `data`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path):
    """Names of all that a file imports, wherever in the file: `keras.layers`, `cnnkit.data`, `cnnkit.data.arrays`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its floor"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def neighbours_of(path):
    """The modules of cnnkit that a file imports."""
    parts = (name.split(".") for name in imports_of(path))
    return {part[1] for part in parts if part[0] == "cnnkit" and len(part) > 1} & set(FLOOR)


def test_every_module_has_a_floor():
    assert {module_of(path) for path in FILES} - {"__init__"} <= set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_floors_below(path):
    own = module_of(path)
    if own == "__init__":
        assert imports_of(path) == set()  # `import cnnkit` loads nothing
        return
    above = {name for name in neighbours_of(path) - {own} if FLOOR[name] >= FLOOR[own]}
    assert not above, f"{own} imports {', '.join(sorted(above))}"


@pytest.mark.parametrize("package, allowed", ONLY_IN.items())
def test_one_module_imports_it(package, allowed):
    users = {module_of(path) for path in FILES if package in {name.split(".")[0] for name in imports_of(path)}}
    assert users <= allowed


@pytest.mark.parametrize("path", [path for path in FILES if module_of(path) in LIGHT], ids=lambda path: path.name)
def test_what_reads_tables_imports_neither_keras_nor_tensorflow(path):
    assert not {name.split(".")[0] for name in imports_of(path)} & {"keras", "tensorflow"}
    assert neighbours_of(path) <= LIGHT


def test_the_rule_can_fail(tmp_path):
    file = tmp_path / "layers.py"
    file.write_text(
        "def late():\n    from cnnkit import training\n    import cnnkit.sweeps as s\n    import dask.config\n"
    )
    assert neighbours_of(file) == {"training", "sweeps"}
    assert "dask.config" in imports_of(file)
