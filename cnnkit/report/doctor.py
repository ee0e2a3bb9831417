"""What this machine has, and one line of advice for each thing it lacks."""

import importlib.metadata
import os
import platform
import re
import shutil
from pathlib import Path

from cnnkit import HOME, data
from cnnkit.lab import startup, store

PACKAGES = ("tensorflow", "keras", "keras-tuner", "numpy", "pandas", "distributed", "seaborn", "jupyterlab")
LOCK = HOME / "requirements.lock"


def report():
    """Print every check, `(name, what is there, advice or "")`; return 1 if cnnkit cannot work like this, else 0."""
    checks = [("Python", platform.python_version(), ""), *_packages()]
    if "missing" not in [value for _, value, _ in checks]:
        checks += [*_hardware(), *_speed(), *_datasets(), *_disk()]
    for name, value, _ in checks:
        print(f"{name:<16} {value}")
    advice = [f"  {name}: {text}" for name, _, text in checks if text]
    print("\n".join(["\nAdvice:", *advice] if advice else ["\nAll is well."]))
    return int(any(value in ("missing", "not writable") for _, value, _ in checks))


def _packages():
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK.read_text(), re.MULTILINE)) if LOCK.exists() else {}
    for name in PACKAGES:
        try:
            version = importlib.metadata.version(name)
            same = tested.get(name, version) == version
            yield name, version, "" if same else f"tested with {tested[name]}: rows may differ in their last bits"
        except importlib.metadata.PackageNotFoundError:
            yield name, "missing", "install what is tested: make clean quickstart"


def _hardware():
    startup.import_keras()
    from cnnkit.lab.provenance import cpu_name, gpu_names
    from cnnkit.lab.sweeps import CPU_COUNT

    cpu = Path("/proc/cpuinfo")
    flags = cpu.read_text() if cpu.exists() else ""
    yield "cores", str(CPU_COUNT), "" if CPU_COUNT > 1 else "one run trains at a time; --scheduler uses other machines"
    yield "CPU", cpu_name(), ""
    yield "bfloat16", "avx512_bf16" if "avx512_bf16" in flags else "no AVX-512 instruction", ""
    yield "AMX", "amx_bf16" if "amx_bf16" in flags else "no", ""
    yield "GPU", ", ".join(gpu_names()) or "none: everything here runs without one", ""


def _speed():
    """Train for some ten seconds, in single and in half precision, and say which is faster here."""
    from cnnkit.lab.provenance import use_one_thread
    from cnnkit.lab.speed import images_per_second

    use_one_thread()
    single, half = (images_per_second("caffe_quick", precision=name) for name in ("float32", "mixed_bfloat16"))
    yield "speed", f"caffe_quick trains on {single:,.0f} images a second and core", ""
    faster, slower = "try precision=mixed_bfloat16 on long runs of your own", "leave precision at float32"
    advice = f"mixed_bfloat16 is {half / single:.2f} times as fast here: {faster if half > 1.1 * single else slower}"
    yield "half precision", f"{half:,.0f} images a second and core", advice


def _datasets():
    for line in data.describe().to_dict("records"):
        missing = line["status"] == "downloads"
        yield line["name"], line["status"], f"put a good file at {line['where']} if offline" if missing else ""


def _disk():
    wanted = store.results_dir()
    folder = next(path for path in (wanted, *wanted.absolute().parents) if path.exists())
    free, writable = shutil.disk_usage(folder).free / 1e9, folder.is_dir() and os.access(folder, os.W_OK)
    yield "disk", f"{free:.0f} GB free", "less than 5 GB: CIFAR-10 alone takes 0.4" if free < 5 else ""
    advice = "" if writable else "set CNNKIT_RESULTS_DIR to a folder you can write"
    yield "results", "writable" if writable else "not writable", advice
