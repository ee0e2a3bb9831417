# %% [markdown]
# # 08 Optimizers: who takes the step?
#
# The gradient says which way is down. An **optimizer** decides what to do about it: how far to go, how much of the last
# steps to remember, and whether every weight gets the same rate. Keras offers a dozen. Nine of them are compared here:
# SGD, momentum, Nesterov, Adagrad, Adadelta, RMSProp, Adam, AdamW and Ftrl. Here they run on two surfaces that one can
# look at, then on MNIST and CIFAR-10, all with the same number of tries; and L-BFGS, which the rest of science uses, on
# a network small enough for it.
#
# **Predict first.** Write your answers down; the cells below have theirs.
#
# 1. A gradient becomes ten times as large. Which of the nine take a step ten times as long?
# 2. A bowl is 100 times steeper in one direction than in the other. Which of the nine care whether its long axis lies
#    along a coordinate or across?
# 3. Each optimizer may try six learning rates. How many points of test accuracy lie between the best and the worst of
#    the nine? And if each keeps Keras' default rate?
# 4. What moves accuracy more: which optimizer, or which rate?
# 5. Momentum 0.9 makes steps up to ten times as long. If plain SGD takes steps that long too, is anything left of its
#    advantage?
# 6. L-BFGS knows the curvature. Per pass over the data, does it beat Adam?

# %% [markdown]
# **Two sizes.** Answers come from committed tables of MNIST and CIFAR-10 in either profile. The surfaces and L-BFGS are
# computed on the spot, on small digits; in `smoke` the experiments also run in small, at the end.

# %% tags=["parameters"]
from cnnkit.course import *  # PROFILE, Keras, NumPy, pandas, matplotlib and the parts of cnnkit

PASSES, TRIES = {"smoke": (60, 3), "full": (100, 5)}[PROFILE]  # over the digits, and rates that each optimizer tries

# %% tags=["hide-input"]
from matplotlib.ticker import LogLocator
from scipy import optimize, special, stats

from cnnkit.course.optimizers import facts, optimizers
from cnnkit.course.optimizers._flat import flat_loss
from cnnkit.evidence import claims
from cnnkit.lab import recipes

plt.rcParams["figure.dpi"] = 100
colours = sns.color_palette("colorblind")
nine, beta = findings("optimizers"), findings("momentum")
there = {part: plan for part, plan in nine.plans.items() if not plan.missing}
parts = [part for part in optimizers.GRIDS if part in there]
verdicts = claims.as_table(nine.verdicts() + beta.verdicts()).set_index("id")
words = (verdicts["verdict"] + ", " + verdicts["reading"]).str.removesuffix(", ")  # "REFUTED, no difference"

# %% [markdown]
# ## Nine rules
#
# A weight $w$ has the gradient $g_t$ at step $t$; $\eta$ is the learning rate. Everything happens for each weight on
# its own.
#
# | optimizer | remembers | step |
# |---|---|---|
# | SGD | nothing | $-\eta\,g_t$ |
# | momentum | $v_t=\beta v_{t-1}-\eta\,g_t$ | $v_t$ |
# | Nesterov | the same $v_t$ | $\beta v_t-\eta\,g_t$ |
# | Adagrad | $n_t=n_{t-1}+g_t^2$ | $-\eta\,g_t/\sqrt{n_t+\epsilon}$ |
# | RMSProp | $n_t=\rho\,n_{t-1}+(1-\rho)\,g_t^2$ | $-\eta\,g_t/\sqrt{n_t+\epsilon}$ |
# | Adadelta | that $n_t$, and $d_t=\rho\,d_{t-1}+(1-\rho)\,u_t^2$ | $\eta\,u_t$ |
# | Adam | $n_t$ with $\beta_2$, and $m_t=\beta_1m_{t-1}+(1-\beta_1)g_t$ | $-\eta\hat m_t/(\sqrt{\hat n_t}+\epsilon)$ |
# | AdamW | as Adam | Adam's, and $-\eta\lambda w$ |
# | Ftrl | Adagrad's $n_t$, and $z_t=z_{t-1}+g_t-\sigma_t w_t$ | to $w_{t+1}=-\eta\,z_t/\sqrt{n_t}$ |
#
# with $u_t=-g_t\sqrt{d_{t-1}+\epsilon}\,/\sqrt{n_t+\epsilon}$ (Adadelta), $\hat m_t=m_t/(1-\beta_1^t)$ and
# $\hat n_t=n_t/(1-\beta_2^t)$ (Adam), and $\sigma_t=(\sqrt{n_t}-\sqrt{n_{t-1}})/\eta$ (Ftrl).
#
# Each is one or two lines of NumPy. A rule gets the weight, its gradient, what it remembers (a dict, empty at first)
# and the rate, and returns the step; the constants are Keras' defaults.


# %%
def sgd(w, g, s, rate):
    return -rate * g


def momentum(w, g, s, rate, beta=0.9):
    s["v"] = beta * s.get("v", 0) - rate * g
    return s["v"]


def nesterov(w, g, s, rate, beta=0.9):
    return beta * momentum(w, g, s, rate, beta) - rate * g


def adagrad(w, g, s, rate, start=0.1, epsilon=1e-7):
    s["n"] = s.get("n", start) + g**2
    return -rate * g / np.sqrt(s["n"] + epsilon)


def rmsprop(w, g, s, rate, rho=0.9, epsilon=1e-7):
    s["n"] = rho * s.get("n", 0) + (1 - rho) * g**2
    return -rate * g / np.sqrt(s["n"] + epsilon)


def adadelta(w, g, s, rate, rho=0.95, epsilon=1e-7):
    s["n"] = rho * s.get("n", 0) + (1 - rho) * g**2
    u = -g * np.sqrt(s.get("d", 0) + epsilon) / np.sqrt(s["n"] + epsilon)
    s["d"] = rho * s.get("d", 0) + (1 - rho) * u**2
    return rate * u


def adam(w, g, s, rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    s["t"] = s.get("t", 0) + 1
    s["m"] = beta_1 * s.get("m", 0) + (1 - beta_1) * g
    s["n"] = beta_2 * s.get("n", 0) + (1 - beta_2) * g**2
    return -rate * s["m"] / (1 - beta_1 ** s["t"]) / (np.sqrt(s["n"] / (1 - beta_2 ** s["t"])) + epsilon)


def adamw(w, g, s, rate, decay=0.004):
    return adam(w, g, s, rate) - rate * decay * w


def ftrl(w, g, s, rate, start=optimizers.START):
    before = s.get("n", start)
    s["n"] = before + g**2
    s["z"] = s.get("z", 0) + g - (np.sqrt(s["n"]) - np.sqrt(before)) / rate * w
    return -rate * s["z"] / np.sqrt(s["n"]) - w


RULES = {"SGD": sgd, "momentum": momentum, "Nesterov": nesterov, "Adagrad": adagrad, "Adadelta": adadelta}
RULES |= {"RMSProp": rmsprop, "Adam": adam, "AdamW": adamw, "Ftrl": ftrl}

# %% [markdown]
# (Ftrl starts from a smaller $n_0$ than Keras gives it; the reason is below.) Are these the optimizers that will train
# the networks? We take those that the experiment declares, let Keras make them, and give both the same forty random
# gradients.


# %%
def make(name, rate=0.01):
    """Return the Keras optimizer that the experiment means by a name."""
    fields = optimizers.TUNED[name]
    return recipes.OPTIMIZERS[fields["optimizer"]](rate, **fields.get("optimizer_args", {}))


assert set(RULES) == set(optimizers.TUNED)
gradients = np.random.default_rng(1).normal(size=(40, 3)).astype("float32")
for name, rule in RULES.items():
    w, memory = np.array([1.0, -2.0, 0.5]), {}
    optimizer, variable = make(name), keras.Variable(w.astype("float32"))
    for g in gradients:
        w = w + rule(w, g, memory, 0.01)
        optimizer.apply([keras.ops.convert_to_tensor(g)], [variable])
    assert np.allclose(w, variable, rtol=1e-3, atol=1e-5), name
print("the same weights after 40 steps:", ", ".join(RULES))

# %% [markdown]
# ## Whose steps adapt?
#
# We feed each rule a steady gradient: 1 at every step, then the same with 0.1. How long are its steps, in units of its
# rate?


# %%
def step_lengths(rule, gradient, steps=100):
    """Return the lengths of a rule's steps under a steady gradient, from weight 0 at rate 1."""
    w, memory, lengths = 0.0, {}, []
    for _ in range(steps):
        step = rule(w, gradient, memory, 1.0)
        w += step
        lengths.append(abs(step))
    return np.array(lengths)


fig, axes = plt.subplots(3, 3, figsize=(9, 6), sharex=True, sharey=True, layout="constrained")
for ax, (name, rule) in zip(axes.flat, RULES.items(), strict=True):
    for gradient, style, colour in ((1.0, "-", colours[0]), (0.1, "--", colours[1])):
        ax.loglog(1 + np.arange(100), step_lengths(rule, gradient), style, color=colour, label=f"gradient {gradient:g}")
    ax.set_title(name, fontsize="medium")
axes[0, 0].legend(frameon=False, fontsize="small")
fig.supxlabel("Step")
fig.supylabel("Length of the step / learning rate")
sns.despine(fig)

# %% tags=["hide-input"]
ratios = {name: step_lengths(rule, 1.0) / step_lengths(rule, 0.1) for name, rule in RULES.items()}
tenfold = [name for name, ratio in ratios.items() if np.allclose(ratio, 10)]
last = {name: step_lengths(rule, 1.0)[-1] for name, rule in RULES.items()}
say(
    f"**Prediction 1.** {', '.join(tenfold)}: their two lines are a factor of 10 apart from first to last. Those of "
    f"the other {len(RULES) - len(tenfold)} come together: they *adapt*, that is, they divide the gradient by a memory "
    f"of its own size, weight by weight. What the memory is decides the rest. After 100 steps at gradient 1, momentum "
    f"takes {last['momentum']:.1f} rates a step, the sum of the series $1+0.9+0.81+\\dots$. Adam takes "
    f"{last['Adam']:.2f}: its rate *is* its step. Adagrad and Ftrl, who never forget, are down to "
    f"{last['Adagrad']:.2f}, $1/\\sqrt{{t}}$: a falling rate of their own. Adadelta begins with "
    f"{step_lengths(adadelta, 1.0)[0]:.4f} and grows slowly: it takes its own past steps for the unit of the next."
)

# %% [markdown]
# Articles list "Adadelta, Adagrad, Ftrl, momentum, RMSprop and SGD" as optimizers that adapt the learning rate. Two of
# these are not. The facts below are computed with Keras' own optimizers:

# %%
tell_facts(facts.FACTS)

# %% [markdown]
# The last two explain the odd one. Ftrl ("follow the regularised leader", made for sparse models of clicks on
# advertisements) does not add steps to a weight, it *computes* the weight from what it remembers, $w=-\eta z/\sqrt n$.
# Keras starts with $z=0$, as if all weights had been 0, and $n=0.1$. Gradients of a network are far smaller than
# $\sqrt{0.1}$, so the first step replaces its carefully drawn weights by nearly nothing, and where all weights are 0,
# all units of a layer learn the same. And since $\eta$ stands in front of the whole weight, a rate that falls to 0
# takes the weights along. Therefore Ftrl gets a tiny $n_0$ and a constant rate here: then the first step leaves the
# weights where they are, and it is Adagrad written differently.

# %% [markdown]
# ## Two surfaces
#
# A **bowl** with curvatures 1 and 100, the smallest picture of a badly conditioned loss, and a **valley** that bends
# (Rosenbrock's, milder than his):
#
# $$L_{\text{bowl}}=\tfrac12x^2+\tfrac12\,100\,y^2,\qquad L_{\text{valley}}=(1-x)^2+20\,(y-x^2)^2.$$


# %%
def bowl(w, turn=0.0):
    """Return loss and gradient of points `(..., 2)` on the bowl, whose long axis may be turned (radians)."""
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    inside = w @ axes
    return 0.5 * (inside**2 * [1, 100]).sum(axis=-1), (inside * [1, 100]) @ axes.T


def turned(w):
    return bowl(w, np.pi / 4)


def valley(w):
    x, y = w[..., 0], w[..., 1]
    slope = np.stack([-2 * (1 - x) - 80 * x * (y - x**2), 40 * (y - x**2)], axis=-1)
    return (1 - x) ** 2 + 20 * (y - x**2) ** 2, slope


def walk(rule, surface, start, rates, steps):
    """Return the points `(steps + 1, rates, 2)` and losses `(steps + 1, rates)` of a rule at many rates at once."""
    w, rates, memory = np.tile(np.array(start, float), (len(rates), 1)), np.reshape(rates, (-1, 1)), {}
    points, losses = [w], [surface(w)[0]]
    with np.errstate(all="ignore"):  # rates that are too big leave the map
        for _ in range(steps):
            w = w + rule(w, surface(w)[1], memory, rates)
            points.append(w)
            losses.append(surface(w)[0])
    return np.array(points), np.array(losses)


around = np.cos(np.pi / 4) * np.array([[1, -1], [1, 1]])
STARTS = {bowl: np.array([-2.0, 0.2]), turned: around @ [-2.0, 0.2], valley: np.array([-1.2, 1.0])}
for surface, start in STARTS.items():  # are the slopes those of the losses?
    assert optimize.check_grad(lambda w, f=surface: f(w)[0], lambda w, f=surface: f(w)[1], start) < 1e-4

# %% [markdown]
# No optimizer can be judged at one rate. So each tries 141 of them over seven decades, and we take the one that soonest
# gets below a *thousandth of the loss it started from* and stays there, of those that never climb above their start (a
# huge step may land well by luck). The paths at these rates, first the bowl:

# %%
SCAN, MOST = np.logspace(-4, 3, 141), 2000


def race(rule, surface):
    """Return the fewest steps to stay below a thousandth of the first loss (inf: none does), their rate, and path."""
    points, losses = walk(rule, surface, STARTS[surface], SCAN, MOST)
    outside = ~(losses <= losses[0] / 1000)  # a loss that is no number is outside, too
    barred = outside[-1] | (losses > losses[0]).any(axis=0)
    needed = np.where(barred, np.inf, len(losses) - outside[::-1].argmax(axis=0))
    best = needed.argmin()
    return needed[best], SCAN[best], points[:, best]


races = {(surface.__name__, name): race(rule, surface) for surface in STARTS for name, rule in RULES.items()}


def draw_paths(surface, x, y):
    """Draw each rule's path over the surface's contours, a panel a rule."""
    grid = np.stack(np.meshgrid(np.linspace(*x, 200), np.linspace(*y, 200)), axis=-1)
    levels = surface(STARTS[surface])[0] * 4.0 ** np.arange(-6, 3)
    fig, axes = plt.subplots(3, 3, figsize=(9, 6.4), sharex=True, sharey=True, layout="constrained")
    for ax, name in zip(axes.flat, RULES, strict=True):
        steps, rate, path = races[surface.__name__, name]
        ax.contour(*np.moveaxis(grid, -1, 0), surface(grid)[0], levels=levels, colors="0.8", linewidths=0.7)
        path = path[: int(min(steps, MOST)) + 1]
        ax.plot(*path.T, ".-", color=colours[0], markersize=3.5, linewidth=0.8)
        ax.plot(*path[0], "o", color=colours[3], markersize=5)
        ax.set(xlim=x, ylim=y)
        ax.set_title(f"{name}: {steps:.0f} steps, rate {rate:.2g}", fontsize="medium")
    fig.supxlabel("$x$")
    fig.supylabel("$y$")
    sns.despine(fig)


draw_paths(bowl, (-2.4, 1.2), (-0.42, 0.42))

# %% [markdown]
# SGD has one rate for both directions: across the bowl it must not exceed $2/100$, and along it that is a crawl.
# Momentum swings across, but along the axis its steps add up. Those that adapt divide each coordinate by its own
# gradients, and walk towards the minimum as if the bowl were round. Now the valley:

# %%
draw_paths(valley, (-1.7, 1.7), (-0.7, 1.9))

# %% tags=["hide-input"]
along = {name: races["valley", name][0] for name in RULES}
say(
    f"The floor of the valley is nearly flat, and bends. SGD creeps along it in {along['SGD']:.0f} steps; momentum "
    f"({along['momentum']:.0f}), Nesterov ({along['Nesterov']:.0f}) and Adam ({along['Adam']:.0f}) remember where they "
    f"were going. Adagrad and Ftrl ({along['Adagrad']:.0f} and {along['Ftrl']:.0f}) pay for the steep first steps: "
    f"their memory of these never fades, and keeps all later steps short."
)

# %% [markdown]
# And the bowl once more, turned by 45 degrees: the same surface, seen by somebody with a tilted head. What is steep is
# now neither $x$ nor $y$ but a mixture. L-BFGS (SciPy's; below) gathers the curvature from the last steps and has no
# rate; it reads the loss several times in some steps, so we count readings.

# %%
steps = {place: {name: races[place, name][0] for name in RULES} for place in ("bowl", "turned", "valley")}
for surface, start in STARTS.items():
    read = []
    optimize.minimize(lambda w, f=surface, r=read: r.append(f(w)[0]) or f(w), start, jac=True, method="L-BFGS-B")
    steps[surface.__name__]["L-BFGS"] = np.argmax(np.array(read) <= surface(start)[0] / 1000) + 1
table = pd.DataFrame(steps).rename_axis("steps to a thousandth of the loss")
table.map(lambda count: f"{count:.0f}" if np.isfinite(count) else f"more than {MOST:,}")

# %% tags=["hide-input"]
change = table["turned"] / table["bowl"]
same = [name for name in RULES if np.isclose(change[name], 1, rtol=0.02)]
rest = change[list(RULES)].drop(same)
say(
    f"**Prediction 2.** {', '.join(same)} do not care: they see the gradient as an arrow, and an arrow turns with the "
    f"bowl. The others work coordinate by coordinate. Turned, the bowl costs {rest.idxmin()} {rest.min():.2f} times "
    f"and {rest.idxmax()} {rest.max():.2f} times as many steps. *Adaptive* means adapted to each weight, and helps "
    f"where the steep directions are those of single weights. L-BFGS needs {table.at['L-BFGS', 'bowl']:.0f} and "
    f"{table.at['L-BFGS', 'turned']:.0f} readings."
)

# %% [markdown]
# ## What momentum is for
#
# On a bowl of condition number $\kappa$ the best that SGD can do is to shrink the distance to the minimum by the factor
# $\frac{\kappa-1}{\kappa+1}$ a step. With momentum, at the best $\eta$ *and* $\beta$, it is
# $\frac{\sqrt\kappa-1}{\sqrt\kappa+1}$ (Polyak 1964): the square root of the condition number. We do not take his word
# for it. A step of momentum is a matrix that acts on the last two positions, and its largest eigenvalue is the factor;
# we search the best of both numbers on a grid.


# %%
def factor(rate, beta, curvatures):
    """Return the slowest factor a step by which momentum shrinks a bowl's distances, by the eigenvalues of the step."""
    steps = [np.array([[1 + beta - rate * one, -beta], [1, 0]]) for one in curvatures]
    return max(np.abs(np.linalg.eigvals(step)).max() for step in steps)


shrinks = {}
for kappa in (10, 100):
    grid = [(rate / kappa, beta) for rate in np.linspace(0.5, 4, 71) for beta in np.linspace(0, 0.95, 96)]
    factors = np.array([factor(rate, beta, (1, kappa)) for rate, beta in grid])
    plain = min(value for value, (_, beta) in zip(factors, grid, strict=True) if beta == 0)
    shrinks[kappa] = [plain, (kappa - 1) / (kappa + 1), factors.min(), (kappa**0.5 - 1) / (kappa**0.5 + 1)]
    shrinks[kappa] += [grid[factors.argmin()][1], np.log(factors.min()) / np.log(plain)]
    assert np.allclose(shrinks[kappa][:2], shrinks[kappa][1], atol=0.01)
    assert np.allclose(shrinks[kappa][2:4], shrinks[kappa][3], atol=0.05)
columns = ["SGD, found", "SGD, formula", "momentum, found", "momentum, formula", "best beta", "times as fast"]
pd.DataFrame(shrinks, index=columns).T.rename_axis("condition number").round(3)

# %% [markdown]
# A network's loss is no bowl and its gradients are noisy, so that this is a hope, not a proof. Articles say of momentum
# that it is *faster* and *more stable*, and that 0.9 is the usual value. The experiment trains with $\beta$ = 0, 0.5,
# 0.9 and 0.99, each at the best of its own six rates, and three more questions have arms of their own:
#
# - **Is it more than a longer step?** Steps with $\beta$ are up to $1/(1-\beta)$ times as long. So a *matched* arm
#   takes SGD's best rate times $1-\beta$: then a steady gradient moves the weights equally far.
# - **Is it more stable?** SGD at *four times* its best rate, and momentum at a tenth of that: how many runs collapse?
# - **Is it faster?** Time to a fixed accuracy, each at the rate that gets there soonest.
#
# | | |
# |---|---|
# | **varied** | $\beta$ |
# | **tuned, for each** | the rate: once by the final validation accuracy, once by the time to the target |
# | **held fixed** | Caffe's quick network, 2,500 images of CIFAR-10 at 16×16 pixels, batches of 64, a cosine |
# | **repeated** | three seeds choose a rate, fresh ones measure it |

# %%
show(beta, "tuning_final", "accuracy_final")

# %%
tell(beta)

# %% tags=["hide-input"]
if beta.complete:
    levels = beta.table().query("part == 'final'").set_index(["momentum", "rate"])
    best = levels.xs("tuned", level="rate")
    gain, step = (100 * verdicts.at[f"momentum-{id}", "effect"] for id in ("accuracy", "is-more-than-a-step"))
    fresh = beta.plans["final"].of_role("fresh")
    spread = 100 * fresh[~fresh["collapsed"]].groupby("arm")["test_accuracy"].std()
    say(
        f"Rates chosen: {', '.join(f'β = {name} at {rate:g}' for name, rate in best['learning_rate'].items())}. "
        f"**Prediction 5.** At its own best rate momentum 0.9 is {gain:+.2f} points from plain SGD "
        f"({words['momentum-accuracy']}). At the rate that makes its steps as long as SGD's best, "
        f"{step:+.2f} ({words['momentum-is-more-than-a-step']}). The first is what one gains by using "
        "momentum, the second what it does that a longer step does not.",
        "Spread of the test accuracy over seeds (standard deviation, points, runs that did not collapse): "
        + "; ".join(f"{arm} {value:.2f}" for arm, value in spread.items())
        + ".",
    )
else:
    say(f"*momentum: {beta.gap()}.*")

# %% [markdown]
# ## Nine optimizers, two data sets
#
# Now all nine, on a network each. The rules of the game decide such a comparison before it begins: whoever tries more
# rates for the favourite finds that the favourite wins. So all get **six rates**, each twice the last, around where a
# short scan found their best; a best rate at an edge of its six counts as not found, and the claim stays open. Beside
# them runs each at the rate that Keras gives to whoever does not ask.
#
# | | |
# |---|---|
# | **varied** | the optimizer |
# | **tuned, for each** | the rate, or Keras' default; nothing else ($\beta$, $\rho$, $\epsilon$ are Keras' defaults) |
# | **held fixed** | data, network, batches of 64, epochs, a rate that falls as a cosine (but Ftrl's, see above) |
# | **repeated** | three seeds choose a rate, ten fresh ones measure it, the same ten for all |

# %% tags=["hide-input"]
say("What it costs, as far as the rows decide it yet:")
cost = {
    one.experiment.name: [one.experiment.question, len(one.configs), len(one.runs), round(one.seconds / 60, 1)]
    for one in (nine, beta)
}
columns = ["question", "networks asked for", "here", "minutes of one core"]
say(plots.markdown_table(pd.DataFrame(cost, index=columns).T.rename_axis("experiment").reset_index()))
rates = {
    name: [f"{optimizers.default_rate(name):g}"]
    + [f"{low:g} to {high:g}" for low, high in (grids[f"{name}, tuned"][::5] for grids in optimizers.GRIDS.values())]
    for name in RULES
}
columns = ["optimizer", "Keras' default rate", *(f"rates tried on {part}" for part in optimizers.GRIDS)]
say(plots.markdown_table(pd.DataFrame(rates).T.reset_index().set_axis(columns, axis=1)))

# %% [markdown]
# ### Every optimizer at six rates
#
# Validation error at the end of training against the rate. The rates of the nine lie four decades apart, so each is
# drawn in multiples of its own chosen one (they are named below). Compare how wide the valleys are, and how deep.


# %% tags=["hide-input"]
def log_ticks(axis, low, high):
    """Write a logarithmic axis' ticks as plain numbers, more of them where it spans less than a decade."""
    subs = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 6, 7, 8)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


def draw_valleys(ax, part):
    """Draw each optimizer's mean validation error over its six rates, in multiples of the chosen one."""
    tuning = there[part].of_role("tuning").query("rate == 'tuned'")
    means = 100 * (1 - tuning.groupby(["optimizer", "learning_rate"])["val_score"].mean())
    for name, colour, marker in zip(RULES, colours, "osD^vPX*<", strict=False):
        choice = there[part].choices.get(f"{name}, tuned")
        if choice:
            line = means[name]
            ax.loglog(line.index / choice["learning_rate"], line, f"{marker}-", color=colour, label=name, ms=5, lw=1)
    ax.set(title=part, xlabel="Learning rate / the chosen one")
    top = min(4 * means.min(), 100)  # beyond, no rate is chosen
    ax.set_ylim(0.9 * means.min(), top)
    log_ticks(ax.yaxis, means.min(), top)
    ax.set_xticks(2.0 ** np.arange(-4, 5), ["1/16", "1/8", "1/4", "1/2", "1", "2", "4", "8", "16"])
    ax.xaxis.set_minor_formatter("")


if parts:
    fig, axes = plt.subplots(1, len(parts), figsize=(10, 4), squeeze=False, layout="constrained")
    for ax, part in zip(axes.flat, parts, strict=True):
        draw_valleys(ax, part)
    axes[0, 0].set_ylabel("Last epochs' validation error (%)")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right", frameon=False)
    sns.despine(fig)

# %% tags=["hide-input"]
told = []
for part in parts:
    chosen = pd.DataFrame(there[part].choices).T["learning_rate"].astype(float)
    chosen.index = chosen.index.str.removesuffix(", tuned")
    off = chosen / [optimizers.default_rate(name) for name in chosen.index]
    near = [name for name in off.index if 0.4 < off[name] < 2.6]
    told.append(
        f"**{part}**: the chosen rates reach from {chosen.min():g} ({chosen.idxmin()}) to {chosen.max():g} "
        f"({chosen.idxmax()}). Keras' default is within a factor of about 2 of the chosen rate for "
        f"{', '.join(near) or 'none'}; farthest off is {np.log(off).abs().idxmax()}, whose best is "
        f"{off[np.log(off).abs().idxmax()]:,.4g} times its default."
    )
    told += [f"Not settled on {part}: {'; '.join(why.values())}." for why in [there[part].undecided] if why]
say(*told or [f"*optimizers: {nine.gap()}.*"])

# %% [markdown]
# ### Final accuracy
#
# Fresh seeds, the test set, read once. What is left to 100%, on a logarithmic axis, where twice the error is always as
# far: filled at the best of six rates, hollow at Keras' default. Runs that collapsed count in the sentences below; an
# arm of nothing else has no mark.


# %% tags=["hide-input"]
def draw_errors(ax, part):
    """Draw each optimizer's mean test error and its interval, tuned and at its default, and a line in between."""
    table = nine.table().query("part == @part").set_index(["optimizer", "rate"])
    errors = 100 * (1 - table[["mean", "high", "low"]].astype(float))
    for place, name in enumerate(RULES):
        ends = [errors.loc[(name, rate)] for rate in ("tuned", "default") if (name, rate) in errors.index]
        ax.plot([end["mean"] for end in ends], [place] * len(ends), color="0.8", zorder=0)
        for end, face in zip(ends, (colours[0], "w"), strict=False):
            bars = [[end["mean"] - end["high"]], [end["low"] - end["mean"]]]
            ax.errorbar(end["mean"], place, xerr=np.nan_to_num(bars), fmt="o", color=colours[0], mfc=face, capsize=3)
    ax.set(xscale="log", title=part, xlabel="Test error (%), mean and 95% interval")
    ax.set_yticks(range(len(RULES)), RULES)
    ax.set_ylim(len(RULES) - 0.5, -0.5)
    log_ticks(ax.xaxis, errors.min().min(), errors.max().max())
    ax.grid(axis="x", color="0.9")


if parts:
    fig, axes = plt.subplots(1, len(parts), figsize=(10, 3.8), sharey=True, squeeze=False, layout="constrained")
    for ax, part in zip(axes.flat, parts, strict=True):
        draw_errors(ax, part)
    sns.despine(fig)

# %% tags=["hide-input"]
told = []
for part in parts:
    levels = 100 * there[part].of_role("fresh").groupby(["rate", "optimizer"])["test_accuracy"].mean()
    for rate, how in (("tuned", "six tries each"), ("default", "Keras' defaults")):
        means = levels[rate].sort_values()
        told.append(
            f"**Prediction 3**, {part}, {how}: from {means.index[0]} with {means.iloc[0]:.2f}% to "
            f"{means.index[-1]} with {means.iloc[-1]:.2f}%, {means.iloc[-1] - means.iloc[0]:.2f} points. Without "
            f"the last, {means.index[0]}: {means.iloc[-1] - means.iloc[1]:.2f}."
        )
    gain = (levels["tuned"] - levels["default"]).sort_values()
    told.append(f"Six tries buy {gain.index[0]} {gain.iloc[0]:+.2f} points and {gain.index[-1]} {gain.iloc[-1]:+.2f}.")
say(*told or [f"*optimizers: {nine.gap()}.*"])

# %% [markdown]
# ### Who is first?
#
# Means hide that a seed lifts and lowers all arms together. So we rank the eighteen within each seed (1 is the best),
# and average the ranks. Where two intervals overlap widely, another ten seeds may well turn the order around. A run
# that collapsed is simply last.

# %%
show(nine, *(f"ranks_{part}" for part in parts))

# %% tags=["hide-input"]
told = []
for part in parts:
    scores = optimizers.scores(there[part])
    tuned = scores[[f"{name}, tuned" for name in RULES if f"{name}, tuned" in scores]]
    test = stats.friedmanchisquare(*tuned.to_numpy().T)
    means = tuned.rank(axis=1, ascending=False).mean().sort_values()
    told.append(
        f"**{part}**, the tuned ones among themselves: mean ranks from {means.iloc[0]:.1f} ({means.index[0]}) to "
        f"{means.iloc[-1]:.1f} ({means.index[-1]}), where chance alone would give all of them "
        f"{(len(means) + 1) / 2:.0f}. Friedman's test asks if all could be equally good: p = {test.pvalue:.2g}. "
        "It does not say which differ; the claims below do, for the pairs that were named beforehand."
    )
say(*told or [f"*optimizers: {nine.gap()}.*"])

# %% [markdown]
# ### Steps to a target
#
# "Adaptive optimizers converge better", articles say, of MNIST. Better may mean sooner. We count the epochs until the
# validation accuracy first reaches a level, and take the median over the seeds. A run that never gets there is kept and
# counts as longer than its end (a *censored* time); where half of an arm's runs never do, its median is only known to
# be beyond.


# %%
def tell_times(plan, level):
    """Return a Series by arm: the median epochs to a validation accuracy, and how many runs never got there."""
    fresh = plan.of_role("fresh")
    times = claims.times_to(("val_accuracy", level), fresh, plan.history)
    ends = fresh["epochs"].max()

    def tell(part):
        never, median = part.isna().sum(), part.fillna(np.inf).median()
        told = f"{median:g}" if np.isfinite(median) else f"more than {ends}"
        return told + (f" ({never} of {len(part)} never)" if never else "")

    return times.groupby(fresh["arm"], sort=False).agg(tell)


for part, levels in optimizers.LEVELS.items():
    if part in there:
        steps = there[part].comparison.base.train_size // there[part].comparison.base.batch_size
        columns = {f"epochs to {100 * level:g}%": tell_times(there[part], level) for level in levels}
        say(f"**{part}**, {steps} steps an epoch; median of the fresh seeds:")
        say(plots.markdown_table(pd.DataFrame(columns).rename_axis("arm").reset_index()))

# %% [markdown]
# The rates in this table were chosen for the *final* accuracy, under a cosine that falls over the whole run. A rate
# that is best at the end need not be the fastest to 97.5%. Under the same cosine, the claims on speed have runs of
# their own: SGD, momentum and Adam, each at the rate of its six that reached the target soonest.

# %%
tell(nine)

# %% tags=["hide-input"]
told = []
for part in parts:
    if f"{part}_speed" in there:
        final, sooner = verdicts.loc[f"adam-beats-momentum-{part}"], verdicts.loc[f"adam-sooner-than-momentum-{part}"]
        plain = verdicts.loc[f"adam-beats-sgd-{part}"]
        fresh = there[part].of_role("fresh").query("not collapsed")
        fit = 100 * fresh.groupby("arm")[["train_accuracy", "test_accuracy"]].mean()
        told.append(
            f"**{part}**. Adam against momentum: {100 * final['effect']:+.2f} points ({words[final.name]}); against "
            f"plain SGD {100 * plain['effect']:+.2f} ({words[plain.name]}). To the target momentum takes "
            + (f"{sooner['effect']:.2f} times" if np.isfinite(sooner["effect"]) else "an unknown number of times")
            + f" as many steps as Adam ({words[sooner.name]}). Training and test accuracy: "
            + ", ".join(
                f"{name} {fit.at[f'{name}, tuned', 'train_accuracy']:.1f}% and "
                f"{fit.at[f'{name}, tuned', 'test_accuracy']:.1f}%"
                for name in ("SGD", "momentum", "Adam")
            )
            + "."
        )
say(*told or [f"*optimizers: {nine.gap()}.*"])

# %% [markdown]
# Wilson et al. (2017) said the opposite of the articles: that what adaptive optimizers find generalises *worse*, even
# where it fits the training images better. Hence a claim on the gap between training and test accuracy. Read it with
# care: a network that has learnt less has a smaller gap, too. A gap is an argument only between networks that fit their
# training images equally well; otherwise look at the test accuracy.

# %% [markdown]
# ## Optimizer or rate?
#
# A small reproduction of Wilson's study on two cores reports that changing the rate moved the error by 9.86 points (in
# the median), and changing the optimizer by 1.15. Our tuning runs form a table of the same kind: nine optimizers, six
# rates each, three seeds. The sum of squares of their scores around the mean falls into three parts that add up to it:
#
# $$\underbrace{\sum(\bar y_{o}-\bar y)^2}_{\text{optimizer}}
# +\underbrace{\sum(\bar y_{or}-\bar y_o)^2}_{\text{rate, within an optimizer}}
# +\underbrace{\sum(y_{ors}-\bar y_{or})^2}_{\text{seed, and what is left}}.$$
#
# How much the rate weighs depends on how far one lets it go: at both ends of a grid networks hardly learn. So the
# shares are given for the whole grid, and for rates within two and within one factor of 2 of each optimizer's best.

# %% tags=["hide-input"]
lines, told = [], []
for part in parts:
    tuning = there[part].of_role("tuning").query("rate == 'tuned'")
    for width, near in ((5, "all six"), (2, "the best, up to a factor of 4"), (1, "the best and its neighbours")):
        lines.append([part, near, *(f"{share:.0%}" for share in optimizers.shares(tuning, width))])
    means = 100 * tuning.groupby(["optimizer", "learning_rate"])["val_score"].mean()
    by_rate, best = means.groupby("optimizer").agg(np.ptp), means.groupby("optimizer").max()
    told.append(
        f"**Prediction 4**, {part}: over its six rates an optimizer's mean score moves by {by_rate.median():.2f} "
        f"points (median; {by_rate.min():.2f} for {by_rate.idxmin()}, {by_rate.max():.2f} for {by_rate.idxmax()}). "
        f"At the best rate of each, the nine lie within {np.ptp(best):.2f} points, half of them within "
        f"{stats.iqr(best):.2f}."
    )
if lines:
    say(plots.markdown_table(pd.DataFrame(lines, columns=["data", "rates", "optimizer", "rate", "seed and rest"])))
say(*told or [f"*optimizers: {nine.gap()}.*"])

# %% [markdown]
# ## L-BFGS: the optimizer of everybody else
#
# Outside deep learning one rarely meets Adam. SciPy's workhorse is **L-BFGS**: it keeps the last ten steps $s_k$ and
# the changes of gradient $y_k$ along them, and since $y_k\approx H s_k$ for the matrix $H$ of second derivatives, these
# pairs tell how the bowl is bent. A step goes along $-H^{-1}g$ as they see it, and a line search decides how far. It
# wants the loss as a function of *one flat vector*, the same function at every call: so all images, every time.
#
# A network on 14×14 digits, small enough to be a flat vector:

# %%
digits = load_dataset("halved:digits", seed=1)
mean, deviation = digits.channel_statistics()
x, x_val = (((images / 255 - mean) / deviation).reshape(len(images), -1) for images in (digits.x_train, digits.x_val))
y, y_val = digits.y_train, digits.y_val


def small_network():
    """Return a network with one hidden layer in float64, always with the same first weights."""
    keras.utils.set_random_seed(1)
    stack = [layers.Dense(32, "tanh", dtype="float64"), layers.Dense(10, dtype="float64")]
    return keras.Sequential([keras.Input(x.shape[1:], dtype="float64"), *stack])


net = small_network()
loss, start = flat_loss(net, x, y)
print(f"{len(x):,} images of {x.shape[1]} pixels: 196·32 + 32 + 32·10 + 10 = {len(start):,} weights in one vector")
direction = np.random.default_rng(1).normal(size=len(start))
slope = (loss(start + 1e-6 * direction)[0] - loss(start - 1e-6 * direction)[0]) / 2e-6
assert np.isclose(slope, loss(start)[1] @ direction, rtol=1e-6)

# %% [markdown]
# The gradient agrees with a finite difference along a random direction. And a network that is too large is refused at
# once:

# %%
try:
    flat_loss(create_model("mlp", (28, 28, 1), 10), x, y)
except ValueError as error:
    print(error)

# %% [markdown]
# The others need gradients of batches, and thousands of them. For a network this small our own NumPy is faster than
# Keras; the forward and backward pass are those of [03](03_backprop.ipynb), and agree with Keras' gradient:


# %%
shapes = [weight.shape for weight in net.trainable_variables]
cuts = np.cumsum([np.prod(shape) for shape in shapes])[:-1]


def batch_loss(flat, x, y):
    """Return the loss of images `(n, 196)` and its gradient, at the flat weights of the same network, in NumPy."""
    w1, b1, w2, b2 = (part.reshape(shape) for part, shape in zip(np.split(flat, cuts), shapes, strict=True))
    hidden = np.tanh(x @ w1 + b1)
    scores = hidden @ w2 + b2
    logs = scores - special.logsumexp(scores, axis=1, keepdims=True)
    error = (np.exp(logs) - np.eye(10)[y]) / len(y)
    back = (error @ w2.T) * (1 - hidden**2)
    gradients = x.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)
    return -logs[np.arange(len(y)), y].mean(), np.concatenate([gradient.ravel() for gradient in gradients])


assert np.isclose(batch_loss(start, x, y)[0], loss(start)[0])
assert np.allclose(batch_loss(start, x, y)[1], loss(start)[1])

# %% [markdown]
# Now the race. What costs is a pass over the images, and so it is passes that we count: each call of the loss is one
# for L-BFGS. SGD, momentum and Adam, the rules from the top of this page, take a step every 32 images. All start from
# the same weights. The three may try several constant rates, and the lowest loss at the end counts; L-BFGS has none.


# %%
def train_flat(rule, rate):
    """Return the training losses after each pass of a rule that reads batches of 32, its weights, and its memory."""
    w, memory, losses, generator = start, {}, [], np.random.default_rng(1)
    with np.errstate(all="ignore"):  # rates that are too big
        for _ in range(PASSES):
            for chosen in np.array_split(generator.permutation(len(x)), len(x) // 32):
                w = w + rule(w, batch_loss(w, x[chosen], y[chosen])[1], memory, rate)
            losses.append(batch_loss(w, x, y)[0])
    return np.array(losses), w, memory


calls = []
how = {"jac": True, "method": "L-BFGS-B", "options": {"maxfun": PASSES, "ftol": 0, "gtol": 1e-9}}
done = optimize.minimize(lambda w: calls.append(loss(w)) or calls[-1], start, **how)
runs = {"L-BFGS": (np.minimum.accumulate([value for value, _ in calls])[:PASSES], done.x, {})}
for name, middle in {"SGD": 0.2, "momentum": 0.04, "Adam": 0.004}.items():
    tries = [train_flat(RULES[name], middle * 4.0**k) for k in range(-(TRIES // 2), TRIES // 2 + 1)]
    runs[name] = min(tries, key=lambda run: np.nan_to_num(run[0][-1], nan=np.inf))

fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
for (name, (losses, *_)), style, colour in zip(runs.items(), ("-", "--", "-.", ":"), colours, strict=False):
    ax.loglog(1 + np.arange(len(losses)), losses, style, color=colour, label=name)
ax.set(xlabel="Passes over the images", ylabel="Training loss (nats)")
ax.legend(frameon=False)
sns.despine(fig)
plots.mark_profile(fig, PROFILE)

# %% tags=["hide-input"]
right = {}
for name, (_, weights, _) in runs.items():
    loss(weights)  # the network keeps the weights of the last call
    right[name] = (net.predict(x_val, verbose=0).argmax(axis=1) == y_val).mean()
ends = {name: losses[-1] for name, (losses, *_) in runs.items()}
early = {name: losses[4] for name, (losses, *_) in runs.items()}
ahead = [name for name in runs if early[name] < early["L-BFGS"]]
error = np.sqrt(np.mean([share * (1 - share) for share in right.values()]) / len(x_val))
say(
    f"**Prediction 6.** After 5 passes: {', '.join(f'{name} {value:.3f}' for name, value in early.items())} nats. "
    f"Ahead of L-BFGS, which has taken a handful of steps where the others have taken {5 * (len(x) // 32)}: "
    f"{', '.join(ahead) or 'none'}. After {PASSES} passes: "
    f"{', '.join(f'{name} {value:.2g}' for name, value in ends.items())}; lowest is {min(ends, key=ends.get)}.",
    f"New digits right: {', '.join(f'{name} {share:.1%}' for name, share in right.items())}. On {len(x_val)} images a "
    f"share has a standard error of {100 * error:.1f} points, so that only large differences count. Orders of "
    "magnitude in the training loss buy nothing here that new digits would show: the last decimals of the minimum were "
    "not what was missing.",
)

# %% [markdown]
# Why, then, does nobody train large networks with it? A pass over a million pictures for one step is dear; a step from
# a part of them has another function at each call, so that $y_k$ is the noise between two batches rather than a
# curvature (exercise 4). And its memory is twenty vectors as long as all weights.
#
# What does Adam's memory look like after such a training? It divides each weight's gradient by $\sqrt{\hat n}$. How
# different are these divisors within one network?

# %% tags=["hide-input"]
memory = runs["Adam"][2]
seen = np.sqrt(memory["n"][memory["n"] > 0] / (1 - 0.999 ** memory["t"]))
low, middle, high = np.quantile(seen, [0.05, 0.5, 0.95])
say(
    f"Of {len(seen):,} weights the middle nine tenths have $\\sqrt{{\\hat n}}$ from {low:.2g} to {high:.2g}, a factor "
    f"of {high / low:.0f}: at the same gradient one takes a step so much longer than the other."
)

# %% [markdown]
# ## Limits
#
# - Two small networks without batch normalisation, ten or thirty epochs, batches of 64. Where networks are deep, or
#   attention is in them, gradients of different weights differ more, and so may the optimizers.
# - Only the rate was tuned. Adam has three more numbers, momentum one; AdamW's decay of 0.004 is Keras' default, and
#   takes a hundredth or so off a weight in a whole run: here AdamW is Adam (10 asks what more of it does).
# - Times to a target are under a rate that falls; a constant one may give others.
# - A grid in factors of 2 sees no finer than that; six rates are a small budget, and a larger one may change the order.
# - Ftrl runs under another schedule than the rest, and from another $n_0$ than Keras', for the reasons above.
# - The variance shares are shares *of these grids*. They tell what one loses by a careless choice among these values,
#   no law of nature.
# - L-BFGS met one small network and no regularisation.

# %% [markdown]
# ## The same in small
#
# In `smoke` the two experiments also run here and now, on digits, with one seed and hardly any epochs. It shows that
# they run; it is too small to conclude from.

# %%
if PROFILE == "smoke":
    for name in ("momentum", "optimizers"):
        small = run_here(name)
        say(f"**{name}**, smoke run:", plots.markdown_table(plots.readable(small.table())))
    show(small, "ranks_digits")

# %% [markdown]
# ## Exercises
#
# 1. *Paper and pencil.* The first gradient of a weight is 0.01, the rate 1. How long is the first step of Adam, of
#    RMSProp, and of Adagrad, with Keras' defaults? The cell below says if you are right.
# 2. Adam's $\hat m$ and $\hat n$ are corrected because both start at 0. What would the first ten steps be without the
#    correction?
# 3. Show that AdamW without decay is Adam. Then: why is decay in AdamW not the same as L2 in the loss of Adam?
# 4. Give L-BFGS a new batch of 32 images at every call. What does SciPy say?
# 5. Let Ftrl's rate fall as a cosine on any of the surfaces. Where does it end?

# %%
my_answers = {"Adam": None, "RMSProp": None, "Adagrad": None}  # exercise 1: put your numbers here


def judge(answers):
    """Say of each length of exercise 1 whether the rule agrees."""
    for name, mine in answers.items():
        true = abs(RULES[name](0.0, 0.01, {}, 1.0))
        agrees = mine is not None and np.isclose(mine, true, rtol=0.01)
        print(f"{name}:", "not filled in" if mine is None else "right" if agrees else "not yet")


judge(my_answers)

# %% [markdown]
# ## Solutions
#
# **1.** Adam: $\hat m=g$, $\hat n=g^2$, so 1. RMSProp has no correction: $n=0.1\,g^2$, so $1/\sqrt{0.1}$. Adagrad's
# memory starts at 0.1, against which $g^2=0.0001$ is nothing: $0.01/\sqrt{0.1001}$.

# %%
judge({"Adam": 1, "RMSProp": 1 / np.sqrt(0.1), "Adagrad": 0.01 / np.sqrt(0.1001)})

# %% [markdown]
# **2.** After $t$ steps of the same gradient $m=(1-0.9^t)\,g$ and $n=(1-0.999^t)\,g^2$. The second is far slower, so
# that their quotient is too *large*: without the correction the first steps are several rates long.

# %%
t = np.arange(1, 11)
print("steps without correction, in rates:", ((1 - 0.9**t) / np.sqrt(1 - 0.999**t)).round(1))

# %% [markdown]
# **3.** L2 in the loss adds $\lambda w$ to the *gradient*, and Adam divides it by $\sqrt{\hat n}$ with the rest:
# weights with large gradients are then hardly decayed at all. AdamW takes $\eta\lambda w$ off the weight itself, past
# the division (Loshchilov and Hutter 2017).

# %%
without, plain = (
    walk(lambda *a: adamw(*a, decay=0.0), valley, STARTS[valley], [0.1], 50),
    walk(adam, valley, STARTS[valley], [0.1], 50),
)
assert np.allclose(without[0], plain[0])

# %% [markdown]
# **4.** The line search looks for a point where the loss is lower than before; if the loss is that of other images, the
# gradient's promise is not kept. SciPy gives up, or takes two losses that happen to be alike for the end.

# %%
generator = np.random.default_rng(1)


def of_a_batch(flat):
    """Return loss and gradient at flat weights, of 32 images that are new at every call."""
    chosen = generator.choice(len(x), 32, replace=False)
    return batch_loss(flat, x[chosen], y[chosen])


searches = {}
for name, function in {"all images": loss, "a new batch": of_a_batch}.items():
    done = optimize.minimize(function, start, jac=True, method="L-BFGS-B", options={"maxfun": 60})
    searches[name] = {"SciPy says": done.message, "calls": done.nfev, "loss of all images": round(loss(done.x)[0], 5)}
pd.DataFrame(searches).T

# %% [markdown]
# **5.** At 0, whatever the surface. The rate stands in front of the whole weight.

# %%
w, memory = np.array([-1.2, 1.0]), {}
for step in range(200):
    w = w + ftrl(w, valley(w)[1], memory, 0.5 * (1 + np.cos(np.pi * (step + 1) / 200)) / 2 + 1e-9)
print("with a cosine:", w.round(4), "; the minimum is at [1, 1]")
