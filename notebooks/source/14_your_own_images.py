# %% [markdown]
# # 14 Your own images: how do I get a classifier for my pictures?
#
# Textbooks have data sets; people have folders. A folder holds hundreds of pictures of one thing and a dozen of
# another, in five formats, one of them broken, and a file that is no picture at all. This notebook takes such a folder
# from the first look to a file of predictions. Then it asks what to do when there are *few* pictures: train a network
# from scratch, keep the features of one that has learnt something else, or go on training it.
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. Three in four pictures of a folder are of one class. A network has 80% of the test pictures right. How
#    many of the rarest class?
# 2. How could the finished network treat rare and common classes alike, without more training?
# 3. Five pictures a class: from scratch, frozen features, or all weights fine-tuned? Order them, and guess the points
#    between first and last.
# 4. The same with 500 a class.
# 5. Frozen features need to be computed only once. How many times less arithmetic is that than fine-tuning for 30
#    epochs?
# 6. A dense layer without its biases: how many points of accuracy?

# %% [markdown]
# **Two sizes.** In `full` the folder is made of three classes of CIFAR-10, in `smoke` of pieces of the two photographs
# that come with scikit-learn. **Your own pictures** take one line: name their folder, with a folder for each class
# inside, in the next cell.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

PHOTOS = None  # or a folder of your own: "~/photos"

# %% tags=["hide-input"]
import contextlib
import io
import logging
import os
import tempfile
import warnings
from pathlib import Path

from PIL import Image
from scipy import stats
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cnnkit.course.baselines import facts as baselines
from cnnkit.course.own_images import _folder, facts, three_ways
from cnnkit.evidence import claims
from cnnkit.lab import export
from cnnkit.lab.provenance import use_one_thread

use_one_thread()
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it counts retracings over unrelated models
plt.rcParams["figure.dpi"] = 90
colours = sns.color_palette("colorblind")
work = tempfile.TemporaryDirectory()  # of all files that this page writes; the working folder from here on
PHOTOS = PHOTOS and str(Path(PHOTOS).expanduser().resolve())
os.chdir(work.name)
if PHOTOS is None:
    _folder.make_folder(Path("photos"), _folder.photographs(PROFILE))
    PHOTOS = "photos"
found = findings("three_ways")
verdicts = claims.as_table(found.verdicts()).set_index("id")


def ours(id):
    """Tell what a claim's runs say, and its verdict, or what is awaited."""
    row = verdicts.loc[id]
    return f"{plots.tell_effect(row)}: **{row['verdict']}**" if np.isfinite(row["effect"]) else f"*{row['reason']}*"


# %% [markdown]
# ## A folder, and what is in it
#
# One folder a class is all that is asked for. What is there, by class and kind of file?

# %%
files = [path for path in Path(PHOTOS).rglob("*") if path.is_file()]
kinds = pd.DataFrame([{"class": path.parent.name, "kind": path.suffix or path.name} for path in files])
pd.crosstab(kinds["class"], kinds["kind"], margins=True, margins_name="all")

# %% [markdown]
# A folder is a data set like any other: `folder:PATH`, with `?size=32` for the side in pixels to which all pictures are
# brought. Loading it is the check: every file is opened and decoded, and one that claims to be a picture and is none
# stops everything *before* anything is trained. On the command line: `python -m cnnkit datasets --check folder:PATH`.

# %%
FOLDER = f"folder:{PHOTOS}?size=32"
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    try:
        load_dataset(FOLDER)
    except ValueError as error:
        print(error)
    load_dataset(f"{FOLDER}&on_error=skip")
print(*[warning.message for warning in told], sep="\n")

# %% [markdown]
# An error, with two ways out; and with `on_error=skip` a warning that says what was left out. Nothing is skipped in
# silence: a picture that goes missing unnoticed is a class that gets rarer unnoticed. (`Thumbs.db` goes without a word,
# for it lies in every folder that Windows has shown.) We repair *our* folder (from yours nothing is removed: what
# cannot be read is left out), and look for pictures that occur twice.

# %%
if PHOTOS == "photos":
    for path in files:
        if path.name in ("half.jpg", "read me.txt"):
            path.unlink()
else:
    FOLDER += "&on_error=skip"
dataset = load_dataset(FOLDER)
counts, sentence = data.check_duplicates(dataset)
print(sentence)

# %% [markdown]
# Equal bytes are the least of it. Ten shots of one scene are *nearly* equal, and if a seed puts seven of them into
# training and three into the test, the test measures memory. Only you know which pictures belong together: then make
# `train/` and `test/` yourself, with whole scenes (days, patients, cameras) in one of them. (The pieces of two
# photographs that `smoke` takes break this rule: all its test pictures are of a scene that was trained on.)

# %% [markdown]
# ## Look at it
#
# As the network will see them, eight of each class, the rarest first.

# %%
names, pool = np.array(dataset.class_names), np.concatenate([dataset.y_train, dataset.y_val, dataset.y_test])
by_count = np.argsort(np.bincount(pool))
few = np.concatenate([np.flatnonzero(dataset.y_train == label)[:8] for label in by_count])
plots.mark_profile(plots.plot_images(dataset.x_train[few], titles=names[dataset.y_train[few]], columns=8), PROFILE)
plt.show()

# %% [markdown]
# Look for what should not be there: a border, a date in the corner, one class all dark, another all sharp. A network
# takes whatever tells the classes apart. What the loader did for us: pictures were turned as the camera says (EXIF),
# transparent ones laid on white, grey ones made RGB. What it costs: all become squares of one size, so a long picture
# is squeezed.

# %% [markdown]
# ## Split it
#
# A fifth of each class for the test, a tenth of the rest to validate, by a seed, each class in its share:

# %%
splits = {"train": dataset.y_train, "val": dataset.y_val, "test": dataset.y_test}
table = pd.DataFrame({name: np.bincount(y, minlength=len(names)) for name, y in splits.items()}, index=names)
shares = table["train"].to_numpy() / table["train"].sum()
table.assign(**{"share of train (%)": (100 * shares).round(1)}).iloc[by_count[::-1]]

# %% tags=["hide-input"]
common, rare = by_count[-1], by_count[0]
blind = table["test"].iloc[common] / table["test"].sum()
say(
    f"**{names[common]}** is in {shares[common]:.0%} of the training pictures, **{names[rare]}** in "
    f"{shares[rare]:.0%}. Who calls everything {names[common]} has {blind:.1%} of the test right. That is what a "
    f"network has to beat here. And of {names[rare]} the test holds {table['test'].iloc[rare]} pictures: each of them "
    f"is {1 / table['test'].iloc[rare]:.0%} of that class."
)

# %% [markdown]
# ## Train
#
# A small network, a rate that rises and falls, pictures flipped at random. The same from the command line:
#
#     python -m cnnkit train "dataset=folder:PATH?size=32" model=caffe_quick 'model_args={"batch_norm": true}' \
#         'optimizer_args={"momentum": 0.9}' learning_rate=0.02 schedule=one_cycle batch_size=16 epochs=15 \
#         augmentation=flip --save mine.keras

# %%
config = RunConfig(
    dataset=FOLDER,
    model="caffe_quick",
    model_args={"batch_norm": True},
    optimizer_args={"momentum": 0.9},
    learning_rate=0.02,
    schedule="one_cycle",
    batch_size=16,
    epochs=15,
    augmentation="flip",
)
run = train(config)
plots.mark_profile(plots.plot_curves(run.history.assign(run_id=config.run_id)), PROFILE)
plt.show()

# %% tags=["hide-input"]
row = run.row
say(
    f"After {row['epochs_run']} epochs {row['train_accuracy']:.1%} of the training pictures are right, "
    f"{row['val_accuracy']:.1%} of the {table['val'].sum()} that validate, and {row['test_accuracy']:.1%} of the "
    f"{table['test'].sum()} of the test. One of those that validate is {1 / table['val'].sum():.1%}, so the curve's "
    "jumps are a few pictures: it says that the network learns, not which epoch was the best."
)

# %% [markdown]
# ## Who pays for uneven classes?
#
# Accuracy counts pictures, so common classes decide it. **Balanced accuracy** counts classes: the mean of the shares
# that are right in each of $K$ classes,
#
# $$\text{accuracy}=\frac{1}{n}\sum_i [\hat y_i=y_i],\qquad
# \text{balanced}=\frac1K\sum_k\frac{1}{n_k}\sum_{i:\,y_i=k}[\hat y_i=k] .$$
#
# Whoever names one class always has $1/K$ of it, however common that class is.

# %%
pictures = dataset.x_test / np.float32(255)
logits = run.model.predict(pictures, verbose=0)
said = logits.argmax(axis=1)
plots.mark_profile(plots.plot_confusion(dataset.y_test, said, names), PROFILE)
plt.show()

# %%
right = said == dataset.y_test
recall = np.array([right[dataset.y_test == label].mean() for label in range(len(names))])
assert np.isclose(recall.mean(), balanced_accuracy_score(dataset.y_test, said))
assert np.isclose(recall.mean(), row["test_balanced_accuracy"], atol=1e-6)
scores = pd.DataFrame({"share of train (%)": 100 * shares, "right (%)": 100 * recall}, index=names)
scores.iloc[by_count[::-1]].round(1)

# %% tags=["hide-input"]
into_common = np.mean(said[~right] == common) if (~right).any() else np.nan
where = f" {into_common:.0%} of all errors are pictures called {names[common]}." if (~right).any() else ""
say(
    f"**Prediction 1.** {right.mean():.1%} of all test pictures are right, {recall[common]:.0%} of {names[common]}, "
    f"and {recall[rare]:.0%} of {names[rare]}, the rarest. The balanced accuracy is {recall.mean():.1%}; chance is "
    f"{1 / len(names):.0%}.{where}"
)

# %% [markdown]
# That is what a network *should* do, if errors are counted by pictures: in doubt it names the common class. What do
# articles say about such numbers?

# %% tags=["hide-input"]
tell_facts(facts.FACTS)

# %% [markdown]
# So *95% in a special field* says nothing until one knows how common the commonest class is.
#
# **Without more training.** By Bayes a network that has learnt $p(k\mid x)$ from classes of the shares $\pi_k$ knows
# what it would say if all were equally common, for the pictures of a class are the same:
#
# $$p_{\text{even}}(k\mid x)\;\propto\;\frac{p(k\mid x)}{\pi_k},\qquad\text{so } z_k-\ln\pi_k\text{ for a score }z_k$$
#
# It is a shift of the last biases, nothing else (Saerens et al. 2002).

# %%
even = (logits - np.log(shares)).argmax(axis=1)
rows = {}
for name, guess in {
    "as trained": said,
    "divided by the shares": even,
    f"always {names[common]}": 0 * said + common,
}.items():
    rows[name] = {"accuracy": np.mean(guess == dataset.y_test)}
    rows[name] |= {"balanced accuracy": balanced_accuracy_score(dataset.y_test, guess)}
    rows[name] |= {f"of {names[k]}": np.mean(guess[dataset.y_test == k] == k) for k in by_count}
(100 * pd.DataFrame(rows).T).round(1)

# %% tags=["hide-input"]
before, after = rows["as trained"], rows["divided by the shares"]
change = {name: 100 * (after[name] - before[name]) for name in before}
say(
    f"**Prediction 2.** Take $\\ln\\pi_k$ off each score. Here it changes balanced accuracy by "
    f"{change['balanced accuracy']:+.1f} points and accuracy by {change['accuracy']:+.1f}; of {names[rare]} "
    f"{change[f'of {names[rare]}']:+.0f}. Which of the two networks is better? The one whose errors cost you less; "
    "that is a question about the use, and no test set answers it. It works as far as the network's probabilities are "
    "honest: one that has learnt its training pictures by heart is too sure for a shift to matter."
)

# %% [markdown]
# ## Predict, save, and load elsewhere
#
# `save_model` (`train ... --save mine.keras`) writes one file with everything in it: the size, the scaling, the names
# of the classes, the run's row. `predict` takes files or folders of any size and format:
#
#     python -m cnnkit predict mine.keras NEW_PICTURES/ --out predictions.csv
#     python -m cnnkit evaluate mine.keras folder:PATH

# %%
export.save_model(run, "mine.keras")
new = Path("new")
new.mkdir()
for place, picture in enumerate(dataset.x_test[:6]):
    Image.fromarray(picture).resize((200 + 50 * place, 160)).save(new / f"{place}.png")
predictions = export.predict("mine.keras", [new])
predictions.to_csv("predictions.csv", index=False)
predictions.round(3)

# %% [markdown]
# Elsewhere needs no cnnkit: plain Keras opens the file, for all its layers are Keras' own. Does it say the same?

# %%
elsewhere = keras.saving.load_model("mine.keras")
probabilities = elsewhere.predict(dataset.x_test, verbose=0)  # uint8 pictures, as they are
assert np.allclose(probabilities, softmax(logits, axis=1), rtol=2e-3, atol=1e-5)
export.evaluate("mine.keras", FOLDER)

# %% [markdown]
# ## Few pictures: learn from another network
#
# Some dozens of a class are few. But edges, fur and sky are in other pictures, too, and a network that has learnt
# *other classes* has filters for them. Take it, throw away its last layer, which only knew those classes, and put a new
# one there:
#
# $$x\;\xrightarrow{\;\text{learnt elsewhere}\;}\;h(x)\in\mathbb{R}^{64}\;\xrightarrow{\;\text{new}\;}\;W h(x)+b .$$
#
# - **From scratch**: no source; all weights start at random.
# - **Frozen features**: only $W$ and $b$ learn. Then $h(x)$ never changes, and need be computed only once.
# - **Fine-tuned**: everything learns, the body from where it stands.
#
# First in small, on the spot: a network learns the digits 0 to 4, then we have 5 pictures each of 5 to 9.

# %%
source = train(three_ways.SOURCES["smoke"])
export.save_model(source, "source.keras")
target = "halved:second_half:digits"
print(f"the source names {source.row['test_accuracy']:.1%} of its digits, {', '.join('01234')}, rightly")

# %% [markdown]
# **Frozen means frozen.** Batch normalisation has averages that move in training even if no weight does. In Keras
# `trainable = False` also stops these: the frozen body does the same in training as in use. An unfrozen one does not.

# %%
some = load_dataset(target, train_size=50)
pictures = some.x_train / np.float32(255)
for freeze in (True, False):
    network = create_model("transfer", some.input_shape, 5, source="source.keras", freeze=freeze)
    in_training, in_use = (keras.ops.convert_to_numpy(network(pictures, training=on)) for on in (True, False))
    apart = np.abs(in_training - in_use).max()
    learn = sum(np.prod(weight.shape) for weight in network.trainable_weights)
    assert (apart < 1e-5) == freeze
    print(f"freeze={freeze}: {learn:,} weights learn; training and use differ by {apart:.2g}")

# %% [markdown]
# **Bottlenecks.** So the body's outputs can be kept on disk. The file knows which pictures and which network it is of,
# and is refused where either has changed, for features of yesterday's network fit no network of today:

# %%
features = export.bottlenecks("source.keras", target, "features.npz", train_size=500)
again = export.bottlenecks("source.keras", target, "features.npz", train_size=500)  # read from the file
assert all(np.array_equal(features[split], again[split]) for split in features)
try:
    export.bottlenecks("source.keras", target, "features.npz", train_size=400)
except ValueError as error:
    print(error)

# %% [markdown]
# What remains is logistic regression on 64 numbers a picture, which scikit-learn solves to the end in milliseconds
# (with its own L2, C = 1). Is it the same network? We put its weights into the frozen one's last layer, and compare:

# %%
digits = load_dataset(target, train_size=500)
solved = LogisticRegression(max_iter=1000).fit(features["train"], digits.y_train)
frozen = create_model("transfer", digits.input_shape, 5, source="source.keras", freeze=True)
frozen.get_layer("logits").set_weights([solved.coef_.T, solved.intercept_])
mine = frozen.predict(digits.x_test / np.float32(255), verbose=0)
assert np.allclose(mine, solved.decision_function(features["test"]), rtol=1e-3, atol=1e-3)
print(f"{solved.score(features['test'], digits.y_test):.1%} of the test digits, either way")

# %%
macs = anatomy.layer_table(create_model("caffe_quick", digits.input_shape, 5, batch_norm=True))["macs"]
body, last, epochs = macs.iloc[:-1].sum(), macs.iloc[-1], 30
work_of = {  # multiply-adds a training picture; forward once, and twice as much for the way back
    "fine-tuned": 3 * epochs * (body + last),
    "frozen, the body run anew in every epoch": epochs * (body + 3 * last),
    "frozen, features kept": body + 3 * epochs * last,
}
pd.Series(work_of, name="multiply-adds").map("{:,.0f}".format).to_frame()

# %% tags=["hide-input"]
kept = work_of["frozen, features kept"]
say(
    f"**Prediction 5.** {work_of['fine-tuned'] / kept:.0f} times less than fine-tuning for {epochs} epochs; and "
    f"{work_of['frozen, the body run anew in every epoch'] / kept:.0f} times less than running the frozen body in "
    "every epoch. The price: no random flips or shifts, for each would be another picture with other features."
)

# %% [markdown]
# As these fits cost nothing, here is a small learning curve: the same logistic regression on the 64 features, and on
# the pixels themselves, standardised; each on eight draws of so many digits a class.

# %%
rng, lines = np.random.default_rng(1), []
flat = {split: getattr(digits, f"x_{split}").reshape(len(features[split]), -1) / 255 for split in ("train", "test")}
for count in (1, 2, 5, 10, 20, 50):
    for draw in range(8):
        chosen = [rng.choice(np.flatnonzero(digits.y_train == k), count, replace=False) for k in range(5)]
        chosen = np.concatenate(chosen)
        for name, x in {"pixels": flat, "features": features}.items():
            fit = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            fit.fit(x["train"][chosen], digits.y_train[chosen])
            one = {"run_id": f"{name}{count}{draw}", "images": count, "seed": draw, "input": name}
            lines.append(one | {"test_accuracy": fit.score(x["test"], digits.y_test)})
lines = pd.DataFrame(lines).assign(status="completed")
plots.plot_sweep(lines, x="images", y="test_accuracy", hue="input").set(xlabel="Pictures a class")
plt.show()

# %% tags=["hide-input"]
level = 100 * lines.pivot(index=["images", "seed"], columns="input", values="test_accuracy")
ahead, told = (level["features"] - level["pixels"]).unstack("seed"), []
for count, apart in ahead.iterrows():
    interval = stats.ttest_1samp(apart, 0).confidence_interval()
    told.append(f"{apart.mean():+.1f} [{interval.low:.1f}, {interval.high:.1f}] with {count}")
worst, best = ahead.mean(axis=1).idxmin(), ahead.mean(axis=1).idxmax()
assert ahead.mean(axis=1)[worst] < 0
say(
    f"Features over pixels, in points, from the same digits: {'; '.join(told)}. A source is no gift: this one gains "
    f"most with {best} a class, and with {worst} it *costs*. It has seen some hundred pictures each of five shapes; "
    "what does not tell these apart it may have learnt to leave out. And digits are simple: their pixels say much as "
    "they are. Is it the same with photographs, whose pixels say little?"
)

# %% [markdown]
# ## The three ways, measured
#
# Photographs now. The source has learnt the first five classes of CIFAR-10 (airplane, automobile, bird, cat, deer); the
# others (dog, frog, horse, ship, truck) are ours, 5 to 500 of each.
#
# | | |
# |---|---|
# | **varied** | the way; the pictures a class |
# | **tuned, for each** | the learning rate, seven of them |
# | **held fixed** | Caffe's quick network, batch-normalised, no flips; 16×16 pixels; 100 (5 a class) to 20 epochs |
# | **repeated** | over fresh seeds, which draw the pictures, too; the source is one and the same |

# %%
show(found, "ways")

# %%
tell(found)

# %% tags=["hide-input"]
if found.complete:
    fresh = found.plans["ways"].of_role("fresh").query("not collapsed")
    level = 100 * fresh.groupby("arm")["test_accuracy"].mean()
    for number, count in ((3, 5), (4, 500)):
        order = sorted(("scratch", "frozen", "fine-tuned"), key=lambda way: -level[f"{way}, {count}"])
        told = ", ".join(f"{way} {level[f'{way}, {count}']:.1f}%" for way in order)
        apart = level[f"{order[0]}, {count}"] - level[f"{order[-1]}, {count}"]
        say(f"**Prediction {number}.** {count} pictures a class: {told}; {apart:.1f} points from first to last.")
    say(
        f"With few pictures, freeze rather than fine-tune? {ours('transfer-freeze-few')}.",
        f"With many, fine-tune rather than freeze? {ours('transfer-tune-many')}.",
        f"Does fine-tuning still beat training from scratch with 500 pictures a class? {ours('transfer-tuned-500')}.",
        f"Is fine-tuning on 20 a class worth five times as many from scratch? {ours('transfer-five-times')}.",
    )
else:
    say(f"*three_ways: {found.gap()}.*")

# %% [markdown]
# ### The last layer's biases
#
# Some articles write a dense layer as $y=Wx$. Facts first, then the same frozen features under a last layer with and
# without $b$:

# %% tags=["hide-input"]
tell_facts(one for one in baselines.FACTS if one.ledger == 31)
if found.complete:
    say(f"**Prediction 6.** What biases add, in points of test accuracy: {ours('dense-needs-bias')}.")

# %% [markdown]
# Two reasons not to expect much of five numbers here: the classes are equally common, and features whose mean is not 0
# can stand in for a constant. Where classes are uneven, it is the biases that carry $\ln\pi_k$, as we saw above.

# %% [markdown]
# ## A source from outside
#
# A million pictures of a thousand classes have been learnt for you: `weights="imagenet"` of `keras.applications`. It is
# the same builder with another source, for pictures of 96×96 here:
#
#     python -m cnnkit train "dataset=folder:PATH?size=96" model=transfer scaling=unit \
#         'model_args={"source": "imagenet:MobileNetV2", "freeze": true}' learning_rate=0.01 epochs=10 --save mine.keras
#
# The weights are fetched once, so it takes a network, or their file:

# %%
with contextlib.redirect_stdout(io.StringIO()):  # Keras tells of its download
    try:
        big = create_model("transfer", (96, 96, 3), len(names), source="imagenet:MobileNetV2", freeze=True)
        told = (
            f"{big.count_params():,} weights, of which {sum(np.prod(w.shape) for w in big.trainable_weights):,} learn"
        )
    except ValueError as error:
        told = str(error)
print(told)

# %% [markdown]
# ImageNet holds cats, dogs, ships and trucks: on such pictures it is no longer transfer to *other* classes, which is
# why it decides nothing above. For moles, satellite pictures or pollen it is.

# %% [markdown]
# ## Limits
#
# - One source network, of kin classes (a truck is like an automobile, a horse like a deer). Farther tasks gain less
#   (Yosinski et al. 2014); the intervals say nothing of other sources.
# - Pictures of 16×16 and a network of three convolutions. Whoever starts from ImageNet starts from more.
# - The rate of each way was chosen on 2,500 validation pictures, at least as many as there are to train on. It keeps
#   the choice from deciding the comparison; with five pictures a class of your own you would choose worse.
# - The source was trained on flipped pictures, the network from scratch was not: a part of its lead may be that.
# - Fine-tuning has one rate for all weights here. Often the new layer is trained first, or the body gets a lower rate.
# - The curve of one run and one split on a small folder says little: a dozen test pictures of a class are ± a quarter.

# %% [markdown]
# ## The same in small
#
# In `smoke` the experiment also runs here and now, on digits, with one seed. It shows that it runs; it is too small to
# conclude from.

# %%
if PROFILE == "smoke":
    small = run_here("three_ways")
    say("**three_ways**, smoke run:", plots.markdown_table(plots.readable(small.table())))

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* A folder holds 950 pictures of sound tiles and 50 of cracked ones. A network calls all of them
#    sound. Its accuracy? Its balanced accuracy? (The cell below takes your answers, as fractions.)
# 2. *Paper and pencil.* Cracked tiles were 5% of the training pictures, and a network gives one tile 0.3 for cracked.
#    What would it say if both classes were equally common?
# 3. How many of the *source's own* digits does a logistic regression on its 64 features name rightly? Why is that not
#    the accuracy of the source?
# 4. Give the rarest class of the folder twice as many pictures (copy the files). Which of the two accuracies changes?
#    What is this to dividing by the shares? What has become of the test set?
# 5. With your own folder: train from scratch and with `imagenet:MobileNetV2` frozen, three seeds each.

# %%
my_answers = {"accuracy": None, "balanced": None, "cracked": None}  # exercises 1 and 2: put your numbers here


def judge(answers):
    """Say of each number whether what is computed agrees."""
    tiles = np.repeat([0, 1], [950, 50])
    true = {"accuracy": np.mean(tiles == 0), "balanced": balanced_accuracy_score(tiles, 0 * tiles)}
    scores = np.exp(np.log([0.7, 0.3]) - np.log([0.95, 0.05]))
    true["cracked"] = scores[1] / scores.sum()
    for name, mine in answers.items():
        agrees = mine is not None and np.isclose(mine, true[name], rtol=0.01)
        print(f"{name}:", "not filled in" if mine is None else "right" if agrees else "not yet")


judge(my_answers)

# %% [markdown]
# ## Solutions
#
# **1.** 950 of 1,000; and the mean of 1 and 0. **2.** $0.3/0.05=6$ against $0.7/0.95\approx0.737$.

# %%
judge({"accuracy": 0.95, "balanced": 0.5, "cracked": 6 / (6 + 0.7 / 0.95)})

# %% [markdown]
# **3.** The features were made for these classes, so it is about as many as the source itself; but the last layer is
# another one, fitted to the end, and to fewer digits.

# %%
own = "halved:first_half:digits"
theirs = export.bottlenecks("source.keras", own, "own.npz", train_size=500)
labels = load_dataset(own, train_size=500)
refit = LogisticRegression(max_iter=1000).fit(theirs["train"], labels.y_train)
print(f"{refit.score(theirs['test'], labels.y_test):.1%}, the source {source.row['test_accuracy']:.1%}")

# %% [markdown]
# **4.** Balanced accuracy should rise. In training, a copy counts a picture twice: it is weighting by class, which
# moves the same $\ln\pi_k$ by $\ln 2$, and takes training for what a shift does afterwards. And copies that fell into
# the test set are in training, too: `datasets --check` says how many.
#
# **5.** One line each; compare over seeds, and see what frozen features cannot do: they were never asked about your
# classes.

# %% [markdown]
# ## Sources, and what to read next
#
# Donahue et al. 2014 (DeCAF: frozen features), Yosinski et al. 2014 (how transferable are features), Karpathy's CS231n
# notes on transfer learning, Chollet's post of 2016 on little data (bottleneck features), Saerens et al. 2002 (new
# shares of the classes). Which settings for *your* folder? Notebook 13 searches. What is wrong with your run?
# `python -m cnnkit diagnose`, and notebook 11.

# %% tags=["hide-input"]
os.chdir(Path(work.name).parent)
work.cleanup()
