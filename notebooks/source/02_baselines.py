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
# **Two sizes.** What a cell computes on the spot reads small digits and generated shapes in `smoke` (no network, about
# a minute), MNIST and CIFAR-10 in `full`. Answers come from committed tables of MNIST and CIFAR-10 in either.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

DATASETS = {"smoke": ["digits", "shapes"], "full": ["mnist", "cifar10"]}[PROFILE]

# %% tags=["hide-input"]
from sklearn.neighbors import NearestNeighbors

from cnnkit.course.baselines import knn, sharing
from cnnkit.lab import recipes
from cnnkit.models.sharing import LocallyConnected2D

plt.rcParams["figure.dpi"] = 130
rng = np.random.default_rng(1)

# %% [markdown]
# **What it costs.** Three experiments stand behind this page. `knn` trains nothing; of the others: what each asks, how
# many networks that takes as far as the rows decide it yet, and what those that are here cost, one after the other.

# %% tags=["hide-input"]
found = {name: findings(name) for name in ("knn", "linear", "sharing")}
cost = {
    name: [one.experiment.question, len(one.configs), len(one.runs), round(one.seconds / 60, 1)]
    for name, one in found.items()
    if one.configs
}
columns = ["question", "networks asked for", "here", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))

# %% [markdown]
# The images. A class must be told from all the others by numbers alone: 784 of them in a digit, 3,072 in a colour
# picture.

# %%
sets = {name: load_dataset(name) for name in DATASETS}
for name, dataset in sets.items():
    images = [f"{len(getattr(dataset, f'x_{split}')):,}" for split in ("train", "val", "test")]
    print(f"{name}: {images[0]} to train, {images[1]} to choose, {images[2]} to test")
    first = [np.flatnonzero(dataset.y_train == label)[0] for label in range(dataset.num_classes)]
    plots.plot_images(dataset.x_train[first], titles=dataset.class_names, columns=10)
    plt.show()

# %% [markdown]
# ## 1. Nearest neighbours
#
# The simplest classifier keeps all training images. For a new image $a$ it looks for the stored image $b$ with the
# smallest distance, pixel by pixel,
#
# $$d_1(a, b) = \sum_p |a_p - b_p| \qquad\text{or}\qquad d_2(a, b) = \sqrt{\textstyle\sum_p (a_p - b_p)^2},$$
#
# and answers with its class, or with the class that most of the $k$ nearest have. Training takes no time at all;
# answering takes all of it. In NumPy it is three lines. We try them on a few images.

# %%
colour = sets[DATASETS[1]]
queries, stored = colour.x_test[:8], colour.x_train[:500]
difference = queries.reshape(8, 1, -1).astype(int) - stored.reshape(1, len(stored), -1)
by_hand = {"l1": abs(difference).sum(axis=-1), "l2": np.sqrt((difference**2).sum(axis=-1))}
by_hand["l1"].argmin(axis=1)

# %% [markdown]
# The page and its experiment let scikit-learn do it, which takes less memory. Does it find the same?


# %%
def nearest(queries, stored, metric, count):
    """Return distances to the nearest stored images and their places, both `(queries, count)`, the nearest first."""
    flat = [pixels.reshape(len(pixels), -1).astype("float64") for pixels in (queries, stored)]
    search = NearestNeighbors(n_neighbors=count, algorithm="brute", metric=knn.METRICS[metric]).fit(flat[1])
    return search.kneighbors(flat[0])


for metric, expected in by_hand.items():
    distances, places = nearest(queries, stored, metric, count=1)
    np.testing.assert_allclose(distances[:, 0], expected.min(axis=1), rtol=1e-9)
    np.testing.assert_array_equal(places[:, 0], expected.argmin(axis=1))
pairs = {name: len(d.x_test) * (len(d.x_train) + len(d.x_val)) * d.x_test[0].size for name, d in sets.items()}
for name, count in pairs.items():
    print(f"{name}: {count:.2e} pairs of pixels to compare the test set with all other images")

# %% [markdown]
# What does such a machine find similar? At the left a test image, beside it the five nearest training images by L1;
# a cross where the class is another.

# %%
for name, dataset in sets.items():
    x, y = dataset.x_train, dataset.y_train
    asked = [np.flatnonzero(dataset.y_test == label)[0] for label in range(0, dataset.num_classes, 2)]
    _, places = nearest(dataset.x_test[asked], x, "l1", count=5)
    pictures, titles = [], []
    for query, near in zip(asked, places, strict=True):
        pictures += [dataset.x_test[query], *x[near]]
        titles += [f"{dataset.class_names[dataset.y_test[query]]}?"]
        titles += [
            ("× " if y[place] != dataset.y_test[query] else "") + dataset.class_names[y[place]] for place in near
        ]
    plots.plot_images(pictures, titles=titles, columns=6)
    plt.show()
    right = (y[places] == dataset.y_test[asked][:, None]).mean()
    print(f"{name}: {right:.0%} of the neighbours in this picture have the class of the image at their left")

# %% [markdown]
# Digits are drawn in one place, in white on black, and a near image is a near digit. In colour pictures look at the
# *grounds*: a neighbour may be right about ground and brightness, and wrong about what stands in front of them. The
# distance has no idea which pixels matter. Nor has it an idea which pixels are neighbours. We move an image by some
# pixels to the right, which changes nothing for you, and hold its distance to its own moved copy against that to the
# nearest *other* image (median of 100 test images, L2).

# %%
some = colour.x_test[:100]
strangers = nearest(some, colour.x_train, "l2", count=1)[0][:, 0]
lines = []
for shift in (1, 2, 4, 8):
    moved = np.pad(some, [(0, 0), (0, 0), (shift, 0), (0, 0)], mode="edge")[:, :, : some.shape[2]]
    own = np.sqrt(((some.astype(float) - moved) ** 2).sum(axis=(1, 2, 3)))
    lines.append([shift, np.median(own / strangers), (own > strangers).mean()])
moves = pd.DataFrame(lines, columns=["pixels moved", "own distance / nearest stranger's", "nearer to a stranger"])
moves.round(2)

# %% tags=["hide-input"]
say(
    f"One pixel is {moves.iloc[0, 1]:.0%} of the way to a stranger, eight are {moves.iloc[-1, 1]:.0%}, and then "
    f"{moves.iloc[-1, 2]:.0%} of the images are nearer to some other picture than to themselves. The distance does "
    "not break at the first pixel, because neighbouring pixels are much alike; it wears off with every further one."
)

# %% [markdown]
# ### How many neighbours, and which distance?
#
# Advice such as "take seven" comes without the number of images that there are to be neighbours. What do $k$ and that
# number do? By L2, on validation images:

# %%
few = min(1000, len(colour.x_val))
curves = {}
for count in (200, 2000, len(colour.x_train)):
    right = knn.count_right(
        colour.x_val[:few], colour.x_train[:count], colour.y_val[:few], colour.y_train[:count], "l2"
    )
    curves[f"{count:,}"] = pd.Series(right / few, index=range(1, knn.MOST + 1))
curves = pd.DataFrame(curves)
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for (count, line), marker in zip(curves.items(), "osD", strict=True):
    ax.plot(line.index, 100 * line, marker=marker, ms=4, label=count)
    ax.plot(line.idxmax(), 100 * line.max(), "o", ms=13, mfc="none", mec="0.3")
ax.set(xlabel="k, neighbours that vote (ring: the best)", ylabel=f"Validation accuracy on {DATASETS[1]} (%)")
ax.set_xticks([1, 5, 10, 15, 20])
ax.legend(title="stored images", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
sns.despine(fig)
plots.mark_profile(fig, PROFILE)
plt.show()

# %% tags=["hide-input"]
error = 100 * np.sqrt(curves.max() * (1 - curves.max()) / few)
told = [f"{count} images: $k = {line.idxmax()}$, {line.max():.1%}" for count, line in curves.items()]
say(
    f"The best: {'; '.join(told)}. On {few:,} validation images each accuracy has a standard error of "
    f"{error.min():.1f} to {error.max():.1f} points, so neighbouring $k$ are not told apart, and a best $k$ on few "
    "images is no law. What more images buy is beyond doubt."
)

# %% [markdown]
# Now all test images.
#
# | | |
# |---|---|
# | **varied** | the distance, L1 or L2; $k$ from 1 to 20 |
# | **chosen** | $k$, on the validation images, whose neighbours are the training images |
# | **tested** | on all test images; neighbours are then all others, of training and validation |
# | **ties** | of equal votes the class wins whose members are nearer |
#
# No seed is in this; what is uncertain is only which 10,000 images were drawn as the test set. The intervals are those
# of a proportion (Wilson).

# %%
show(found["knn"])

# %%
tell(found["knn"])

# %% tags=["hide-input"]
if found["knn"].complete:
    test = knn.accuracies(found["knn"]).query("split == 'test'").set_index(["dataset", "metric", "k"])["accuracy"]
    for name in test.index.unique("dataset"):
        one = {metric: test[name, metric, 1] for metric in knn.METRICS}
        say(f"**{name}**, one neighbour (predictions 1 and 2): {one['l1']:.1%} by L1, {one['l2']:.1%} by L2.")

# %% [markdown]
# ## 2. One template a class: the linear classifier
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
# *By hand.* Three classes have the scores 1, 2.5 and −1, and the first is right. The hinge asks both others to stay 1
# below: $\max(0, 2.5 - 1 + 1) + \max(0, -1 - 1 + 1) = 2.5 + 0$. The third class is content, and pulls no more. In
# cross-entropy nobody ever is: $e^{1}, e^{2.5}, e^{-1}$ are $2.72, 12.18, 0.37$, so the right class has
# $2.72 / 15.27 = 0.178$ of the probability, and the loss is $-\log 0.178 = 1.73$.


# %%
def cross_entropy(scores, y):
    """Return the loss of each image (nats), for scores `(n, classes)` and labels `(n,)`."""
    return np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(y)), y]


def hinge(scores, y):
    """Return the loss of each image; the right class itself would add 1."""
    return np.maximum(0, scores - scores[np.arange(len(y)), y][:, None] + 1).sum(axis=1) - 1


example = np.array([[1.0, 2.5, -1.0]])
print(f"by hand: hinge {hinge(example, [0])[0]:.2f}, cross-entropy {cross_entropy(example, [0])[0]:.2f}")

scores, labels = rng.normal(size=(6, 10)).astype("float32"), rng.integers(0, 10, 6)
one_hot = np.eye(10, dtype="float32")[labels]
np.testing.assert_allclose(
    cross_entropy(scores, labels).mean(), recipes.LOSSES["crossentropy"](0)(one_hot, scores), rtol=1e-5
)
np.testing.assert_allclose(hinge(scores, labels), recipes.multiclass_hinge(one_hot, scores), rtol=1e-5)
print("the same on six random images: Keras' cross-entropy, and the hinge that the experiment trains with")

# %% [markdown]
# ### Before any training
#
# With all weights at zero all scores are equal. Each class has probability 1/10, so cross-entropy is
# $-\log\frac{1}{10} = \ln 10$; and each of nine wrong classes is short of its margin by 1, so the hinge is 9.


# %%
def scaled(images, dataset):
    """Return flat images `(n, pixels)` with mean 0 and deviation 1, channel by channel, over the training set."""
    mean, deviation = (np.float32(numbers) for numbers in dataset.channel_statistics())
    return ((images / np.float32(255) - mean) / deviation).reshape(len(images), -1)


digits = sets[DATASETS[0]]
keras.utils.set_random_seed(1)
network = create_model("softmax", digits.input_shape, 10)
sample, truth = scaled(digits.x_train[:500], digits), digits.y_train[:500]
random_start = network.predict_on_batch(sample.reshape(500, *digits.input_shape))
starts = {"all weights 0": np.zeros((500, 10)), "Keras' random start": random_start}
losses = {start: [cross_entropy(s, truth).mean(), hinge(s, truth).mean()] for start, s in starts.items()}
assert np.allclose(losses["all weights 0"], [np.log(10), 9])
pd.DataFrame(losses, index=["cross-entropy", "hinge"]).round(4)

# %% [markdown]
# So the third prediction reads **ln 10 = 2.3026 and 9**. A random start gives other numbers, the farther off the larger
# its scores are. It is the cheapest test of a program there is: a first loss as near to these values as Keras' start
# is in order; one that is several times as large is a mistake, in the loss, the labels or the scale of the inputs.

# %% [markdown]
# ### Learning, in NumPy
#
# The gradient of cross-entropy with respect to the scores is $p - \text{one-hot}(y)$. So each image adds its pixels to
# the template of its class, as far as the class was not believed, and takes them from the others, as far as these were.


# %%
def learn(x, y, rate, epochs):
    """Return templates `(pixels, 10)` and biases of softmax regression after SGD from zeros, in batches of 32."""
    W, b = np.zeros((x.shape[1], 10), "float32"), np.zeros(10, "float32")
    for _ in range(epochs):
        for start in range(0, len(x) - 31, 32):
            batch, right = x[start : start + 32], y[start : start + 32]
            s = batch @ W + b
            p = np.exp(s - s.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            push = (p - np.eye(10, dtype="float32")[right]) / len(batch)
            W -= rate * batch.T @ push
            b -= rate * push.sum(axis=0)
    return W, b


x, y = scaled(digits.x_train[:4800], digits), digits.y_train[:4800]
W, b = learn(x, y, rate=0.02, epochs=1)
right = (scaled(digits.x_val, digits) @ W + b).argmax(axis=1) == digits.y_val
print(f"one pass over {len(x):,} images of {DATASETS[0]}: {right.mean():.1%} of the validation images right")

# %% [markdown]
# Keras, from the same zeros and with the same batches, must end at the same weights.

# %%
network.set_weights([np.zeros_like(weights) for weights in network.get_weights()])
network.compile(keras.optimizers.SGD(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
for start in range(0, len(x) - 31, 32):
    network.train_on_batch(x[start : start + 32].reshape(32, *digits.input_shape), y[start : start + 32])
kernel, bias = network.get_weights()
np.testing.assert_allclose(W, kernel, atol=1e-5)
np.testing.assert_allclose(b, bias, atol=1e-5)
print(f"largest difference of {W.size:,} weights: {abs(W - kernel).max():.1e}")

# %% [markdown]
# ### Which loss?
#
# | | |
# |---|---|
# | **varied** | the loss |
# | **tuned, for each** | the learning rate, on validation images |
# | **held fixed** | plain SGD, all training images, pixels of mean 0 and deviation 1, a rate that falls as a cosine |
# | **repeated** | with fresh seeds; a seed decides split, first weights and order of images |
#
# The hinge adds up to nine terms, so its gradient is larger and its rates must be smaller: it has a grid of its own.
# Had both been trained at one rate, that would have decided the comparison, not the losses. (MNIST's rates are on the
# [page of this chapter](../results/baselines/README.md#linear).)

# %%
show(found["linear"], "tuning_cifar10", "accuracy_mnist", "accuracy_cifar10")

# %%
tell(found["linear"])

# %% tags=["hide-input"]
if found["linear"].complete:
    words = {"SUPPORTED": "not comparable here", "no difference": "comparable", "opposite": "the hinge is better"}
    told = [
        f"on {row['id'].split('-')[-1]} cross-entropy is ahead by {100 * row['effect']:+.2f} points, where "
        f"{100 * row['margin']:g} would matter: {words.get(row['reading'] or row['verdict'], 'open')}"
        for row in found["linear"].verdicts()
    ]
    say(
        f"The CS231n notes call the two *usually comparable*. Held against that: {'; '.join(told)}. (Their classifiers "
        "have a penalty on the weights, ours none.)"
    )

# %% [markdown]
# ### What the templates look like
#
# A template has a weight for each pixel, so it is a picture itself. We let `learn` go over all training images a few
# times. Below each template: the *mean image* of its class, with the mean of all images taken away.

# %%
for (name, dataset), rate in zip(sets.items(), (0.005, 0.0005), strict=True):
    W, b = learn(scaled(dataset.x_train, dataset), dataset.y_train, rate, epochs=5)
    accuracy = ((scaled(dataset.x_test, dataset) @ W + b).argmax(axis=1) == dataset.y_test).mean()
    templates = W.T.reshape(-1, *dataset.input_shape)
    edge = np.quantile(abs(templates), 0.98)  # a few weights at the border would hide the rest
    pixels = dataset.x_train / np.float32(255)
    means = np.stack([pixels[dataset.y_train == label].mean(axis=0) for label in range(10)]) - pixels.mean(axis=0)
    fig, axes = plt.subplots(2, 1, figsize=(9.6, 2.9), layout="constrained")
    plots.plot_images(templates.clip(-edge, edge), titles=dataset.class_names, columns=10, ax=axes[0])
    plots.plot_images(means, columns=10, ax=axes[1])
    fig.suptitle(f"{name}: templates (test accuracy {accuracy:.1%}), and mean images", fontsize="medium")
    plots.mark_profile(fig, PROFILE)
    plt.show()

# %% [markdown]
# Read a digit's template as a vote: ink on red counts for the class, ink on blue against it. The two rows are related,
# and not the same. A mean image says what a class looks like. A template says what tells it *from the others*: it is
# strong where one class has ink and its rivals have none, and weak where all have some, however much that is. (Exercise
# 3 classifies with the mean images.) In CIFAR-10 a car that is blue, or looks the other way, has only this one template
# to fit. The cure is more templates: a hidden layer.

# %% [markdown]
# ## 3. Three networks with equally many weights
#
# To compare *kinds* of connections we must hold the number of weights fixed. Three networks have two hidden layers with
# ReLU, and a linear layer on top.
#
# - **dense**: every unit sees all pixels, with weights of its own;
# - **locally connected**: every unit sees a window, with weights of its own;
# - **convolutional**: every unit sees a window, with weights that all units of its map share.
#
# The last two have the same windows: 5×5 pixels, 2 apart, then 3×3 places, 2 apart. What sharing saves is spent on more
# maps. A fourth network keeps nothing equal: the **perceptron** with one hidden layer of 512 units, which is what one
# would take who had never heard of windows. In Keras (only `LocallyConnected2D` is cnnkit's, of which below):


# %%
def build(*hidden):
    return keras.Sequential([keras.Input((32, 32, 3)), *hidden, layers.Dense(10)])


window = {"strides": 2, "activation": "relu"}
by_keras = {
    "dense": build(layers.Flatten(), layers.Dense(31, "relu"), layers.Dense(81, "relu")),
    "local": build(LocallyConnected2D(5, 5, **window), LocallyConnected2D(12, 3, **window), layers.Flatten()),
    "convolution": build(layers.Conv2D(16, 5, **window), layers.Conv2D(193, 3, **window), layers.Flatten()),
    "perceptron": build(layers.Flatten(), layers.Dense(512, "relu")),
}

# %% [markdown]
# The experiment builds them by name, with He's start. Their weights must have the same shapes; `macs` are products.

# %%
arms = {arm.removesuffix(", plain"): c for arm, c in sharing.CIFAR10.configs.items() if arm.endswith("plain")}
networks = {arm: create_model(config.model, (32, 32, 3), 10, **config.model_args) for arm, config in arms.items()}
for arm, net in networks.items():
    assert [weights.shape for weights in net.weights] == [weights.shape for weights in by_keras[arm].weights]
    table = anatomy.layer_table(net)
    table = table[table["num_params"] > 0]
    print(f"{arm}: {table['num_params'].sum():,} parameters, {table['macs'].sum():,} products an image")
    print(table[["layer", "output_shape", "kernel_size", "num_params", "macs"]].to_string(index=False), "\n")

# %% [markdown]
# By hand, for the two first layers with windows. A window of $5\cdot 5$ pixels with 3 channels has 75 weights and a
# bias. Without sharing, each place of each map has its own; with sharing, each map:
#
# $$\text{local: } \underbrace{h \cdot w}_{\text{places}} \cdot f\,(75 + 1) \qquad \text{shared: } f\,(75 + 1).$$

# %%
for arm, name in (("local", "local1"), ("convolution", "conv1")):
    layer = networks[arm].get_layer(name)
    _, height, width, filters = layer.output.shape
    places = height * width if arm == "local" else 1
    assert layer.count_params() == places * filters * 76
    print(f"{name}: {places} × {filters} × (75 + 1) = {layer.count_params():,}")
counts = [networks[arm].count_params() for arm in ("dense", "local", "convolution")]
print(f"the three networks differ by {max(counts) / min(counts) - 1:.2%} in all")

# %% [markdown]
# Keras 3 has no locally connected layer any more, so cnnkit carries one. Here is the proof that it is a convolution
# without sharing: give all places the kernel of one convolution, and the outputs agree.

# %%
pictures = rng.normal(size=(2, 9, 9, 3)).astype("float32")
convolution, local = layers.Conv2D(4, 3, strides=2), LocallyConnected2D(4, 3, strides=2)
expected, _ = convolution(pictures), local(pictures)
kernel, bias = convolution.get_weights()
local.set_weights([np.tile(kernel.reshape(27, 4).T, (16, 1, 1)), np.tile(bias[:, None], (16, 1, 1))])
np.testing.assert_allclose(local(pictures), expected, rtol=1e-4, atol=1e-5)
print("one kernel at all 16 places: the same output", tuple(expected.shape))

# %% [markdown]
# ## 4. Permuted pixels
#
# The control. We put the pixels of every image, in training and in test, into another order: the same order for all. No
# information is lost, and one could sort them back. For a method that treats all pixels alike nothing has happened.

# %%
mixed = load_dataset(f"permuted:{DATASETS[1]}")
plots.plot_images([*colour.x_test[:6], *mixed.x_test[:6]], titles=["plain"] * 6 + ["permuted"] * 6, columns=6)
plt.show()
for metric in knn.METRICS:
    before = nearest(colour.x_test[:6], colour.x_train[:500], metric, 5)
    after = nearest(mixed.x_test[:6], mixed.x_train[:500], metric, 5)
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
print("nearest neighbours and their distances: exactly the same, by L1 and by L2")

# %% [markdown]
# Which networks notice? The windows now hold pixels from anywhere in the image, and a pattern at one place means
# something else at the next. If windows help *because* neighbouring pixels belong together, they must help less here:
# what windows buy on plain pixels, minus what they buy on permuted ones, is what locality is worth.
#
# | | |
# |---|---|
# | **varied** | the network; the order of the pixels |
# | **tuned, for each of the seven** | the learning rate, on validation images |
# | **held fixed** | images, SGD with momentum 0.9, epochs, a rate that rises and falls; the weights of three |
# | **repeated** | with fresh seeds |
#
# These networks read a part of the training images, neighbours and templates above read all of them: compare within a
# section. The rates that were tried, a panel a network, are on the
# [page of this chapter](../results/baselines/README.md#sharing); the table has those that were chosen.

# %%
show(found["sharing"], "accuracy_cifar10", "accuracy_mnist")

# %%
tell(found["sharing"])

# %% tags=["hide-input"]
if found["sharing"].complete:
    for name, part in found["sharing"].table().groupby("part"):
        means = part.pivot(index="network", columns="pixels", values="mean")
        order = means["plain"].drop("perceptron").sort_values(ascending=False)
        lost = 100 * (means["plain"] - means["permuted"]).dropna()
        say(
            f"**{name}** (prediction 4), equal parameters, plain pixels: "
            f"{', '.join(f'{net} {value:.1%}' for net, value in order.items())}; the perceptron "
            f"{means.at['perceptron', 'plain']:.1%}. Permuting (prediction 5) costs, in percentage points: "
            f"{', '.join(f'{net} {value:.1f}' for net, value in lost.items())}."
        )
if (everything := findings("networks")).complete:
    means = everything.table().query("part == 'cifar10'").set_index("network")["mean"]
    say(
        f"On all 45,000 images of CIFAR-10, trained out: softmax {means['softmax']:.1%}, the perceptron "
        f"{means['mlp']:.1%}, a network with three convolutions, which also saw pictures flipped and shifted, "
        f"{means['caffe_quick']:.1%}."
    )

# %% [markdown]
# Keep two things apart here. What a network *with windows* loses by permuting is what knowing the picture is worth:
# neighbouring pixels belong together, and a pattern may lie anywhere. We built that in; it was not learnt. And that
# softmax, dense networks and nearest neighbours cannot tell the two problems apart, up to chance in training, is no
# strength: they must find out from examples what a convolution knows at birth. Where a convolution leads even on
# permuted pixels, that is no locality: it affords many units for few weights, and only the control tells the two apart.

# %% [markdown]
# ## Limits
#
# - "Equal parameters" is one way to be fair. At equal *products an image* the comparison would look different: a shared
#   weight is used many times (`macs` above), so the convolution also computes more.
# - With more images a network that knows less at birth has more to learn from, and gaps shrink.
# - One shape of network, two hidden layers without pooling, chosen so that the three can be compared, not to be good.
# - A linear classifier with regularization does a little better; so do neighbours after deslanting digits. We wanted
#   the plain ones.

# %% [markdown]
# ## The same in small
#
# In `smoke` the three experiments also run here and now, on digits and shapes, with two seeds and hardly any epochs. It
# shows that they run; it is too small to conclude from.

# %%
if PROFILE == "smoke":
    for name in found:
        small = run_here(name)
        say(f"**{name}**, smoke run:", plots.markdown_table(plots.readable(small.table())))
    show(small, "accuracy_digits")

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* A locally connected layer with 5×5 windows one pixel apart and 16 maps reads a 32×32×3 image.
#    How many weights has it, biases included? How many has the convolution? The cell below says if you are right.
# 2. Someone says: "I use the hinge with a margin of 100 instead of 1, to be on the safe side." Show that without
#    regularization this changes nothing that matters.
# 3. Between a neighbour and a template: classify each test image by the nearest *mean image* of a class. Is it linear?
# 4. Two neighbours who disagree are a tie. Here the nearer one wins it. Say what the curve does from $k = 1$ to
#    $k = 2$, and what it would do if the lower class number won.
# 5. Would a *random* permutation that is different for every image be learnable by any of these methods?

# %%
my_weights = {"local": None, "convolution": None}  # exercise 1: put your numbers here


def judge(weights):
    """Say of each number of exercise 1 whether Keras counts as many."""
    for name, layer in {"local": LocallyConnected2D(16, 5), "convolution": layers.Conv2D(16, 5)}.items():
        layer.build((None, 32, 32, 3))
        mine = weights[name]
        print(f"{name}:", "not filled in" if mine is None else "right" if mine == layer.count_params() else "not yet")


judge(my_weights)

# %% [markdown]
# ## Solutions
#
# **1.** $28\cdot 28$ places, $5\cdot 5\cdot 3 + 1$ numbers for each place and map. The convolution has one place's.

# %%
judge({"local": 28 * 28 * 16 * 76, "convolution": 16 * 76})
print(f"{28 * 28 * 16 * 76:,} against {16 * 76:,}: {28 * 28} times as many")

# %% [markdown]
# **2.** Multiply all weights and biases by 100: all scores grow a hundredfold, every term
# $\max(0, s_j - s_y + 100)$ is a hundred times the old $\max(0, s_j - s_y + 1)$, and no answer changes. The two
# problems have the same solutions in other units; only the learning rate has to follow. With a penalty on the weights,
# margin and penalty together set one scale: either may be fixed.

# %%
right = scores[np.arange(6), labels][:, None]
wide_margin = np.maximum(0, 100 * scores - 100 * right + 100).sum(axis=1) - 100
np.testing.assert_allclose(wide_margin, 100 * hinge(scores, labels), rtol=1e-4)
print("margin 100 on scores times 100 = 100 × margin 1, for every image")

# %% [markdown]
# **3.** It is linear: $\lVert x - m_j\rVert^2 = x^2 - 2\,m_j\cdot x + m_j^2$, and $x^2$ is the same for all classes. So
# the template is the mean image $m_j$, and the bias $-m_j^2/2$. It is a linear classifier with no training at all;
# compare it with the trained one above.

# %%
for name, dataset in sets.items():
    pixels, unseen = (d.reshape(len(d), -1).astype("float32") / 255 for d in (dataset.x_train, dataset.x_test))
    means = np.stack([pixels[dataset.y_train == label].mean(axis=0) for label in range(dataset.num_classes)])
    predicted = (unseen @ means.T - (means**2).sum(axis=1) / 2).argmax(axis=1)
    print(f"{name}: {(predicted == dataset.y_test).mean():.1%} by the nearest mean image")

# %% [markdown]
# **4.** With two voters who disagree the first one's class wins, and with two who agree as well: the value at $k = 2$
# is that at $k = 1$, exactly. If the lower class won, the nearer neighbour would be overruled half of the time, and the
# curve had a dent.

# %%
_, places = nearest(colour.x_test[:500], colour.x_train[:2000], "l2", count=2)
voters, truth = colour.y_train[places], colour.y_test[:500]
print(f"one voter, or two and the nearer wins a tie: {(voters[:, 0] == truth).mean():.1%}")
print(f"two, and the lower class wins a tie:         {(voters.min(axis=1) == truth).mean():.1%}")

# %% [markdown]
# **5.** Only what does not depend on the order is left: how many pixels have which colour, the histogram. None of the
# methods above sees it as such; a network that treats each pixel alone and then averages could. To one that learnt one
# order, every other order is noise.
