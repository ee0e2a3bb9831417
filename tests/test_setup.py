"""The files that set the project up agree with each other, and `make` says what it can do."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]]
TARGETS = [
    *["quickstart", "test", "notebooks", "sweeps", "search", "results", "verify", "doctor"],
    *["reproduce", "site"],
    *["lint", "lab", "bench", "clean"],
]


def locked():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0] != "#"]
    pins = [re.fullmatch(r"([\w.-]+)==(\S+)", line) for line in lines]
    assert all(pins), "every line of the lock is one exact version"
    return {canonicalize_name(pin[1]): pin[2] for pin in pins}


def make(*arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = [shutil.which("make"), "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed here")


@pytest.mark.parametrize("wanted", WANTED, ids=lambda wanted: wanted.name)
def test_the_lock_has_a_version_that_pyproject_admits(wanted):
    assert wanted.specifier.contains(locked()[canonicalize_name(wanted.name)])


def test_the_lock_names_nothing_twice_and_not_cnnkit():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0] != "#"]
    assert len(locked()) == len(lines) and "cnnkit" not in locked()


def test_conda_brings_python_and_make_and_pip_the_locked_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"][0] == "conda-forge"
    *conda, pip = environment["dependencies"]
    packages = dict(re.fullmatch(r"(\w+)=?(.*)", line).groups() for line in conda)
    assert set(packages) == {"python", "make", "pip"}
    assert f"{packages['python']}.0" in SpecifierSet(PROJECT["requires-python"])
    assert f"Python {packages['python']}" in (ROOT / "requirements.lock").read_text().splitlines()[0]
    assert pip == {"pip": ["--requirement requirements.lock", "--editable ."]}


@needs_make
def test_make_alone_says_what_every_target_does():
    told = dict(re.findall(r"^ +make (\w+)\s+(\S.*)$", make(), re.MULTILINE))
    assert set(told) == {*TARGETS, "help"}


@needs_make
@pytest.mark.parametrize("target", TARGETS)
def test_a_target_is_there_and_calls_the_command_line(target):
    commands = make("--dry-run", "--assume-old=.venv/ready", target, "PROFILE=full", "EXPERIMENT=try", "WORKERS=3")
    expected = {"test": "pytest", "lint": "ruff", "lab": "jupyter lab", "bench": "benchmarks", "clean": "rm -rf"}
    assert expected.get(target, "-m cnnkit") in commands
    if target == "sweeps":
        assert "sweep try --profile full --workers 3" in commands


@needs_make
@pytest.mark.parametrize("target", [target for target in TARGETS if target != "clean"])
def test_a_target_sets_up_first_what_is_missing(target, tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    commands = make("--directory", str(tmp_path), "--dry-run", target)
    assert commands.index("-m venv .venv") < commands.index("requirements.lock") < commands.index("--editable .")


@needs_make
def test_clean_keeps_committed_results():
    assert "results/smoke" in make("--dry-run", "clean")
    assert not re.search(r"results/?(\s|$)", make("--dry-run", "clean"))
