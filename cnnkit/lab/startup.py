"""How processes start and stop: Keras imported without noise, workers forked from a process that has it, Ctrl-C."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing import forkserver, resource_tracker, spawn
from pathlib import Path

# Each batch takes and returns megabytes, which glibc would give back and fetch again every time (no issue known).
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26)}  # bytes
STOP_SECONDS = 20


def import_keras():
    """Import Keras and its backend with the process's standard error held shut for that moment; errors still raise.

    No setting turns TensorFlow's start-up log off (https://github.com/tensorflow/tensorflow/issues/100442). Numbers are
    float32 and channels last, whatever `~/.keras/keras.json` or an earlier line says: a run is the same for every user.
    """
    if "keras" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # and its later notes: what matters is raised
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            with open(os.devnull, "w") as devnull, interrupted_later():  # an import may swallow Ctrl-C, or be half done
                os.dup2(devnull.fileno(), 2)
                import keras  # noqa: F401
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    config = sys.modules["keras"].config
    config.set_floatx("float32")
    config.set_image_data_format("channels_last")
    config.set_epsilon(1e-7)
    config.set_max_epochs(None)  # Keras takes these from the environment, to try a script quickly
    config.set_max_steps_per_epoch(None)


def prepare_workers():
    """Start the process that workers are forked from: it imports Keras, meanwhile this one may import its own."""
    spawn.get_preparation_data = _preparation_data
    os.environ.update(MALLOC | os.environ)  # read when a process starts
    multiprocessing.get_context("forkserver").set_forkserver_preload(["cnnkit.lab.preload", "cnnkit.lab.sweeps"])
    resource_tracker.ensure_running()  # the other process there is; to start it lets Ctrl-C through
    # A terminal's Ctrl-C goes to the new process, too, which ignores it only when it has imported everything
    # (https://github.com/python/cpython/issues/74371): what is blocked is so from its start, and heard here afterwards.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_with_main = spawn.get_preparation_data


def _preparation_data(name):
    """Return what a new process is told of its parent; a worker of Dask's is not told to import the parent's script."""
    # Without `if __name__ == "__main__"` that would start its own sweep (https://github.com/dask/distributed/issues/4751).
    told = _with_main(name)
    return {k: v for k, v in told.items() if not (name.startswith("Dask Worker") and k.startswith("init_main"))}


def dask_setup(worker):
    """Dask calls this when it starts one of our workers (a worker preload), so that the first run need not wait."""
    if multiprocessing.parent_process():  # Ctrl-C in a terminal goes to all: the parent stops its workers, quietly
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(OSError):  # where memory runs out, Linux kills a run and not the sweep
            Path("/proc/self/oom_score_adj").write_text("1000")
    import_keras()


def interrupted_once():
    """Return a context in which Ctrl-C interrupts once in `STOP_SECONDS`: to stop workers takes a while."""
    heard = []

    def stop(*_):
        if not heard or time.monotonic() - heard[-1] >= STOP_SECONDS:
            heard.append(time.monotonic())
            raise KeyboardInterrupt

    return _on_interrupt(stop)


@contextlib.contextmanager
def interrupted_later():
    """Hold Ctrl-C back until this context is left."""
    heard = []
    with _on_interrupt(lambda *_: heard.append(True)):
        yield
    if heard:
        signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def _on_interrupt(handler):
    """Set what Ctrl-C does, unless it is ignored anyway; only the main thread can."""
    before = signal.getsignal(signal.SIGINT)
    ours = callable(before) and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)
