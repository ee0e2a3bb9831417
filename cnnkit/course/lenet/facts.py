"""Facts about LeNet-5. Ledger 7."""

import functools
import math

from cnnkit import anatomy, models
from cnnkit.evidence.fact import fact

LECUN = "LeCun et al. 1998, sec. II.B"


@functools.cache
def paper_layers():
    """The `layer_table` of the network of 1998, of the paper's layers: those that have weights or multiply."""
    table = anatomy.layer_table(models.create_model("lenet5", (32, 32, 1), 10))
    return table[(table["num_params"] > 0) | (table["macs"] > 0)]


@fact(7, unit="layers", holds=7, source=f"popular articles; {LECUN}")
def lenet5_layers():
    """LeNet-5 has seven layers, its input not counted."""
    return len(paper_layers())


@fact(7, unit="of 7 layers have that size", holds=7, source=f"popular articles; {LECUN}")
def lenet5_shapes():
    """LeNet-5's layers are 6@28×28, 6@14×14, 16@10×10, 16@5×5, 120, 84 and 10."""
    return (paper_layers()["output_shape"].map(math.prod) == [4704, 1176, 1600, 400, 120, 84, 10]).sum()


@fact(7, unit="parameters", holds=60_000, source=LECUN)
def lenet5_parameters():
    """LeNet-5 has 60,000 trainable parameters."""
    return paper_layers()["num_params"].sum()


@fact(7, unit="connections", holds=340_908, source=LECUN)
def lenet5_connections():
    """LeNet-5 has 340,908 connections."""
    table = paper_layers()
    units, pooling = table["output_shape"].map(math.prod), table["type"] == "SubSampling"
    biased = (table["num_params"] > 0) & ~pooling
    # A sub-sampling unit has four inputs and a bias, any other its multiply-adds and, if it has weights, a bias.
    return table["macs"].sum() + units[biased].sum() + 5 * units[pooling].sum()


@fact(7, unit="parameters", holds=61_706, source="computed")
def lenet5_today():
    """LeNet-5 as it is built today (max pooling, ReLU, all maps connected) has 61,706 parameters."""
    return models.create_model("lenet5_modern", (28, 28, 1), 10).count_params()
