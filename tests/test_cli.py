"""The command line: it answers at once, and says in one line what is wrong."""

import os
import re
import signal
import subprocess
import sys

import keras
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from PIL import Image

import cnnkit
from cnnkit import plots
from cnnkit.__main__ import _settings, main
from cnnkit.lab import store, sweeps, training
from cnnkit.lab.config import RunConfig

COMMANDS = "doctor datasets models train predict evaluate sweep search diagnose results claims verify reproduce why "
COMMANDS += "notebooks site"


def refused(capsys, *words):
    """Return the one line that a command says when it refuses."""
    assert main(list(words)) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], []], ids=str)
def test_help_loads_nothing_heavy(words):
    code = (
        "import sys\nfrom cnnkit.__main__ import main\n"
        f"try:\n    main({words})\nexcept SystemExit:\n    pass\n"
        "print(sorted({'keras', 'tensorflow', 'pandas', 'numpy', 'distributed'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert set(re.findall(r"^    (\w+)", said, re.MULTILINE)) == set(COMMANDS.split())


def test_an_unknown_command_lists_the_commands(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["trian"])
    said = capsys.readouterr().err
    assert all(command in said for command in COMMANDS.split())


@pytest.mark.parametrize(
    "words, reason",
    [
        (["train", "learning_rate=0"], "Expected learning_rate > 0"),
        (["train", "learning_rate=fast"], "Expected learning_rate to be a number. Received: learning_rate='fast'"),
        (["train", "learnin_rate=1"], "Expected fields of a run out of dataset, train_size, scaling"),
        (["train", "model=lenet"], "lenet5_modern"),
        (["train", "model_args={"], "Expected model_args to be a dict"),
        (["train", "seed=0"], "Expected seed >= 1"),
        (["train", "fast"], "Expected settings as name=value"),
        (["train", "batch_size=5000"], "Expected batch_size of at most"),
        (["train", "dataset=folder:nowhere"], "nowhere"),
        (["models", "lenet"], "Expected a model out of"),
        (["models", "lenet5_modern", "--input", "32"], "e.g. 32x32x3. Received: 32"),
        (["models", "lenet5", "--input", "8x8x1"], "for lenet5"),
        (["models", "softmax", "--input", "99999x99999x3"], "Expected"),
        (["train", "epochs=1" + 400 * "0"], "Expected epochs to be a whole number below"),
        (["train", "model_args=" + 5000 * "["], "Expected model_args to be a dict"),
        (["train", "model=mlp", 'model_args={"units":[10],"dropout_rate":"a"}'], "Expected"),
        (["train", "model=softmax", "--experiment", "../../x"], "Expected"),
        (["sweep", "quickstart", "nope"], "Expected an experiment out of"),
        (["datasets", "--check", "mnits"], "Expected a data set out of digits"),
        (["sweep", "quickstrat"], "Expected an experiment out of"),
        (["why", "nowhere.png"], "nowhere.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_in_one_line(capsys, words, reason):
    assert reason in refused(capsys, *words)


@pytest.mark.parametrize(
    "word, value",
    [("ema=None", None), ("train_size=null", None), ("learning_rate=.1", 0.1), ("x=True", True), ("x=true", True)]
    + [
        ("model=mlp", "mlp"),
        ('args={"units": [1]}', {"units": [1]}),
        ("x=1e-3", 0.001),
        ("x=folder:a b", "folder:a b"),
    ],
)
def test_a_setting_is_read_as_json_or_python_or_text(word, value):
    assert list(_settings([word]).values()) == [value]


def test_train_has_every_way_out_that_its_messages_name(monkeypatch, capsys):
    asked = {}
    failed = pd.DataFrame([training.failed_row(RunConfig(), ValueError("no luck"))])
    monkeypatch.setattr(sweeps, "run_all", lambda *args, **options: asked.update(options) or failed)
    main(["train", "--refresh", "--workers", "2", "--scheduler", "tcp://here:1"])
    assert asked == {"refresh": True, "workers": 2, "scheduler": "tcp://here:1"}


def test_a_backend_that_is_not_installed_is_said_in_one_line(tmp_path):
    command = [sys.executable, "-m", "cnnkit", "models", "softmax"]
    environment = os.environ | {"KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "Expected the package jax. Received: none installed. KERAS_BACKEND=jax needs it" in done.stderr


def test_an_installed_package_says_what_needs_the_checkout(capsys, monkeypatch):
    monkeypatch.setattr(cnnkit, "CHECKOUT", None)
    for command in ("results", "verify", "notebooks"):
        assert "Clone the repository" in refused(capsys, command)


@pytest.fixture
def hears_ctrl_c():
    """What Ctrl-C does in a terminal: a job in the background, as tests may be, starts with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_waits_for_the_workers_of_the_first(monkeypatch, hears_ctrl_c):
    before, heard = signal.getsignal(signal.SIGINT), []

    def stopped(*args, **options):
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)  # while workers are being stopped
            heard.append("cleaned up")

    monkeypatch.setattr(sweeps, "run_all", stopped)
    assert main(["train"]) == 130 and heard == ["cleaned up"]
    assert signal.getsignal(signal.SIGINT) is before


def test_an_unknown_profile_is_said_in_one_line(capsys, monkeypatch):
    monkeypatch.setenv("CNNKIT_PROFILE", "quick")
    assert "Expected CNNKIT_PROFILE to be smoke or full" in refused(capsys, "train")


def test_no_network_is_said_in_one_line(capsys, monkeypatch, tmp_path):
    def fail():
        raise Exception("URL fetch failure on https://...: None -- [Errno -3] Temporary failure in name resolution")

    monkeypatch.setenv("CNNKIT_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(keras.datasets.fashion_mnist, "load_data", fail)
    said = refused(capsys, "train", "dataset=fashion_mnist")
    assert "no download of" in said and "fashion_mnist.npz" in said and "CNNKIT_PROFILE=smoke" in said


def test_a_full_disk_is_said_in_one_line(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CNNKIT_RESULTS_DIR", str(tmp_path / "file"))
    assert "set CNNKIT_RESULTS_DIR to a folder that can be written" in refused(capsys, "train")


def test_ctrl_c_is_no_traceback(monkeypatch):
    def stopped(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sweeps, "run_all", stopped)
    assert main(["train"]) == 130


def test_datasets_are_listed_and_checked(capsys):
    assert main(["datasets"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("digits", "shapes", "mnist", "cifar100", "embedded"))
    assert main(["datasets", "--check", "digits"]) == 0
    assert "digits: no image occurs twice" in capsys.readouterr().out


def test_models_are_listed_and_printed(capsys):
    assert main(["models"]) == 0
    table = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert table["alexnet"] == ["227×227×3", "1000", "60,965,224", "724,406,816"] and "lenet5" in table
    assert main(["models", "lenet5_modern", "--input", "32x32x1"]) == 0
    assert "61,706" in capsys.readouterr().out


def test_train_trains_one_run_and_says_nothing_else(results_root):
    command = [sys.executable, "-m", "cnnkit", "train", "model=softmax", "train_size=60", "epochs=1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    row = store.read_runs("scratch").iloc[0]
    assert row["status"] == "completed" and row["run_id"] in done.stdout and row["device"].endswith("1 thread")
    assert row["run_id"] == RunConfig(model="softmax", train_size=60, epochs=1).run_id


def test_train_shows_the_row_that_is_there(capsys, monkeypatch):
    config = RunConfig(model="softmax", train_size=60, epochs=1, optimizer_args={"momentum": 0.5})
    row = training.train(config).row
    store.stage(row, pd.DataFrame(), "mine")
    words = ["model=softmax", "train_size=60", "epochs=1", 'optimizer_args={"momentum": 0.5}']
    assert main(["train", *words, "--experiment", "mine"]) == 0
    assert row["run_id"] in capsys.readouterr().out


def test_a_failed_run_is_a_failed_command(monkeypatch):
    failed = pd.DataFrame([training.failed_row(RunConfig(), ValueError("no luck"))])
    monkeypatch.setattr(sweeps, "run_all", lambda *args, **options: failed)
    assert main(["train"]) == 1


def test_why_says_where_a_figure_came_from(capsys, tmp_path):
    rows = pd.DataFrame({"run_id": ["a1", "b2"], "commit": ["0123456789"] * 2, "test_accuracy": [0.5, 0.6]})
    figure, axes = plt.subplots()
    plots.save_figure(axes, tmp_path / "figure.png", experiment="try", rows=rows)
    plt.close(figure)
    assert main(["why", str(tmp_path / "figure.png")]) == 0
    said = capsys.readouterr().out
    assert "experiment: try\n" in said and "runs: 2\n" in said and "commit: 0123456789\n" in said


def test_a_trained_network_is_saved_judged_and_asked(tmp_path, monkeypatch, capsys):
    Image.new("RGB", (90, 40), "white").save(tmp_path / "new.png")
    words = ["dataset=shapes", "model=softmax", "train_size=200", "epochs=1", "--save", "net.keras"]
    environment = os.environ | {"CNNKIT_RESULTS_DIR": str(tmp_path), "CNNKIT_PROFILE": "smoke"}
    command = [sys.executable, "-m", "cnnkit", "train", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment)
    monkeypatch.chdir(tmp_path)
    assert len(store.read_runs("scratch", tmp_path / "smoke")) == 1 and "test_accuracy" in done.stdout
    assert main(["predict", "net.keras", "new.png", "--out", "predictions.csv"]) == 0
    table = pd.read_csv("predictions.csv")
    assert table["file"].tolist() == ["new.png"] and 0.1 <= table["probability"][0] <= 1
    assert main(["evaluate", "net.keras", "shapes"]) == 0
    assert "of 1000 right" in capsys.readouterr().out


def test_a_search_from_words_tells_the_winner_and_its_command(results_root, capsys):
    words = [
        "dataset=digits",
        "train_size=100",
        "model=softmax",
        "epochs=1",
        "learning_rate=1e-3..1",
        "batch_size=16,32",
    ]
    assert main(["search", *words, "--budget", "3", "--experiment", "mine", "--workers", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    trials = pd.read_csv(store.results_dir() / "mine" / "trials.csv")
    assert len(trials) == 3 and said[-1].startswith(".venv/bin/python -m cnnkit train train_size=100 model=softmax")
    assert plots.read_provenance(store.results_dir() / "mine" / "trials.png")["runs"] == 3


def test_a_search_in_which_nothing_trains_says_so(results_root, capsys):
    words = ["dataset=digits", "train_size=60", "model=mlp", "epochs=1", "batch_size=8", "learning_rate=1e25..1e30"]
    assert main(["search", *words, "--budget", "2", "--experiment", "mine", "--workers", "1"]) == 1
    said = capsys.readouterr()
    assert "Expected a trial that trains. Received: 2 that diverged" in said.err and "diverged" in said.out
    assert not (store.results_dir() / "mine" / "trials.png").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (["search", "--budget", "20"], "Expected a space"),
        (["search", "learning_rate=1e-3..1", "--experiment", "knn"], "knn, the course's"),
        (["train", "epochs=1", "epochs=2"], "Expected each setting once. Received: epochs twice"),
        (["train", "epochs=1", "--save", ""], "ends in .keras"),
        (["train", "epochs=1", "--workers", "0"], "workers >= 1"),
        (["predict", "net.keras", "x.png", "--out", "."], "Expected a file that can be written"),
    ],
)
def test_words_that_would_be_ignored_are_refused(words, message, results_root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1 and message in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error():
    # Longer than a pipe holds: what is left of it is refused.
    code = "from cnnkit import __main__ as m; m.why = lambda args: print('word ' * 100_000); "
    code += "raise SystemExit(m.main(['why', 'x']))"
    words = f'"{sys.executable}" -c "{code}" | head -c 9'
    done = subprocess.run(words, shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("word word", "")
