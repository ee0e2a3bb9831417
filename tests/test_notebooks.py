"""Committed notebooks are built from their sources, and the builder shows nothing it should not."""

import json
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupytext.sync_contentsmanager import build_sync_jupytext_contents_manager_class

from cnnkit import HOME
from cnnkit.report import notebooks

# A source whose full runs are not all there yet has no notebook; what is committed as a notebook is complete and fresh.
BUILT = {path.stem for path in (HOME / "notebooks").glob("*.ipynb")}
SOURCES = [path for path in notebooks.list_sources() if path.stem in BUILT]
PARAMETERS = '# %% tags=["parameters"]\nimport os\n\nPROFILE = os.environ["CNNKIT_PROFILE"]\n'


def write_source(root, cells, name="00_try"):
    path = root / "notebooks" / "source" / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PARAMETERS + "\n" + cells)
    return path


def read_built(source):
    return nbformat.read(source.parent.parent / f"{source.stem}.ipynb", as_version=4)


def test_there_are_notebooks_and_each_has_its_source():
    assert "00_quickstart" in BUILT
    assert {path.stem for path in SOURCES} == BUILT


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_committed_notebook_is_fresh_and_clean(source):
    notebook = read_built(source)
    assert notebooks.list_faults(notebook, source) == []
    assert notebook.metadata["cnnkit"]["profile"] == "full"
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code" and cell.source)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """One notebook built once, in full; the kernel takes a second or two to start."""
    root = tmp_path_factory.mktemp("site")
    cells = """# %%
print(PROFILE, os.environ["CNNKIT_PROGRESS"], os.path.basename(os.getcwd()))
print(os.path.abspath("source"))
object()

# %% tags=["hide-input"]
print("a sentence that a reader meets once")
"""
    source = write_source(root, cells)
    assert notebooks.build([], "full", root) == 0
    return source


def test_build_runs_in_its_folder_and_profile_and_hides_the_machine(built):
    outputs = read_built(built).cells[1].outputs
    assert outputs[0].text == "full off notebooks\nnotebooks/source\n"
    assert outputs[1].data["text/plain"] == "<object>"  # no address


def test_a_cell_tagged_hide_input_hides_it_and_others_do_not(built):
    hidden = {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
    assert [cell.metadata for cell in read_built(built).cells] == [{"tags": ["parameters"]}, {}, hidden]


def test_a_built_notebook_has_no_fault_until_its_source_changes(built, tmp_path):
    notebook = read_built(built)
    assert notebooks.list_faults(notebook, built) == []
    assert re.fullmatch("[0-9a-f]{64}", notebook.metadata["cnnkit"]["cells_sha256"])
    edited = tmp_path / built.name
    edited.write_text(built.read_text().replace("print(PROFILE", "print(1, PROFILE"))
    stale = ["its cells or outputs are not those of 00_try.py as it is now; run it again"]
    assert notebooks.list_faults(notebook, edited) == stale
    older = notebook.copy()
    older.metadata = nbformat.from_dict({"cnnkit": {"cells_sha256": "of other cells"}})
    assert notebooks.list_faults(older, built) == stale


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (
            {"output_type": "stream", "name": "stderr", "text": "UserWarning: odd"},
            "cell 2 wrote to stderr: UserWarning",
        ),
        (
            {"output_type": "stream", "name": "stdout", "text": "at /home/me/x.py"},
            "a path of this machine: /home/me/x.py",
        ),
        (
            {"output_type": "stream", "name": "stdout", "text": "fine\nWARNING:tensorflow:5 out of the last 5 calls"},
            "cell 2 shows a warning: WARNING:tensorflow:5 out of the last 5 calls",
        ),
        (
            {"output_type": "stream", "name": "stdout", "text": "WARNING:absl:You are saving"},
            "cell 2 shows a warning: WARNING:absl:You are saving",
        ),
        ({"output_type": "error", "ename": "KeyError", "evalue": "3", "traceback": []}, "cell 2 raised KeyError: 3"),
        (
            {"output_type": "display_data", "metadata": {}, "data": {"application/vnd.jupyter.widget-view+json": {}}},
            "cell 2 shows a widget",
        ),
        (
            {"output_type": "display_data", "metadata": {}, "data": {"image/png": "A" * 1_600_000}},
            "it takes 1.6 MB, expected at most 1.5 MB",
        ),
    ],
)
def test_faults_are_found(built, output, fault):
    notebook = read_built(built)
    notebook.cells[1].outputs.append(nbformat.from_dict(output))
    found = notebooks.list_faults(notebook, built)
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("markdown", "headings"),
    [
        ("# One\n#\n# words\n#\n# ## Two\n# ### Three", ["## Two", "### Three"]),
        ("# words\n#\n# # One", ["# One"]),
        ("## Two\n#\n# ```\n# # a comment in code\n# ```\n#\n# #hashtag", []),
    ],
)
def test_every_heading_starts_a_cell_or_nothing_runs(tmp_path, capsys, markdown, headings):
    write_source(tmp_path, f"# %% [markdown]\n# {markdown}\n\n# %%\nopen('ran', 'w').close()\n")
    assert notebooks.build([], "smoke", tmp_path) == bool(headings)
    assert re.findall("cell 2 has a heading below its first line.*: (#.*)", capsys.readouterr().err) == headings
    assert (tmp_path / "notebooks" / "ran").exists() != bool(headings)


def test_text_on_the_line_that_opens_a_cell_is_refused_before_anything_runs(tmp_path, capsys):
    source = write_source(tmp_path, "# %% [markdown]# ## Lost\n# words\n\n# %%\nopen('ran', 'w').close()\n")
    line = source.read_text().splitlines().index("# %% [markdown]# ## Lost") + 1
    assert notebooks.build([], "smoke", tmp_path) == 1
    assert f"00_try.py, line {line}: text behind [markdown] is lost; break the line" in capsys.readouterr().err
    assert not (tmp_path / "notebooks" / "ran").exists()


def open_in_jupyterlab(root, path):
    manager = build_sync_jupytext_contents_manager_class(LargeFileManager)()
    manager.root_dir = str(root)
    return manager, manager.get(path, type="notebook", content=True)


def test_an_edit_of_another_editor_is_opened_kept_and_never_built_over(built, tmp_path, capsys):
    root = shutil.copytree(built.parent.parent.parent, tmp_path / "site")
    shutil.copy(HOME / "jupytext.toml", root)
    path, source = root / "notebooks" / "00_try.ipynb", root / "notebooks" / "source" / "00_try.py"
    assert notebooks.build([], "full", root) == 0  # nothing was edited: it is built over
    notebook = read_built(source)
    notebook.cells[-1].source += "\n# my own words"
    nbformat.write(notebook, path)
    manager, opened = open_in_jupyterlab(root, "notebooks/00_try.ipynb")
    assert "my own words" in opened["content"]["cells"][-1]["source"]
    manager.save(opened, "notebooks/00_try.ipynb")
    assert "my own words" in path.read_text()

    edited = path.read_bytes()
    capsys.readouterr()
    assert notebooks.build([], "full", root) == 1
    assert path.read_bytes() == edited
    command = re.search(r"jupytext (.*)", capsys.readouterr().err)[1].split()
    subprocess.run([sys.executable, "-m", "jupytext", "--quiet", *command], cwd=root, check=True)
    assert source.read_text().endswith('"hide-input"]\nprint("a sentence that a reader meets once")\n# my own words\n')
    assert notebooks.build([], "full", root) == 0
    assert "my own words" in path.read_text()


def test_an_edit_by_an_editor_that_drops_what_it_does_not_know_is_not_built_over(built, tmp_path, capsys):
    root = shutil.copytree(built.parent.parent.parent, tmp_path / "site")
    notebook = read_built(built)
    notebook.metadata = nbformat.from_dict({})
    notebook.cells[1].source = "1"
    nbformat.write(notebook, root / "notebooks" / "00_try.ipynb")
    assert notebooks.build([], "full", root) == 1
    assert "was edited since it was built" in capsys.readouterr().err


def test_a_failing_cell_and_a_warning_leave_the_old_notebook_and_build_the_others(tmp_path, capsys):
    write_source(tmp_path, "# %%\nx = 1\n1 / 0\n", "01_fails")
    write_source(tmp_path, "# %%\nimport warnings\n\nwarnings.warn('odd')\n", "02_warns")
    write_source(
        tmp_path, "# %%\nimport sys\n\nprint('I0000 00:00:1.5  7 port.cc:153] log', file=sys.stderr)\n", "03_good"
    )
    old = tmp_path / "results" / "smoke" / "notebooks" / "01_fails.ipynb"
    old.parent.mkdir(parents=True)
    empty = nbformat.v4.new_notebook()
    empty.metadata = nbformat.from_dict({"cnnkit": {"cells_sha256": notebooks._digest(empty)}})
    nbformat.write(empty, old)
    before = old.read_bytes()
    assert notebooks.build([], "smoke", tmp_path) == 1
    output, errors = capsys.readouterr()
    assert "cell 2 raised ZeroDivisionError: division by zero\n    x = 1\n    1 / 0" in errors
    assert "cell 2 wrote to stderr" in errors
    assert "UserWarning: odd" in errors
    assert re.fullmatch(r"03_good +\d+\.\d s  results/smoke/notebooks/03_good.ipynb\n", output)
    assert old.read_bytes() == before
    assert sorted(path.stem for path in old.parent.iterdir()) == ["01_fails", "03_good"]
    assert (
        json.loads((old.parent / "03_good.ipynb").read_text())["cells"][1]["outputs"] == []
    )  # TensorFlow's start-up log


def test_an_unknown_name_is_refused_before_anything_runs(tmp_path):
    write_source(tmp_path, "")
    with pytest.raises(ValueError, match="out of 00_try. Received: 05_none"):
        notebooks.build(["05_none"], "smoke", tmp_path)
