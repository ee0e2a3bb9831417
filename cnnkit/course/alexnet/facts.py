"""Facts about AlexNet. Ledger 1, 18."""

from keras import layers

from cnnkit import anatomy
from cnnkit.course.convolution.facts import TWICE, pixels_pooled_twice, positions
from cnnkit.evidence.fact import fact


def unrounded(size, kernel_size, stride):
    """How often a window fits along `size` pixels, with the fraction of a position that Keras leaves out."""
    floor = anatomy.conv_output_size(size, kernel_size, stride, floor=True)
    return floor + anatomy.unseen_pixels(size, kernel_size, stride) / stride


@fact(1, unit="positions a side", holds=55)
def conv1_of_32():
    """A 32×32 image under 11×11 filters at stride 4 gives 55×55 maps."""
    return unrounded(32, 11, 4)


@fact(1, unit="positions a side", holds=55, source="Krizhevsky et al. 2012, fig. 2")
def conv1_of_224():
    """AlexNet's 224×224 image under 11×11 filters at stride 4 gives 55×55 maps."""
    return unrounded(224, 11, 4)


@fact(1, unit="positions a side", holds=55, source="cs231n")
def conv1_of_227():
    """A 227×227 image under 11×11 filters at stride 4 gives 55×55 maps."""
    return positions(227, layers.Conv1D(96, 11, strides=4))


@fact(18, unit=TWICE, holds=lambda twice: twice > 0, source="Krizhevsky et al. 2012, sec. 3.4")
def pool_wider_than_stride():
    """AlexNet's pooling overlaps: its 3×3 windows are wider than their stride of 2."""
    return pixels_pooled_twice(13, pool_size=3, stride=2)
