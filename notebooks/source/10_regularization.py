# %% [markdown]
# # 10 Regularisation: what stops overfitting?
#
# Give a network enough weights and enough epochs, and it has all its training images right. What it has learnt of them
# is partly what the classes look like, and partly these very images. *Regularisation* is whatever makes a network
# better on images that it has not seen while it makes it no better, or worse, on those that it has: noise on its units,
# a price on its weights, altered pictures, softer labels, an earlier end. This notebook takes a network that overfits
# when left alone and tries them one by one, each at its own learning rate, penalties and decay at their best strength,
# too; then three of them together: do they add up?
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. A small network is trained on 3,000 images for 25 epochs. How many of them has it right, and how many test images?
# 2. Dropout of a tenth, of a half, of nine tenths of the dense layer's units: what does each buy, in points?
# 3. L1 and L2, each at its best strength: which is ahead? Which of them makes weights exactly 0?
# 4. Weight decay and L2: the same thing? With momentum? With Adam?
# 5. Flips and crops: what do they buy in 15 epochs, and what in 45?
# 6. Flips on MNIST: what do they cost?
# 7. Early stopping, or a learning rate that falls to 0: which is ahead?
# 8. Dropout, altered pictures and weight decay: is what all three buy the sum of what each buys?

# %% [markdown]
# **Two sizes.** Answers come from committed tables of CIFAR-10 and MNIST in either profile. What a cell computes on the
# spot is arithmetic, or reads small digits and takes seconds. In `smoke` two of the experiments also run here and now,
# at the end.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

EXPERIMENTS = ("dropout", "penalties", "weight_decay", "augmentation", "endings", "together")

# %% tags=["hide-input"]
from keras import optimizers, regularizers
from sklearn.datasets import load_sample_image

from cnnkit.course.regularization import facts, together
from cnnkit.course.regularization._recipe import BASE
from cnnkit.evidence import claims
from cnnkit.lab import recipes

plt.rcParams["figure.dpi"] = 90
colours = sns.color_palette("colorblind")
found = {name: findings(name) for name in EXPERIMENTS}
verdicts = claims.as_table([row for one in found.values() for row in one.verdicts()]).set_index("id")


def ours(id):
    """Tell what a claim's runs say, and its verdict, or what is awaited."""
    row = verdicts.loc[id]
    return f"{plots.tell_effect(row)}: **{row['verdict']}**" if np.isfinite(row["effect"]) else f"*{row['reason']}*"


def levels(name, part=""):
    """Return training and test accuracy, evaluated, in %, by arm: means over the fresh runs that did not collapse."""
    fresh = found[name].plans[part].of_role("fresh").query("not collapsed")
    return 100 * fresh.groupby("arm", sort=False)[["train_accuracy", "test_accuracy"]].mean()


def answer(name, *sentences):
    """Show what a function makes of an experiment's rows, or what is awaited."""
    if found[name].complete:
        say(*(sentence() for sentence in sentences))
    else:
        say(f"*{name}: {found[name].gap()}.*")


# %% [markdown]
# **What it costs.** Six experiments stand behind this page: what each asks, how many networks that takes as far as the
# rows decide it yet, and what those that are here cost, one after the other.

# %% tags=["hide-input"]
cost = {
    name: [one.experiment.question, len(one.configs), len(one.runs), round(one.seconds / 60, 1)]
    for name, one in found.items()
}
columns = ["question", "networks asked for", "here", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))

# %% [markdown]
# ## Left alone
#
# The patient: Keras' old example for CIFAR-10, four convolutions and a dense layer, at half its width and *without* the
# dropout that comes with it, on 3,000 images at half their resolution, 25 epochs of a one-cycle rate
# (up for three tenths of the run, then down to 0: notebook 07).

# %%
table = anatomy.layer_table(create_model(BASE.model, (16, 16, 3), 10, **BASE.model_args))
table[["layer", "output_shape", "num_params", "macs"]]

# %% [markdown]
# How much it overfits is the **gap** between its accuracy on training images and on test images,
#
# $$\text{gap}=\text{accuracy}_{\text{train}}-\text{accuracy}_{\text{test}},$$
#
# both *evaluated*, on the finished network, on pictures as they are. Not the figures that Keras prints during training:
# those are running means over an epoch, with dropout at work and on altered pictures, and a gap made of them can be
# negative for a network that overfits badly. The gap is a symptom. A network that knows nothing has none; so beside
# each gap stands what counts, the test accuracy.

# %% tags=["hide-input"]
answer(
    "penalties",
    lambda: (
        f"**Prediction 1.** Left alone, the network has {levels('penalties').at['none, 0', 'train_accuracy']:.1f}% of "
        f"its training images right and {levels('penalties').at['none, 0', 'test_accuracy']:.1f}% of the test images."
    ),
)

# %% [markdown]
# What it looks like while it happens: LeNet-5 on no more than 100 digits, one rate all along.

# %%
few = RunConfig(dataset="digits", train_size=100, learning_rate=0.02, optimizer_args={"momentum": 0.9}, batch_size=25)
few = few.replace(epochs=40, log_training=True)
alone = train(few)
curve = alone.history.set_index("epoch")
fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for ax, name, scale in zip(axes, ("accuracy", "loss"), (100, 1), strict=True):
    ax.plot(scale * curve[f"train_eval_{name}"], "--", color=colours[0], label="training, evaluated")
    ax.plot(scale * curve[f"val_{name}"], color=colours[1], label="validation")
    ax.set(xlabel="Epoch", ylabel={"accuracy": "Accuracy (%)", "loss": "Loss (nats)"}[name])
axes[0].legend(frameon=False)
sns.despine(fig)

# %% tags=["hide-input"]
least, last = curve["val_loss"].idxmin(), curve.iloc[-1]
say(
    f"At the end {last['train_eval_accuracy']:.0%} of the training digits are right, and {last['val_accuracy']:.0%} of "
    f"those that validate: a gap of {100 * (last['train_eval_accuracy'] - last['val_accuracy']):.0f} points. The "
    f"training loss is {last['train_eval_loss']:.4f}; that of validation was least after epoch {least}, "
    f"{curve.at[least, 'val_loss']:.3f}, and ends at {last['val_loss']:.3f}."
)

# %% [markdown]
# ## Dropout: noise on the units
#
# At each step a unit's output $x_i$ is silenced with probability $p$. Keras divides what it keeps by $1-p$, so that a
# sum $s=\sum_i w_ix_i$ keeps its mean; the price is variance:
#
# $$\mathrm E[\tilde s]=\sum_i w_i\,\frac{(1-p)\,x_i}{1-p}=s,\qquad
# \operatorname{Var}[\tilde s]=\frac{p}{1-p}\sum_i w_i^2x_i^2 .$$
#
# Half of the units silenced adds $\sum w_i^2x_i^2$, nine tenths nine times that. Twenty thousand draws of Keras' layer,
# one hundred inputs of weight 1:

# %%
x = np.random.default_rng(1).uniform(0, 2, 100).astype("float32")
rows, fig, ax = {}, *plt.subplots(figsize=(7, 2.8), layout="constrained")
for p, colour in zip((0.1, 0.5, 0.9), colours, strict=False):
    sums = np.asarray(layers.Dropout(p, seed=1)(np.tile(x, (20_000, 1)), training=True)).sum(axis=1, dtype="float64")
    rows[p] = [x.sum(), sums.mean(), p / (1 - p) * (x**2).sum(), sums.var()]
    ax.hist(sums, 80, density=True, color=colour, alpha=0.6, label=f"p = {p}")
ax.axvline(x.sum(), color="0.35", linestyle=":")
ax.set(xlabel="Sum of what is kept, divided by 1 − p (dotted: the whole sum)", ylabel="Density", yticks=[])
ax.legend(frameon=False)
sns.despine(left=True)
columns = ["sum", "mean of draws", "variance by the formula", "variance of draws"]
drawn = pd.DataFrame(rows, index=columns).T.rename_axis("p")
assert np.allclose(drawn["sum"], drawn["mean of draws"], rtol=0.02)
assert np.allclose(drawn["variance by the formula"], drawn["variance of draws"], rtol=0.05)
drawn.round(1)

# %% [markdown]
# So for predictions nothing has to be done: Keras' layer lets everything pass. The paper did it the other way round,
# plain silence in training and weights times $1-p$ afterwards (its own $p$ is the share that is *kept*); articles that
# explain one and show code of the other scale twice.

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if one.ledger == 49)

# %% [markdown]
# Why should noise help? A unit cannot rely on one other unit's being there, and what is learnt is spread. And where a
# penalty would go: in a linear model with squared error, the mean over all masks *is* a penalty,
# $\frac{p}{1-p}\sum_i w_i^2\,\mathrm E[x_i^2]$, an L2 in which a weight costs as much as its input is large.
#
# How much, and where?
#
# | | |
# |---|---|
# | **varied** | the share of the dense layer's units, 0 to 0.9; pixels, maps after pooling, dense units, all of them |
# | **tuned, for each** | the peak of the rate, five of them, a factor of 2 apart, in runs of 15 epochs |
# | **held fixed** | the patient, 50 epochs: twice what it needs alone, since noise slows learning |
# | **read** | test accuracy, and the gap |

# %%
show(found["dropout"], "shares", "accuracy_places")

# %%
tell(found["dropout"])


# %% tags=["hide-input"]
def dropout_told():
    """Tell what shares of the dense layer buy over none."""
    level = levels("dropout", "places")
    gain = level["test_accuracy"] - level.at["none, 0", "test_accuracy"]
    told = ", ".join(f"{arm.removeprefix('dense, ')} {gain[arm]:+.1f}" for arm in gain.index if arm.startswith("dense"))
    left = level.at["none, 0", "train_accuracy"], level.at["dense, 0.9", "train_accuracy"]
    return (
        f"**Prediction 2.** What shares of the dense layer buy over none, in points: {told}. Training images that are "
        f"right fall from {left[0]:.0f}% without to {left[1]:.0f}% at nine tenths."
    )


def where_told():
    """Tell what dropout buys elsewhere than on the dense layer."""
    level = levels("dropout", "places")
    (train, test), all_places = level.loc["maps, 0.25"], level.at["all, 0.2 to 0.5", "train_accuracy"]
    return (
        f"*Where.* Pixels: {ours('dropout-pixels')}. Maps beside the dense layer: {ours('dropout-maps')}. Everywhere "
        f"against the dense layer alone: {ours('dropout-everywhere')}. Best of all are the maps alone: {test:.1f}%, "
        "with "
        f"{train:.0f}% of the training images right. With everything silenced it is {all_places:.0f}%: there so much "
        "noise keeps the network from learning in these epochs."
    )


answer(
    "dropout",
    dropout_told,
    lambda: (
        "That 20 to 50% is the range, that less does nothing and more learns too little, is found in articles. A tenth "
        f"buys less than a point (what none has over it): {ours('dropout-tenth')}. A fifth: {ours('dropout-fifth')}. "
        "Seven tenths are worse than a half: "
        f"{ours('dropout-seven-tenths')}; nine tenths: {ours('dropout-nine-tenths')}."
    ),
    where_told,
)

# %% [markdown]
# **The advice that comes with it.** Srivastava et al. (2014, app. A): with dropout take ten to a hundred times the
# learning rate that suits the network without it, a momentum of 0.95 to 0.99, and to keep that in bounds do not let any
# unit's incoming weights be longer than 3 to 4 (*max-norm*). An article has made of it that the larger the rate, the
# larger the weights *should* be: the other way round, max-norm is there because large rates make large weights. Ours
# start at a length of $\sqrt2$ (He's, whatever the width), and here 2 is what we try.

# %%
keras.utils.set_random_seed(1)
net = create_model(BASE.model, (16, 16, 3), 10, **BASE.model_args)
recipes.regularize(net, max_norm=1.3)
rows = {}
for weight in [w for w in net.trainable_variables if len(w.shape) > 1]:
    units = [np.asarray(k).reshape(-1, k.shape[-1]) for k in (weight, weight.constraint(weight))]
    free, cut = (np.sqrt((unit**2).sum(axis=0)) for unit in units)
    rows[weight.path.split("/")[-2]] = [len(free), free.min(), np.median(free), free.max(), cut.max()]
    assert np.allclose(cut, np.minimum(free, 1.3), atol=1e-5)  # longer ones are cut, others stay
columns = ["units", "shortest", "median length", "longest", "longest, max-norm 1.3"]
pd.DataFrame(rows, index=columns).T.astype({"units": int}).round(2)

# %%
show(found["dropout"], "accuracy_rates", "accuracy_widths")

# %% tags=["hide-input"]
told = {
    "dropout-own-rate": "dropout at its own rate, against that of the network without it",
    "dropout-threefold": "three times the rate of the network without dropout, against that rate",
    "dropout-tenfold": "ten times the rate of the network without dropout, against that rate",
    "dropout-tenfold-collapses": "how many more of its runs collapse",
    "dropout-tenfold-max-norm": "ten times the rate, with max-norm",
    "dropout-momentum": "momentum 0.95 against 0.9, each at its own rate",
    "dropout-max-norm": "max-norm beside dropout",
    "max-norm-alone": "max-norm without dropout",
    "dropout-big-nets": "what dropout buys more in a network of four times the width",
}
answer("dropout", *(lambda words=words, id=id: f"- {words}: {ours(id)}" for id, words in told.items()))

# %% [markdown]
# ## L1 and L2: a price on the weights
#
# A penalty is added to the loss: $\lambda\sum|w|$ (L1) or $\lambda\sum w^2$ (L2). Near its minimum a loss is a parabola
# in each weight; say of curvature 1, with its least at $a$. Then
#
# $$\min_w \tfrac12(w-a)^2+\lambda|w|:\quad w=\operatorname{sign}(a)\max(|a|-\lambda,0),\qquad
# \min_w \tfrac12(w-a)^2+\lambda w^2:\quad w=\frac{a}{1+2\lambda}.$$
#
# *Proof.* For $w>0$ the first has the slope $w-a+\lambda$, which is 0 at $w=a-\lambda$, if that is above 0; likewise
# below. If $|a|\le\lambda$, the slope is positive right of 0 and negative left of it, so that 0 is the least. The
# second has the slope $w-a+2\lambda w$ everywhere. So L1 takes the same from every weight and stops at 0; L2 takes the
# same *share*. Checked without calculus, by trying all multiples of 1/64:

# %%
a = facts.SLOPES
fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
ax.plot(a, a, ":", color="0.5", label="no penalty")
ax.plot(a, facts.soft_threshold(a, 0.5), color=colours[0], label="L1, λ = ½: formula")
ax.plot(a, a / 2, "--", color=colours[1], label="L2, λ = ½: formula")
for penalty, formula in ((lambda w: np.abs(w) / 2, facts.soft_threshold(a, 0.5)), (lambda w: w**2 / 2, a / 2)):
    tried = facts.minimum(a, penalty)
    assert np.array_equal(tried, formula)
    ax.plot(a[::4], tried[::4], ".", color="0.2")
ax.set(xlabel="Best weight without a penalty, a", ylabel="Best weight with it")
ax.legend(frameon=False, title="(points: tried)")
sns.despine()

# %% [markdown]
# Zero is where L1 wants weights to be. Does gradient descent put them there? The slope of $\lambda|w|$ is $\pm\lambda$
# however near 0 is, so a step overshoots, and the next one comes back:

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if one.ledger == 51)

# %%
networks = {"none": {}, "L1, 0.003": {"l1": 0.003}, "L2, 0.03": {"l2": 0.03}}
base = RunConfig(dataset="digits", train_size=500, model="mlp", optimizer_args={"momentum": 0.9}, learning_rate=0.02)
base = base.replace(model_args={"units": [64]}, batch_size=50, schedule="one_cycle", epochs=15)
rows, fig, axes = {}, *plt.subplots(1, 3, figsize=(10, 2.6), sharey=True, layout="constrained")
for ax, (name, how) in zip(axes, networks.items(), strict=True):
    run = train(base.replace(regularization=how))
    kernels = [w for w in run.network.trainable_variables if len(w.shape) > 1]
    weights = np.concatenate([np.ravel(kernel) for kernel in kernels])
    rows[name] = [
        run.row["train_accuracy"],
        run.row["test_accuracy"],
        (abs(weights) < 1e-3).mean(),
        (weights == 0).mean(),
    ]
    for kernel in kernels:
        kernel.assign(np.where(abs(kernel.numpy()) < 1e-3, 0, kernel.numpy()))
    rows[name].append(
        (
            run.model.predict(load_dataset("digits").x_test / 255, verbose=0).argmax(axis=1)
            == load_dataset("digits").y_test
        ).mean()
    )
    ax.hist(weights, np.linspace(-0.15, 0.15, 61), color=colours[0])
    ax.set(title=name, xlabel="Weight", yscale="log")
axes[0].set_ylabel("Weights")
sns.despine(fig)
columns = [
    "training accuracy",
    "test accuracy",
    "weights below 0.001",
    "weights equal to 0",
    "test, small ones set to 0",
]
sparse = pd.DataFrame(rows, index=columns).T
sparse.style.format("{:.1%}")

# %% tags=["hide-input"]
l1, l2 = sparse.loc["L1, 0.003"], sparse.loc["L2, 0.03"]
say(
    f"Of the {len(weights):,} weights of a small network on digits, L1 leaves {l1['weights below 0.001']:.0%} smaller "
    f"than 0.001, L2 {l2['weights below 0.001']:.0%}. Exactly 0 are {l1['weights equal to 0']:.1%} and "
    f"{l2['weights equal to 0']:.1%}. Who wants zeros has to write them: set to 0, the small weights are not missed "
    f"(test accuracy {l1['test accuracy']:.1%} before, {l1['test, small ones set to 0']:.1%} after)."
)

# %% [markdown]
# Which of the two *classifies* better is another matter. L2 usually does, say the notes of cs231n, unless features are
# to be selected. A strength is chosen like a rate, by validation, so that each comes with its best one:
#
# | | |
# |---|---|
# | **varied** | L1, L2, max-norm, at four or five strengths each, about half a decade apart |
# | **tuned, for each** | the rate; then, by validation, the strength (arms called *best*) |
# | **held fixed** | the patient, 25 epochs |

# %%
show(found["penalties"], "strengths_L1", "strengths_L2", "strengths_max_norm")

# %%
tell(found["penalties"])


# %% tags=["hide-input"]
def best_told():
    """Tell which strengths were chosen and what they buy."""
    best = found["penalties"].plans[""].comparison.followers
    told = "; ".join(f"{times.arm}: {ours(arm.split(',')[0].lower() + '-improves')}" for arm, times in best.items())
    return f"**Prediction 3.** Chosen, and over none: {told}. L2 ahead of L1: {ours('l2-beats-l1')}."


answer(
    "penalties",
    best_told,
    lambda: (
        "*Lower the coefficient of L2 against overfitting* stands in an article. A lower price on large weights allows "
        f"more of them. A tenth of it overfits less: {ours('l2-lower-cures')}. It narrows the gap where it is raised: "
        f"{ours('l2-gap')}."
    ),
)

# %% [markdown]
# ## Weight decay: the same, and not
#
# Or take a share of every weight away at each step, beside the gradient: *decoupled* decay. Keras does
# $w\leftarrow w-\eta\lambda w$ before the optimizer's own step. For plain SGD the two are one,
#
# $$w-\eta\,(g+2\lambda_2w)=w-\eta g-\eta\,(2\lambda_2)\,w ,$$
#
# so that a decay of $\lambda$ is an L2 of $\lambda/2$ (Loshchilov and Hutter leave the $\eta$ out: there it is
# $\lambda/2\eta$). With momentum $\beta$ a penalty's pull is part of the gradient and adds up to $1/(1-\beta)$ of it,
# while the decay passes the momentum by. Adam divides a penalty's pull by the size of the gradient: weights with large
# gradients are shrunk less. Eight weights, forty steps of each:

# %%
start, goal = np.linspace(-1, 1, 8), np.linspace(0.5, 2, 8)
makers = {
    "SGD": lambda decay: optimizers.SGD(0.05, weight_decay=decay),
    "SGD, momentum 0.9": lambda decay: optimizers.SGD(0.05, 0.9, weight_decay=decay),
    "Adam": lambda decay: optimizers.Adam(0.05, weight_decay=decay),
}
rows = {}
for name, make in makers.items():
    coupled, decayed = (
        facts.descend(make(None), start, goal, regularizers.L2(0.25)),
        facts.descend(make(0.5), start, goal),
    )
    rows[name] = [coupled[0], decayed[0], coupled[-1], decayed[-1], abs(coupled - decayed).max()]
columns = ["L2 of 0.25: first weight", "decay of 0.5", "L2: last weight", "decay", "largest difference"]
parted = pd.DataFrame(rows, index=columns).T
assert parted.at["SGD", "largest difference"] < 1e-6 < parted["largest difference"].iloc[1:].min()
parted.round(4)

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if one.ledger == 52)
say(
    "**Prediction 4.** The same for SGD, and for neither of the others. What it means for a recipe: a paper's 0.0005 "
    "with SGD and momentum 0.9 (its framework let it through the momentum) is `weight_decay=0.005` in Keras; taken "
    "over as it is, it does a tenth. And Keras' decays everything, biases and the scales of batch normalisation, "
    "unless `optimizer.exclude_from_weight_decay` names what to spare."
)

# %% [markdown]
# How strong is a decay? Over a run, by itself, it leaves $\exp(-\lambda\sum_t\eta_t)$ of a weight. So what matters is
# $\lambda\,\eta\,T$, and a table of decay by rate should have its ridge where the product is constant. *The range is 0
# to 0.0001*, say articles, of which product?

# %%
total = {peak: 0.5 * peak * BASE.epochs * BASE.train_size / BASE.batch_size for peak in (0.005, 0.02, 0.08)}
left = {decay: [np.exp(-decay * eta) for eta in total.values()] for decay in (1e-4, 1e-3, 1e-2, 0.1, 1.0)}
table = pd.DataFrame(left, index=[f"peak {peak:g}" for peak in total]).T.rename_axis("decay: what is left of a weight")
table.style.format("{:.1%}").format_index("{:g}")

# %% [markdown]
# | | |
# |---|---|
# | **varied** | the decay, 0 to 1; the rate: all five of each decay are the map |
# | **tuned, for each** | the rate; and of the decays above 0.001 the best, by validation |
# | **held fixed** | the patient, SGD with momentum 0.9 |

# %%
show(found["weight_decay"], "map", "accuracy")

# %%
tell(found["weight_decay"])


# %% tags=["hide-input"]
def decay_told():
    """Tell which decay was chosen and what it and those within the range buy."""
    best = found["weight_decay"].plans[""].comparison.followers["above, best"].arm.split(", ")[1]
    cells = found["weight_decay"].plans[""].of_role("tuning").astype({"decay": float})
    means = cells.groupby(["learning_rate", "decay"])["val_score"].mean().unstack()
    ridge = ", ".join(f"{decay:g} at {rate:g}" for rate, decay in means.idxmax(axis=1).items())
    return (
        f"The best decay is {best}. Over none: {ours('decay-improves')}; over 0.001, a paper's 0.0001: "
        f"{ours('decay-above-range')}. That 0.001 buys less than a point (what none has over it): "
        f"{ours('decay-paper-range')}; that L2 of 0.0003 does: {ours('l2-paper-range')}. In 25 epochs of few images "
        "there are few steps; if the product is what counts, a hundred times as many want a hundredth of it. In "
        "the map "
        f"the best decay is {ridge}: if the product alone counted, it would halve where the rate doubles."
    )


answer("weight_decay", decay_told)

# %% [markdown]
# ## Altered pictures
#
# A mirrored cat is a cat. Who alters the pictures anew in every batch tells the network what does not matter, and shows
# it no picture twice. One photograph, five draws of each way:

# %%
parts = load_sample_image("flower.jpg")[60:412, 120:472], load_sample_image("china.jpg")[40:392, 60:412]
photo, temple = ((part / 255).reshape(44, 8, 44, 8, 3).mean(axis=(1, 3), dtype="float32") for part in parts)
ways = {"flip": "flip", "crop": "shift", "Cutout": "cutout", "RandAugment": "randaugment"}
keras.utils.set_random_seed(4)
rows, titles = [], []
for way, name in ways.items():
    rows += [*np.asarray(recipes.AUGMENTATIONS[name]()(np.tile(photo, (5, 1, 1, 1)), training=True))]
    titles += [way] + [""] * 4
pair, labels = np.stack([photo, temple]), np.eye(2, dtype="float32")
for way, mix in {"MixUp": recipes.mixup, "CutMix": recipes.cutmix}.items():
    mixed = [mix(np.random.default_rng(seed), pair, labels) for seed in range(40)]
    mixed = [(x[0], y[0]) for x, y in mixed if 0.05 < y[0, 1] < 0.95][:5]
    rows += [x for x, _ in mixed]
    titles += [f"{way}, {y[0]:.0%}" for _, y in mixed]
    assert all(np.isclose(y.sum(), 1) for _, y in mixed)
_, ax = plt.subplots(figsize=(5.4, 6.8), layout="constrained")
plots.plot_images([row.clip(0, 1) for row in rows], titles=titles, columns=5, ax=ax)
plt.show()

# %% [markdown]
# (In %: how much of the label is *flower*.) *Flip*: left and right, or not. *Crop*: a shift by up to an eighth of a
# side, black beyond: like padding and cutting out a window, but to fractions of a pixel, which blurs a little.
# *Cutout*: a grey square of half a side. *RandAugment*: two draws out of eleven changes of shape and colour, perhaps
# the same twice; Keras draws once a batch, so that the five have them in common. *MixUp* and *CutMix* lay another
# picture over the whole or over a window, and mix the labels by weight, or by area: a loss with one-hot labels,
# cross-entropy, is linear in them, so that
#
# $$L\big(\alpha y_1+(1-\alpha)y_2,\;z\big)=\alpha L(y_1,z)+(1-\alpha)L(y_2,z).$$
#
# Class *numbers* cannot be mixed: half of a 3 and half of a 5 would be a 4. Give Keras' `MixUp` layer
# one-hot labels: it does not look.

# %%
cross_entropy = keras.losses.CategoricalCrossentropy(from_logits=True)
z, alpha, (one, other) = np.array([[2.0, -1.0]]), 0.7, np.eye(2)
mixed_loss = float(cross_entropy((alpha * one + (1 - alpha) * other)[None], z))
parts = [float(cross_entropy(label[None], z)) for label in (one, other)]
assert np.isclose(mixed_loss, alpha * parts[0] + (1 - alpha) * parts[1], atol=1e-5)
print(f"{alpha} · {parts[0]:.4f} + {1 - alpha:.1f} · {parts[1]:.4f} = {mixed_loss:.4f}")

# %% [markdown]
# Do flips and crops make $N$ times the data? They make more pictures, but show no other cat. And the famous number
# is another:

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if one.ledger == 56)

# %% [markdown]
# A network that never sees a picture twice takes longer to learn. So the budget decides what is seen: 15 epochs, or 45.
#
# | | |
# |---|---|
# | **varied** | eight ways; 15 or 45 epochs |
# | **tuned, for each** | the rate, in 15 epochs; arms of 45 take over that of 15 |
# | **held fixed** | the patient |
# | **harmful control** | flips of MNIST: LeNet-5, 5,000 digits |

# %%
show(found["augmentation"], "accuracy_cifar10")

# %%
tell(found["augmentation"])

# %% tags=["hide-input"]
answer(
    "augmentation",
    lambda: (
        f"**Prediction 5.** Flips and crops over none: in 15 epochs {ours('augmentation-short')}; in 45 "
        f"{ours('augmentation-long')}. What they buy more in 45: {ours('augmentation-needs-epochs')}."
    ),
    lambda: "Training and test accuracy, both of pictures as they are, and the gap:",
    lambda: plots.markdown_table(
        plots.readable(
            levels("augmentation", "cifar10")
            .assign(gap=lambda level: level["train_accuracy"] - level["test_accuracy"])
            .round(1)
            .reset_index()
            .set_axis(["pictures, epochs", "training (%)", "test (%)", "gap (points)"], axis=1)
        )
    ),
)

# %% [markdown]
# ### Where they harm
#
# An alteration is a claim about the world: that the label stays. Mirrored digits are not digits, but for a few. The
# LeNet-5 of the top of this page has never seen a mirrored one; what does it read, digit by digit?

# %%
digits = load_dataset("digits")
mirrored = digits.x_test[:, :, ::-1]
right = pd.DataFrame(
    {
        name: alone.model.predict(images / 255, verbose=0).argmax(axis=1) == digits.y_test
        for name, images in {"as they are": digits.x_test, "mirrored": mirrored}.items()
    }
)
by_digit = right.groupby(digits.y_test).mean()
first = [np.flatnonzero(digits.y_test == digit)[0] for digit in range(10)]
titles = [f"{digit}" for digit in range(10)] + [f"{share:.0%} right" for share in by_digit["mirrored"]]
plots.plot_images(np.concatenate([digits.x_test[first], mirrored[first]]), titles=titles, columns=10)
plt.show()

# %% tags=["hide-input"]
kept = by_digit.index[by_digit["mirrored"] > 0.5]
say(
    f"Of all test digits {right['as they are'].mean():.0%} are read as they are, {right['mirrored'].mean():.0%} when "
    f"they are mirrored: more than half of them only for {', '.join(map(str, kept))}. To train on mirrored ones is to "
    "ask for both readings of each."
)

# %%
show(found["augmentation"], "accuracy_mnist")

# %% tags=["hide-input"]
answer(
    "augmentation",
    lambda: (
        f"**Prediction 6.** Without flips over with them: {ours('flips-harm-digits')}. Crops: "
        f"{ours('crops-help-digits')}."
    ),
)

# %% [markdown]
# ## Softer labels, an earlier end, averages
#
# **Label smoothing** takes $\varepsilon$ of a label and spreads it over all $K$ classes, $q=(1-\varepsilon)\,y+
# \varepsilon/K$. A network that is sure of itself no longer has a loss of 0: the least, at probabilities $q$, is the
# entropy of $q$, and there the right score is ahead of the others by $\ln\frac{q_{\text{right}}}
# {q_{\text{wrong}}}$, where without smoothing it would run away for ever.

# %%
rows = {}
for smoothing in (0.0, 0.1, 0.2):
    smooth = recipes.LOSSES["crossentropy"](smoothing)
    q = (1 - smoothing) * np.eye(10)[0] + smoothing / 10
    ahead = np.log(q[0] / q[1]) if smoothing else np.inf
    scores = [0.0, 2.0, ahead, 10.0] if smoothing else [0.0, 2.0, 4.5, 10.0]
    rows[smoothing] = [float(smooth(np.eye(10)[:1], s * np.eye(10)[:1])) for s in scores] + [ahead]
    assert not smoothing or np.isclose(rows[smoothing][2], -(q * np.log(q)).sum(), atol=1e-5)
    assert min(rows[smoothing][:4]) == rows[smoothing][2 if smoothing else 3]
columns = ["loss at equal scores", "right one ahead by 2", "by its best (none: by 4.5)", "by 10", "its best"]
pd.DataFrame(rows, index=columns).T.rename_axis("smoothing").round(3)

# %% [markdown]
# **Early stopping** keeps the weights of the epoch with the least validation loss, and stops when that has not fallen
# for some epochs, its *patience*. On the curve at the top of this page:


# %%
def stopped(losses, patience):
    """Return the epoch whose weights early stopping keeps, and the one after which it stops."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        elif epoch - best >= patience:
            break
    return best + 1, epoch + 1


losses = curve["val_loss"].to_numpy()
fig, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
ax.plot(curve["val_loss"], color="0.35")
choices = {patience: stopped(losses, patience) for patience in (1, 3, 10)}
for (patience, (best, end)), colour, marker in zip(choices.items(), colours, "osD", strict=False):
    ax.plot(best, losses[best - 1], marker, color=colour, markersize=9, mfc="none", label=f"patience {patience}: kept")
    ax.axvline(end, color=colour, linestyle=":", linewidth=1)
ax.set(xlabel="Epoch (dotted: stopped)", ylabel="Validation loss (nats)")
ax.legend(frameon=False)
sns.despine()
really = train(few.replace(early_stopping=3))
assert really.row["epochs_run"] == choices[3][1]
assert np.isclose(really.row["val_loss"], losses[choices[3][0] - 1], rtol=1e-4)

# %% tags=["hide-input"]
told = [f"{patience} keeps epoch {best} and stops after {end}" for patience, (best, end) in choices.items()]
say(
    f"A patience of {'; of '.join(told)}, of {len(losses)}. Keras' own callback, with a patience of 3, did just that. "
    f"By *accuracy* on the {len(digits.y_val)} images that validate, the epoch of the least loss has "
    f"{curve.at[least, 'val_accuracy']:.1%}, the last one {last['val_accuracy']:.1%}: the loss punishes confident "
    "mistakes, accuracy does not, and the two need not turn at the same time.",
    *["A short patience takes the first bump for the end."] * (choices[1][0] < choices[10][0]),
)

# %% [markdown]
# **Averages** of the last weights are the topic of notebook 04 (experiment `moving_average`): on MNIST, without much
# overfitting. Here they, and stopping, are tried on the patient; under a constant rate, which leaves them something to
# do, and under a falling one.
#
# | | |
# |---|---|
# | **varied** | nothing, stopping (patience 3), averages, at a constant and a falling rate; smoothing of 0.1 |
# | **averages** | of weights: $\bar w\leftarrow0.99\,\bar w+0.01\,w$ at each step |
# | **tuned, for each** | the rate; stopping takes over that of nothing |
# | **held fixed** | the patient, at most 25 epochs |

# %%
show(found["endings"], "accuracy")

# %%
tell(found["endings"])

# %% tags=["hide-input"]
answer(
    "endings",
    lambda: (
        f"**Prediction 7.** A falling rate, trained out, over early stopping at a constant one: "
        f"{ours('falling-beats-stopping')}. Stopping over going on at a constant rate: {ours('stopping-accuracy')} in "
        f"accuracy; in test loss {ours('stopping-loss')}. Under a falling rate stopping costs: "
        f"{ours('stopping-falling')}; it ends the run before the rate has fallen."
    ),
    lambda: (
        f"Averages over last weights: {ours('average-overfit-constant')} under a constant rate, each at its own; "
        f"{ours('average-overfit-falling')} under a falling one, of the same run. Smoothing: "
        f"{ours('smoothing-accuracy')}; its test "
        f"loss, by true labels: {ours('smoothing-loss')}."
    ),
)

# %% [markdown]
# ## Together
#
# Each remedy alone is the easy half. Three remedies, on or off (dropout of 0.25 on maps and 0.5 on the dense layer;
# flips and crops; a weight decay of 0.1), make $2^3=8$ networks, each with a rate of its own, 80 epochs. If they did
# different work, what one buys would be the same in any company. The *interaction* of two is half of how much one's
# effect changes when the other is there; where it is as large as a *main* effect (the mean over all company), that mean
# describes nobody. So the figure has every remedy in every company.

# %%
show(found["together"], "effects", "accuracy")

# %%
tell(found["together"])


# %% tags=["hide-input"]
def together_told():
    """Tell what the three buy alone and together, and how large interactions are beside main effects."""
    level = levels("together")["test_accuracy"]
    alone = {one: level[one] - level["none"] for one in together.REMEDIES}
    effects = together.main_effects(found["together"]).query("kind != 'alone'")
    largest = effects.groupby("kind")["effect"].agg(lambda values: 100 * values.abs().max())
    means = ", ".join(f"{row['effect of']} {100 * row['effect']:+.1f}" for _, row in effects.iterrows())
    return (
        f"**Prediction 8.** Alone, in points: {', '.join(f'{one} {gain:+.1f}' for one, gain in alone.items())}, in sum "
        f"{sum(alone.values()):.1f}. All three: {level.iloc[-1] - level['none']:+.1f}. Main effects and interactions: "
        f"{means}. The largest interaction is {largest['interaction'] / largest['main']:.0%} of the largest main "
        "effect."
    )


answer(
    "together",
    together_told,
    lambda: (
        "Training images that are right in the end, pictures as they are: "
        + ", ".join(f"{arm} {level:.0f}%" for arm, level in levels("together")["train_accuracy"].items())
        + ". Remedies make a task harder. Where one of them has already made it as hard as so small a network can "
        "bear, the next leaves it with too little learnt, at every rate that was tried; in one of four times the width "
        f"dropout buys {100 * verdicts.at['dropout-big-nets', 'effect']:.1f} points more than in this one (above)."
    ),
    lambda: (
        f"All three over altered pictures alone: {ours('together-beats-pictures')}. Dropout buys less beside altered "
        f"pictures: {ours('dropout-beside-pictures')}. Decay buys less beside them: {ours('decay-beside-pictures')}; "
        f"beside dropout: {ours('decay-beside-dropout')}."
    ),
)

# %% [markdown]
# ## What articles get wrong
#
# Collected from above; the last column is where it is computed or measured.
#
# | said | right | where |
# |---|---|---|
# | Against overfitting, lower the coefficient of L2. | Raise it. | *L1 and L2* |
# | L1 makes weights 0. | It makes 0 the best place for them; gradient descent hovers around it. | *L1 and L2* |
# | Weight decay is L2. | For SGD without momentum. | *Weight decay* |
# | Weight decay lies between 0 and 0.0001. | 0.001 does nothing that is seen here; 0.1 does most. | *Weight decay* |
# | With dropout, weights are scaled for predictions. | In Keras in training, and then never again. | *Dropout* |
# | The larger the rate, the larger the weights should be. | Max-norm is there to keep them small. | *Dropout* |
# | Augmentation multiplies the data. | The pictures, not what there is to know. | *Altered pictures* |
# | A gap between the printed accuracies is overfitting. | They are measured in different states. | *Left alone* |

# %% [markdown]
# ## Limits
#
# - One small network, few small pictures. It overfits far more than what one trains on all of CIFAR-10; remedies have
#   more to do here, and larger strengths suit it. Caffe's quick network has 49% from 2,500 of these images without any
#   remedy (`long_training`, notebook 11): another network may buy as much as a remedy.
# - No batch normalisation, with which decay acts on the length of the steps rather than on the function.
# - Strengths of dropout, augmentation, smoothing and stopping are single published values, not tuned as L1 and L2 are.
# - Rates are chosen in shorter runs (dropout, endings, all three together); a longer one may want another.
# - Arms of 45 epochs have the rate of those of 15.
# - Intervals are over seeds on one test set.

# %% [markdown]
# ## The same in small
#
# In `smoke` two of the experiments also run here and now, on digits, with one seed and hardly any epochs. It shows
# that they run; it is too small to conclude from.

# %%
if PROFILE == "smoke":
    for name in ("penalties", "together"):
        small = run_here(name)
        say(f"**{name}**, smoke run:", plots.markdown_table(plots.readable(small.table())))

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* Fifty inputs of 1, weights of 1, dropout of a fifth: the variance of the sum?
# 2. *Paper and pencil.* A loss is $\frac12(w-a)^2$ in each of three weights, $a=0.2,\,-0.5,\,1$. L1 of 0.3: the sum of
#    the three best weights?
# 3. *Paper and pencil.* A paper trains with SGD, momentum 0.95 and a weight decay of 0.0002. Keras' `weight_decay`?
# 4. *Paper and pencil.* Smoothing of 0.2 over ten classes: by how much is the right score ahead at best?
# 5. Which of the ten digits survive a flip upside down, and a turn by 180°? Look, then ask the network of this page.
# 6. Take *two* alterations that each help. When does the second cost, and how would you know? Declare an experiment
#    with `Comparison` and one claim that is an interaction.

# %%
my_answers = {"variance": None, "sum": None, "decay": None, "ahead": None}  # put your numbers here


def judge(answers):
    """Say of each number whether what is computed agrees."""
    best = facts.soft_threshold(np.array([0.2, -0.5, 1.0]), 0.3)
    true = {"variance": facts.added_variance(np.ones(10), 0.2) * 5, "sum": best.sum()}
    true |= {"decay": 0.0002 / (1 - 0.95), "ahead": np.log(0.82 / 0.02)}
    for name, mine in answers.items():
        agrees = mine is not None and np.isclose(mine, true[name], rtol=0.01)
        print(f"{name}:", "not filled in" if mine is None else "right" if agrees else "not yet")


judge(my_answers)

# %% [markdown]
# ## Solutions
#
# **1.** $\frac{0.2}{0.8}\cdot50$. **2.** $0-0.2+0.7$. **3.** It passes the momentum by, so that $1/(1-0.95)=20$ times
# as much does the same. **4.** $q_{\text{right}}=0.8+0.02$, $q_{\text{wrong}}=0.02$.

# %%
judge({"variance": 0.25 * 50, "sum": 0.5, "decay": 20 * 0.0002, "ahead": np.log(41)})

# %% [markdown]
# **5.** In memory of the network's training: it has never seen any.

# %%
turned = {"upside down": digits.x_test[:, ::-1], "by 180°": digits.x_test[:, ::-1, ::-1]}
read = {name: alone.model.predict(x / 255, verbose=0).argmax(axis=1) == digits.y_test for name, x in turned.items()}
pd.DataFrame(read).groupby(digits.y_test).mean().T.style.format("{:.0%}")

# %% [markdown]
# **6.** When both do the same work, or together leave too little of the picture. The claim reads
# `Claim(id, text, "second", "none", beside=("both", "first"))`: what the second buys alone beyond what it buys beside
# the first. `together.py` has three of them.

# %% [markdown]
# ## Sources
#
# - Srivastava et al. 2014, *Dropout: a simple way to prevent neural networks from overfitting*; scaling in sec. 4 and
#   10, max-norm in sec. 5.1, the advice in app. A.
# - Goodfellow, Bengio and Courville 2016, *Deep Learning*, ch. 7: penalties, early stopping, augmentation, dropout.
# - Karpathy, CS231n notes, *Neural networks part 2*: L1, L2 and max-norm in a page.
# - Loshchilov and Hutter 2019, *Decoupled weight decay regularization*.
# - DeVries and Taylor 2017 (Cutout); Zhang et al. 2018 (MixUp); Yun et al. 2019 (CutMix); Cubuk et al. 2020
#   (RandAugment); Szegedy et al. 2016, sec. 7 (label smoothing).
# - Izmailov et al. 2018, *Averaging weights leads to wider optima and better generalization*.
#
# **What to read next.** 11: what overfitting looks like from outside, learning curves, and how to see what is wrong
# with a run. 04 for decay, L2 and averages on MNIST, 05 for dropout and augmentation in AlexNet.
