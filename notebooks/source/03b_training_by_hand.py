# %% [markdown]
# # 03b · A network by hand: does it learn as Keras does?
#
# In [03](03_backprop.ipynb) every layer became a pair of short NumPy functions, one that goes forward and one that
# carries slopes back. A formula that was derived with a pencil on one small image is a promise. Here the promise is
# tested: every gradient against two independent witnesses, then a LeNet made of these functions beside the same network
# in Keras, step by step and to the end.
#
# **Your prediction, please**, before you read on.
#
# 1. Automatic differentiation and our formulas, both in float64: to how many digits do they agree?
# 2. One epoch in float32, the same first weights, the same batches in the same order. Are the losses of NumPy and Keras
#    still the same to six digits at its end?
# 3. A LeNet in a few dozen lines of NumPy, trained as Keras trains it: how many percentage points does it lose?
# 4. And how many times as long does it keep a processor busy?

# %% [markdown]
# **What it costs** the last section prints. **Varied**: who computes the gradients, our NumPy or Keras. **Held fixed**:
# the data, the network, its first weights, the batch size, the learning rate and the number of epochs. **Tuned**:
# nothing; the learning rate is an ordinary one, and the same for both. **Repeated**: five seeds in `full`, two in
# `smoke`; a pair of runs shares its first weights.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, seaborn and the parts of cnnkit

SEEDS, EPOCHS, LAST_EPOCHS = ((1, 2, 3, 4, 5), 12, 3) if PROFILE == "full" else ((1, 2), 4, 1)
digits = load_dataset("digits")
x_train, y_train = (digits.x_train / 255).astype("float32"), digits.y_train
print(f"the profile of this page: {PROFILE}")

# %% tags=["hide-input"]
import time

import tensorflow as tf
from IPython.display import display
from threadpoolctl import threadpool_limits

from cnnkit import from_scratch as fs
from cnnkit.course.backprop.facts import relative_error
from cnnkit.lab.store import student_interval
from cnnkit.plots.words import BAND_RUNS

COLOURS = sns.color_palette("colorblind")

# %% [markdown]
# ## 1. Every gradient, checked
#
# Two independent witnesses. **Autodiff** differentiates the forward pass by its own rules. **Finite differences**
# know no rules: nudge each number up and down and look. How large should the nudge be? Too large, and the curve bends
# within it; too small, and the difference drowns in rounding. The slope of cross-entropy, from one side and from
# both:

# %%
z, label = np.random.default_rng(1).normal(size=(1, 10)), np.array([3])
middle, truth = fs.softmax_cross_entropy(z, label)
nudges = np.logspace(-13, -1, 49)
errors = {"one side: (L(z + h) − L(z)) / h": [], "both: (L(z + h) − L(z − h)) / 2h": []}
for h in nudges:
    step = np.zeros_like(z)
    step[0, 0] = h
    up, down = (fs.softmax_cross_entropy(point, label)[0] for point in (z + step, z - step))
    for name, slope in zip(errors, ((up - middle) / h, (up - down) / (2 * h)), strict=True):
        errors[name].append(abs(slope - truth[0, 0]) / abs(truth[0, 0]))
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (name, values), line, colour in zip(errors.items(), ("--", "-"), COLOURS, strict=False):
    ax.loglog(nudges, values, line, color=colour, label=name)
ax.axhline(1e-7, color="0.35", linewidth=1, linestyle=":")
ax.annotate("our bar", (1, 1e-7), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.35")
ax.set(xlabel="Nudge h", ylabel="Relative error of the slope")
ax.legend(frameon=False)
sns.despine(fig)
plt.show()

# %% [markdown]
# Each curve is a V: bending on the right, where the error grows like $h$ from one side but like $h^2$ from both, and
# rounding on the left. From both sides, around $h = 10^{-5}$, nine or ten digits are right. That is what we use, in
# float64.
#
# `check` takes a list of layers and the same function written in TensorFlow, and asks both witnesses about every
# number. Its errors are the largest difference, as a share of the largest value.


# %%
def gradients(network, dy, caches):
    """The gradients of a list of layers: those of its input, then those of its parameters."""
    grads = []
    for layer, cache in zip(reversed(network), reversed(caches), strict=True):
        answer = layer.backward(dy, cache)
        dy, *own = answer if layer.params else (answer,)
        grads = own + grads
    return [dy, *grads]


def by_finite_differences(loss, array, nudge=1e-5):
    """Nudge one number of `array` at a time, in place, and see what `loss()` does."""
    slopes = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        middle = array[index]
        array[index] = middle + nudge
        up = loss()
        array[index] = middle - nudge
        down = loss()
        array[index] = middle
        slopes[index] = (up - down) / (2 * nudge)
    return slopes


def check(name, network, reference, x):
    """Compare all gradients of a network with those of `reference`, the same f(x, *parameters) in TensorFlow."""
    arrays = [x, *fs.parameters(network)]
    y, caches = fs.forward(network, x, training=True)
    dy = np.random.default_rng(7).normal(size=np.shape(y))
    ours = gradients(network, dy, caches)
    variables = [tf.Variable(array) for array in arrays]
    with tf.GradientTape() as tape:
        expected = reference(*variables)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    theirs = tape.gradient(expected, variables, output_gradients=tf.constant(dy))
    nudged = [by_finite_differences(lambda: (fs.forward(network, x, training=True)[0] * dy).sum(), a) for a in arrays]
    errors = {
        "against autodiff": max(relative_error(a, b.numpy()) for a, b in zip(ours, theirs, strict=True)),
        "against finite differences": max(map(relative_error, ours, nudged)),
    }
    return {"layers": name, "gradients": ", ".join(["dx", "dw", "db", "dw₂", "db₂"][: len(arrays)]), **errors}


# %% [markdown]
# Now every layer, and every pair in which layers meet. First the same functions in TensorFlow (dilation written out
# from its definition, because TensorFlow has no gradient for it on a CPU), then our layers with random weights, then
# the cases: our layers, TensorFlow's, and what goes in.


# %%
def tf_conv(x, w, b, stride=1, padding="VALID"):
    return tf.nn.conv2d(x, w, stride, padding) + b


def tf_dilated(x, w, b, rows=3, columns=2):
    views = {(i, j): x[:, 2 * i : 2 * i + rows, 2 * j : 2 * j + columns] for i in range(3) for j in range(3)}
    return sum(tf.einsum("npqc,cf->npqf", view, w[place]) for place, view in views.items()) + b


def tf_max(x, size=2, stride=2):
    return tf.nn.max_pool2d(x, size, stride, "VALID")


def tf_mean(x, size=2, stride=2):
    return tf.nn.avg_pool2d(x, size, stride, "VALID")


def tf_norm(x, gamma, beta):
    return tf.nn.batch_normalization(x, *tf.nn.moments(x, [0, 1, 2]), beta, gamma, 1e-3)


def tf_cross_entropy(z):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, z))


def tf_hinge(z):
    right = tf.reduce_sum(z * one_hot, axis=1, keepdims=True)
    return tf.reduce_sum(tf.nn.relu(z - right + 1) * (1 - one_hot)) / len(labels)


rng = np.random.default_rng(3)
maps, flat, labels = rng.normal(size=(2, 7, 6, 2)), rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, 2])
maps += 0.01 * np.sign(maps)  # away from ReLU's corner, where there is no slope
one_hot = np.eye(4)[labels]
centre, variance = rng.normal(size=2), rng.uniform(0.5, 2, 2)


def layer(name, *shapes, **options):
    params = [rng.normal(size=shape) for shape in shapes]
    return fs.Layer(getattr(fs, name), getattr(fs, f"{name}_backward"), params, options)


def conv(channels=2, filters=3, **options):
    return layer("conv2d", (3, 3, channels, filters), filters, **options)


def norm(training):
    return layer("batch_norm", 2, 2, running=(centre.copy(), variance.copy()), training=training)


def loss_layer(loss, target):
    return fs.Layer(lambda z: loss(z, target), lambda dy, gradient: dy * gradient)


def drop(x):
    return fs.dropout(x, rate=0.25, rng=np.random.default_rng(1), training=True)  # the same mask every time


relu, sigmoid, flatten, max_pool, mean_pool = map(layer, ("relu", "sigmoid", "flatten", "max_pool2d", "mean_pool2d"))
wide_max, wide_mean = (layer(name, pool_size=3, stride=2) for name in ("max_pool2d", "mean_pool2d"))
cross_entropy, hinge = (loss_layer(loss, labels) for loss in (fs.softmax_cross_entropy, fs.multiclass_hinge))

# %%
cases = [
    ("convolution", [conv()], tf_conv, maps),
    ("convolution, same, stride 2", [conv(stride=2, padding="same")], lambda *a: tf_conv(*a, 2, "SAME"), maps),
    ("convolution, dilation 2", [conv(dilation=2)], tf_dilated, maps),
    ("convolution, kernel turned", [conv(flip=True)], lambda x, w, b: tf_conv(x, w[::-1, ::-1], b), maps),
    ("dense", [layer("dense", (4, 3), 3)], lambda x, w, b: x @ w + b, flat),
    ("max pool 2×2", [max_pool], tf_max, maps),
    ("max pool 3×3, stride 2", [wide_max], lambda x: tf_max(x, 3), maps),
    ("mean pool 2×2", [mean_pool], tf_mean, maps),
    ("mean pool 3×3, stride 2", [wide_mean], lambda x: tf_mean(x, 3), maps),
    ("ReLU", [relu], tf.nn.relu, maps),
    ("sigmoid", [sigmoid], tf.sigmoid, maps),
    ("tanh", [layer("tanh")], tf.tanh, maps),
    ("dropout", [fs.Layer(drop, fs.dropout_backward)], lambda x: x * drop(maps)[1], maps),
    ("batch norm, training", [norm(True)], tf_norm, maps),
    ("batch norm, inference", [norm(False)], lambda x, g, b: (x - centre) / np.sqrt(variance + 1e-3) * g + b, maps),
    ("softmax, cross-entropy", [cross_entropy], tf_cross_entropy, flat),
    ("multiclass hinge", [hinge], tf_hinge, flat),
    (
        "sigmoid, squared error",
        [sigmoid, loss_layer(fs.mean_squared_error, one_hot)],
        lambda z: tf.reduce_mean((tf.sigmoid(z) - one_hot) ** 2),
        flat,
    ),
    ("convolution → max pool", [conv(), max_pool], lambda *a: tf_max(tf_conv(*a)), maps),
    ("convolution → mean pool", [conv(), mean_pool], lambda *a: tf_mean(tf_conv(*a)), maps),
    ("max pool → convolution", [max_pool, conv()], lambda x, w, b: tf_conv(tf_max(x), w, b), maps),
    ("mean pool → convolution", [mean_pool, conv()], lambda x, w, b: tf_conv(tf_mean(x), w, b), maps),
    (
        "convolution → ReLU → convolution",
        [conv(), relu, conv(channels=3)],
        lambda x, w, b, v, c: tf_conv(tf.nn.relu(tf_conv(x, w, b)), v, c),
        maps,
    ),
    (
        "convolution → flatten → dense",
        [conv(), flatten, layer("dense", (60, 3), 3)],
        lambda x, w, b, v, c: tf.reshape(tf_conv(x, w, b), (2, -1)) @ v + c,
        maps,
    ),
]
checks = pd.DataFrame([check(*case) for case in cases]).set_index("layers")
worst = checks[["against autodiff", "against finite differences"]].max()
checks.map(lambda value: value if isinstance(value, str) else f"{value:.0e}")

# %% [markdown]
# A check that cannot fail is worth nothing. So we also hand it a max pool that spreads its gradient as a mean pool
# would, and a convolution whose bias gets a tenth too little.

# %%
wrong_pool = fs.Layer(fs.max_pool2d, lambda dy, cache: fs.mean_pool2d_backward(dy, (4, 2, cache[2])))
wrong_conv = conv()
wrong_conv.backward = lambda dy, cache: (*fs.conv2d_backward(dy, cache)[:2], 0.9 * dy.sum(axis=(0, 1, 2)))
for name, wrong, reference in (("max pool", wrong_pool, tf_max), ("convolution", wrong_conv, tf_conv)):
    print(f"wrong {name:<12} error {check(name, [wrong], reference, maps)['against autodiff']:.2f}")
for witness, error in worst.items():
    answer = f"equal to {int(-np.log10(error))} digits" + " (prediction 1)" * (witness == "against autodiff")
    print(f"the largest of the right ones, {witness}: {error:.0e}, {answer}")
assert worst.max() < 1e-7

# %% [markdown]
# Two witnesses that know nothing of each other agree with us: autodiff to the last digits of float64, finite
# differences as far as nudging allows, all below $10^{-7}$. The wrong ones stand out by many orders of magnitude. You
# will want this test whenever you write a layer of your own.

# %% [markdown]
# ## 2. A LeNet that we train ourselves
#
# Every piece is proved; now we put them together. `fs.lenet` is a list of `Layer`s. Its shapes and weights:

# %%
network, x, lines = fs.lenet(seed=1), x_train[:1], []
for stage in network:
    x, _ = stage.forward(x, *stage.params, **stage.options)
    line = {"layer": stage.forward.__name__, "output": "×".join(map(str, x.shape[1:]))}
    line["weights, biases"] = ", ".join("×".join(map(str, w.shape)) for w in stage.params)
    lines.append(line | {"parameters": sum(w.size for w in stage.params)})
shapes = pd.DataFrame(lines)
print(f"{shapes['parameters'].sum():,} parameters")
shapes

# %% [markdown]
# To reconcile them: the first kernels are 5×5 on 1 channel, 6 of them, each with a bias, so $25\cdot 6 + 6$. *Same*
# padding keeps 28 pixels, the pool halves them to 14. The second, $25\cdot 6\cdot 16 + 16$ without padding, leaves
# $14 - 5 + 1 = 10$, and the pool 5; hence $5\cdot 5\cdot 16 = 400$ features and $400\cdot 120 + 120$ parameters in
# the first dense layer, where most of them are. Pooling and ReLU have none.

# %% [markdown]
# ### The same steps
#
# The same network in Keras, given the same first weights, and the strictest comparison: one epoch on the same batches
# in the same order, our loop and Keras's side by side, once in float32 and once in float64.


# %%
def keras_lenet(params, dtype="float32"):
    exact = {"dtype": dtype}
    maps = [
        keras.layers.Conv2D(6, 5, padding="same", activation="relu", **exact),
        keras.layers.MaxPooling2D(**exact),
        keras.layers.Conv2D(16, 5, activation="relu", **exact),
        keras.layers.MaxPooling2D(**exact),
        keras.layers.Flatten(**exact),
    ]
    rows = [keras.layers.Dense(units, activation="relu", **exact) for units in (120, 84)]
    model = keras.Sequential([keras.Input((28, 28, 1), **exact), *maps, *rows, keras.layers.Dense(10, **exact)])
    model.set_weights(params)
    return model


def train_side_by_side(dtype, kind=float):
    """One epoch of both on the same batches -> our losses and Keras's, step by step.

    `kind` is the kind of number of our learning rate and momentum: float, or np.float32.
    """
    network, x = fs.lenet(seed=1, dtype=dtype), x_train.astype(dtype)
    params = fs.parameters(network)
    model, velocities = keras_lenet(params, dtype), [np.zeros_like(w) for w in params]
    optimizer, step = keras.optimizers.SGD(0.02, momentum=0.9), {"learning_rate": kind(0.02), "momentum": kind(0.9)}

    @tf.function(reduce_retracing=True)
    def differentiate(images, labels):
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True))
            loss = tf.reduce_mean(losses)
        return loss, tape.gradient(loss, model.trainable_variables)

    ours, theirs = [], []
    for batch in np.split(np.random.default_rng(1).permutation(len(x)), range(32, len(x), 32)):
        outputs, caches = fs.forward(network, x[batch], training=True)
        loss, dy = fs.softmax_cross_entropy(outputs, y_train[batch])
        fs.sgd(params, fs.backward(network, dy, caches), velocities, **step)
        ours.append(loss)
        loss, grads = differentiate(x[batch], y_train[batch])
        optimizer.apply(grads, model.trainable_variables)
        theirs.append(float(loss))
    return np.array(ours), np.array(theirs)


network = fs.lenet(seed=1)
model = keras_lenet(fs.parameters(network))
np.testing.assert_allclose(fs.forward(network, x_train[:64])[0], model(x_train[:64]), atol=1e-5)

# %%
with threadpool_limits(1):  # matrices this small gain nothing from a second thread, and wait for it
    losses = {dtype: train_side_by_side(dtype) for dtype in ("float32", "float64")}
    losses["float64, rate and momentum of float32"] = train_side_by_side("float64", np.float32)

fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
ours, theirs = losses["float64"]
steps = np.arange(1, len(ours) + 1)
axes[0].plot(steps, theirs, "o", color=COLOURS[1], mfc="none", label="Keras")
axes[0].plot(steps, ours, color=COLOURS[0], label="NumPy, by hand")
axes[0].axhline(np.log(10), color="0.35", linewidth=1, linestyle=":")
axes[0].annotate("ln 10", (1, np.log(10)), xycoords=("axes fraction", "data"), ha="right", va="bottom", color="0.35")
axes[0].set(xlabel="Step", ylabel="Loss of the batch, float64 (nats)", ylim=(0, None))
for (name, pair), line, colour in zip(losses.items(), ("--", "-", ":"), COLOURS[3:], strict=False):
    apart = np.abs(np.subtract(*pair, dtype="float64"))
    axes[1].semilogy(steps, np.where(apart > 0, apart, np.nan), line, marker=".", color=colour, label=name)
    equal = f"and equal at {(apart == 0).sum()} of {len(steps)} steps"
    print(f"{name}: the losses are at most {apart.max():.0e} nats apart, {equal}")
axes[1].set(xlabel="Step", ylabel="Difference of the losses (nats)", ylim=(1e-17, 1e-1))
axes[0].legend(frameon=False)
axes[1].legend(frameon=False, loc="upper left", fontsize=8)
sns.despine(fig)
plt.show()

# %% [markdown]
# Left: the circles lie on the line, from $\ln 10$ to the last step. Right: how far apart they are (a step at which they
# are equal to the last bit has no point on a logarithmic axis).

# %% tags=["hide-input"]
apart = {name: np.abs(np.subtract(*pair, dtype="float64")) for name, pair in losses.items()}
digits_kept = int(-np.log10(max((apart["float32"] / losses["float32"][1]).max(), 1e-16)))
early, late = (half.max() for half in np.array_split(apart["float32"], 2))
say(
    "**In float32** both round rate and momentum to the same numbers, and only the order in which they add differs. "
    f"To the end of the epoch the losses agree to {digits_kept} digits (prediction 2: "
    f"**{'yes' if digits_kept >= 6 else 'no'}**). The differences, at most {early:.0e} nats in the first half of the "
    f"steps and {late:.0e} in the second, are handed on from step to step: nobody should expect two machines to train "
    "to the same weights, to the last bit. It is why we compare accuracies over seeds.",
    f"**In float64**, with sixteen digits, one expects far less, and the two drift {apart['float64'].max():.0e} nats "
    "apart. It is no disagreement about the algorithm: Keras keeps its learning rate *and its momentum* in float32, "
    "whatever the network computes in. Round ours in the same way, and the two stay within "
    f"{apart['float64, rate and momentum of float32'].max():.0e} nats.",
)

# %% [markdown]
# ### The same accuracy
#
# Now each trains as one would use it: `fs.fit` here, `model.fit` there, each with its own random order of the images.
# Momentum 0.9, batches of 32; the learning rate is 0.02 and, for the last epochs, 0.002, so that it matters less at
# which step we stop. Both get pixels in [0, 1] and keep the small last batch, the plainest way (recorded runs of cnnkit
# standardise their inputs and wait for full batches). They are compared on images that neither has seen, the test set.

# %%
x_new, y_new = digits.x_test.astype("float32") / 255, digits.y_test
loss_function = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
kernels = [fs.lenet(seed=1)[0].params[0].copy()]  # the first layer's: before training, and after every epoch of seed 1
PARTS = ((EPOCHS, 0.02), (LAST_EPOCHS, 0.002))


def train_by_hand(seed):
    network, losses = fs.lenet(seed=seed), []

    def keep_kernels(epoch, network):
        if seed == 1:
            kernels.append(network[0].params[0].copy())

    start = time.process_time()
    with threadpool_limits(1):
        for order, (epochs, rate) in enumerate(PARTS):
            step = {"learning_rate": rate, "momentum": 0.9, "seed": seed + 1000 * order}
            losses += fs.fit(network, x_train, y_train, epochs=epochs, on_epoch=keep_kernels, **step)
    seconds = time.process_time() - start
    return fs.forward(network, x_new)[0], losses, seconds


def train_in_keras(seed):
    keras.utils.set_random_seed(seed)
    model, losses = keras_lenet(fs.parameters(fs.lenet(seed=seed))), []
    start = time.process_time()
    model.compile(keras.optimizers.SGD(momentum=0.9), loss_function)
    for epochs, rate in PARTS:
        model.optimizer.learning_rate.assign(rate)
        losses += model.fit(x_train, y_train, epochs=epochs, batch_size=32, verbose=0).history["loss"]
    seconds = time.process_time() - start
    return model.predict(x_new, verbose=0), losses, seconds


runs, history = [], []
for seed in SEEDS:
    for name, train_one in (("NumPy, by hand", train_by_hand), ("Keras", train_in_keras)):
        logits, losses, seconds = train_one(seed)
        run = {"run_id": f"{name} {seed}", "trained with": name, "seed": seed}
        accuracy = (logits.argmax(axis=1) == y_new).mean()
        runs.append(run | {"accuracy": accuracy, "train_seconds": seconds})
        history += [run | {"epoch": epoch, "train_loss": loss} for epoch, loss in enumerate(losses, start=1)]
runs, history = pd.DataFrame(runs), pd.DataFrame(history)
print(f"{runs['train_seconds'].sum():.0f} s of processor for {len(runs)} trainings of {EPOCHS + LAST_EPOCHS} epochs")

# %% [markdown]
# The training loss, averaged over each epoch, a line a run:

# %%
fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (name, lines), colour, line in zip(history.groupby("trained with"), COLOURS, ("-", "--"), strict=False):
    for _, run in lines.groupby("seed"):
        ax.semilogy(
            run["epoch"], run["train_loss"], line, color=colour, label=name if run["seed"].iloc[0] == 1 else None
        )
ax.set(xlabel="Epoch", ylabel="Training loss (nats)", xticks=range(1, EPOCHS + LAST_EPOCHS + 1, 2))
ax.legend(frameon=False)
sns.despine(fig)
plots.mark_profile(fig, PROFILE)
plt.show()

# %% [markdown]
# The accuracy on the new images by seed, and the difference between the two, paired by seed because a pair has the same
# first weights:

# %%
table = runs.pivot(index="seed", columns="trained with", values="accuracy")[["NumPy, by hand", "Keras"]]
table["difference"] = table["NumPy, by hand"] - table["Keras"]
mean, low, high = student_interval(table["difference"])
display((100 * table).round(2).rename(columns=lambda name: f"{name} ({'pp' if name == 'difference' else '%'})"))
if len(table) < BAND_RUNS:  # too few for an interval
    low, high = table["difference"].agg(["min", "max"])
else:
    difference = {"": "by hand − Keras", "mean": mean, "low": low, "high": high, "n": len(table), "margin": 0.01}
    plots.mark_profile(plots.plot_intervals(pd.DataFrame([difference]), y="", metric="accuracy", reference=0), PROFILE)
    plt.show()

# %% tags=["hide-input"]
within = "within" if abs(mean) < 0.01 else "not within"
inside = "inside" if max(-low, high) < 0.01 else "not wholly inside"
shift, ends = f"{100 * mean:+.2f}".replace("-", "−"), f"{100 * low:+.2f} to {100 * high:+.2f}".replace("-", "−")
spread = "95% interval" if len(table) >= BAND_RUNS else "range (below five seeds no 95% interval)"
say(
    f"Over {len(table)} seeds the hand-made network reads {table['NumPy, by hand'].mean():.2%} of {len(y_new)} new "
    f"digits and Keras {table['Keras'].mean():.2%}: a mean difference of {shift} pp, **{within} one percentage point** "
    f"(prediction 3), with a {spread} from {ends} pp, {inside} ±1 pp. One image is {100 / len(y_new):.2f} pp: such "
    "differences are a few digits that two orders of the same training images leave on one side of the line or the "
    "other."
    + " *This is the smoke run: two seeds and a few epochs, too small to conclude from.*"
    * (PROFILE == "smoke")
)

# %% [markdown]
# ### A kernel learns
#
# What happened inside? Of the first layer's six kernels we take the one that moved most, epoch by epoch, and below it
# what it makes of one digit. Red is positive, blue negative, white zero.

# %%
learnt = np.stack(kernels)[:, :, :, 0]  # (epochs + 1, height, width, filters)
chosen = np.abs(learnt[-1] - learnt[0]).sum(axis=(0, 1)).argmax()
learnt = learnt[..., chosen]
shown = sorted({*np.linspace(0, len(learnt) - 1, 8).round().astype(int)})
views = [fs.conv2d(x_new[:1], learnt[epoch][:, :, None, None], np.zeros(1), padding="same")[0] for epoch in shown]
limit, bright = np.abs(learnt).max(), max(view.max() for view in views)
fig, axes = plt.subplots(2, len(shown), figsize=(1.35 * len(shown), 3.2), layout="constrained")
for (above, below), epoch, view in zip(axes.T, shown, views, strict=True):
    above.imshow(learnt[epoch], cmap="RdBu_r", vmin=-limit, vmax=limit)
    above.set_title("before" if epoch == 0 else f"epoch {epoch}", fontsize=10)
    below.imshow(np.maximum(view[0, :, :, 0], 0), cmap="gray", vmin=0, vmax=bright)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("kernel")
axes[1, 0].set_ylabel("after ReLU")
plots.mark_profile(fig, PROFILE)
plt.show()
moved = np.linalg.norm(np.diff(learnt, axis=0), axis=(1, 2)) / np.linalg.norm(learnt[0])
print(f"kernel {chosen} moves by {moved[0]:.0%} of its first length in epoch 1 and by {moved[-1]:.1%} in the last")

# %% [markdown]
# The random pattern does not dissolve; it is bent into something that serves. Most of the way is made in the first
# epochs, when the loss falls fastest; in the last, at a tenth of the learning rate, hardly a weight changes. Nobody
# told the kernel what to look for. Its every change is `p − y`, carried back through three dense layers, two max
# pools and a convolution.

# %% [markdown]
# ### Why frameworks exist
#
# One more epoch of each, three times in turn, after Keras has compiled its step, in seconds of processor: every thread
# counts, waiting for other programs does not.

# %%
model.compile(keras.optimizers.SGD(0.002), loss_function)
model.fit(x_train, y_train, epochs=1, verbose=0)
seconds = {"NumPy, by hand": [], "Keras": []}
for _ in range(3):
    start = time.process_time()
    with threadpool_limits(1):
        fs.fit(network, x_train, y_train, epochs=1, learning_rate=0.002)
    middle = time.process_time()
    model.fit(x_train, y_train, epochs=1, verbose=0)
    seconds["NumPy, by hand"].append(middle - start)
    seconds["Keras"].append(time.process_time() - middle)
for name, times in seconds.items():
    print(f"{name:<15} {len(x_train) / np.median(times):7,.0f} images a second of processor")
by_hand, by_keras = (np.median(times) for times in seconds.values())
print(f"NumPy takes {by_hand / by_keras:.1f} times the seconds of processor of Keras (prediction 4)")

_, caches = fs.forward(network, x_train[:32], training=True)
windows, *_ = caches[0]
print(f"a batch takes {x_train[:32].nbytes / 1e6:.1f} MB, its windows in the first cache {windows.nbytes / 1e6:.1f} MB")

# %% tags=["hide-input"]
factor = by_hand / by_keras
slower = "NumPy" if factor > 1 else "Keras"
say(
    f"The arithmetic is the same, the time is not: {slower} takes **{max(factor, 1 / factor):.1f} times** as long "
    "here. By how much, depends on the machine and on the network."
    if not 1 / 1.2 < factor < 1.2
    else f"The arithmetic is the same, and on this machine and this small network so is the time ({factor:.1f} times)."
)

# %% [markdown]
# We copy every pixel into each of the 25 windows that see it, write every result to memory before the next function
# reads it, and use one core. A compiled step can fuse and reuse, it can share the work out over cores (which shortens
# the wait, not the seconds of processor), and it runs unchanged on a GPU. The other thing a framework gives is what the
# tape did for us in section 1: it has such pairs of functions for hundreds of operations, and calls them in reverse
# order by itself. What it does not give is knowing *what* it does, and that you now have.


# %% tags=["hide-input"]
by_kind = runs.groupby("trained with")["train_seconds"].sum()
say(
    f"**Cost.** The whole notebook took {time.process_time():.0f} seconds of a processor; of these, the trainings of "
    "the table: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in by_kind.items()) + "."
)

# %% [markdown]
# ## Limits
#
# - The gradients are checked at random points in small shapes. The package's tests do the same over many random
#   shapes, strides and paddings. Where there is no slope (ReLU at 0, ties in a max pool) there is nothing to check;
#   we do as TensorFlow does.
# - `digits` is an easy data set with a small test set. That two programs agree on it does not say which network is
#   good: that is what notebooks 04 and 12 are for.
# - The first weights were Glorot's, the network shallow, the learning rate friendly. 03 showed how little it takes
#   for a gradient to vanish; 09 shows what to do.
# - Speed depends on the machine; only the ratio within one run means something.

# %% [markdown]
# ## Exercises
#
# Solutions follow, but they are worth more afterwards. `check` above is your judge.
#
# 1. **Nesterov's momentum.** Keras writes it as $v \leftarrow mv - \eta g$, $w \leftarrow w + mv - \eta g$. Write it
#    in the style of `fs.sgd` and prove it against Keras.
# 2. **A layer of your own.** Leaky ReLU is $x$ for $x > 0$, else $x/8$. Write the pair of functions and let `check`
#    judge.
# 3. **A wrong one.** Break `fs.dense_backward` in a way that leaves all shapes right. By how much does `check` notice?

# %% [markdown]
# ## Solutions
#
# **1.** One line differs from `fs.sgd`: the weights move on as if the next momentum step had already been taken.


# %%
def nesterov(params, grads, velocities, *, learning_rate, momentum):
    for w, g, v in zip(params, grads, velocities, strict=True):
        v *= momentum
        v -= learning_rate * g
        w += momentum * v - learning_rate * g


rng = np.random.default_rng(1)
w, variable = np.ones((3, 4)), keras.Variable(np.ones((3, 4)), dtype="float64")
optimizer, velocity = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), [np.zeros((3, 4))]
for _ in range(5):
    g = rng.normal(size=w.shape)
    nesterov([w], [g], velocity, learning_rate=0.1, momentum=0.9)
    optimizer.apply([tf.constant(g)], [variable])
np.testing.assert_allclose(w, variable.numpy(), rtol=1e-6)  # Keras keeps its learning rate in float32
print("five steps of Nesterov's momentum, equal to Keras's")


# %% [markdown]
# **2.** The slope is 1 or ⅛, so that is the cache.


# %%
def leaky_relu(x):
    slope = np.where(x > 0, 1, 0.125)
    return x * slope, slope


def leaky_relu_backward(dy, slope):
    return dy * slope


verdict = check("leaky ReLU", [fs.Layer(leaky_relu, leaky_relu_backward)], lambda x: tf.nn.leaky_relu(x, 0.125), maps)
print(f"autodiff {verdict['against autodiff']:.0e}, finite differences {verdict['against finite differences']:.0e}")

# %% [markdown]
# **3.** For example, forget that a bias is added for *every* image, and hand back the mean instead of the sum.


# %%
def forgetful_backward(dy, cache):
    dx, dw, _ = fs.dense_backward(dy, cache)
    return dx, dw, dy.mean(axis=0)


wrong = fs.Layer(fs.dense, forgetful_backward, [rng.normal(size=(4, 3)), np.zeros(3)])
verdict = check("dense, wrong", [wrong], lambda x, w, b: x @ w + b, flat)
print(f"relative error {verdict['against autodiff']:.2f}: 1 − 1/n for {len(flat)} images")
