"""What popular articles get wrong, and what is right."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Correction:
    """A sentence that is not so.

    Args:
        said: String, what articles say.
        right: String, what is right.
        known: String, how we know, as the page's head explains, with the source.
        figures: Tuple of ids of facts and claims, whose lines of `claims.csv` give the figures.
        pending: String, which question is left to an experiment that is not there yet, or "".
    """

    said: str
    right: str
    known: str
    figures: tuple = ()
    pending: str = ""


TOPICS = {
    "Sizes and parameters": (
        Correction(
            "AlexNet's first layer makes 55×55 maps of a 32×32 (or 224×224) image.",
            "It takes a 227×227 image to do that. The paper prints 224, which does not fit either.",
            "computed; read: cs231n",
            ("conv1-of-32", "conv1-of-224", "conv1-of-227"),
        ),
        Correction(
            "Kernels of an even side cannot keep an image's size.",
            "They can: padding 'same' puts one pixel more on the right and at the bottom. Odd kernels are only "
            "handier, for they have a centre.",
            "computed",
            ("even-kernels",),
        ),
        Correction(
            "Pooling overlaps when the window is smaller than the stride, and then the stride is 1.",
            "It overlaps when the stride is smaller than the window. AlexNet has windows of 3×3 at stride 2, and was "
            "compared with 2×2 at stride 2, which gives maps of the same size.",
            "computed; read: Krizhevsky et al. 2012",
            ("pool-smaller-than-stride", "pool-wider-than-stride"),
        ),
        Correction(
            "A colour image of 1000×1000 pixels has 3 million parameters.",
            "It has 3 million input values. Parameters belong to layers: a dense one of 1,000 units on this image has "
            "3 billion.",
            "computed",
            ("image-parameters", "image-values", "image-dense-weights"),
        ),
        Correction(
            "A kernel has 1, 3 or 5 channels.",
            "Its sides are 1, 3 or 5 pixels. It has as many channels as its input, and a layer usually 16 to 512 such "
            "kernels (filters).",
            "read: the layer tables of published networks",
        ),
        Correction(
            "Stacked 3×3 convolutions give the same result as one 7×7.",
            "They see the same pixels, with 45% fewer weights, and compute other functions.",
            "computed",
            ("three-3x3-see", "three-3x3-weights", "three-3x3-reach"),
        ),
    ),
    "What layers compute": (
        Correction(
            "A convolutional layer turns its kernel by 180°.",
            "The convolution of mathematics does. Deep learning computes cross-correlation, which does not; a kernel "
            "that is learnt comes out turned as needed.",
            "computed",
            ("layers-turn-kernels", "turning-does-not-matter"),
        ),
        Correction(
            "A dense unit computes Wx without a bias, a weighted average of its inputs.",
            "It computes Wx + b, and its weights need not be positive or sum to 1. What the bias is worth, experiment "
            "decides.",
            "computed; read: cs231n",
            ("dense-without-bias", "dense-averages", "black-image"),
            "what the biases are worth in accuracy",
        ),
        Correction(
            "A dense layer ignores where things are; and: where things are may change its answer.",
            "A dense layer on flattened maps has a weight for every place, so places matter to it. It is global "
            "average pooling that ignores them.",
            "computed",
            ("dense-ignores-place", "average-ignores-place"),
        ),
        Correction(
            "A CNN recognises things wherever they are, however they are turned, however large, in any light.",
            "Convolution answers a shift with a shift, but for borders and strides. Rotation, scale, mirror images and "
            "light must be learnt from examples.",
            "read: Engstrom et al. 2019, abstract",
            pending="how accuracy falls with each",
        ),
        Correction(
            "Sigmoid and tanh are 'saturated linear' functions, and their gradient is slow to compute.",
            "They are saturating non-linear functions. Training is slow because their slopes are small where they "
            "saturate; the cost of the exponential hardly counts.",
            "computed; read: Krizhevsky et al. 2012",
            ("sigmoid-is-linear",),
        ),
        Correction(
            "The slope of tanh is below 1, that of ReLU anything in [0, 1].",
            "The slope of tanh is 1 at 0. That of ReLU is 0 or 1, and nothing in between.",
            "computed",
            ("tanh-slope", "relu-slopes"),
        ),
        Correction(
            "The gradient of ReLU does not vanish.",
            "Not where its input is positive. Where it is negative the slope is 0, and a unit that gets only such "
            "inputs learns no more (a dead ReLU).",
            "computed; read: cs231n",
            ("relu-vanishes",),
        ),
    ),
    "Published networks": (
        Correction(
            "AlexNet has 6 million parameters.",
            "It has about 60 million.",
            "read: Krizhevsky et al. 2012, abstract",
            pending="the exact count, from the network itself",
        ),
        Correction(
            "AlexNet normalises after pooling.",
            "Its local response normalisation comes before the pooling. The other order is that of a well-known "
            "re-implementation.",
            "read: Krizhevsky et al. 2012",
        ),
        Correction(
            "AlexNet is five convolutions, three dense layers and a softmax layer.",
            "It has eight layers with weights. Softmax is what the eighth does with its scores.",
            "read: Krizhevsky et al. 2012",
        ),
        Correction(
            "AlexNet ran on two GPUs because 1.2 million images did not fit into one.",
            "The network did not fit: a GPU had 3 GB.",
            "read: Krizhevsky et al. 2012",
        ),
        Correction(
            "VGG-19 costs 1.96 billion operations, and ResNet-34 18% of it, 3.6 billion.",
            "VGG-19 costs 19.6 billion multiply-adds. Of 1.96 billion, 3.6 would be 184%.",
            "read: He et al. 2015",
            pending="both counts, from the networks themselves",
        ),
        Correction(
            "ResNet has fewer filters and costs less than VGG because it is residual.",
            "The paper says so of its plain network without shortcuts, too: they share the design. Its 'FLOPs' are "
            "multiply-adds, half of what profilers count.",
            "read: He et al. 2015",
        ),
        Correction(
            "SqueezeNet is smaller than 0.5 MB.",
            "Its weights as float32 take ten times that. It gets below 0.5 MB when they are compressed to 6 bits.",
            "second-hand: Iandola et al. 2016",
            pending="the size, from the network itself",
        ),
        Correction(
            "CNNs date from backpropagation, 1986.",
            "Fukushima's neocognitron (1980) had the layers, LeCun et al. (1989) trained them by backpropagation, "
            "which by itself makes no CNN.",
            "read: the introduction of Cireşan et al. 2011, for 1980",
        ),
    ),
    "Training": (
        Correction(
            "500 images in batches of 32 are 500 / 64 = 7.8 steps; or: an epoch is one batch.",
            "An epoch is one pass over all images. 500 of them are 16 batches of 32, the last of 20.",
            "computed",
            ("steps-of-32", "last-of-32", "epoch-is-a-batch"),
        ),
        Correction(
            "A larger batch has larger variance and needs more epochs, or: smaller variance and generalises better.",
            "The variance of its gradient falls as 1 / batch size. Studies did not find that it generalises better.",
            "computed; read: Keskar et al. 2016; Masters and Luschi 2018 and Shallue et al. 2018, abstracts",
            ("batch-variance",),
            "what the batch size does to accuracy",
        ),
        Correction(
            "The full batch is fastest; and mini-batches are fastest.",
            "It depends on what is counted. A step of the full batch is the most exact; a pass over the images or a "
            "second brings more with smaller ones, up to a size that depends on the task.",
            "read: Shallue et al. 2018, abstract",
            pending="steps, epochs and seconds to a target, by batch size",
        ),
        Correction(
            "A high learning rate gets stuck in local minima, so it must be low.",
            "A high rate keeps the steps noisy, and they bounce rather than settle; lowering it lets them settle.",
            "read: an account of Smith 2018; claims decided by our runs",
            ("low-avoids-traps", "drop-settles"),
        ),
        Correction(
            "Momentum and SGD are optimizers that adapt the learning rate.",
            "They step in proportion to the (averaged) gradient. Adagrad, RMSprop, Adadelta and Adam adapt the rate to "
            "each weight.",
            "computed; second-hand: Wilson et al. 2017",
            ("momentum-adapts",),
        ),
        Correction(
            "Vanishing gradients make weights jump past the optimum; exploding ones cannot find a direction.",
            "The other way round: exploding gradients make the jumps, vanishing ones hardly say where to go.",
            "second-hand: Goodfellow et al. 2016, sec. 8.2.5",
            pending="how far the steps jump in deep networks",
        ),
    ),
    "Overfitting and data": (
        Correction(
            "Against overfitting, lower the coefficient of L2.",
            "Raise it: a larger coefficient pulls the weights harder towards 0.",
            "definition; read: cs231n",
            pending="the gap between training and test accuracy, by coefficient",
        ),
        Correction(
            "Against underfitting, add images.",
            "Give the network more capacity, or train it longer. More images help against overfitting.",
            "definition",
            pending="learning curves by number of images and capacity",
        ),
        Correction(
            "L1 keeps the N largest weights and deletes the others.",
            "It pulls all weights equally hard towards 0, and the small ones get there first. There is no N.",
            "computed",
            ("l1-keeps-largest",),
        ),
        Correction(
            "With dropout, the larger the learning rate, the larger the weights should be.",
            "With dropout one may take a larger rate, and limits the weights' norm so that they do not grow too large.",
            "read: course notes; second-hand: Srivastava et al. 2014, app. A",
        ),
        Correction(
            "95% training accuracy shows that the network can learn the task.",
            "It shows that it can store the training set. Large networks learn random labels just as well.",
            "second-hand: Zhang et al. 2017",
            pending="training accuracy on true and on shuffled labels",
        ),
        Correction(
            "Splitting the data prevents overfitting.",
            "It detects overfitting. What prevents some is more data, augmentation or regularization.",
            "definition",
        ),
        Correction(
            "After a z-score the data are normally distributed.",
            "They have mean 0 and standard deviation 1, and the shape they had before.",
            "computed",
            ("z-score-is-normal",),
        ),
        Correction(
            "Shrinking images from 1000 to 200 pixels a side does not change what is recognised.",
            "Accuracy falls with resolution: on ImageNet, in one benchmark, from 56.5% at 224 pixels to 30.9% at 64.",
            "read: caffenet-benchmark",
            pending="accuracy by resolution",
        ),
        Correction(
            "Preparing images beforehand means less to send to the GPU.",
            "Images turned into float32 are four times as large as the bytes they were.",
            "computed",
            ("preparing-shrinks",),
        ),
    ),
    "Frameworks": (
        Correction(
            "80% of research, Google's included, uses PyTorch.",
            "It was more than 80% of the papers at three conferences of 2021 that named their framework. Google's own "
            "research uses TensorFlow and JAX.",
            "read: a count of papers by Horace He",
        ),
        Correction(
            "In PyTorch, a tensor must be wrapped in a Variable to have a gradient.",
            "Not since version 0.4, which made the two one.",
            "read: PyTorch 0.4.0 release notes",
        ),
    ),
}
