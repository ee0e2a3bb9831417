"""Dense, locally connected and convolutional networks of equal parameter counts, and the same with permuted pixels.

Run:     python -m cnnkit sweep sharing --profile full
Expect:  on 20,000 images of CIFAR-10 about 56% for the convolution; an hour and a half of one core.
Before:  0.1 trained on 10,000 images in [0, 1], where the dense network (37%) lay below a linear layer: an optimisation
         failure. A real multi-layer perceptron now stands beside the equal-parameter arms.

If windows help because neighbouring pixels belong together, they must help less once the pixels stand in another order:
locality is an interaction, what windows buy on plain pixels beyond what they buy on permuted ones. Sharing also buys
many units for few weights.
"""

from cnnkit.evidence.experiment import ONE_CYCLE, Claim, Comparison, Experiment, RunConfig

LOCALITY = "what windows buy over dense connections, they buy on pixels in place and not on permuted ones."
PERMUTED = "a convolution beats a dense network on permuted pixels."
ARTICLES = "popular articles, after LeCun 1989 and Zhang et al. 2017"
# Widths for equal counts: 98,675, 98,682 and 98,691 parameters on CIFAR-10, 54,900, 54,862 and 54,936 on MNIST.
WIDTHS = {"cifar10": ([31, 81], [5, 12], [16, 193]), "mnist": ([64, 62], [8, 12], [16, 138])}
WIDTHS["digits"] = WIDTHS["mnist"]


def networks(dataset, train_size, margin, lowest, highest):
    """Dense, local and convolution, on plain and on permuted pixels of a data set, and a perceptron of 512 units."""
    dense, local, convolution = WIDTHS[dataset]
    models = {
        "dense": {"model": "mlp", "model_args": {"units": dense}},
        "local": {"model": "local_net", "model_args": {"filters": local}},
        "convolution": {"model": "conv_net", "model_args": {"filters": convolution}},
        "perceptron": {"model": "mlp", "model_args": {"units": [512]}},
    }
    pixels = {"plain": {}, "permuted": {"dataset": f"permuted:{dataset}"}}
    # To a dense layer all orders are one; the equal-parameter network shows that, so the perceptron need not.
    pairs = [(name, order) for name in models for order in pixels if (name, order) != ("perceptron", "permuted")]
    windows = "local, plain", "dense, plain"
    where = f"On {dataset}, {train_size:,} images, equal parameters:"

    def claim(id, text, better, worse, source, beside=()):
        return Claim(f"{id}-{dataset}", f"{where} {text}", better, worse, source, beside=beside)

    return Comparison(
        RunConfig(dataset=dataset, train_size=train_size, batch_size=64, epochs=15, **ONE_CYCLE),
        by="network, pixels",
        arms={f"{name}, {order}": models[name] | pixels[order] for name, order in pairs},
        rates=tuple(0.16 * 2.0**k for k in range(lowest, highest + 1)),
        margin=margin,
        ledger=77,
        claims=(
            claim("sharing", "shared weights beat local ones.", "convolution, plain", "local, plain", ARTICLES),
            claim("windows", "local connections beat dense ones.", *windows, ARTICLES),
            claim("locality", LOCALITY, *windows, "ours, after LeCun 1989", ("local, permuted", "dense, permuted")),
            claim("permuted", PERMUTED, "convolution, permuted", "dense, permuted", "ours"),
        ),
        control="convolution, plain",
        block=2,
    )


MNIST = networks("mnist", 10_000, margin=0.002, lowest=-6, highest=1)
CIFAR10 = networks("cifar10", 20_000, margin=0.01, lowest=-8, highest=0)

EXPERIMENT = Experiment(
    name="sharing",
    question="At equal parameter counts, do local connections and shared weights help, and do they on permuted pixels?",
    full={"cifar10": CIFAR10, "mnist": MNIST},
    smoke={"digits": networks("digits", 500, 0.01, -6, 1).small(seeds=2, batch_size=32, epochs=2)},
    answer="Seeing small windows, not whole pictures, gains {locality-cifar10:.1f} points more on CIFAR-10 as it is "
    "than on its pixels shuffled.",
)
