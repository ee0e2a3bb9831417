# %% [markdown]
# # 07 Learning rate: how big a step?
#
# Training goes downhill: look at the slope of the loss $L$ at the weights $w$, take a step against it, look again,
#
# $$w_{t+1} = w_t - \eta\,\nabla L(w_t).$$
#
# The learning rate $\eta$ says how long the step is. It is one number, and no other number decides as much. This
# notebook asks what happens when it is too small or too big, how exactly one has to hit it, and whether, and why, it
# should fall while training goes on.
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. You find the best rate. By what factor may you miss it and still be within one percentage point of the best
#    accuracy?
# 2. The same network trains with plain SGD, with momentum 0.9 and with Adam. Do the three want the same rate?
# 3. A high rate is said to "fall into local minima", and a low one not to. Imagine a loss with a
#    single minimum. Does a high rate still end at a higher loss there?
# 4. At the same number of steps, how much accuracy does a falling rate gain over a constant one?

# %% [markdown]
# **Two sizes.** What a cell computes on the spot reads small digits in `smoke` (no network, about a minute), 10,000
# images of MNIST and 5,000 of CIFAR-10 in `full`; that is the range test. Answers come from committed tables in either.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

RANGE_PARTS, RANGE_STEPS = {"smoke": (["digits"], 100), "full": (["mnist", "cifar10"], 300)}[PROFILE]

# %% tags=["hide-input"]
from cnnkit.callbacks import RangeTest
from cnnkit.course.learning_rate import learning_rate
from cnnkit.lab import recipes
from cnnkit.lab.feeding import Batches
from cnnkit.lab.store import student_interval

plt.rcParams["figure.dpi"] = 90
colours = sns.color_palette("colorblind")
sweep, falling = findings("learning_rate"), findings("schedules")

# %% [markdown]
# ## A bowl
#
# Near a minimum every smooth loss looks like a bowl. Take the simplest one, with one weight and curvature $\lambda$:
#
# $$L(w)=\tfrac12\lambda w^2,\qquad \nabla L(w)=\lambda w,\qquad w_{t+1}=w_t-\eta\lambda w_t=(1-\eta\lambda)\,w_t .$$
#
# Every step multiplies the distance to the minimum by the same factor $1-\eta\lambda$. So $w_t=(1-\eta\lambda)^t w_0$,
# and what happens depends on nothing but the product $\eta\lambda$. Four values of it:


# %%
def descend(rate, curvature, start=1.0, steps=8):
    """Return the weights of gradient descent on 0.5 * curvature * w**2, the first one included: `(steps + 1, ...)`."""
    weights = [start * np.ones_like(rate * curvature)]
    for _ in range(steps):
        weights.append(weights[-1] - rate * curvature * weights[-1])
    return np.array(weights)


words = {0.2: "crawls", 0.9: "arrives", 1.8: "oscillates, settles", 2.1: "diverges"}
bowl = np.linspace(-2.3, 2.3, 100)
fig, axes = plt.subplots(1, 4, figsize=(10, 2.7), sharey=True, layout="constrained")
for ax, (product, word) in zip(axes, words.items(), strict=True):
    path = descend(product, 1.0)
    ax.plot(bowl, bowl**2 / 2, color="0.75")
    ax.plot(path, path**2 / 2, "o-", color=colours[0], markersize=4, linewidth=1)
    ax.set(title=f"$\\eta\\lambda = {product}$: {word}", xlabel="Weight $w$")
axes[0].set_ylabel("Loss")
sns.despine(fig)

# %% [markdown]
# Below $1$ the weight stays on its side of the valley; from $1$ to $2$ it jumps across at every step but lands lower;
# above $2$ it lands higher, and each jump makes the next one longer. The border is where the factor $1-\eta\lambda$
# reaches $-1$:
#
# $$|1-\eta\lambda|<1 \iff 0<\eta<\frac{2}{\lambda}.$$
#
# Steps above $2/\lambda$ diverge however close to the minimum they start. Is it true? We compare the loop with the
# formula, then search the border by bisection for curvatures over six decades, knowing nothing of the formula.

# %%
for product in words:
    assert np.allclose(descend(product, 1.0).ravel(), (1 - product) ** np.arange(9))

curvatures = np.logspace(-3, 3, 7)
low, high = np.zeros(7), 10 / curvatures  # rates that surely converge, and rates that surely do not
for _ in range(50):
    middle = (low + high) / 2
    shrinks = np.abs(descend(middle, curvatures, steps=3)[-1]) < 1
    low, high = np.where(shrinks, middle, low), np.where(shrinks, high, middle)
assert np.allclose(low, 2 / curvatures)
pd.DataFrame({"curvature": curvatures, "largest rate that converges": low, "times curvature": low * curvatures})

# %% [markdown]
# A network has many weights, and its bowl is steep in some directions and flat in others. One rate has to serve all.
# The steepest direction sets the limit, $2/\lambda_{\max}$; the flattest sets the pace, since its distance shrinks by
# only $1-\eta\lambda_{\min}$ a step. Here is the loss after 100 steps against the rate, for two weights whose
# curvatures differ by a factor $\kappa$ (the condition number).

# %%
rates = np.logspace(-3, 0.5, 400)
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for colour, style, kappa in zip(colours, ("-", "--", ":"), (1, 30, 1000), strict=False):
    pair = np.array([1.0, 1 / kappa])  # curvatures; a start with the same loss in both directions
    loop = descend(rates[:, None], pair, start=np.ones((400, 1)) / np.sqrt(pair), steps=100)[-1]
    loss = 0.5 * (pair * loop**2).sum(axis=1)
    assert np.allclose(loss, 0.5 * ((1 - rates[:, None] * pair) ** 200).sum(axis=1))
    ax.loglog(rates, loss, style, color=colour, label=f"{kappa:,}")
ax.axvline(2, color="0.35", linewidth=1)
ax.annotate("$2/\\lambda_{max}$", (1.9, 3e-7), ha="right", color="0.35")
ax.set(xlabel="Learning rate (in units of $1/\\lambda_{max}$)", ylabel="Loss after 100 steps", ylim=(1e-7, 50))
ax.legend(title="Condition number $\\kappa$", frameon=False)
sns.despine(fig)

# %% [markdown]
# Remember this shape: a slope that gets better to the right, a best rate, and right behind it a cliff. The worse the
# condition number, the closer the best rate is to the cliff, and the less even the best one achieves. A network is no
# bowl: its curvature changes along the way, its gradient comes from a batch and is noisy. Whether the shape survives is
# what the experiment asks.

# %% [markdown]
# ## The experiment
#
# | | |
# |---|---|
# | **varied** | the learning rate, each twice the last, over two decades or more |
# | **for each of** | three optimizers (SGD, momentum 0.9, Adam) and two networks |
# | **held fixed** | data, batch size, epochs, a rate that falls as a cosine from the value tried |
# | **repeated** | three seeds choose a rate, fresh ones measure it; a seed decides split, first weights and order |
#
# First the networks, and what a run takes. An epoch has (training images / batch size) steps, rounded down: images that
# fill no batch wait for the next shuffle.

# %%
sweeps_of = {part: plan for part, plan in sweep.plans.items() if part != "batches"}
parts = {part: plan.comparison for part, plan in sweeps_of.items() if not plan.missing}  # all there
rows = []
for plan in sweeps_of.values():
    base = plan.comparison.base
    steps = base.train_size // base.batch_size
    rows.append([base.dataset, base.model, base.train_size, base.batch_size, steps, base.epochs, steps * base.epochs])
columns = ["data", "network", "training images", "batch", "steps an epoch", "epochs", "steps"]
pd.DataFrame(rows, columns=columns).set_index("data")

# %% [markdown]
# What it costs: how many networks the two experiments of this page ask for, as far as the rows decide it yet, and what
# those that are here cost, one after the other.

# %% tags=["hide-input"]
cost = {
    one.experiment.name: [one.experiment.question, len(one.configs), len(one.runs), round(one.seconds / 60, 1)]
    for one in (sweep, falling)
}
columns = ["question", "networks asked for", "here", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))

# %% [markdown]
# Validation accuracy at the end against the rate, a line an optimizer. The axis is logarithmic: for a rate, factors
# count, not differences. Hold the shape against the bowl's.

# %%
show(sweep, *(f"tuning_{part}" for part in parts))

# %% [markdown]
# **Prediction 2.** Why should the three best rates differ? Momentum adds up past gradients; a steady gradient $g$ grows
# to $g + 0.9g + 0.81g + \dots = g/(1-0.9)$, so along a steady slope each step is ten times as long as the rate says.
# Gradients of batches are not steady, and ten is only the most that momentum can do. Adam divides the gradient by its
# own recent size, so that its rate is, roughly, the *length* of the step of every single weight, whatever the
# gradient's. A best rate at the edge of its grid would be none: the best might lie beyond. The table says so.

# %% tags=["hide-input"]
if parts:
    chosen = sweep.tuning()
    say(plots.markdown_table(plots.readable(chosen)))
    for part, comparison in parts.items():
        best = {arm: choice["learning_rate"] for arm, choice in sweep.plans[part].choices.items()}
        ratio = best["SGD, best"] / best["momentum 0.9, best"]
        say(
            f"**{comparison.base.dataset}**: {', '.join(f'{arm} at {rate:g}' for arm, rate in best.items())}. Plain "
            f"SGD wants {ratio:g} times the rate of momentum, where a steady slope would make it 10."
        )
else:
    say(f"*learning_rate: {sweep.gap()}.*")

# %% [markdown]
# ## Too small, too big
#
# What do the two ends look like while they happen? Momentum at its best rate, at a quarter and at four times it, on
# fresh seeds that did not choose the rate. (A hundredth and a hundred times would hardly need an experiment.) With
# them the other two optimizers, each at its own best rate.

# %%
show(sweep, *(f"curves_{part}" for part in parts))

# %%
show(sweep, *(f"accuracy_{part}" for part in parts))

# %%
tell(sweep)

# %% tags=["hide-input"]
if parts:
    for part, plan in sweep.plans.items():
        if part in parts:
            fresh = plan.of_role("fresh")
            means = fresh[~fresh["collapsed"]].groupby("arm")[["train_loss", "test_accuracy"]].mean()
            lost = fresh[fresh["arm"] == "momentum 0.9, fourfold"]
            told = [
                f"{rate} {means.at[f'momentum 0.9, {rate}', 'test_accuracy']:.1%} of the test images right, training "
                f"loss {means.at[f'momentum 0.9, {rate}', 'train_loss']:.3f}"
                for rate in ("a quarter", "best", "fourfold")
            ]
            say(
                f"**{part}**, momentum, runs that did not collapse: {'; '.join(told)}. "
                f"Of the {len(lost)} runs at four times the best rate "
                f"{(lost['status'] == 'diverged').sum()} diverged (a loss that is no finite number) and "
                f"{lost['collapsed'].sum()} collapsed (no better than naming one class)."
            )

# %% [markdown]
# A rate that is too small and one that is too big can end at the same accuracy for different reasons, and the training
# loss tells them apart only in part: whether a slow run would catch up with more steps takes more steps to find out.
#
# A network that is too fast need not diverge visibly. Its first steps may throw the weights so far that whole layers of
# ReLUs are dead; then the loss is finite, and stands still at the value of naming one class.

# %% [markdown]
# ## How exactly must one hit it?
#
# We call the rates whose mean validation score lies within one percentage point of the best the **basin**. The grid has
# a factor of 2 between neighbours, so each end of a basin is known to a factor of 2, and one that holds a single rate
# is narrower than a factor of 4: its neighbours are outside, and where it ends between them was not measured.

# %% tags=["hide-input"]
if parts:
    basins = pd.concat(
        [learning_rate.basin(sweep.plans[part].of_role("tuning")).assign(data=part) for part in parts],
        ignore_index=True,
    )
    fig, ax = plt.subplots(figsize=(7.2, 3), layout="constrained")
    for place, line in basins.iterrows():
        ends = [line.lowest, line.highest]
        ax.plot(ends, [place, place], color=colours[0], linewidth=6, solid_capstyle="butt", alpha=0.4)
        ax.plot(ends, [place, place], "|", color=colours[0], markersize=12)
        ax.plot(line.learning_rate, place, "o", color=colours[3])
    ax.set(xscale="log", xlabel="Learning rate (dot: the best; bar: within 1 point of it)")
    ax.set_yticks(basins.index, basins["data"] + ", " + basins["arm"].str.removesuffix(", best"))
    sns.despine(ax=ax)
    plots.mark_profile(fig, sweep.profile)
    plt.show()
    told = [
        f"{line.arm.removesuffix(', best')} on {line.data} "
        + (
            f"{line.lowest:g} to {line.highest:g}, a factor of {line.highest / line.lowest:.0f}"
            if line.highest > line.lowest
            else f"{line.lowest:g} alone, so less than a factor of 4"
        )
        for line in basins.itertuples()
    ]
    say(f"**Prediction 1.** Within a point of the best: {'; '.join(told)}.")
else:
    say(f"*learning_rate: {sweep.gap()}.*")

# %% [markdown]
# ## The range test: a shortcut?
#
# A sweep trains many runs. Smith (2015) proposes one: let the rate grow from far too small to far too big and watch the
# loss of each batch. Where it falls fastest the rate is good; where it shoots up, too big. He lets it grow linearly;
# today one does it exponentially, so that every decade gets as many steps: step $t$ of $T$ has the rate
# $\eta_0\,(\eta_T/\eta_0)^{t/(T-1)}$. `RangeTest` is a callback for any Keras `fit`. It sets the rate before each batch
# and notes the loss of that batch alone (Keras' own log is the mean of the epoch so far); when it has seen enough, it
# stops `fit` and puts weights and optimizer back as they were.


# %%
def range_test(config):
    """Return a finished `RangeTest` of a `RunConfig`'s network and optimizer, on full batches of its data."""
    keras.utils.set_random_seed(config.seed)
    data = load_dataset(config.dataset, train_size=config.train_size, seed=config.seed)
    mean, deviation = (np.float32(numbers) for numbers in data.channel_statistics())
    pixels = (data.x_train / np.float32(255) - mean) / deviation
    batches = Batches(pixels, data.y_train, config.batch_size, config.seed, last_batch="drop")
    net = create_model(config.model, data.input_shape, data.num_classes)
    optimizer = recipes.OPTIMIZERS[config.optimizer](**config.optimizer_args)  # with Keras' rate, which the test sets
    net.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before, test = net.get_weights(), RangeTest(low=1e-5, high=10.0, steps=RANGE_STEPS)
    net.fit(batches, epochs=1 + RANGE_STEPS // len(batches), callbacks=[test], verbose=0)
    assert all(np.array_equal(was, now) for was, now in zip(before, net.get_weights(), strict=True))
    return test


declared = getattr(learning_rate.EXPERIMENT, PROFILE)
tests = {
    (part, optimizer): range_test(declared[part].base.replace(**fields))
    for part in RANGE_PARTS
    for optimizer, fields in learning_rate.OPTIMIZERS.items()
}

# %% [markdown]
# One batch's loss is noisy. The usual finders (fastai's, Lightning's) smooth it with a running mean,
# $m_t = \beta m_{t-1} + (1-\beta)\,\ell_t$ with $\beta = 0.98$, divided by $1-\beta^t$ because it started at 0. They
# stop when it is four times its lowest, drop some steps at both ends, and suggest the rate where the rest falls most
# steeply. `RangeTest` drops the last five and the first sixth: until then the mean has seen fewer batches than it looks
# back on, and what falls is noise. Another rule takes a **tenth** of the rate where the smooth loss is **lowest**. A
# place at either edge of what is kept is no suggestion: the steepest or lowest one may lie beyond. Is the curve what
# these formulas say? The first lines of one that are kept:

# %%
for test in tests.values():
    curve = test.curve[np.isfinite(test.curve["loss"])]
    step = np.arange(len(curve))
    assert np.allclose(curve["learning_rate"], 1e-5 * 1e6 ** (step / (RANGE_STEPS - 1)))
    mean = np.convolve(curve["loss"], (1 - 0.98) * 0.98**step)[: len(step)]
    assert np.allclose(curve["smooth"], mean / (1 - 0.98 ** (step + 1)))
curve[curve["kept"]].head()


# %%
def tell_rates(table):
    """Return a table of suggestions in words."""
    return table.map(lambda rate: "at the edge: no suggestion" if np.isnan(rate) else f"{rate:.2g}")


fig, axes = plt.subplots(1, len(RANGE_PARTS), figsize=(5 * len(RANGE_PARTS), 3.6), layout="constrained", squeeze=False)
for (part, optimizer), test in tests.items():
    ax, colour = axes[0, RANGE_PARTS.index(part)], colours[list(learning_rate.OPTIMIZERS).index(optimizer)]
    curve = test.curve
    ax.plot(curve["learning_rate"], curve["loss"], color=colour, linewidth=0.5, alpha=0.35)
    ax.plot(curve["learning_rate"], curve["smooth"].where(curve["kept"]), color=colour, label=optimizer)
    for key, marker in (("steepest", "v"), ("lowest", "o")):
        marked = curve[curve["learning_rate"] == test.suggestion[key]]
        ax.plot(marked["learning_rate"], marked["smooth"], marker, color=colour, mec="w", ms=8)
    ax.set(xscale="log", title=part, ylim=(0, 4), xlabel="Learning rate of the step")
axes[0, 0].set_ylabel("Batch loss (nats)")
axes[0, 0].legend(frameon=False, title="▼ steepest, ● lowest", loc="lower left")
sns.despine(fig)
plots.mark_profile(fig, PROFILE)
plt.show()
suggested = pd.DataFrame({key: test.suggestion for key, test in tests.items()}).T.rename_axis(["data", "optimizer"])
tell_rates(suggested)

# %% [markdown]
# What does it suggest, and what did the sweep find? The two answer different questions. The test asks which rate lowers
# the loss *next*, in a network that has hardly learnt anything; the sweep, which first rate serves a whole run. And a
# running mean of the past looks back about $1/(1-\beta) = 50$ steps, a good part of a short test, so that what it shows
# comes late, at higher rates. Take a suggestion as the place to start a short sweep, not as its answer.

# %% tags=["hide-input"]
if PROFILE == "full" and parts:
    best = basins.assign(optimizer=basins["arm"].str.removesuffix(", best")).set_index(["data", "optimizer"])
    compared = suggested.join(best[["learning_rate", "lowest", "highest"]].add_prefix("sweep_"), how="inner")
    for rule in ("steepest", "tenth"):
        given = compared[compared[rule].notna()]
        inside = given[rule].between(given["sweep_lowest"], given["sweep_highest"])
        off = np.exp(np.log(given[rule] / given["sweep_learning_rate"]).abs())
        say(
            f"**{rule}**: a suggestion in {len(given)} of {len(compared)} cases, in the sweep's basin in {inside.sum()}"
            + (
                f"; off the sweep's best by a factor of {np.exp(np.log(off).mean()):.1f} in the (geometric) mean, "
                f"{off.max():.0f} at worst."
                if len(given)
                else "."
            )
        )
else:
    say("*Whether a suggestion lies in the sweep's basin is counted in the full profile, from the sweep's rows.*")

# %% [markdown]
# ## The batch size beside it
#
# A larger batch gives a less noisy gradient, and calls for longer steps. The rule of thumb says: rate in proportion to
# batch size (Goyal et al. 2017). Krizhevsky (2014) derives the square root, and then uses the proportion because it
# worked better. LeNet-5 with plain SGD and *equally many steps*, so that a larger batch reads more images and takes
# more epochs. At equal epochs it would take fewer steps, and that alone asks for longer ones. Framed: the rate chosen
# for each row; the triangles stand where rates in proportion to the batch size would be.

# %%
show(sweep, "batch_size")

# %% tags=["hide-input"]
if sweep.complete:
    plan = sweep.plans["batches"]
    best = pd.DataFrame(plan.choices).T["learning_rate"].astype(float)
    power = np.polyfit(np.log(best.index.astype(int)), np.log(best), 1)[0]
    cells = plan.of_role("tuning").groupby(["batch_size", "learning_rate"])["val_score"].mean().unstack()
    lost = 100 * cells.rsub(cells.max(axis=1), axis=0).max()  # of every rate: the most that a batch size loses with it
    say(
        f"Chosen rates: {', '.join(f'{rate:g} at {size}' for size, rate in best.items())}. Fitted as rate ∝ (batch "
        f"size)$^p$, $p={power:.2f}$, where the rule of thumb says 1 and the square root ½; on a grid in factors of 2, "
        f"$p$ is a rough figure. "
        + (f"Not settled: {'; '.join(plan.undecided.values())}. " if plan.undecided else "")
        + f"The most harmless single rate, {lost.idxmin():g}, costs some batch size {lost.min():.1f} points against "
        f"its own best rate; {lost.idxmax():g} costs one {lost.max():.0f}. Whoever compares batch sizes at one fixed "
        "rate compares, to that extent, how well the rate suits each."
    )

# %% [markdown]
# ## Schedules
#
# Should the rate fall? Seven curves, $\eta$ against the step $t$ of $T$, all with the peak 1:
#
# | schedule | rate at step $t$ |
# |---|---|
# | constant | $1$ |
# | step | $0.1^{k}$, with $k$ the number of marks $\frac12 T,\ \frac34 T$ behind us |
# | exponential | $0.01^{\,t/(T-1)}$ |
# | polynomial | $1-\frac tT$ (of power 1: linear) |
# | cosine | $\frac12\left(1+\cos\pi\frac tT\right)$ |
# | one cycle | $\frac{t+1}{0.3T}$ up to 1, then a cosine to 0 |
# | warm-up | $\frac{t+1}{0.1T}$ up to 1, then $1$ |
#
# What runs is `recipes.SCHEDULES`, made of Keras' own schedule classes. We draw these, not our formulas.

# %%
T = 1000
at = np.linspace(0, T - 1, 112).round().astype(int)  # a few marks are enough to draw a curve


def sample(name):
    """Return the rates of a schedule of cnnkit at the steps `at`, of a run of T steps with the peak 1."""
    schedule = recipes.SCHEDULES[name](1.0, T)
    if isinstance(schedule, float):
        return np.full(len(at), schedule)
    return np.array([float(keras.ops.convert_to_numpy(schedule(step))) for step in at])


curves = {name: sample(name) for name in recipes.SCHEDULES}
fig, axes = plt.subplots(2, 4, figsize=(10, 4), sharex=True, sharey=True, layout="constrained")
for ax, (name, curve) in zip(axes.flat, curves.items(), strict=False):
    ax.plot(at / T, curve, color=colours[0])
    ax.fill_between(at / T, curve, color=colours[0], alpha=0.12)
    ax.set_title(f"{name.replace('_', ' ')}: mean {curve.mean():.2f}", fontsize="medium")
axes.flat[-1].axis("off")
fig.supxlabel("Share of the steps")
fig.supylabel("Rate / peak")
sns.despine(fig)

# %% [markdown]
# The same from the formulas of the table, to be sure that the table says what runs.

# %%
t = at
formulas = {
    "constant": np.ones(len(t)),
    "step": 0.1 ** ((t > T / 2).astype(int) + (t > 3 * T / 4)),
    "exponential": 0.01 ** (t / (T - 1)),
    "polynomial": 1 - t / T,
    "cosine": (1 + np.cos(np.pi * t / T)) / 2,
    "one_cycle": np.where(
        t + 1 < 0.3 * T, (t + 1) / (0.3 * T), (1 + np.cos(np.pi * (t + 1 - 0.3 * T) / (0.7 * T + 1))) / 2
    ),
    "warmup": np.minimum(1, (t + 1) / (0.1 * T)),
}
for name, curve in curves.items():
    assert np.allclose(curve, formulas[name], atol=1e-5), name
print("equal:", ", ".join(curves))

# %% [markdown]
# Note the means in the titles. At one and the same peak, a run with a cosine takes steps half as long on average as one
# with a constant rate: comparing the two at one peak would compare two rates as well. So *each schedule has its own
# peak*, tuned on validation. (Smith's one-cycle policy of 2018 also moves the momentum against the rate; ours moves the
# rate alone. The warm-up without a fall is an arm because one cycle has both: it tells what the rise alone does.)
#
# | | |
# |---|---|
# | **varied** | the schedule |
# | **tuned, for each** | the peak, on validation images |
# | **held fixed** | LeNet-5, 20,000 images of CIFAR-10, momentum 0.9, the number of steps |
# | **repeated** | with fresh seeds |

# %%
show(falling, "tuning_schedules")

# %% [markdown]
# Then each schedule at its best peak, on fresh seeds, scored on the test set.

# %%
show(falling, "accuracy_schedules")

# %% tags=["hide-input"]
if falling.complete:
    table = falling.table().query("part == 'schedules'").set_index("schedule")
    gain = 100 * (table["mean"] - table["mean"]["constant"]).drop(["constant", "warmup"]).sort_values()
    peaks = table["learning_rate"]
    say(
        f"**Prediction 4.** Against the constant rate's {table['mean']['constant']:.1%}, the falling ones differ by "
        f"{gain.iloc[0]:+.1f} ({gain.index[0]}) to {gain.iloc[-1]:+.1f} points ({gain.index[-1]}), and a warm-up alone "
        f"by {100 * (table['mean']['warmup'] - table['mean']['constant']):+.1f}; the verdicts at the end of the next "
        f"section say which of these differences stand. The peaks: constant {peaks['constant']:g}, the others "
        f"{peaks.drop('constant').min():g} to {peaks.drop('constant').max():g}."
    )

# %% [markdown]
# ## Low, high, and high then low
#
# Why should a falling rate help? A high rate makes the loss fall into a local minimum and get stuck there, a low one
# does not: that is one of [the sentences that articles get wrong](../results/corrections.md). The usual view in the
# field is nearly the opposite. A high rate does not get stuck anywhere; the noise of the batches keeps it *bouncing*,
# too far up the walls to see the bottom, and a drop lets it settle (Smith, Kindermans, Ying and Le 2018 liken it to
# simulated annealing, with the rate as the temperature).
#
# A loss that cannot have a bad minimum separates the two stories: our bowl, with $\lambda=1$, and noise of standard
# deviation $\sigma$ in each gradient, as batches have it:
#
# $$w_{t+1}=w_t-\eta\,(w_t+\sigma\xi_t).$$
#
# The noise feeds the variance, the curvature drains it. In balance
# $\operatorname{Var} w=(1-\eta)^2\operatorname{Var} w+\eta^2\sigma^2$, so the loss stops falling at a floor:
#
# $$\tfrac12\operatorname{Var}w=\frac{\eta\,\sigma^2}{2(2-\eta)} .$$


# %%
def noisy_descent(rates, walkers=4000, start=5.0, sigma=1.0):
    """Return the mean loss over many walkers in the noisy bowl after each step; rates: one a step."""
    noise, w = np.random.default_rng(1), np.full(walkers, start)
    losses = []
    for rate in rates:
        w = w - rate * (w + sigma * noise.standard_normal(walkers))
        losses.append((w**2).mean() / 2)
    return np.array(losses)


def floor(rate, sigma=1.0):
    return rate * sigma**2 / (2 * (2 - rate))


high, low, steps = 0.5, 0.02, 250
walks = {
    f"low, {low}": np.full(steps, low),
    f"high, {high}": np.full(steps, high),
    "high, then low": np.where(np.arange(steps) < 25, high, low),
}
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
ends, passed = {}, {}
for (name, rates), colour, style in zip(walks.items(), colours, ("-", "--", "-."), strict=False):
    losses = noisy_descent(rates)
    ends[name], passed[name] = losses[-50:].mean(), (losses < 1.1 * floor(high)).argmax() + 1
    ax.semilogy(losses, style, color=colour, label=name)
for rate in (low, high):
    ax.axhline(floor(rate), color="0.35", linewidth=1, linestyle=":")
ax.set(xlabel="Step", ylabel="Mean loss of 4,000 walkers")
ax.legend(frameon=False)
sns.despine(fig)

# %%
assert np.isclose(ends["high, 0.5"], floor(high), rtol=0.05)
assert np.isclose(ends["high, then low"], floor(low), rtol=0.1)

# %% tags=["hide-input"]
say(
    f"**Prediction 3.** There is one minimum and nothing to fall into, and still the high rate ends at "
    f"{ends['high, 0.5']:.3f}, {floor(high) / floor(low):.0f} times the floor of the low one (dotted, from the "
    f"formula). It was within a tenth of that after {passed['high, 0.5']} "
    f"steps, which took the low rate {passed['low, 0.02']}. And once the rate drops, the loss falls to "
    f"{ends['high, then low']:.4f}. High then low has the speed of the one and the floor of the other."
)

# %% [markdown]
# Does a network do the same? The network of the schedules again, three arms of equal length, fresh seeds: low
# throughout, high throughout, and high that drops to low halfway. Beware of the training loss that Keras prints: it is
# a running mean over an epoch, in which the network got better all the time, so it lags most where the loss falls
# fastest. What decides here is the loss of the *finished* network, evaluated on all training images.

# %%
show(falling, "accuracy_traps", "low_high")

# %%
tell(falling)

# %% [markdown]
# The last two arms share their seeds, so they are the same run until the drop. Whatever differs then is the drop's
# doing. Validation losses are evaluated after every epoch: how far are the two apart just before the drop, and one
# epoch after it?

# %% tags=["hide-input"]
if falling.complete:
    plan = falling.plans["traps"]
    arms = plan.of_role("fresh")[["run_id", "arm", "seed", "train_loss", "epochs"]]
    lines = plan.history.merge(arms[["run_id", "arm", "seed"]], on="run_id")
    val_loss = lines.pivot(index=["epoch", "seed"], columns="arm", values="val_loss")
    effect = val_loss["high then low after half"] - val_loss["high"]
    half = int(arms["epochs"].iloc[0]) // 2
    before, after = effect.loc[half], effect.loc[half + 1]
    mean, low_end, high_end = student_interval(after)
    final = arms.groupby("arm", sort=False)["train_loss"].mean()
    say(
        f"Before the drop the largest difference of two paired validation losses is {before.abs().max():.2g}. One "
        f"epoch after it they differ by **{mean:+.3f}** nats (95% interval {low_end:+.3f} to {high_end:+.3f}, "
        f"{len(after)} pairs)."
        + (
            " The drop helps at once, as in the noisy bowl."
            if high_end < 0
            else " The drop does harm here: on new images the long steps were still making headway."
            if low_end > 0
            else " That interval includes zero."
        ),
        "Training loss of the finished networks, evaluated: "
        + ", ".join(f"{arm} {loss:.3f}" for arm, loss in final.items())
        + ".",
    )
else:
    say(f"*schedules: {falling.gap()}.*")

# %% [markdown]
# One distinction, so that we claim no more than we saw. A fall right after the drop would show that the high rate *kept
# the noise high*. Whether any of these runs sits in a *local minimum* is not measured, and cannot be read off a loss
# curve at all. And a low rate whose curve still falls at the last epoch is not stuck either: it is late.

# %% [markdown]
# ## Limits
#
# - Short runs. A best rate is best *for its number of steps*; with ten times as many, a lower one may win, and a
#   falling rate has longer to pay off.
# - Small networks without batch normalisation. With it the scale of the weights matters less, and basins may be wider.
# - A grid in factors of two sees no finer than that, and a peak tuned over few seeds may be one grid point off.
# - The batch-size rule is read from the best cells of a grid; at equal epochs it may look different.
# - The drop was tested at one place, by one factor. Adam was swept, but not combined with schedules.

# %% [markdown]
# ## The same in small
#
# In `smoke` the two experiments also run here and now, on digits, with two seeds and hardly any epochs. It shows that
# they run; it is too small to conclude from.

# %%
if PROFILE == "smoke":
    for name in ("learning_rate", "schedules"):
        small = run_here(name)
        say(f"**{name}**, smoke run:", plots.markdown_table(plots.readable(small.table())))
    show(small, "accuracy_schedules")

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* Two weights with curvatures 1 and 100. Which rates converge? Which one is best, and how many
#    steps does it need to bring both distances below 1%? The cell below says if you are right.
# 2. Momentum ("heavy ball") makes it $v\leftarrow\beta v-\eta\nabla L,\ w\leftarrow w+v$. Find the largest stable
#    $\eta$ for $\lambda=1$ numerically for $\beta=0,\ 0.5,\ 0.9$ and guess the formula.
# 3. Sweep the bowl with $\kappa=30$ over the rates 0.001, 0.002, 0.004 ... up to 0.256, 100 steps each. What would you
#    conclude, and what should warn you?
# 4. How much does the range test's suggestion depend on the smoothing?
# 5. Now a loss with *two* minima, a poor one and a good one, and noise. Start all walkers in the poor one. Which rate
#    gets stuck?

# %%
my_answers = {"converges below": None, "best rate": None, "steps": None}  # exercise 1: put your numbers here


def judge(answers):
    """Say of each number of exercise 1 whether a search over 300,000 rates agrees."""
    rates = np.linspace(0, 0.03, 300_001)
    slowest = np.abs(1 - rates[:, None] * np.array([1, 100])).max(axis=1)  # what a step leaves of the longer distance
    steps = np.ceil(np.log(0.01) / np.log(slowest.min()))
    true = {"converges below": rates[slowest < 1].max(), "best rate": rates[slowest.argmin()], "steps": steps}
    for name, mine in answers.items():
        agrees = mine is not None and np.isclose(mine, true[name], rtol=0.001)
        print(f"{name}:", "not filled in" if mine is None else "right" if agrees else "not yet")


judge(my_answers)

# %% [markdown]
# ## Solutions
#
# **1.** Stable: $\eta<2/100$. The factors are $|1-\eta|$ and $|1-100\eta|$; raising $\eta$ shrinks the first and, at
# the end, grows the second, so the best has them equal: $1-\eta=100\eta-1$, $\eta=2/101$, factor $99/101$.

# %%
eta = 2 / 101
needed = int(np.ceil(np.log(0.01) / np.log(99 / 101)))
walk = np.abs(descend(eta, np.array([1.0, 100.0]), start=np.ones(2), steps=needed))
assert (walk[-1] < 0.01).all() and (walk[-2] > 0.01).all()
print(f"rate {eta:.5f}, {needed} steps")
judge({"converges below": 2 / 100, "best rate": eta, "steps": needed})

# %% [markdown]
# **2.** The border is $2(1+\beta)/\lambda$. Momentum 0.9 *raises* the stable limit, by 1.9, while its steps along a
# steady slope are 10 times as long. So its useful rates begin a decade lower, but its cliff on a bowl does not move
# left.


# %%
def stays(rate, beta, steps=2000):
    w, v = 1.0, 0.0
    for _ in range(steps):
        v = beta * v - rate * w
        w = w + v
        if abs(w) > 1e6:
            return False
    return True


grid = np.linspace(1.5, 4.5, 301)
for beta in (0, 0.5, 0.9):
    border = max(rate for rate in grid if stays(rate, beta))
    assert np.isclose(border, 2 * (1 + beta), atol=0.02)
    print(f"beta {beta}: up to {border:.2f}, formula {2 * (1 + beta):.2f}")

# %% [markdown]
# So the cliff of a bowl does not move left with momentum. Where a network's does, a likely reason is that it does not
# start at the bottom of a bowl: on the long slopes it comes down, momentum's steps are up to ten times as long.
#
# **3.** The warning is that the best value is the last one tried: then it is a direction, not an answer. The table of
# rates above has a column for it.

# %%
pair = np.array([1.0, 1 / 30])
for count in (9, 12):
    grid = 0.001 * 2.0 ** np.arange(count)
    walk = descend(grid[:, None], pair, start=np.ones((count, 1)) / np.sqrt(pair), steps=100)[-1]
    best = (0.5 * (pair * walk**2).sum(axis=1)).argmin()
    print(f"up to {grid[-1]:g}: best {grid[best]:g}, at the edge: {best in (0, count - 1)}")

# %% [markdown]
# A comparison of optimizers on a cut grid is one of their *slow ends*, and favours the one whose hill stands furthest
# left.
#
# **4.** We read the same losses again, from no smoothing to the usual one: `beta` may be set anew after the test.

# %%
betas = {}
for beta in (0, 0.9, 0.98):
    for test in tests.values():
        test.beta = beta
    betas[beta] = {key: test.suggestion["steepest"] for key, test in tests.items()}
tell_rates(pd.DataFrame(betas).rename_axis(["data", "optimizer"]))

# %% [markdown]
# The steepest point is a derivative of a noisy curve, the most fragile thing one can read off it. Where the columns
# differ by more than a grid point of the sweep, the smoothing has chosen the rate.
#
# **5.** A double well, $L(w)=\frac14(w^2-1)^2-0.15\,w$: a poor minimum near $-1$, a good one near $+1$. The share of
# walkers that end in the good one:


# %%
def escape(rates, walkers=4000, sigma=4.0):
    """Return the share of walkers beyond the ridge at the end, and their mean loss; all start in the poor minimum."""
    noise, w = np.random.default_rng(1), np.full(walkers, -1.0)
    for rate in rates:
        w = np.clip(w - rate * (w**3 - w - 0.15 + sigma * noise.standard_normal(walkers)), -3, 3)
    return (w > 0).mean(), ((w**2 - 1) ** 2 / 4 - 0.15 * w).mean()


steps = 500
walks = {
    "low, 0.01": np.full(steps, 0.01),
    "high, 0.1": np.full(steps, 0.1),
    "high, then low": np.repeat([0.1, 0.01], steps // 2),
}
pd.DataFrame(
    {name: escape(rates) for name, rates in walks.items()}, index=["in the good minimum", "mean loss"]
).T.round(3)

# %% [markdown]
# It is the *low* rate that stays where it started. The high rate crosses the ridge in both directions, prefers the
# deeper side, and pays with a high loss; the drop then lets each walker sink where it is. It is a toy: one dimension, a
# ridge we put there. What the networks above showed is the second half of it.
