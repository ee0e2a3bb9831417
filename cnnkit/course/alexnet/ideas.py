"""Response normalization, beside batch normalization, and altered pictures, on a network with three convolutions.

Run:     python -m cnnkit sweep ideas --profile full
Expect:  about 68% on 10,000 images of CIFAR-10, 71% with batch normalization; five hours of one core.

Response normalization divides by (2 + alpha times a sum of squares)^0.75. The paper's alpha, 1e-4, was for pixels up to
255; ours are divided by their deviation, 63. With the same weights 63² · 1e-4 = 0.4 is as strong; but its weights began
smaller, so that 0.02 is as strong at the start. All three are arms.
"""

from cnnkit.evidence.experiment import ONE_CYCLE, Claim, Comparison, Experiment, RunConfig, doubled

NETWORKS = {
    "plain": {},
    "lrn 1e-4": {"lrn": 1e-4},
    "lrn 0.02": {"lrn": 0.02},
    "lrn 0.4": {"lrn": 0.4},
    "batch norm": {"batch_norm": True},
    "batch norm + lrn 0.4": {"batch_norm": True, "lrn": 0.4},
}
ARMS = {name: {"model_args": args} for name, args in NETWORKS.items()}
ARMS["flip + shift"] = {"augmentation": "flip+shift"}


PAPER = "popular articles; Krizhevsky et al. 2012, sec. {}".format
ideas = Comparison(
    RunConfig(dataset="cifar10", train_size=10_000, model="caffe_quick", batch_size=64, epochs=20, **ONE_CYCLE),
    by="idea",
    arms=ARMS,
    rates={idea: doubled(0.02 if "batch" in idea else 0.005, 5) for idea in ARMS},
    where="(three convolutions, 10,000 CIFAR-10 images, one-cycle rate)",
    margin=0.01,
    ledger=36,
    claims=(
        Claim("lrn-strong", "Response normalization, alpha 0.4, improves accuracy", "lrn 0.4", "plain",
              PAPER("3.3")),
        Claim("lrn-weak", "Response normalization, alpha 0.02, improves accuracy", "lrn 0.02", "plain",
              PAPER("3.3")),
        Claim("lrn-beside-batch-norm", "Response normalization improves accuracy beside batch normalization, too",
              "batch norm + lrn 0.4", "batch norm", "ours"),
        Claim("batch-norm-beats-lrn", "Batch normalization does more than response normalization", "batch norm",
              "lrn 0.4", "ours, after Ioffe and Szegedy 2015, sec. 4.2"),
        Claim("augmentation", "Flipped and shifted pictures improve accuracy", "flip + shift", "plain",
              PAPER("4.1"), ledger=56),
    ),
    control="flip + shift",  # altered pictures take the longest
    tuned_with={"train_size": 5_000, "epochs": 10},
)  # fmt: skip


EXPERIMENT = Experiment(
    name="ideas",
    question="Do response normalization and altered pictures improve a small network on CIFAR-10?",
    full=ideas,
    smoke=ideas.small(dataset="digits", train_size=500, batch_size=32, epochs=2),
    answer="In points, after 20 epochs: response normalization {lrn-strong:+.1f}, batch normalization in its place "
    "{batch-norm-beats-lrn:+.1f} more, altered pictures {augmentation:+.1f}.",
)
