"""Sweeps: exactly the runs that were asked for, once each, whoever is killed in the middle."""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cloudpickle
import distributed
import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers

from cnnkit import models
from cnnkit.lab import startup, store, sweeps, training
from cnnkit.lab.config import RunConfig
from cnnkit.lab.store import TIME_COLUMNS
from cnnkit.models import registry

TINY = RunConfig(model="softmax", train_size=60, epochs=1)
CONFIGS = [TINY.replace(seed=1 + i) for i in range(24)]
TERMINAL = """
import signal
import sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts without it

from cnnkit.lab import sweeps
from cnnkit.lab.config import RunConfig
from cnnkit.models import register


@register
def waits(input_shape, num_classes, seconds=0):
    import multiprocessing
    import time

    import keras

    if multiprocessing.parent_process():
        time.sleep(seconds)
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)])


config = RunConfig(model="waits", train_size=60, epochs=1)
sweeps.run_all([config, *(config.replace(model_args={"seconds": 1e6 + i}) for i in range(23))], "try", workers=1)
"""
NOTEBOOK = """
import keras
from keras import layers

from cnnkit.lab import sweeps
from cnnkit.lab.config import RunConfig
from cnnkit.models import register


class Half(keras.layers.Layer):
    def call(self, x):
        return x / 2


keras.saving.get_custom_objects()["Half"] = Half


@keras.saving.register_keras_serializable("own")
def steps(x):
    return keras.ops.relu(x) / 2


@register
def mine(input_shape, num_classes, width=4):
    pixels = keras.Input(input_shape)
    x = keras.saving.get_custom_objects()["Half"]()(layers.Flatten()(pixels))
    hidden = layers.Dense(width, activation=keras.saving.get_registered_object("own>steps"))
    return keras.Model(pixels, layers.Dense(num_classes)(hidden(x)))


if __name__ == "__main__":
    configs = [RunConfig(model="mine", train_size=60, epochs=1, seed=seed) for seed in (1, 2, 3)]
    print(list(sweeps.run_all(configs, "try", workers=1)["status"]))
"""


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_BUILDERS", dict(registry._BUILDERS))


@pytest.fixture(scope="module")
def two_workers():
    with sweeps.cluster(2) as client:
        yield client


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Address of a real `dask scheduler` with two real `dask worker`s, as on two hosts."""
    file = tmp_path_factory.mktemp("dask") / "scheduler.json"
    options = ["--scheduler-file", str(file), "--no-dashboard"]
    workers = ["worker", *options, "--nthreads", "1", "--host", "127.0.0.1", "--preload", "cnnkit.lab.startup"]
    commands = [["scheduler", *options, "--host", "127.0.0.1", "--port", "0"], workers, workers]
    processes = [subprocess.Popen([sys.executable, "-m", "dask", *c], stderr=subprocess.DEVNULL) for c in commands]
    wait_for(file.exists)
    address = json.loads(file.read_text())["address"]
    with distributed.Client(address) as client:
        client.wait_for_workers(2)
    yield address
    for process in reversed(processes):
        process.terminate()
        process.wait()


def no_dask(*args):
    raise AssertionError("Dask was started for runs that the store has")


def wait_for(condition):
    """Wait until something is so; the limit only keeps a broken test from waiting for ever."""
    for _ in range(6000):
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError("waited too long")


def wait_for_runs(count):
    wait_for(lambda: len(store.read_runs("try")) >= count)


def cell(builder):
    """Register a model as a notebook cell does."""
    builder.__module__, builder.__name__ = "__main__", builder.__name__.removesuffix("_again")
    return models.register(builder)


def linear(input_shape, num_classes):
    return keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(num_classes)])


def in_worker():
    return multiprocessing.parent_process() is not None


def assert_same_tables(one, other):
    for table in (store.read_runs, store.read_history):
        ours, theirs = (table(name).drop(columns=list(TIME_COLUMNS), errors="ignore") for name in (one, other))
        pd.testing.assert_frame_equal(ours, theirs, check_exact=True)


def start_script(tmp_path, code):
    """Start a script as from a terminal."""
    script = tmp_path / "script.py"
    script.write_text(code)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen([sys.executable, str(script)], **options)


def start_parent(configs, scheduler, builder=None):
    """Start a sweep in a process of its own, forked from one that has imported TensorFlow already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cnnkit.lab.sweeps"])
    fields = [dataclasses.asdict(config) for config in configs]
    task = cloudpickle.dumps((fields, scheduler, builder, os.environ["CNNKIT_RESULTS_DIR"]))
    parent = context.Process(target=_sweep, args=(task,))
    parent.start()
    return parent


def _sweep(task):
    fields, scheduler, builder, os.environ["CNNKIT_RESULTS_DIR"] = cloudpickle.loads(task)
    if builder is not None:
        cell(builder)
    sweeps.run_all([RunConfig(**one) for one in fields], "try", workers=1, scheduler=scheduler)


def test_exactly_the_runs_asked_for_in_the_order_asked(two_workers):
    seeds = [TINY.replace(seed=seed) for seed in (3, 1, 2)]
    sweeps.run_all(seeds[:2], "try", client=two_workers)
    frame = sweeps.run_all([seeds[2], seeds[0], seeds[2]], "try", client=two_workers)
    assert frame["run_id"].tolist() == [seeds[2].run_id, seeds[0].run_id]
    assert frame["status"].tolist() == ["completed"] * 2
    assert len(store.read_runs("try")) == 3


def test_no_runs_are_no_rows():
    assert sweeps.run_all([], "try").empty


def test_finished_runs_come_from_the_store(two_workers, monkeypatch):
    config = TINY.replace(precision="mixed_bfloat16", augmentation="flip")
    before = sweeps.run_all([config], "try", client=two_workers)
    monkeypatch.setattr(sweeps, "_start", no_dask)
    pd.testing.assert_frame_equal(sweeps.run_all([config], "try"), before)


def test_the_number_of_workers_does_not_change_a_row(two_workers):
    base = TINY.replace(model="mlp", model_args={"units": [16], "dropout_rate": 0.5}, optimizer="adam", epochs=2)
    arms = [base, base.replace(augmentation="shift"), base.replace(ema=0.9), TINY]
    configs = [arm.replace(seed=seed) for arm in arms for seed in (1, 2)]
    sweeps.run_all(configs, "two", client=two_workers)
    sweeps.run_all(configs, "one", workers=1)
    assert_same_tables("one", "two")


def test_a_worker_trains_what_a_fresh_process_trains(two_workers):
    configs = [TINY.replace(learning_rate=rate) for rate in (0.1, 0.5)]
    sweeps.run_all(configs, "workers", client=two_workers)
    for config in configs:
        run = training.train(config)
        store.stage(run.row, run.history, "here")
    assert_same_tables("workers", "here")


def test_workers_know_the_models_of_a_script(tmp_path):
    output, errors = start_script(tmp_path, NOTEBOOK).communicate()
    assert output.strip() == "['completed', 'completed', 'completed']", errors


def test_diverged_and_failed_runs_are_rows_and_the_others_go_on(two_workers, tmp_path):
    trap = tmp_path / "trap"
    trap.touch()

    @cell
    def fails(input_shape, num_classes, trap=""):
        if in_worker() and Path(trap).exists():
            raise RuntimeError("not today")
        return linear(input_shape, num_classes)

    diverging = TINY.replace(model="mlp", learning_rate=1e30, epochs=3)
    failing = TINY.replace(model="fails", model_args={"trap": str(trap)})
    frame = sweeps.run_all([diverging, failing, TINY], "try", client=two_workers)
    assert frame["status"].tolist() == ["diverged", "failed", "completed"]
    assert "(RuntimeError: not today)" in frame["error"][1]
    assert failing.run_id not in set(store.read_history("try")["run_id"])
    trap.unlink()
    frame = sweeps.run_all([diverging, failing, TINY], "try", client=two_workers)  # only the failed one is tried again
    assert frame["status"].tolist() == ["diverged", "completed", "completed"]


def test_the_only_worker_is_killed_and_given_up_but_no_run_is_lost(tmp_path, monkeypatch):
    @cell
    def kills_once(input_shape, num_classes, mark=""):
        if in_worker() and not Path(mark).exists():
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return linear(input_shape, num_classes)

    # Importing TensorFlow takes longer than this: Dask will not have the old worker back.
    monkeypatch.setitem(sweeps.DASK_SETTINGS, "distributed.deploy.lost-worker-timeout", "1s")
    once = TINY.replace(model="kills_once", model_args={"mark": str(tmp_path / "mark")})
    assert sweeps.run_all([once, TINY], "try", workers=1)["status"].tolist() == ["completed"] * 2


def test_a_run_that_kills_its_workers_is_a_failed_row_and_costs_no_other(two_workers):
    @cell
    def kills_always(input_shape, num_classes):
        if in_worker():
            os.kill(os.getpid(), signal.SIGKILL)
        return linear(input_shape, num_classes)

    always = TINY.replace(model="kills_always")
    frame = sweeps.run_all([always, TINY, TINY.replace(seed=2)], "try", client=two_workers)
    assert frame["status"].tolist() == ["failed", "completed", "completed"]
    assert "its worker died three times, perhaps for want of memory: it needs at least 0.0 GiB" in frame["error"][0]


@pytest.mark.parametrize("times", [1, 5])
def test_ctrl_c_leaves_a_valid_store_and_says_how_to_go_on(tmp_path, results_root, times):
    process = start_script(tmp_path, TERMINAL)
    wait_for_runs(1)
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to every process of the command
        time.sleep(0.1)  # somewhere in the stopping of workers, or after it
    _, errors = process.communicate()
    assert process.returncode != 0 and len(store.read_runs("try")) == 1
    assert "Stopped. 1 of 24 runs of try are kept; the same command goes on." in errors
    assert "nanny" not in errors.lower() and errors.count("Traceback") <= 1
    assert list((results_root / ".staging" / "try").glob("*.json")) == []


def test_ctrl_c_while_workers_start_stops_them_all(tmp_path):
    process = start_script(tmp_path, TERMINAL)
    started = f"/proc/{process.pid}/task/{process.pid}/children"
    wait_for(lambda: Path(started).read_text().split())  # the process that workers are forked from imports Keras
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()  # it ends when every process has closed it
    assert process.returncode != 0 and errors.count("Traceback") <= 1


def test_ctrl_c_while_the_process_of_the_workers_starts_is_heard_afterwards(monkeypatch):
    ended = []

    def start():
        signal.raise_signal(signal.SIGINT)
        ended.append(True)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts without it
    monkeypatch.setattr(startup.forkserver, "ensure_running", start)
    with pytest.raises(KeyboardInterrupt):
        startup.prepare_workers()
    signal.signal(signal.SIGINT, before)
    assert ended and signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def gated(input_shape, num_classes, gate=""):
    """A linear layer that a worker builds only with a ticket from the folder `gate`; without one the run waits.

    Workers of a scheduler know nothing of this file, so that all it needs is in it.
    """
    import multiprocessing
    import time
    from pathlib import Path

    import keras

    waiting = multiprocessing.parent_process() is not None
    while waiting:
        time.sleep(0.01)
        for ticket in Path(gate).iterdir():  # it raises when the test is over
            with contextlib.suppress(FileNotFoundError):  # else another worker was faster
                ticket.unlink()
                waiting = False
                break
    flat = [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)]
    return keras.Sequential(flat)


def test_a_parent_killed_ten_times_and_resumed_ends_with_the_same_table(scheduler, tmp_path):
    gate = tmp_path / "gate"
    gate.mkdir()
    cell(gated)
    # More runs than ten parents with up to two tickets and two stragglers each can finish.
    configs = [TINY.replace(model="gated", model_args={"gate": str(gate)}, seed=1 + i) for i in range(42)]
    dice = random.Random(1)
    where = [scheduler] * 8 + [None] * 2  # twice with workers of its own
    dice.shuffle(where)
    for address in where:
        count = len(store.read_runs("try"))
        goal = count + dice.randint(1, 2)
        parent = start_parent(configs, address, gated)

        def enough(goal=goal):
            if (kept := len(store.read_runs("try"))) < goal and not any(gate.iterdir()):
                (gate / f"{time.time_ns()}").touch()  # runs of dead parents take tickets, too
            return kept >= goal

        wait_for(enough)
        parent.kill()  # it cannot be done: the other runs wait for tickets
        parent.join()
        assert parent.exitcode == -signal.SIGKILL
        ids = store.read_runs("try")["run_id"]
        assert ids.is_unique and count < len(ids) < len(configs)
        assert store.read_runs("try")["status"].eq("completed").all()
    for number in range(200):
        (gate / f"last{number}").touch()
    sweeps.run_all(configs, "try", scheduler=scheduler)
    frame = sweeps.run_all(configs, "unbroken", scheduler=scheduler)
    assert frame["status"].eq("completed").all() and len(frame) == len(configs)
    assert_same_tables("try", "unbroken")


def test_two_parents_at_once_lose_and_double_nothing(scheduler):
    parents = [start_parent(configs, scheduler) for configs in (CONFIGS[:16], CONFIGS[:7:-1])]
    for parent in parents:
        parent.join()
    assert [parent.exitcode for parent in parents] == [0, 0]
    runs, history = store.read_runs("try"), store.read_history("try")
    assert runs["run_id"].tolist() == sorted(config.run_id for config in CONFIGS)
    assert len(history) == len(CONFIGS) and runs["status"].eq("completed").all()


def test_rows_of_other_data_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CNNKIT_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(sweeps, "_start", no_dask)
    config = TINY.replace(dataset="mnist")
    was = write_mnist(tmp_path, seed=1, config=config)
    run = training.train(config)
    store.stage(run.row, run.history, "try")
    assert len(sweeps.run_all([config], "try")) == 1
    now = write_mnist(tmp_path, seed=2, config=config)
    with pytest.raises(ValueError, match=f"stale rows, 1 of 1.* data_sha256 {was[:12]}, here it is {now[:12]}.*--refr"):
        sweeps.run_all([config], "try")
    (tmp_path / "mnist.npz").unlink()  # with nothing to compare with, the row is what there is
    assert len(sweeps.run_all([config], "try")) == 1


def write_mnist(folder, seed, config):
    images = np.random.default_rng(seed).integers(0, 256, size=(200, 28, 28), dtype="uint8")
    labels = np.arange(200) % 10
    np.savez(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images[:50], y_test=labels[:50])
    return training.fingerprint(config)["data_sha256"]


def test_a_refresh_that_fails_is_an_error_and_the_old_row_stays(two_workers, monkeypatch):
    run = training.train(TINY)
    store.stage(run.row | {"model_sha256": "0" * 64}, run.history, "try")
    failed = training.failed_row(TINY, RuntimeError("not today"))
    monkeypatch.setattr(sweeps, "_outcome", lambda *args: (failed, pd.DataFrame()))
    with pytest.raises(ValueError, match=rf"Expected all stale rows of try .* 1 failed \({TINY.run_id}"):
        sweeps.run_all([TINY], "try", client=two_workers, refresh=True)
    assert store.read_runs("try")["status"].tolist() == ["completed"]


def test_rows_of_another_architecture_are_refused_until_refreshed(two_workers, monkeypatch):
    @cell
    def edited(input_shape, num_classes):
        return linear(input_shape, num_classes)

    config = TINY.replace(model="edited")
    was = sweeps.run_all([config], "try", client=two_workers).iloc[0]

    @cell
    def edited_again(input_shape, num_classes):
        pixels = keras.Input(input_shape)
        x = layers.Dense(5)(layers.Flatten()(pixels))
        return keras.Model(pixels, layers.Dense(num_classes)(x))

    now = training.fingerprint(config)["model_sha256"]
    with pytest.raises(ValueError, match=f"model_sha256 {was['model_sha256'][:12]}, here it is {now[:12]}"):
        sweeps.run_all([config, TINY], "try", client=two_workers)
    assert len(store.read_runs("try")) == 1  # refused before any training
    frame = sweeps.run_all([config], "try", client=two_workers, refresh=True)
    assert frame["status"].tolist() == ["completed"], frame["error"][0]
    assert frame["model_sha256"][0] == now and frame["num_params"][0] != was["num_params"]
    monkeypatch.setattr(sweeps, "_start", no_dask)
    sweeps.run_all([config], "try")


def test_a_script_without_a_guard_trains(tmp_path):
    code = NOTEBOOK.replace('if __name__ == "__main__":\n    configs', "if True:\n    configs")
    output, errors = start_script(tmp_path, code).communicate()
    assert output.strip() == "['completed', 'completed', 'completed']", errors


def test_no_more_workers_than_runs_are_started(monkeypatch):
    asked = []
    monkeypatch.setattr(sweeps, "_start", lambda stack, workers, scheduler: asked.append(workers) or no_dask())
    with pytest.raises(AssertionError, match="Dask was started"):
        sweeps.run_all(CONFIGS[:3], "try", workers=1000)
    assert asked == [3]


def test_a_run_too_large_for_the_machine_is_a_failed_row_and_the_others_go_on(two_workers):
    large = TINY.replace(model="mlp", model_args={"units": [10**9]})  # 795 weights a unit, three times, of four bytes
    frame = sweeps.run_all([large, TINY], "try", client=two_workers)
    assert frame["status"].tolist() == ["failed", "completed"]
    assert frame["error"][0].startswith("MemoryError: it needs at least 8884.")


def test_what_a_sweep_will_cost_is_said_before_it_starts(monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "_start", no_dask)
    monkeypatch.setenv("CNNKIT_PROGRESS", "on")
    run = training.train(TINY)
    store.stage(run.row | {"train_seconds": 20.0}, run.history, "try")  # an epoch
    for epochs, said in ((2, "about 80 seconds"), (9, "about 6 minutes")):
        with pytest.raises(AssertionError, match="Dask was started"):
            sweeps.run_all([TINY, *(TINY.replace(seed=seed, epochs=epochs) for seed in (2, 3))], "try")
        assert f"try: 2 runs to train, {said} of one core." in capsys.readouterr().err


def test_users_settings_of_keras_do_not_change_a_run(tmp_path):
    (tmp_path / "keras.json").write_text('{"floatx": "float16", "image_data_format": "channels_first"}')
    code = (
        "import keras; from cnnkit.lab import training; print(keras.config.floatx(), keras.config.image_data_format())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"KERAS_HOME": str(tmp_path)}, capture_output=True
    )
    assert done.stdout.split() == [b"float32", b"channels_last"], done.stderr


@pytest.fixture
def silent_port():
    """A port that takes a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_a_port_that_says_nothing_is_given_up(monkeypatch, silent_port):
    monkeypatch.setattr(sweeps, "CONNECT_SECONDS", 1)
    with pytest.raises(OSError, match=f"Expected a Dask scheduler at {silent_port}. Received: "):
        sweeps.run_all([TINY], "try", scheduler=silent_port)


def test_a_scheduler_without_workers_is_given_up(monkeypatch):
    monkeypatch.setattr(sweeps, "CONNECT_SECONDS", 1)
    message = "Expected workers at the scheduler .* Received: none. Start one"
    lonely = distributed.LocalCluster(n_workers=0, processes=False, dashboard_address="127.0.0.1:0")
    with lonely, pytest.raises(OSError, match=message):
        sweeps.run_all([TINY], "try", scheduler=lonely.scheduler_address)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "127.0.0.1", "nonsense://here"])
def test_a_scheduler_that_does_not_answer_is_one_clear_error(monkeypatch, address):
    monkeypatch.setattr(sweeps, "CONNECT_SECONDS", 1)
    with pytest.raises(OSError, match=f"Expected a Dask scheduler at {address}. Received: .* Start one with"):
        sweeps.run_all([TINY], "try", scheduler=address)


def test_a_run_that_does_not_fit_is_refused_before_any_training(monkeypatch):
    monkeypatch.setattr(sweeps, "_start", no_dask)
    with pytest.raises(ValueError, match="for lenet5"):
        sweeps.run_all([TINY, TINY.replace(dataset="shapes", model="lenet5")], "try")
    with pytest.raises(ValueError, match="Expected batch_size of at most 60"):
        sweeps.run_all([TINY, TINY.replace(batch_size=61)], "try")
    with pytest.raises(ValueError, match=r"Expected workers >= 1, .*Received: workers=0"):
        sweeps.run_all([TINY], "try", workers=0)


def test_a_results_folder_that_cannot_be_written_is_said_before_any_training(monkeypatch, tmp_path):
    monkeypatch.setattr(sweeps, "_start", no_dask)
    (tmp_path / "file").touch()
    monkeypatch.setenv("CNNKIT_RESULTS_DIR", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"Expected to write .* Received: Not a directory"):
        sweeps.run_all([TINY], "try")
