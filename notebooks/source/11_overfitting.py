# %% [markdown]
# # 11 Overfitting: how do I see what is wrong with my run?
#
# A network that has seen an image often enough knows it by heart. That is not yet a fault: what counts are the images
# it has never seen. This notebook reads the two numbers that tell the one from the other, over the number of images,
# the number of weights and the number of epochs; asks what a score is worth that has been used to choose; and looks at
# what makes scores lie. At its end stands a clinic: runs that were broken on purpose, each with a different fault, and
# a function, `diagnose`, that has to name it.
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. A linear classifier has learnt 8,000 digits, and gets 42,000 more. Does its *training* accuracy rise or fall?
# 2. Two thousand images; one network has four times the filters of another. Which reads new images better?
# 3. The validation loss turns upward at a quarter of the training. How much accuracy is lost by training on to the end?
# 4. Every training image gets the label of another one. Which share of them can a network still learn?
# 5. A hundred settings are tried, and 1,000 images choose the best. How many points is its score too good?
# 6. One validation image in ten is also a training image. How far off is the score of a network that is right in half
#    of the cases?
# 7. Of seventeen broken runs, how many betray themselves in their curves alone?

# %% [markdown]
# **Two sizes.** Answers on MNIST and CIFAR-10 come from committed tables, in either profile. What a cell computes on
# the spot, the clinic too, reads small digits, and takes seconds.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

EXPERIMENTS = ("learning_curves", "long_training", "random_labels", "selection")

# %% tags=["hide-input"]
from matplotlib.colors import ListedColormap
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from cnnkit import diagnostics
from cnnkit.course.overfitting import _clinic, facts, long_training, selection
from cnnkit.evidence import claims
from cnnkit.lab import store

plt.rcParams["figure.dpi"] = 90
blue, orange, green, red = sns.color_palette("colorblind", 4)
found = {name: findings(name) for name in EXPERIMENTS}
others = [findings(name) for name in ("ablations",)]
rows = [row for one in [*found.values(), *others] for row in one.verdicts()]
verdicts = claims.as_table(rows).set_index("id")


def ours(id):
    """Tell what a claim's runs say, and its verdict, or what is awaited."""
    if id not in verdicts.index:
        return "*being measured*"
    row = verdicts.loc[id]
    return f"{plots.tell_effect(row)}: **{row['verdict']}**" if np.isfinite(row["effect"]) else f"*{row['reason']}*"


def told(ledger):
    """Show the facts of a row of the ledger."""
    tell_facts(one for one in facts.FACTS if one.ledger == ledger)


# %% [markdown]
# **What it costs.** Four experiments stand behind this page: what each asks, how many networks that takes as far as the
# rows decide it yet, and what those that are here cost, one after the other. (The last one counts its settings.)

# %% tags=["hide-input"]
cost = {
    name: [one.experiment.question, len(one.configs), len(one.runs), round(one.seconds / 60, 1)]
    for name, one in found.items()
}
trials = found["selection"].trials
cost["selection"][1:] = [selection.COUNTS["full"], len(trials), round(trials.get("seconds", pd.Series()).sum() / 60, 1)]
columns = ["question", "networks asked for", "here", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))

# %% [markdown]
# ## Two numbers
#
# With $n$ training images and a model $f$, let $E_{\text{train}}$ be the mean loss on these images and $E$ that on new
# ones. Then
#
# $$E=\underbrace{E_{\text{train}}}_{\text{does it fit?}}+\underbrace{(E-E_{\text{train}})}_{\text{the gap}} .$$
#
# Where the first term is large the model **underfits**: it cannot, or was not trained to. Where the second is, it
# **overfits**: it fitted what is true of these images alone. Each has cures of its own, and the cure of the one is no
# cure of the other. A curve through noisy points has both, and takes no time: a straight line and a polynomial of
# degree 9, fitted to 12 to 400 points of a sine with noise of deviation 0.3, 200 times each.

# %%
rng, grid = np.random.default_rng(1), []
for degree in (1, 9):
    for n in (12, 25, 50, 100, 400):
        for _ in range(200):
            x, x_new = rng.uniform(-1, 1, n), rng.uniform(-1, 1, 200)
            y, y_new = (np.sin(3 * one) + rng.normal(0, 0.3, len(one)) for one in (x, x_new))
            curve = np.polynomial.Polynomial.fit(x, y, degree, domain=[-1, 1])
            grid.append([degree, n, ((curve(x) - y) ** 2).mean(), ((curve(x_new) - y_new) ** 2).mean()])
toy = pd.DataFrame(grid, columns=["degree", "points", "training", "new"]).groupby(["degree", "points"]).median()
fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for degree, colour in ((1, blue), (9, orange)):
    for kind, line in (("training", "--"), ("new", "-")):
        part = toy.loc[degree, kind]
        ax.plot(part.index, part, line, marker="o", mec="w", color=colour, label=f"degree {degree}, {kind} points")
ax.axhline(0.3**2, color="0.5", linestyle=":", label="the noise")
ax.set(xscale="log", yscale="log", ylim=(0.005, 1), xlabel="Training points", ylabel="Mean squared error")
ax.set_xticks([12, 25, 50, 100, 400], [12, 25, 50, 100, 400])
ax.xaxis.set_minor_formatter("")
ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
sns.despine(fig)

# %% tags=["hide-input"]
line, bent = toy.loc[1], toy.loc[9]
say(
    f"The line starts with a gap, too, but soon its two curves meet: at 400 points {line.at[400, 'training']:.3f} and "
    f"{line.at[400, 'new']:.3f}, and no number of points would bring them down to the noise, 0.09. What more points do "
    f"to its *training* error is to raise it, from {line.at[12, 'training']:.3f} with 12. The polynomial's gap is a "
    f"factor of {bent.at[25, 'new'] / bent.at[25, 'training']:.1f} with 25 points, and "
    f"{bent.at[400, 'new'] / bent.at[400, 'training']:.2f} with 400: points cure it. (With 12 its error on new points "
    f"is off the chart, {bent.at[12, 'new']:,.0f}: ten coefficients through twelve points.)"
)

# %% [markdown]
# So what many articles prescribe, *more images against underfitting*, is the wrong medicine. A computation, then
# networks:

# %% tags=["hide-input"]
told(79)

# %% [markdown]
# ## More images
#
# | | |
# |---|---|
# | **varied** | the number of images, 500 to 50,000 (MNIST) and to 20,000 (CIFAR-10 at half its resolution) |
# | **two networks each** | one that is too small for the task: a linear classifier, a narrow CNN; and a large one |
# | **tuned, for each** | the learning rate; the largest sets take that of the next smaller one |
# | **held fixed** | no regularisation at all; momentum 0.9, batches of 50, a rate that falls to 0 |
# | **repeated** | over fresh seeds, each with images of its own |

# %%
show(found["learning_curves"], "learning_mnist", "learning_cifar10")

# %% tags=["hide-input"]
if found["learning_curves"].complete:
    mnist = found["learning_curves"].plans["mnist"].of_role("fresh").query("not collapsed")
    level = 100 * mnist.groupby(["network", "train_size"])[["train_accuracy", "test_accuracy"]].mean()
    linear, large = level.loc["linear"], level.loc["perceptron"]
    say(
        f"**Prediction 1.** It {'falls' if linear.diff().iloc[-1, 0] < 0 else 'rises'}: from "
        f"{linear.at[8000, 'train_accuracy']:.1f}% to {linear.at[50000, 'train_accuracy']:.1f}%; "
        f"{ours('images-against-underfitting')}. Its test accuracy goes from "
        f"{linear.at[8000, 'test_accuracy']:.1f}% to {linear.at[50000, 'test_accuracy']:.1f}%: "
        "what there was of a gap closes, and then there is nothing left to gain but by another network.",
        f"The perceptron learns all of them in either case, and its gap goes from "
        f"{large.at[8000, 'train_accuracy'] - large.at[8000, 'test_accuracy']:.2f} to "
        f"{large.at[50000, 'train_accuracy'] - large.at[50000, 'test_accuracy']:.2f} points; "
        f"{ours('images-against-overfitting')}. On CIFAR-10, which network gains more: "
        f"{ours('images-for-which-cifar10')}. And weights instead of images, for the one that underfits: "
        f"{ours('images-or-weights')}.",
    )
else:
    say(f"*learning_curves: {found['learning_curves'].gap()}.*")

# %%
tell(found["learning_curves"])

# %% [markdown]
# How long the way is one can guess from the curve itself: errors of trained-out networks fall roughly as a power of
# $n$, $E\approx a+b\,n^{-c}$, a straight line on log-log paper as long as $a$ does not matter. Two points of the curve
# and a ruler tell what ten times the images would buy, *before* anybody labels them.

# %% [markdown]
# ## More weights
#
# The other axis: 2,000 images and a network of ⅛ to 4 times 16 and 32 filters. An old rule says that test accuracy
# rises with the number of weights, and then falls, as the polynomial's did.

# %%
show(found["learning_curves"], "learning_capacity")

# %% tags=["hide-input"]
if found["learning_curves"].complete:
    fresh = found["learning_curves"].plans["capacity"].of_role("fresh").query("not collapsed")
    wide = 100 * fresh.groupby("width")[["train_accuracy", "test_accuracy"]].mean()
    say(
        f"**Prediction 2.** Test accuracy {wide.at['1/2', 'test_accuracy']:.1f}% (×½) and "
        f"{wide.at['2', 'test_accuracy']:.1f}% (×2); that the wider one is worse: {ours('wide-overfits')}. The gap, "
        f"×2 against ×½: {ours('wide-gap')}. A gap is not a fault by itself: what matters is where the lower line is."
    )
else:
    say(f"*learning_curves: {found['learning_curves'].gap()}.*")

# %% [markdown]
# The same on another network, with batch normalisation, in [12](12_architectures.ipynb): accuracy rises with the
# number of filters, and then falls?

# %% tags=["hide-input"]
say(*(f"{verdicts.at[id, 'text']} {ours(id)}" for id in ("width-rises", "width-falls") if id in verdicts.index))

# %% [markdown]
# ## More epochs: two curves that disagree
#
# "More epochs are better at first, then the network overfits": the picture that goes with it has a validation *loss*
# that turns. Does the *accuracy* turn, too? They measure different things. For scores $z$, the loss of an image of
# class $y$ is $-\ln p_y$, $p=\operatorname{softmax}(z)$; its accuracy is whether $z_y$ is the largest. Multiply all
# scores by $t$: the order stays, and so does every single answer, but not the loss.

# %%
rng = np.random.default_rng(1)
labels = rng.integers(0, 10, 2000)
scores = rng.normal(size=(2000, 10)) + 1.8 * np.eye(10)[labels]  # of a classifier that is often right
factors = np.geomspace(0.25, 8, 16)
probabilities = [np.exp(t * scores) / np.exp(t * scores).sum(axis=1, keepdims=True) for t in factors]
losses = [-np.log(p[np.arange(2000), labels]).mean() for p in probabilities]
accuracies = [(p.argmax(axis=1) == labels).mean() for p in probabilities]
assert np.ptp(accuracies) == 0
best = int(np.argmin(losses))
pd.DataFrame({"scores times": factors, "accuracy": accuracies, "loss": losses}).iloc[[0, best, 12, 15]].round(3)

# %% [markdown]
# A network that has all its training images right can still lower their loss, by larger scores: so it makes them
# larger. Its rare mistakes on new images become certain ones, and each costs as much as its certainty. The loss rises
# by *over-confidence*, not by more mistakes.
#
# Is it so? Here are the runs of six experiments (most under a falling rate, which itself lifts the end) that ended with
# at least 99% of their training images right, and trained for 12 epochs or more; for each, the epoch in which its
# validation loss was lowest, and that in which its accuracy was best.

# %%
parts = []
for name in ("sharing", "moving_average", "lenet", "networks", "ideas", "remedies"):
    runs = store.read_runs(name, store.results_dir("full"))
    runs = runs[(runs["status"] == "completed") & (runs["train_accuracy"] > 0.99) & (runs["epochs"] >= 12)]
    history = store.read_history(name, store.results_dir("full"))
    points = long_training.turning_points(history[history["run_id"].isin(runs["run_id"])])
    parts.append(points.merge(runs[["run_id", "dataset", "model", "epochs"]], on="run_id"))
turns = pd.concat(parts)
turns["data"] = turns["dataset"].str.replace("permuted:", "")
fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
for (name, part), colour in zip(turns.groupby("data"), (orange, blue), strict=True):
    axes[0].plot(part["loss turns"] / part["epochs"], part["rise"], "o", ms=4, alpha=0.5, color=colour, label=name)
    axes[1].plot(part["loss turns"] / part["epochs"], 100 * part["fall"], "o", ms=4, alpha=0.5, color=colour)
axes[0].set(xlabel="Lowest validation loss at (share of the epochs)", ylabel="Loss at the end / lowest")
axes[1].set(xlabel="Lowest validation loss at (share of the epochs)", ylabel="Accuracy lost since its best (points)")
axes[0].legend(frameon=False)
sns.despine(fig)

# %% tags=["hide-input"]
early = turns[turns["loss turns"] < 0.5 * turns["epochs"]]
later = (early["accuracy is best"] > early["loss turns"]).mean()
chance = (1 - early["loss turns"] / early["epochs"]).mean()
cifar = early[early["data"] == "cifar10"]
say(
    f"Of {len(turns):,} such runs, {len(early):,} had their lowest validation loss in the first half. Of these, "
    f"{later:.0%} had their best validation accuracy *after* that epoch (by chance it would be {chance:.0%}). At the "
    "end their loss was "
    f"{early['rise'].median():.2f} times its lowest (median; on CIFAR-10 {cifar['rise'].median():.2f} times), and "
    f"their accuracy {100 * early['fall'].median():.2f} points below its best ({100 * cifar['fall'].median():.2f} on "
    "CIFAR-10); and the best of so many noisy epochs is a little too good in any case."
)

# %% [markdown]
# And an experiment that asks it directly.
#
# | | |
# |---|---|
# | **varied** | 5 to 80 epochs with a rate that falls to 0; 80 at a constant rate, that nobody stops |
# | **tuned** | the rate, for 20 epochs; all others follow |
# | **held fixed** | Caffe's quick network, 2,500 images of CIFAR-10 at half their resolution, no regularisation |

# %%
show(found["long_training"], "two_curves", "accuracy")

# %% tags=["hide-input"]
if found["long_training"].complete:
    plan = found["long_training"].plans[""]
    chosen = plan.of_role("fresh").query("arm == @long_training.LONGEST")["run_id"]
    points = long_training.turning_points(plan.history[plan.history["run_id"].isin(chosen)])
    say(
        f"**Prediction 3.** At a constant rate the validation loss is lowest at epoch "
        f"{points['loss turns'].median():.0f} of 80 (median), the accuracy best at "
        f"{points['accuracy is best'].median():.0f}; from its best to the mean of the last five epochs it loses "
        f"{100 * points['fall'].mean():.1f} points, while the loss grows {points['rise'].mean():.1f} times; "
        f"{ours('validation-loss-rises')}. With a falling rate, is 80 worse than 20 (which end before all training "
        f"images are right)? {ours('long-training-worse')}. "
        f"And by loss: {ours('long-training-loss')}. Is 40 better than 20? {ours('more-epochs-better')}.",
        "So decide beforehand which of the two counts. If it is the accuracy, stopping at the lowest loss stops too "
        "early; if it is the probabilities, it is where to stop, or to divide the scores by a temperature.",
    )
else:
    say(f"*long_training: {found['long_training'].gap()}.*")

# %%
tell(found["long_training"])

# %% [markdown]
# ## Learning by heart: random labels
#
# "The training accuracy has reached 95%, so its capacity is fine." True: it can store the images; whether there was
# anything to learn is another question. Zhang et al. (2017) gave every training image a random label, once, and
# their networks learnt them all. A classifier that does so by construction is the nearest neighbour:

# %% tags=["hide-input"]
told(73)

# %% [markdown]
# | | |
# |---|---|
# | **varied** | true labels, or the same ones dealt out anew (`relabelled:`); a perceptron, a network of convolutions |
# | **tuned** | the rate with which random labels are sooner at 95%; true ones get the same |
# | **held fixed** | 1,000 images of CIFAR-10 at half their resolution, 150 epochs |

# %%
show(found["random_labels"], "fit", "accuracy")

# %% tags=["hide-input"]
if found["random_labels"].complete:
    level = (
        100
        * found["random_labels"].plans[""].of_role("fresh").groupby("arm")[["train_accuracy", "test_accuracy"]].mean()
    )
    say(
        "**Prediction 4.** Right in training, and of the test images: "
        + "; ".join(f"{arm} {one.train_accuracy:.1f}% and {one.test_accuracy:.1f}%" for arm, one in level.iterrows())
        + f". As well as true ones? Perceptron {ours('random-labels-learnt-perceptron')}; convolutions "
        f"{ours('random-labels-learnt-convolution')}. And later: {ours('random-labels-later-perceptron')}; "
        f"{ours('random-labels-later-convolution')}."
    )
else:
    say(f"*random_labels: {found['random_labels'].gap()}.*")

# %%
tell(found["random_labels"])

# %% [markdown]
# Counting weights says as much: 1,000 labels out of ten are $1000\log_2 10\approx 3{,}300$ bits, and the networks have
# sixty (convolutions) and a hundred and twenty times (perceptron) as many weights. That true labels are learnt *and*
# generalised is not explained by the number of weights.

# %% [markdown]
# ## What a score is worth that has chosen
#
# Of $k$ settings, each with a true accuracy $a_i$, a set of $n$ images shows $\hat a_i=a_i+\varepsilon_i$, with a
# standard error of $\sqrt{a_i(1-a_i)/n}$. The largest $\hat a_i$ is chosen, and it is the largest partly for its
# $\varepsilon_i$: what it shows is too good,
#
# $$\mathrm{E}\,\hat a_{i^*}-\mathrm{E}\,a_{i^*}>0\qquad\text{and for equal, independent ones}\quad
# \mathrm{E}\max(\varepsilon_1,\dots,\varepsilon_k)\le\sigma\sqrt{2\ln k}.$$
#
# So whoever chooses on the test set has no test any more. How much does it matter?

# %% tags=["hide-input"]
told(74)

# %% [markdown]
# **From rows that are there.** The search of notebook 13 trained 260 settings of a perceptron on MNIST to the end,
# each with three seeds, and wrote down validation and test accuracy of every run. We draw $k$ of them, and once choose
# by the test accuracy and report it; once choose by validation, and report the test accuracy of that.

# %%
runs = store.read_runs("search", store.results_dir("full"))
runs = runs[(runs["status"] == "completed") & (runs["epochs"] == 9)]
by = ["learning_rate", "optimizer_args", "batch_size", "schedule"]
val, test = (runs.pivot_table(f"{split}_accuracy", by, "seed").dropna().to_numpy() for split in ("val", "test"))
rng, rows = np.random.default_rng(1), []
for k in (1, 3, 10, 30, 100, 200):
    cheat, honest = [], []
    for _ in range(3000):
        few, seed = rng.choice(len(val), k, replace=False), rng.integers(val.shape[1])
        cheat.append(test[few, seed].max())
        honest.append(test[few[val[few, seed].argmax()], seed])
    rows.append({"settings tried": k, "chosen by test": np.mean(cheat), "chosen by validation": np.mean(honest)})
searched = pd.DataFrame(rows).set_index("settings tried")
searched["difference (points)"] = 100 * (searched["chosen by test"] - searched["chosen by validation"])
searched.style.format({"difference (points)": "{:.2f}"} | dict.fromkeys(searched.columns[:2], "{:.2%}"))

# %% tags=["hide-input"]
error = 100 * np.sqrt(0.965 * 0.035 / 10_000)
say(
    f"With {len(val)} settings that differ a lot, and 10,000 test images, whose standard error is {error:.2f} points, "
    f"after a hundred tries the one report is {searched['difference (points)'].loc[100]:.2f} points above the other. "
    "That is little, and it is of "
    "the size by which papers on MNIST are told apart. It grows with every try, and with every image that the test set "
    "lacks."
)

# %% [markdown]
# **An experiment.** A hundred settings, trained on 2,000 images of CIFAR-10; for each of them the table keeps *which*
# test images it has right. So any choosing set that there could have been can be drawn afterwards, the other images
# telling the truth. On the left, how far the best score is above its worth; on the right, how far the chosen setting is
# from the best one, its **regret**. Dotted: what independent mistakes would give (simulated). Real networks find the
# same images hard, so that their scores rise and fall together, and a choice is safer than each score.

# %%
show(found["selection"])

# %% tags=["hide-input"]
if found["selection"].complete:
    table = found["selection"].table().set_index(["images", "tried"])
    say(
        f"**Prediction 5.** A hundred settings on 1,000 images: {table.at[(1000, 100), 'optimism']:.1f} points too "
        f"good (independent mistakes: {table.at[(1000, 100), 'binomial_optimism']:.1f}); "
        f"by forty disjoint sets of 250: {ours('chosen-score-flatters')}. On 100 images it is "
        f"{table.at[(100, 100), 'optimism']:.1f}. The regret: "
        f"{table.at[(100, 100), 'regret']:.1f} points with 100 images, {table.at[(1000, 100), 'regret']:.1f} with "
        f"1,000; 25 images against 250: {ours('small-validation-costs')}."
    )
else:
    say(f"*selection: {found['selection'].gap()}.*")

# %% [markdown]
# ## How to split
#
# "8 : 1 : 1", "7 : 3", "a split prevents overfitting". A split prevents nothing; it lets one see. And no proportion is
# right for all $n$, since a standard error counts *images*:

# %% tags=["hide-input"]
told(75)

# %%
sizes = (100, 300, 1_000, 3_000, 10_000)
errors = {f"accuracy {a:.0%}": [100 * np.sqrt(a * (1 - a) / n) for n in sizes] for a in (0.5, 0.9, 0.99)}
pd.DataFrame(errors, index=pd.Index(sizes, name="images")).round(2).add_suffix(", ± points")

# %% [markdown]
# Too few validation images, and the wrong setting is chosen; too many, and the network lacks them in training. With $N$
# labelled images, a share $s$ of them for validation, what is lost against having both is
#
# $$\text{loss}(s)=\underbrace{a(N)-a\big((1-s)N\big)}_{\text{the learning curve}}+
# \underbrace{\text{regret}(sN)}_{\text{of the choice}} ,$$
#
# and both are measured above: the first by the large network's curve on CIFAR-10, read off by interpolation in
# $\log n$, the second by the hundred settings.

# %% tags=["hide-input"]
if found["selection"].complete and found["learning_curves"].complete:
    fresh = found["learning_curves"].plans["cifar10"].of_role("fresh").query("network == 'large' and not collapsed")
    curve = fresh.groupby("train_size")["test_accuracy"].mean()
    regret = selection.curves(selection.answers(found["selection"])).query("tried == tried.max()")
    shares, losses = np.linspace(0.02, 0.5, 49), {}
    for total in (1_000, 3_000, 10_000):
        learnt = np.interp(np.log((1 - shares) * total), np.log(curve.index), curve)
        missed = np.interp(np.log(shares * total), np.log(regret["images"]), regret["regret"])
        losses[total] = 100 * (np.interp(np.log(total), np.log(curve.index), curve) - learnt + missed)
    fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for (total, loss), colour in zip(losses.items(), (blue, orange, green), strict=True):
        ax.plot(100 * shares, loss, color=colour, label=f"{total:,} labelled images")
        ax.plot(100 * shares[loss.argmin()], loss.min(), "o", color=colour)
    ax.set(xlabel="Share that validates (%)", ylabel="Lost (points)", ylim=(0, None))
    ax.legend(frameon=False)
    sns.despine(fig)
    plt.show()
    best = [f"{shares[loss.argmin()]:.0%} of {total:,}" for total, loss in losses.items()]
    say(f"Least is lost with {', '.join(best)}.")
else:
    waiting = [name for name in ("learning_curves", "selection") if not found[name].complete]
    say(f"*It takes both experiments; being measured: {' and '.join(waiting)}.*")

# %% [markdown]
# ## Leaks
#
# A score can also lie because validation images are not new. Three ways, each on the spot.
#
# **Images of one split in another.** If a share $d$ of the validation images stands in the training set too, and the
# network knows its training images by heart, then a true accuracy $a$ shows as $d+(1-d)\,a$. Digits with so much noise
# on them that a nearest neighbour has trouble:

# %%
images, labels = load_digits(return_X_y=True)
rng, leaks = np.random.default_rng(1), []
dim = (images / 16 + rng.normal(0, 0.55, images.shape)).astype("float32")
for seed in range(6):
    x, rest, y, y_rest = train_test_split(dim, labels, train_size=400, stratify=labels, random_state=seed)
    x_val, y_val, x_new, y_new = rest[:300], y_rest[:300], rest[300:], y_rest[300:]
    for share in (0.0, 0.1, 0.3):
        copies = int(share * len(x_val))
        known = np.concatenate([x[copies:], x_val[:copies]]), np.concatenate([y[copies:], y_val[:copies]])
        nearest = KNeighborsClassifier(1).fit(*known)
        leaks.append([share, nearest.score(x_val, y_val), nearest.score(x_new, y_new)])
leaks = pd.DataFrame(leaks, columns=["share of copies", "shown", "new images"]).groupby("share of copies").mean()
leaks["formula"] = leaks.index + (1 - leaks.index) * leaks["new images"]
assert np.allclose(leaks["shown"], leaks["formula"], atol=0.02)
leaks.style.format("{:.1%}").format_index("{:.0%}")

# %% tags=["hide-input"]
shown, true = leaks.loc[0.1, ["shown", "new images"]]
say(
    f"**Prediction 6.** One copy in ten shows {shown:.1%} for what is {true:.1%}: {100 * (shown - true):.1f} points, "
    f"by the formula {10 * (1 - true):.1f}; for a network that is right in half of the cases, 5. The better a "
    "network is, the less a "
    "leak shows: on MNIST nobody would notice. Of CIFAR-10's own test images 3.3% have near copies among the training "
    "images (Barz and Denzler 2020); `cnnkit datasets --check` looks for exact ones."
)

# %% [markdown]
# **An ordered split.** `validation_split=0.2` takes the *last* fifth of the arrays, before any shuffling. If they lie
# class by class, as folders do, the classes of that fifth are never trained:

# %%
order = np.argsort(labels, kind="stable")
cut = int(0.8 * len(order))
nearest = KNeighborsClassifier(1).fit(images[order[:cut]], labels[order[:cut]])
ordered = nearest.score(images[order[cut:]], labels[order[cut:]])
x, x_val, y, y_val = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=0)
mixed = KNeighborsClassifier(1).fit(x, y).score(x_val, y_val)
print(f"last fifth, in order: {ordered:.1%}; a fifth, mixed and stratified: {mixed:.1%}")

# %% [markdown]
# **Statistics of all data.** Mean and deviation are to be taken from training images alone, we read. That is right, and
# for a mean and a deviation a pixel it hardly matters: no label is looked at. Where *labels* are looked at, it does:
# take 100 examples of 2,000 numbers, all of it noise, labels too; keep the 20 numbers that differ most between the two
# classes; and classify by the nearer mean. There is nothing to learn, so the truth is 50%.


# %%
def chosen_by(seen, x, y, train, val):
    """Return the validation accuracy where the examples `seen` choose the 20 numbers, and `train` the means."""
    apart = np.abs(x[seen][y[seen] == 1].mean(axis=0) - x[seen][y[seen] == 0].mean(axis=0))
    kept = x[:, np.argsort(apart)[-20:]]
    means = [kept[train][y[train] == label].mean(axis=0) for label in (0, 1)]
    distances = [((kept[val] - mean) ** 2).sum(axis=1) for mean in means]
    return (np.argmin(distances, axis=0) == y[val]).mean()


rng, told_of, scaled = np.random.default_rng(1), [], []
for _ in range(30):
    x, y = rng.normal(size=(100, 2000)), np.arange(100) % 2
    train, val = np.arange(50), np.arange(50, 100)
    told_of.append([chosen_by(seen, x, y, train, val) for seen in (np.arange(100), train)])
for seed in range(6):
    x, x_val, y, y_val = train_test_split(images, labels, train_size=200, stratify=labels, random_state=seed)
    for of in (images, x):
        mean, deviation = of.mean(axis=0), of.std(axis=0) + 1
        nearest = KNeighborsClassifier(1).fit((x - mean) / deviation, y)
        scaled.append(nearest.score((x_val - mean) / deviation, y_val))
scaled = np.reshape(scaled, (-1, 2)).mean(axis=0)
leaky, clean = np.mean(told_of, axis=0)
print(f"20 of 2,000 numbers chosen with all labels: {leaky:.0%}; with those of training alone: {clean:.0%}")
print(f"digits, each pixel's mean and deviation of all images: {scaled[0]:.2%}; of training images: {scaled[1]:.2%}")

# %% [markdown]
# So whatever *learns* belongs behind the split: choice of inputs, of epochs, of thresholds, of an augmentation. A mean
# knows no label.

# %% [markdown]
# ## The clinic
#
# `diagnose` reads a history (of Keras, Lightning, fastai), and a model and its data, if it may; it returns symptoms
# with evidence, causes and what to try. Where a sound run might show the same, it says *perhaps*. Can it be trusted?
# For every symptom that it knows there is a run with that very fault, and there are ten sound runs: linear, with
# sigmoids, batch-normalised, with dropout; 3 epochs or 25, batches of 4 or all at once, 150 images.

# %%
visits, histories = _clinic.round_of_visits()
codes = visits["certainty"].map({"–": -1, "": 0, "perhaps": 1, "sure": 2})
table = visits.assign(code=codes).pivot(index=["kind", "run"], columns="symptom", values="code")
broken, sound = table.loc["broken"].loc[_clinic.NAMES, _clinic.NAMES], table.loc["sound"][_clinic.NAMES]
both = pd.concat([broken, sound])
fig, ax = plt.subplots(figsize=(9.5, 8.5), layout="constrained")
shades = {-1: "#ffffff", 0: "#eeeeee", 1: "#e8a87c", 2: "#b3400e"}
ax.imshow(np.vectorize(list(shades).index)(both), cmap=ListedColormap([*shades.values()]), vmin=0, vmax=3)
for row, column in zip(*np.nonzero(both.to_numpy() == -1), strict=True):
    ax.text(column, row, "·", ha="center", va="center", color="0.6")
ax.axhline(len(broken) - 0.5, color="k", linewidth=0.8)
ax.set_xticks(range(len(both.columns)), both.columns, rotation=40, ha="left", rotation_mode="anchor", fontsize=8)
ax.xaxis.tick_top()
ax.set_yticks(range(len(both)), [*broken.index, *(f"sound: {name}" for name in sound.index)], fontsize=8)
for code, name in ((2, "sure"), (1, "perhaps"), (0, "looked for, not found"), (-1, "· not looked for")):
    ax.plot([], [], "s", color=shades[code], mec="0.7", label=name)
ax.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 0))
plt.show()

# %% tags=["hide-input"]
named = np.diag(broken) > 0
alone = {name: name in diagnostics.diagnose(histories[name])["symptom"].tolist() for name in _clinic.NAMES}
beside = int((broken > 0).to_numpy().sum() - named.sum())
accused = int((sound > 0).to_numpy().sum())
say(
    f"Rows are runs, columns what they are accused of. The diagonal: {named.sum()} of {len(broken)} broken runs are "
    f"named for what was done to them, {int((np.diag(broken) == 2).sum())} of them as *sure*. Off the diagonal stand "
    f"{beside} more; most are true as well: a rate of 20 leaves a network at chance, *and* its ReLUs dead, *and* one "
    f"answer for all. Below the line, {len(sound)} sound runs: {accused} accusations.",
    f"**Prediction 7.** From the curves alone: {sum(alone.values())} of {len(alone)}. What they do not show: "
    f"{', '.join(name for name, seen in alone.items() if not seen)}. These take a look at data and model.",
)

# %% [markdown]
# What it says of each, beside the fault's name; and three of the curves, with the place marked.

# %% tags=["hide-input"]
own = visits[(visits["kind"] == "broken") & (visits["run"] == visits["symptom"])]
advice = {one.name: one.advice for one in diagnostics.SYMPTOMS}
lines = own[["symptom", "certainty", "evidence"]].assign(**{"to try": own["symptom"].map(advice)})
say(plots.markdown_table(lines))

# %%
for name in ("overfitting", "validation loss rises with validation accuracy", "collapse"):
    history = diagnostics.read_history(histories[name])
    diagnostics.plot_diagnosis(history, diagnostics.diagnose(history))
    plt.show()

# %% [markdown]
# In the first picture accuracy falls when the loss turns: three training labels in ten were drawn anew, and what is
# learnt by heart there is wrong. In the second, of true training labels, accuracy goes on: the two curves that
# disagree, as above. The third is no overfitting at all, though validation falls: training falls with it.
#
# The same in a terminal, for a file that Keras' `CSVLogger` wrote, or Lightning, or fastai; and while a run goes on:
#
# ```
# python -m cnnkit diagnose history.csv --out picture.png
# ```
# ```python
# model.fit(..., callbacks=[Diagnose()])   # from cnnkit.diagnostics.callback
# ```
#
# In which order does one look, by hand? **First whether it can fit at all**: twenty images, to a loss of 0. If not, it
# is a bug or a rate. **Then the training images**: does it underfit? More weights, more epochs, less regularisation.
# **Then the gap**: more images, augmentation, the remedies of [10](10_regularization.ipynb). **Then the score**: how
# many images measured it, and how often were they asked?

# %% [markdown]
# ## Limits
#
# - Small networks and few images, one data set of photographs. Where a curve bends depends on all three.
# - "The runs of six experiments that know their training images" is no random sample of runs: they are those of this
#   course.
# - The hundred settings share training images and network; more different ones would have less in common, and so be
#   nearer to the dotted lines.
# - The clinic's runs have one fault each, a clear one. In the wild there are two at once, and half of one.
# - Rules and runs come from one hand: as on a training set, 17 of 17 flatters, and so does the bound that follows.
# - Ten sound runs without an accusation bound the rate of false alarms below 26% a run (at 95%, one-sided), no more.
#   Fifteen others, and all their beginnings, are in the tests.

# %% [markdown]
# ## The same in small
#
# In `smoke` one of the experiments also runs here and now, on digits. It shows that it runs; it is too small to
# conclude from.

# %%
if PROFILE == "smoke":
    small = run_here("random_labels")
    say("**random_labels**, smoke run:", plots.markdown_table(plots.readable(small.table())))

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* An accuracy of 80% shall be measured to a standard error of one point. How many images does it
#    take? (The cell below takes your answer.)
# 2. *Paper and pencil.* A fifth of the validation images are copies of training images, which the network knows by
#    heart; it shows 92%. What is its accuracy on new ones? (The cell takes this one, too.)
# 3. The training loss falls, the validation loss rises, the validation accuracy rises. What is wrong, and what is to be
#    done, if accuracy is what counts?
# 4. Twenty random settings tie at the top of your search. Their best score is 91.2% on 500 images. What will it be on
#    new ones, at a guess? Compute.
# 5. Break a sound run of the clinic in a new way. Does `diagnose` notice?

# %%
my_answers = {"images": None, "accuracy": None}  # exercises 1 and 2: put your numbers here, the accuracy as a fraction


def judge(answers):
    """Say of each number whether it is right."""
    true = {"images": 0.8 * 0.2 / 0.01**2, "accuracy": (0.92 - 0.2) / 0.8}
    for name, mine in answers.items():
        agrees = mine is not None and np.isclose(mine, true[name], rtol=0.005)
        print(f"{name}:", "not filled in" if mine is None else "right" if agrees else "not yet")


judge(my_answers)

# %% [markdown]
# ## Solutions
#
# **1.** $n=a(1-a)/0.01^2$. **2.** $0.92=0.2+0.8\,a$.

# %%
judge({"images": 0.16 / 0.0001, "accuracy": 0.9})

# %% [markdown]
# **3.** Nothing, if accuracy counts: train on. Its probabilities are over-confident; label smoothing, or a temperature
# fitted on validation images, mends them.
#
# **4.** Twenty equal ones: the best of them is $\mathrm{E}\max$ of twenty normal numbers too good, in standard errors.

# %%
error = np.sqrt(0.91 * 0.09 / 500)
print(f"{facts.best_of(20):.2f} × {error:.2%} too good: about {0.912 - facts.best_of(20) * error:.1%}")

# %% [markdown]
# (Rather less is lost if they make the same mistakes.) **5.** For instance training images upside down:

# %%
data = _clinic.digits()
upside_down = data | {"x_train": data["x_train"][:, ::-1]}
_, seen = _clinic.examine(lambda: _clinic.again(upside_down, 0.02, 8))
print(diagnostics.tell_diagnosis(seen).split("Looked for")[0])

# %% [markdown]
# ## Sources and what to read next
#
# Zhang, Bengio, Hardt, Recht and Vinyals 2017, *Understanding deep learning requires rethinking generalization*
# (random labels). Guo et al. 2017, *On calibration of modern neural networks* (loss and accuracy part). Hastie,
# Tibshirani and Friedman, *The elements of statistical learning*, sec. 7.10.2 (choosing inputs before the split).
# Barz and Denzler 2020, *Do we train on test data?* (ciFAIR). What is to be done about a gap:
# [10](10_regularization.ipynb). Depth, width and what they cost: [12](12_architectures.ipynb). How to search without
# fooling oneself: [13](13_hyperparameter_search.ipynb). What articles get wrong, all of it:
# [corrections](../results/corrections.md).
