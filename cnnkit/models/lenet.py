"""LeNet-5: as published in 1998, and as it is written today.

Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE, 1998.
"""

import keras
import numpy as np
from keras import layers

from cnnkit.models.checks import require_size
from cnnkit.models.layers import RBF, SparseConv2D, SubSampling, scaled_tanh

# Table I of the paper. A row is one of S2's 6 maps, a column one of C3's 16; X: the C3 map sees the S2 map.
C3_TABLE = """
    X...XXX..XXXX.XX
    XX...XXX..XXXX.X
    XXX...XXX..X.XXX
    .XXX..XXXX..X.XX
    ..XXX..XXXX.XX.X
    ...XXX..XXXX.XXX
"""

# The codes of the output units are pictures: 12 rows of 7 pixels, which F6's 84 units have to draw.
DIGITS = """
    ..###..  ...#...  .#####.  .#####.  .....#.  #######  ..####.  #######  .#####.  .#####.
    .#...#.  ..##...  #.....#  #.....#  ....##.  #......  .#.....  ......#  #.....#  #.....#
    #.....#  .#.#...  ......#  ......#  ...#.#.  #......  #......  ......#  #.....#  #.....#
    #.....#  ...#...  ......#  ......#  ..#..#.  #......  #......  .....#.  #.....#  #.....#
    #.....#  ...#...  .....#.  .....#.  .#...#.  ######.  #.####.  .....#.  .#...#.  #.....#
    #.....#  ...#...  ....#..  ..###..  #....#.  ......#  ##....#  ....#..  ..###..  #....##
    #.....#  ...#...  ...#...  .....#.  #######  ......#  #.....#  ....#..  .#...#.  .####.#
    #.....#  ...#...  ..#....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
    #.....#  ...#...  .#.....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
    #.....#  ...#...  #......  ......#  .....#.  ......#  #.....#  ..#....  #.....#  ......#
    .#...#.  ...#...  #......  #.....#  .....#.  #.....#  .#...#.  ..#....  #.....#  .....#.
    ..###..  .#####.  #######  .#####.  .....#.  .#####.  ..###..  ..#....  .#####.  .####..
"""


def lenet5(input_shape, num_classes):
    """Build the LeNet-5 of 1998: 60,000 trainable parameters and 340,908 connections at 10 classes.

    Args:
        input_shape: `(28, 28, 1)`, which is padded to 32×32 inside, or `(32, 32, 1)`; ink bright, paper 0.
        num_classes: Integer, at least 2.
    Returns:
        `keras.Model`: float32 `(batch, *input_shape)` in [0, 1] -> logits `(batch, num_classes)`, all at most 0.
    Raises:
        ValueError: If the input has another shape.
    Source: LeCun et al. 1998, sec. II.B; start of the weights from sec. II.C and appendix A.
    Departs: the 7×12 code pictures are our own drawing of the digits, and fixed random ±1 codes beyond 10 classes.
        Softmax cross-entropy on these logits is the paper's criterion (eq. 9) without its constant `exp(-j)`, which
        keeps classes that are far already from being pushed farther. Instead the distances, 84 to 336 between codes
        and a first F6, are multiplied by 0.1, so that the softmax starts within reach of a gradient.
        Biases start at 0. The paper's step size was second-order, another one for every weight.
    """
    if tuple(input_shape) not in {(28, 28, 1), (32, 32, 1)}:
        raise ValueError(
            "lenet5 expected input_shape (28, 28, 1) or (32, 32, 1), as published. "
            f"Received: input_shape={input_shape}. For larger or coloured pictures take lenet5_modern."
        )
    connections = np.array([list(row) for row in C3_TABLE.split()]) == "X"
    x = pixels = keras.Input(input_shape, name="pixels")
    x = _pad_to_32(x)
    x = layers.Rescaling(1.275, offset=-0.1, name="ink")(x)  # paper -0.1, ink 1.175: mean about 0, variance about 1
    x = layers.Conv2D(6, 5, kernel_initializer=_uniform(25), activation=scaled_tanh, name="C1")(x)
    x = layers.Activation(scaled_tanh, name="S2_squash")(SubSampling(name="S2")(x))
    x = layers.Activation(scaled_tanh, name="C3_squash")(SparseConv2D(connections, 5, name="C3")(x))
    x = layers.Activation(scaled_tanh, name="S4_squash")(SubSampling(name="S4")(x))
    x = layers.Conv2D(120, 5, kernel_initializer=_uniform(400), activation=scaled_tanh, name="C5")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(84, kernel_initializer=_uniform(120), activation=scaled_tanh, name="F6")(x)
    return keras.Model(pixels, RBF(_codes(num_classes), scale=0.1, dtype="float32", name="output")(x), name="lenet5")


def lenet5_modern(input_shape, num_classes):
    """Build LeNet-5 as it is taught today: full C3, ReLU, max-pooling. 61,706 parameters on 32×32×1, 10 classes.

    Args:
        input_shape: `(height, width, channels)` in pixels; sides from 28 to 31 are zero-padded to 32 inside.
        num_classes: Integer, at least 2.
    Returns:
        `keras.Model`: float32 `(batch, *input_shape)` in [0, 1] -> logits `(batch, num_classes)`.
    Raises:
        ValueError: If height or width is less than 28.
    Source: LeCun et al. 1998, sec. II.B, for the layers' sizes.
    Departs: every C3 map sees all of S2; ReLU; max-pooling without weights; softmax logits; Keras' initial weights.
    """
    require_size("lenet5_modern", input_shape, 28)
    x = pixels = keras.Input(input_shape, name="pixels")
    x = _pad_to_32(x)
    x = layers.Conv2D(6, 5, activation="relu", name="C1")(x)
    x = layers.MaxPooling2D(name="S2")(x)
    x = layers.Conv2D(16, 5, activation="relu", name="C3")(x)
    x = layers.MaxPooling2D(name="S4")(x)
    x = layers.Flatten(name="flatten")(x)  # on 32×32 a dense layer here is the paper's 5×5 convolution of 5×5 maps
    x = layers.Dense(120, activation="relu", name="C5")(x)
    x = layers.Dense(84, activation="relu", name="F6")(x)
    return keras.Model(pixels, layers.Dense(num_classes, dtype="float32", name="logits")(x), name="lenet5_modern")


def _pad_to_32(x):
    """Zeros around `(batch, height, width, channels)` until height and width are at least 32."""
    missing = [max(0, 32 - side) for side in x.shape[1:3]]
    if not any(missing):
        return x
    return layers.ZeroPadding2D([(lost // 2, lost - lost // 2) for lost in missing], name="pad")(x)


def _uniform(fan_in):
    """The paper's start: uniform in ±2.4 / number of inputs of the unit."""
    return keras.initializers.RandomUniform(-2.4 / fan_in, 2.4 / fan_in)


def _codes(num_classes):
    """Fixed codes `(num_classes, 84)` of ±1: the digits' pictures, row by row; random beyond ten classes."""
    if num_classes > 10:
        return np.random.default_rng(1998).choice([-1, 1], size=(num_classes, 84))
    rows = np.array(DIGITS.split()).reshape(12, 10)
    pictures = ["".join(rows[:, digit]) for digit in range(num_classes)]
    return np.where(np.array([list(picture) for picture in pictures]) == "#", 1, -1)
