"""What does the small last batch cost, and what cures it? Kept as Keras does, or dropped; at three kinds of rate.

Run:     python -m cnnkit sweep last_batch --profile full
Expect:  about 97.5% on MNIST from 10,000 images; 220 runs of ten seconds, 40 minutes of one core.
Before:  a short trial in plain SGD at 0.16 fell from 96% to 55% within its last epoch where the rest was kept: so many
         runs would have collapsed that no accuracy could be compared. With momentum the harm is milder.

10,000 images in batches of 256 leave 16. Kept, they take a step as long as any other, right before the network is
scored. Dropped, they wait for the next shuffle. The kept arms have rates of their own, one that of the dropped.
"""

from cnnkit.evidence.experiment import Claim, Comparison, Experiment, RunConfig, Times

MARGIN = 0.002
CURES = {"constant": {}, "falling": {"schedule": "cosine"}, "averaged": {"ema": 0.99}}
LOST = ("dropped, constant", "kept, at that rate")


def _claim(id, text, better, worse, **how):
    return Claim(id, text, better, worse, "ours, after what version 0.1 of cnnkit suffered", **how)


last = Comparison(
    RunConfig(dataset="mnist", train_size=10_000, optimizer_args={"momentum": 0.9}, batch_size=256, epochs=10),
    by="last batch, rate",
    arms={f"dropped, {cure}": fields for cure, fields in CURES.items()}
    | {f"kept, {cure}": fields | {"last_batch": "keep"} for cure, fields in CURES.items()}
    | {LOST[1]: {"last_batch": "keep", "learning_rate": Times(LOST[0], 1.0)}},
    rates=(0.005, 0.01, 0.02, 0.04, 0.08, 0.16),
    where="(LeNet-5, 10,000 MNIST images, batches of 256 and one of 16)",
    margin=MARGIN,
    ledger=20,
    claims=(
        _claim("last-batch-costs", "At one constant rate, keeping the small last batch costs accuracy", *LOST),
        _claim("last-batch-costs-tuned", "At a constant rate tuned for it, keeping the small last batch costs accuracy",
               "dropped, constant", "kept, constant"),
        _claim("last-batch-falling", "Where the rate falls to 0, keeping the small last batch costs nothing",
               "kept, falling", "dropped, falling", margin=-MARGIN),
        _claim("last-batch-averaged", "Where averaged weights are scored, keeping the small last batch costs nothing",
               "kept, averaged", "dropped, averaged", margin=-MARGIN),
    ),
    seeds=16,  # one small step is a matter of luck: the cost varies
)  # fmt: skip


EXPERIMENT = Experiment(
    name="last_batch",
    question="What does a small last batch cost, and do a falling rate or averaged weights cure it?",
    full=last,
    smoke=last.small(dataset="digits", train_size=272, epochs=2),
    answer="A constant rate loses {last-batch-costs:.1f} points by it, one that falls gains {last-batch-falling:+.1f}.",
)
