"""What a row says of its making: versions, device and commit."""

import functools
import importlib
import os
import platform
import subprocess
from pathlib import Path

import keras

from cnnkit import CHECKOUT, __version__


@functools.cache
def provenance():
    """Return what a row says of its making: versions, device and commit, as they were when it was first asked."""
    name = keras.backend.backend()
    backend = f"{name} {importlib.import_module(name).__version__}"
    versions = {"cnnkit": __version__, "keras": keras.__version__, "backend": backend}
    return versions | {"device": _device(), "commit": _commit()}


def use_one_thread():
    """Let TensorFlow train with one thread, as recorded runs do: more would change a run's last bits."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.threading.get_intra_op_parallelism_threads() != 1:  # it can be set only before the first operation
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)


def gpu_names():
    """Return the names of the GPUs that the Keras backend sees."""
    if keras.backend.backend() != "tensorflow":
        return [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]


def cpu_name():
    """Return the CPU's name with its family and model, as exactly as bit-identical results need."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        facts = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
        return f"{facts['model name'].strip()} (family {facts['cpu family'].strip()}, model {facts['model'].strip()})"
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def _device():
    if gpus := gpu_names():
        return gpus[0]
    if keras.backend.backend() != "tensorflow":
        return cpu_name()
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return f"{cpu_name()}, {threads or 'all'} thread{'' if threads == 1 else 's'}"


def _commit():
    """Return the commit of cnnkit's own repository, with "+changes" if files of the package differ from it."""
    if CHECKOUT is None:
        return "installed"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # set in a hook

    def git(*words):
        options = {"cwd": CHECKOUT, "env": environment, "text": True}
        return subprocess.check_output(["git", *words], stderr=subprocess.DEVNULL, **options).strip()

    try:
        if not CHECKOUT.samefile(git("rev-parse", "--show-toplevel")):  # a copy inside somebody else's repository
            return "unknown"
        git("ls-files", "--error-unmatch", "cnnkit/__init__.py")
        return git("rev-parse", "--short=10", "HEAD") + ("+changes" if git("status", "--porcelain", "cnnkit") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
