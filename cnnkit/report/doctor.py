"""What this machine has, and one line of advice for each thing it lacks."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from pathlib import Path

from cnnkit import HOME, data
from cnnkit.lab import store

PACKAGES = ("tensorflow", "keras", "keras-tuner", "numpy", "pandas", "distributed", "seaborn", "jupyterlab")
FREE_GIGABYTES = 5
LOCK = HOME / "requirements.lock"


def report():
    """Print every check, then the advice; return 1 if something must be mended before cnnkit can work, else 0."""
    checks = [*_python(), *_packages()]
    if not any(fatal for *_, fatal in checks):
        checks += [*_hardware(), *_datasets(), *_disk()]
    for name, value, _, _ in checks:
        print(f"{name:<16} {value}")
    advice = [f"  {name}: {text}" for name, _, text, _ in checks if text]
    print("\n".join(["\nAdvice:", *advice]) if advice else "\nAll is well.")
    return int(any(fatal for *_, fatal in checks))


# Each check is (name, what is there, advice or "", whether cnnkit cannot work like this).


def _python():
    fine = (3, 11) <= sys.version_info[:2] <= (3, 13)
    advice = "" if fine else "cnnkit needs 3.11 to 3.13: make PYTHON=python3.12"
    yield "Python", platform.python_version(), advice, not fine


def _packages():
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK.read_text(), re.MULTILINE)) if LOCK.exists() else {}
    for name in PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "missing", "install what is tested: make clean quickstart", True
            continue
        other = name in tested and tested[name] != version
        yield name, version, f"tested with {tested[name]}: rows may differ in their last bits" if other else "", False


def _hardware():
    from cnnkit.lab.startup import import_keras

    import_keras()
    from cnnkit.lab.provenance import cpu_name, gpu_names
    from cnnkit.lab.sweeps import count_cores

    cores, flags = count_cores(), _cpu_flags()
    yield "cores", str(cores), "" if cores > 1 else "one run trains at a time; --scheduler uses other machines", False
    yield "CPU", cpu_name(), "", False
    yield "bfloat16", "avx512_bf16" if "avx512_bf16" in flags else "no AVX-512 instruction", "", False
    yield "AMX", "amx_bf16: mixed_bfloat16 is fast here" if "amx_bf16" in flags else "no", "", False
    yield "GPU", ", ".join(gpu_names()) or "none: everything here runs without one", "", False


def _cpu_flags():
    try:
        return re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE).group(1).split()
    except (OSError, AttributeError):
        return []


def _datasets():
    for _, line in data.describe().iterrows():
        missing = line["status"] == "downloads"
        advice = f"put a good file at {line['where']} if there is no network" if missing else ""
        yield line["name"], line["status"], advice, False


def _disk():
    folder = store.results_dir()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 1e9
    advice = f"less than {FREE_GIGABYTES} GB: CIFAR-10 alone takes 0.4" if free < FREE_GIGABYTES else ""
    yield "disk", f"{free:.0f} GB free", advice, False
    writable = os.access(folder, os.W_OK)
    advice = "" if writable else "set CNNKIT_RESULTS_DIR to a folder you can write"
    yield "results", "writable" if writable else "not writable", advice, not writable
