# %% [markdown]
# # 12 Architectures: what did each later network add?
#
# Five networks followed AlexNet within five years, each with one idea that stayed: **VGG** (2014), small kernels in
# deep stacks; **GoogLeNet** (2014), several kernel sizes side by side, made cheap by 1×1 convolutions; **ResNet**
# (2015), shortcuts around layers; **SqueezeNet** (2016), few weights; **MobileNet** (2017), few multiplications. This
# notebook builds all of them as published, counts what they cost, and then asks at CIFAR size, where we can train them
# over seeds: at equal cost, which plan is best? And which single choice, a kernel, a head, a pooling, is worth how
# much?
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. VGG-16 has 138 million parameters, ResNet-34 22 million. Which of them multiplies more for one picture?
# 2. Seven networks get the same number of epochs on 10,000 pictures. Does the one with the most parameters win? The one
#    with the most multiplications?
# 3. For the same price a cheap network may train longer. Does that turn the order?
# 4. Kernels of 1, 3, 5 or 7 pixels, at equal multiply-adds: which is best, and by how much?
# 5. The maps' means instead of a dense layer: what does it change in accuracy, and in the gap to the training set?

# %% [markdown]
# **Two sizes.** Answers come from committed tables of CIFAR-10 in either profile. In `smoke` the experiments also run
# here and now on small digits, at the end; nothing on this page trains in `full`.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

EXPERIMENTS = ("families", "ablations", "precision", "networks")

# %% tags=["hide-input"]
import itertools

from matplotlib.patches import Rectangle

from cnnkit.course.architectures import facts, families
from cnnkit.evidence import claims
from cnnkit.models import registry

plt.rcParams["figure.dpi"] = 120
blue, orange, green = sns.color_palette("colorblind", 3)
found = {name: findings(name) for name in EXPERIMENTS}

# %% [markdown]
# **What it costs.** Four experiments stand behind this page: what each asks, how many networks that takes as far as the
# rows decide it yet, and what those that are here cost, one after the other.

# %% tags=["hide-input"]
cost = {
    name: [one.experiment.question, len(one.configs), len(one.runs), round(one.seconds / 60, 1)]
    for name, one in found.items()
}
columns = ["question", "networks asked for", "here", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))

# %% [markdown]
# ## The family
#
# Each network as its paper prints it, at its size of picture and 1000 classes. In the drawing a square's area is in
# proportion to the parameters or the multiply-adds (AlexNet's two set the scales), and an arrow leads to a network that
# takes up an idea of another.

# %%
PAPERS = {"alexnet": (2012, 8), "vgg16": (2014, 16), "vgg19": (2014, 19), "googlenet": (2014, 22)}  # year, layers
PAPERS |= {"resnet18": (2015, 18), "resnet34": (2015, 34), "resnet50": (2015, 50), "squeezenet": (2016, 18)}
PAPERS |= {"mobilenet": (2017, 28)}


def trainable(model):
    """Return the parameters that training changes: batch normalisation's statistics are none of them."""
    return sum(np.prod(weight.shape) for weight in model.trainable_weights)


tables, lines = {}, {}
for name, (year, depth) in PAPERS.items():
    *shape, classes = registry.get_builder(name).shown
    net = models.sketch_model(name, tuple(shape), classes)
    tables[name] = table = anatomy.layer_table(net)
    parameters = trainable(net)
    dense = table.loc[table["type"] == "Dense", "num_params"].sum()
    lines[name] = [year, depth, parameters, table["macs"].sum(), dense / parameters]
columns = ["year", "layers", "parameters", "multiply-adds", "in dense layers"]
published = pd.DataFrame(lines, index=columns).T
published.style.format("{:,.0f}").format("{:.0f}", subset="year").format("{:.0%}", subset="in dense layers")

# %%
PARENTS = {"vgg16": "alexnet", "vgg19": "vgg16", "googlenet": "alexnet", "resnet18": "vgg16", "resnet34": "resnet18"}
PARENTS |= {"resnet50": "resnet34", "squeezenet": "googlenet", "mobilenet": "googlenet"}
PLACES = {"alexnet": (0, 2), "vgg16": (2, 3.4), "vgg19": (5.2, 3.4), "googlenet": (2, 0.6), "resnet18": (4, 2)}
PLACES |= {"resnet34": (5.6, 2), "resnet50": (7.2, 2), "squeezenet": (4, 0.6), "mobilenet": (5.6, 0.6)}
fig, ax = plt.subplots(figsize=(9, 4.6), layout="constrained")
scales = published.loc["alexnet", ["parameters", "multiply-adds"]]
for name, (x, y) in PLACES.items():
    if name in PARENTS:
        ax.annotate("", (x, y), PLACES[PARENTS[name]], arrowprops={"arrowstyle": "->", "color": "0.7"}, zorder=0)
    for column, colour, left in (("parameters", blue, True), ("multiply-adds", orange, False)):
        side = 0.35 * np.sqrt(published.at[name, column] / scales[column])
        label = column if name == "alexnet" else None
        ax.add_patch(Rectangle((x - left * side, y), side, side, color=colour, linewidth=0, label=label))
    ax.text(x, y - 0.2, f"{name}, {PAPERS[name][0]}", ha="center", fontsize=8)
ax.set(xlim=(-0.8, 8.2), ylim=(0.2, 5.6), aspect="equal")
ax.axis("off")
ax.legend(frameon=False, loc="upper left")
# %% tags=["hide-input"]
vgg, resnet = published.loc["vgg16"], published.loc["resnet34"]
say(
    f"**Prediction 1.** VGG-16 multiplies more: {vgg['multiply-adds'] / 1e9:.1f} billion times a picture, ResNet-34 "
    f"{resnet['multiply-adds'] / 1e9:.1f} billion. The two numbers need not go together: a dense layer uses each "
    f"weight once, a convolution at every place. {vgg['in dense layers']:.0%} of VGG-16's weights are dense."
)

# %% [markdown]
# ### Five modules
#
# From VGG on a paper designs one *module*, a small network, and piles it up. Here is one module of each network as
# published, to be read upwards. Below stand its parameters, and how many these are for each pair of a channel that
# comes in and one that goes out: for one 3×3 convolution 9. *Each*: every channel by itself.

# %% tags=["hide-input"]
# Of a module: what is below its branches, the branches, what joins them, channels in and out, the names of its layers.
MODULES = {
    "vgg16": ([], [["3×3, 256", "3×3, 256"]], None, (256, 256), "conv3_[23]"),
    "googlenet": ([], [["1×1, 64"], ["1×1, 96", "3×3, 128"], ["1×1, 16", "5×5, 32"], ["max 3×3", "1×1, 32"]],
                  "side by side", (192, 256), "3a"),
    "resnet34": ([], [["3×3, 128", "3×3, 128"], []], "sum", (128, 128), "conv3_2"),
    "squeezenet": (["1×1, 16"], [["1×1, 64"], ["3×3, 64"]], "side by side", (96, 128), "fire2"),
    "mobilenet": ([], [["3×3 each, 128", "1×1, 128"]], None, (128, 128), "conv4"),
}  # fmt: skip
arrow = {"arrowstyle": "-|>", "color": "0.6", "shrinkA": 0}
pairs = {}
fig, axes = plt.subplots(1, 5, figsize=(10.4, 3.6), width_ratios=[1.7, 4, 2, 2, 1.7], layout="constrained")
for ax, (network, (stem, branches, join, channels, names)) in zip(axes, MODULES.items(), strict=True):
    middle, top = (len(branches) - 1) / 2, len(stem) + max(map(len, branches)) + 1
    below = [(f"{channels[0]} channels", middle, 0)] + [(text, middle, 1 + y) for y, text in enumerate(stem)]
    above = [(text, middle, top + y) for y, text in enumerate(filter(None, [join, f"{channels[1]} channels"]))]
    for place, branch in enumerate(branches):
        lowest = len(below) + (max(map(len, branches)) - max(len(branch), 1)) / 2
        within = [(text, place, lowest + y) for y, text in enumerate(branch or [""])]
        for (_, *start), (text, *end) in itertools.pairwise(path := [*below, *within, *above]):
            ax.annotate("", end, start, arrowprops=arrow | {"shrinkB": 8 * bool(text)}, zorder=0)
        for text, x, y in path:
            colour = "white" if "channels" in text else sns.light_palette(orange if text == join else blue, 4)[1]
            ax.text(x, y, text, ha="center", va="center", fontsize=7, bbox={"facecolor": colour, "edgecolor": "none"})
    table = tables[network]
    count = table.loc[table["layer"].str.match(names), "num_params"].sum()
    pairs[network] = count / np.prod(channels)
    label = f"{count:,} parameters,\n{pairs[network]:.2g} for each pair"
    ax.set(xlim=(-0.7, len(branches) - 0.3), ylim=(-1.2, 4.4), title=network)
    ax.text(middle, -1, label, ha="center", fontsize=7)
    ax.axis("off")

# %% tags=["hide-input"]
say(
    f"The dearest, VGG's pair of convolutions, has {max(pairs.values()):.0f} weights for a pair of channels, "
    f"SqueezeNet's fire module {pairs['squeezenet']:.2f}, MobileNet's {pairs['mobilenet']:.1f}: most of the way from "
    "18 to 1 is made by letting 3×3 windows see few channels, after a narrow 1×1 (GoogLeNet, SqueezeNet) or one at a "
    "time (MobileNet). ResNet's module costs what VGG's does; its arrow past the convolutions is free."
)

# %% [markdown]
# ### VGG: two small kernels see as far as a large one
#
# Two layers of 3×3 see 5×5 pixels, three see 7×7. With $C$ channels in and out, three layers of 3×3 have
# $3\cdot 9\,C^2=27\,C^2$ weights, one of 7×7 has $49\,C^2$, and between the three there is room for two more
# non-linearities. It is *not the same function*: a stack can do some of what the large kernel can, and other things.

# %%
for count, side in ((2, 5), (3, 7)):
    image = keras.Input((16, 16, 8))
    x = image
    for _ in range(count):
        x = layers.Conv2D(8, 3, use_bias=False)(x)
    stack, single = keras.Model(image, x), layers.Conv2D(8, side, use_bias=False)
    assert single(image).shape == stack.output.shape
    seen = anatomy.layer_table(stack)["receptive_field"].iloc[-1]
    print(f"{count} of 3×3 see {seen}×{seen}: {stack.count_params():,} weights; one of {side}×{side}: ", end="")
    print(f"{single.count_params():,}")

# %% [markdown]
# ### GoogLeNet: side by side, behind narrow 1×1s
#
# Which kernel size is right? GoogLeNet takes 1×1, 3×3, 5×5 and a pooling at once and lets the next layer choose. Dear,
# unless a 1×1 convolution first makes the maps few: a 1×1 is a dense layer over the channels of one pixel. Module 3a
# reads 192 maps of 28×28. By hand, without biases:
#
# $$\underbrace{192\cdot 64}_{1\times 1}+\underbrace{192\cdot 96+9\cdot 96\cdot 128}_{3\times 3}
# +\underbrace{192\cdot 16+25\cdot 16\cdot 32}_{5\times 5}+\underbrace{192\cdot 32}_{\text{pooled}}=163{,}328$$

# %%
with_narrow, without = facts.inception_3a(), facts.inception_3a(naive=True)
by_hand = 192 * 64 + 192 * 96 + 9 * 96 * 128 + 192 * 16 + 25 * 16 * 32 + 192 * 32
assert with_narrow.count_params() == by_hand
print(f"with the narrow 1×1s {by_hand:,} weights, without {without.count_params():,}")

# %% [markdown]
# ### ResNet: a way around
#
# A block computes what must be *added* to its input, $y = \mathrm{ReLU}(x + F(x))$. If there is nothing to add, $F$
# need only be 0, which is easier than to copy $x$ through two convolutions. Where the sum $x+F(x)$ is above 0, the
# gradient comes back by two paths,
#
# $$\frac{\partial L}{\partial x}=\frac{\partial L}{\partial y}\Big(1+\frac{\partial F}{\partial x}\Big),$$
#
# of which one passes no weights. (He et al. think that vanishing gradients are *not* why deep plain networks do badly:
# batch normalisation keeps them alive. Notebook 09 looks.)
#
# The plan is VGG's, thinned: where maps halve their sides, filters double, so that layers cost the same.

# %%
stages = tables["resnet34"].set_index("layer").loc[[f"conv{stage}_2_1" for stage in range(2, 6)]]
stages[["output_shape", "num_params", "macs"]]

# %% [markdown]
# ### SqueezeNet and MobileNet: less of everything
#
# SqueezeNet's *fire* module squeezes the channels by a 1×1 before it expands them again. MobileNet splits a
# convolution: first each channel by itself (*depthwise*, 3×3), then all channels at each pixel (1×1). With $N$ filters
# of $k\times k$
#
# $$\frac{k^2 C+C N}{k^2 C N}=\frac1N+\frac1{k^2}$$
#
# of the weights remain, and as large a share of the multiplications. The *width multiplier* $\alpha$ thins every layer:
# a 1×1 convolution keeps $\alpha^2$ of its weights.

# %%
for count in (64, 256, 1024):
    plain, split = (facts.weights(kind, count) for kind in (layers.Conv2D, layers.SeparableConv2D))
    assert np.isclose(split / plain, 1 / count + 1 / 9)
    print(f"{count:5} filters of 3×3: plain {plain:>10,}, separable {split:>9,}: {split / plain:.1%}")

# %% [markdown]
# What articles say of these networks, computed from the networks themselves (more among [the sentences that articles
# get wrong](../results/corrections.md)):

# %% tags=["hide-input"]
tell_facts(one for one in facts.FACTS if not one.id.startswith("alexnet"))

# %% [markdown]
# ## At CIFAR size
#
# A picture of CIFAR size has no room for five halvings. So each plan in small: its modules, kept; the large kernels and
# strides at the beginning, dropped. All are batch-normalised, also AlexNet, VGG, GoogLeNet and SqueezeNet, which were
# not: else one would compare that. AlexNet keeps its two hidden dense layers, with dropout, and
# Caffe's quick network its one of 64. Here all see pictures of 16×16: whole ones cost four times as much, and there 15
# epochs were far from enough.

# %%
rows = {}
for name in families.NETWORKS:
    parameters, macs = families.sizes(name)
    rows[name] = [f"{parameters:,}", f"{macs / 1e6:.1f}", 20, families.SAME_COST.get(name, 20)]
columns = ["parameters", "million multiply-adds", "epochs, equal", "epochs at equal multiply-adds"]
pd.DataFrame(rows, index=columns).T

# %% [markdown]
# | | |
# |---|---|
# | **varied** | the network; the budget: 20 epochs each, or as many as cost what 20 of GoogLeNet do |
# | **tuned, for each** | the peak of a one-cycle rate (notebook 07), in runs of 8 epochs and 4,000 images |
# | **held fixed** | 10,000 CIFAR-10 images, half their resolution, flipped and shifted, batches of 64, momentum 0.9 |
# | **repeated** | eight fresh seeds |

# %%
show(found["families"], "accuracy", "pareto")

# %%
tell(found["families"])

# %% tags=["hide-input"]
if found["families"].complete:
    costs = families.costs(found["families"])
    equal = costs[costs["budget"] == "epochs"].set_index("network").sort_values("mean")
    longer = costs[(costs["budget"] == "multiply-adds")].set_index("network")
    both = pd.concat([longer, equal.drop(index=longer.index)]).sort_values("mean")
    largest, dearest = equal["num_params"].idxmax(), equal["macs"].idxmax()
    correlation = equal[["num_params", "macs", "mean"]].corr("spearman")["mean"]
    say(
        f"**Prediction 2.** At equal epochs {equal.index[-1]} is best with {equal['mean'].iloc[-1]:.1%}; the most "
        f"parameters has {largest} ({equal.at[largest, 'mean']:.1%}), the most multiply-adds {dearest} "
        f"({equal.at[dearest, 'mean']:.1%}). The rank correlation of accuracy with parameters is "
        f"{correlation['num_params']:+.2f}, with multiply-adds {correlation['macs']:+.2f}, over {len(equal)} "
        "networks (below 0.79 in size it may be chance).",
        f"**Prediction 3.** At equal multiply-adds the order is, best first: {', '.join(both.index[::-1])}; at equal "
        f"epochs it was {', '.join(equal.index[::-1])}. Neighbours whose intervals overlap are not ordered.",
    )
else:
    say(f"*families: {found['families'].gap()}.*")

# %% [markdown]
# Seconds are not multiply-adds: a depthwise convolution does few multiplications on many numbers, and waits for memory
# instead. The third panel is what one pays on this machine.

# %% [markdown]
# ## One choice at a time
#
# A small VGG with batch normalisation: three blocks of two 3×3 convolutions with 16, 32 and 64 filters, the maps' means
# at the end; 2,500 pictures, 30 epochs. One thing is changed at a time, and each arm has a rate of its own. Most arms
# see pictures at half their resolution (16×16), a quarter of the cost; where the size of the last maps matters, whole
# ones.

# %% [markdown]
# ### Width and depth
#
# Filters of the first block (the others have twice and four times as many), and convolutions a block. "More layers" may
# mean *more* overfitting or *harder* training; the *gap* (training minus test accuracy of the finished network) tells
# the one, the training accuracy the other.

# %%
show(found["ablations"], "accuracy_width", "accuracy_depth")

# %% [markdown]
# ### Kernels
#
# The four single sizes have as many multiply-adds each (the large kernels up to 11% more), so a larger kernel has fewer
# filters: 48, 16, 10, 7. The two stacks below, three of 3×3 and one of 7×7, cost the same as each other, 1.7 times as
# much as the four.

# %%
show(found["ablations"], "accuracy_kernels")

# %% [markdown]
# ### The head, and what pooling does
#
# *average*: the logits read the means of 64 maps. *flatten*: they read all 4×4 values of each. *dense*: a layer of 256
# ReLUs stands between. Pooling: maxima or means of 2×2, or the block's last convolution has stride 2 (*stride*; that
# convolution then costs a quarter, the network about half). *max of 3×3* and *4×4* have larger windows, as far apart as
# they are wide, in the first block only.

# %%
show(found["ablations"], "accuracy_head", "curves_pace", "accuracy_pooling")

# %% [markdown]
# ### Padding and resolution
#
# Blocks of one convolution. *same* pads every layer, *valid* none, so that maps shrink. *frame* puts all zeros around
# the picture and pads no layer: the last maps are as large as with *same*. Resolution: 32, 16 and 8 pixels a side.

# %%
show(found["ablations"], "accuracy_padding", "accuracy_resolution")

# %% [markdown]
# ### Separable convolutions
#
# MobileNet's plan, and half as wide (½) with separable and with plain convolutions.

# %%
show(found["ablations"], "accuracy_separable")

# %% [markdown]
# All arms, and what they decide. The last part, *pace*, has a constant rate: under one that falls, all arms are done
# together.

# %%
tell(found["ablations"])

# %% tags=["hide-input"]
if found["ablations"].complete:
    table = found["ablations"].table()
    rows = claims.as_table(found["ablations"].verdicts()).set_index("id")
    sizes = table[table["part"] == "kernels"].set_index("arm")["mean"].filter(regex="^[0-9]").sort_values()
    average, gap = rows.loc["average-accuracy"], rows.loc["average-gap"]
    say(
        f"**Prediction 4.** Best first: {', '.join(f'{name} {mean:.1%}' for name, mean in sizes[::-1].items())}.",
        f"**Prediction 5.** The maps' means against a dense layer of 256: {100 * average['effect']:+.1f} points of "
        f"test accuracy, and a gap between training and test that is {100 * gap['effect']:.1f} points narrower.",
    )

# %% [markdown]
# ## The table of networks
#
# What plain, good recipes reach on all training images, trained out, three seeds each. Half precision
# (`mixed_bfloat16`) may be used for the dearest rows if paired runs show no difference:

# %%
tell(found["precision"])

# %% tags=["hide-input"]
from cnnkit.course.networks import networks

if found["precision"].complete:
    half = claims.as_table(found["precision"].verdicts()).iloc[0]
    spent = found["precision"].plans[""].of_role("fresh").groupby("arm")["train_seconds"].mean()
    allowed = "may use it" if half["verdict"] == "SUPPORTED" else "are trained in float32"
    say(
        f"Half precision changes accuracy by {100 * half['effect']:+.2f} points ({100 * half['low']:.2f} to "
        f"{100 * half['high']:.2f}); that it costs at most half a point is {half['verdict']}: the rows below "
        f"{allowed}. It saves no "
        f"time here: {spent['mixed_bfloat16']:.0f} seconds a run against {spent['float32']:.0f}."
    )

if len(lines := networks.costs(found["networks"])):
    say(plots.markdown_table(lines))
else:
    say(f"*networks: {found['networks'].gap()}.*")

# %% [markdown]
# ## Limits
#
# - CIFAR size is not ImageNet size. Plans made for 224 pixels lose their first layers here, and with them what those
#   were for; SqueezeNet and MobileNet were made for phones, not for pictures of 32 pixels.
# - 2,500 or 10,000 pictures, 30 or 20 epochs: the dear networks are further from being trained out than the cheap ones.
#   The check at twice the epochs says by how much, for one of them.
# - The ablations change one thing of one network. Width, depth and kernel interact; a choice that is worth nothing here
#   may be worth something elsewhere.
# - Seconds are of one core of one kind of processor; on a GPU the third panel looks different.

# %% [markdown]
# ## The same in small
#
# In `smoke` three of the experiments also run here and now, on small digits, with one seed and one epoch. It shows
# that they run; it is too small to conclude from.

# %%
if PROFILE == "smoke":
    for name in ("families", "ablations", "precision"):
        small = run_here(name)
        say(f"**{name}**, smoke run:", plots.markdown_table(plots.readable(small.table())))

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* Seven layers of 3×3 in a row, stride 1. How many pixels a side does one output see? (The cell
#    below takes your answer.)
# 2. MobileNet at width multiplier ½: what is left of the parameters and of the multiply-adds of the whole network?
#    First guess, then count.
# 3. Take ResNet-20's shortcuts away (`plain20`): how many parameters does that save?
# 4. VGG-16 without its dense layers, with the maps' means and one layer to 1000 classes: how many parameters?

# %%
my_answer = None  # exercise 1: put your number here


def judge(answer):
    """Say whether the answer to exercise 1 is what a network of seven layers sees."""
    x = image = keras.Input((32, 32, 1))
    for _ in range(7):
        x = layers.Conv2D(1, 3)(x)
    right = anatomy.layer_table(keras.Model(image, x))["receptive_field"].iloc[-1]
    print("put your number in my_answer" if answer is None else "right" if answer == right else "not yet")


judge(my_answer)

# %% [markdown]
# ## Solutions
#
# **1.** Each layer adds a pixel at either side: $1+7\cdot 2$.

# %%
judge(1 + 7 * 2)

# %% [markdown]
# **2.** The 1×1 convolutions have most of both and shrink by four; the depthwise ones, conv1 and the last layer by two.

# %%
for alpha in (1.0, 0.5):
    net = models.sketch_model("mobilenet", (224, 224, 3), 1000, width_multiplier=alpha)
    print(f"width multiplier {alpha}: {trainable(net):,} parameters, {anatomy.totals(net).macs:,} multiply-adds")

# %% [markdown]
# **3.** None: shortcuts of option A have no weights.

# %%
print({name: f"{trainable(models.sketch_model(name, (32, 32, 3), 10)):,}" for name in ("resnet20", "plain20")})

# %% [markdown]
# **4.** The convolutions, and $1000\cdot(512+1)$.

# %%
convolutions = tables["vgg16"].loc[tables["vgg16"]["type"] == "Conv2D", "num_params"].sum()
print(f"{convolutions + 1000 * 513:,} of {tables['vgg16']['num_params'].sum():,}")
