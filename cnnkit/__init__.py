"""cnnkit: a laboratory for convolutional neural networks in Keras."""

__version__ = "0.1.0"
