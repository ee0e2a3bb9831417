"""AlexNet's ideas one by one: response normalization, overlapping pooling, dropout, and altered pictures.

Run:     python -m cnnkit sweep ideas --profile full
Expect:  about 65% without and 70% with altered pictures, on 10,000 images of CIFAR-10; three hours of one core.

A network with a quarter of the paper's depth and a tenth of its data: what is tested is whether an idea helps here.
Response normalization divides by 2 + alpha times a sum of squares. The paper's alpha of 1e-4 was for pixels up to 255;
ours are divided by their deviation, 63 on average, so that 63² · 1e-4 = 0.4 is as strong. Both are arms.
"""

from cnnkit.evidence.experiment import Claim, Comparison, Experiment
from cnnkit.lab.config import RunConfig

WHERE = "(three convolutions, 10,000 CIFAR-10 images, one-cycle rate)"
NETWORKS = {
    "plain": {},
    "lrn": {"lrn": 0.4},
    "lrn of 1e-4": {"lrn": 1e-4},
    "batch norm": {"batch_norm": True},
    "batch norm + lrn": {"batch_norm": True, "lrn": 0.4},
    "pooling 2×2": {"pool_size": 2},
    "dropout": {"dropout_rate": 0.5},
}
ARMS = {idea: {"model_args": args} for idea, args in NETWORKS.items()} | {
    "flip + shift": {"augmentation": "flip+shift"}
}


def _claim(id, ledger, text, better, worse, source, **how):
    how = {"margin": 0.01, "ledger": ledger} | how
    return Claim(id, f"{text} {WHERE}.", better, worse, f"popular articles; {source}", **how)


def _gap(id, ledger, text, better, worse, source):
    """A claim on the gap between training and test accuracy: that of `worse` is wider than that of `better`."""
    pair = {"metric": ("test_accuracy", "train_accuracy"), "beside": (worse, worse)}
    return _claim(id, ledger, text, better, better, source, **pair)


PAPER = "Krizhevsky et al. 2012, sec. {}".format
ideas = Comparison(
    RunConfig(
        dataset="cifar10",
        train_size=10_000,
        model="caffe_quick",
        optimizer_args={"momentum": 0.9},
        schedule="one_cycle",
        batch_size=64,
        epochs=20,
    ),
    by="idea",
    arms=ARMS,
    rates={idea: tuple((0.02 if "batch" in idea else 0.005) * 2**k for k in range(5)) for idea in ARMS},
    claims=(
        _claim("lrn", 36, "Local response normalization improves accuracy", "lrn", "plain", PAPER("3.3")),
        _claim("lrn-beside-batch-norm", 36, "It does beside batch normalization, too", "batch norm + lrn", "batch norm",
               PAPER("3.3")),
        _claim("batch-norm-beats-lrn", 36, "Batch normalization does more than local response normalization",
               "batch norm", "lrn", "Ioffe and Szegedy 2015, sec. 4.2"),
        _claim("overlap", 37, "Pooling windows of 3×3 that overlap classify better than those of 2×2 that do not",
               "plain", "pooling 2×2", PAPER("3.4")),
        _gap("overlap-gap", 37, "Overlapping pooling overfits less", "plain", "pooling 2×2", PAPER("3.4")),
        _claim("dropout-dense", 49, "Dropout of a half before the dense layers improves accuracy", "dropout", "plain",
               PAPER("4.2")),
        _gap("dropout-gap", 49, "Dropout of a half before the dense layers narrows the gap", "dropout", "plain",
             PAPER("4.2")),
        _claim("augmentation", 56, "Flipped and shifted pictures improve accuracy", "flip + shift", "plain",
               PAPER("4.1")),
    ),
    tuned_with={"train_size": 5_000, "epochs": 10},
)  # fmt: skip


def answer(found):
    """Return the ideas that our runs support."""
    rows = {row["id"]: row for row in found.verdicts()}
    told = {"lrn": "response normalization", "overlap": "overlapping pooling", "dropout-dense": "dropout"}
    told["augmentation"] = "altered pictures"
    words = [f"{name} {100 * rows[id]['effect']:+.1f}" for id, name in told.items()]
    return f"In points: {', '.join(words)}."


EXPERIMENT = Experiment(
    name="ideas",
    question="Which of AlexNet's ideas improve a small network on CIFAR-10?",
    full=ideas,
    smoke=ideas.small(rates=1, dataset="digits", train_size=500, batch_size=32, epochs=2),
    notebook="05_alexnet",
    answer=answer,
)
