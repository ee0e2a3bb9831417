"""The processes that train: forked from one that has Keras imported already, where the system can fork."""

import multiprocessing
import os
import signal
from multiprocessing import forkserver

from cnnkit.quiet import import_keras

# Each batch takes and returns some megabytes, which glibc would give back to the system and fetch again every time.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26)}  # bytes
START_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def prepare_workers():
    """Start the process that workers are forked from: it imports Keras while this one goes on.

    `sweeps.run_all` does it when it has something to train. Called first of all in a script, it saves the seconds that
    the script takes to import Keras for itself. Where the system cannot fork, it does nothing.
    """
    if START_METHOD == "forkserver":
        os.environ.update(MALLOC | os.environ)  # read when a process starts
        multiprocessing.get_context("forkserver").set_forkserver_preload(["cnnkit.preload", "distributed"])
        forkserver.ensure_running()


def dask_setup(worker):
    """Dask calls this when it starts one of our workers (a worker preload), so that the first run need not wait."""
    if multiprocessing.parent_process():  # Ctrl-C in a terminal goes to all: the parent stops its workers, quietly
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_keras()
