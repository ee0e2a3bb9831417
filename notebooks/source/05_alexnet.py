# %% [markdown]
# # 05 AlexNet: what made it win?
#
# In autumn 2012 seven convolutional networks, averaged, won the ImageNet challenge with a top-5 error of 15.3% (one of
# them alone had about 18); the best entry without any had 26.2%. Krizhevsky, Sutskever and Hinton had built nothing
# that was new in kind: LeNet's plan, made larger, with a handful of ideas that made it trainable on two graphics cards
# in six days. This notebook rebuilds their network to the last of its **60,965,224 parameters**, then takes the ideas
# one by one to a small network and CIFAR-10, and asks of each: does it help?
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. AlexNet has five convolutions and three dense layers. Which share of its parameters do the dense ones hold, and
#    which share of its multiplications?
# 2. The paper's first figure: a network with ReLU reaches 25% training error on CIFAR-10 *six times* sooner than one
#    with tanh. With the best learning rate for each, by what factor in our runs?
# 3. Rank by what they add to test accuracy on a few thousand images: normalising responses, overlapping pooling
#    windows, dropout, flipping and shifting the pictures.
# 4. The network was cut into two towers. At equal parameters, does the cut cost accuracy?

# %% [markdown]
# **Two sizes.** Answers come from committed tables of CIFAR-10 in either profile. In `smoke` the experiments also run
# here and now on small digits, at the end; nothing on this page trains in `full`.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

EXPERIMENTS = ("relu", "ideas", "layout")

# %% tags=["hide-input"]
import tensorflow as tf

from cnnkit.course.alexnet import relu
from cnnkit.course.architectures import facts
from cnnkit.evidence import claims
from cnnkit.lab import recipes
from cnnkit.models.layers import LocalResponseNormalization

plt.rcParams["figure.dpi"] = 120
blue, orange, green = sns.color_palette("colorblind", 3)
rng = np.random.default_rng(1)
found = {name: findings(name) for name in EXPERIMENTS}
verdicts = claims.as_table([row for one in found.values() for row in one.verdicts()]).set_index("id")

# %% [markdown]
# **What it costs.** Three experiments stand behind this page: what each asks, how many networks that takes as far as
# the rows decide it yet, and what those that are here cost, one after the other.

# %% tags=["hide-input"]
cost = {
    name: [one.experiment.question, len(one.configs), len(one.runs), round(one.seconds / 60, 1)]
    for name, one in found.items()
}
columns = ["question", "networks asked for", "here", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))

# %% [markdown]
# ## The network, exactly
#
# 1.2 million pictures of 1000 classes. The paper's figure has two rows of boxes, because the network lived on two
# cards; the layers are these. Read it with a pencil: a layer's outputs a side are $\lfloor (n - k + 2p)/s \rfloor + 1$.

# %%
net = models.sketch_model("alexnet", (227, 227, 3), 1000)
table = anatomy.layer_table(net).set_index("layer")
ax = anatomy.draw_network(table.reset_index())

# %%
named = [name for name in table.index if name.startswith(("conv", "lrn", "pool", "fc")) and "_" not in name]
table.loc[["pixels", *named], ["output_shape", "kernel_size", "strides", "num_params", "macs", "receptive_field"]]

# %% [markdown]
# Response normalisation (`lrn`, below) stands after the ReLU and *before* the pooling. The paper prints 224 pixels a
# side, and with 224 the first layer does not come out:

# %%
for side in (224, 227):
    print(f"{side} pixels: ({side} - 11) / 4 + 1 = {(side - 11) / 4 + 1}")

# %% [markdown]
# The 55 of the figure needs 227, or a padding that it does not mention. We take 227, as Caffe's copy does. Now every
# parameter by hand. A filter has a weight for each pixel of its window in each map *that it sees*, and a bias. In
# conv2, conv4 and conv5 a filter sees only the half of the maps that is on its own card:
#
# $$\underbrace{96\,(11^2\cdot 3+1)}_{\text{conv1}}+\underbrace{256\,(5^2\cdot \tfrac{96}{2}+1)}_{\text{conv2}}
# +\underbrace{384\,(3^2\cdot 256+1)}_{\text{conv3}}+\underbrace{384\,(3^2\cdot \tfrac{384}{2}+1)}_{\text{conv4}}
# +\underbrace{256\,(3^2\cdot \tfrac{384}{2}+1)}_{\text{conv5}}+\underbrace{4096\,(6\cdot 6\cdot 256+1)}_{\text{fc6}}
# +\underbrace{4096\,(4096+1)}_{\text{fc7}}+\underbrace{1000\,(4096+1)}_{\text{fc8}}$$

# %%
by_hand = {
    "conv1": 96 * (11 * 11 * 3 + 1),
    "conv2": 256 * (5 * 5 * 96 // 2 + 1),
    "conv3": 384 * (3 * 3 * 256 + 1),
    "conv4": 384 * (3 * 3 * 384 // 2 + 1),
    "conv5": 256 * (3 * 3 * 384 // 2 + 1),
    "fc6": 4096 * (6 * 6 * 256 + 1),
    "fc7": 4096 * (4096 + 1),
    "fc8": 1000 * (4096 + 1),
}
assert by_hand == table.loc[list(by_hand), "num_params"].to_dict()
one_tower = models.sketch_model("alexnet", (227, 227, 3), 1000, towers=1)
print(f"two towers {sum(by_hand.values()):,}, one tower {one_tower.count_params():,} parameters")

# %% tags=["hide-input"]
dense = table.loc[["fc6", "fc7", "fc8"], ["num_params", "macs"]].sum() / table[["num_params", "macs"]].sum()
values = table.loc[list(by_hand), "output_shape"].map(np.prod)
say(
    f"**Prediction 1.** The three dense layers hold {dense.num_params:.0%} of the parameters and do "
    f"{dense.macs:.0%} of the {table.macs.sum() / 1e6:,.0f} million multiply-adds: the weights are in the dense "
    f"layers, the work is in the convolutions. The layers with weights put out {values.sum():,} values for one "
    f"picture. The paper's abstract says 650,000 neurons; the sizes in its text add up to 622,312."
)

# %% [markdown]
# What articles say of these numbers, computed from the network that we just built (the sentences that do not hold are
# among [those that articles get wrong](../results/corrections.md)):

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if one.id.startswith("alexnet"))

# %% [markdown]
# ## Idea 1: units that do not saturate
#
# LeNet's units were tanh, others' the sigmoid. Both flatten out: where the sum is large, the slope is nearly 0, and
# what the loss wants of the unit hardly arrives. AlexNet used $\max(0, x)$, the ReLU: slope 1 above 0, however large.
#
# | | value | slope | largest slope |
# |---|---|---|---|
# | sigmoid | $\sigma(x)=1/(1+e^{-x})$ | $\sigma(x)\,(1-\sigma(x))$ | 1/4, at 0 |
# | tanh | $\tanh x$ | $1-\tanh^2 x$ | 1, at 0 |
# | ReLU | $\max(0,x)$ | 0 below 0, 1 above | 1 |

# %%
x = np.linspace(-6, 6, 241)
sigmoid = 1 / (1 + np.exp(-x))
curves = {
    "sigmoid": (sigmoid, sigmoid * (1 - sigmoid)),
    "tanh": (np.tanh(x), 1 - np.tanh(x) ** 2),
    "ReLU": (np.maximum(0, x), (x > 0).astype(float)),
}
fig, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for (name, pair), style, colour in zip(curves.items(), (":", "--", "-"), (green, orange, blue), strict=True):
    for ax, values in zip(axes, pair, strict=True):
        ax.plot(x, values, style, color=colour, label=name)
axes[0].set(xlabel="Sum $x$ of the inputs", ylabel="Output", ylim=(-1.3, 3))
axes[1].set(xlabel="Sum $x$ of the inputs", ylabel="Slope")
axes[0].legend(frameon=False)
sns.despine(fig)
through = {name: slope.max() ** 3 for name, (_, slope) in curves.items()}
print("at most, through three layers:", ", ".join(f"{name} {share:.3g}" for name, share in through.items()))

# %% [markdown]
# The experiment follows figure 1 of the paper (which has ReLU and tanh; the sigmoid and the 5,000 images are ours): one
# network, each activation with a grid of rates of its own, no regularisation, a constant rate. What counts is the epoch
# at whose end three quarters of the training images are right, *evaluated* on the network as it then stands.
#
# | | |
# |---|---|
# | **varied** | the activation, and the start: He's for ReLU, Glorot's for all three |
# | **tuned, for each** | the learning rate, by the training accuracy after eight epochs |
# | **held fixed** | Caffe's quick network (three convolutions), 5,000 images of CIFAR-10, batches of 64, momentum 0.9 |
# | **repeated** | over fresh seeds; a run that never gets there is kept, and counts as longer than its end |

# %%
show(found["relu"], "tuning", "race")

# %% tags=["hide-input"]
if found["relu"].complete:
    times = relu.times(found["relu"])
    told = []
    for arm, part in times.groupby("arm", sort=False):
        reached = part["reached"].dropna()
        late = f"; {part['reached'].isna().sum()} of {len(part)} runs never" if part["reached"].isna().any() else ""
        when = f"epoch {reached.median():g} ({reached.min():.0f} to {reached.max():.0f})" if len(reached) else "never"
        told.append(f"{arm} {when}{late}")
    effect = verdicts.loc["relu-before-tanh"]
    least = "at least " if times.query("arm == 'tanh'")["reached"].isna().any() else ""
    say(
        f"Three quarters of the training images right, median over the seeds: {'; '.join(told)}. **Prediction 2.** "
        f"tanh takes {least}{effect['effect']:.2f} times as many epochs as ReLU ({effect['low']:.2f} to "
        f"{effect['high']:.2f})."
        f" The paper's network gave 6, and it says that the size of the effect depends on the architecture."
    )
else:
    say(f"*relu: {found['relu'].gap()}.*")

# %%
tell(found["relu"])

# %% [markdown]
# ## Idea 2: response normalisation
#
# A ReLU may answer as loudly as it likes. Real neurons that answer loudly damp their neighbours, and AlexNet copies
# that: each value is divided by a power of what its $n = 5$ neighbouring *channels* say at the same place,
#
# $$b_i = a_i \Big/ \Big(2 + \alpha \textstyle\sum_{|j-i|\le 2} a_j^2\Big)^{3/4}.$$
#
# One place with five channels by pencil, $a=(1,2,0,0,4)$ and $\alpha=1$: channel 1 sees channels 1 to 3, whose squares
# add up to $1+4+0=5$, so $b_1=1/(2+5)^{3/4}$. Channel 3 sees all five.

# %%
a = np.array([1, 2, 0, 0, 4], "float32")
sums = np.array([1 + 4 + 0, 1 + 4 + 0 + 0, 1 + 4 + 0 + 0 + 16, 4 + 0 + 0 + 16, 0 + 0 + 16])
b = a / (2 + sums) ** 0.75
layer = LocalResponseNormalization(alpha=1.0)
assert np.allclose(layer(a[None, None, None]), b, atol=1e-6)
assert np.allclose(tf.nn.local_response_normalization(a[None, None, None], 2, 2.0, 1.0, 0.75), b, atol=1e-6)
print("by hand, our layer, TensorFlow's operation:", b.round(3))

# %% [markdown]
# How large is $a$? With the paper's $\alpha=10^{-4}$ the sum of squares must reach 20,000 before it doubles the 2.
# AlexNet read pixels up to 255, minus their mean. Ours are divided by their deviation, so that they are about 1. Then
# the sum hardly matters, and the layer multiplies everything by one constant.

# %%
sizes = {"pixels up to 255, deviation 63": 63.0, "divided by their deviation": 1.0}
rows = {}
for name, size in sizes.items():
    sums = 5 * size**2  # five neighbours of that size
    rows[name] = {f"{alpha:g}": (2 + alpha * sums) ** -0.75 / 2**-0.75 for alpha in (1e-4, 0.02, 0.4)}
pd.DataFrame(rows).rename_axis("alpha").map("{:.2f} of the constant".format)

# %% [markdown]
# So, with the same weights, $63^2\cdot 10^{-4}\approx 0.4$ is for our inputs what the paper's $10^{-4}$ was for its
# own. But its weights began smaller than ours: at the start 0.02 comes closer. The experiment has all three. What did
# the paper measure? Errors on ImageNet lower by 1.4 (top-1) and 1.2 points (top-5), and 11 instead
# of 13% on CIFAR-10. Three years later batch normalisation came; does this one add anything beside it?

# %% [markdown]
# ## Idea 3: pooling windows that overlap
#
# LeNet's windows were 2×2, 2 apart. AlexNet's are 3×3, 2 apart, so that neighbours share a row: windows overlap where
# they are *larger* than their stride. The comparison is fair only between maps of equal size. Six values in a row:

# %%
row = np.array([1, 9, 2, 3, 8, 4], "float32").reshape(1, 1, 6, 1)
for size, strides, padding in [(2, 2, "valid"), (3, 2, "valid"), (3, 2, "same"), (2, 1, "valid")]:
    pooled = layers.MaxPooling2D((1, size), strides=(1, strides), padding=padding)(row)
    print(f"windows of {size}, {strides} apart, {padding:5}: {np.ravel(pooled).astype(int)}")

# %% [markdown]
# With padding both kinds leave three values. The 8 now shows in the window beside its own, too; the 9, in the middle of
# its window, does not. The paper
# reports 0.4 and 0.3 points on ImageNet, and that such models are "slightly more difficult to overfit".

# %% [markdown]
# ## Idea 4: dropout
#
# In training each hidden unit of the dense layers is silent with probability ½, so that none can rely on another. In
# the paper all outputs are halved at test time; Keras doubles those that are left while training, which is the same on
# average and leaves the test alone.

# %%
dropout = layers.Dropout(0.5, seed=1)
ones = np.ones((1, 10_000), "float32")
training, testing = (np.asarray(dropout(ones, training=training)) for training in (True, False))
print(f"training: values {np.unique(training)}, mean {training.mean():.3f}; testing: values {np.unique(testing)}")

# %% [markdown]
# ## Idea 5: altered pictures
#
# A cat stays a cat in the mirror, and a little further left. The paper cuts 224×224 pixels out of 256×256 and mirrors
# half of them: it counts $32\cdot 32\cdot 2 = 2048$ versions of each picture (a pencil finds 33 places a side), "though
# the resulting training examples are, of course, highly interdependent". Ours move by up to four of 32 pixels. One
# picture, as five epochs would see it:

# %%
pictures = load_dataset("shapes", train_size=50)
keras.utils.set_random_seed(3)
change = keras.Sequential([recipes.AUGMENTATIONS[name]() for name in ("flip", "shift")])
fig, axes = plt.subplots(1, 6, figsize=(9, 1.8), layout="constrained")
original = pictures.x_train[:1] / np.float32(255)
for place, ax in enumerate(axes):
    ax.imshow((np.asarray(change(original, training=True)) if place else original)[0], vmin=0, vmax=1)
    ax.set_title(f"epoch {place}" if place else "the picture", fontsize="medium")
    ax.axis("off")

# %% [markdown]
# ## Which of them help?
#
# Two networks, each where its ideas have room: three convolutions for response normalisation and altered pictures,
# AlexNet's five in small for windows, dense layers and towers. There all poolings are maxima, and dropout falls on two
# layers of 1024 ReLUs, as it did on two of 4096.
#
# | | |
# |---|---|
# | **varied** | one idea at a time; response normalisation with and without batch normalisation |
# | **tuned, for each** | the peak of a one-cycle rate, in runs of 10 (three convolutions) and 12 epochs (five) |
# | **held fixed** | 10,000 images, 20 epochs (three convolutions); 5,000 at half their resolution, 40 epochs (five) |
# | **repeated** | over fresh seeds, the same for all arms |

# %%
show(found["ideas"], "accuracy")

# %%
tell(found["ideas"])

# %% [markdown]
# And AlexNet's five convolutions. *One tower*, *one narrower*, *two towers* and *pooling 2×2* read the maps' means; the
# arms *dense* have the dense layers.

# %%
show(found["layout"], "accuracy")

# %%
tell(found["layout"])

# %% tags=["hide-input"]
if found["ideas"].complete and found["layout"].complete:
    names = {"lrn-strong": "response normalisation", "overlap": "overlapping windows", "dropout-dense": "dropout"}
    names |= {"augmentation": "flipped and shifted pictures"}
    points = 100 * verdicts.loc[list(names), "effect"].sort_values(ascending=False)
    fresh = pd.concat([found[name].plans[""].of_role("fresh").query("not collapsed") for name in ("ideas", "layout")])
    twice = found["ideas"].plans[""].budget()
    gaps = 100 * (fresh["train_accuracy"] - fresh["test_accuracy"]).groupby(fresh["arm"]).mean()
    say(
        f"**Prediction 3**, in points of test accuracy: "
        f"{'; '.join(f'{names[id]} {effect:+.1f}' for id, effect in points.items())}. The gap between training and "
        f"test accuracy is {gaps['plain']:.0f} points for the plain network and {gaps['flip + shift']:.0f} with "
        f"altered pictures; {gaps['dense']:.0f} for the dense layers and {gaps['dense + dropout']:.0f} with dropout.",
        f"But altered pictures are not trained out: twice the epochs change that arm by {100 * twice['change']:+.1f} "
        "points "
        "(notebook 10 compares at more epochs). And two of these ideas were measured on one network and 10,000 "
        "images, the "
        "other two on another and 5,000 small ones: no ranking across them.",
    )
else:
    say(*(f"*{name}: {found[name].gap()}.*" for name in ("ideas", "layout") if not found[name].complete))

# %% [markdown]
# ## Idea 6, or need: two towers
#
# The network did not fit into the 3 GB of one card (the *network*, not the pictures). So each card got half of the
# filters, and in conv2, conv4 and conv5 a filter sees only the maps of its own card. In Keras that is `groups=2`. Which
# inputs does a filter read? Each of 8 filters on 8 maps, and what it leaves of the weights:

# %%
fig, axes = plt.subplots(1, 2, figsize=(5, 2.4), layout="constrained")
one_map_each = np.eye(8, dtype="float32")[:, None, None, :] * np.ones((1, 3, 3, 1), "float32")
for ax, groups in zip(axes, (1, 2), strict=True):
    conv = layers.Conv2D(8, 3, groups=groups, use_bias=False, kernel_initializer="ones")
    answers = np.asarray(conv(one_map_each))[:, 0, 0]  # of each filter to each map alone
    ax.imshow(answers.T > 0, cmap="Blues", vmin=0, vmax=1.5)
    ax.set(title=f"groups={groups}: {conv.count_params()} weights", xlabel="Map", ylabel="Filter")

# %% [markdown]
# The paper compares with *one* tower of half as many filters in each convolution but the last, and finds the two better
# by 1.7 (top-1) and 1.2 points. The dense layers hold most parameters, so the two networks have about as many; in the
# convolutions they do not. We ask what the cut does there. At equal parameters of the convolutions, two towers may have
# more filters, whose views are narrower; at equal width, the cut only takes connections away.

# %% tags=["hide-input"]
if found["layout"].complete:
    equal, cut = verdicts.loc["towers"], verdicts.loc["towers-cut"]
    say(
        f"**Prediction 4.** At equal parameters two towers differ from one by {100 * equal['effect']:+.1f} points "
        f"({100 * equal['low']:.1f} to {100 * equal['high']:.1f}; {equal['verdict']}). At equal width the uncut tower "
        f"has {100 * cut['effect']:+.1f} points on them ({100 * cut['low']:.1f} to {100 * cut['high']:.1f}), and "
        f"60% more parameters."
    )
else:
    say(f"*layout: {found['layout'].gap()}.*")

# %% [markdown]
# ## The figures of 2012 beside ours
#
# What the paper prints, and what the same idea did here. The left column is mostly one training each on 1.2 million
# pictures of 1000 classes (ReLU, and response normalisation once more, on CIFAR-10); the right one is a small network
# on 5,000 or 10,000 pictures of 10 classes, over seeds. **Directions** may be compared. **Sizes** may not: a point of
# top-1 error at 40% is not a point of accuracy at 70%, and an idea against overfitting is worth more where a network
# overfits more.

# %% tags=["hide-input"]
PUBLISHED = [
    ("top-1 and top-5 error, ILSVRC-2010, one network", "37.5% and 17.0%", None),
    ("the same without averaging ten patches of each picture", "39.0% and 18.3%", None),
    ("ReLU for tanh: epochs to 25% training error", "6 times fewer", "relu-before-tanh"),
    ("response normalisation", "−1.4 and −1.2 points; CIFAR-10 from 13 to 11%", "lrn-strong"),
    ("overlapping windows", "−0.4 and −0.3 points", "overlap"),
    ("dropout", 'without it "substantial overfitting"', "dropout-dense"),
    ("altered pictures", 'without them "substantial overfitting"', "augmentation"),
    ("altered colours, besides", "more than −1 point of top-1", None),
    ("two towers for one of half the filters", "−1.7 and −1.2 points", None),
    ("two towers for one of equal parameters in the convolutions", "not measured", "towers"),
    ("any of the middle layers taken away", "about +2 points of top-1", None),
]


def ours(id):
    """Tell an effect with its interval: a ratio of epochs, or points of test accuracy."""
    if id is None:
        return "–"
    row = verdicts.loc[id]
    if not np.isfinite(row["effect"]):
        return row["reason"]
    scale, sign, unit = (1, "", " times") if row["unit"] == "ratio" else (100, "+", " points")
    effect, low, high = (scale * row[name] for name in ("effect", "low", "high"))
    return f"{effect:{sign}.1f}{unit} [{low:.1f}, {high:.1f}], {row['verdict']}"


told = [[idea, published, ours(id)] for idea, published, id in PUBLISHED]
say(plots.markdown_table(pd.DataFrame(told, columns=["what", "Krizhevsky et al. 2012 (errors)", "here (accuracy)"])))

# %% tags=["hide-input"]
ideas = {"ReLU": "relu-before-tanh", "response normalisation": "lrn-strong", "overlapping windows": "overlap"}
ideas |= {"dropout": "dropout-dense", "altered pictures": "augmentation", "two towers": "towers"}
words = {
    "SUPPORTED": "Our runs support {}.",
    "REFUTED": "They do not support {} here: by less than the margin, or the other way round.",
    "INCONCLUSIVE": "Open: {}.",
}
told = [
    sentence.format(", ".join(name for name, id in ideas.items() if verdicts.at[id, "verdict"] == verdict))
    for verdict, sentence in words.items()
    if (verdicts.loc[list(ideas.values()), "verdict"] == verdict).any()
]
say(f"**Which of AlexNet's ideas do our runs support?** {' '.join(told)}")

# %% [markdown]
# What no small experiment shows is what the paper's introduction ends with: "our results can be improved simply by
# waiting for faster GPUs and bigger datasets". Depth, a million pictures and two cards for six days are not on this
# page.

# %% [markdown]
# ## Limits
#
# - Three or five convolutions, 5,000 or 10,000 pictures of 32×32 pixels: an idea that does nothing here may matter
#   where networks and pictures are larger, and the other way round.
# - The training of 2012 had weight decay 0.0005, rates lowered by hand, 90 epochs; ours has a one-cycle rate, 20
#   epochs and no decay. Each arm's rate is tuned, its strength (dropout ½, windows of 3) is not.
# - ImageNet itself was not trained: its size is beyond two cores. The network is exact, its accuracy is not ours.
# - The race of the activations depends on the start of the weights: hence the fourth arm.
# - Not tested: altered colours, ten patches averaged, weight decay (which the paper calls more than a regulariser).

# %% [markdown]
# ## The same in small
#
# In `smoke` the three experiments also run here and now, on small digits, with one seed and hardly any epochs. It
# shows that they run; it is too small to conclude from.

# %%
if PROFILE == "smoke":
    for name in found:
        small = run_here(name)
        say(f"**{name}**, smoke run:", plots.markdown_table(plots.readable(small.table())))
    show(small, "accuracy")

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* With one tower, conv2's filters see all 96 maps. How many parameters has conv2 then? (The cell
#    below takes your answer.)
# 2. Where would you save first if AlexNet had to fit on a phone: which single layer holds the most parameters, and what
#    would global average pooling instead of fc6 and fc7 leave of the network?
# 3. Show that a max-pooling may be moved in front of a ReLU without changing the output, but not in front of
#    normalised responses. Why did the paper normalise first?
# 4. Dropout makes the network train on half of its hidden units. Why does halving the number of units instead not do
#    the same?
# 5. Load your own pictures (`folder:PATH`) and train `alexnet_small` on them with and without `augmentation`.

# %%
my_answer = None  # exercise 1: put your number here


def judge(answer):
    """Say whether the answer to exercise 1 is what Keras counts."""
    right = one_tower.get_layer("conv2").count_params()
    print("put your number in my_answer" if answer is None else "right" if answer == right else "not yet")


judge(my_answer)

# %% [markdown]
# ## Solutions
#
# **1.** $256\,(5^2\cdot 96+1)$, nearly twice as many as with two towers; the biases are not halved.

# %%
judge(256 * (5 * 5 * 96 + 1))

# %% [markdown]
# **2.** fc6 alone holds more than half. With the 256 maps' means as the input of fc8 the network would need the
# convolutions and $1000\cdot 257$ numbers: GoogLeNet and ResNet went that way.

# %%
convolutions = table.loc[[name for name in by_hand if name.startswith("conv")], "num_params"].sum()
print(f"fc6: {table.at['fc6', 'num_params'] / sum(by_hand.values()):.0%} of the parameters")
print(f"with global average pooling: {convolutions + 1000 * (256 + 1):,} parameters")

# %% [markdown]
# **3.** A ReLU never changes the order of two numbers, so the largest stays the largest, or both become 0. Normalised
# responses depend on the neighbouring *channels* at the same place: the largest value of a window may stand beside loud
# neighbours and be damped below another. Normalising first lets each place compete with its own neighbours; the paper
# gives no reason.

# %%
maps = rng.normal(size=(1, 8, 8, 6)).astype("float32")
pool, normalise = layers.MaxPooling2D(2), LocalResponseNormalization(alpha=1.0)
assert np.allclose(pool(keras.ops.relu(maps)), keras.ops.relu(pool(maps)))
print(
    "largest difference with normalised responses:", float(np.abs(pool(normalise(maps)) - normalise(pool(maps))).max())
)

# %% [markdown]
# **4.** Half as many units are the same half at every step. Dropout draws another half for each picture, so all units
# learn, and at the test all of them vote: close to an average over many thinned networks that share their weights.
#
# **5.** `python -m cnnkit train dataset=folder:PATH model=alexnet_small augmentation=flip+shift` is one run; compare
# over three seeds, and look at the gap between training and validation.
