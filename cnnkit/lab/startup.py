"""How processes start: Keras imported without noise, and workers forked from a process that has it already."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing import forkserver, spawn
from pathlib import Path

# Each batch takes and returns some megabytes, which glibc would give back to the system and fetch again every time
# (https://github.com/tensorflow/tensorflow/issues/44176 tells of what it keeps otherwise).
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26)}  # bytes
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
WORKER = "Dask Worker"  # how Dask names its processes


def import_keras():
    """Import Keras and its backend with the process's standard error held shut for that moment; errors still raise.

    No setting of TensorFlow 2.21 turns its start-up log off (https://github.com/tensorflow/tensorflow/issues/62770).
    Numbers are float32 and channels last, whatever `~/.keras/keras.json` says: a run is the same for every user.
    """
    if "keras" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # and its later notes: what matters is raised
        sys.stderr.flush()
        kept, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(devnull, 2)
            import keras  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(devnull)
    config = sys.modules["keras"].config
    config.set_floatx("float32")
    config.set_image_data_format("channels_last")
    config.set_epsilon(1e-7)


def prepare_workers():
    """Start the process that workers are forked from: it imports Keras while this one goes on.

    `sweeps.run_all` does it when it has something to train. Called first of all in a script, it saves the seconds that
    the script takes to import Keras for itself. Where the system cannot fork, it does nothing.
    """
    spawn.get_preparation_data = _preparation_data
    if START_METHOD == "forkserver":
        os.environ.update(MALLOC | os.environ)  # read when a process starts
        multiprocessing.get_context("forkserver").set_forkserver_preload(["cnnkit.lab.preload", "distributed"])
        with _deaf_to_interrupts():  # it hears Ctrl-C in a terminal, too, and would print pages while it imports
            forkserver.ensure_running()


@contextlib.contextmanager
def _deaf_to_interrupts():
    """Ignore SIGINT for a moment; a process that is started now ignores it for ever."""
    if threading.current_thread() is not threading.main_thread():  # only there may it be set
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_with_main = spawn.get_preparation_data


def _preparation_data(name):
    """Return what a new process is told of its parent; a worker of ours is not told to import the parent's script.

    What it needs of that script travels by value. Without a guard (`if __name__ == "__main__"`) the script would start
    its own sweep in each worker (https://github.com/dask/distributed/issues/2422).
    """
    data = _with_main(name)
    if name.startswith(WORKER):
        data = {key: value for key, value in data.items() if not key.startswith("init_main")}
    return data


def dask_setup(worker):
    """Dask calls this when it starts one of our workers (a worker preload), so that the first run need not wait."""
    if multiprocessing.parent_process():  # Ctrl-C in a terminal goes to all: the parent stops its workers, quietly
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(OSError):  # where memory runs out, Linux kills a run and not the sweep
            Path("/proc/self/oom_score_adj").write_text("1000")
    import_keras()
