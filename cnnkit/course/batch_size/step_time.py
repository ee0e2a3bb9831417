"""Are batch sizes that are powers of two faster? One update at 15 batch sizes, 30 times; and the memory it takes.

Run:     python -m cnnkit sweep step_time --profile full      (on a machine that does nothing else)
Expect:  a few minutes.

A line of `trials.csv` is a measured `value`: `milliseconds` of an update, the median of nine in a row, or `peak_mib`,
the most memory of the process so far. Each network has a process of its own, of one thread; sizes come in an order
drawn anew for each repeat, so that what the machine does meanwhile hits all alike. 100 is there for a placebo: beside
99 and 101 it should not stand out.
"""

import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import keras
import numpy as np
import pandas as pd

from cnnkit import models, plots
from cnnkit.evidence import claims
from cnnkit.evidence.experiment import Claim, Trials
from cnnkit.lab import store
from cnnkit.lab.provenance import provenance, use_one_thread

NETWORKS = {"lenet5_modern": (28, 28, 1), "caffe_quick": (32, 32, 3)}
POWERS, PLACEBO = (32, 64, 128, 256), 100
SIZES = [size + step for size in (*POWERS, PLACEBO) for step in (-1, 0, 1)]
MEMORY = (1, 64, 256, 1024)  # rising: a process never forgets its peak
REPEATS = {"smoke": 3, "full": 30}
UPDATES = 9
UNIT = 2**20 if sys.platform == "darwin" else 2**10  # of `ru_maxrss` in a MiB


def measure(network, repeats):
    """Return the lines of a network, a list of dicts: peaks first, then times after two updates at every size."""
    use_one_thread()
    random, shape = np.random.default_rng(1), NETWORKS[network]
    x, y = random.normal(size=(max(MEMORY), *shape)).astype("float32"), random.integers(10, size=max(MEMORY))
    model = models.create_model(network, shape, 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.001, momentum=0.9), loss)

    def update(size):
        begun = time.perf_counter()
        model.train_on_batch(x[:size], y[:size])
        return 1000 * (time.perf_counter() - begun)

    lines = []
    for size in MEMORY:
        for _ in range(3):
            update(size)
        lines.append(("peak_mib", size, 1, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT))
    for size in SIZES * 2:
        update(size)
    for repeat in range(1, repeats + 1):
        for size in map(int, random.permutation(SIZES)):
            lines.append(("milliseconds", size, repeat, np.median([update(size) for _ in range(UPDATES)])))
    known = {"network": network, "device": provenance()["device"], "commit": provenance()["commit"]}
    return [dict(zip(("what", "batch_size", "repeat", "value"), line, strict=True)) | known for line in lines]


def run(profile, client, refresh):
    """Measure every network in a fresh process, one after the other; smoke has one."""
    forked = multiprocessing.get_context("forkserver")  # a spawned process would begin with this one's peak of memory
    lines = []
    for network in list(NETWORKS)[: None if profile == "full" else 1]:
        with ProcessPoolExecutor(1, forked) as fresh:
            lines += fresh.submit(measure, network, REPEATS[profile]).result()
    return pd.DataFrame(lines).round({"value": 4})


def image_times(found):
    """Return `microseconds` an image as a line a network, batch size and repeat."""
    times = found.trials[found.trials["what"] == "milliseconds"]
    return times.assign(microseconds=1000 * times["value"] / times["batch_size"])


def ratios(found):
    """Return how many times as fast as its two neighbours a batch size is, for one image; a line a repeat."""
    logs = np.log(image_times(found).pivot(index=["network", "repeat"], columns="batch_size", values="microseconds"))
    times = {size: np.exp((logs[size - 1] + logs[size + 1]) / 2 - logs[size]) for size in (*POWERS, PLACEBO)}
    return pd.DataFrame(times).rename_axis(columns="batch_size").stack().rename("ratio").reset_index()


def decide(found):
    """Return a network's verdict: powers of two against their neighbours, geometric means paired by repeat."""
    rows, neighbours = [], [size + step for size in POWERS for step in (-1, 1)]
    for network, part in image_times(found).groupby("network", sort=False):
        logs = np.log(part.pivot(index="repeat", columns="batch_size", values="microseconds"))
        logs = logs.groupby((logs.index + 1) // 2).mean()  # two repeats are one: of thirty, signs flip a billion ways
        arms = {"powers of two": logs[[*POWERS]], "neighbours": logs[neighbours]}
        means = pd.concat({arm: np.exp(one.mean(axis=1)) for arm, one in arms.items()}, names=["arm", "seed"])
        text = f"Batch sizes that are powers of two are faster than their neighbours ({network}, one thread of a CPU)."
        how = {"metric": "microseconds", "lower_is_better": True, "ratio": True, "margin": 1.0, "ledger": 41}
        claim = Claim(f"powers-of-two-{network.replace('_', '-')}", text, *arms, "popular articles, of GPUs", **how)
        where = f"{part['device'].iloc[0]}; sizes {', '.join(map(str, POWERS))}; n counts pairs of repeats, not seeds"
        rows.append(claims.decide_measured(claim, means.rename("microseconds").reset_index(), where))
    return rows


def tabulate(found):
    """Return the milliseconds of an update, mean and interval over the repeats, by network and batch size."""
    times = image_times(found).rename(columns={"value": "milliseconds"})
    return store.summarise(times, ["network", "batch_size"], "milliseconds")


def draw(found):
    """Return the time of an image by batch size, and how much faster powers of two are than their neighbours."""
    images = plots.plot_sweep(image_times(found), x="batch_size", y="microseconds", hue="network")
    images.set(ylabel="Time of an image in an update (µs)", ylim=(0, None))
    images.set_xticks([*POWERS, PLACEBO], [*POWERS, PLACEBO])
    images.xaxis.set_minor_formatter("")
    percent = ratios(found).assign(faster=lambda table: 100 * (table["ratio"] - 1))
    table = store.summarise(percent, ["network", "batch_size"], "faster")
    table["arm"] = table["network"] + ", " + table["batch_size"].astype(str)
    powers = plots.plot_intervals(table, y="arm", metric="faster", reference=0)
    powers.set(xlabel=f"Faster than the mean of its two neighbours (%; {PLACEBO} is a placebo)")
    for text in (*images.texts, *powers.texts):
        text.set_text(text.get_text().replace("seeds", "repeats"))
    return {"step_time": images, "powers": powers}


def answer(found):
    """Return how much faster powers of two are."""
    told = [f"{one['effect']:.3f} ({one['low']:.3f} to {one['high']:.3f})" for one in decide(found)]
    return f"Powers of two are {' and '.join(told)} times as fast as their neighbours on this CPU."


EXPERIMENT = Trials(
    name="step_time",
    question="Are batch sizes that are powers of two faster than their neighbours?",
    run=run,
    tabulate=tabulate,
    draw=draw,
    decide=decide,
    answer=answer,
)
