# %% [markdown]
# # 13 Hyperparameter search: how to search when you cannot try everything?
#
# A training run has a dozen settings that no gradient finds: learning rate, momentum, batch size, dropout, width.
# Ten values of each of eight are a hundred million runs. You can pay for forty. Which forty? And when they are done,
# how good is the best of them *really*, which of the eight mattered, and was the space right at all?
#
# Three algorithms get the same space and the same budget here: **random** draws, a **Bayesian** search that models what
# it has seen, and **Hyperband**, which stops early what begins badly. But first the arithmetic behind them, as most of
# what is said of searches follows from it.
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. Three hyperparameters, of which only one matters; 64 runs. How many values of that one does a full grid try, and
#    how many do random draws?
# 2. How many random trials does it take to have one of the best 5% of all settings among them, 19 times out of 20?
# 3. Twenty settings are in truth equally good, and a score's noise has a deviation of 0.2 points. How much too high is
#    the best score?
# 4. Settings are ranked after one epoch of nine, and again at the end. How well do the ranks agree? And those of the
#    best tenth?
# 5. Learning rate, momentum, batch size, schedule: which matters most, and how far behind is the next?
# 6. Random, Bayesian, Hyperband: which one hands over the best setting, and by how many points?
# 7. The best score that a search prints: how many points of it are gone when its setting is trained again?

# %% [markdown]
# **Two sizes.** Answers come from committed tables of MNIST and CIFAR-10 in either profile; what is computed on the
# spot takes seconds. In `smoke` a small search also runs here and now, on digits, at the end.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

EXPERIMENTS = ("search", "regret")

# %% tags=["hide-input"]
from itertools import product

from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor, kernels

from cnnkit.course.hyperparameter_search import _reading as reading
from cnnkit.course.hyperparameter_search import facts, regret, search
from cnnkit.evidence import claims
from cnnkit.lab import store
from cnnkit.lab.search import Range, read_space, run_search, tell_command
from cnnkit.lab.store import student_interval

plt.rcParams["figure.dpi"] = 90
blue, orange, green = sns.color_palette("colorblind", 3)
found = {name: findings(name) for name in EXPERIMENTS}
verdicts = claims.as_table([row for one in found.values() for row in one.verdicts()]).set_index("id")
trials, done = found["search"].trials, found["regret"].complete
KEY = ["algorithm", "search_seed"]  # of a search


def ours(id):
    """Tell what a claim's runs say, and its verdict, or that they are awaited."""
    if id not in verdicts.index:
        return f"*{found['regret'].gap()}*"
    return f"{plots.tell_effect(verdicts.loc[id])}: **{verdicts.at[id, 'verdict']}**"


# %% [markdown]
# **What it costs.** Two experiments stand behind this page. *search* is on MNIST, with a small network, four
# hyperparameters, and every trial trained with three seeds: a landscape one can trust. *regret* is on CIFAR-10, with a
# convolutional network and eight hyperparameters, a run a trial, as most people search.

# %% tags=["hide-input"]
cost = {
    name: [one.experiment.question, len(one.runs), round(one.seconds / 60, 1)] if one.complete else
    [one.experiment.question, "awaited", "about 95"]
    for name, one in found.items()
}  # fmt: skip
columns = ["question", "networks", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))

# %% [markdown]
# ## A space, and why each hyperparameter is in it
#
# Google's tuning playbook asks of every hyperparameter which of three it is. **Scientific**: its effect is the
# question. **Nuisance**: nobody asks, but it has to be tuned anew for each value of the scientific ones, or these are
# compared unfairly. **Fixed**: not varied, and what is found holds only for that value. The space of *regret*:

# %% tags=["hide-input"]


def tell_values(values):
    """Say what a hyperparameter may be."""
    if isinstance(values, Range):
        return f"{values.low:g} to {values.high:g}" + ", by order of magnitude" * values.log
    return ", ".join(map(str, values))


base = regret.BASE["full"]
rows = [
    [name.split(".")[-1], tell_values(regret.SPACE[name]) if name in regret.SPACE else getattr(base, name), *role]
    for name, role in regret.ROLES.items()
]
say(plots.markdown_table(pd.DataFrame(rows, columns=["hyperparameter", "values", "role", "why"])))

# %% [markdown]
# **On which scale?** What acts by factors is drawn by orders of magnitude: its *logarithm* is uniform. Drawn plainly
# between 0.0001 and 1, learning rates are nearly all alike:

# %%
rng = np.random.default_rng(1)
low, high = np.log10([regret.SPACE["learning_rate"].low, regret.SPACE["learning_rate"].high])
draws = {"plain": rng.uniform(10**low, 10**high, 10_000), "by order of magnitude": 10 ** rng.uniform(low, high, 10_000)}
decades = [f"{10.0**k:g} to {10.0 ** (k + 1):g}" for k in range(-4, 0)]
shares = {name: np.histogram(np.log10(rates), bins=range(-4, 1))[0] / 10_000 for name, rates in draws.items()}
assert np.allclose(shares["plain"], [0.0009, 0.009, 0.09, 0.9], atol=0.01)
pd.DataFrame(shares, index=decades).T.style.format("{:.1%}")

# %% [markdown]
# Nine plain draws in ten fall into the last decade, one in a hundred into the first two. The command line of this
# course takes the logarithm wherever a range spans a decade or more.

# %% [markdown]
# ## A grid, or chance?
#
# A full grid of $n$ trials in $d$ dimensions has $n^{1/d}$ values a side. Random draws try $n$ values of *every*
# hyperparameter. That is of no use where all matter alike; but usually few do, and one does not know which (Bergstra
# and Bengio 2012). Their picture, nine trials each, what matters across:

# %%
side = np.arange(3) / 3 + 1 / 6
layouts = {"grid": np.array(list(product(side, side))), "random": rng.uniform(size=(9, 2))}
x = np.linspace(0, 1, 200)
gain = np.exp(-(((x - 0.68) / 0.09) ** 2))
fig, axes = plt.subplots(2, 2, figsize=(7.6, 3.9), sharex=True, height_ratios=(1, 2), layout="constrained")
for (top, ax), (name, points) in zip(axes.T, layouts.items(), strict=True):
    top.fill_between(x, gain, color="0.88")
    top.plot(points[:, 0], np.exp(-(((points[:, 0] - 0.68) / 0.09) ** 2)), "o", color=orange, ms=5)
    ax.plot(*points.T, "o", color=blue, ms=6)
    ax.plot(points[:, 0], np.zeros(9), "|", color=orange, ms=16, clip_on=False)
    top.set(title=f"{name}: {len(np.unique(points[:, 0].round(9)))} values of what matters", yticks=[])
    ax.set(xlabel="What matters", ylim=(0, 1), xlim=(0, 1), yticks=[])
axes[0, 0].set_ylabel("Score")
axes[1, 0].set_ylabel("What does not")
sns.despine(fig, left=True)

# %% [markdown]
# How often does a search hit a good window, a tenth of the range of each hyperparameter that matters? A grid whose
# place is a matter of luck has a value in a window of width $w\le 1/k$ with probability $kw$; of $n$ random trials one
# is in it with probability
#
# $$1-(1-w^{m})^{n}$$
#
# if $m$ hyperparameters matter. 64 trials in one to six dimensions, by formula and by 4,000 draws:


# %%
def hits(dimensions, matter, n=64, width=0.1, draws=4000):
    """Return how often a grid and random draws hit a window of this width in all that matters: drawn, then computed."""
    k = int(n ** (1 / dimensions) + 1e-9)
    start = rng.uniform(0, 1 - width, size=(draws, 1, matter))
    lines = (np.arange(k)[None, :, None] + rng.uniform(size=(draws, 1, matter))) / k
    grid = ((lines >= start) & (lines < start + width)).any(axis=1).all(axis=1).mean()
    points = rng.uniform(size=(draws, n, matter))
    chance = ((points >= start) & (points < start + width)).all(axis=2).any(axis=1).mean()
    return [k, grid, min(1, k * width) ** matter, chance, 1 - (1 - width**matter) ** n]


columns = ["values a side", "grid, drawn", "grid, computed", "random, drawn", "random, computed"]
table = pd.DataFrame({(d, m): hits(d, m) for d, m in product((1, 2, 3, 6), (1, 2)) if m <= d}, index=columns).T
assert np.allclose(table["grid, drawn"], table["grid, computed"], atol=0.03)
assert np.allclose(table["random, drawn"], table["random, computed"], atol=0.03)
table.rename_axis(["dimensions", "that matter"]).style.format(
    {columns[0]: "{:.0f}"} | dict.fromkeys(columns[1:], "{:.0%}")
)

# %% tags=["hide-input"]
one, two = table.loc[(3, 1)], table.loc[(2, 2)]
say(
    f"**Prediction 1.** The grid of 64 tries {one['values a side']:.0f} values of the one that matters, chance 64: it "
    f"hits a window of a tenth {one['random, computed']:.1%} of the time, the grid {one['grid, computed']:.0%}. And "
    f"yet chance is not always better: where there are two dimensions and both matter, the grid hits "
    f"{two['grid, computed']:.0%} and chance {two['random, computed']:.0%}, for draws also fall close together. "
    "(Sequences that are spread evenly, called quasi-random, have both; the playbook advises them.)"
)
tell_facts(one for one in facts.FACTS if one.id == "grid-tries-few")

# %% [markdown]
# ## A landscape: four hyperparameters on MNIST
#
# Does it look like that, few that matter? All whole trials of *search*: rows are the algorithms, a point is a setting,
# its height the mean validation error over three seeds.

# %%
show(found["search"], "settings")

# %%
plots.plot_parallel(trials, list(search.SPACE), share=0.1)
plt.show()

# %% tags=["hide-input"]
whole = reading.whole(trials)
gone = reading.lost(trials, found["search"].runs)
best = whole.nlargest(round(0.1 * len(whole)), "score")
low, high = best["learning_rate"].quantile([0.05, 0.95])
steps = best["learning_rate"] / (1 - best["optimizer_args.momentum"])
of_all = whole["learning_rate"] / (1 - whole["optimizer_args.momentum"])
all_rates = search.SPACE["learning_rate"]
both = gone.loc[["bayesian", "random"]]
luck = stats.fisher_exact(np.stack([both["collapsed"], both["whole"] - both["collapsed"]])).pvalue
say(
    f"The best tenth have learning rates from {low:.3f} to {high:.2f} (the middle nine tenths of them), a factor of "
    f"{high / low:.0f}, out of a range of {all_rates.high / all_rates.low:,.0f}."
    f" Momentum alone says little; together with the rate it does: a momentum of $m$ makes steps $1/(1-m)$ times as "
    f"long, and these, $\\eta/(1-m)$, differ by a factor of {steps.quantile(0.95) / steps.quantile(0.05):.0f} among "
    f"the best and of {of_all.quantile(0.95) / of_all.quantile(0.05):,.0f} among all. Of {gone['whole'].sum()} whole "
    f"trials {gone['diverged'].sum()} diverged and {gone['collapsed'].sum()} collapsed: they end nearer to guessing "
    f"than to the best ({', '.join(f'{name} {one:.0%}' for name, one in (gone['collapsed'] / gone['whole']).items())})."
    " A Bayesian search is drawn to where its model is unsure, and might well lose more than a random one; but so much "
    f"more also comes by chance (Fisher's exact p = {luck:.2f})."
)

# %% [markdown]
# **What matters?** Train a forest to predict the score from the setting; then shuffle one column, and see how much
# worse it predicts (scikit-learn's *permutation importance*). Two things are easily forgotten. The trials must be
# drawn at random: a search that goes where it is good has hardly varied what matters. And a forest that predicts
# nothing has no importances. So it is fitted to four of five random searches and judged on the fifth, whose $R^2$
# stands beside it; and so does its *out-of-bag* $R^2$, on trials that a tree did not see. What it predicts is the
# logarithm of the error, $\log(1-\text{score})$, in which 96 and 98% are as far apart as 60 and 80%.

# %%
parts = {"all trials": reading.importances(trials, search.SPACE)}
parts["the better half"] = reading.importances(trials, search.SPACE, share=0.5)
fig, axes = plt.subplots(1, 2, figsize=(11, 2.4), layout="constrained")
for ax, (name, part) in zip(axes, parts.items(), strict=True):
    order = part.groupby("hyperparameter")["importance"].mean().sort_values().index
    lines = [student_interval(part.loc[part["hyperparameter"] == one, "importance"]) for one in order]
    means, lows, highs = np.array(lines).T
    ax.errorbar(means, range(len(order)), xerr=[means - lows, highs - means], fmt="o", color=blue, capsize=3)
    ax.axvline(0, color="0.6", linewidth=1)
    ax.set_yticks(range(len(order)), [one.split(".")[-1].replace("_", " ") for one in order])
    ax.set(title=name, xlabel="R² lost where it is shuffled")
axes[0].set_ylabel("Mean and 95% interval,\n5 held-out searches", fontsize=8)
sns.despine(fig)

# %% tags=["hide-input"]
told, rank = {}, {}
for name, part in parts.items():
    each = part.groupby("search_seed")[["r2", "oob"]].first()
    told[name] = f"{each['r2'].median():.2f} (from {each['r2'].min():.2f} to {each['r2'].max():.2f}), out of bag "
    told[name] += f"{each['oob'].mean():.2f}"
    rank[name] = part.groupby("hyperparameter")["importance"].mean().sort_values(ascending=False)
first = rank["all trials"]
say(
    f"**Prediction 5.** Over all trials the {first.index[0].replace('_', ' ')} loses {first.iloc[0]:.2f} of R² where "
    f"it is shuffled, the next, {first.index[1].split('.')[-1]}, {first.iloc[1]:.2f}. (More than 1 is possible: a "
    "wrong rate predicts worse than no rate.) "
    f"The forest explains something: its R² on the held-out search is {told['all trials']}.",
    f"Now only the better half, settings that do train. The forest's R² is {told['the better half']}: it predicts "
    "nothing, and the right panel is to be read as such, whatever is on top. With fifty trials one learns what *ruins* "
    "a run, not what makes a good one better.",
)

# %% [markdown]
# **Was the space right?** If the best settings lie at an edge of it, better ones may lie beyond. For each search's best
# setting: does it lie in the outer tenth of a range, or at the last of a choice, more often than chance would have it?

# %%
reading.edges(trials, search.SPACE).style.format({"end": "{:g}", "chance": "{:.0%}"}).hide(axis="index")

# %% tags=["hide-input"]
edge = reading.edges(trials, search.SPACE)
flagged = [f"{one.hyperparameter} at {one.end:g}" for one in edge[edge["flag"] != ""].itertuples()]
small = edge[(edge["hyperparameter"] == "batch_size") & (edge["end"] == 32)].iloc[0]
say(
    f"{'Flagged: ' + ', '.join(flagged) if flagged else 'None is flagged'}. Nearest to it comes the batch size: "
    f"{small['there']} of {small['searches']} searches ended at {small['end']:.0f}, the smallest, where chance would "
    f"have {small['chance'] * small['searches']:.0f}. At equal epochs a smaller batch takes more steps (notebook 06)."
)

# %% [markdown]
# ## What to expect of n draws
#
# Let $F$ be the share of settings that score at most $s$. The best of $n$ independent draws scores at most $s$ with
# probability $F(s)^n$. So one of the best 5% is among them with probability $1-0.95^n$:

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if one.id == "sixty-trials")
random = whole[whole["algorithm"] == "random"]
top, rest = random["score"].quantile([0.95, 0.5])
say(
    f"**Prediction 2.** {facts.trials_for(0.05, 0.95)}: hence the advice to take sixty. It says nothing of the "
    "*score*: the best 5% of a space that is mostly ruins may be good or not, and in a narrow space all are. "
    f"Of the {len(random)} random trials here the best 5% reach {top:.1%}, the median {rest:.1%}."
)

# %% [markdown]
# From $N$ trials that are done one can read what *fewer* would have found: the $i$-th smallest score is the best of $n$
# drawn ones in $\binom{i-1}{n-1}$ of $\binom Nn$ cases (Dodge et al. 2019 advise to print this curve; without putting
# back, as here, it is unbiased, Tang et al. 2020):
#
# $$\mathrm E[\text{best of }n]=\sum_{i=n}^{N}s_{(i)}\binom{i-1}{n-1}\Big/\binom Nn .$$

# %%
expected = 100 * reading.expected_best(random["score"])
fig, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for _, one in random.groupby("search_seed"):
    ax.step(one["trial"], 100 * one["best"], where="post", color="0.7", linewidth=1)
ax.plot(expected.index[:20], expected[:20], color=blue, linewidth=2.5, label=f"expected, from all {len(random)}")
ax.plot([], [], color="0.7", label="the five searches themselves")
ax.set(xlabel="Random trials", ylabel="Best score so far (%)", ylim=(86, 96.5), xticks=range(0, 21, 5))
ax.legend(frameon=False, loc="lower right")
sns.despine(fig)

# %% tags=["hide-input"]
say(
    f"One draw: {expected[1]:.1f}% on average. Five: {expected[5]:.1f}%. Ten: {expected[10]:.1f}%, twenty: "
    f"{expected[20]:.1f}%, and all {len(random)}: {expected.iloc[-1]:.1f}%. The second ten bring "
    f"{expected[20] - expected[10]:.2f} points, the next eighty {expected.iloc[-1] - expected[20]:.2f}."
)

# %% [markdown]
# ## The best of many is too good
#
# A score is a setting's quality plus noise: the seed's, and that of which images are in the validation set. Whoever
# takes the best of $n$ scores takes the luckiest as well. If all settings are equally good, the best score exceeds them
# by the mean of the largest of $n$ normal numbers, $b_n$, in deviations $\sigma$ of the noise ($\varphi$ and $\Phi$
# below: density and distribution function of the standard normal). If their qualities are spread by $\tau$ themselves,
# the best score is only partly luck. For normal numbers, exactly:
#
# $$\text{too high by}\quad b_n\,\frac{\sigma^2}{\sqrt{\sigma^2+\tau^2}},\qquad
# b_n=n\int x\,\varphi(x)\,\Phi(x)^{n-1}\,dx .$$

# %%
counts, rows = (1, 3, 10, 20, 50, 100, 1000), {}
for spread in (0, 1, 3):
    for n in counts:
        quality, noise = spread * rng.normal(size=(2000, n)), rng.normal(size=(2000, n))
        chosen = (quality + noise).argmax(axis=1)
        drawn = noise[np.arange(2000), chosen].mean()
        rows[spread, n] = [facts.best_of(n) / np.sqrt(1 + spread**2), drawn]
        assert abs(np.subtract(*rows[spread, n])) < 0.1
table = pd.DataFrame(rows, index=["computed", "drawn"]).T["computed"].unstack()
table.rename_axis("spread of qualities / noise").rename_axis("settings tried", axis=1).style.format("{:.2f}")

# %% [markdown]
# How large is the noise? Of $m$ validation images of which a share $p$ is right, the share seen has the deviation
# $\sqrt{p(1-p)/m}$, and that is before any seed. Fifty equally good settings:

# %%
images = pd.Index((200, 500, 1000, 5000, 10_000), name="validation images")
noise = pd.DataFrame({f"at {p:.0%}": 100 * np.sqrt(p * (1 - p) / images) for p in (0.5, 0.9, 0.98)}, index=images)
both = pd.concat({"deviation (points)": noise, "best of 50 too high by": facts.best_of(50) * noise}, axis=1)
both.style.format("{:.2f}")

# %% [markdown]
# And in truth? The trials on MNIST have three training seeds each. Had they one, how much of the best score would be
# luck? Choose each search's best by one seed alone; then read the other two. (What a seed does to all settings, by its
# split, is taken off.)

# %%
fields = ["learning_rate", "optimizer_args", "batch_size", "schedule", "epochs"]
runs = found["search"].runs
each = whole.merge(runs[["run_id", "optimizer_args"]], on="run_id").merge(
    runs[[*fields, "seed", "val_score"]], on=fields
)
by_seed = each.pivot(index=[*KEY, "trial"], columns="seed", values="val_score")
good = by_seed[by_seed.mean(axis=1) > 0.94]
by_seed -= good.median()
rest = (good - good.median()).sub((good - good.median()).mean(axis=1), axis=0)
sigma = 100 * np.sqrt((rest**2).to_numpy().sum() / (2 * len(good) - 2))
luck = []
for key, part in by_seed.groupby(KEY):
    for seed in part:
        best = part.loc[part[seed].idxmax()]
        luck.append([*key, 100 * (best[seed] - best.drop(seed).mean())])
luck = pd.DataFrame(luck, columns=[*KEY, "points"]).groupby(KEY)["points"].mean()

# %% tags=["hide-input"]
mean, low, high = student_interval(luck.groupby("search_seed").mean())
say(
    f"**Prediction 3.** Twenty equally good settings: $b_{{20}}={facts.best_of(20):.2f}$ deviations, so "
    f"{0.2 * facts.best_of(20):.2f} points for a noise of 0.2.",
    f"On MNIST the noise among good settings is {sigma:.2f} points, so it would be "
    f"{sigma * facts.best_of(20):.2f} for twenty equal ones. It is {mean:.2f} [{low:.2f}, {high:.2f}]: settings "
    "differ by far more than the noise, so it is as if hardly two competed ($b_2=0.56$), and luck has little to choose "
    "from. The more *alike* the settings, the emptier the best score: a search that refines what is good already, late "
    "in its course, collects noise. That holds for seeds, too, and for choosing an epoch.",
)
tell_facts(one for one in facts.FACTS if one.id == "best-of-twenty")

# %% [markdown]
# ## A model of the scores: Bayesian search
#
# Random draws forget what they saw. A Bayesian search keeps a model of the score as a function of the setting, a
# **Gaussian process**: any two settings' scores are jointly normal, the more correlated the nearer they are. After some
# trials it says for each setting a mean $\mu$ and a deviation $\sigma$: small where something near has been tried. The
# next trial goes where, above the best score so far $f^*$, the most is to be expected:
#
# $$\mathrm{EI}=\mathrm E\big[\max(0,f-f^*)\big]=(\mu-f^*)\,\Phi(z)+\sigma\,\varphi(z),\qquad
# z=\frac{\mu-f^*}{\sigma} .$$
#
# One dimension, so that one can look: Adam's learning rate on MNIST, ten rates that notebook 07 trained, a straight
# line between them. To see the top, heights are $-\log_{10}$ of the error: 1 is 90%, 2 is 99%.

# %%
rates = store.read_runs("learning_rate", store.results_dir("full"))
rates = rates.query("dataset == 'mnist' and epochs == 10 and optimizer == 'adam' and seed <= 3")
rates = rates.groupby("learning_rate")["val_score"].mean()
known, height = np.log10(rates.index.to_numpy()), -np.log10(1 - rates.to_numpy())
ask = lambda x: np.interp(x, known, height)  # noqa: E731
places = np.linspace(known[0], known[-1], 300)


def model(tried):
    """Return mean, deviation and expected improvement of a Gaussian process at all `places`."""
    kernel = kernels.Matern(0.7, nu=2.5)  # correlated over some 0.7 decades: a guess, which keras-tuner fits
    process = GaussianProcessRegressor(kernel, alpha=1e-4, optimizer=None, normalize_y=True)
    mean, deviation = process.fit(tried[:, None], ask(tried)).predict(places[:, None], return_std=True)
    above = mean - ask(tried).max()
    z = above / np.maximum(deviation, 1e-9)
    return mean, deviation, above * stats.norm.cdf(z) + deviation * stats.norm.pdf(z)


tried = np.array([-3.8, -2.8, -1.6])
mean, deviation, improvement = model(tried)
drawn = np.maximum(0, rng.normal(mean, deviation, (20_000, 300)) - ask(tried).max()).mean(axis=0)
assert np.allclose(drawn, improvement, atol=0.01)  # the formula is what draws give

# %%
fig, axes = plt.subplots(2, 4, figsize=(12, 4.2), sharex=True, sharey="row", height_ratios=(3, 1), layout="constrained")
for ax, below in axes.T:
    mean, deviation, improvement = model(tried)
    ax.plot(places, ask(places), color="0.6", linewidth=1, label="the truth")
    ax.plot(places, mean, color=blue, label="mean")
    ax.fill_between(
        places, mean - 2 * deviation, mean + 2 * deviation, color=blue, alpha=0.15, linewidth=0, label="±2 σ"
    )
    ax.plot(tried, ask(tried), "o", color="0.2", ms=5, label="tried")
    below.fill_between(places, improvement, color=green, alpha=0.6)
    following = places[improvement.argmax()]
    for one in (ax, below):
        one.axvline(following, color=orange, linestyle="--", linewidth=1)
    ax.set(title=f"{len(tried)} tried, best {1 - 10 ** -ask(tried).max():.2%}", ylim=(-1, 3.2))
    below.set(xlabel="Learning rate", xticks=range(-4, -1), xticklabels=["0.0001", "0.001", "0.01"])
    tried = np.append(tried, following)
axes[0, 0].set_ylabel("−log₁₀ error")
axes[1, 0].set_ylabel("Expected\nimprovement")
axes[0, 3].legend(frameon=False, fontsize=8, loc="lower left")
sns.despine(fig)

# %% tags=["hide-input"]
missed = (ask(places) - mean) / deviation
start = rng.uniform(known[0], known[-1], (4000, len(tried)))
by_chance = 1 - 10 ** -ask(start).max(axis=1)
told = ", ".join(f"{10**one:.2g}" for one in tried[3:])
say(
    f"The dashed lines are where it goes: {told}. It leaves the cliff alone and closes in on the top: "
    f"{1 - 10 ** -ask(tried).max():.2%} after {len(tried)} trials, of at most {rates.max():.2%}. As many at random "
    f"have {np.mean(by_chance):.2%} on average, from {np.quantile(by_chance, 0.05):.2%} to "
    f"{np.quantile(by_chance, 0.95):.2%} in nine cases of ten. Look at the shoulder, too: in the last panel the "
    f"truth at {10 ** places[missed.argmax()]:.2g} is {missed.max():.1f} deviations above the mean. A smooth process "
    "and a score that drops to guessing do not go well together.",
    "keras-tuner, which proposes here, begins with random trials (two a hyperparameter in this course: of forty "
    f"trials over eight, {2 * len(regret.SPACE)} are no different from random search), fits the scale of the "
    "correlation, and goes where $\\mu+2.6\\,\\sigma$ is largest. Names without an order it numbers.",
)

# %% [markdown]
# ## Stop early what begins badly: Hyperband
#
# **Successive halving** trains many settings shortly, keeps the best third, trains these three times as long, and so
# on. It saves whole trainings where the rank after few epochs tells the rank at the end. Does it? Each epoch's
# validation accuracy of all runs of random search, in rank correlation with that of the last one:

# %%
mine = random.merge(runs[["run_id", "optimizer_args"]], on="run_id")[fields].merge(runs[["run_id", *fields]], on=fields)
history = found["search"].history
lines = history[history["run_id"].isin(mine["run_id"])].pivot(index="run_id", columns="epoch", values="val_accuracy")
shares = {"all": 1, "best third": 1 / 3, "best tenth": 0.1}
chosen = {name: lines[lines[9].rank(ascending=False) <= share * len(lines)] for name, share in shares.items()}
agree = {name: part.corr("spearman")[9] for name, part in chosen.items()}
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
for (name, part), colour, style in zip(chosen.items(), ("0.75", blue, orange), ("--", "-", "-."), strict=True):
    axes[0].semilogy(1 - part.T, color=colour, linewidth=0.5)
    axes[1].plot(agree[name], style, marker="o", ms=4, color=colour, label=f"{name}, {len(part)} runs")
axes[0].set(xlabel="Epoch", ylabel="Validation error")
axes[0].set_yticks((0.04, 0.1, 0.3, 0.9), ["4%", "10%", "30%", "90%"])
axes[0].minorticks_off()
axes[1].axhline(0, color="0.85", linewidth=1)
axes[1].set(xlabel="Ranks after epoch", ylabel="Spearman correlation\nwith those of epoch 9")
axes[1].legend(frameon=False, loc="lower right")
sns.despine(fig)

# %% tags=["hide-input"]
every, third, top = agree.values()
spread = 100 * chosen["best tenth"][9].std()
anew = trials[trials["algorithm"] == "hyperband"].pivot_table(
    index=["search_seed", *search.SPACE], columns="epochs", values="score"
)
anew = anew[[3, 9]].dropna()
say(
    f"**Prediction 4.** After one epoch of nine the ranks correlate by {every[1]:.2f} with those of the end, within "
    f"the best third (blue) by {third[1]:.2f}, within the best tenth (orange) by {top[1]:.2f}; after three epochs by "
    f"{every[3]:.2f}, {third[3]:.2f} and {top[3]:.2f}. Early ranks tell what is hopeless. The nearer to the top, the "
    f"less they tell: at the end the best tenth have a deviation of {spread:.2f} points, and the noise of a seed alone "
    f"is {sigma:.2f}."
)

# %% [markdown]
# Is that good or bad? Replay it. Of 27 settings drawn from these, halving keeps 9 after epoch 1, 3 after epoch 3, and
# takes the best at epoch 9. Beside it: all 27 to their end; and as many whole trials as halving's epochs pay for.

# %%
by_setting = mine.set_index("run_id")[fields[:-1]].join(lines).groupby(fields[:-1])
scores, replayed = by_setting.mean().to_numpy(), []  # over three seeds
for _ in range(4000):
    kept = drawn = rng.choice(len(scores), 27, replace=False)
    for epoch, count in ((1, 9), (3, 3), (9, 1)):
        kept = kept[np.argsort(-scores[kept, epoch - 1])[:count]]
    replayed.append([scores[drawn, 8].max(), scores[kept[0], 8], scores[drawn[:7], 8].max()])
halving = 27 * 1 + 9 * 2 + 3 * 6  # trained on, not anew
found_by = pd.DataFrame(replayed, columns=["all 27 to the end", "halving", f"{halving // 9} whole trials"])
table = pd.DataFrame({"epochs": [27 * 9, halving, halving // 9 * 9], "found (%)": 100 * found_by.mean().to_numpy()})
table["behind (points)"] = table["found (%)"].iloc[0] - table["found (%)"]
table["the very best (%)"] = 100 * (found_by.sub(found_by.iloc[:, 0], axis=0) >= 0).mean().to_numpy()
table.index = found_by.columns
table.style.format("{:.0f}", subset=["epochs", "the very best (%)"]).format(
    "{:.2f}", subset=["found (%)", "behind (points)"]
)

# %% tags=["hide-input"]
say(
    f"Halving spends {halving / 243:.0%} of the epochs and is {table.iloc[1, 2]:.2f} points behind; it has the very "
    f"best in {table.iloc[1, 3]:.0f}% of the cases. The same epochs, spent on whole trials, leave "
    f"{table.iloc[2, 2]:.2f} points. So it need not find the best to be worth it: it is enough that the hopeless are "
    "many, and known early.",
    "The curves replayed are of runs of nine epochs, whose rates fall over nine. keras-tuner, and we, train a setting "
    "anew for every round, and with three epochs its rate falls within three. Does the best for three remain the best "
    f"for nine? Of the {len(anew)} settings that Hyperband itself took from 3 epochs to 9, the ranks correlate by "
    f"{anew.corr('spearman').iloc[0, 1]:.2f}.",
)

# %% [markdown]
# How early is early? **Hyperband** (Li et al. 2018) does not decide: it runs *brackets*, from one that starts many
# settings with few epochs to one that is plain random search. keras-tuner's, for whole trials of 12 epochs
# and factor 3:

# %%
plan = facts.brackets(base.epochs)
for bracket in plan:
    spent = sum(count * epochs for count, epochs in bracket)
    print(" → ".join(f"{count} × {epochs} epochs" for count, epochs in bracket), f" = {spent} epochs")
total = sum(count * epochs for bracket in plan for count, epochs in bracket)
budget = regret.BUDGET["full"]
print(f"together {total}; the budget of a search, {budget}, is {budget / total:g} times that")

# %% [markdown]
# ## Three searches, equal budgets: MNIST
#
# | | |
# |---|---|
# | **varied** | the algorithm: random, Bayesian, Hyperband |
# | **searched** | learning rate, momentum, batch size, schedule |
# | **budget** | 540 epochs a search, as asked for: 20 whole trials of nine epochs and three training seeds |
# | **held fixed** | a network of 128 hidden units, 10,000 images |
# | **repeated** | over five search seeds; each algorithm has a stream of proposals of its own |

# %%
show(found["search"], "best_so_far")

# %%
tell(found["search"])

# %% tags=["hide-input"]
ends = trials.groupby(KEY)["best"].last().unstack("algorithm")
pairs = {name: 100 * (ends[name] - ends["random"]) for name in ("bayesian", "hyperband")}
told = {name: "{:+z.2f} [{:.2f}, {:.2f}]".format(*student_interval(one)) for name, one in pairs.items()}
early = search.best_so_far(trials)
early = early[early["epochs"] == sorted(early["epochs"].unique())[1]].groupby("algorithm")["val_score"].mean()
begun = sorted(search.best_so_far(trials)["epochs"].unique())[1]
say(
    f"After {begun} epochs: {', '.join(f'{name} {one:.1%}' for name, one in early.items())}. The Bayesian search has "
    f"done {begun // 27} trials by then, *all of them random draws*: what is between it and random search is luck, of "
    f"five searches each. At the end Bayesian is {told['bayesian']} points from random search, Hyperband "
    f"{told['hyperband']}. No winner shows: with four hyperparameters, of which one matters, twenty random trials are "
    "nearly always among the good ones, and little is left to gain. These are *scores that were seen*, besides, each "
    "a best of twenty or more. The next experiment has twice the dimensions, and looks again."
)

# %% [markdown]
# ## Eight hyperparameters, and an honest score
#
# | | |
# |---|---|
# | **varied** | the algorithm |
# | **searched** | the eight hyperparameters of the table above |
# | **budget** | 480 epochs a search: 40 whole trials of 12, or three rounds of Hyperband's brackets |
# | **held fixed** | Keras' old CIFAR-10 network at up to half its width, 2,000 images at half their resolution |
# | **repeated** | over five search seeds, each with a training seed (and split) of its own, the same for all three |
# | **read** | every setting that was the best so far is **trained again** on fresh seeds: 3 on the way, 8 at the end |
#
# Regret: how far a search's best setting so far is behind the best that any of the fifteen found, both on fresh seeds.
# And what was promised, and what came of it: on the dashed line a best score would be what its setting scores again.

# %%
show(found["regret"], "regret", "promised")

# %%
tell(found["regret"])

# %% tags=["hide-input"]
if done:
    say(
        f"**Prediction 6.** On fresh seeds, against random search: Bayesian {ours('bayesian-beats-random')}; Hyperband "
        f"{ours('hyperband-beats-random')}, after a fifth of the budget {ours('hyperband-early')}."
    )
else:
    say(f"*regret: {found['regret'].gap()}.*")

# %% tags=["hide-input"]
if done:
    told = 100 * regret.promised(found["regret"])["optimism"]
    mean, low, high = student_interval(told)
    noise = 100 * np.sqrt(0.25 / 5000)
    say(
        f"**Prediction 7.** Of a best score {mean:.2f} points [{low:.2f}, {high:.2f}] are gone on fresh seeds, in the "
        f"worst of {len(told)} searches {told.max():.1f}. Counting 5,000 validation images alone has a deviation of "
        f"{noise:.1f} points, the seed comes on top. Does it hold within a point? {ours('best-score-holds')}."
    )
else:
    say(f"*regret: {found['regret'].gap()}.*")

# %% [markdown]
# All settings of the fifteen searches; then what matters, by forests that are fitted to four random searches and judged
# on the fifth.

# %%
show(found["regret"], "parallel", "importance")

# %% tags=["hide-input"]
if done:
    searched = regret.searched(found["regret"])
    each = regret.importances(found["regret"]).groupby("search_seed")[["r2", "oob"]].first()
    gone = reading.lost(searched, found["regret"].runs)
    say(
        f"The forests' R² on the search that they have not seen is {each['r2'].median():.2f} (from "
        f"{each['r2'].min():.2f} to {each['r2'].max():.2f}), out of bag {each['oob'].mean():.2f}. The learning rate "
        f"against the next: {ours('rate-matters-most')}.",
        "Whole trials that diverged or collapsed: "
        + ", ".join(f"{name} {one.diverged + one.collapsed:.0f} of {one.whole:.0f}" for name, one in gone.iterrows())
        + ". That is what a model of the scores, or an early look, can spare.",
        "The edges of the space:",
        plots.markdown_table(plots.readable(reading.edges(searched, regret.SPACE))),
    )
else:
    say(f"*regret: {found['regret'].gap()}.*")

# %% [markdown]
# **The scientific ones.** An *isolation plot* takes for each value of a scientific hyperparameter the best over all
# nuisance ones: that is comparing at each one's own best. The more trials a value had, the better its best; so all are
# cut to as many, by the formula for the expected best of $n$.

# %%
if done:
    thirds = {"bins": [-0.01, 0.23, 0.47, 0.7], "labels": ["to 0.23", "to 0.47", "to 0.70"]}
    one_each = reading.whole(regret.searched(found["regret"])).query("algorithm == 'random'")
    one_each = one_each.assign(
        augmentation=one_each["augmentation"].fillna("none"),
        dropout=pd.cut(one_each["model_args.dense_dropout"], **thirds),
    )
    fig, axes = plt.subplots(1, 3, figsize=(11, 2.8), sharey=True, layout="constrained")
    for ax, name in zip(axes, ("augmentation", "model_args.width", "dropout"), strict=True):
        groups = {str(value): part["score"].dropna() for value, part in one_each.groupby(name, observed=True)}
        n = min(map(len, groups.values()))
        for place, one in enumerate(groups.values()):
            ax.plot(np.full(len(one), place), 100 * one, "o", color="0.75", ms=3)
            ax.plot(place, 100 * reading.expected_best(one)[n], "D", color=blue, ms=8)
        ax.set_xticks(range(len(groups)), list(groups))
        ax.set_xlabel(f"{name.split('.')[-1].capitalize()} (◆: expected best of {n})")
    axes[0].set_ylim(bottom=100 * one_each["score"].median())
    axes[0].set_ylabel("Validation score (%),\nthe upper half")
    sns.despine(fig)
    plt.show()
else:
    say(f"*regret: {found['regret'].gap()}.*")

# %% [markdown]
# ## Then the test set, once
#
# The winner is the setting with the best mean over eight fresh seeds, by *validation*. It alone is trained on eight
# seeds more, and only now a test accuracy is read. It is a number for this setting on this test set: no search saw it,
# and no other setting's is looked at.

# %% tags=["hide-input"]
if done:
    table = found["regret"].trials
    winner = table[table["role"] == "winner"].merge(
        found["regret"].runs[["run_id", "test_accuracy", "test_images", *regret.BASE["full"].to_row()]], on="run_id",
        suffixes=("", "_run"),
    )  # fmt: skip
    one = RunConfig.from_row(found["regret"].runs.set_index("run_id", drop=False).loc[winner["run_id"].iloc[0]])
    test, low, high = student_interval(100 * winner["test_accuracy"])
    say(
        f"Found by {winner['algorithm'].iloc[0]} search {winner['search_seed'].iloc[0]}: validation "
        f"{winner['score'].mean():.2%}, **test {test:.2f}% [{low:.2f}, {high:.2f}]**, n = {len(winner)} seeds, on "
        f"{winner['test_images'].iloc[0]:,.0f} images. The command that trains it:",
        f"```\n{tell_command(one)}\n```",
    )
else:
    say(f"*regret: {found['regret'].gap()}.*")

# %% [markdown]
# ## What articles get wrong
#
# - *"Grid search is thorough."* Of a grid's trials most repeat the value of what matters. It is a good choice for one
#   or two hyperparameters, or to draw a map (notebook 06 has one).
# - *"Sixty trials are enough."* For the best 5% *of the space*, that is. Whether these are good depends on the space.
# - *"Accuracy after tuning: the best score of the search."* A maximum over noise. It has to be measured again.
# - *"A beats B"*, where A was tuned and B was not, or A with more trials. Equal tries for both is the least.
# - *"Bayesian search needs far fewer trials."* It may. But its first trials are random, its model is unsure in many
#   dimensions, and where most settings within a decade are alike nothing is left to find. Compare over search *seeds*:
#   one search of each is a coin flip.
# - *"Hyperband is an order of magnitude faster."* Li et al. say so of their tasks, where the last round trains up to
#   256 times as long as the first. Between 2 and 12 epochs there is less to save.

# %% [markdown]
# ## Limits
#
# - Two spaces, two small networks, short runs. A space that is wider, or more dimensions, makes random search look
#   worse; a narrower one makes all look alike. The ranges are a guess of the author, made before any trial.
# - 20 and 40 trials. With hundreds a model of the scores has more to go by.
# - keras-tuner's algorithms, of their many. Hyperband here trains every round anew.
# - Five searches of each algorithm: intervals are wide. Regret is against the best that was found, not that there is.
# - Budgets count epochs, as one pays by them; a wide network's epoch takes longer. The table has the minutes.

# %% [markdown]
# ## Your own space
#
# The command line takes a fixed value, choices with commas, or a range (logarithmic where it spans a decade):
#
# ```
# python -m cnnkit search dataset=digits model=lenet5_modern epochs=3 learning_rate=1e-3..1 batch_size=16,32,64 \
#     --algorithm hyperband --budget 60
# ```
#
# It checks the whole space before it trains anything, keeps every run, goes on where it was stopped, and ends with a
# table, a figure and the command that trains the winner. What it reads from the words:

# %%
space, fixed = read_space({"dataset": "digits", "learning_rate": "1e-3..1", "batch_size": "16,32,64", "epochs": 3})
print(space, fixed.dataset, fixed.epochs)
for words in ({"learning_rate": "1..0.1"}, {"learning_rate": "low..high"}):
    try:
        read_space(words)
    except ValueError as error:
        print(error)

# %% [markdown]
# The same from Python, in `smoke` here and now: six trials of softmax regression on 300 digits. Too small to conclude
# from; it shows that it runs.

# %%
if PROFILE == "smoke":
    small = {"learning_rate": Range(0.001, 1.0, log=True), "batch_size": [16, 32, 64]}
    how = {"base": RunConfig(model="softmax", train_size=300, epochs=2), "experiment": "scratch", "seed": 1}
    tried = run_search(small, "random", 12, **how)
    display(tried[["trial", *small, "score", "spent", "best"]].round(3))

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* How many random trials find one of the best 2% with probability 90%? (The cell below takes your
#    answer, and those of 2 and 3.)
# 2. *Paper and pencil.* A grid over five hyperparameters, 243 trials: how many learning rates does it try?
# 3. *Paper and pencil.* 100 settings, equally good; 1,000 validation images of which 80% are right. By how many points
#    is the best score too high? (Take $b_{100}=2.51$.)
# 4. Replay halving with factor 9: 27 settings, the best 3 after epoch 1, then to the end. What does it save, what does
#    it lose?
# 5. A search of your own: choose a space for LeNet-5 on `digits`, run the command above with two algorithms and three
#    `--seed`s each. Train each winner on five fresh seeds. Is the difference between the algorithms larger than that
#    between the seeds?

# %%
my_answers = {"trials": None, "rates": None, "points": None}  # exercises 1 to 3: put your numbers here


def judge(answers):
    """Say of each number whether what is computed agrees."""
    points = 100 * facts.best_of(100) * np.sqrt(0.8 * 0.2 / 1000)
    true = {"trials": facts.trials_for(0.02, 0.9), "rates": facts.values_tried(243, 5), "points": points}
    for name, mine in answers.items():
        agrees = mine is not None and np.isclose(mine, true[name], rtol=0.01)
        print(f"{name}:", "not filled in" if mine is None else "right" if agrees else "not yet")


judge(my_answers)

# %% [markdown]
# ## Solutions
#
# **1.** The smallest $n$ with $0.98^n\le0.1$. **2.** The fifth root of 243. **3.** $2.51\sqrt{0.8\cdot0.2/1000}$, in
# points.

# %%
judge({"trials": np.ceil(np.log(0.1) / np.log(0.98)), "rates": 243 ** (1 / 5), "points": 251 * np.sqrt(0.16 / 1000)})

# %% [markdown]
# **4.** After one epoch nothing is known of the good ones, and only three places are left for them:

# %%
kept = []
for _ in range(4000):
    drawn = rng.choice(len(scores), 27, replace=False)
    best = drawn[np.argsort(-scores[drawn, 0])[:3]]
    kept.append([scores[best, 8].max(), scores[drawn, 8].max()])
reached, best = 100 * np.mean(kept, axis=0)
print(f"{27 + 3 * 8} epochs instead of {halving} or 243: {reached:.2f}%, {best - reached:.2f} points behind")

# %% [markdown]
# **5.** Compare the gap between the two algorithms' means with the spread of three searches of one of them, and with
# that of one winner over its fresh seeds. Only a gap well beyond both means anything.

# %% [markdown]
# ## Sources and what to read next
#
# Bergstra and Bengio 2012, *Random search for hyper-parameter optimization*; Snoek, Larochelle and Adams 2012,
# *Practical Bayesian optimization of machine learning algorithms*; Li et al. 2018, *Hyperband*; Dodge et al. 2019,
# *Show your work*; Cawley and Talbot 2010, *On over-fitting in model selection*; Godbole et al. 2023, *Deep Learning
# Tuning Playbook*; Goodfellow, Bengio and Courville 2016, *Deep Learning*, ch. 11. Tools: keras-tuner, scikit-learn.
# The learning rate is notebook 07's, the batch size 06's, optimizers are 08's, decay and dropout 10's. Next:
# 14_your_own_images.
