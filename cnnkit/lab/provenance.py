"""What a row says of its making: versions, device and commit."""

import functools
import importlib
import os
import platform
import re
import subprocess
from pathlib import Path

import keras

from cnnkit import CHECKOUT, __version__

BACKEND = importlib.import_module(keras.backend.backend())
tf = BACKEND if keras.backend.backend() == "tensorflow" else None


@functools.cache
def provenance():
    """Return what a row says of its making, as it was when first asked: a dict of versions, device and commit."""
    backend = f"{keras.backend.backend()} {BACKEND.__version__}"
    device = (gpu_names() or [cpu_name()])[0]
    if tf and not gpu_names():
        threads = tf.config.threading.get_intra_op_parallelism_threads()
        device += f", {threads or 'all'} thread{'' if threads == 1 else 's'}"
    versions = {"cnnkit": __version__, "keras": keras.__version__, "backend": backend}
    return versions | {"device": device, "commit": _commit()}


def use_one_thread():
    """Let TensorFlow train with one thread, as recorded runs do: more would change a run's last bits."""
    if tf and tf.config.threading.get_intra_op_parallelism_threads() != 1:  # to be set before the first operation only
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def gpu_names():
    """Return the names of the GPUs that the Keras backend sees."""
    if not tf:
        return [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [one.get("device_name", "GPU") for one in details]


def cpu_name():
    """Return the CPU's name with its family and model, as exactly as bit-identical results need."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0]  # of the first core
        facts = dict(re.findall(r"^(.+?)\s*: (.*?)\s*$", lines, re.MULTILINE))
        return f"{facts['model name']} (family {facts['cpu family']}, model {facts['model']})"
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def _commit():
    """Return the commit of cnnkit's own repository, with "+changes" if files of the package differ from it."""
    if CHECKOUT is None:
        return "installed"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # set in a hook
    options = {"cwd": CHECKOUT, "env": environment, "text": True, "stderr": subprocess.DEVNULL}

    def git(*words):
        return subprocess.check_output(["git", *words], **options).strip()

    try:
        git("ls-files", "--error-unmatch", "cnnkit/__init__.py")
        if not CHECKOUT.samefile(git("rev-parse", "--show-toplevel")):  # a copy inside somebody else's repository
            return "unknown"
        return git("rev-parse", "--short=10", "HEAD") + ("+changes" if git("status", "--porcelain", "cnnkit") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
