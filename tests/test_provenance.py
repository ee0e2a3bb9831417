"""Where a row says it came from: cnnkit's own commit, or none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cnnkit
from cnnkit.lab import provenance


def git(folder, *words):
    command = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", "-C", str(folder), *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A checkout of cnnkit without a repository, inside another folder."""
    home = tmp_path / "outer" / "home"
    (home / "cnnkit").mkdir(parents=True)
    shutil.copy(cnnkit.__file__, home / "cnnkit")
    (home / "notebooks" / "source").mkdir(parents=True)
    (home / "pyproject.toml").touch()
    monkeypatch.setattr(provenance, "CHECKOUT", checkout(home))
    return home


def checkout(home):
    """Return what the cnnkit in `home` takes for its checkout."""
    code = "import cnnkit; print(cnnkit.CHECKOUT or '')"
    environment = os.environ | {"PYTHONPATH": str(home)}
    done = subprocess.run([sys.executable, "-c", code], cwd=home, env=environment, capture_output=True, text=True)
    return Path(done.stdout.strip()) if done.stdout.strip() else None


def start(folder, *files):
    """Make a repository that tracks these files; return its commit."""
    git(folder, "init", "-q")
    (folder / "thesis.txt").touch()
    git(folder, "add", "thesis.txt", *files)
    git(folder, "commit", "-qm", "first")
    return git(folder, "rev-parse", "--short=10", "HEAD")


def test_its_own_repository_is_named_with_whether_the_package_was_changed(home):
    commit = start(home, "cnnkit")
    assert provenance._commit() == commit
    (home / "cnnkit" / "__init__.py").write_text("changed")
    assert provenance._commit() == f"{commit}+changes"
    git(home, "checkout", "-q", "cnnkit")
    (home / "thesis.txt").write_text("changed")
    assert provenance._commit() == commit


def test_the_repository_of_somebody_else_is_not_named(home):
    start(home.parent)  # a zip unpacked in a project
    assert provenance._commit() == "unknown"
    git(home.parent, "add", "home")  # and even committed there
    git(home.parent, "commit", "-qm", "second")
    assert provenance._commit() == "unknown"
    start(home)  # a repository at the right place that does not hold cnnkit
    assert provenance._commit() == "unknown"


def test_an_installed_cnnkit_has_no_commit(home, monkeypatch):
    start(home.parent)
    (home / "pyproject.toml").unlink()
    monkeypatch.setattr(provenance, "CHECKOUT", checkout(home))
    assert provenance._commit() == "installed"


def test_without_git_or_a_commit_it_is_unknown(home, tmp_path, monkeypatch):
    git(home, "init", "-q")
    git(home, "add", "cnnkit")
    assert provenance._commit() == "unknown"
    commit = start(home)
    assert provenance._commit() == commit
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance._commit() == "unknown"


def test_a_git_hook_of_another_repository_does_not_answer(home, tmp_path, monkeypatch):
    commit = start(home, "cnnkit")
    (tmp_path / "other").mkdir()
    start(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(home))
    assert provenance._commit() == commit
