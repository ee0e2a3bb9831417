# %% [markdown]
# # 00 · What is this, and does it work here?
#
# This notebook trains a convolutional neural network to read handwritten digits, finds the learning rate it wants, and
# shows where every number on this page comes from. It is the shortest way through cnnkit from end to end; the other
# notebooks each take one step of it and look closely.
#
# The network is **LeNet-5** (LeCun, Bottou, Bengio and Haffner 1998), in the form in which it is taught today.
#
# **Predict first.** Write down three numbers; the cells below will answer with theirs.
#
# 1. Of 100 digits it has never seen, how many does the network read correctly?
# 2. How many numbers does it have to learn for that?
# 3. The learning rate says how big a step each update takes. By what factor may you miss it before learning fails?

# %% [markdown]
# **Two sizes.** The `smoke` profile reads 1,797 small digits that come with scikit-learn. It needs no network and about
# a minute, and is too small to conclude from. The `full` profile reads MNIST: it takes the runs of the sweep from the
# committed tables and trains a few more, in two or three minutes. `cnnkit.course` knows which of the two it is, and
# brings Keras, which does the learning, NumPy, pandas, and the parts of cnnkit, which keep the records and draw.

# %% tags=["parameters"]
from cnnkit.course import *

DATASET, TRAIN_SIZE, BATCH_SIZE = {"smoke": ("digits", None, 32), "full": ("mnist", 10_000, 64)}[PROFILE]
print(f"the profile of this page: {PROFILE}")

# %% tags=["hide-input"]
import os
import tempfile
from pathlib import Path

from matplotlib_inline.backend_inline import set_matplotlib_formats
from PIL import Image
from scipy import stats
from scipy.special import softmax

from cnnkit.lab import store
from cnnkit.lab.provenance import provenance, use_one_thread
from cnnkit.lab.training import fingerprint
from cnnkit.models import register
from cnnkit.report.notebooks import list_sources

set_matplotlib_formats("retina")
use_one_thread()  # as in every recorded run: the number of threads changes the last bits of a result

# %% [markdown]
# Does it work here? These are the versions and the device that will train, and the commit of the code. The same facts
# go into every row that cnnkit writes.

# %%
pd.Series(provenance(), name="here").to_frame()

# %% [markdown]
# ## The data
#
# `load_dataset` returns three splits. The **training** images teach. The **validation** images choose: they tell which
# learning rate is best. The **test** images are read once, at the end, and choose nothing. If they did, their accuracy
# would be a record of our choices, not a forecast for new digits.

# %%
dataset = load_dataset(DATASET, train_size=TRAIN_SIZE)
SPLITS = ("train", "val", "test")
images = {split: getattr(dataset, f"x_{split}") for split in SPLITS}
labels = {split: getattr(dataset, f"y_{split}") for split in SPLITS}
pd.DataFrame(
    [
        {
            "split": split,
            "images": len(x),
            "one image": x.shape[1:],
            "type": x.dtype,
            "darkest": x.min(),
            "brightest": x.max(),
        }
        for split, x in images.items()
    ]
).set_index("split")

# %% [markdown]
# An image is a grid of 28 by 28 pixels with one channel, grey, each a whole number from 0 (paper) to 255 (ink). Here
# are four of each class, one class a column.

# %%
four_each = [np.flatnonzero(labels["train"] == digit)[row] for row in range(4) for digit in range(dataset.num_classes)]
plots.mark_profile(plots.plot_images(images["train"][four_each], columns=10), PROFILE)

# %% [markdown]
# The same digit comes thin and bold, upright and slanted, closed and open. No pixel means the same thing in all of
# them, and that is what makes the task a task.
#
# Are the classes equally frequent? If one of them were half of all images, a network that always named it would be half
# right.

# %%
counts = pd.DataFrame({split: np.bincount(y, minlength=dataset.num_classes) for split, y in labels.items()})
palette = sns.color_palette("colorblind", 3)
fig, ax = plt.subplots(figsize=(7.5, 3), layout="constrained")
(100 * counts / counts.sum()).plot.bar(
    ax=ax, color=palette, rot=0, width=0.8, xlabel="Digit", ylabel="Share of split (%)"
)
ax.axhline(100 / dataset.num_classes, color="0.35", linewidth=1, linestyle=":")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
sns.despine(ax=ax)
plots.mark_profile(fig, PROFILE)

# %% tags=["hide-input"]
guess = counts["train"].idxmax()
blind = counts.loc[guess, "test"] / counts["test"].sum()
own = {"digits": "so was the test set", "mnist": "the test set is MNIST's own, as it was published"}[DATASET]
say(
    f"Every class is close to the dotted line, a tenth. Training and validation agree because they were drawn class by "
    f"class; {own}. The commonest training digit is {guess}: to answer {guess} to everything is right for "
    f"**{blind:.1%}** of the test images. This is what a network has to beat."
)

# %% [markdown]
# ## The network
#
# LeNet-5 looks at the image through small windows. A **convolution** (C1, C3) slides 5×5 filters over its input and
# writes one map a filter: how strongly the filter's pattern is present at each place. **Pooling** (S2, S4) keeps the
# largest of every 2×2 values. Three **dense** layers then weigh everything seen: 120, 84 and 10 units, the last one a
# score for each digit. Box for box, with the shapes above:

# %%
net = create_model("lenet5_modern", dataset.input_shape, dataset.num_classes)
table = anatomy.layer_table(net)
ax = anatomy.draw_network(table)

# %% [markdown]
# The same as a table. `macs` are the multiplications (each with its addition) that one image costs, `receptive_field`
# is the side of the square of input pixels that one unit sees.

# %%
columns = ["type", "output_shape", "kernel_size", "num_params", "macs", "receptive_field"]
table.set_index("layer")[columns]

# %% [markdown]
# Every entry can be had with pencil and paper, and it is worth doing once.
#
# **Sizes.** The image is padded with zeros from 28 to 32 pixels. A window of $k$ pixels has $n - k + 1$ places in a
# row of $n$, and 2×2 pooling halves: $32 \to 32-5+1=28 \to 14 \to 14-5+1=10 \to 5$.
#
# **Parameters.** A filter has one weight for each pixel of its window in each input channel, and one bias; a dense unit
# has one weight an input, and one bias:
#
# $$\underbrace{6\,(5\cdot5\cdot1+1)}_{\text{C1}}+\underbrace{16\,(5\cdot5\cdot6+1)}_{\text{C3}}
# +\underbrace{120\,(5\cdot5\cdot16+1)}_{\text{C5}}+\underbrace{84\,(120+1)}_{\text{F6}}
# +\underbrace{10\,(84+1)}_{\text{logits}}$$
#
# The size of the image appears nowhere in the first two terms: a filter is learnt once and used at every place.
# We let the next cell do the sum, and compare it with what Keras counts.

# %%
parameters = {
    "C1": 6 * (5 * 5 * 1 + 1),
    "C3": 16 * (5 * 5 * 6 + 1),
    "C5": 120 * (5 * 5 * 16 + 1),
    "F6": 84 * (120 + 1),
    "logits": 10 * (84 + 1),
}
by_layer = table.set_index("layer")
assert all(by_layer.num_params[name] == count for name, count in parameters.items())
assert sum(parameters.values()) == net.count_params()
print(" + ".join(f"{count:,}" for count in parameters.values()), "=", f"{net.count_params():,} parameters")

# %% tags=["hide-input"]
sums = by_layer[["num_params", "macs"]].sum()
share = by_layer[["num_params", "macs"]] / sums
convolutions = share.loc[["C1", "C3"]].sum()
say(
    f"That answers the second prediction: **{sums.num_params:,} numbers**. Where they sit is worth a look. The single "
    f"layer C5 holds {share.num_params['C5']:.0%} of them. The two convolutions hold {convolutions.num_params:.0%} and "
    f"do {convolutions.macs:.0%} of the {sums.macs:,} multiplications: their few weights are used at every place."
)

# %% [markdown]
# One more check before training. A network that knows nothing should find all ten digits about equally likely, so its
# cross-entropy loss, the mean of $-\ln p(\text{true class})$, should be near $-\ln\frac{1}{10}=\ln 10$. A very
# different first loss would mean that the images are scaled wrongly or the scores are too large.
#
# Scaled, because no network here sees the numbers from 0 to 255: a run first *standardises* the pictures, it subtracts
# the mean of the training pixels and divides by their standard deviation.

# %%
mean, deviation = dataset.channel_statistics()  # of the training pixels, brightness from 0 to 1


def floats(x):
    """Return uint8 images as float32 in [0, 1]."""
    return np.multiply(x, 1 / 255, dtype="float32")


def standardise(x):
    """Return uint8 images as this network's input: the training pixels have mean 0 and deviation 1."""
    return (floats(x) - mean.astype("float32")) / deviation.astype("float32")


crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
untrained = crossentropy(labels["val"], net(standardise(images["val"])))
print(f"pixels: mean {mean[0]:.3f}, deviation {deviation[0]:.3f}")
print(f"untrained: {float(untrained):.3f} nats   ln 10 = {np.log(10):.3f} nats")

# %% [markdown]
# ## One run
#
# A `RunConfig` is a complete description of a run: data, network, optimizer, budget, seed. Nothing else decides the
# result. The learning rate here is a guess; within the run it rises to this value and falls to nearly nothing (*one
# cycle*, notebook 07). `train` trains, reads the test set once at the end, and returns the row it would write into a
# table, the history, and the trained network.

# %%
config = RunConfig(
    dataset=DATASET,
    train_size=TRAIN_SIZE,
    model="lenet5_modern",
    optimizer="sgd",
    optimizer_args={"momentum": 0.9},
    learning_rate=0.04,
    schedule="one_cycle",
    batch_size=BATCH_SIZE,
    epochs=10,
    seed=1,
)
run = train(config)
print(f"run {config.run_id}: {run.row['train_seconds']:.0f} s, test accuracy {run.row['test_accuracy']:.2%}")

# %% tags=["hide-input"]
steps, waiting = config.epochs * (len(images["train"]) // BATCH_SIZE), len(images["train"]) % BATCH_SIZE
say(
    f"That answers the first prediction, for now: **{100 * run.row['test_accuracy']:.1f} of 100**. The {config.epochs} "
    f"epochs were {steps:,} updates, each from the mean gradient of {BATCH_SIZE} images. In each epoch {waiting} of "
    f"{len(images['train']):,} training images, other ones each time, wait for the next shuffle: they fill no batch. "
    f"How did it get there?"
)

# %%
curve = run.history.assign(run_id=config.run_id)
fig, axes = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained")
plots.plot_curves(curve, metric="loss", ax=axes[0])
plots.plot_curves(curve, metric="accuracy", ax=axes[1])
plots.mark_profile(fig, PROFILE)

# %% tags=["hide-input"]
first, last = run.history.iloc[0], run.history.iloc[-1]
say(
    f"After the first epoch {first.val_accuracy:.1%} of the validation digits are right, after the last "
    f"{last.val_accuracy:.1%}, and the validation loss has fallen from {first.val_loss:.2f} to {last.val_loss:.3f}. "
    f"Evaluated after the last step, {run.row['train_accuracy']:.1%} of the training digits are right: "
    f"{100 * abs(run.row['train_accuracy'] - run.row['val_accuracy']):.1f} percentage points from validation."
)

# %% [markdown]
# How can the network be better on images it never saw, as the first epochs show? It is not. Keras averages the
# training figure over the epoch while the weights are still improving, and measures validation when the epoch is over:
# the dashed line is half an epoch late. (The row of a run has the training loss and accuracy *evaluated* at the end.) A
# gap in the other direction that grows, training better than validation, is the sign of overfitting.

# %% [markdown]
# ## What does it get wrong?
#
# One number hides which digits are hard. The **confusion matrix** counts every true class (row) against every predicted
# class (column). Correct answers are on the grey diagonal; the colour is for errors only.

# %%
scores = run.model.predict(floats(images["test"]), batch_size=256, verbose=0)  # its scaling is inside
predicted = scores.argmax(axis=-1)
assert np.isclose((predicted == labels["test"]).mean(), run.row["test_accuracy"])  # the row tells the truth
plots.mark_profile(plots.plot_confusion(labels["test"], predicted, dataset.class_names), PROFILE)

# %% tags=["hide-input"]
wrong = np.flatnonzero(predicted != labels["test"])
pairs = pd.DataFrame({"true": labels["test"][wrong], "predicted": predicted[wrong]}).value_counts()
errors, (true, named) = pd.Series(labels["test"][wrong]).value_counts(), pairs.index[0]
say(
    f"{len(wrong)} of {len(predicted):,} test digits are misread. No digit has more errors than {errors.index[0]} "
    f"({errors.iloc[0]}), and no confusion is commoner than a {true} taken for a {named} ({pairs.iloc[0]})."
)

# %% [markdown]
# Always look at the errors themselves. Here they are, the most confident first, each titled *true/predicted* with the
# probability that the network gave its wrong answer (the softmax of its scores, $e^{s_i}/\sum_j e^{s_j}$).

# %%
confidence = softmax(scores, axis=-1).max(axis=-1)
worst = wrong[np.argsort(-confidence[wrong])][:24]
titles = [f"{labels['test'][i]}/{predicted[i]}  {confidence[i]:.0%}" for i in worst]
plots.mark_profile(plots.plot_images(images["test"][worst], titles=titles), PROFILE)

# %% tags=["hide-input"]
sure = (confidence[wrong] > 0.9).sum()
say(
    f"Some of these would make a person hesitate, too; some would not. In {sure} of its {len(wrong)} errors the "
    f"network gave its wrong answer more than 90%. A softmax probability says how clearly one score stands above the "
    f"others. How often such an answer is right is another question, and has to be measured."
)

# %% [markdown]
# ## Was that a good learning rate?
#
# We guessed it. Each update moves the weights by minus the learning rate $\eta$ times the gradient,
# $w \leftarrow w - \eta\,\nabla L(w)$. Too small, and the budget ends before the network has learnt; too large, and a
# step jumps over the valley it was meant to go down into. So we try some, a factor of two apart. And to know what a
# convolutional network is worth, one *linear layer*, which weighs every pixel once, is tried in the same way.
#
# An experiment is a short file, `cnnkit/course/quickstart/quickstart.py`. In `smoke`, `run_here` trains a small version
# of it, a run a core; in `full` it reads the committed rows.

# %%
found = run_here("quickstart")

# %% tags=["hide-input"]
declared = getattr(found.experiment, PROFILE)
rates = "; ".join(f"{arm}: {', '.join(f'{rate:g}' for rate in declared.rates_of(arm))}" for arm in declared.arms)
batch, epochs, tuning_seeds = declared.base.batch_size, declared.base.epochs, len(declared.tuning_seeds)
lines = {
    "varied": f"the learning rate ({rates})",
    "held fixed": f"data, SGD with momentum, one cycle, batches of {batch}, {epochs} epochs",
    "repeated": f"seeds at each rate: {tuning_seeds}; a seed decides split, first weights and order",
    "chosen by": "validation accuracy, the mean of the last two epochs; away from the cliff",
    "then": "each network runs again at its rate with *fresh* seeds, the same ones for both",
    "quoted": "the test accuracy of these fresh runs",
}
say(plots.markdown_table(pd.DataFrame(lines.items(), columns=["", "what"])))

# %% [markdown]
# Why fresh seeds? The winner of many was partly lucky. Its luck does not carry over to new seeds, its quality does.
#
# In the figure each point is a learning rate. Both axes are logarithmic: what counts for a learning rate is its factor,
# and what counts near 100% is the error that is left. A ring marks what was chosen.

# %%
show(found, "tuning")

# %% tags=["hide-input"]
if found.complete:
    (plan,) = found.plans.values()
    tuning, rate = plan.of_role("tuning").query("arm == 'LeNet-5'"), plan.choices["LeNet-5"]["learning_rate"]
    means = tuning.groupby("learning_rate")["val_score"].mean()
    useful, beyond = means.index[means >= 0.8], means.index[(means < 0.2) & (means.index > rate)]
    guess = config.learning_rate
    say(
        f"The rate chosen for LeNet-5 is **{rate:g}**, with {means[rate]:.1%} of the validation digits right; our "
        f"guess was {guess:g}, with {means[guess]:.1%}. Third prediction: at least four digits in five are read with "
        f"rates from {useful[0]:g} to {useful[-1]:g}, a factor of **{useful[-1] / useful[0]:.0f}** within this grid.",
        f"At {beyond[0]:g}, {beyond[0] / rate:.0f} times the chosen rate, it has fallen over the **cliff**: "
        f"{means[beyond[0]]:.0%} are right, close to chance. So the two sides are not alike: downwards accuracy is "
        f"lost a little at a time, upwards all at once. When in doubt, go lower."
        if len(beyond)
        else "The grid ends before the cliff beyond which learning fails.",
    )

# %% [markdown]
# What happens beyond the cliff? The loss tells: it sits near $\ln 10$, the loss of a network that knows nothing. It is
# a finite number, so nothing tells anybody that the run is dead. Exercise 4 finds out where it died.

# %% [markdown]
# ## The result, with its uncertainty
#
# Now the runs with fresh seeds, each network at its own rate: the curves, then the accuracies on the test images.

# %%
show(found, "curves", "accuracy")

# %%
tell(found)

# %% [markdown]
# A line of the table has the mean $\bar x$ over $n$ runs and half a 95% interval,
#
# $$\bar x \pm t_{n-1}\,\frac{s}{\sqrt n},$$
#
# with $s$ the standard deviation over seeds and $t_{n-1}$ the 97.5% quantile of Student's t, which is large for few
# seeds, because so few cannot tell $s$ well. It says how well the *mean* is known: of intervals made in this way, 95 in
# 100 cover the mean that very many seeds would have. It does not say where the next single run will fall. The verdict
# under the table is about the *difference* of the two networks, seed by seed: it must lie above the margin with its
# whole interval.

# %% tags=["hide-input"]
if found.complete:
    table = found.table().set_index("network")
    best, base = table.loc["LeNet-5"], table.loc["linear layer"]
    say(
        f"After {best.epochs:.0f} epochs LeNet-5 misreads {1000 * (1 - best['mean']):.0f} of 1,000 test digits and a "
        f"linear layer {1000 * (1 - base['mean']):.0f}, with {best.num_params:,.0f} and {base.num_params:,.0f} "
        f"parameters. Of LeNet-5's fresh runs {best.collapsed} collapsed."
    )
    if PROFILE == "smoke":
        say("This is a smoke run, of few images and few seeds. Nothing should be concluded from it.")

# %% [markdown]
# ## Where the numbers live
#
# Every run of the sweep is one line of a CSV file, and its epochs are lines of another. They are plain text: any tool
# reads them, and git shows what changed.

# %% tags=["hide-input"]
paths = sorted((store.results_dir() / "quickstart").glob("*.csv"))
for path in paths:
    print(f"{os.path.relpath(path, '..'):40} {len(pd.read_csv(path)):5} lines")
if not paths:
    say(
        "*There is no such file at the moment: the runs are being measured again. Below, the run from above stands in.*"
    )

# %% [markdown]
# Here is one of them, the run that we trained above, a part of its columns. (`train_size` is empty where a run trains
# on all images.)

# %%
listed = found.runs[found.runs["run_id"] == config.run_id]
row = listed.iloc[0] if len(listed) else pd.Series(run.row)
what = ["run_id", "dataset", "train_size", "model", "learning_rate", "batch_size", "epochs", "seed"]
came_out = ["status", "train_loss", "val_accuracy", "test_accuracy", "num_params", "train_seconds"]
made_by = ["data_sha256", "model_sha256", "keras", "backend", "device", "commit"]
row[what + came_out + made_by].to_frame("value")

# %% [markdown]
# *Traceable* means that each of these can be held against the thing itself. `run_id` is a hash of the configuration, so
# two runs with one name are one run. `data_sha256` is a hash of the pixels and labels, `model_sha256` of the
# architecture: if a file or the code changes, the row no longer fits, and cnnkit refuses it instead of mixing old and
# new. `commit` is the state of the code (`git show` it). Let us make the three hashes again, from the row alone.

# %%
traced = RunConfig.from_row(row)
made_now = pd.Series({"run_id": traced.run_id, **fingerprint(traced)})
pd.DataFrame({"in the row": row[made_now.index], "made now": made_now}).map(lambda digest: digest[:12])

# %% [markdown]
# And the last proof: train the run again, here, from nothing but its row.

# %%
again = train(traced)
metrics = ["train_loss", "val_loss", "val_accuracy", "test_accuracy"]
comparison = pd.DataFrame({"in the row": row[metrics], "trained again": pd.Series(again.row)[metrics]}).astype(float)
comparison["difference"] = comparison["trained again"] - comparison["in the row"]
comparison

# %% tags=["hide-input"]
same = (comparison["difference"] == 0).all()
say(
    "Not a bit differs: data, code, seed and number of threads are the same, and so is the result."
    if same
    else "The figures differ, because this machine has another kind of processor or other versions than the row names "
    "in `device`, `keras` and `backend`: sums are rounded in another order, and training amplifies the difference."
)

# %% [markdown]
# ## Your own network, in a cell
#
# A function with the arguments `input_shape` and `num_classes` that returns a Keras model of scores is all it takes.
# `@register` gives it a name, and from then on it can be trained, swept over many runs and compared like any other.
# Ours asks whether LeNet-5 needs its two hidden dense layers, in which almost all its parameters are.


# %%
@register
def slim(input_shape, num_classes):
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(8, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(num_classes),
        ]
    )


slim_run = train(traced.replace(model="slim"))
both = [again, slim_run]
pd.DataFrame(
    {
        "parameters": [r.row["num_params"] for r in both],
        "macs": [anatomy.totals(r.network).macs for r in both],
        "test accuracy": [r.row["test_accuracy"] for r in both],
        "seconds": [r.row["train_seconds"] for r in both],
    },
    index=[r.config.model for r in both],
)

# %% tags=["hide-input"]
say(
    f"With {again.row['num_params'] / slim_run.row['num_params']:.0f} times fewer parameters, `slim` reads "
    f"{slim_run.row['test_accuracy']:.1%} of the test digits where LeNet-5 reads {again.row['test_accuracy']:.1%} "
    f"after the same training. It is one seed, and a learning rate chosen for the *other* network: an observation, not "
    f"a finding. Exercise 5 makes a finding of it."
)

# %% [markdown]
# ## Your own images
#
# Put them into one folder a class and name the folder as the data set. To show it for real, this cell first writes some
# of the digits as PNG files, threes and eights; with your pictures you skip that part. They become RGB pictures of one
# size, in three splits like any other data.

# %%
with tempfile.TemporaryDirectory() as photos:
    for digit, name in ((3, "three"), (8, "eight")):
        (Path(photos) / name).mkdir()
        for i in np.flatnonzero(labels["train"] == digit)[:100]:
            Image.fromarray(images["train"][i][..., 0]).save(Path(photos) / name / f"{i}.png")
    own = f"folder:{photos}?size=28"
    mine = load_dataset(own)
    mine_run = train(RunConfig(dataset=own, model="slim", learning_rate=0.05, batch_size=16, epochs=5))
print(mine.class_names, "training images:", mine.x_train.shape, "test images:", mine.x_test.shape)
print(f"test accuracy {mine_run.row['test_accuracy']:.0%} of {len(mine.x_test)} pictures")

# %% [markdown]
# ## How to go on
#
# The other notebooks, each with one question:

# %% tags=["hide-input"]
questions = {path.stem: path.read_text(encoding="utf-8").split("# # ")[1].split("\n")[0] for path in list_sources()}
say("\n".join(f"- [{title}]({name}.ipynb)" for name, title in questions.items() if name != "00_quickstart"))

# %% [markdown]
# From a terminal, in the repository's folder (`make` alone lists everything; every target sets up what it lacks):
#
# | command | what it does |
# |---|---|
# | `make quickstart` | the sweep of this notebook without Jupyter, offline |
# | `make lab` | opens the notebooks in JupyterLab |
# | `make notebooks PROFILE=smoke` | runs all notebooks from top to bottom, small |
# | `make sweeps EXPERIMENT=quickstart PROFILE=full` | trains what the committed table lacks, on MNIST |
# | `make verify` | trains a sample of the committed rows again and compares, as we did with one |
# | `make doctor` | says what this machine has and lacks |
#
# **Limits of this page.** The digits are clean, centred and small; a network that reads them need not read a photograph
# of a house number. The learning rate was chosen for one optimizer, one batch size and one short budget; for another
# the best rate may be another. An interval over seeds covers chance in training. It does not cover the choice of the
# test images, nor how digits written elsewhere would differ.

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* CIFAR-10's images are 32×32 pixels with three channels. How many parameters has LeNet-5 on
#    them? Which layers change, and why only these?
# 2. How would you state the test accuracy of the single run above with an interval, without training again? (Each of
#    its test images is a trial that succeeds or fails.) Which uncertainty does this interval cover that the one over
#    seeds does not?
# 3. Compute the interval of LeNet-5 in the table by hand, with NumPy and `scipy.stats.t`, from `found.runs`.
# 4. Train with a learning rate beyond the cliff. Then find the layers in which all units are dead: zero for every
#    validation image. Why can such a layer never recover?
# 5. Is `slim` really worse than LeNet-5, or better? Say what you would vary, tune and hold fixed, and write the code.

# %%
my_answer = None  # exercise 1: put your number here
coloured = create_model("lenet5_modern", (32, 32, 3), 10).count_params()
print("put your number in my_answer" if my_answer is None else "right" if my_answer == coloured else "not yet")

# %% [markdown]
# ## Solutions
#
# **1.** Only C1 sees the image: its filters now have $5\cdot5\cdot3$ weights. MNIST's images are padded to 32×32, these
# have that size, so everything behind C1 stays as it was. There are $6\cdot25\cdot(3-1)=300$ parameters more.

# %%
assert coloured == net.count_params() + 6 * 25 * (3 - 1)
print(f"{net.count_params():,} + 300 = {coloured:,}")

# %% [markdown]
# **2.** The number of correct answers is binomial. SciPy gives Wilson's interval, which holds near 100% where
# $\pm 1.96\sqrt{p(1-p)/n}$ does not. It covers the choice of the test images, for *this* trained network;
# the interval over seeds covers split, first weights and order, for *these* test images.

# %%
right, total = int((predicted == labels["test"]).sum()), len(predicted)
interval = stats.binomtest(right, total).proportion_ci(method="wilson")
print(f"{right / total:.2%}, 95% interval {interval.low:.2%} to {interval.high:.2%}")

# %% [markdown]
# **3.** The standard deviation is that of a sample, divided by $n-1$ (`ddof=1`).

# %%
if found.complete:
    (plan,) = found.plans.values()
    values = plan.of_role("fresh").query("arm == 'LeNet-5' and not collapsed")["test_accuracy"]
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    line = found.table().set_index("network").loc["LeNet-5"]
    if len(values) >= 5:  # the table gives fewer runs' range
        assert np.allclose([values.mean() - half, values.mean() + half], [line.low, line.high])
    print(f"{values.mean():.2%} ± {half:.2%}")

# %% [markdown]
# **4.** A ReLU is $\max(0, s)$. We run the validation images through the trained network, keep the output of every
# layer, and count the units that are zero for all of them (for a convolution: the maps that are zero everywhere).

# %%
dead = train(traced.replace(learning_rate=0.32, epochs=3)).network
names = ["C1", "C3", "C5", "F6"]
watch = keras.Model(dead.input, [dead.get_layer(name).output for name in names])
outputs = [np.asarray(output) for output in watch(standardise(images["val"]))]
largest = [output.max(axis=tuple(range(output.ndim - 1))) for output in outputs]  # over images and places
for name, values in zip(names, largest, strict=True):
    print(f"{name}: {(values == 0).sum():3} of {len(values):3} units dead")
answers = np.unique(np.argmax(dead(standardise(images["val"])), axis=-1))
print("it answers", *answers, "to every image")

# %% [markdown]
# One layer without a living unit is enough. What comes out of it is zero for every image, so the scores are the last
# layer's biases, and the answer is always the same class. And the gradient of a ReLU at $s<0$ is zero, so nothing in
# front of it is ever updated again: only these last biases still move, towards the classes' frequencies, and the best
# loss they can reach is that of answering with these frequencies, about $\ln 10$. The loss stays finite all the time.
# That is why it pays to look at accuracy beside chance, and not only for NaN.

# %% [markdown]
# **5.** *Varied:* the network. *Tuned for each network apart:* the learning rate, at least five values on validation,
# the best one not at the edge. *Held fixed:* data, optimizer, schedule, batch size, epochs. *Then* fresh seeds, the
# same for both, and the interval of the paired differences. All of it follows from a declaration, and a network of your
# own goes to the workers like any other. This takes some minutes, so it is for you to run; `scratch` is the name of a
# table of your own.
#
# ```python
# from cnnkit.evidence.experiment import Claim, Comparison, Experiment, run_experiment
#
# networks = Comparison(
#     traced,
#     by="network",
#     arms={"LeNet-5": {"model": "lenet5_modern"}, "slim": {"model": "slim"}},
#     rates=(0.005, 0.01, 0.02, 0.04, 0.08),
#     claims=(
#         Claim("lenet-beats-slim", "The hidden layers help.", "LeNet-5", "slim", source="exercise 5", margin=0.005),
#     ),
# )
# mine = run_experiment(Experiment("scratch", "Does LeNet-5 need its hidden layers?", full=networks, smoke=networks))
# tell(mine)
# ```
#
# SUPPORTED: LeNet-5 is better by more than the margin at this budget. REFUTED: it is not, and the reading says whether
# `slim` is better or the two are the same. INCONCLUSIVE: not decided by these seeds, which is an answer, too. Is a best
# rate the first or last of the five, the verdict is open until you add rates beyond it.
