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
# 2. Eight networks get the same number of epochs on 10,000 pictures. Does the one with the most parameters win? The one
#    with the most multiplications?
# 3. A cheap network may train longer for the same price. Does that turn the order?
# 4. Kernels of 1, 3, 5 or 7 pixels, at equal multiply-adds: which is best, and by how much?
# 5. The maps' means instead of a dense layer: what does it change in accuracy, and in the gap to the training set?

# %% [markdown]
# **Two sizes.** Answers come from committed tables of CIFAR-10 in either profile. In `smoke` the experiments also run
# here and now on small digits, at the end; nothing on this page trains in `full`.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

EXPERIMENTS = ("families", "ablations", "precision", "networks")

# %% tags=["hide-input"]
from matplotlib.patches import Rectangle

from cnnkit.course.architectures import facts, families
from cnnkit.evidence import fact
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
# Each network as its paper prints it, at its size of picture and 1000 classes; the area of a box is in proportion to
# its parameters, the area of the darker box inside it to its multiply-adds (AlexNet's boxes set the two scales).

# %%
YEARS = {"alexnet": 2012, "vgg16": 2014, "vgg19": 2014, "googlenet": 2014, "resnet18": 2015, "resnet34": 2015}
YEARS |= {"resnet50": 2015, "squeezenet": 2016, "mobilenet": 2017}
tables = {}
for name in YEARS:
    *shape, classes = registry.get_builder(name).shown
    tables[name] = anatomy.layer_table(models.sketch_model(name, tuple(shape), classes))
published = pd.DataFrame(
    {
        name: {
            "year": YEARS[name],
            "layers with weights": ((table["num_params"] > 0) & ~table["type"].str.contains("Norm")).sum(),
            "parameters": table["num_params"].sum(),
            "multiply-adds": table["macs"].sum(),
            "in dense layers": table.loc[table["type"] == "Dense", "num_params"].sum() / table["num_params"].sum(),
        }
        for name, table in tables.items()
    }
).T
published.assign(**{"in dense layers": published["in dense layers"].map("{:.0%}".format)}).style.format(
    "{:,.0f}", subset=["layers with weights", "parameters", "multiply-adds"]
).format("{:.0f}", subset="year")

# %%
PARENTS = {"vgg16": "alexnet", "vgg19": "vgg16", "googlenet": "alexnet", "resnet18": "vgg16", "resnet34": "resnet18"}
PARENTS |= {"resnet50": "resnet34", "squeezenet": "googlenet", "mobilenet": "googlenet"}
PLACES = {"alexnet": (0, 2), "vgg16": (2, 3.4), "vgg19": (4.2, 3.4), "googlenet": (2, 0.6), "resnet18": (4.2, 2)}
PLACES |= {"resnet34": (5.7, 2), "resnet50": (7.2, 2), "squeezenet": (4.2, 0.6), "mobilenet": (5.7, 0.6)}
fig, ax = plt.subplots(figsize=(9, 4.4), layout="constrained")
scales = published.loc["alexnet", ["parameters", "multiply-adds"]]
for name, (x, y) in PLACES.items():
    if name in PARENTS:
        ax.annotate("", (x, y), PLACES[PARENTS[name]], arrowprops={"arrowstyle": "->", "color": "0.7"}, zorder=0)
    for column, colour, at_scale in (("parameters", blue, 0.9), ("multiply-adds", orange, 0.3)):
        side = at_scale * np.sqrt(published.at[name, column] / scales[column])
        ax.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, color=colour, alpha=0.75, linewidth=0))
    ax.text(x, y - 0.78, f"{name}, {YEARS[name]}", ha="center", fontsize=8)
ax.set(xlim=(-0.8, 8), ylim=(-0.4, 4.2), aspect="equal")
ax.axis("off")

# %% tags=["hide-input"]
vgg, resnet = published.loc["vgg16"], published.loc["resnet34"]
say(
    f"**Prediction 1.** VGG-16 multiplies more: {vgg['multiply-adds'] / 1e9:.1f} billion times a picture, ResNet-34 "
    f"{resnet['multiply-adds'] / 1e9:.1f} billion. The two numbers need not go together: a dense layer uses each "
    f"weight once, a convolution at every place. {vgg['in dense layers']:.0%} of VGG-16's weights are dense."
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
    print(f"{count} of 3×3 see {seen[0]}×{seen[1]}: {stack.count_params():,} weights; one of {side}×{side}: ", end="")
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
# A block computes what must be *added* to its input, $y = x + F(x)$. If there is nothing to add, $F$ need only be 0,
# which is easier than to copy $x$ through two convolutions; and on the way back the gradient has a path that no layer
# shrinks:
#
# $$\frac{\partial L}{\partial x}=\frac{\partial L}{\partial y}\Big(1+\frac{\partial F}{\partial x}\Big).$$
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
# of the weights remain, and as large a share of the multiplications. The *width multiplier* $\alpha$ thins every layer.

# %%
for count in (64, 256, 1024):
    plain, split = (facts.weights(kind, count) for kind in (layers.Conv2D, layers.SeparableConv2D))
    assert np.isclose(split / plain, 1 / count + 1 / 9)
    print(f"{count:5} filters of 3×3: plain {plain:>10,}, separable {split:>9,}: {split / plain:.1%}")

# %% [markdown]
# What articles say of these networks, computed from the networks themselves (more among [the sentences that articles
# get wrong](../results/corrections.md)):

# %% tags=["hide-input"]
lines = [fact.check(one) for one in facts.FACTS if not one.id.startswith("alexnet")]
told = [[line["text"], f"{line['effect']:,.3g} {line['unit']}", line["verdict"]] for line in lines]
say(plots.markdown_table(pd.DataFrame(told, columns=["sentence", "computed", "verdict"])))

# %% [markdown]
# ## At CIFAR size
#
# A picture of 32×32 has no room for five halvings. So each plan in small: what its paper is about, kept; the large
# kernels and strides at the beginning, dropped.

# %%
rows = {}
for name, model in families.NETWORKS.items():
    totals = anatomy.totals(models.sketch_model(model, (32, 32, 3), 10))
    epochs = families.LONGER.get(name, 15)
    rows[name] = [f"{totals.num_params:,}", f"{totals.macs / 1e6:.1f}", 15, epochs]
columns = ["parameters", "million multiply-adds", "epochs, equal", "epochs at equal multiply-adds"]
pd.DataFrame(rows, index=columns).T

# %% [markdown]
# | | |
# |---|---|
# | **varied** | the network; the budget: 15 epochs each, or as many as cost what 15 of ResNet-20 cost |
# | **tuned, for each** | the peak of a one-cycle rate |
# | **held fixed** | 10,000 images of CIFAR-10, flipped and shifted, batches of 64, momentum 0.9 |
# | **repeated** | five fresh seeds |

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
        f"{correlation['num_params']:+.2f}, with multiply-adds {correlation['macs']:+.2f}, over {len(equal)} networks.",
        f"**Prediction 3.** At equal multiply-adds the order is, best first: {', '.join(both.index[::-1])}; at equal "
        f"epochs it was {', '.join(equal.index[::-1])}.",
    )
else:
    say(f"*families: {found['families'].gap()}.*")

# %% [markdown]
# Seconds are not multiply-adds: a depthwise convolution does few multiplications on many numbers, and waits for memory
# instead. The third panel is what one pays on this machine.

# %% [markdown]
# ## One choice at a time
#
# The same small VGG with batch normalisation, 10,000 pictures at half their resolution (16×16, a quarter of the cost),
# one thing changed at a time. Each arm has a rate of its own.
#
# ### Width and depth

# %%
show(found["ablations"], "accuracy_width", "accuracy_depth")

# %% [markdown]
# ### Kernels, at equal multiply-adds

# %%
show(found["ablations"], "accuracy_kernels")

# %% [markdown]
# ### The head, and what pooling does

# %%
show(found["ablations"], "accuracy_head", "accuracy_pooling")

# %% [markdown]
# ### Padding and resolution
#
# These two read whole pictures. *frame* puts all zeros around the picture and pads no layer: the last maps are as large
# as with padding, and nothing of the border is dropped, but no layer sees where the picture ends.

# %%
show(found["ablations"], "accuracy_padding", "accuracy_resolution")

# %% [markdown]
# ### Separable convolutions

# %%
show(found["ablations"], "accuracy_separable")

# %%
tell(found["ablations"])

# %% tags=["hide-input"]
if found["ablations"].complete:
    table = found["ablations"].table()
    rows = {row["id"]: row for row in found["ablations"].verdicts()}
    sizes = table[table["part"] == "kernels"].set_index("kernels")["mean"].filter(regex="^[0-9]").sort_values()
    average, gap = rows["average-accuracy"], rows["average-gap"]
    say(
        f"**Prediction 4.** Best first: {', '.join(f'{name} {mean:.1%}' for name, mean in sizes[::-1].items())}.",
        f"**Prediction 5.** The maps' means against a dense layer of 256: {100 * average['effect']:+.1f} points of "
        f"test accuracy, and a gap between training and test that is {100 * gap['effect']:.1f} points narrower.",
    )

# %% [markdown]
# ## The table of networks
#
# What these plans reach on all 45,000 training images of CIFAR-10, trained out, three seeds each. Half precision
# (`mixed_bfloat16`) may be used for the dearest rows if paired runs show no difference:

# %%
tell(found["precision"])

# %% tags=["hide-input"]
from cnnkit.course.networks import networks

if len(lines := networks.costs(found["networks"])):
    say(plots.markdown_table(lines))
else:
    say(f"*networks: {found['networks'].gap()}.*")

# %% [markdown]
# ## Limits
#
# - CIFAR size is not ImageNet size. Plans made for 224 pixels lose their first layers here, and with them what those
#   were for; SqueezeNet and MobileNet were made for phones, not for pictures of 32 pixels.
# - 10,000 pictures and 15 epochs: the dear networks are further from being trained out than the cheap ones. The check
#   at twice the epochs says by how much, for one of them.
# - The ablations change one thing of one network. Width, depth and kernel interact; a choice that is worth nothing here
#   may be worth something elsewhere.
# - Seconds are of one core of one kind of processor; on a GPU the third panel looks different.

# %% [markdown]
# ## The same in small
#
# In `smoke` three of the experiments also run here and now, on small digits, with two seeds and one epoch. It shows
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
    right = anatomy.layer_table(keras.Model(image, x))["receptive_field"].iloc[-1][0]
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
    totals = anatomy.totals(models.sketch_model("mobilenet", (224, 224, 3), 1000, width_multiplier=alpha))
    print(f"width multiplier {alpha}: {totals.num_params:,} parameters, {totals.macs:,} multiply-adds")

# %% [markdown]
# **3.** None: shortcuts of option A have no weights.

# %%
print({name: models.sketch_model(name, (32, 32, 3), 10).count_params() for name in ("resnet20", "plain20")})

# %% [markdown]
# **4.** The convolutions, and $1000\cdot(512+1)$.

# %%
convolutions = tables["vgg16"].loc[tables["vgg16"]["type"] == "Conv2D", "num_params"].sum()
print(f"{convolutions + 1000 * 513:,} of {tables['vgg16']['num_params'].sum():,}")
