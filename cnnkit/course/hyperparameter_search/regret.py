"""Random, Bayesian, Hyperband over one space of eight hyperparameters: what is the setting that each hands over worth?

Run:     python -m cnnkit sweep regret --profile full
Expect:  about 46% (validation) on 2,000 images of CIFAR-10 at half their resolution; about 95 minutes of one core: 24
         searches of 480 epochs (40 whole trials, or three rounds of Hyperband's), then some 400 runs on fresh seeds.

A trial is one run, as in most searches; all three algorithms of a search seed share their training seed, and with it
split and first weights. Its score is a maximum over noise. So every setting that was the best so far is trained again
on fresh seeds, with all epochs: what one would have had in hand, had the search ended there. The best of these by
validation is the winner; it is trained on further seeds, and for it alone the test accuracy is read. Claims are
paired by search seed, with the luck of its split in them.
"""

import dataclasses
import functools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from cnnkit import plots
from cnnkit.course.hyperparameter_search import _reading as reading
from cnnkit.evidence import claims
from cnnkit.evidence.experiment import Claim, RunConfig, Trials
from cnnkit.lab import store, sweeps
from cnnkit.lab.search import ALGORITHMS, Range, run_search

SPACE = {
    "learning_rate": Range(0.0001, 1.0, log=True),
    "optimizer": ["sgd", "rmsprop"],  # both have a momentum
    "optimizer_args.momentum": Range(0.0, 0.98),
    "optimizer_args.weight_decay": Range(0.001, 1.0, log=True),
    "batch_size": [16, 32, 64, 128],
    "model_args.dense_dropout": Range(0.0, 0.7),
    "model_args.width": [0.25, 0.375, 0.5],
    "augmentation": [None, "flip", "flip+shift"],
}
ROLES = {  # after Godbole et al. 2023, "Deep Learning Tuning Playbook"
    "augmentation": ("scientific", "what we would like to know: do more pictures help so small a set?"),
    "model_args.dense_dropout": ("scientific", "the other way to fit less"),
    "model_args.width": ("scientific", "and the other way to fit more; it also decides what an epoch costs"),
    "learning_rate": ("nuisance", "its best value depends on nearly all others"),
    "optimizer": ("nuisance", "we do not ask which; each wants rates of its own"),
    "optimizer_args.momentum": ("nuisance", "1 / (1 - momentum) multiplies the step"),
    "optimizer_args.weight_decay": ("nuisance", "decoupled: times the learning rate, so the two belong together"),
    "batch_size": ("nuisance", "at equal epochs it decides the number of steps"),
    "schedule": ("fixed", "cosine to 0: a trial ends trained out, and the rate is one number"),
    "epochs": ("fixed", "the budget's unit: more are always better, and never comparable"),
    "dataset": ("fixed", "2,000 images, half the resolution: what 24 searches can pay for"),
}
BASE = {
    "smoke": RunConfig(train_size=200, model="keras_cifar", schedule="cosine", epochs=1),
    "full": RunConfig(
        dataset="halved:cifar10",
        train_size=2_000,
        model="keras_cifar",
        model_args={"conv_dropout": 0.0},
        schedule="cosine",
        epochs=12,
        validate_every=12,
    ),
}
BUDGET = {"smoke": 2, "full": 480}  # epochs a search
SEARCH_SEEDS = {"smoke": (1, 2), "full": (1, 2, 3, 4, 5, 6, 7, 8)}
ON_THE_WAY = {"smoke": (101,), "full": (101, 102, 103)}  # seeds of every setting that was the best so far
FINAL = {"smoke": (101,), "full": tuple(range(101, 109))}  # of the last one
WINNER = {"smoke": (151,), "full": tuple(range(151, 159))}  # of the best of these
SEARCH = ["algorithm", "search_seed"]


def run(profile, client, refresh):
    """Search, train anew what was best on the way, then the winner: a line a trial, its `role` search, again or winner.

    Of lines that are no search's, `trial` says whose setting it is, `seed` its training seed.
    """
    how, base = {"experiment": "regret", "client": client, "refresh": refresh}, BASE[profile]
    searches = [(algorithm, seed) for seed in SEARCH_SEEDS[profile] for algorithm in ALGORITHMS]
    tables = [run_search(SPACE, a, BUDGET[profile], seed=s, base=base.replace(seed=s), **how) for a, s in searches]
    trials = pd.concat(tables, ignore_index=True).assign(role="search")
    best = records(trials)
    last = best.drop_duplicates(SEARCH, keep="last")
    again = pd.concat([_train(best, ON_THE_WAY[profile], base, how), _train(last, FINAL[profile], base, how)])
    again = again.drop_duplicates([*SEARCH, "trial", "seed"]).assign(role="again")
    winner = last.merge(finals(again, FINAL[profile]).nlargest(1, "val_score")[SEARCH], on=SEARCH)
    return pd.concat([trials, again, _train(winner, WINNER[profile], base, how).assign(role="winner")])


def _train(lines, seeds, base, how):
    """Train the settings of trials with all epochs on these seeds: a line a setting and seed."""
    runs = store.read_runs("regret").set_index("run_id", drop=False)
    asked = [
        (line, RunConfig.from_row(runs.loc[line["run_id"]]).replace(epochs=base.epochs, seed=seed))
        for line in lines[[*SEARCH, "trial", "run_id"]].to_dict("records")
        for seed in seeds
    ]
    rows = sweeps.run_all([config for _, config in asked], **how).set_index("run_id")
    known = ["val_score", "status", "epochs"]  # what diverged has the score of guessing
    table = [line | {"run_id": c.run_id, "seed": c.seed} | rows.loc[c.run_id, known].to_dict() for line, c in asked]
    return pd.DataFrame(table).rename(columns={"val_score": "score"})


def records(trials):
    """Return the trials that were the best of their search when they came."""
    better = trials["score"].eq(trials["best"])
    return trials[better].drop_duplicates([*SEARCH, "best"])


def finals(again, seeds):
    """Return `val_score` of each search's last best setting, the mean over these fresh seeds."""
    last = again[again["trial"] == again.groupby(SEARCH)["trial"].transform("max")]
    means = last[last["seed"].isin(seeds)].groupby(SEARCH, as_index=False)["score"].mean()
    return means.rename(columns={"score": "val_score"})


def regrets(found, points=10):
    """Return after each tenth of the budget how far the best setting so far is behind the winner's, on fresh seeds.

    A line a search and point: `epochs` spent, `val_score` of that setting, `regret` (points of validation accuracy).
    """
    trials, setting = found.trials, [*SEARCH, "trial"]
    again = trials[(trials["role"] == "again") & trials["seed"].isin(ON_THE_WAY[found.profile])]
    quality = again.groupby(setting)["score"].mean().rename("val_score").reset_index()
    best = records(searched(found)).merge(quality, on=setting)
    best = best.pivot(index="spent", columns=SEARCH, values="val_score").ffill()
    spent = np.linspace(0, BUDGET[found.profile], points + 1).round().astype(int)
    best = best.reindex(sorted({*best.index, *spent})).ffill().loc[spent].rename_axis("epochs")
    lines = best.unstack().rename("val_score").reset_index().dropna()
    return lines.assign(regret=100 * (trials.loc[trials["role"] == "winner", "score"].mean() - lines["val_score"]))


def promised(found):
    """Return a line a search: the best score that it saw, `seen`, `val_score` again, `optimism`, the difference."""
    seen = searched(found).groupby(SEARCH)["score"].max().rename("seen").reset_index()
    table = seen.merge(finals(found.trials.query("role == 'again'"), FINAL[found.profile]), on=SEARCH)
    return table.assign(optimism=table["seen"] - table["val_score"])


def searched(found):
    """Return the trials of the searches themselves."""
    return found.trials[found.trials["role"] == "search"]


CLAIMS = (
    Claim("bayesian-beats-random", "A Bayesian search hands over a better setting than a random one", "bayesian",
          "random", "popular articles; Snoek et al. 2012", 0.01),
    Claim("hyperband-beats-random", "Hyperband hands over a better setting than a random search", "hyperband",
          "random", "popular articles; Li et al. 2018", 0.01),
    Claim("hyperband-early", "After a fifth of the budget Hyperband has a better setting than a random search",
          "hyperband, early", "random, early", "Li et al. 2018", 0.01),
    Claim("best-score-holds", "The best score of a search is what its setting scores again, give or take a point",
          "again", "seen", "read off a search's log", -0.01, ledger=74),
    Claim("rate-matters-most", "No hyperparameter matters more than the learning rate", "learning rate", "the next",
          "Goodfellow et al. 2016, sec. 11.4.1", 0.0, "importance"),
)  # fmt: skip


@functools.cache  # of one reading of the tables: seconds
def importances(found):
    """Return `importances` of the space, as of random search's trials."""
    return reading.importances(searched(found), SPACE)


def decide(found):
    """Return the verdicts on the claims, paired by search seed."""
    told, at, base = promised(found), regrets(found, points=5), BASE[found.profile]
    early = at[at["epochs"] == at["epochs"].min()]
    arms = {name: part.set_index("search_seed")["val_score"] for name, part in told.groupby("algorithm")}
    arms |= {f"{a}, early": part.set_index("search_seed")["val_score"] for a, part in early.groupby("algorithm")}
    means = told.groupby("search_seed")
    arms |= {"again": means["val_score"].mean(), "seen": means["seen"].mean()}
    parts = importances(found).pivot(index="search_seed", columns="hyperparameter", values="importance")
    ranks = {"learning rate": parts.pop("learning_rate"), "the next": parts.max(axis=1)}
    lines = pd.concat([_arms(arms, "val_score"), _arms(ranks, "importance")], ignore_index=True)
    where = f"{base.train_size:,} images of {base.dataset}; {base.model}; {base.epochs} epochs a whole trial; "
    where += f"{BUDGET[found.profile]} epochs a search; n counts searches"
    rows = []
    for claim in CLAIMS:
        claim = dataclasses.replace(claim, text=f"{claim.text}.")
        claim = claim if claim.metric == "importance" else dataclasses.replace(claim, metric="val_score")
        rows.append(claims.decide_measured(claim, lines[lines["arm"].isin(claim.arms)], where))
    return rows


def _arms(arms, metric):
    return pd.concat(arms, names=["arm", "seed"]).rename(metric).reset_index()


def tabulate(found):
    """Return by algorithm what its settings score on fresh seeds, how much more was seen, and how its trials went."""
    told, trials = promised(found), searched(found)
    table = store.summarise(told, "algorithm", "val_score")
    minutes = trials.merge(found.runs[["run_id", "train_seconds"]], on="run_id").groupby("algorithm")["train_seconds"]
    more = told.groupby("algorithm")[["optimism"]].mean().mul(100).round(2)
    more = more.rename(columns={"optimism": "points above it, as seen"}).join(reading.lost(trials, found.runs))
    more = more.assign(trials=trials.groupby("algorithm").size(), minutes=minutes.sum().div(60).round(1))
    lines = table.merge(more, left_on="algorithm", right_index=True)
    lines.attrs = table.attrs  # what was averaged
    return lines.sort_values("mean", ascending=False, ignore_index=True)


def draw(found):
    """Return regret over the budget, best scores beside what came of them, what matters, and all settings at once."""
    figures = {"regret": plots.plot_sweep(regrets(found), x="epochs", y="regret", hue="algorithm", log_x=False)}
    label = "Behind the winner, on fresh seeds (points)"
    figures["regret"].set(xlabel="Epochs spent by the search", ylabel=label)
    figures["promised"] = plot_promised(promised(found))
    if len(parts := importances(found)):
        figures["importance"] = plot_importances(parts)
    return figures | {"parallel": plots.plot_parallel(searched(found), list(SPACE))}


def plot_promised(told):
    """Return each search's best score against what its setting scores on fresh seeds; on the line it would hold."""
    _, ax = plt.subplots(figsize=(5, 4.4), layout="constrained")
    percent = told.assign(**100 * told[["seen", "val_score"]])
    look = {"hue": "algorithm", "style": "algorithm", "palette": "colorblind", "s": 60}
    sns.scatterplot(percent, x="seen", y="val_score", ax=ax, **look)
    ax.axline((percent["seen"].mean(),) * 2, slope=1, color="0.5", linestyle="--", linewidth=1)
    ax.set(xlabel="Best score, as the search saw it (%)", ylabel="The same setting on fresh seeds (%)")
    ax.legend(frameon=False)
    sns.despine(ax=ax)
    return ax


def plot_importances(parts):
    """Return how much of a forest's R² is lost without each hyperparameter, with intervals over held-out searches."""
    table = store.summarise(parts, "hyperparameter", "importance").sort_values("mean", ascending=False)
    table["hyperparameter"] = table["hyperparameter"].str.split(".").str[-1].str.replace("_", " ")
    ax = plots.plot_intervals(table, y="hyperparameter", metric="importance", reference=0)
    ax.set(xlabel="R² lost on a search that the forest has not seen, where it is shuffled")
    return ax


def answer(found):
    """Return what each algorithm's setting scores on fresh seeds."""
    lines = [f"{one.algorithm} {one.mean:.1%}" for one in tabulate(found).itertuples()]
    return f"On fresh seeds the settings found score: {', '.join(lines)}."


EXPERIMENT = Trials(
    name="regret",
    question="At an equal budget, what is the setting worth that random, Bayesian and Hyperband search hand over?",
    run=run,
    tabulate=tabulate,
    draw=draw,
    decide=decide,
    answer=answer,
)
