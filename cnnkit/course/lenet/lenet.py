"""LeNet-5 of 1998 and of today on all of MNIST: do they reach the error that was printed?

Run:     python -m cnnkit sweep lenet --profile full
Expect:  about 1.0% test error, beside the 0.95% of LeCun et al. 1998; half an hour of one core.
Before:  0.1's first design ended one seed of the 1998 network at 88.5%; both designs were judged on the same seeds, and
         all of its runs ended on a small last batch. Its seeds 101 to 105 had been seen: hence block 2.

The paper trained on all 60,000 images, one an update, with a step of its own for every weight; here a tenth of them is
held out, and the two share one recipe. The network of 1998 scales its pictures itself, so it takes them in [0, 1].
"""

from cnnkit import plots
from cnnkit.evidence.experiment import Claim, Comparison, Experiment, RunConfig

PAPER_ACCURACY = 0.9905  # LeCun et al. 1998, sec. III.B: 0.95% test error, without distorted training images
TEXT = "LeNet-5 with ReLU, max-pooling and softmax reads digits better than the network of 1998."

networks = Comparison(
    RunConfig(dataset="mnist", batch_size=64, epochs=20, schedule="cosine"),
    by="network",
    arms={"1998": {"model": "lenet5", "scaling": "unit"}, "today": {"model": "lenet5_modern"}},
    rates=(0.025, 0.05, 0.1, 0.2, 0.4),
    tuned_with={"train_size": 20_000, "epochs": 6},
    claims=(Claim("lenet-today", TEXT, "today", "1998", source="ours", margin=0.002, ledger=7),),
    control="today",
    block=2,
    level=0.99,
)


def plot_beside_paper(found):
    """Return the accuracies with the paper's as a line."""
    fresh = found.plans[""].of_role("fresh")
    ax = plots.plot_intervals(found.table(), y="network", metric="test_accuracy", runs=fresh, reference=PAPER_ACCURACY)
    ax.set_title(f"line: LeCun et al. 1998, {PAPER_ACCURACY:.2%}", loc="right", fontsize="small", color="0.35")
    return {"accuracy": ax}


def answer(found):
    """Return today's error beside the paper's."""
    error = 100 * (1 - found.table().set_index("network").loc["today", ["mean", "high", "low"]])
    told = "{:.2f}% ({:.2f} to {:.2f})".format(*error)
    return f"LeNet-5 of today misreads {told} of MNIST; the paper printed {1 - PAPER_ACCURACY:.2%}."


EXPERIMENT = Experiment(
    name="lenet",
    question="Do LeNet-5 of 1998 and LeNet-5 of today reach the error of the paper on MNIST?",
    full=networks,
    smoke=networks.small(seeds=2, dataset="digits", epochs=4),
    answer=answer,
    more_figures=plot_beside_paper,
)
