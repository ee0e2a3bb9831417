# %% [markdown]
# # 04 LeNet: what did LeNet-5 do?
#
# In 1998 LeCun, Bottou, Bengio and Haffner described a network that read the amounts on bank cheques. Almost every
# part of a modern image network is already in it: small filters that slide over the image, maps that shrink while
# their number grows, dense layers at the end, all trained by backpropagation. It then waited: AlexNet, which made
# such networks famous, came 14 years later, in 2012.
#
# What is taught under the name LeNet-5 today is a different network. This notebook builds **both**, counts every
# weight of each, trains them to see whether they reach the **0.95% test error** that the paper reports on MNIST,
# looks inside, and tries three remedies that textbooks recommend on the same data: a falling learning rate, L2 and
# averaged weights.
#
# **Predict first.** Write down your answers; the cells below give theirs.
#
# 1. The network has 60,000 weights. To read one digit, how many times is a weight used, all uses added up?
# 2. Which network has the lower test error, the one of 1998 or the one of today, and by how much?
# 3. A training is interrupted and goes on from a checkpoint. Does it end with exactly the same weights?
# 4. Instead of the last weights you use the mean of the last hundred. Does the network get better, worse or neither?

# %% [markdown]
# **Two sizes.** What a cell trains on the spot reads 1,797 small digits that come with scikit-learn in `smoke` (no
# network, about a minute), MNIST in `full`. Answers come from committed tables of MNIST in either.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

DEMONSTRATION = {
    "smoke": {"dataset": "digits", "train_size": None, "batch_size": 32, "epochs": 6, "learning_rate": 0.1},
    "full": {"dataset": "mnist", "train_size": 20_000, "batch_size": 64, "epochs": 6, "learning_rate": 0.2},
}[PROFILE]

# %% tags=["hide-input"]
import tempfile
from pathlib import Path

from scipy import stats
from scipy.special import logsumexp, softmax

from cnnkit.course.lenet import facts, lenet, remedies
from cnnkit.lab import recipes, store
from cnnkit.models.lenet import scaled_tanh

plt.rcParams["figure.dpi"] = 130
blue, orange = sns.color_palette("colorblind", 2)
rng = np.random.default_rng(1)

# %% [markdown]
# **What it costs.** Three experiments stand behind this page: what each asks, how many networks that takes as far as
# the rows decide it yet, and what those that are here cost, one after the other.

# %% tags=["hide-input"]
found = {name: findings(name) for name in ("lenet", "moving_average", "remedies")}
cost = {
    name: [one.experiment.question, len(one.configs), len(one.runs), round(one.seconds / 60, 1)]
    for name, one in found.items()
}
columns = ["question", "networks asked for", "here", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))

# %% [markdown]
# ## The network of 1998
#
# From the image at the left to the ten scores at the right. The names are the paper's: C for
# convolution, S for sub-sampling, F for fully connected, and a number that counts the layers.

# %%
old = create_model("lenet5", (32, 32, 1), 10)
table = anatomy.layer_table(old).set_index("layer")
ax = anatomy.draw_network(table.reset_index())

# %% [markdown]
# Why does the image have 32 pixels a side, when the digits of MNIST fit into 20 of its 28? So that the end of a
# stroke or a corner can also appear in the *centre* of the field of the highest detectors. The table's
# `receptive_field` says how many pixels of the image one unit sees along a side; in C5 it is the whole image.

# %%
named = ["C1", "S2", "C3", "S4", "C5", "F6", "output"]
table.loc[["pixels", *named], ["type", "output_shape", "kernel_size", "num_params", "macs", "receptive_field"]]

# %% [markdown]
# ### Every weight by hand
#
# A filter has one weight for each pixel of its window in each map it reads, and one bias. A unit of S2 or S4 has two
# numbers a *map*: a coefficient and a bias. The output has codes that are fixed, and nothing to learn.
#
# $$\underbrace{6\,(25+1)}_{\text{C1: }156}+\underbrace{6\cdot 2}_{\text{S2: }12}
# +\underbrace{60\cdot 25+16}_{\text{C3: }1{,}516}+\underbrace{16\cdot 2}_{\text{S4: }32}
# +\underbrace{120\,(16\cdot 25+1)}_{\text{C5: }48{,}120}+\underbrace{84\,(120+1)}_{\text{F6: }10{,}164}=60{,}000$$
#
# The 60 in C3 is explained below. A **connection** is one use of a weight or bias for one image. The paper counts
# them because they are the work: a filter's 26 numbers are used again at each of its places. So each term is
# multiplied by the places of its map: 28·28 for C1, 14·14 for S2, 10·10 for C3, 5·5 for S4, and one for the rest. A
# unit of S2 adds up four pixels, multiplies once and adds a bias; the paper counts that as five connections.

# %%
parameters = {
    "C1": 6 * (25 + 1),
    "S2": 6 * 2,
    "C3": 60 * 25 + 16,
    "S4": 16 * 2,
    "C5": 120 * (16 * 25 + 1),
    "F6": 84 * (120 + 1),
    "output": 0,
}
connections = {
    "C1": parameters["C1"] * 28 * 28,
    "S2": 6 * 14 * 14 * (4 + 1),
    "C3": parameters["C3"] * 10 * 10,
    "S4": 16 * 5 * 5 * (4 + 1),
    "C5": parameters["C5"],
    "F6": parameters["F6"],
    "output": 84 * 10,
}
by_hand = pd.DataFrame({"parameters": parameters, "connections": connections})
by_hand.loc["sum"] = by_hand.sum()
by_hand.map("{:,}".format)

# %% [markdown]
# Does this agree with what Keras built? The parameters must be equal layer by layer. `macs` counts multiplications
# with a weight, so to get connections we add one bias for each output value. Sub-sampling is no product with a
# kernel, so its `macs` are 0 and we leave it out of the comparison.

# %%
assert (by_hand["parameters"].drop("sum") == table.loc[named, "num_params"]).all()
assert by_hand.loc["sum"].tolist() == [old.count_params(), 340_908] and old.count_params() == 60_000
for name in ("C1", "C3", "C5", "F6"):
    biases = np.prod(table.loc[name, "output_shape"])
    assert table.loc[name, "macs"] + biases == connections[name]
    print(f"{name}: {table.loc[name, 'macs']:>7,} products + {biases:>5,} biases = {connections[name]:>7,} connections")

# %% tags=["hide-input"]
maps = by_hand.loc[["C1", "S2", "C3", "S4"]].sum() / by_hand.loc["sum"]
say(
    f"Both published figures come out, **{by_hand.parameters['sum']:,} parameters and "
    f"{by_hand.connections['sum']:,} connections**, which answers the first question: each weight is used "
    f"{by_hand.connections['sum'] / by_hand.parameters['sum']:.1f} times on average. The four layers of maps hold "
    f"{maps.parameters:.0%} of the weights and do {maps.connections:.0%} of the work: weights are shared."
)

# %% [markdown]
# ### C3 does not see everything
#
# Each of C3's 16 maps reads only some of the 6 maps of S2. This is table I of the paper; the layer carries it.

# %%
c3 = old.get_layer("C3")
fig, ax = plt.subplots(figsize=(7.2, 3.1), layout="constrained")
sns.heatmap(c3.connections, cmap=["white", "0.25"], cbar=False, linewidths=1, linecolor="0.85", square=True, ax=ax)
ax.set(xlabel="Map of C3", ylabel="Map of S2")
ax.tick_params(length=0, rotation=0)
for column, count in enumerate(c3.connections.sum(axis=0)):
    ax.text(column + 0.5, -0.15, count, ha="center", va="bottom", color="0.35")

# %% [markdown]
# The figures on top count the maps read. The first six maps read three neighbours each, the next six four neighbours,
# three more read two pairs, and only the last one reads all:
# $6\cdot 3 + 6\cdot 4 + 3\cdot 4 + 1\cdot 6 = 60$ kernels of 25 weights, out of $6\cdot 16 = 96$.
#
# The paper gives two reasons. The number of connections stays within bounds, and, more important to its authors, the
# **symmetry is broken**: maps that get different inputs have to become different detectors. A dense convolution is
# the same thing with 36 kernels that are zero, and that is how it is computed here.

# %%
dense = keras.ops.convert_to_numpy(c3.dense_kernel())
assert ((abs(dense).sum(axis=(0, 1)) > 0) == c3.connections).all()
print(f"kernel {dense.shape}: {int(c3.connections.sum())} of {c3.connections.size} 5×5 kernels are weights")

# %% [markdown]
# ### Scaled tanh
#
# After each layer but the last comes the squashing function
#
# $$f(a) = 1.7159\,\tanh\!\left(\tfrac{2}{3}a\right).$$
#
# The two constants have one purpose: $f(1)=1$ and $f(-1)=-1$, and the curve bends most strongly just there. Targets
# of ±1 can then be reached without pushing a unit into its flat ends, where the gradient is nearly 0: that, and not the
# price of an exponential, is what makes learning slow with a saturating function.

# %%
a = np.linspace(-4, 4, 401)
f = np.asarray(scaled_tanh(a))
fig, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(a, f, color=blue, label="$f(a)$")
ax.plot(a, 1.7159 * 2 / 3 * (1 - (f / 1.7159) ** 2), "--", color=orange, label="its slope $f'(a)$")
ax.plot([-1, 1], [-1, 1], "o", color=blue)
ax.set(xlabel="Weighted sum $a$", ylabel="Value")
ax.grid(color="0.92")
ax.legend(frameon=False)
sns.despine(ax=ax)
plt.show()

ends = 1.7159 * 2 / 3 * (1 - np.tanh(2 / 3 * np.array([0, 1, 4])) ** 2)
print(f"f(1) = {float(scaled_tanh(1.0)):.4f};  slope {ends[0]:.2f} at a = 0, {ends[1]:.2f} at 1, {ends[2]:.3f} at 4")

# %% [markdown]
# ### Sub-sampling that learns
#
# S2 and S4 are not today's pooling. A unit adds up a 2×2 window of its map, multiplies the sum by a coefficient $w$,
# adds a bias $b$ (one of each a map, both learnt) and squashes:
#
# $$y = f\Big(w \sum_{i=1}^{2}\sum_{j=1}^{2} x_{ij} + b\Big).$$
#
# With a small $w$ the unit works in the straight part of $f$ and blurs its map; with a large one it works at the ends
# and answers nearly *or* or *and* of the four, depending on $b$. Here is the formula in NumPy, and Keras' answer.

# %%
x = rng.normal(size=(1, 28, 28, 6)).astype("float32")
w, b = old.get_layer("S2").get_weights()
windows = x.reshape(1, 14, 2, 14, 2, 6).sum(axis=(2, 4))
np.testing.assert_allclose(windows * w + b, old.get_layer("S2")(x), rtol=1e-5, atol=1e-5)
print("coefficients", w.shape, "biases", b.shape, "output", windows.shape)

# %% [markdown]
# ### Ten pictures as targets
#
# F6 has 84 units because $84 = 7\cdot 12$: its values are read as a small **picture**. Each class has a fixed code, a
# 7×12 drawing of its digit in +1 and −1, and output unit $i$ measures how far F6's picture $x$ is from code $w_i$, a
# radial basis function (RBF):
#
# $$y_i = \sum_{j=1}^{84} (x_j - w_{ij})^2, \qquad \text{answer} = \mathrm{arg}\min_i y_i .$$
#
# Digits that look alike have codes that are alike, so near misses are near. For the ten digits that is no advantage;
# it was meant for all printable characters, where O, o and 0 have one shape and only context can tell them apart. The
# drawings here are ours. cnnkit's layer returns $-0.1\,y_i$, so that the smallest distance is the largest score and
# the usual softmax cross-entropy can train it.

# %%
output = old.get_layer("output")
ax = plots.plot_images(output.codes.reshape(10, 12, 7).astype("float32"), titles=list("0123456789"), columns=10)
plt.show()

f6 = rng.normal(size=(4, 84)).astype("float32")
distances = ((f6[:, None, :] - output.codes) ** 2).sum(axis=-1)
np.testing.assert_allclose(-0.1 * distances, output(f6), rtol=1e-5)

# %% tags=["hide-input"]
apart = ((output.codes[:, None].astype(int) - output.codes) ** 2).sum(axis=-1)
pairs = pd.DataFrame(apart).where(~np.tri(10, dtype=bool)).stack().dropna().sort_values()
say(
    f"The two codes nearest to each other are those of {pairs.index[0][0]} and {pairs.index[0][1]}, "
    f"{pairs.iloc[0]:.0f} apart ({pairs.iloc[0] / 4:.0f} pixels differ, each by 2, squared 4); the farthest are "
    f"{pairs.index[-1][0]} and {pairs.index[-1][1]}, {pairs.iloc[-1]:.0f} apart."
)

# %% [markdown]
# ## The network of today
#
# | | 1998 | today | why it changed |
# |---|---|---|---|
# | C3 | 60 of 96 kernels | all 96 | 900 weights no longer matter; a random start breaks the symmetry |
# | squashing | scaled tanh | ReLU, $\max(0, a)$ | its slope is 1 wherever it is active: no flat upper end |
# | S2, S4 | sum, coefficient, bias, squashing | largest of 2×2 | nothing to learn; keeps the strongest evidence |
# | output | distance to fixed codes | 84 weights and a bias a class | the codes can be learnt, too |
# | criterion | distances, capped for wrong classes | softmax cross-entropy | gives probabilities |
# | pixels | paper −0.1, ink 1.175, in the network | mean 0, deviation 1 over the training images | fits any data |
# | start | uniform, ±2.4 / inputs | Glorot uniform | keeps the variance of signals and gradients |
# | training | one image an update, a step for each weight | batches, one step for all | suits today's hardware |
#
# What does that do to the number of weights?

# %%
modern = create_model("lenet5_modern", (32, 32, 1), 10)
today = anatomy.layer_table(modern).set_index("layer").rename(index={"logits": "output"})
both = pd.DataFrame({"1998": table.loc[named, "num_params"], "today": today.loc[named, "num_params"]})
both["change"] = both["today"] - both["1998"]
both.loc["sum"] = both.sum()
assert both.loc["sum"].tolist() == [60_000, 61_706, 1_706] and both.change["C3"] == 36 * 25
both.map("{:,}".format)

# %% [markdown]
# The 36 missing kernels of C3 come back (+900), ten classes get $84+1$ learnt numbers (+850), and sub-sampling loses
# its 44. So LeNet-5 has 60,000 parameters as it was published, and 61,706 as it is built today.

# %% [markdown]
# ## Do they reach the error of the paper?
#
# The paper reports 0.95% test error on MNIST after 20 passes through 60,000 training images, without distorted
# copies.
#
# | | |
# |---|---|
# | **varied** | the network: that of 1998, that of today |
# | **tuned, for each** | the learning rate, on validation images, in shorter runs on fewer images |
# | **held fixed** | plain SGD, batches of 64, a rate that falls as a cosine, the number of epochs, the data |
# | **repeated** | with fresh seeds; a seed decides split, first weights and order of images |
#
# First the tuning, then the full length with seeds that had no part in the choice. The test set is read once, at the
# end of each of these runs.

# %%
show(found["lenet"], "tuning", "curves")

# %%
show(found["lenet"], "accuracy")

# %%
tell(found["lenet"])

# %% [markdown]
# How to compare with a number that came from *one* training? The interval of a mean says where the mean of many runs
# lies. Where **one more run** would fall is a wider question, $\bar e \pm t\,s\sqrt{1+1/n}$ with the seeds' standard
# deviation $s$, and 0.95% has to be held against that one. And 10,000 test images are themselves a sample, worth
# $\sqrt{e(1-e)/10{,}000}$. Which of our two networks is better is asked seed by seed: the seeds are paired.

# %% tags=["hide-input"]
if found["lenet"].complete:
    fresh = found["lenet"].plans[""].of_role("fresh")
    paper = 100 * (1 - lenet.PAPER_ACCURACY)
    for network, arm in fresh[~fresh["collapsed"]].groupby("network"):
        error = 100 * (1 - arm["test_accuracy"])
        mean, low, high = store.student_interval(error)
        spread = stats.t.ppf(0.975, len(error) - 1) * error.std() * np.sqrt(1 + 1 / len(error))
        side = "below" if high < paper else "above" if low > paper else "on both sides of"
        among = "an ordinary" if abs(mean - paper) < spread else "an unusual"
        say(
            f"- the network of {network.replace('today', 'our day')}: **{mean:.2f}% error** [{low:.2f}, {high:.2f}], "
            f"n = {len(error)}: {side} the paper's {paper:.2f}%. One more run would fall within ±{spread:.2f}: among "
            f"ours, the paper's would be {among} one."
        )
    pair = fresh.pivot(index="seed", columns="network", values="test_accuracy")
    gain, low, high = (100 * value for value in store.student_interval(pair["today"] - pair["1998"]))
    say(f"Prediction 2, today minus 1998: {gain:+.2f} percentage points [{low:+.2f}, {high:+.2f}].")

# %% [markdown]
# This is not a repetition of the paper's training. We train on 54,000 images and keep 6,000 to choose with; the paper
# took one image an update with a step of its own for every weight, estimated from second derivatives; its codes were
# drawn by others, and its criterion had one more term (which we meet below). What is the same is the network and the
# test set.

# %% [markdown]
# ## Train, save, resume, evaluate, predict
#
# A network in use is trained once, perhaps on several days, and read from many programs. That wants five separate
# steps, and **one** place that says what the forward pass is. Here that place is `create_model("lenet5", ...)`; a
# saved `.keras` file carries the architecture, the weights and the state of the optimizer, so no later step repeats
# it. We do it on the small digits.
#
# Before any training, one trap. Which order of images does `fit` take? A loss function that writes down what it is
# given shows it.


# %%
def epochs_differ():
    """Return whether two epochs of one `fit` with shuffling take twelve images in different orders."""
    seen = []

    def note(y_true, y_pred):
        seen.append(keras.ops.convert_to_numpy(y_true).ravel().tolist())
        return keras.ops.mean(y_pred)

    tiny = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    tiny.compile(loss=note, run_eagerly=True)
    numbers = np.arange(12.0)[:, None]
    tiny.fit(numbers, numbers, batch_size=12, epochs=2, shuffle=True, verbose=0)
    return seen[0] != seen[1]


print("no seed set:  a new order in the second epoch:", epochs_differ())
keras.utils.set_random_seed(1)
print("seed set:     a new order in the second epoch:", epochs_differ())

# %% [markdown]
# Without a seed, the order is new in every epoch and in every call of `fit`: nobody can repeat it, and a resumed
# training cannot go on with it. If the last line says `False`, a seed turns that into one order for all epochs (Keras
# 3.15 on TensorFlow 2.21 does: each epoch restarts the seeded shuffle). Neither is what we want, so we make the order
# ourselves, **as a function of the seed and the epoch**. Whoever knows these two numbers can go on at any epoch.

# %%
digits = load_dataset("digits")
as_float = {split: np.multiply(getattr(digits, f"x_{split}"), 1 / 255, dtype="float32") for split in ("train", "test")}
SEED, RATE, BATCH, EPOCHS = 1, 0.1, 32, 6
steps = int(np.ceil(len(as_float["train"]) / BATCH))
print(f"digits: {len(as_float['train']):,} images, {EPOCHS} epochs of {steps} updates")


def compiled(updates):
    """Return the untrained network of 1998 with a rate that falls over so many updates."""
    keras.utils.set_random_seed(SEED)
    net = create_model("lenet5", digits.input_shape, digits.num_classes)
    rate = keras.optimizers.schedules.CosineDecay(RATE, updates)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return net


def train_epochs(net, images, labels, first, last, *callbacks):
    """Train from epoch `first` up to `last`, each epoch in its own order."""
    for epoch in range(first, last):
        order = np.random.default_rng([SEED, epoch]).permutation(len(images))
        net.fit(
            images[order],
            labels[order],
            batch_size=BATCH,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            callbacks=list(callbacks),
            verbose=0,
        )


# %% [markdown]
# **Step 1: train**, with a checkpoint after each epoch. In the middle of an epoch we pull the plug.

# %%
workplace = tempfile.TemporaryDirectory()  # goes when the notebook ends
folder = Path(workplace.name)
checkpoint = keras.callbacks.ModelCheckpoint(folder / "epoch-{epoch:02d}.keras")
net = compiled(EPOCHS * steps)


def pull_the_plug(batch, logs=None):
    if int(net.optimizer.iterations) == int(0.6 * EPOCHS * steps):
        raise KeyboardInterrupt


try:
    train_epochs(
        net,
        as_float["train"],
        digits.y_train,
        0,
        EPOCHS,
        checkpoint,
        keras.callbacks.LambdaCallback(on_train_batch_end=pull_the_plug),
    )
except KeyboardInterrupt:
    print(
        f"interrupted at update {int(net.optimizer.iterations)}, in epoch {int(net.optimizer.iterations) // steps + 1}"
    )
del net
for path in sorted(folder.iterdir()):
    print(f"{path.name}  {path.stat().st_size / 1024:.0f} KiB")

# %% [markdown]
# **Step 2: resume** from the last checkpoint. What was done of the unfinished epoch is lost; everything else is in
# the file. Then **step 3: save** the result.

# %%
newest = max(folder.glob("epoch-*.keras"))
done = int(newest.stem.removeprefix("epoch-"))
net = keras.saving.load_model(newest)
print(
    f"{newest.name}: {done} epochs, update {int(net.optimizer.iterations)}, "
    f"rate {float(net.optimizer.learning_rate):.4f}"
)
train_epochs(net, as_float["train"], digits.y_train, done, EPOCHS, checkpoint)
net.save(folder / "lenet5.keras")

# %% [markdown]
# **Step 4: evaluate.** Any program that can read the file can do it; the training code is not needed.

# %%
judged = keras.saving.load_model(folder / "lenet5.keras").evaluate(
    as_float["test"], digits.y_test, batch_size=256, verbose=0, return_dict=True
)
print(f"test accuracy {judged['accuracy']:.2%}, test loss {judged['loss']:.3f} nats")

# %% [markdown]
# **Step 5: predict.** Scores become probabilities by the softmax $p_i = e^{s_i}/\sum_j e^{s_j}$.

# %%
reader = keras.saving.load_model(folder / "lenet5.keras", compile=False)
probability = softmax(reader.predict(as_float["test"][:8], verbose=0), axis=-1)
titles = [f"{row.argmax()} ({row.max():.1%})" for row in probability]
ax = plots.plot_images(digits.x_test[:8], titles=titles)

# %% [markdown]
# ### Is the resumed network the same network?
#
# A training is more than its weights. Its state is (1) the weights, (2) what the optimizer remembers, here the number
# of updates, from which the falling learning rate follows, and (3) the order of the images still to come. We leave
# out one of these at a time, on 512 small digits, and compare every weight with those of a training that was never
# interrupted. The first line is the control: the same training twice.

# %%
x, y = as_float["train"][:512], digits.y_train[:512]
updates = 4 * int(np.ceil(len(x) / BATCH))


def largest_difference(one, other):
    return max(float(abs(a - b).max()) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


whole, again, half = compiled(updates), compiled(updates), compiled(updates)
for net, last in ((whole, 4), (again, 4), (half, 2)):
    train_epochs(net, x, y, 0, last)
half.save(folder / "half.keras")
restored, reordered = (keras.saving.load_model(folder / "half.keras") for _ in range(2))
forgetful = compiled(updates)
forgetful.set_weights(half.get_weights())  # weights only: its optimizer starts at update 0 again
train_epochs(restored, x, y, 2, 4)
train_epochs(reordered, x, y, 0, 2)  # the orders of epochs 0 and 1 once more
train_epochs(forgetful, x, y, 2, 4)
attempts = {
    "not interrupted, once more": again,
    "resumed with weights, optimizer and order": restored,
    "resumed, the order starts over": reordered,
    "resumed, weights only": forgetful,
}
gaps = pd.Series({name: largest_difference(whole, net) for name, net in attempts.items()})
gaps.rename("largest difference of a weight").to_frame()

# %% tags=["hide-input"]
answer = "**yes, to the last bit**" if gaps.iloc[1] == 0 else "**not quite**"
say(
    f"The third question: {answer}, if all three parts of the state are restored: the largest difference is "
    f"{gaps.iloc[1]:g}. With the order started over it is {gaps.iloc[2]:.2g}, and with the optimizer's counter lost "
    f"{gaps.iloc[3]:.2g}: the learning rate was at its peak again. "
    + (
        "A training that only restores weights is a sound training, but another one."
        if gaps.iloc[0] == 0
        else "But then, the same training twice differs, too: this machine does not add in a fixed order."
    )
)

# %% [markdown]
# Equal bits also need the same machine, versions and number of threads: a sum of floats depends on its order. Keras'
# own callback `BackupAndRestore` keeps the weights, the optimizer's state and the number of the epoch by itself
# within `fit`, and removes them when the training is complete; the third part, the order, it leaves to you.

# %% [markdown]
# ## What has it learnt?
#
# We train the network of 1998 as the experiment does, with its own `train`. In `full` the config is that of one of the
# tuning runs, so that this page and the tables speak of the same network; it has seen fewer images, and fewer times,
# than the runs of the comparison. Twice: once as cnnkit builds it, once with the cap that the paper's criterion has and
# ours lacks (of which below); that one is trained here alone, and is in no table.

# %%
recipe = lenet.networks.configs["1998"].replace(**DEMONSTRATION)
assert PROFILE == "smoke" or recipe.run_id in found["lenet"].configs
run, capped = train(recipe), train(recipe.replace(model_args={"cap": 1.0}))
dataset = load_dataset(recipe.dataset, train_size=recipe.train_size, seed=recipe.seed)
pictures = dataset.x_test / np.float32(255)
scores = run.model.predict(pictures, batch_size=256, verbose=0)
probability = softmax(scores, axis=-1)
predicted = probability.argmax(axis=-1)
assert (predicted == dataset.y_test).mean() == run.row["test_accuracy"]
print(f"run {run.row['run_id']}, {len(dataset.x_train):,} images, {recipe.epochs} epochs: "
      f"test accuracy {run.row['test_accuracy']:.2%}; with the cap {capped.row['test_accuracy']:.2%}")  # fmt: skip

# %% [markdown]
# On top the six filters of C1, 5×5 weights each; red is positive, blue negative. Below them one digit on its way
# through the network, as the maps after squashing, so from −1.7 to 1.7.

# %%
stages = {"C1": "C1", "S2": "S2_squash", "C3": "C3_squash", "S4": "S4_squash"}
network = run.network


def look(network, names, pictures):
    """Return what some layers of a network give for pictures, a list of arrays."""
    inside = keras.Model(network.input, [network.get_layer(name).output for name in names])
    parts = [inside(pictures[start : start + 500]) for start in range(0, len(pictures), 500)]
    return [np.concatenate(layer) for layer in zip(*parts, strict=True)]


example = int(np.flatnonzero((dataset.y_test == 4) & (predicted == 4))[0])
features = look(network, stages.values(), pictures[example : example + 1])
kernels = network.get_layer("C1").get_weights()[0]
fig, axes = plt.subplots(5, 1, figsize=(9.6, 11.5), height_ratios=[1, 1, 1, 1.5, 1.5], layout="constrained")
plots.plot_images(kernels.transpose(3, 0, 1, 2), columns=6, ax=axes[0])
axes[0].set_title("C1: its 6 filters of 5×5", loc="left", fontsize=10)
for ax, name, values in zip(axes[1:], stages, features, strict=True):
    plots.plot_images(values[0].transpose(2, 0, 1), columns=8 if values.shape[-1] == 16 else 6, ax=ax)
    ax.set_title(f"{name}: {values.shape[-1]} maps of {values.shape[1]}×{values.shape[2]}", loc="left", fontsize=10)
plots.mark_profile(fig, PROFILE)

# %% [markdown]
# Look for a filter with a red side and a blue side: it answers at edges of that direction. Others are nearly all of
# one colour, and keep or invert the ink. Nobody told them to. In C1's maps the 4 can still be read in every map; each
# stresses other strokes. S2 shows the same at half the size. In C3 you see where *combinations* of strokes are, and
# in S4 a position is good to a quarter of the digit only: the network knows **that** there is a crossing and roughly
# where. This is what lets the digit move a little without changing the answer.
#
# At the end stands F6. Its 84 values were meant to be a picture, near to the code of the digit. Does F6 paint? The
# softmax asks only that the *right code be nearer than the others*; that all are far costs nothing. The paper's
# criterion has a constant $j$ beside the distances,
#
# $$L = y_\text{right} + \log\Big(e^{-j} + \sum_i e^{-y_i}\Big),$$
#
# as if an eleventh class always stood at distance $j$: to beat it, the right code must be near in itself. Below one
# test image of each class, what F6 makes of it without the cap and with it, and the codes.

# %%
ten = [int(np.flatnonzero((dataset.y_test == digit) & (predicted == digit))[0]) for digit in range(10)]
codes = network.get_layer("output").codes.reshape(10, 12, 7).astype("float32")
painted = {
    name: look(one.network, ["F6", "output"], pictures)[0].reshape(-1, 12, 7)
    for name, one in {"without the cap": run, "with the cap": capped}.items()
}
rows = {"test images": dataset.x_test[ten], **{k: v[ten] for k, v in painted.items()}, "codes": codes}
fig, axes = plt.subplots(4, 1, figsize=(9.6, 6.6), layout="constrained")
for ax, (name, row) in zip(axes, rows.items(), strict=True):
    plots.plot_images(row, columns=10, ax=ax)
    ax.set_title(name, loc="left", fontsize=10)
plots.mark_profile(fig, PROFILE)
plt.show()

# %% tags=["hide-input"]
own = codes[dataset.y_test]
agree = {name: (np.sign(row) == own).mean() for name, row in painted.items()}
distance = {name: ((row - own) ** 2).sum(axis=(1, 2)).mean() for name, row in painted.items()}
constant = np.sign(codes.mean(axis=0) - 1e-6)
blind = (constant == own).mean()
say(
    f"Signs of F6's pixels that are those of the right code, over all test images: "
    f"{agree['without the cap']:.0%} without the cap, {agree['with the cap']:.0%} with it. One and the same picture "
    f"for all digits, the commonest sign of each pixel, agrees in {blind:.0%}. The mean distance to the right code is "
    f"{distance['without the cap']:.0f} without and {distance['with the cap']:.0f} with the cap."
)

# %% [markdown]
# ## What does it get wrong?
#
# All errors of that run, the shorter one, on the test set, or the 40 most confident ones: *true → answer*, with the
# probability it gave its answer.

# %%
wrong = np.flatnonzero(predicted != dataset.y_test)
worst = wrong[np.argsort(-probability[wrong].max(axis=-1))][:40]
titles = [f"{dataset.y_test[i]} → {predicted[i]}  {probability[i].max():.0%}" for i in worst]
plots.mark_profile(plots.plot_images(dataset.x_test[worst], titles=titles, columns=10), PROFILE)

# %% tags=["hide-input"]
second = scores[wrong].argsort(axis=-1)[:, -2]
confusions = pd.DataFrame({"true": dataset.y_test[wrong], "answer": predicted[wrong]}).value_counts()
say(
    f"{len(wrong)} of {len(predicted):,} are wrong ({len(wrong) / len(predicted):.2%}). The commonest mistake is a "
    f"{confusions.index[0][0]} read as {confusions.index[0][1]} ({confusions.iloc[0]} times). In "
    f"{(second == dataset.y_test[wrong]).mean():.0%} of the errors the right digit was the second choice, and in "
    f"{(probability[wrong].max(axis=-1) > 0.9).mean():.0%} the network was more than 90% sure of the wrong one."
)

# %% [markdown]
# ## The average of the weights
#
# SGD never settles: each batch pulls the weights its own way. A **moving average** follows behind,
#
# $$\bar\theta_t = m\,\bar\theta_{t-1} + (1-m)\,\theta_t ,$$
#
# where $\theta_t$ are the weights after update $t$. Written out, $\theta_{t-k}$ has the weight $(1-m)\,m^k$: the
# average reaches back about $1/(1-m)$ updates. Training does not see $\bar\theta$; we only evaluate with it. Keras
# does this with `use_ema=True`, and gives a network the averaged weights when `fit` ends. We watch softmax regression
# on `digits`, note its weights after each update, average them in NumPy, and compare with Keras' average.

# %%
M = 0.97
keras.utils.set_random_seed(1)
linear = create_model("softmax", digits.input_shape, digits.num_classes)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
linear.compile(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=M), loss)
path = []


def note(batch, logs=None):
    path.append(np.concatenate([weight.ravel() for weight in linear.get_weights()]))


all_images = np.multiply(digits.x_train, 1 / 255, dtype="float32")
noting = keras.callbacks.LambdaCallback(on_train_batch_end=note)
linear.fit(all_images, digits.y_train, batch_size=16, epochs=2, callbacks=[noting], verbose=0)
path = np.array(path)
average = path.copy()
for t in range(1, len(path)):
    average[t] = M * average[t - 1] + (1 - M) * path[t]
in_keras = np.concatenate([weight.ravel() for weight in linear.get_weights()])
np.testing.assert_allclose(average[-1], in_keras, atol=1e-5)
print(f"{path.shape[1]:,} weights after {len(path)} updates; reach of the average {1 / (1 - M):.0f} updates")

# %% [markdown]
# Left: the path in the plane in which it moves most (its first two principal components). Right: the loss on
# validation images with the weights as they are, and with their average.


# %%
pixels = digits.x_val.reshape(len(digits.x_val), -1) / np.float32(255)


def validation_loss(weights):
    """Mean cross-entropy in nats of softmax regression with these weights `(7850,)`."""
    scores = pixels @ weights[:-10].reshape(-1, 10) + weights[-10:]
    return (logsumexp(scores, axis=1) - scores[np.arange(len(scores)), digits.y_val]).mean()


centred = path - path.mean(axis=0)
plane = centred.T @ np.linalg.eigh(centred @ centred.T)[1][:, :-3:-1]  # cheaper than 7,850 × 7,850 covariances
plane /= np.linalg.norm(plane, axis=0)
fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
for weights, name, style in (
    (path, "weights", {"color": "0.6", "lw": 0.8}),
    (average, "average", {"color": blue, "lw": 2.2}),
):
    axes[0].plot(*((weights - path.mean(axis=0)) @ plane).T, label=name, **style)
    axes[1].plot(1 + np.arange(len(path)), [validation_loss(row) for row in weights], label=name, **style)
axes[0].set(xlabel="First component of the weights", ylabel="Second component")
axes[1].set(xlabel="Update", ylabel="Validation loss (nats)", yscale="log")
for ax in axes:
    ax.legend(frameon=False)
    sns.despine(ax=ax)

# %% tags=["hide-input"]
raw, smooth = ([validation_loss(row) for row in weights[-40:]] for weights in (path, average))
say(
    f"The weights go in the right direction, but zigzag. The average is late at first, then lies in the middle of the "
    f"zigzag: over the last 40 updates the loss is {np.mean(raw):.2f} ± {np.std(raw):.2f} nats with the weights, "
    f"{np.mean(smooth):.2f} ± {np.std(smooth):.2f} with their average. The rate is large here, to make this visible."
)

# %% [markdown]
# Does it matter when the rate is well chosen, or when it *falls*? A falling rate damps the zigzag, too, so the
# average may have nothing left to do. The claim to decide: *a moving average of the weights makes a network more
# accurate*.
#
# | | |
# |---|---|
# | **varied** | last or averaged weights ($m = 0.99$), read from one and the same run; a constant rate or a cosine |
# | **tuned, for each rate** | the learning rate, on validation images |
# | **held fixed** | `lenet5_modern`, 10,000 images of MNIST, plain SGD, batches of 64, epochs |
# | **repeated** | with fresh seeds |

# %%
show(found["moving_average"], "tuning", "accuracy")

# %%
tell(found["moving_average"])

# %% tags=["hide-input"]
if found["moving_average"].complete:
    words = {"SUPPORTED": "better", "no difference": "neither", "opposite": "worse", "no better": "not better"}
    plan = found["moving_average"].plans[""]
    told = [
        f"at a {claim.better} {words.get(row['reading'] or row['verdict'], 'not decided')}, by "
        f"{100 * row['effect']:+z.2f} points (less than {100 * claim.margin:g} does not count)"
        for claim, row in zip(plan.comparison.claims, plan.verdicts(), strict=True)
    ]
    say(f"**Prediction 4.** {'; '.join(told).capitalize()}.")

# %% [markdown]
# The rate of each arm was chosen with the average in place. Follow the curves to the right, to rates at which the last
# weights zigzag: that is where an average can help.

# %% [markdown]
# ## Three remedies on a two-layer network
#
# A network with one hidden layer learns 10,000 digits of MNIST. Three remedies may help it on unseen ones; each has one
# formula.
#
# - **Decay** of the learning rate, here a cosine: $\eta_t = \frac12\,\eta_0\,(1 + \cos \pi t/T)$ at update $t$ of $T$.
# - **L2**: the loss becomes $L + \lambda \sum_w w^2$. Its gradient adds $2\lambda w$, so each update also multiplies
#   every weight by $1 - 2\eta\lambda$.
# - **Moving average** of the weights, as above.
#
# First the formula of the decay against Keras, then what L2 does to a weight that nothing else holds.

# %%
config = remedies.cases.configs[remedies.name(remedies.REMEDIES)]
T, rate, penalty = config.epochs * (config.train_size // config.batch_size), 0.1, config.model_args["l2"]
schedule = recipes.SCHEDULES[config.schedule](rate, T)
t = np.arange(0, T, 50)
np.testing.assert_allclose(rate / 2 * (1 + np.cos(np.pi * t / T)), [float(schedule(step)) for step in t], atol=1e-6)
kept = np.prod(1 - 2 * penalty * rate / 2 * (1 + np.cos(np.pi * np.arange(T) / T)))
print(f"{T:,} updates at {rate:g}, L2 of {penalty:g}: {kept:.2f} of a weight are left under the cosine, "
      f"{(1 - 2 * penalty * rate) ** T:.2f} at a constant rate")  # fmt: skip

# %% [markdown]
# Three remedies, each on or off, are $2^3 = 8$ arms, and two more try another $\lambda$; each has its own best rate on
# validation images. Such a **factorial** design uses every run for every question. What a remedy does *alone*, against
# none, comes first; its main effect is the mean of the four arms with it minus the mean of the four without; an
# interaction (×) says whether two together do more, or less, than the sum of both. Decay and average are rivals: both
# damp the zigzag. Where an interaction is as large as a main effect, the main effect says little.

# %%
show(found["remedies"], "accuracy", "effects")

# %%
tell(found["remedies"])

# %% [markdown]
# ## Counted, not trained
#
# Sentences about LeNet-5 that need no run: each is counted in the networks themselves.

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if one.id != "lenet5-shapes")

# %% [markdown]
# ## Limits
#
# - One data set of clean, centred digits, on which everything reaches about 99%: a remedy that does nothing here may
#   do much where networks overfit more.
# - The moving average was tested with one $m$, the remedies on 10,000 images, L2 with three strengths; only the
#   learning rate was tuned. A better strength may exist.
# - The paper's 0.95% is one training with another algorithm. We can say whether ours reach it, not why they differ.
# - Probabilities were not calibrated: 99% is what the softmax says, not how often it is right.

# %% [markdown]
# ## The same in small
#
# In `smoke` the three experiments also run here and now, on small digits, with two seeds and hardly any epochs. It
# shows that they run; it is too small to conclude from.

# %%
if PROFILE == "smoke":
    for name in found:
        small = run_here(name)
        say(f"**{name}**, smoke run:", plots.markdown_table(plots.readable(small.table())))
    show(small, "effects")

# %% [markdown]
# ## Exercises
#
# 1. Suppose C3 saw all of S2, everything else as in 1998. How many parameters and connections would the network have?
# 2. Which share of the image, in area, does one unit of S4 see? First by hand, then with `anatomy`. (The cell below
#    takes your answers to 1 and 2.)
# 3. A bank can send doubtful cheques to a clerk. How many of the least certain digits must be refused to halve the
#    error?
# 4. Averaging with $m = 0.999$ over a training of 100 updates, starting at the first weights. What share of the
#    average are these still?
# 5. You resume a training with Adam from a file that holds the weights only. What is lost, and how would you notice?

# %%
my_answers = {"parameters": None, "connections": None, "share": None}  # exercises 1 and 2: put your numbers here


def judge(answers):
    """Say of each number whether a network that sees all of S2 has it; of the share, whether S4's field is it."""
    extra = 25 * int((~c3.connections.astype(bool)).sum())
    true = dict(by_hand.loc["sum"] + [extra, extra * np.prod(table.loc["C3", "output_shape"][:2])])
    true["share"] = anatomy.receptive_field(old, "S4") ** 2 / 32**2
    for name, mine in answers.items():
        print(f"{name}:", "not filled in" if mine is None else "right" if mine == true[name] else "not yet")


judge(my_answers)

# %% [markdown]
# ## Solutions
#
# **1.** C3 would have 96 kernels: $36\cdot 25 = 900$ more weights, each used at 100 places. **2.** A unit of S4 sees
# 2×2 units of C3, which are 6×6 of S2, 12×12 of C1 and 16×16 pixels, a quarter of the area.

# %%
judge({"parameters": 60_000 + 36 * 25, "connections": 340_908 + 36 * 25 * 100, "share": 16**2 / 32**2})
print(f"{60_000 + 36 * 25:,} parameters, {340_908 + 36 * 25 * 100:,} connections, {16**2 / 32**2:.0%} of the area")

# %% [markdown]
# **3.** Sort by the probability of the answer, refuse from the bottom, and look where the error of the rest has
# halved.

# %%
order = np.argsort(probability.max(axis=-1))
mistakes = (predicted != dataset.y_test)[order]
left = mistakes[::-1].cumsum()[::-1] / np.arange(len(mistakes), 0, -1)  # error among those not refused
refused = int(np.argmax(left <= mistakes.mean() / 2))
print(f"error {mistakes.mean():.2%}; {refused} refused ({refused / len(mistakes):.1%}) leave {left[refused]:.2%}")

# %% [markdown]
# **4.** Each of the 99 updates after the first takes away a thousandth: $0.999^{99}\approx 0.91$ is left. An average
# that reaches farther back than the training evaluates its start.
#
# **5.** Adam's two moving averages of the gradient start at zero again and its count of updates at 0, so a schedule
# begins at its peak. You notice it as a jump of the training loss right after the resumption. Try it: give `compiled`
# an Adam and repeat the table of differences.
