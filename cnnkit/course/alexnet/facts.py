"""Facts about AlexNet. Ledger 1, 18."""

from keras import layers

from cnnkit import anatomy
from cnnkit.course.convolution.facts import pixels_pooled_twice, positions
from cnnkit.evidence.fact import Fact


def unrounded(size, kernel_size, stride):
    """How often a window fits along `size` pixels, with the fraction of a position that Keras leaves out."""
    floor = anatomy.conv_output_size(size, kernel_size, stride, floor=True)
    return floor + anatomy.unseen_pixels(size, kernel_size, stride) / stride


FACTS = [
    Fact("conv1-of-32", 1, "A 32×32 image under 11×11 filters at stride 4 gives 55×55 maps.",
         lambda: unrounded(32, 11, 4), "positions a side", 55),
    Fact("conv1-of-224", 1, "AlexNet's 224×224 image under 11×11 filters at stride 4 gives 55×55 maps.",
         lambda: unrounded(224, 11, 4), "positions a side", 55, source="Krizhevsky et al. 2012, fig. 2"),
    Fact("conv1-of-227", 1, "A 227×227 image under 11×11 filters at stride 4 gives 55×55 maps.",
         lambda: positions(227, layers.Conv1D(96, 11, strides=4)), "positions a side", 55, source="cs231n"),
    Fact("pool-wider-than-stride", 18, "AlexNet's pooling overlaps: its 3×3 windows are wider than their stride of 2.",
         lambda: pixels_pooled_twice(13, pool_size=3, stride=2), "pixels lie in more than one window",
         lambda twice: twice > 0, source="Krizhevsky et al. 2012, sec. 3.4"),
]  # fmt: skip
