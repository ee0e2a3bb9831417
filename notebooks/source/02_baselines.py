# %% [markdown]
# # 02 Baselines: how far without convolution?
#
# Before we believe that convolution is good for anything, we must know what simpler things can do. This notebook climbs
# a ladder. The first rung learns nothing: it looks for the most similar picture it has ever seen. The next draws one
# template a class. Then come hidden layers, then units that see only a window of the image, and at last units that
# share their weights: a convolution. At the end we pull the ladder away: we put the pixels of all images into another
# order and look who notices.
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. CIFAR-10 has ten classes of small colour photos. For a new photo you take the class of the most similar of 50,000
#    others, pixel by pixel. How often are you right? (Guessing: 10%.)
# 2. "Similar" may mean the sum of absolute differences (L1) or of squared ones (L2). Which is better, and where?
# 3. A linear classifier starts with all weights at zero. What is its loss before it has seen anything, with softmax
#    cross-entropy, and with the hinge of a support vector machine?
# 4. Three networks have the same number of weights: dense, locally connected, convolutional. Which order do they finish
#    in?
# 5. Now the pixels of all images are shuffled, every image in the same way. Which of the methods of this page notice?

# %% [markdown]
# **Two sizes.** `smoke` uses small digits and generated shapes: it needs no network, takes about a minute, and is
# too small to conclude from. `full` reads the rows of MNIST and CIFAR-10 from the committed tables.

# %% tags=["parameters"]
import os

PROFILE = os.environ.setdefault("CNNKIT_PROFILE", "smoke")
DATASETS = {"smoke": ["digits", "shapes"], "full": ["mnist", "cifar10"]}[PROFILE]

# %%
from cnnkit.lab.startup import prepare_workers

prepare_workers()  # the processes that train start here, and import Keras while this page imports it, too

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from cnnkit import anatomy, neighbours, plots
from cnnkit.lab import recipes, store
from cnnkit.evidence.claims import FRESH, best_settings
from cnnkit.data import load_dataset
from cnnkit.course.baselines import knn, linear, sharing
from cnnkit.evidence.experiment import run_experiment
from cnnkit.models.layers import LocallyConnected2D, PermutePixels
from cnnkit.models import create_model
from cnnkit.lab.provenance import use_one_thread
from cnnkit.lab.sweeps import cluster
from cnnkit.lab.training import RunConfig, train
from cnnkit.plots.wording import markdown_table, readable, tell_verdicts

plt.rcParams["figure.dpi"] = 100
use_one_thread()  # as in every recorded run: the number of threads changes the last bits of a result
SMALL_PRINT = " *(A smoke run: too small to conclude from.)*" if PROFILE == "smoke" else ""


def say(text):
    """Show a sentence whose numbers were computed."""
    display(Markdown(text))


def decide(module):
    """Print the verdicts on the claims of one experiment, which are about MNIST and CIFAR-10."""
    if PROFILE == "smoke":
        say("The claims are about MNIST and CIFAR-10; the `full` profile decides them.")
    else:
        name = module.EXPERIMENT.name
        print(tell_verdicts(module.EXPERIMENT.verdicts(runs[name], history[name])))


# %% [markdown]
# **What it costs.** Three experiments stand behind this page. What is finished comes from the tables; the rest is
# computed now, one run a core. The minutes are those of all runs one after the other.

# %%
runs, history = {}, {}
with cluster() as client:
    for name in ("knn", "linear", "sharing"):
        runs[name], history[name] = run_experiment(name, client=client)
cost = [{"runs": len(table), "minutes of one core": table["train_seconds"].sum() / 60} for table in runs.values()]
pd.DataFrame(cost, index=runs.keys()).round(1)

# %% [markdown]
# The images. A class must be told from all the others by numbers alone: 784 of them in a digit, 3,072 in a colour
# picture.

# %%
sets = {name: load_dataset(name) for name in DATASETS}
for name, dataset in sets.items():
    print(
        f"{name}: {len(dataset.x_train):,} to train, {len(dataset.x_val):,} to choose, {len(dataset.x_test):,} to test"
    )
    first = [np.flatnonzero(dataset.y_train == label)[0] for label in range(dataset.num_classes)]
    plots.plot_images(dataset.x_train[first], titles=dataset.class_names, columns=10)
    plt.show()

# %% [markdown]
# ## Nearest neighbours
#
# The simplest classifier keeps all training images. For a new image $a$ it looks for the stored image $b$ with the
# smallest distance, pixel by pixel,
#
# $$d_1(a, b) = \sum_p |a_p - b_p| \qquad\text{or}\qquad d_2(a, b) = \sqrt{\textstyle\sum_p (a_p - b_p)^2},$$
#
# and answers with its class, or with the class that most of the $k$ nearest have. Training takes no time at all;
# answering takes all of it. In NumPy it is three lines. We try them on a few images.

# %%
dataset = sets[DATASETS[-1]]
queries, stored = dataset.x_test[:8], dataset.x_train[:500]
difference = queries.reshape(8, 1, -1).astype(int) - stored.reshape(1, len(stored), -1)
by_hand = {"l1": abs(difference).sum(axis=-1), "l2": (difference**2).sum(axis=-1)}
by_hand["l1"].argmin(axis=1)

# %% [markdown]
# For all of CIFAR-10 that is 10,000 × 50,000 × 3,072 differences, 1.5 million millions. So the experiment computes the
# same numbers in another way. For L2, $(a-b)^2 = a^2 + b^2 - 2ab$ makes a matrix product of it, which every processor
# does fast. L1 has no such product, but
#
# $$|a - b| = a + b - 2\min(a, b)$$
#
# leaves a minimum and an addition of 16-bit numbers a pixel. All sums are of whole numbers and are kept exactly, so
# there is no rounding, and the answer is the same on every machine. The square root is left out: it changes no order.

# %%
for metric, expected in by_hand.items():
    distances, places = neighbours.nearest(queries, stored, metric, count=1)
    np.testing.assert_array_equal(distances[:, 0], expected.min(axis=1))
    np.testing.assert_array_equal(places[:, 0], expected.argmin(axis=1))
terms = {name: len(d.x_test) * (len(d.x_train) + len(d.x_val)) * d.x_test[0].size for name, d in sets.items()}
for name, count in terms.items():
    print(f"{name}: {count:.2e} pairs of pixels to compare the test set with all other images")

# %% [markdown]
# What does such a machine find similar? At the left a test image, beside it the five nearest training images by L1.

# %%
for name, dataset in sets.items():
    x, y = dataset.x_train, dataset.y_train
    asked = [np.flatnonzero(dataset.y_test == label)[0] for label in range(0, dataset.num_classes, 2)]
    distances, places = neighbours.nearest(dataset.x_test[asked], x, "l1", count=5)
    pictures, titles = [], []
    for query, near in zip(asked, places, strict=True):
        pictures += [dataset.x_test[query], *x[near]]
        titles += [f"{dataset.class_names[dataset.y_test[query]]}?", *(dataset.class_names[y[place]] for place in near)]
    plots.plot_images(pictures, titles=titles, columns=6)
    plt.show()
    right = (y[places] == dataset.y_test[asked][:, None]).mean()
    say(f"{name}: {right:.0%} of the neighbours in this picture have the class of the image at their left.")

# %% [markdown]
# Digits are drawn in one place, in white on black, and a near image is a near digit. In colour pictures look at the
# *grounds*: a neighbour is often right about sky, grass or brightness, and wrong about what stands in front of them.
# The distance has no idea which pixels matter.
#
# It also has no idea which pixels are neighbours. We move an image by a pixel or two to the right, which changes
# nothing for you, and ask whether the nearest *other* image is now closer to the original than its own moved copy.

# %%
dataset = sets[DATASETS[-1]]
some = dataset.x_test[:100]
distances, _ = neighbours.nearest(some, dataset.x_train, "l1", count=1)
lines = []
for shift in (1, 2, 4):
    moved = np.pad(some, [(0, 0), (0, 0), (shift, 0), (0, 0)], mode="edge")[:, :, : some.shape[2]]
    own = abs(some.astype(int) - moved).sum(axis=(1, 2, 3))
    lines.append(f"{(distances[:, 0] < own).mean():.0%} moved by {shift}")
say(f"Nearer to a stranger than to their own copy, of {len(some)} images: {', '.join(lines)} pixels.")

# %% [markdown]
# ### How many neighbours, and which distance?
#
# | | |
# |---|---|
# | **varied** | the distance, L1 or L2; $k$ from 1 to 20 |
# | **chosen** | $k$, on the validation images, whose neighbours are the training images |
# | **tested** | on all test images; neighbours are then all others, of training and validation |
# | **ties** | of equal distances the image stored first is nearer; of equal votes the lowest class wins |
#
# No seed and no chance is in this; what is uncertain is only which 10,000 images were drawn as the test set. The band
# is the 95% interval of a proportion (Wilson).

# %%
for name in DATASETS:
    plots.mark_profile(knn.plot_neighbours(runs["knn"], name), PROFILE)
    plt.show()
near = knn.table(runs["knn"])
say(markdown_table(readable(near)))

# %% [markdown]
# How different are L1 and L2 with one neighbour? Both answer the same images, so we may compare block by block: every
# row of the table holds a thousand images, and ten differences have an interval.

# %%
tested = runs["knn"][runs["knn"]["split"] == "test"]
tested = tested.assign(accuracy=tested["correct"].str.extract(r"\[(\d+)", expand=False).astype(int) / tested["images"])
test = knn.by_k(runs["knn"]).query("split == 'test'").set_index(["dataset", "metric", "k"])["accuracy"]
best = knn.chosen(runs["knn"])
for name in DATASETS:
    wide = tested[tested["dataset"] == name].pivot(index="block", columns="metric", values="accuracy")
    mean, low, high = store.student_interval(100 * (wide["l1"] - wide["l2"]))
    interval = f"[{low:+.2f}, {high:+.2f}]" if len(wide) > 1 else "(one block, no interval)"
    curves = "; ".join(
        f"{metric.upper()} {test[name, metric, 1]:.2%} with one neighbour, "
        + (
            "which was the best on validation"
            if best[name, metric] == 1
            else f"{test[name, metric, best[name, metric]]:.2%} with {best[name, metric]}, the best on validation"
        )
        for metric in ("l1", "l2")
    )
    say(f"**{name}**: {curves}. L1 minus L2 at $k = 1$: {mean:+.2f} percentage points {interval}." + SMALL_PRINT)

# %% [markdown]
# Two voters who disagree decide nothing: the lower class wins the tie, whoever was nearer. Where neighbours often
# disagree, that is a dent at $k = 2$. Beyond it more voters smooth odd neighbours away, until they sit too far off to
# know anything.
#
# Do the published figures come out? They are printed for the same images and need no luck, so they should, to the
# digit.

# %%
decide(knn)
if PROFILE == "full":
    errors = 100 * (1 - test["mnist", "l2"])
    same = (errors - 3.09).abs().idxmin()
    say(
        f"The page of MNIST prints 3.09% without saying for which $k$; it is ours at $k = {same}$, "
        f"{errors[same]:.2f}%. The 5.0% of 1998 come out at no $k$ from 1 to 20: there the error lies between "
        f"{errors.min():.2f}% and {errors.max():.2f}%. What was different then, the paper does not tell."
    )

# %% [markdown]
# ## One template a class: the linear classifier
#
# Neighbours are expensive: every answer reads all training images. A linear classifier keeps one weight for each pixel
# and class. The score of class $j$ is
#
# $$s_j = \sum_p W_{jp}\, x_p + b_j,$$
#
# a sum of products of the image and a **template** $W_j$ of the image's own size. Two losses are in use to learn the
# templates. With $y$ for the right class,
#
# $$L_\text{cross-entropy} = -\log\frac{e^{s_y}}{\sum_j e^{s_j}}
# \qquad\qquad L_\text{hinge} = \sum_{j \ne y} \max(0,\; s_j - s_y + 1).$$
#
# Cross-entropy reads scores as probabilities and is never quite content. The hinge, that of a support vector machine,
# is content once the right score leads each other one by a margin of 1. Here they are in NumPy, beside cnnkit's.

# %%
rng = np.random.default_rng(1)
scores, y = rng.normal(size=(6, 10)).astype("float32"), rng.integers(0, 10, 6)
one_hot, right = np.eye(10, dtype="float32")[y], scores[np.arange(6), y][:, None]
cross_entropy = (np.log(np.exp(scores).sum(axis=1, keepdims=True)) - right)[:, 0]
hinge = np.maximum(0, scores - right + 1).sum(axis=1) - 1  # minus the term of the right class itself, which is 1
np.testing.assert_allclose(cross_entropy.mean(), recipes.LOSSES["crossentropy"](0)(one_hot, scores), rtol=1e-5)
np.testing.assert_allclose(hinge, recipes.multiclass_hinge(one_hot, scores), rtol=1e-5)
print(pd.DataFrame({"cross-entropy": cross_entropy, "hinge": hinge}).round(3).to_string(index=False))

# %% [markdown]
# **Before any training** all weights are zero, or nearly so, and all scores are equal. Then each class has probability
# 1/10, so cross-entropy is $-\log\frac{1}{10} = \ln 10$; and each of nine wrong classes is short of its margin by 1, so
# the hinge is 9. It is the cheapest test of a program there is: another number at the first step is a mistake in it.

# %%
dataset = sets[DATASETS[0]]
images = dataset.x_train[:500].astype("float32") / 255
labels = np.eye(10, dtype="float32")[dataset.y_train[:500]]
keras.utils.set_random_seed(1)
network = create_model("softmax", dataset.input_shape, 10)
random_start = network.predict_on_batch(images)
network.set_weights([np.zeros_like(weights) for weights in network.get_weights()])
zero_start = network.predict_on_batch(images)
lines = {}
for start, outputs in {"all weights 0": zero_start, "Keras' random start": random_start}.items():
    losses = [recipes.LOSSES[loss](0)(labels, outputs) for loss in linear.LOSSES]
    lines[start] = [float(keras.ops.mean(loss)) for loss in losses]
assert np.allclose(lines["all weights 0"], [np.log(10), 9])
pd.DataFrame(lines, index=linear.LOSSES).round(4)

# %% [markdown]
# So the third prediction reads **ln 10 = 2.3026 and 9**. A random start is a little worse than none, because its scores
# differ, for no reason.
#
# ### Which loss?
#
# | | |
# |---|---|
# | **varied** | the loss |
# | **tuned, for each** | the learning rate, on validation images |
# | **held fixed** | plain SGD, five passes through all training images, a rate that falls as a cosine |
# | **repeated** | with fresh seeds, 5 in `full`; a seed decides split, first weights and order of images |

# %%
fresh = runs["linear"][runs["linear"]["seed"].isin(FRESH)]
tuning = runs["linear"].drop(fresh.index)
for name in tuning["dataset"].unique():
    plots.mark_profile(linear.plot_tuning(runs["linear"], name), PROFILE)
    plt.show()

# %% [markdown]
# The hinge adds up to nine terms, its gradient is larger, and so its best rate is smaller. Had both been trained at one
# rate, this figure would have decided the comparison, not the losses.

# %%
for (name, loss), arm in tuning.groupby(["dataset", "loss"]):
    chosen = best_settings(arm)
    edge = "at the EDGE of the grid" if chosen["at_edge"] else "inside the grid"
    print(f"{name:<8} {loss:<13} best rate {chosen['learning_rate']:<6g} {edge}")
plots.mark_profile(linear.plot_accuracy(runs["linear"]), PROFILE)
plt.show()

# %%
decide(linear)
wide = fresh.pivot_table(index=["dataset", "seed"], columns="loss", values="test_accuracy")
for name, pairs in (100 * (wide["crossentropy"] - wide["hinge"])).groupby("dataset"):
    mean, low, high = store.student_interval(pairs)
    say(
        f"**{name}**: cross-entropy minus hinge {mean:+.2f} percentage points [{low:+.2f}, {high:+.2f}] over "
        f"{len(pairs)} paired seeds. Textbooks call the two *usually comparable*." + SMALL_PRINT
    )

# %% [markdown]
# ### What the templates look like
#
# A template has a weight for each pixel, so it is a picture itself. We train one run of each kind again, from its row.

# %%
for (name, loss), arm in fresh.groupby(["dataset", "loss"]):
    run = train(RunConfig.from_row(arm.iloc[0]))
    templates = run.model.get_layer("logits").kernel.numpy().T.reshape(-1, *run.model.input_shape[1:])
    ax = plots.plot_images(templates, titles=load_dataset(name).class_names, columns=10)
    ax.set_title(f"{name}, {loss}: test accuracy {run.row['test_accuracy']:.1%}", fontsize="small", pad=18)
    plt.show()

# %% [markdown]
# Read a digit's template as a vote: ink on red counts for the class, ink on blue against it. The hole of the zero is
# blue, since ink there means any other digit. A colour template is what is left when all images of a class are laid on
# top of each other: the class's usual colours, and where it usually stands. In CIFAR-10 a car that is blue, or looks
# the other way, has only this one template to fit. The cure is more templates: a hidden layer.
#
# ## Three networks with equally many weights
#
# To compare *kinds* of connections we must hold the number of weights fixed. All three networks here have two hidden
# layers with ReLU, and a linear layer on top.
#
# - **dense**: every unit sees all pixels, with weights of its own;
# - **locally connected**: every unit sees a window, with weights of its own;
# - **convolutional**: every unit sees a window, with weights that all units of its map share.
#
# The last two have the same windows: 5×5 pixels, 2 apart, then 3×3 places, 2 apart. Softmax, with no hidden layer,
# cannot have as many weights and is the floor. What sharing saves is spent on more maps.

# %%
shown = "cifar10" if PROFILE == "full" else "mnist"
shape = (32, 32, 3) if PROFILE == "full" else (28, 28, 1)
networks = {model: create_model(model, shape, 10, **widths) for model, widths in sharing.WIDTHS[shown].items()}
for model, network in networks.items():
    layers = anatomy.layer_table(network)
    layers = layers[layers["num_params"] > 0]
    print(
        f"{sharing.NAMES[model]}, {layers['num_params'].sum():,} parameters, {layers['macs'].sum():,} products an image"
    )
    print(layers[["layer", "output_shape", "kernel_size", "num_params", "macs"]].to_string(index=False), "\n")

# %% [markdown]
# By hand, for the two first layers with windows. A window of $5\cdot 5$ pixels with $c$ channels has $25c$ weights and
# a bias. Without sharing, each place of each map has its own; with sharing, each map:
#
# $$\text{local: } \underbrace{h \cdot w}_{\text{places}} \cdot f\,(25c + 1) \qquad \text{shared: } f\,(25c + 1).$$

# %%
c = shape[-1]
for model, name in (("local_net", "local1"), ("conv_net", "conv1")):
    layer = networks[model].get_layer(name)
    _, height, width, filters = layer.output.shape
    places = height * width if model == "local_net" else 1
    assert layer.count_params() == places * filters * (25 * c + 1)
    print(f"{name}: {places} × {filters} × (25·{c} + 1) = {layer.count_params():,}")
counts = [networks[model].count_params() for model in ("dense_net", "local_net", "conv_net")]
say(
    f"The three differ by {max(counts) / min(counts) - 1:.2%} in all. For the same number of weights, the locally "
    f"connected network affords {networks['local_net'].get_layer('local1').output.shape[-1]} maps in its first layer, "
    f"the convolution {networks['conv_net'].get_layer('conv1').output.shape[-1]}."
)

# %% [markdown]
# Keras 3 has no locally connected layer any more, so cnnkit carries one. Here is the proof that it is a convolution
# without sharing: give all places the kernel of one convolution, and the outputs agree.

# %%
pictures = rng.normal(size=(2, 9, 9, 3)).astype("float32")
convolution, local = keras.layers.Conv2D(4, 3, strides=2), LocallyConnected2D(4, 3, strides=2)
expected, _ = convolution(pictures), local(pictures)
kernel, bias = convolution.get_weights()
local.set_weights([np.tile(kernel.reshape(27, 4).T, (16, 1, 1)), np.tile(bias[:, None], (16, 1, 1))])
np.testing.assert_allclose(local(pictures), expected, rtol=1e-4, atol=1e-5)
print("one kernel at all 16 places: the same output", tuple(expected.shape))

# %% [markdown]
# ## Permuted pixels
#
# The control. We put the pixels of every image, in training and in test, into another order: the same order for all. No
# information is lost, and one could sort them back. For a method that treats all pixels alike nothing has happened.

# %%
dataset = sets[DATASETS[-1]]
plain = dataset.x_train[:6]
mixed = np.asarray(PermutePixels()(plain.astype("float32"))).astype("uint8")
plots.plot_images([*plain, *mixed], titles=["plain"] * 6 + ["permuted"] * 6, columns=6)
plt.show()
for metric in ("l1", "l2"):
    stored = dataset.x_train[:500]
    moved = np.asarray(PermutePixels()(stored.astype("float32"))).astype("uint8")
    before, after = neighbours.nearest(plain, stored, metric, 5), neighbours.nearest(mixed, moved, metric, 5)
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
print("nearest neighbours and their distances: exactly the same, by L1 and by L2")

# %% [markdown]
# Which networks notice? The windows now hold pixels from anywhere in the image, and a pattern at one place means
# something else at the next.
#
# | | |
# |---|---|
# | **varied** | the network; the order of the pixels |
# | **tuned, for each of the eight** | the learning rate, on validation images |
# | **held fixed** | number of weights (but for softmax), images, SGD with momentum 0.9, epochs, a rate that falls |
# | **repeated** | with fresh seeds, 5 in `full` |

# %%
for name, part in sharing.label(runs["sharing"]).groupby("dataset"):
    plots.mark_profile(sharing.plot_tuning(part), PROFILE)
    plt.show()
    tuning = part[~part["seed"].isin(FRESH)]
    edges = [arm for arm, tried in tuning.groupby("arm") if best_settings(tried)["at_edge"]]
    print(f"{name}: best rate at the edge of the grid for", "; ".join(edges) or "none of the arms")
    best_rates = {arm: f"{best_settings(tried)['learning_rate']:g}" for arm, tried in tuning.groupby("arm")}
    print("best:", "; ".join(f"{arm} {rate}" for arm, rate in best_rates.items()))

# %% [markdown]
# Then fresh seeds, each arm at its own best rate.

# %%
for _, part in runs["sharing"].groupby("dataset"):
    plots.mark_profile(sharing.plot_accuracy(part), PROFILE)
    plt.show()

# %%
summary = sharing.table(runs["sharing"])
for name, part in summary.groupby("dataset"):
    means = part.pivot(index="network", columns="pixels", values="mean").loc[list(sharing.NAMES.values())]
    order = means["plain"].drop("softmax").sort_values(ascending=False)
    lost = 100 * (means["plain"] - means["permuted"])
    say(
        f"**{name}**, plain pixels: {', '.join(f'{net} {value:.1%}' for net, value in order.items())}; the floor, "
        f"softmax, {means.at['softmax', 'plain']:.1%}. Permuting costs, in percentage points: "
        f"{', '.join(f'{net} {value:.1f}' for net, value in lost.items())}. First on permuted pixels: "
        f"{means['permuted'].idxmax()}." + SMALL_PRINT
    )
say(markdown_table(readable(summary)))

# %% [markdown]
# Two of these orders may surprise you. What equal weights do *not* make equal is the number of units:

# %%
reads = {sharing.NAMES[model]: net.get_layer("logits").kernel.shape[0] for model, net in networks.items()}
first_units = networks["dense_net"].get_layer("dense1").units
means = summary.pivot(index=["dataset", "pixels"], columns="network", values="mean")
below = [f"{name}, {pixels}" for (name, pixels), mean in means.iterrows() if mean["dense"] < mean["softmax"]]
ahead = [name for (name, p), mean in means.iterrows() if p == "permuted" and mean["convolution"] > mean["dense"]]
say(
    f"On {shown} the last layer reads {reads['dense']:,} numbers in the dense network, {reads['local']:,} in the "
    f"locally connected one and {reads['convolution']:,} in the convolution. Dense below softmax, which has no hidden "
    f"layer at all: {'; '.join(below) or 'nowhere'}. All its {np.prod(shape):,} inputs must pass through {first_units} "
    f"units. Convolution ahead of dense even on *permuted* pixels: {'; '.join(ahead) or 'nowhere'}. In a window "
    f"of permuted pixels no two are neighbours but by chance, so a lead there is no locality: many units from few "
    f"weights are an advantage of their own, and only the permuted pixels tell the two apart." + SMALL_PRINT
)

# %% [markdown]
# The claims, decided by the rows:

# %%
decide(sharing)

# %% [markdown]
# Keep two things apart here. That a network *with windows* loses by permuting shows that windows help because of what
# is true of pictures: neighbouring pixels belong together, and a pattern may lie anywhere. It is knowledge that we
# built in, not something it learnt. And that softmax, dense networks and nearest neighbours cannot tell the two
# problems apart, up to chance in training, is no strength: they must find out from examples what a convolution knows
# at birth.
#
# **Limits.**
#
# - "Equal parameters" is one way to be fair. At equal *products an image* the comparison would look different: a shared
#   weight is used many times (`macs` above), so the convolution also computes more.
# - 10,000 training images. With more, a network that knows less at birth has more to learn from, and gaps shrink.
# - One shape of network, two hidden layers without pooling, chosen so that the three can be compared, not to be good.
# - A linear classifier with regularization, and pixels with their mean subtracted, does a little better; so do
#   neighbours after deslanting digits. We wanted the plain ones.
#
# ## Exercises
#
# 1. *Paper and pencil.* A locally connected layer with 5×5 windows one pixel apart and 16 maps reads a 32×32×3 image.
#    How many weights has it? How many has the convolution?
# 2. Someone says: "I use the hinge with a margin of 100 instead of 1, to be on the safe side." Show that without
#    regularization this changes nothing that matters.
# 3. Between a neighbour and a template: classify each test image by the nearest *mean image* of a class. Is it linear?
# 4. Where neighbours often disagree, $k = 2$ is worse than $k = 1$. Change the rule so that it cannot be, and predict
#    the new curve at $k = 2$.
# 5. Would a *random* permutation that is different for every image be learnable by any of these methods?
#
# ## Solutions
#
# **1.** $28\cdot 28$ places, $5\cdot 5\cdot 3 + 1$ numbers for each place and map. The convolution has one place's.

# %%
layer = LocallyConnected2D(16, 5)
layer.build((None, 32, 32, 3))
assert layer.count_params() == 28 * 28 * 16 * 76
print(f"{layer.count_params():,} against {16 * 76:,}: {28 * 28} times as many")

# %% [markdown]
# **2.** Multiply all weights and biases by 100: all scores grow a hundredfold, every term
# $\max(0, s_j - s_y + 100)$ is a hundred times the old $\max(0, s_j - s_y + 1)$, and no answer changes. The two
# problems have the same solutions in other units; only the learning rate has to follow. With a penalty on the weights,
# margin and penalty together set one scale: either may be fixed.

# %%
wide_margin = np.maximum(0, 100 * scores - 100 * right + 100).sum(axis=1) - 100
np.testing.assert_allclose(wide_margin, 100 * hinge, rtol=1e-4)
print("margin 100 on scores times 100 = 100 × margin 1, for every image")

# %% [markdown]
# **3.** It is linear: $\lVert x - m_j\rVert^2 = x^2 - 2\,m_j\cdot x + m_j^2$, and $x^2$ is the same for all classes. So
# the template is the mean image $m_j$, and the bias $-m_j^2/2$. It is the linear classifier with no training at all.

# %%
for name, dataset in sets.items():
    x, x_test = (d.reshape(len(d), -1).astype("float32") / 255 for d in (dataset.x_train, dataset.x_test))
    means = np.stack([x[dataset.y_train == label].mean(axis=0) for label in range(dataset.num_classes)])
    predicted = (x_test @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
    print(f"{name}: {(predicted == dataset.y_test).mean():.1%} by the nearest mean image")

# %% [markdown]
# **4.** Let the nearest neighbour decide a tie. With two voters who disagree, that is the first one's class; with two
# who agree, as well. So the curve at $k = 2$ has exactly the value at $k = 1$. So it has with
# `weights="distance"` in scikit-learn.

# %%
dataset = sets[DATASETS[-1]]
_, places = neighbours.nearest(dataset.x_test[:200], dataset.x_train[:2000], "l1", count=2)
voters, truth = dataset.y_train[places], dataset.y_test[:200]
lowest_wins, nearest_wins = (voters.min(axis=1) == truth).mean(), (voters[:, 0] == truth).mean()
print(f"two voters: {lowest_wins:.1%} when the lowest class wins a tie, {nearest_wins:.1%} when the nearest does")

# %% [markdown]
# **5.** Only what does not depend on the order is left: how many pixels have which colour, the histogram. None of the
# methods above sees it as such; a network that treats each pixel alone and then averages could. Try `PermutePixels`
# with another `order` in training and in test: to a network trained on one order, the other is noise.
