"""`python -m benchmarks [NAME]` prints ratios; with `--write` they also go into README.md."""

import argparse
import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import psutil

from benchmarks import callbacks, lrn, memory, protocol, store, stored_runs, sweep_rate, train_overhead, training_speed
from benchmarks.measure import in_process
from cnnkit.lab.startup import import_keras

import_keras()  # without TensorFlow's log between the figures
from cnnkit.lab.provenance import provenance  # noqa: E402

BENCHMARKS = {"sweep_rate": sweep_rate, "train_overhead": train_overhead, "store": store, "stored_runs": stored_runs}
BENCHMARKS |= {"memory": memory, "protocol": protocol, "lrn": lrn, "training_speed": training_speed}
BENCHMARKS |= {"callbacks": callbacks}
README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- written by `python -m benchmarks --write` -->\n", "<!-- end -->\n"
HEAD = "| benchmark | measured | cnnkit | held against | ratio | required | |\n|---|---|--:|---|--:|---|---|\n"
PACKAGES = ("keras", "keras-tuner", "distributed", "numpy", "pandas")
QUIET = 10  # % of the cores that other programs may use


def main():
    """Measure what was asked for; return 0 if every requirement is met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--write", action="store_true", help="put the figures of all benchmarks into README.md")
    args = parser.parse_args()
    if unknown := set(args.names) - set(BENCHMARKS):
        parser.error(f"Expected benchmarks out of {', '.join(BENCHMARKS)}. Received: {', '.join(sorted(unknown))}.")
    if args.write and args.names:
        parser.error("Expected no names with --write: the table holds figures of one run. Received: some.")
    text = machine()
    print(text, end="")
    text, met = f"{text}\n{HEAD}", True
    for name in args.names or BENCHMARKS:
        print(f"{name}: {BENCHMARKS[name].__doc__.splitlines()[0]} This takes a while ...", file=sys.stderr, flush=True)
        for ratio in BENCHMARKS[name].measure():
            met &= ratio.met
            print(line := table_line(name, ratio), flush=True)
            text += f"{line}\n"
    if args.write:
        before, _, rest = README.read_text().partition(BEGIN)
        README.write_text(before + BEGIN + text + END + rest.partition(END)[2])
    return int(not met)


def machine():
    """Return what the figures depend on, and whether anything else was running, as Markdown lines."""
    origin, _ = in_process(provenance)
    busy = psutil.cpu_percent(interval=5)
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    memory_size = f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    cpu = origin["device"].rpartition(", ")[0]
    other = f"Other programs were using {busy:.0f}% of the cores when it began."
    lines = [
        f"- machine: {cpu}, {len(os.sched_getaffinity(0))} cores, {memory_size}, {platform.system()}",
        f"- versions: cnnkit {origin['commit']}, Python {platform.python_version()}, {origin['backend']}, {packages}",
        f"- {other}" if busy < QUIET else f"- **Not yet measured on a quiet machine.** {other}",
    ]
    return "\n".join(lines) + "\n"


def table_line(name, ratio):
    """Return a `Ratio` as a line of the Markdown table."""
    ours, theirs = (f"{value:,.3g}" if value < 100 else f"{value:,.0f}" for value in (ratio.ours, ratio.theirs))
    verdict = ("met" if ratio.met else "**not met**") if ratio.required else ""
    against = f"{theirs} {ratio.unit}: {ratio.against}"
    cells = (name, ratio.what, f"{ours} {ratio.unit}", against, f"{ratio.ours / ratio.theirs:.2f}", ratio.required)
    return f"| {' | '.join((*cells, verdict))} |"


if __name__ == "__main__":
    sys.exit(main())
