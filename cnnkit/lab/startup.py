"""How processes start: Keras imported without noise, and workers forked from a process that has it already."""

import multiprocessing
import os
import signal
import sys
from multiprocessing import forkserver

# Each batch takes and returns some megabytes, which glibc would give back to the system and fetch again every time.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26)}  # bytes
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def import_keras():
    """Import Keras and its backend with the process's standard error held shut for that moment; errors still raise."""
    if "keras" in sys.modules:
        return
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


def prepare_workers():
    """Start the process that workers are forked from: it imports Keras while this one goes on.

    `sweeps.run_all` does it when it has something to train. Called first of all in a script, it saves the seconds that
    the script takes to import Keras for itself. Where the system cannot fork, it does nothing.
    """
    if START_METHOD == "forkserver":
        os.environ.update(MALLOC | os.environ)  # read when a process starts
        multiprocessing.get_context("forkserver").set_forkserver_preload(["cnnkit.lab.preload", "distributed"])
        forkserver.ensure_running()


def dask_setup(worker):
    """Dask calls this when it starts one of our workers (a worker preload), so that the first run need not wait."""
    if multiprocessing.parent_process():  # Ctrl-C in a terminal goes to all: the parent stops its workers, quietly
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_keras()
