"""Facts about LeNet-5. Ledger 7."""

import math

from cnnkit import anatomy, models
from cnnkit.evidence.fact import Fact

LECUN = "LeCun et al. 1998, sec. II.B"


def paper_layers():
    """The `layer_table` of the network of 1998, of the paper's layers: those that have weights or multiply."""
    table = anatomy.layer_table(models.create_model("lenet5", (32, 32, 1), 10))
    return table[(table["num_params"] > 0) | (table["macs"] > 0)]


def connections():
    """A sub-sampling unit has four inputs and a bias, any other its multiply-adds and, if it has weights, a bias."""
    table = paper_layers()
    units, pooling = table["output_shape"].map(math.prod), table["type"] == "SubSampling"
    return table["macs"].sum() + units[(table["num_params"] > 0) & ~pooling].sum() + 5 * units[pooling].sum()


FACTS = [
    Fact("lenet5-layers", 7, "LeNet-5 has seven layers, its input not counted.",
         lambda: len(paper_layers()), "layers", 7, source=f"popular articles; {LECUN}"),
    Fact("lenet5-shapes", 7, "LeNet-5's layers are 6@28×28, 6@14×14, 16@10×10, 16@5×5, 120, 84 and 10.",
         lambda: (paper_layers()["output_shape"].map(math.prod) == [4704, 1176, 1600, 400, 120, 84, 10]).sum(),
         "of 7 layers have that size", 7, source=f"popular articles; {LECUN}"),
    Fact("lenet5-parameters", 7, "LeNet-5 has 60,000 trainable parameters.",
         lambda: paper_layers()["num_params"].sum(), "parameters", 60_000, source=LECUN),
    Fact("lenet5-connections", 7, "LeNet-5 has 340,908 connections.",
         connections, "connections", 340_908, source=LECUN),
    Fact("lenet5-today", 7,
         "LeNet-5 as it is built today (max pooling, ReLU, all maps connected) has 61,706 parameters.",
         lambda: models.create_model("lenet5_modern", (28, 28, 1), 10).count_params(), "parameters", 61_706,
         source="computed"),
]  # fmt: skip
