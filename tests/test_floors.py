"""The house: each part imports only from parts above it in this list, and few modules may import what is heavy."""

import ast
from pathlib import Path

import pytest

import cnnkit

PACKAGE = Path(cnnkit.__file__).parent
FLOORS = ["data", "models", "callbacks", "anatomy", "from_scratch", "lab", "plots", "evidence", "diagnostics", "course"]
FLOORS += ["report", "__main__"]
ONLY_IN = {
    "distributed": {"lab/sweeps.py"},
    "dask": {"lab/sweeps.py"},
    "keras_tuner": {"lab/search.py"},
    "tensorflow": {
        "callbacks.py",
        "lab/feeding.py",
        "lab/provenance.py",
        "anatomy/fields.py",
        "course/backprop/facts.py",
        "course/optimizers/_flat.py",
    },
}
LIGHT = [PACKAGE / "lab/store.py", PACKAGE / "evidence/claims.py", *sorted((PACKAGE / "plots").glob("*.py"))]
LIGHT_NAMES = {"cnnkit", "cnnkit.lab.store", "cnnkit.evidence.claims", "cnnkit.plots"}
FILES = sorted(PACKAGE.rglob("*.py"))


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


def parts_of(path):
    """The parts of cnnkit that a file imports."""
    names = (name.split(".") for name in imports_of(path))
    return {name[1] for name in names if name[0] == "cnnkit" and len(name) > 1} & set(FLOORS)


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_part_has_a_floor():
    assert {part_of(path) for path in FILES} - {"__init__"} == set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_part_imports_only_from_parts_above(path):
    own = part_of(path)
    if own == "__init__":
        assert imports_of(path) <= {"pathlib", "pathlib.Path"}  # `import cnnkit` loads nothing
        return
    below = {name for name in parts_of(path) - {own} if FLOORS.index(name) >= FLOORS.index(own)}
    assert not below, f"{own} imports {', '.join(sorted(below))}"


@pytest.mark.parametrize("package, allowed", ONLY_IN.items())
def test_few_modules_import_it(package, allowed):
    users = {path for path in FILES if package in {name.split(".")[0] for name in imports_of(path)}}
    assert {str(path.relative_to(PACKAGE)) for path in users} <= allowed


@pytest.mark.parametrize("path", LIGHT, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_reads_tables_imports_neither_keras_nor_tensorflow(path):
    names = imports_of(path)
    assert not {name.split(".")[0] for name in names} & {"keras", "tensorflow"}
    own = {name for name in names if name.startswith("cnnkit.")}
    assert all(
        any(name.startswith(light) for light in LIGHT_NAMES - {"cnnkit"})
        for name in own - {"cnnkit.lab"}
        if name.count(".") > 1
    )


def test_no_file_is_longer_than_a_reader_has_patience():
    assert [path.name for path in FILES if len(path.read_text().splitlines()) > 400] == []


def test_the_rule_can_fail(tmp_path):
    file = tmp_path / "layers.py"
    file.write_text(
        "def late():\n    from cnnkit.lab import training\n    import cnnkit.report as r\n    import dask.config\n"
    )
    assert parts_of(file) == {"lab", "report"}
    assert "dask.config" in imports_of(file)
