# %% [markdown]
# # 06 Batch size: which one, and why do papers disagree?
#
# A network sees its training images in **batches**. For each batch of $B$ images it takes the mean of their gradients,
# and one step against it:
#
# $$g_B=\frac1B\sum_{i\in\text{batch}}\nabla\ell_i(w),\qquad w\leftarrow w-\eta\,g_B .$$
#
# One image, or all of them, or something between? One article says that large batches generalise better, another that
# small ones do; one that the full batch is fastest, another that mini-batches are, sometimes on the same page. This
# notebook counts, trains, and finds what each of them left out: *at equal what?*
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. 500 images in batches of 64: how many steps has an epoch, and how many images its last batch?
# 2. Batches from 8 to all 2,048 images at once: which is at a target loss in the fewest epochs, which in the fewest
#    steps, and which in the shortest time?
# 3. Batches of 16, 64, 256 and 1,024: which classifies best after 16 epochs each? And which after 512 steps each?
# 4. Your batch is four times as large as before. By what factor should the learning rate grow?
# 5. A trained network takes one more step, of the usual length, on 16 images only. What can that do to its accuracy?
# 6. Is a batch of 64 faster, image for image, than one of 63 or 65?

# %% [markdown]
# **Two sizes.** What a cell trains on the spot reads small digits in `smoke` (no network), 10,000 images of MNIST in
# `full`, a few seconds of either. Answers come from committed tables in both.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

SPOT = {"smoke": {"dataset": "digits", "batch_size": 64, "epochs": 8}}  # what is trained here and now
SPOT["full"] = {"dataset": "mnist", "train_size": 10_000, "batch_size": 256, "epochs": 10}
EXPERIMENTS = ("race", "batch_size", "last_batch", "step_time")

# %% tags=["hide-input"]
from cnnkit.course.backprop.facts import FACTS as BACKPROP
from cnnkit.course.batch_size import batch_size, facts, race, step_time
from cnnkit.course.convolution.facts import FACTS as CONVOLUTION
from cnnkit.evidence import claims
from cnnkit.lab.feeding import Batches
from cnnkit.lab.store import student_interval, summarise
from cnnkit.lab.training import building

plt.rcParams["figure.dpi"] = 100
blue, orange, green = sns.color_palette("colorblind", 3)
rng = np.random.default_rng(1)
found = {name: findings(name) for name in EXPERIMENTS}
rows = [row for one in found.values() for row in one.verdicts()]
verdicts = claims.as_table(rows).set_index("id")

# %% [markdown]
# **What it costs.** Four experiments stand behind this page: what each asks, how many networks that takes as far as the
# rows decide it yet, and what those that are here cost, one after the other. The last one trains none: it holds a
# watch.

# %% tags=["hide-input"]
cost = {
    name: [one.experiment.question, len(one.configs), len(one.runs), round(one.seconds / 60, 1)]
    for name, one in found.items()
}
columns = ["question", "networks asked for", "here", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))

# %% [markdown]
# ## Batch, step, epoch, patch
#
# A **step** (Keras also says *iteration*) uses one batch, an **epoch** every image once. Of $n$ images a batch takes
# $B$, so an epoch has $n/B$ steps, and where that is no whole number somebody has to decide: round *up*, and the last
# batch is smaller (Keras' default), or *down*, and the remainder waits for the next shuffle (our recorded runs).
#
# $$\text{steps}=\left\lceil\frac nB\right\rceil\ \text{or}\ \left\lfloor\frac nB\right\rfloor,\qquad
# \text{last batch}=n-B\,\Big(\left\lceil\frac nB\right\rceil-1\Big).$$


# %%
def cut(n, size):
    """Return n / size, and what Keras (the remainder kept) and our runs (dropped) make of it."""
    x = np.zeros((n, 1))
    kept, dropped = ([len(batch[0]) for batch in Batches(x, x, size, last_batch=last)] for last in ("keep", "drop"))
    assert sum(kept) == n and len(kept) == -(-n // size) and len(dropped) == n // size
    assert kept[-1] == n - size * (len(kept) - 1)
    return [n, size, n / size, len(kept), kept[-1], len(dropped), n - sum(dropped)]


columns = ["images", "batch", "images / batch", "steps, kept", "last batch", "steps, dropped", "images that wait"]
pairs = [(500, 64), (500, 32), (10_000, 64), (10_000, 256), (2048, 128), (2048, 2048)]
pd.DataFrame([cut(*pair) for pair in pairs], columns=columns).set_index(["images", "batch"])

# %% tags=["hide-input"]
said = ("steps-of-64", "last-of-64", "steps-of-32", "last-of-32", "epoch-is-a-batch", "patches-of-64")
_, _, _, steps, last, *_ = cut(500, 64)
say(
    f"**Prediction 1.** {steps} steps, the last on {last} images, as one of our articles has it. Another line of that "
    f"article gives the batch as 32, and divides by 64 all the same. What is said of it, and what a computation finds:"
)
tell_facts(one for one in (*BACKPROP, *CONVOLUTION) if one.id in said)

# %% [markdown]
# The last line is about another word: a **patch** is a piece of *one* image. A picture of 256×256 pixels cut into tiles
# of 64×64 makes $(256/64)^2$ of them; tiles that overlap make more.

# %%
picture = np.arange(256 * 256).reshape(256, 256)
tiles = picture.reshape(4, 64, 4, 64).swapaxes(1, 2).reshape(-1, 64, 64)
assert len(tiles) == (256 // 64) ** 2 and np.array_equal(np.sort(tiles, axis=None), picture.ravel())
overlapping = ((256 - 64) // 32 + 1) ** 2  # a window of 64 that moves by 32
print(
    f"{len(tiles)} patches side by side, {overlapping} that overlap by half; in a batch of 8 pictures {8 * len(tiles)}"
)

# %% [markdown]
# A batch must not be larger than the training set. Keras would take what is there and call it a batch; here it is an
# error, at once, because every number that follows from the batch size would be wrong.

# %%
try:
    train(RunConfig(dataset="digits", batch_size=5000))
except ValueError as error:
    print(error)

# %% [markdown]
# ## What a batch is: an estimate
#
# The gradient of all images, $g$, is what full-batch descent follows. A batch estimates it. If batches are drawn at
# random, the estimate is right on average, and its error shrinks as the mean of $B$ numbers does:
#
# $$\mathbb E\,g_B=g,\qquad \mathbb E\,\lVert g_B-g\rVert^2=\frac{\operatorname{tr}\Sigma}{B},$$
#
# where $\Sigma$ is the covariance of single images' gradients. **Four times the batch, half the error.** Let us see it
# on a network. We train one, keep its weights, and take steps from there, always the same start, on batches of 1 to
# 256 images, 30 of each. A plain SGD step tells its gradient: the weights' change, divided by the rate.

# %%
config = RunConfig(learning_rate=0.16, **SPOT[PROFILE])
network = train(config).model
images = load_dataset(config.dataset, train_size=config.train_size, seed=config.seed)
x, y = images.x_train / np.float32(255), images.y_train
x_val, y_val = images.x_val[:1000] / np.float32(255), images.y_val[:1000]
finished = network.get_weights()
optimizer = keras.optimizers.SGD(config.learning_rate)
network.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def accuracy():
    return float((network.predict_on_batch(x_val).argmax(axis=1) == y_val).mean())


def step(chosen, rate=config.learning_rate, start=finished):
    """Take one step on the chosen images, from the finished weights; return its gradient and the accuracy after it."""
    network.set_weights(start)
    optimizer.learning_rate = rate
    network.train_on_batch(x[chosen], y[chosen])
    moved = np.concatenate([(old - new).ravel() for old, new in zip(start, network.get_weights(), strict=True)])
    return moved / rate, accuracy()


network.set_weights(finished)
before = accuracy()
pool = rng.permutation(len(x))[:1000]  # "all images" of this measurement
g, _ = step(pool)
steps = []
for size in (1, 4, 16, 64, 256):
    for repeat in range(30):
        gradient, after = step(rng.choice(pool, size))
        steps.append({"batch_size": size, "seed": repeat, "noise": ((gradient - g) ** 2).sum(), "after": after})
steps = pd.DataFrame(steps)

# %%
noise = summarise(steps, "batch_size", "noise").set_index("batch_size")["mean"]
fig, ax = plt.subplots(figsize=(5.4, 3.4), layout="constrained")
ax.plot(steps["batch_size"], steps["noise"], "o", color=blue, markersize=3, alpha=0.3)
ax.plot(noise.index, noise, "s", color=blue, mec="w", markersize=8, label="mean of 30 batches")
ax.plot(noise.index, noise[1] / noise.index, "--", color="0.35", label="that of one image / $B$")
ax.set(xscale="log", yscale="log", xlabel="Batch size $B$ (images)", ylabel="$\\|g_B-g\\|^2$")
ax.set_xticks(noise.index, noise.index)
ax.legend(frameon=False)
sns.despine(ax=ax)
plots.mark_profile(fig, PROFILE)

# %% tags=["hide-input"]
slope = np.polyfit(np.log(noise.index), np.log(noise), 1)[0]
idle = np.isclose(steps.loc[steps["batch_size"] == 1, "noise"], (g**2).sum(), rtol=0.1).mean()
say(
    f"From one image to 256 the squared error falls by a factor of {noise[1] / noise[256]:,.0f}; the slope in the "
    f"figure is {slope:.2f}, and the formula says −1. At these weights the squared length of $g$ itself is "
    f"{(g**2).sum():.3g}: a batch of 16, with an error of {noise[16]:.3g}, points "
    + ("mostly anywhere." if noise[16] > (g**2).sum() else "mostly downhill.")
    + f" {idle:.0%} of the single images have hardly any gradient (their error is that of 0, within a tenth): the "
    "network reads them well already, and the noise is made by the others."
)

# %% [markdown]
# So a larger batch has a *smaller* variance, not a larger one, and two things that articles say of it can be computed:

# %% tags=["hide-input"]
tell_facts([one for one in BACKPROP if one.id == "batch-variance"] + [one for one in facts.FACTS if one.ledger == 38])

# %% [markdown]
# ## The race: epochs, steps, seconds
#
# A more exact step costs more. Is it worth it? Batches of $B$ need some number of steps to a target loss, $S(B)$, and
# $E(B)=S(B)\cdot B/n$ epochs. Shallue et al. (2018) measured 35 workloads and found the same three stretches in each:
# **perfect scaling**, where twice the batch needs half the steps (and as many epochs), then **diminishing returns**,
# then a **plateau**, where noise is no longer what holds the descent up, and a larger batch saves no step at all. How
# long each stretch is depends on network and data. (They aimed at a validation error; we aim at a training loss, since
# the articles speak of convergence, and on so few images a validation loss soon stands on its floor.)
#
# | | |
# |---|---|
# | **varied** | the batch size, from 8 to all 2,048 images |
# | **tuned, for each** | the rate, constant: the one that is soonest at the target |
# | **held fixed** | LeNet-5, 2,048 images of MNIST, momentum 0.9, the target: a training loss, *evaluated* |
# | **repeated** | over fresh seeds; a run that never gets there counts as longer than its end, and is a triangle |

# %%
show(found["race"], "times")

# %% tags=["hide-input"]
if found["race"].complete:
    times = race.times(found["race"])
    middle = times.groupby("arm", sort=False)[[*race.UNITS]].median()  # a run that never gets there is longer than it
    late = times.groupby("arm", sort=False)["reached"].agg(lambda there: (~there).sum())
    table = middle.assign(**{"never there": late}).rename_axis("batch").reset_index()
    told = [
        f"Fewest {unit}: {middle[unit].idxmin()} ({middle[unit].min():.3g}; all at once {middle[unit].get('all'):.3g})."
        for unit in race.UNITS
    ]
    say(
        "Medians over the seeds:",
        plots.markdown_table(table.round(1)),
        f"**Prediction 2.** {' '.join(told)}",
    )
    sizes = times.groupby("arm", sort=False)["batch_size"].first()
    falls = -np.diff(np.log(middle["steps"])) / np.diff(np.log(sizes))
    told = [f"{a} to {b}: {fall:.2f}" for a, b, fall in zip(middle.index[:-1], middle.index[1:], falls, strict=True)]
    say(
        "How the steps fall from one size to the next, as a power of the batch size (1 is perfect scaling, 0 the "
        f"plateau): {'; '.join(told)}."
    )
else:
    say(f"*race: {found['race'].gap()}.*")

# %%
tell(found["race"])

# %% [markdown]
# The sentences of the articles count different things. Count **steps**: those of the full batch follow the exact
# gradient, so where noise is what costs steps, it needs the fewest. Count **epochs** (images read, and so work done):
# small batches have moved many times before the full batch moves once. **Seconds** are work divided by how much of it
# the machine does at once. One core does little at once, so its seconds go with the epochs, until batches are so small
# that what Keras does besides in each step counts. A machine that did a whole batch in the time of one image would
# count steps. A GPU lies between the two, and its batches are larger for that reason, not because the network likes
# them.

# %% [markdown]
# ## Why papers disagree: four panels
#
# Does a larger batch generalise better? Ask two questions back. *At equal what*: equal epochs (then a batch of 1,024
# takes a 64th of the steps that 16 take) or equal steps (then it reads 64 times the images)? *At which rate*: one for
# all, or tuned for each? That makes four experiments, all of which have been published as "the effect of the batch
# size".
#
# | | |
# |---|---|
# | **varied** | the batch size; equal epochs or equal steps; its own rate or that of 64 |
# | **tuned** | the peak of a one-cycle rate, on validation images |
# | **held fixed** | Caffe's quick network (three convolutions), 8,192 images of CIFAR-10 at half size, momentum 0.9 |
# | **repeated** | over fresh seeds, the same for all |

# %% tags=["hide-input"]
lines = []
for part, comparison in batch_size.FULL.items():
    for size, one in zip(batch_size.LOWEST, comparison.configs.values(), strict=False):
        steps_of = one.train_size // size * one.epochs
        lines.append([batch_size.EQUAL[part], f"{size:,}", one.epochs, f"{steps_of:,}", f"{steps_of * size:,}"])
say(plots.markdown_table(pd.DataFrame(lines, columns=["at", "batch", "epochs", "steps", "images read"])))

# %%
show(found["batch_size"], "cells")

# %% tags=["hide-input"]
if found["batch_size"].complete:
    tests = batch_size.cells(found["batch_size"]).query("images == 'test' and not collapsed")
    levels = tests.groupby(["part", "rate", "batch_size"])["accuracy"].mean()
    told = []
    for part in batch_size.EQUAL:
        for rate in ("fixed", "tuned"):
            level = levels[part, rate]
            best, worst = (f"{size:,} ({level[size]:.1%})" for size in (level.idxmax(), level.idxmin()))
            told.append(f"{batch_size.EQUAL[part]}, {rate} rate: best {best}, worst {worst}")
    say(f"**Prediction 3.** {'; '.join(told)}.")
else:
    say(f"*batch_size: {found['batch_size'].gap()}.*")

# %% [markdown]
# The training curve beside the test curve tells two stories apart. Where *both* fall, the network has learnt less: too
# few steps, or steps too short or too long. Where training stays high and test falls, it is the **generalisation gap**
# that Keskar et al. (2016) wrote about. A narrow gap alone is no merit: a network that has learnt nothing has none.

# %% tags=["hide-input"]
if found["batch_size"].complete:
    every = batch_size.cells(found["batch_size"]).query("not collapsed")
    wide = every.pivot_table("accuracy", ["part", "rate", "batch_size"], "images")
    gap = 100 * (wide["training"] - wide["test"]).unstack()
    say(
        "Training minus test accuracy, in points:",
        plots.markdown_table(
            gap.rename(index=batch_size.EQUAL).round(1).reset_index().rename(columns={"part": "at"}).astype(str)
        ),
    )

# %%
tell(found["batch_size"])

# %% [markdown]
# And the papers? Each stands in one of the panels, or near it:
#
# | who | at equal | rate | what they found |
# |---|---|---|---|
# | caffenet-benchmark (ImageNet, 128 pixels) | epochs | fixed | 256: 47.1%, 512: 45.5%, 1,024: 41.9% |
# | the same | epochs | in proportion | 32: 47.0%, 256: 47.1%, 1,024: 46.5% |
# | Keskar et al. 2016 (CIFAR-10) | – | Adam's | 256: 80.0% and 89.2%; a tenth of the data: 77.3% and 87.3% |
# | Masters and Luschi 2018 (abstract) | epochs | tuned | best from 2 to 32; large ones have fewer rates that work |
# | Shallue et al. 2018 (abstract) | steps, and all else | tuned, with all else | no evidence that large ones harm |
#
# None of them is wrong. "The effect of the batch size" is not one number until one says what was held equal.

# %% [markdown]
# ## How should the rate grow with the batch?
#
# Two arguments, two rules.
#
# **Linear.** $k$ steps on batches of $B$, as long as the weights hardly move meanwhile, add up to
# $\eta\,(g^{(1)}+\dots+g^{(k)})=k\eta\cdot\bar g$: one step at $k\eta$ on the $kB$ images together. So $\eta\propto B$
# (Goyal et al. 2017). **Square root.** The noise of a step has the variance $\eta^2\operatorname{tr}\Sigma/B$; to keep
# *that*, $\eta\propto\sqrt B$ (Krizhevsky 2014). And neither argument knows of the cliff: on a bowl of curvature
# $\lambda$ no rate above $2/\lambda$ converges, whatever the batch ([07](07_learning_rate.ipynb)).
#
# First the arithmetic of both, on numbers: a batch of 32 made of two of 16.

# %%
a, b = rng.normal(size=(2, 16, 5))  # gradients of 16 images each, five weights, that stand still
rate = 0.1
assert np.allclose(rate * a.mean(axis=0) + rate * b.mean(axis=0), 2 * rate * np.concatenate([a, b]).mean(axis=0))
draws = {size: rng.normal(size=(20_000, size)).mean(axis=1) for size in (16, 32)}
ratio = (np.sqrt(2) * rate * draws[32]).var() / (rate * draws[16]).var()
print(f"variance of a step at √2 times the rate on twice the images: {ratio:.3f} of what it was")

# %% [markdown]
# Now networks. LeNet-5 by plain SGD, MNIST, *512 steps* for each batch size, six rates each: the heat map of notebook
# 07, now with both rules as lines. A grid in factors of 2 is coarse, so for each seed a parabola through the best rate
# and its two neighbours says where the top lies (the dots; a diamond is their mean); the exponent $p$ of
# $\eta\propto B^p$ is fitted for each seed, and has an interval over the seeds.


# %%
def tops(scores):
    """Return by seed the log2 of the best rate: the top of the parabola through the best one tried and its neighbours.

    `scores` is a line a rate, a factor of 2 apart, and a column a seed.
    """
    places = {}
    for seed, column in scores.items():
        best = column.fillna(-np.inf).to_numpy().argmax()
        around = column.to_numpy()[best - 1 : best + 2] if 0 < best < len(column) - 1 else []
        bend = np.diff(around, 2)
        shift = (around[0] - around[2]) / 2 / -bend[0] if len(bend) and bend[0] < 0 else 0.0  # else it stands at a rate
        places[seed] = np.log2(column.index[best]) + (0 if np.isnan(shift) else -shift)
    return pd.Series(places)


def exponents(plan):
    """Return the log2 of the best rate (a line a batch size, a column a seed), and each seed's exponent."""
    sizes = {arm: plan.comparison.configs[arm].batch_size for arm in plan.choices}
    best = pd.DataFrame({size: tops(plan.scores[arm]) for arm, size in sizes.items()}).T.sort_index()
    return best, best.apply(lambda column: np.polyfit(np.log2(best.index), column, 1)[0])


parabola = pd.DataFrame({1: -((np.arange(6) - 2.3) ** 2)}, index=0.01 * 2.0 ** np.arange(6))
assert np.isclose(tops(parabola)[1], np.log2(0.01) + 2.3)  # it finds the top of a parabola exactly

# %%
mapped = findings("learning_rate").plans["batches"]
best, powers = exponents(mapped)
cells = mapped.of_role("tuning").pivot_table("val_score", "batch_size", "learning_rate")
lost = 100 * cells.rsub(cells.max(axis=1), axis=0)
column, row = np.log2(lost.columns[0]) - 0.5, np.arange(len(lost)) + 0.5  # of log2 of a rate; cells are 1 wide
fig, ax = plt.subplots(figsize=(7.4, 3.6), layout="constrained")
label = "Points lost against the row's best\n(3 and more alike)"
sns.heatmap(lost.clip(upper=3), ax=ax, cmap="viridis_r", linewidths=1, cbar_kws={"label": label})
ax.invert_yaxis()
size = np.log2(best.index.to_numpy())
for power, line, name in ((1, "-", "linear"), (0.5, "--", "square root")):
    place = best.to_numpy().mean() + power * (size - size.mean()) - column
    ax.plot(place, row, line, color="w", linewidth=4)
    ax.plot(place, row, line, color="#d55e00", linewidth=2, label=name)
ax.plot(best - column, row, "o", color="w", mec="#d55e00", ms=5)
ax.plot(best.mean(axis=1) - column, row, "D", color="#d55e00", mec="w", ms=9, label="best rate, mean of seeds")
ax.tick_params(length=0, rotation=0)
ax.set(xlim=(0, lost.shape[1]), ylim=(0, len(lost)), xlabel="Learning rate", ylabel="Batch size (images)")
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
plt.show()

# %% tags=["hide-input"]
settings = {"MNIST, plain SGD, 512 steps": mapped}
settings |= {
    f"CIFAR-10, momentum, {batch_size.EQUAL[part]}": found["batch_size"].plans[part] for part in batch_size.EQUAL
}
settings["MNIST, momentum, soonest at a loss"] = found["race"].plans[""]
lines = []
for name, plan in settings.items():
    if len(plan.choices) > 1:
        low_size, *_, high_size = exponents(plan)[0].index
        mean, low, high = student_interval(exponents(plan)[1])
        rules = [rule for rule, power in (("linear", 1), ("square root", 0.5)) if low <= power <= high]
        n = exponents(plan)[1].count()
        lines.append([name, f"{low_size} to {high_size:,}", f"{mean:.2f} [{low:.2f}, {high:.2f}]", n, ", ".join(rules)])
columns = ["setting", "batch", "exponent p, 95% interval", "seeds", "rules inside the interval"]
say(plots.markdown_table(pd.DataFrame(lines, columns=columns).replace("", "neither")))
mean, low, high = student_interval(powers)
say(
    f"**Prediction 4.** At equal steps on MNIST $p={mean:.2f}$ ({low:.2f} to {high:.2f}): four times the batch wants "
    f"{4**mean:.1f} times the rate ({4**low:.1f} to {4**high:.1f}), where the linear rule says 4 and the square root 2."
)

# %% [markdown]
# On this map neither rule is seen: all four sizes have nearly the same best rate, the mark of the cliff. The linear
# rule's country is smaller batches or longer runs.
#
# The exponent is no constant of nature. The linear rule holds where noise limits the rate, and where the weights hardly
# move within $k$ steps: small batches, small rates. Where curvature limits it, the best rate stands at the same cliff
# for every batch, and $p$ goes to 0. At *equal epochs* there is a third force: a large batch has few steps, and must
# make them long to get anywhere at all. Take a rule as the place to begin a short sweep, not as its answer.

# %% [markdown]
# ## The small last batch
#
# 10,000 images in batches of 256 leave 16. Keras keeps them: they make a batch of their own, whose mean gradient gets a
# full step. Nothing says that it is worth as much.

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if one.ledger == 20)

# %% [markdown]
# And worse, it is the *last* step before the network is scored. What can one step do? The steps that we took above,
# from one and the same finished network, had the full length of its training. Here is what they left of its accuracy.

# %%
ax = plots.plot_sweep(steps.assign(accuracy=steps["after"]), x="batch_size", y="accuracy")
ax.plot(steps["batch_size"], steps["after"], "o", color=blue, ms=2.8, mew=0, alpha=0.55)
ax.axhline(before, color="0.35", linestyle=":", linewidth=1)
ax.texts[0].set_text("mean and 95% Student-t interval, n = 30 steps; points: single steps; dotted: before")
ax.set(ylabel="Validation accuracy after one step (%)")
plots.mark_profile(ax, PROFILE)
plt.show()

# %% tags=["hide-input"]
share = 16 / config.batch_size
shorter = np.array([step(rng.choice(pool, 16), rate=share * config.learning_rate)[1] for _ in range(30)])
after = {size: part for size, part in steps.groupby("batch_size")["after"]}
told = []
for size, part in after.items():
    mean, low, high = (100 * value for value in student_interval(part - before))
    told.append(f"{size}: {mean:+.2f} [{low:.2f}, {high:.2f}], at worst {100 * (part.min() - before):+.1f}")
mean, low, high = (100 * value for value in student_interval(shorter - before))
say(
    f"**Prediction 5.** Before the step {before:.1%} of {len(y_val)} validation images were right. One full step "
    f"changes that, in points, by batch size (mean of 30 steps with its 95% interval): {'; '.join(told)}. A step on 16 "
    f"images that is {share:g} times as long, as 16 images are of {config.batch_size}: {mean:+.2f} "
    f"[{low:.2f}, {high:.2f}], at worst {100 * (shorter.min() - before):+.1f}."
)

# %% [markdown]
# **Why does Keras keep them?** Because leaving images out without a word would be worse as a default: `evaluate` and
# `predict` must see every image, a set smaller than a batch would train on nothing, and where the order is fixed the
# same images would be left out of every epoch. Whoever shuffles anew may say `drop_remainder=True` in
# `tf.data.Dataset.batch`, or `last_batch="drop"` here: then the remainder is another one in each epoch.
#
# **Three cures.** Drop the remainder; let the rate fall to 0, so that the last step is short; or score a moving average
# of the weights, in which one step counts a hundredth. (A fourth is arithmetic: batches of 250 divide 10,000.) The
# experiment has each kind of rate with the remainder kept and dropped, each at a rate of its own, and the kept one also
# at the rate of the dropped one. It has momentum, with which one gradient makes a short step and goes on in the next
# ones: the harm is milder than that of the plain steps above.
#
# | | |
# |---|---|
# | **varied** | the last batch, kept or dropped; a constant rate, one that falls as a cosine, or averaged weights |
# | **tuned, for each** | the rate, on validation images |
# | **held fixed** | LeNet-5, 10,000 images of MNIST, batches of 256, momentum 0.9, 10 epochs |
# | **repeated** | over fresh seeds, the same for all |

# %%
show(found["last_batch"], "accuracy")

# %%
tell(found["last_batch"])

# %% tags=["hide-input"]
if found["last_batch"].complete:
    plan = found["last_batch"].plans[""]
    fresh = plan.of_role("fresh")
    lines = plan.history.merge(fresh[["run_id", "arm", "epochs"]], on="run_id")
    lines = lines[lines["epoch"] > lines["epochs"] / 2]
    swings = lines.groupby(["arm", "run_id"])["val_accuracy"].std().groupby("arm").mean()
    chosen = fresh.groupby("arm", sort=False)["learning_rate"].first()
    told = [f"{arm} {100 * swings[arm]:.2f} (rate {rate:g})" for arm, rate in chosen.items()]
    say(
        f"It shows from epoch to epoch, too. The standard deviation of a run's validation accuracy over the second "
        f"half of its epochs, in points: {'; '.join(told)}."
    )
else:
    say(f"*last_batch: {found['last_batch'].gap()}.*")

# %% [markdown]
# Three things have to come together: a remainder that is *small beside the batch*, a rate that is still *high at the
# end*, and the *last* weights being scored. Each cure takes one of them away; the verdicts say whether that is enough.
# It is also why the trouble is little known: good recipes let the rate fall.

# %% [markdown]
# ## Are powers of two faster?
#
# "Choose 32, 64, 128: powers of two are faster on a GPU." We have no GPU here, but a watch: the time of one update at
# 31, 32, 33, 63, 64, 65 and so on, 30 times each in an order drawn anew each time, after warm-up, on one thread. If
# powers of two were special, they would stand below the line through their neighbours. 100, between 99 and 101, is a
# placebo.

# %%
show(found["step_time"], "step_time", "powers")

# %%
tell(found["step_time"])

# %% tags=["hide-input"]
if found["step_time"].complete:
    times = step_time.ratios(found["step_time"])
    images_of = step_time.image_times(found["step_time"]).set_index(["network", "batch_size"])["microseconds"]
    told, long_way = [], []
    for name, part in times.groupby("network", sort=False):
        centre = np.log(part.set_index("batch_size")["ratio"]).groupby("batch_size").mean()
        percent = 100 * (np.exp(centre) - 1)
        told.append(f"{name}: " + ", ".join(f"{size} {gain:+.1f}%" for size, gain in percent.items()))
        level = images_of.loc[name].groupby("batch_size").mean()
        long_way.append(f"{100 * (level[256] / level[32] - 1):+.0f}% ({name})")
    say(
        f"**Prediction 6.** How much faster than its two neighbours, image for image: {'; '.join(told)}. Machine: "
        f"{found['step_time'].trials['device'].iloc[0]}. From batches of 32 to batches of 256 the time of an image "
        f"changes by {'; '.join(long_way)}: a larger batch spreads what a step costs besides its images."
    )
else:
    say(f"*step_time: {found['step_time'].gap()}.*")

# %% [markdown]
# On a GPU? One published measurement (MobileNet, a V100, ten epochs, one run each) has 127, 128 and 129 images at 9.80,
# 9.78 and 9.92 minutes, and 100 at 10.50: the power of two is no faster than 127. Where sizes do matter, NVIDIA's
# guides ask for multiples of 8 (in half precision, on tensor cores), of *channels* as well as of images. 64 is one; so
# are 24, 40 and 200.

# %% [markdown]
# ## Memory
#
# The backward pass needs what the forward pass computed, for each image. Weights, their gradients and the momentum are
# there once, whatever the batch:
#
# $$\text{memory}\approx B\cdot(\text{activations}+\text{their gradients})+3\cdot\text{weights}.$$

# %%
lines = []
for name, shape in step_time.NETWORKS.items():
    sums = anatomy.totals(models.sketch_model(name, shape, 10))
    fixed = 3 * sums.weight_bytes / 2**20
    sizes = {f"{size:,} (MiB)": size * 2 * sums.memory_bytes / 2**20 + fixed for size in step_time.MEMORY}
    lines.append({"network": name, "activations of an image (KiB)": sums.memory_bytes / 2**10, **sizes})
pd.DataFrame(lines).set_index("network").round(2)

# %% tags=["hide-input"]
if found["step_time"].complete:
    peaks = found["step_time"].trials.query("what == 'peak_mib'")
    told = []
    for name, part in peaks.groupby("network", sort=False):
        sums = anatomy.totals(models.sketch_model(name, step_time.NETWORKS[name], 10))
        high = part.set_index("batch_size")["value"]
        an_image = 1024 * (high.iloc[-1] - high.iloc[-2]) / (high.index[-1] - high.index[-2])
        told.append(
            f"{name} {an_image:,.0f} KiB an image measured, {2 * sums.memory_bytes / 2**10:,.0f} by the formula, "
            f"and {high.iloc[0]:,.0f} MiB for the process with a batch of one"
        )
    say(
        f"Measured, as the growth of a process' peak from a batch of {high.index[-2]} to one of {high.index[-1]:,}: "
        f"{'; '.join(told)}. The formula counts each layer's output and its gradient; a library also keeps copies in "
        "other layouts and workspaces, and frees what it needs no more."
    )
else:
    say(f"*step_time: {found['step_time'].gap()}.*")

# %% [markdown]
# On a graphics card this line, not the network's taste, is what usually sets the largest batch. If a large batch is
# wanted all the same, gradients of several small ones can be added up before a step (exercise 3).

# %% [markdown]
# ## The sentences of the articles, one by one
#
# Each of them can be found in print without the last column.

# %% tags=["hide-input"]
POWERS = [f"powers-of-two-{name.replace('_', '-')}" for name in step_time.NETWORKS]
CELLS = [f"{part}-{rate}" for part in batch_size.EQUAL for rate in ("fixed", "tuned")]
SENTENCES = [
    ("mini-batches converge fastest", ["mini-batch-seconds", "mini-batch-epochs", "tiny-batch-seconds"],
     "counting seconds or epochs, and on the machine: how much it does at once"),
    ("the full batch descends fastest", ["full-batch-steps"], "counting steps"),
    ("a larger batch needs more epochs", ["tiny-batch-epochs"], "where perfect scaling ends"),
    ("a larger batch classifies better", [f"larger-batch-{cell}" for cell in CELLS],
     "what is held equal, and whether the rate is tuned"),
    ("a larger batch has a narrower gap", [f"larger-batch-gap-{cell}" for cell in CELLS],
     "how well each was trained: who learns nothing has no gap"),
    ("too small is bad", [f"batch-too-small-{part}" for part in batch_size.EQUAL], "one rate for all"),
    ("too large is bad", [f"batch-too-large-{part}" for part in batch_size.EQUAL], "one rate for all; few steps"),
    ("powers of two are faster", POWERS, "the machine"),
]  # fmt: skip


def told_of(id):
    """Return a claim's verdict and effect in brief."""
    if id not in verdicts.index or str(verdicts.at[id, "reason"]).startswith("being measured"):
        return f"{id}: being measured"
    row = verdicts.loc[id]
    scale, unit = (1, " times") if row["unit"] == "ratio" else (100, " points")
    effect = f" ({scale * row['effect']:{'' if scale == 1 else '+'}.3g}{unit})" if np.isfinite(row["effect"]) else ""
    return f"{id}: {row['verdict']}{effect}"


table = [[text, "; ".join(map(told_of, ids)), hangs] for text, ids, hangs in SENTENCES]
say(plots.markdown_table(pd.DataFrame(table, columns=["articles say", "our runs", "it hangs on"])))

# %% [markdown]
# ## Which one, then?
#
# - Take the largest batch that still makes the machine faster and fits its memory; on one core a
#   hundred or two (see the watch above). It is a
#   setting of *speed*.
# - Tune the rate for it. No rule saves the sweep: try the old rate, the linear rule's, and what lies between.
# - Give it enough *steps*: an epoch of large batches has few.
# - Let the rate fall at the end, or drop the remainder.
# - Compare two batch sizes only after saying what is held equal.

# %% [markdown]
# ## Limits
#
# - Small networks without batch normalisation, whose statistics depend on the batch: with it very small batches have a
#   handicap of their own.
# - Two data sets, thousands of images. Where the plateau begins depends on both.
# - A time to a target is known to an epoch. Small batches need few, so theirs are rounded up by the largest share; and
#   other targets may give other orders. The race was run on MNIST alone.
# - Seconds are of one thread of one CPU. On a GPU the small batches' seconds would be worse, the large ones' better.
# - The exponents come from three or four seeds and rates a factor of 2 apart. A best rate at the edge of its grid is
#   taken as it is.
# - Step times are repeats in one process a network on one machine, in one hour: their interval says nothing of others.

# %% [markdown]
# ## The same in small
#
# In `smoke` the four experiments also run here and now, on small digits, with hardly any epochs. It shows that they
# run; it is too small to conclude from.

# %%
if PROFILE == "smoke":
    small = {name: run_here(name) for name in EXPERIMENTS}
    for name, one in small.items():
        say(f"**{name}**, smoke run:", plots.markdown_table(plots.readable(one.table())))
    show(small["race"], "times")
    show(small["batch_size"], "cells")
    show(small["step_time"], "powers")

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* 50,000 images, batches of 128, 90 epochs, the last batch kept: how many steps has an epoch,
#    how many the training, and how many images the last batch? (The cell below takes your answers.)
# 2. You double the batch size and keep the number of epochs. What happens to the number of steps, to the noise of each,
#    and to the distance that the weights can travel at the same rate?
# 3. Show that four batches of 16 whose gradients are added up (`gradient_accumulation_steps=4`) make the same step as
#    one batch of 64. For which layer would it not be the same?
# 4. How large is the batch at which noise and gradient are equally large, $\operatorname{tr}\Sigma/B=\lVert g\rVert^2$,
#    at the finished network above and at a fresh one? What does that say about the batch size early and late?
# 5. Choose a target of your own (`("val_accuracy", 0.95)`) and run the race with three sizes on `digits`.

# %%
my_answers = {"steps an epoch": None, "steps": None, "last batch": None}  # exercise 1: put your numbers here


def judge(answers):
    """Say of each number of exercise 1 whether the batches agree."""
    sizes = [min(128, 50_000 - start) for start in range(0, 50_000, 128)]
    right = {"steps an epoch": len(sizes), "steps": 90 * len(sizes), "last batch": sizes[-1]}
    for name, mine in answers.items():
        print(f"{name}:", "not filled in" if mine is None else "right" if mine == right[name] else "not yet")


judge(my_answers)

# %% [markdown]
# ## Solutions
#
# **1.** $\lceil 50000/128\rceil=\lceil 390.6\rceil=391$ steps, times 90; the last batch has $50000-390\cdot128$ images.

# %%
judge({"steps an epoch": 391, "steps": 391 * 90, "last batch": 50_000 - 390 * 128})

# %% [markdown]
# **2.** Half as many steps; the variance of each gradient halves; and if every step had the full length $\eta\lVert
# g\rVert$ in one direction, the weights could travel half as far. Steps of pure noise are a random walk, which travels
# with the *root* of their number: that is where the two scaling rules part.
#
# **3.** Both are the mean of 64 gradients at weights that do not move in between. With batch normalisation it is not
# the same: its statistics are of 16 images.

# %%
ends = []
for size, accumulated in ((64, None), (16, 4)):
    copy = keras.models.clone_model(network)
    copy.set_weights(finished)
    sgd = keras.optimizers.SGD(0.1, gradient_accumulation_steps=accumulated)
    copy.compile(sgd, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for start in range(0, 64, size):
        copy.train_on_batch(x[start : start + size], y[start : start + size])
    ends.append(np.concatenate([weight.ravel() for weight in copy.get_weights()]))
assert np.allclose(*ends, atol=1e-6)
print(f"largest difference of {len(ends[0]):,} weights: {np.abs(ends[0] - ends[1]).max():.1g}")

# %% [markdown]
# **4.** The ratio $\operatorname{tr}\Sigma/\lVert g\rVert^2$ is known as the gradient's *noise scale*: well below it a
# larger batch saves steps, well above it hardly.


# %%
def noise_scale(start, images=100):
    """Return tr Σ and |g|² at some weights, from single images of the pool."""
    mean, _ = step(pool, start=start)
    spread = np.mean([((step(pool[[place]], start=start)[0] - mean) ** 2).sum() for place in range(images)])
    return spread, (mean**2).sum()


with building("float32", config.seed):  # weights that the seed decides, whatever else this process draws
    new = create_model(config.model, images.input_shape, images.num_classes).get_weights()
starts = {"fresh": [*finished[: -len(new)], *new], "finished": finished}  # the scaling stays as it is
scales = pd.DataFrame({name: noise_scale(start) for name, start in starts.items()}, index=["tr Σ", "|g|²"]).T
scales.assign(**{"batch at which they are equal": scales["tr Σ"] / scales["|g|²"]}).round(2)

# %% tags=["hide-input"]
equal = scales["tr Σ"] / scales["|g|²"]
say(
    f"While this network learnt, the batch at which noise and gradient are equal went from {equal['fresh']:.0f} to "
    f"{equal['finished']:.0f} images. Where it grows, a batch that may be small early can be large late; or the rate "
    "low late, which does the same for the noise."
)

# %% [markdown]
# **5.** Three sizes, one rate each, one seed: a sketch of a race, whose rates nobody tuned.

# %%
for size, rate in ((8, 0.02), (64, 0.08), (512, 0.16)):
    one = RunConfig(train_size=512, batch_size=size, learning_rate=rate, epochs=8)
    history = train(one).history
    there = history[history["val_accuracy"] >= 0.9]["epoch"]
    told = f"epoch {there.iloc[0]}, step {512 // size * there.iloc[0]}" if len(there) else "never"
    print(f"batches of {size}: {told}")
