"""Import Keras without TensorFlow's start-up log, which no setting of TensorFlow 2.21 turns off."""

import multiprocessing
import os
import signal
import sys


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


def dask_setup(worker):
    """Dask calls this when it starts one of our workers (a worker preload), so that the first run need not wait."""
    if multiprocessing.parent_process():  # Ctrl-C in a terminal goes to all: the parent stops its workers, quietly
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    import_keras()
