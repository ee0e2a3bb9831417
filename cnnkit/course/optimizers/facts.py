"""Facts: whose steps adapt to the gradient, what momentum adds up to, two surprises of Keras' Ftrl. Ledger 45-47."""

import keras
import numpy as np
from keras import ops, optimizers

from cnnkit.course.backprop.facts import step_ratio
from cnnkit.evidence.fact import Fact

LISTED = {"adadelta", "adagrad", "ftrl", "momentum", "rmsprop", "sgd"}  # as adaptive, by an article
OTHERS = {"adadelta", "adagrad", "adam", "adamw", "ftrl", "rmsprop"}
MAKERS = {
    "sgd": lambda rate: optimizers.SGD(rate),
    "momentum": lambda rate: optimizers.SGD(rate, momentum=0.9),
    "nesterov": lambda rate: optimizers.SGD(rate, momentum=0.9, nesterov=True),
    **{name.lower(): getattr(optimizers, name) for name in ("Adadelta", "Adagrad", "Adam", "AdamW", "Ftrl", "RMSprop")},
}


def adaptive():
    """Names of the optimizers that move a weight less than twice as far when its gradient is 128 times as large."""
    return {name for name, make in MAKERS.items() if step_ratio(make(0.125)) < 2}


def places(optimizer, start, *steps):
    """Where one weight stands at first and after each step, of a gradient and a learning rate: `(1 + steps,)`."""
    weight, visited = keras.Variable([start]), [start]
    for gradient, rate in steps:
        optimizer.learning_rate = rate
        optimizer.apply([ops.convert_to_tensor([gradient])], [weight])
        visited.append(float(weight.numpy()[0]))
    return np.array(visited)


def final_step(momentum, steps=200):
    """How long the last of many steps along a steady slope is, in lengths of the first."""
    moved = np.diff(places(optimizers.SGD(1.0, momentum=momentum), 0.0, *[(1.0, 0.125)] * steps))
    return round(moved[-1] / moved[0], 3)


FACTS = [
    Fact("steady-momentum", 45, "Along a steady slope, steps with momentum 0.9 grow to ten times the first.",
         lambda: final_step(0.9), "times the first step", 10, source="Goodfellow et al. 2016, sec. 8.3.2"),
    Fact("six-adapt", 47, "Adadelta, Adagrad, Ftrl, momentum, RMSprop and SGD adapt the learning rate.",
         lambda: len(adaptive() & LISTED), "of 6 step less than twice as far for 128 times the gradient", 6),
    Fact("others-adapt", 47, "Adadelta, Adagrad, Adam, AdamW, Ftrl and RMSprop adapt each weight's step.",
         lambda: len(adaptive() & OTHERS), "of 6 step less than twice as far for 128 times the gradient", 6,
         source="computed"),
    Fact("ftrl-keeps-start", 46, "Keras' Ftrl, like the others, begins at the weights that it was given.",
         lambda: round(places(optimizers.Ftrl(), 1.0, (2**-10, 1e-6))[1], 3),
         "of a weight is left by a first tiny step", lambda share: share > 0.5, source="computed"),
    Fact("ftrl-takes-schedules", 46, "Under Keras' Ftrl, as under others, a lower rate means shorter steps, no more.",
         lambda: round(np.divide(*places(optimizers.Ftrl(), 0.0, (1.0, 0.5), (0.0, 0.25))[:0:-1]), 6),
         "of a weight is left when the rate is halved, without any gradient", 1, source="computed"),
]  # fmt: skip
