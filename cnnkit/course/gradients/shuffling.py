"""A new order of the images in every epoch, one order for all, or sorted by class: what does shuffling buy?

Run:     python -m cnnkit sweep shuffling --profile full
Expect:  about 52% on 5,000 images of CIFAR-10 at half their resolution, 98% on as many of MNIST; 25 core-minutes.

Batches of 50 divide 5,000 images, so that no arm leaves any out. `once` draws an order for the whole run, `never` takes
the data's, which is as random, and so has the rate of `once`. Images sorted by class stayed near chance on CIFAR-10 at
every rate of a first scan, where no claim can be measured; on MNIST they teach something.
"""

from cnnkit.evidence.experiment import COSINE, Claim, Comparison, Experiment, RunConfig, Times, doubled

NORMS = {"plain": {}, "batch norm": {"model_args": {"batch_norm": True}}}
FIRST = {"plain": 0.0025, "batch norm": 0.01}  # rates, where the grids begin
BASE = RunConfig(train_size=5_000, batch_size=50, epochs=12, **COSINE)


def _arm(norm, order):
    follows = {"learning_rate": Times(f"{norm}, once", 1)} if order == "never" else {}
    return NORMS[norm] | {"shuffle": order} | follows


def _claim(id, norm, text, better, worse, source="popular articles"):
    words = f"{text}, {'without' if norm == 'plain' else 'with'} batch normalisation"
    return Claim(f"{id}-{norm.replace(' ', '-')}", words, f"{norm}, {better}", f"{norm}, {worse}", source)


EACH, ONCE = "A new order every epoch generalises better than one for all", "An order drawn once beats the data's own"
orders = Comparison(
    BASE.replace(dataset="halved:cifar10", model="caffe_quick"),
    by="network, order",
    arms={f"{norm}, {order}": _arm(norm, order) for norm in NORMS for order in ("each", "once", "never")},
    rates={f"{norm}, {order}": doubled(FIRST[norm]) for norm in NORMS for order in ("each", "once")},
    where="(three convolutions, 5,000 CIFAR-10 images at half their resolution)",
    margin=0.01,
    ledger=68,
    claims=tuple(
        claim
        for norm in NORMS
        for claim in (
            _claim("shuffle-each", norm, EACH, "each", "once"),
            _claim("shuffle-once", norm, ONCE, "once", "never", "ours"),
        )
    ),
    tuned_with={"epochs": 6},
    seeds=8,
)
HARM = "Images sorted by class are learnt worse than in one random order (LeNet-5, 5,000 MNIST images)."
by_class = Comparison(
    BASE.replace(dataset="mnist"),
    by="order",
    arms={"each": {}, "once": {"shuffle": "once"}, "sorted": {"shuffle": "sorted"}},
    rates={
        **dict.fromkeys(("each", "once"), doubled(0.004)),
        "sorted": doubled(0.0001),
    },
    claims=(Claim("sorted-harms", HARM, "once", "sorted", margin=0.002, ledger=68),),
    seeds=8,
)


EXPERIMENT = Experiment(
    name="shuffling",
    question="What does it buy to draw a new order of the images in every epoch?",
    full={"orders": orders, "sorted": by_class},
    smoke={"sorted": by_class.small(dataset="digits", train_size=500, epochs=1)},
    answer="A new order every epoch buys {shuffle-each-plain:+.1f} points over one (CIFAR-10); sorting costs "
    "{sorted-harms:.1f} (MNIST).",
)
