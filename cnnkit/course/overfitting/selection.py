"""The best of many settings on few images: how much does its score flatter, and how far is it from the best there is?

Run:     python -m cnnkit sweep selection --profile full
Expect:  45% of CIFAR-10's test images right, at half their resolution, after 2,000 training images; 25 core-minutes.

A line of `trials.csv` is a setting drawn at random, and which of the test images it has right, as bits in hexadecimal
digits. From these every validation set that could have been is drawn afterwards: some images choose, the others tell
what the chosen setting is worth. Nothing else is chosen with them.
Before:  ten sets of 1,000 images decided nothing (48 and 88 would have); other settings, and forty sets of 250, now do.
"""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from cnnkit import data
from cnnkit.evidence import claims
from cnnkit.evidence.experiment import Claim, RunConfig, Trials
from cnnkit.lab import store
from cnnkit.lab.provenance import provenance, use_one_thread
from cnnkit.lab.training import train
from cnnkit.plots import style

FULL = RunConfig(dataset="halved:cifar10", train_size=2_000, model="caffe_quick", schedule="cosine", epochs=12)
BASE = {"full": FULL, "smoke": RunConfig(train_size=100, model="mlp", schedule="cosine", epochs=3)}
COUNTS = {"full": 100, "smoke": 6}  # of settings
IMAGES, TRIED = (20, 50, 100, 300, 1_000, 3_000), (1, 3, 10, 30, 100)  # that choose, of how many settings
CHUNKS, DRAWS, TOGETHER = 40, 300, 20  # disjoint sets of images for the claims; drawn ones a mean; settings kept a time
WHERE = "(three convolutions, 2,000 CIFAR-10 images at half their resolution)"


def settings(profile):
    """Return the settings to try, a list of `RunConfig`, drawn at random."""
    rng = np.random.default_rng(3)
    return [
        BASE[profile].replace(
            learning_rate=float(f"{10 ** rng.uniform(-2.7, -1.6):.3g}"),
            optimizer_args={"momentum": 0.9},
            batch_size=int(rng.choice([20, 50, 100])),
            label_smoothing=float(rng.choice([0.0, 0.1])),
            model_args={"dropout_rate": float(rng.choice([0.0, 0.25, 0.5]))},
        )
        for _ in range(COUNTS[profile])
    ]


def measure(fields):
    """Train a setting and return its line: accuracy on the test images, and which of them are right."""
    use_one_thread()
    config = RunConfig(**fields)
    run, dataset = train(config, keep_traced=True), data.load_dataset(config.dataset, train_size=config.train_size)
    logits = run.model.predict(dataset.x_test.astype("float32") / 255, batch_size=256, verbose=0)
    right = logits.argmax(axis=1) == dataset.y_test
    line = {name: fields[name] for name in ("learning_rate", "batch_size", "label_smoothing")} | fields["model_args"]
    line |= {"accuracy": right.mean(), "images": len(right), "seconds": run.row["train_seconds"]}
    return line | {"commit": provenance()["commit"], "right": np.packbits(right).tobytes().hex()}


def run(profile, client, refresh):
    """Train what is missing, some at a time, each lot kept as soon as it is there."""
    path, asked = store.results_dir(profile) / "selection" / "trials.csv", settings(profile)
    table = pd.DataFrame() if refresh else store.read_trials("selection", store.results_dir(profile))
    while len(table) < len(asked):
        lot = [dataclasses.asdict(config) for config in asked[len(table) :][:TOGETHER]]
        workers = client(len(lot))
        lines = workers.gather(workers.map(measure, lot, pure=False))
        table = pd.concat([table, pd.DataFrame(lines)], ignore_index=True)
        store.write_atomically(path, table.to_csv(index=False, lineterminator="\n"))
    return table


def answers(found):
    """Return which images each setting has right, a Boolean array `(settings, images)`."""
    bits = [np.unpackbits(np.frombuffer(bytes.fromhex(line), "uint8")) for line in found.trials["right"]]
    return np.array(bits)[:, : int(found.trials["images"].iloc[0])].astype(bool)


def choose(right, chooses):
    """Return what the best setting on some images scores there and on all others, and the best score on the others.

    `right` is Boolean `(settings, images)`, `chooses` the places of the images that choose. Of equals the first wins.
    """
    return _best(right[:, chooses].sum(axis=1), right.sum(axis=1), len(chooses), right.shape[1])


def _best(there, everywhere, images, pool):
    others = (everywhere - there) / (pool - images)
    best = there.argmax()
    return there[best] / images, others[best], others.max()


def curves(right):
    """Return `optimism` and `regret` by `images` that choose and settings `tried`: means over random choices of both.

    `binomial_...` are those of settings of the same accuracies whose mistakes have nothing to do with each other.
    """
    rng, lines, pool = np.random.default_rng(1), [], right.shape[1]
    everywhere, accuracy = right.sum(axis=1), right.mean(axis=1)
    for images in [n for n in IMAGES if n < pool]:
        for _ in range(DRAWS):
            there = right[:, rng.choice(pool, images, replace=False)].sum(axis=1)
            lone = rng.binomial(images, accuracy) / images
            for tried in [k for k in TRIED if k <= len(right)]:
                few = rng.choice(len(right), tried, replace=False)
                shown, true, best = _best(there[few], everywhere[few], images, pool)
                chosen = few[lone[few].argmax()]
                line = {"images": images, "tried": tried, "optimism": shown - true, "regret": best - true}
                line["binomial_optimism"] = lone[chosen] - accuracy[chosen]
                lines.append(line | {"binomial_regret": accuracy[few].max() - accuracy[chosen]})
    return pd.DataFrame(lines).groupby(["images", "tried"], as_index=False).mean()


def decide(found):
    """Return the verdicts: disjoint sets of test images choose among all settings, the other images tell."""
    right, lines = answers(found), []
    for number, chunk in enumerate(np.array_split(np.random.default_rng(2).permutation(right.shape[1]), CHUNKS), 1):
        shown, true, _ = choose(right, chunk)
        _, small, _ = choose(right, chunk[: len(chunk) // 10])
        scores = {"on the images that chose": shown, "on others": true, "chosen on a tenth": small}
        lines += [{"arm": arm, "seed": number, "test_accuracy": value} for arm, value in scores.items()]
    tried, images = len(right), len(chunk)
    said = (
        Claim("chosen-score-flatters", f"The best of {tried} settings on {images:,} images scores more than a point "
              f"better there than on new images {WHERE}.", "on the images that chose", "on others",
              "Keras' examples chose on the test set", margin=0.01, ledger=74),
        Claim("small-validation-costs", f"Chosen out of {tried} by {images // 10} validation images, a setting is more "
              f"than a point worse than one chosen by {images:,} {WHERE}.", "on others", "chosen on a tenth", "ours",
              margin=0.01, ledger=75),
    )  # fmt: skip
    where = f"{found.trials['images'].iloc[0]:,} images in {CHUNKS} disjoint sets; n counts these, not seeds"
    return [claims.decide_measured(claim, pd.DataFrame(lines), where, images) for claim in said]


def tabulate(found):
    """Return optimism and regret in percentage points by images that choose and settings tried."""
    table = curves(answers(found))
    return table.assign(**(100 * table[["optimism", "regret", "binomial_optimism", "binomial_regret"]]).round(2))


def draw(found):
    """Return how far the best score flatters by settings tried, and how far it misses by images that choose."""
    table = curves(answers(found))
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    panels = (("optimism", "tried", "images"), ("regret", "images", "tried"))
    for ax, (value, x, hue) in zip(axes, panels, strict=True):
        parts = [pair for pair in table.groupby(hue) if pair[0] > 1]
        for (name, part), colour in zip(parts, sns.color_palette("viridis_r", len(parts)), strict=True):
            ax.plot(part[x], 100 * part[value], "o-", color=colour, mec="w", label=f"{name:,}")
            ax.plot(part[x], 100 * part[f"binomial_{value}"], ":", color=colour, linewidth=1)
        ax.set(xscale="log", xticks=sorted(table[x].unique()), ylim=(0, None))
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.xaxis.set_minor_formatter("")
        ax.legend(frameon=False, title={"images": "Images that choose", "tried": "Settings tried"}[hue])
    axes[0].set(xlabel="Settings tried", ylabel="Score of the best above its worth (points)")
    axes[1].set(xlabel="Images that choose", ylabel="Worth of the chosen below the best (points)")
    style.add_caption(axes[0], f"means over {DRAWS} draws; dotted: settings whose mistakes are independent")
    sns.despine(figure)
    return {"selection": figure}


def answer(found):
    """Return how far the best of all settings flatters, on few images and on more."""
    table = 100 * curves(answers(found)).groupby(["tried", "images"])["optimism"].mean().loc[len(found.trials)]
    told = " and ".join(f"{table[images]:.1f} points on {images:,} images" for images in (100, 1_000))
    return f"The best score of {len(found.trials)} settings is too good by {told}."


EXPERIMENT = Trials(
    name="selection",
    question="How much does the best of many scores flatter, and how many images should choose?",
    run=run,
    tabulate=tabulate,
    draw=draw,
    decide=decide,
    answer=answer,
)
