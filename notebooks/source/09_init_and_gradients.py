# %% [markdown]
# # 09 First weights and gradients: why do deep networks not train, and what mended it?
#
# What a network says is a product, one factor a layer; and what the loss tells its first layer comes back through the
# same factors. Twenty factors of a half are a millionth, twenty factors of two a million. So a deep network does not
# train by itself. This notebook follows signals and gradients through the layers, and tests one by one what was
# invented to keep them: scaled inputs, first weights of the right size, ReLUs, batch normalisation, shortcuts. And
# shuffling, which belongs to the same recipe.
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. Pixels from 0 to 255, or with mean 0 and deviation 1, each at its own best learning rate. By what factor do the two
#    rates differ, and how many points of accuracy are left between them?
# 2. Twenty layers of ReLUs, first weights half as large as they should be. Which share of a signal arrives behind the
#    last one?
# 3. The slope of a sigmoid is at most ¼. How many layers of sigmoids can plain training use: 2, 4, 12?
# 4. Batch normalisation takes means over a batch. Does it still help with batches of 8?
# 5. A plain network of 56 layers can do all that one of 20 can. Whose *training* error is higher?
# 6. An order of the images drawn once, or anew in every epoch: how many points of test accuracy?

# %% [markdown]
# **Two sizes.** Answers come from committed tables of MNIST and CIFAR-10 in either profile. What a cell computes on the
# spot reads small digits and takes seconds. In `smoke` two of the experiments also run here and now, at the end.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

EXPERIMENTS = ("scaling", "trainability", "batch_norm", "shuffling", "depth")

# %% tags=["hide-input"]
from scipy import stats

from cnnkit.callbacks import LayerStatistics
from cnnkit.course.backprop import facts as backprop
from cnnkit.course.baselines import facts as baselines
from cnnkit.course.gradients import facts
from cnnkit.evidence import claims
from cnnkit.lab.feeding import Batches

plt.rcParams["figure.dpi"] = 90
colours = sns.color_palette("colorblind")
found = {name: findings(name) for name in EXPERIMENTS}
verdicts = claims.as_table([row for one in found.values() for row in one.verdicts()]).set_index("id")


def ours(id):
    """Tell what a claim's runs say, and its verdict, or what is awaited."""
    row = verdicts.loc[id]
    return f"{plots.tell_effect(row)}: **{row['verdict']}**" if np.isfinite(row["effect"]) else f"*{row['reason']}*"


# %% [markdown]
# **What it costs.** Five experiments stand behind this page: what each asks, how many networks that takes as far as the
# rows decide it yet, and what those that are here cost, one after the other.

# %% tags=["hide-input"]
cost = {
    name: [one.experiment.question, len(one.configs), len(one.runs), round(one.seconds / 60, 1)]
    for name, one in found.items()
}
columns = ["question", "networks asked for", "here", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))

# %% [markdown]
# ## What goes in: scaled pixels
#
# Four ways to hand a pixel $p$, a byte from 0 to 255, to a network: *raw*, as it is; *unit*, $p/255$; *centred*, with
# the training images' mean taken off; *standard*, also divided by their deviation, which is called a z-score. None of
# them is more than a shift and a scale, so the distribution keeps its shape: skewness and kurtosis do not change.

# %%
digits = load_dataset("digits", train_size=512)
mean, deviation = digits.channel_statistics()
pixels = digits.x_train / 255
scaled = {"raw": 255 * pixels, "unit": pixels, "centred": pixels - mean, "standard": (pixels - mean) / deviation}
moments = {
    name: [x.mean(), x.std(), stats.skew(x, axis=None), stats.kurtosis(x, axis=None)] for name, x in scaled.items()
}
assert np.allclose([m[2:] for m in moments.values()], moments["raw"][2:])
fig, axes = plt.subplots(1, 4, figsize=(10, 2.2), sharey=True, layout="constrained")
for ax, (name, x) in zip(axes, scaled.items(), strict=True):
    ax.hist(x.ravel(), bins=32, color=colours[0], weights=np.full(x.size, 100 / x.size))
    ax.set(title=name, xlabel="Pixel")
axes[0].set_ylabel("Share (%)")
sns.despine(fig)
pd.DataFrame(moments, index=["mean", "deviation", "skewness", "kurtosis"]).T.round(3)

# %% [markdown]
# Four times the same skyline over another axis. That a z-score makes data "normally distributed" is one of [the
# sentences that articles get wrong](../results/corrections.md):

# %% tags=["hide-input"]
tell_facts(one for one in baselines.FACTS if one.id == "z-score-is-normal")

# %% [markdown]
# Why should scale matter, then? A network of ReLUs without biases is *homogeneous*: inputs $s$ times as large make its
# scores $f$ and their slopes $s$ times as large, $f(sx)=s\,f(x)$. A step of gradient descent changes the scores by
# about
#
# $$\Delta f=-\eta\,\Big\|\frac{\partial f}{\partial w}\Big\|^2\frac{\partial L}{\partial f}\;\propto\;\eta\,s^2 ,$$
#
# so for inputs $s$ times as large the same change takes a rate $s^2$ times smaller. If that were all, the rate could
# make up for any scale. But scores that are $s$ times too large at first also have $s$ times as far to go, which would
# make it $s$, not $s^2$; and a *mean* that is not 0 gives all the weights of a unit a common push, the steepest
# direction of the bowl of notebook 07. We measure the slopes, then tune each scaling.

# %%
keras.utils.set_random_seed(1)
lenet = create_model("lenet5_modern", digits.input_shape, 10)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
lenet.compile(loss=loss)
rows = {}
for name, x in scaled.items():
    x = x[:128].astype("float32")
    seen = LayerStatistics(x, digits.y_train[:128]).measure(lenet)
    kernels = seen[seen["tensor"] == "kernel"]
    rows[name] = [np.sqrt((x**2).mean()), lenet.evaluate(x, digits.y_train[:128], verbose=0)]
    rows[name] += [kernels["gradient_norm"].iloc[0], kernels["gradient_norm"].iloc[-1]]
columns = ["root mean square of pixels", "first loss (nats)", "gradient, first layer", "gradient, last layer"]
pd.DataFrame(rows, index=columns).T.style.format("{:.3g}")

# %% [markdown]
# | | |
# |---|---|
# | **varied** | the scaling; the rate: each scaling's own, or for raw and unit that of standardised pictures |
# | **tuned, for each** | the learning rate, six of them, a factor of 2 apart |
# | **held fixed** | LeNet-5 on 10,000 images of MNIST, Caffe's quick network on 2,500 of CIFAR-10, batches of 64 |
# | **repeated** | over fresh seeds |

# %%
show(found["scaling"], "accuracy_mnist", "accuracy_cifar10")

# %%
tell(found["scaling"])

# %% tags=["hide-input"]
for part, plan in found["scaling"].plans.items():
    if not plan.missing:
        rate = {arm.removesuffix(", own"): choice["learning_rate"] for arm, choice in plan.choices.items()}
        fresh = plan.of_role("fresh")
        mean_of = 100 * fresh[~fresh["collapsed"]].groupby("arm")["test_accuracy"].mean()
        say(
            f"**Prediction 1**, {part}: chosen rates "
            f"{', '.join(f'{name} {value:.2g}' for name, value in rate.items())}. From raw to standardised that is a "
            f"factor of {rate['standard'] / rate['raw']:,.0f}. Each at its own rate, standardised pictures are "
            f"{mean_of['standard, own'] - mean_of['raw, own']:+.1f} points ahead of raw ones, and "
            f"{mean_of['standard, own'] - mean_of['unit, own']:+.1f} of those in [0, 1]."
        )

# %% [markdown]
# ## The first weights
#
# **Zero is no start.** If all weights are 0, so is every signal and every gradient that would have to pass one; only
# the last biases learn, how common the classes are. And weights that are merely *equal* make units that get equal
# gradients and stay equal for ever. Chance has to tell them apart:

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if one.id in ("zeros-learn", "alike-stay-alike"))

# %% [markdown]
# **How large, then?** Follow one layer. A unit adds up $n$ inputs, $z=\sum_i w_i x_i$, with random weights of mean 0
# that know nothing of the inputs. Then variances add, and a ReLU, which keeps the positive half of something
# symmetric, keeps half of the mean square:
#
# $$\operatorname{Var} z=n\operatorname{Var}(w)\;\mathrm{E}[x^2],\qquad
# \mathrm{E}[\mathrm{ReLU}(z)^2]=\tfrac12\operatorname{Var} z .$$
#
# A layer multiplies the mean square by $\frac12 n\operatorname{Var}(w)$, and it stays what it was at
#
# $$\operatorname{Var}(w)=\frac{2}{n_{\text{in}}}\quad\text{(He et al. 2015)}.$$
#
# On the way back a gradient $\delta$ is added up over the $n_{\text{out}}$ units that read it, and passes the slope of
# the ReLU, which is 1 in half of the cases: $\mathrm{E}[\delta_{l}^2]=\frac12 n_{\text{out}}\operatorname{Var}(w)\,
# \mathrm{E}[\delta_{l+1}^2]$. So it wants $2/n_{\text{out}}$, the same where layers are equally wide. Near 0 a tanh has
# the slope 1 and the ½ drops out: Glorot and Bengio (2010) take
# $\operatorname{Var}(w)=2/(n_{\text{in}}+n_{\text{out}})$, between the two wishes. Is it true? A wide layer, a thousand
# units, a few starts:

# %%
rng, n = np.random.default_rng(1), 1000
x = rng.normal(size=(200, n))
activations = {"ReLU": lambda z: np.maximum(0, z), "tanh": np.tanh, "linear": lambda z: z}
starts = {"Glorot, 1/n": 1, "He, 2/n": 2, "half of He's deviation": 0.5, "twice He's deviation": 8}
rows = {}
for name, variance in starts.items():
    z = x @ rng.normal(0, np.sqrt(variance / n), (n, n))
    rows[name] = {kind: (bend(z) ** 2).mean() / (x**2).mean() for kind, bend in activations.items()}
    assert np.allclose([rows[name]["ReLU"], rows[name]["linear"]], [variance / 2, variance], rtol=0.03)
pd.DataFrame(rows).T.rename_axis("Var(w)").rename(columns="mean square times, {}".format).round(3)

# %% [markdown]
# ReLU and no activation are what the formulas say; a tanh bends large signals and loses a little more. These are
# factors *a layer*. Now fifty layers of 3×3 convolutions with 16 filters, our `conv_stack`, whose `gain` is the size of
# the weights in units of He's: 0.71 is Glorot's. The first batch of digits, before any step:

# %%
few = (scaled["standard"][:32].astype("float32"), digits.y_train[:32])
watch = LayerStatistics(*few)


def look(depth=50, **model_args):
    """Return by layer, of an untrained stack on 32 digits: `size`, the signal's root mean square, and `gradient`."""
    keras.utils.set_random_seed(1)
    net = create_model("conv_stack", digits.input_shape, 10, depth=depth, **model_args)
    net.compile(loss=loss)
    table = watch.measure(net)
    signal = table[(table["tensor"] == "output") & table["layer"].str.startswith("activation")]
    kernel = table[(table["tensor"] == "kernel") & table["layer"].str.startswith("conv")]
    size = np.sqrt(signal["mean"] ** 2 + signal["deviation"] ** 2).to_numpy()
    gradient = kernel["gradient_norm"].to_numpy()
    return pd.DataFrame({"layer": np.arange(1, depth + 1), "size": size, "gradient": gradient})


def draw(looks, title):
    """Draw the sizes of signals and gradients by layer, a line a start."""
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    for (name, table), colour, style in zip(looks.items(), colours, 2 * ("-", "--", "-.", ":"), strict=False):
        for ax, column in zip(axes, ("size", "gradient"), strict=True):
            ax.semilogy(table["layer"], table[column].where(table[column] > 0), style, color=colour, label=name)
    axes[0].set(xlabel="Layer", ylabel="Signal, root mean square")
    axes[1].set(xlabel="Layer", ylabel="Gradient of its weights, norm")
    axes[1].legend(frameon=False, title=title, loc="center left", bbox_to_anchor=(1, 0.5))
    sns.despine(fig)
    plt.show()


gains = {gain: look(gain=gain) for gain in (0.5, 0.71, 1.0, 2.0)}
draw(gains, "Gain")

# %% tags=["hide-input"]
ends = {gain: table["size"].iloc[-1] / table["size"].iloc[0] for gain, table in gains.items()}
at_20 = gains[0.5]["size"].iloc[19] / gains[0.5]["size"].iloc[0]
say(
    f"**Prediction 2.** Behind layer 20, weights half of He's leave {at_20:.1g} of the signal behind layer 1; behind "
    f"layer 50, {ends[0.5]:.1g}. Twice He's multiply it by {ends[2.0]:.1g}. He's own leave {ends[1.0]:.2f}, less than "
    f"1: at the rim of a padded map a window reads zeros, which the formula does not know (exercise 5). The gradients "
    f"of layers 1 and 50 are {gains[0.5]['gradient'].iloc[0]:.0e} and {gains[0.5]['gradient'].iloc[-1]:.0e} at half of "
    f"He's size, {gains[2.0]['gradient'].iloc[0]:.0e} and {gains[2.0]['gradient'].iloc[-1]:.0e} at twice."
)

# %% [markdown]
# In the right panel each line is *flat*: in a chain of equal layers every weight's gradient
# is the same product, what came in from the left times what comes back from the right, without its own factor. It is
# not that the first layers get less than the last ones; with these starts *all* get too little or too much.
#
# What do such gradients do to steps? That vanishing gradients make weights *jump*, and exploding ones leave them
# *without direction*, is found in articles, and is the wrong way round. One step of plain descent at rate 0.1 with
# twenty layers: how long is it, in lengths of the layer's weights, and what does it do to the loss of the same batch?

# %%
rows = {}
for gain in (0.5, 1.0, 1.41, 2.0):
    keras.utils.set_random_seed(1)
    net = create_model("conv_stack", digits.input_shape, 10, depth=20, gain=gain)
    net.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)  # one step needs no tracing
    table = watch.measure(net)
    step = 0.1 * table.loc[table["tensor"] == "kernel", "ratio"]
    rows[gain] = [step.iloc[:-1].max(), float(loss(few[1], net(few[0])))]
    net.train_on_batch(*few)
    rows[gain].append(float(loss(few[1], net(few[0]))))
columns = ["longest step of a convolution / its weights", "loss before", "loss after"]
table = pd.DataFrame(rows, index=columns).T.rename_axis("gain")
table.style.format("{:.4g}", na_rep="no number").format_index("{:g}")

# %% [markdown]
# Small weights: steps of nothing in the convolutions (what little the loss falls, the last biases did). Large ones: a
# step many times as long as the weights, off into anywhere. Facts about both, computed from a dense network:

# %% tags=["hide-input"]
tell_facts(
    [one for one in backprop.FACTS if one.id.endswith("gradients-jump")]
    + [one for one in facts.FACTS if one.id.endswith("fits-relu")]
)

# %% [markdown]
# ### Can it be trained?
#
# Orders of magnitude are no verdict: perhaps a longer or a shorter step makes up for them. So each start gets a
# learning rate of its own. Stacks of 4, 10 and 20 layers, weights from half to twice He's, 2,500 digits of MNIST at
# half their resolution, 400 updates: short and easy, so that the question is whether a network *begins* to learn. And
# at He's size, in 20 layers: does the shape of the distribution matter, uniform, or orthogonal (filters at right angles
# to each other, as Saxe et al. 2014 advise)?
#
# What to expect? Too small and too large need not be two sides of one coin. A large signal can be met by short steps.
# For a vanished one no rate will do: one that moves the first layers at all is far too long once they have moved, since
# every layer that grows makes the gradients of all others grow. So look whether the map is lopsided, and in test
# accuracy as well: a network that trains need not generalise.
#
# | | |
# |---|---|
# | **varied** | the depth; the size of the weights, in units of He's; their distribution |
# | **tuned, for each** | the peak of a one-cycle rate, in runs of half as many epochs, by training accuracy |
# | **not tuned** | starts at chance at every rate of a first scan: they get four times the rate of He's start |
# | **held fixed** | 16 filters, ReLUs, 2,500 images, 8 epochs of 50 batches, momentum 0.9 |
# | **repeated** | over fresh seeds; the map has their means, and from lowest to highest |

# %%
show(found["trainability"], "map_starts", "accuracy_starts")

# %% tags=["hide-input"]
told = {
    "start-too-small": "20 layers, half of He's variance: how many more runs learn nothing than from He's start, as "
    "a share",
    "start-too-small-10": "10 layers, half of He's variance",
    "start-too-large": "10 layers, twice He's variance",
    "start-too-large-test": "the same, in test accuracy",
    "start-orthogonal": "20 layers: orthogonal ahead of normal weights by, in training accuracy",
    "start-uniform": "20 layers: normal ahead of uniform weights by",
}
if found["trainability"].complete:
    say(*(f"- {words}: {ours(id)}" for id, words in told.items()))
else:
    say(f"*trainability: {found['trainability'].gap()}.*")

# %% [markdown]
# ## Units that saturate, and units that do not
#
# With an activation $\varphi$ the way back multiplies by $\varphi'(z)$ at every layer. The sigmoid's slope is at most
# ¼, so $L$ layers let at most $\big(\tfrac14\big)^L$ through; weights may make up for it, but only if they are large,
# and then the sums are large, and there the slope is nearly 0. Slopes of tanh are 1 at best, those of a ReLU exactly 1,
# or exactly 0: its gradient vanishes, too, wherever the sum is negative (an ELU keeps a little there). Fifty layers,
# each from the start that it was given: Glorot's for sigmoid and tanh, He's for ReLU and ELU.

# %%
kinds = {"sigmoid": 0.71, "tanh": 0.71, "relu": 1.0, "elu": 1.0}
looks = {name: look(activation=name, gain=gain) for name, gain in kinds.items()}
draw(looks, "Activation")

# %% tags=["hide-input"]
share = {name: (table["gradient"].iloc[0] / table["gradient"].iloc[-1]) for name, table in looks.items()}
say(
    "The gradient of the first layer's weights over that of the last one's: "
    + ", ".join(f"{name} {value:.1g}" if value else f"{name} 0" for name, value in share.items())
    + ". The sigmoid's signal does *not* vanish: it goes to a constant near ½ that no longer depends on the picture. "
    "It is the way back that is shut."
)
tell_facts(
    [one for one in facts.FACTS if one.id == "sigmoid-bound"]
    + [one for one in backprop.FACTS if one.id in ("sigmoid-slope", "relu-vanishes")]
)

# %% [markdown]
# And by depth, and from other starts? The norm of the gradient that the *first* layer's weights get:

# %%
sizes = {"Glorot's": 0.71, "He's": 1.0, "four times Glorot's": 2.83}
rows = {}
for name in kinds:
    for start, gain in sizes.items():
        by_depth = {depth: look(depth, activation=name, gain=gain) for depth in (2, 20)}
        rows[name, start] = {depth: table["gradient"].iloc[0] for depth, table in by_depth.items()}
table = pd.DataFrame(rows).T.rename_axis(["activation", "start"]).rename(columns="{} layers".format)
shades = {"cmap": "RdBu", "axis": None, "vmin": -6, "vmax": 6, "gmap": np.log10(table)}
table.style.format("{:.0e}").background_gradient(**shades)

# %% [markdown]
# Red is vanishing, blue exploding. A start that fits one activation does not fit another; for the sigmoid even four
# times Glorot's weights, which cancel the ¼, help less than they should, for the sums are no longer small. Does the
# picture stay so once it learns? Ten layers, each activation with its own start, before and after six epochs on 512
# digits:

# %%
rows = {}
for name, gain in kinds.items():
    config = RunConfig(
        dataset="digits",
        train_size=512,
        model="conv_stack",
        model_args={"depth": 10, "activation": name, "gain": gain},
        optimizer_args={"momentum": 0.9},
        learning_rate=0.01,
        schedule="one_cycle",
        epochs=6,
    )
    run = train(config)
    run.network.compile(loss=loss)
    first = watch.measure(run.network).query("tensor == 'kernel'")["gradient_norm"].iloc[0]
    before = look(10, activation=name, gain=gain)["gradient"].iloc[0]
    rows[name] = [run.row["train_accuracy"], run.row["train_loss"], before, first]
columns = ["training accuracy", "training loss", "first layer's gradient, before", "after"]
forms = dict(zip(columns, ("{:.1%}", "{:.2f}", "{:.1e}", "{:.1e}"), strict=True))
trained = pd.DataFrame(rows, index=columns).T
trained.style.format(forms)

# %% tags=["hide-input"]
learnt = trained.index[trained["training accuracy"] > 0.5]
before, now = (trained.loc["sigmoid", column] for column in columns[2:])
say(
    f"{len(learnt)} of 4 learn ({', '.join(learnt)}), and the gradients of their first layers stay of the order that "
    f"they had. That of the sigmoids is {before:.0e} before and {now:.0e} after: their first layer has not moved."
)

# %% [markdown]
# The same stacks, the same 400 updates, each activation from its own start and with a rate of its own:
#
# | | |
# |---|---|
# | **varied** | sigmoid, tanh, ReLU, ELU; 2, 4 or 12 layers |
# | **tuned, for each** | the peak of a one-cycle rate |
# | **not tuned** | sigmoids of 4 and 12 layers, at chance at every rate of a scan: four times the rate of 2 layers |

# %%
show(found["trainability"], "map_activations", "accuracy_activations")

# %%
tell(found["trainability"])

# %% tags=["hide-input"]
if "activations" in found["trainability"].plans and not found["trainability"].plans["activations"].missing:
    fresh = found["trainability"].plans["activations"].of_role("fresh")
    level = fresh.groupby(["activation", "layers"])["train_accuracy"].mean().unstack()
    level.columns = level.columns.astype(int)
    told = ", ".join(f"{depth} layers {level.at['sigmoid', depth]:.0%}" for depth in sorted(level.columns))
    deepest = level.columns.max()
    say(
        f"**Prediction 3.** Training images that sigmoids have right: {told}; ReLUs with {deepest} layers "
        f"{level.at['relu', deepest]:.0%}, tanh {level.at['tanh', deepest]:.0%}, ELU {level.at['elu', deepest]:.0%}."
    )
else:
    say(f"*trainability: {found['trainability'].gap()}.*")

# %% [markdown]
# ## Batch normalisation
#
# If sizes go astray in every layer, put them right in every layer: take off each channel's mean over the batch, divide
# by its deviation, then let the network choose a new scale $\gamma$ and shift $\beta$ (Ioffe and Szegedy 2015),
#
# $$y=\gamma\,\frac{z-\mu_{\text{batch}}}{\sqrt{\sigma^2_{\text{batch}}+\varepsilon}}+\beta .$$
#
# The scale of the weights before it then no longer matters for what comes out. For evaluation, where a picture may come
# alone, running means of $\mu$ and $\sigma^2$ stand in. The stack of twenty layers again, from starts a factor of 16
# apart, in training mode:

# %%
normed = {}
for gain in (0.25, 1.0, 4.0):
    keras.utils.set_random_seed(1)
    net = create_model("conv_stack", digits.input_shape, 10, depth=20, gain=gain, batch_norm=True)
    outputs = [layer.output for layer in net.layers if layer.name.startswith("activation")]
    signals = keras.Model(net.input, outputs)(few[0], training=True)
    normed[gain] = [float(keras.ops.sqrt(keras.ops.mean(keras.ops.square(signal)))) for signal in signals]
assert np.allclose(normed[0.25], normed[4.0], rtol=0.05)
pd.DataFrame(normed, index=range(1, 21)).iloc[[0, 4, 9, 19]].rename_axis("behind layer").add_prefix("gain ").round(3)

# %% [markdown]
# **Trap 1: the running means of a short run.** Keras' layer keeps $0.99$ of them at each update. That forgets a
# starting value of 0 or 1 as $0.99^t$:

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if one.id == "batch-norm-forgets")

# %% [markdown]
# A run with fewer updates is trained by its batches' statistics and evaluated by its beginning's. Four layers, 512
# digits in batches of 32, that is 16 updates an epoch; two momenta, all else equal, so that in training mode the two
# are *the same network*:

# %%
runs = {}
for momentum in (0.99, 0.9):
    config = RunConfig(
        dataset="digits",
        train_size=512,
        model="conv_stack",
        model_args={"depth": 4, "batch_norm": True, "norm_momentum": momentum},
        optimizer_args={"momentum": 0.9},
        learning_rate=0.02,
        epochs=7,
        log_training=True,
    )
    runs[momentum] = train(config).history
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True, layout="constrained")
lines = {"train_accuracy": "training mode", "train_eval_accuracy": "the same, evaluated", "val_accuracy": "validation"}
for ax, (momentum, history) in zip(axes, runs.items(), strict=True):
    for (column, name), colour, style in zip(lines.items(), colours, ("--", "-", ":"), strict=False):
        ax.plot(history["epoch"], 100 * history[column], style, color=colour, label=name)
    ax.set(title=f"momentum {momentum}", xlabel="Epoch (16 updates)", ylim=(0, 103))
axes[0].set_ylabel("Accuracy (%)")
axes[1].legend(frameon=False, loc="lower right")
sns.despine(fig)

# %% tags=["hide-input"]
slow, fast = runs[0.99].set_index("epoch"), runs[0.9].set_index("epoch")
assert np.allclose(slow["train_accuracy"], fast["train_accuracy"], atol=0.02)
at = int((slow["train_accuracy"] - slow["train_eval_accuracy"]).idxmax())
say(
    f"After epoch {at}, with {16 * at} updates, the network of momentum 0.99 has "
    f"{slow.at[at, 'train_accuracy']:.0%} of its training images right in training mode, and "
    f"{slow.at[at, 'train_eval_accuracy']:.0%} of *the same images* when they are evaluated; with momentum 0.9 it is "
    f"{fast.at[at, 'train_eval_accuracy']:.0%}. It looks like the worst of overfitting, and is none: nothing but the "
    "running means is wrong. Networks of this course forget with 0.9."
)

# %% [markdown]
# **Trap 2: small batches.** Means and deviations over few values are noisy. How noisy are a channel's statistics from
# batch to batch, in units of its deviation over all images? The first layer of the stack, on digits:

# %%
keras.utils.set_random_seed(1)
net = create_model("conv_stack", digits.input_shape, 10, depth=1, filters=16)
first = keras.Model(net.input, net.get_layer("conv1").output)
maps = keras.ops.convert_to_numpy(first(scaled["standard"].astype("float32")))
rows, order = {}, np.random.default_rng(1)
for size in (2, 4, 8, 32, 128):
    batches = np.stack([maps[order.choice(len(maps), size)] for _ in range(100)])
    means, spreads = batches.mean(axis=(1, 2, 3)), batches.std(axis=(1, 2, 3))
    rows[size] = [(noisy.std(axis=0) / maps.std(axis=(0, 1, 2))).mean() for noisy in (means, spreads)]
columns = ["error of the mean / deviation", "error of the deviation / deviation"]
pd.DataFrame(rows, index=columns).T.rename_axis("batch").round(3)

# %% tags=["hide-input"]
noise = {size: errors[0] for size, errors in rows.items()}
say(
    f"With batches of 2 a channel's mean is off by {noise[2]:.1%} of its deviation, with batches of 128 by "
    f"{noise[128]:.1%}: {noise[2] / noise[128]:.0f} times less for {128 // 2} times as many pictures, as roots go. "
    f"That it is no more with 2 is due to the {maps.shape[1] * maps.shape[2]} places of each map; a dense layer has "
    "one number a picture."
)

# %% [markdown]
# In training a picture's answer hence depends on its company, which is a noise that may do harm, or regularise. It is
# tried with batches of 8, 32 and 128:
#
# | | |
# |---|---|
# | **varied** | batch normalisation after each of three convolutions, or none; the batch size |
# | **tuned, for each** | the learning rate |
# | **held fixed** | Caffe's quick network, 2,500 images of CIFAR-10 at half their resolution, momentum 0.9 |
# | **repeated** | over fresh seeds |

# %%
show(found["batch_norm"], "accuracy_level", "curves_speed")

# %%
tell(found["batch_norm"])

# %% tags=["hide-input"]
if found["batch_norm"].complete:
    say(
        "**Prediction 4.** What batch normalisation adds, in points of test accuracy: "
        + "; ".join(f"batches of {size}: {ours(f'batch-norm-{size}')}" for size in (8, 32, 128))
        + f". Steps until half of the training images are right, without it over with it: {ours('batch-norm-sooner')}.",
        "Ioffe and Szegedy's 14 times fewer steps were measured on ImageNet, with a far deeper network.",
    )
else:
    say(f"*batch_norm: {found['batch_norm'].gap()}.*")

# %% [markdown]
# ## The order of the images
#
# A batch should be a small copy of the whole. Which classes do the first ten batches of 50 digits hold, in two epochs,
# under the four orders that a run may have?

# %%
one_hot = np.eye(10)[digits.y_train[:500]]
fig, axes = plt.subplots(2, 4, figsize=(9, 4), sharex=True, sharey=True, layout="constrained")
for place, kind in enumerate(("each", "once", "never", "sorted")):
    batches = Batches(one_hot, one_hot, 50, seed=1, shuffle=kind)
    for epoch in range(2):
        counts = np.stack([batches[step][1].sum(axis=0) for step in range(len(batches))])
        axes[epoch, place].imshow(counts, cmap="Blues", vmin=0, vmax=25, aspect="auto")
        axes[epoch, place].set_xticks(range(0, 10, 3))
        batches.on_epoch_end()
    axes[0, place].set_title(kind)
for epoch in range(2):
    axes[epoch, 0].set_ylabel(f"Epoch {epoch + 1}: batch")
fig.supxlabel("Class (darker: more of its images)")
plt.show()

# %% [markdown]
# *Sorted* is what a folder of pictures gives, class by class, if nobody shuffles: every batch pulls the network to one
# class, and the next batches pull it away again. *Never* and *once* are the same to the eye: the data come in a random
# order already. What could *each* have over them? New batches every epoch: an image meets other company.

# %%
show(found["shuffling"], "accuracy_orders", "accuracy_sorted")

# %%
tell(found["shuffling"])

# %% tags=["hide-input"]
if found["shuffling"].complete:
    say(
        f"**Prediction 6.** A new order in every epoch over one order: without batch normalisation "
        f"{ours('shuffle-each-plain')}; with it {ours('shuffle-each-batch-norm')}. One random order over one sorted by "
        f"class, on MNIST: {ours('sorted-harms')}."
    )
else:
    say(f"*shuffling: {found['shuffling'].gap()}.*")

# %% [markdown]
# ## Still deeper: shortcuts
#
# With good first weights and batch normalisation, twenty and more layers train. And yet He et al. (2015) found that
# from some depth on *more layers end at a higher training error*. That is no overfitting, which would lower it; and the
# deep network could always do what the shallow one does, if its further layers did nothing. So it is a matter of
# finding, not of having: they called it degradation. Their remedy: blocks that *add* to their input, $x+F(x)$, for
# which doing nothing is $F=0$.
#
# Is it vanishing gradients after all? They thought not, as batch normalisation keeps them alive. We look: 56 layers,
# plain and residual, before the first step, all convolutions in order.

# %%
keras.utils.set_random_seed(1)
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ratios = {}
for (name, label), colour in zip({"plain56": "plain", "resnet56": "residual"}.items(), colours, strict=False):
    net = create_model(name, digits.input_shape, 10, width=8)
    net.compile(loss=loss)
    table = watch.measure(net)
    norms = table.loc[(table["tensor"] == "kernel") & (table["layer"] != "logits"), "gradient_norm"].to_numpy()
    ratios[label] = norms[0] / norms[-1]
    ax.semilogy(np.arange(1, len(norms) + 1), norms, ".-", color=colour, linewidth=0.8, label=label)
ax.set(xlabel="Convolution", ylabel="Gradient of its weights, norm")
ax.legend(frameon=False)
sns.despine(fig)

# %% tags=["hide-input"]
say(
    f"They do not vanish. In the plain network they *grow* from the last convolution to the first, "
    f"{ratios['plain']:,.0f} times in all, {ratios['plain'] ** (1 / 54) - 1:.0%} a layer: Yang et al. (2019) derive "
    "that batch normalisation does this to every plain stack, whatever its first weights. A rate that suits the last "
    f"layers is far too high for the first ones. In the residual network it is {ratios['residual']:.0f} times."
)

# %% [markdown]
# | | |
# |---|---|
# | **varied** | 8, 20 or 56 layers; with shortcuts or without (they cost no parameters) |
# | **tuned, for each** | the peak of a one-cycle rate, in runs of 12 epochs, by training accuracy |
# | **held fixed** | 2,500 images of CIFAR-10 at half their resolution, half the paper's width, 30 epochs |
# | **read** | mostly the **training** error, evaluated on the finished network |

# %%
show(found["depth"], "depth", "curves")

# %%
tell(found["depth"])

# %% tags=["hide-input"]
if found["depth"].complete:
    fresh = found["depth"].plans[""].of_role("fresh").query("not collapsed")
    error = 100 * (1 - fresh.groupby("arm")["train_accuracy"].mean())
    told = [f"{arm.replace(',', ' of')} layers {value:.1f}%" for arm, value in error.items()]
    say(f"**Prediction 5.** Training errors: {'; '.join(told)}. From 20 to 56 plain layers: {ours('degradation')}.")
else:
    say(f"*depth: {found['depth'].gap()}.*")

# %% [markdown]
# ## Limits
#
# - Small pictures, few of them, short runs. "Does not train" means: not in these epochs, at none of the rates of the
#   grid. A plateau may end later.
# - Statistics of signals and gradients are those of one start and 32 digits: their orders of magnitude are what is
#   meant.
# - The stack has equal layers and no pooling. Real networks are less pure, and fare better or worse.
# - Plain stochastic gradient descent with momentum. Optimizers that divide a gradient by its size (notebook 08) hide
#   a part of what is shown here: not the lost signals, but the short steps.
# - Three depths, one width: where degradation begins depends on width, data and epochs.
# - Not tried: whitened pixels (ZCA), class-sorted batches with batch normalisation.

# %% [markdown]
# ## The same in small
#
# In `smoke` two of the experiments also run here and now, on digits, with one seed and hardly any epochs. It shows
# that they run; it is too small to conclude from.

# %%
if PROFILE == "smoke":
    for name in ("trainability", "batch_norm"):
        small = run_here(name)
        say(f"**{name}**, smoke run:", plots.markdown_table(plots.readable(small.table())))

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* A leaky ReLU has the slope ½ below 0. A unit has 100 inputs. Which variance of the weights
#    keeps the mean square? (The cell below takes your answer.)
# 2. *Paper and pencil.* After how many updates has batch normalisation of momentum 0.9 forgotten its start to a
#    twentieth? (The cell takes this one, too.)
# 3. At which depth do weights of 0.7 times He's leave less than a thousandth of a signal? Compute, then measure.
# 4. Can one train sigmoids in ten layers after all? Try other gains in `look` until the first and the last gradient
#    agree within a factor of ten. What happens to the signal?
# 5. Why does He's start lose a little at every layer of our stack? Measure it for pictures of 8, 16, 32 and 64 pixels a
#    side, and find the formula.

# %%
my_answers = {"variance": None, "updates": None}  # exercises 1 and 2: put your numbers here


def judge(answers):
    """Say of each number whether what is measured agrees."""
    z = np.random.default_rng(1).normal(size=1_000_000)
    kept = (np.where(z > 0, z, z / 2) ** 2).mean()  # of the variance
    true = {"variance": 1 / (100 * kept), "updates": facts.updates_to_forget(0.9)}
    for name, mine in answers.items():
        agrees = mine is not None and np.isclose(mine, true[name], rtol=0.01)
        print(f"{name}:", "not filled in" if mine is None else "right" if agrees else "not yet")


judge(my_answers)

# %% [markdown]
# ## Solutions
#
# **1.** It keeps $\frac12(1+\frac14)$ of the variance, so $\operatorname{Var}(w)=\frac{2}{(1+1/4)\cdot 100}$. **2.**
# The first $t$ with $0.9^t<0.05$.

# %%
judge({"variance": 2 / (1.25 * 100), "updates": np.ceil(np.log(0.05) / np.log(0.9))})

# %% [markdown]
# **3.** $0.7^L<0.001$, so $L>\ln 0.001/\ln 0.7$; the borders make it a little sooner in our stack.

# %%
signal = look(30, gain=0.7)["size"]
print(f"computed {np.log(0.001) / np.log(0.7):.1f} layers, measured {(signal < 0.001 * signal[0]).argmax()}")

# %% [markdown]
# **4.** The slope of ¼ at 0 asks for weights four times as large as those of a tanh, 2.83 in units of He's; where sums
# are not 0 slopes are lower, so it takes more.

# %%
rows = {}
for gain in (0.71, 2.83, 5.0, 8.0, 12.0):
    table = look(10, activation="sigmoid", gain=gain)
    rows[gain] = [table["gradient"].iloc[0] / table["gradient"].iloc[-1], table["size"].iloc[-1]]
pd.DataFrame(rows, index=["first / last gradient", "signal behind the last layer"]).T.rename_axis("gain").round(4)

# %% [markdown]
# The way back opens. What went forward keeps its size, too, but size is not all: it is mostly the ½ that every sigmoid
# adds. Whether such a stack trains, `train` with these `model_args` tells.
#
# **5.** A window at the rim of a padded map reads zeros in place of pixels. Along one side of $n$ places, a mean square
# is averaged over three neighbours at every layer, and what would come from beyond the rim is lost. The slowest of such
# patterns to die is half a wave of a sine, which each layer multiplies by $\frac13\big(1+2\cos\frac{\pi}{n+1}\big)$;
# two sides make it the square, and a root mean square is the root of that: once the factor itself.

# %%
rows = {}
for side in (8, 16, 32, 64):
    keras.utils.set_random_seed(1)
    net = create_model("conv_stack", (side, side, 1), 10, depth=30, filters=64)
    outputs = [layer.output for layer in net.layers if layer.name.startswith("activation")]
    signals = keras.Model(net.input, outputs)(np.random.default_rng(1).normal(size=(8, side, side, 1)))
    sizes = np.array([float(keras.ops.sqrt(keras.ops.mean(keras.ops.square(signal)))) for signal in signals])
    n = side // 2  # the first convolution has stride 2
    rows[n] = [(sizes[-1] / sizes[9]) ** (1 / 20), (1 + 2 * np.cos(np.pi / (n + 1))) / 3]
pd.DataFrame(rows, index=["measured, a layer", "formula"]).T.rename_axis("places a side").round(4)

# %% tags=["hide-input"]
rim = (1 + 2 * np.cos(np.pi / 15)) / 3  # 14 places a side, as for the digits of this page
say(
    f"So the rim costs small maps and deep stacks: with 14 places a side it is {1 - rim:.1%} a layer, and "
    f"{1 - rim**50:.0%} in fifty."
)
