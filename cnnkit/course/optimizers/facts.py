"""Facts about optimizers. Ledger 47."""

import keras
from keras import ops

from cnnkit.evidence.fact import Fact


def step_ratio(optimizer):
    """How much further a step moves a weight whose gradient is 128 times as large."""
    weights = keras.Variable([0.0, 0.0])
    optimizer.apply([ops.convert_to_tensor([1.0, 128.0])], [weights])
    near, far = weights.numpy()
    return far / near


FACTS = [
    Fact("momentum-adapts", 47,
         "Momentum and plain gradient descent adapt the learning rate to each weight, as RMSprop and Adam do.",
         lambda: min(step_ratio(keras.optimizers.SGD(0.125, momentum=momentum)) for momentum in (0.0, 0.5)),
         "times the step for 128 times the gradient", lambda ratio: ratio < 2),
]  # fmt: skip
