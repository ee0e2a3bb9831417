"""What is wrong with a training run: symptom -> evidence -> advice. Needs no other part of cnnkit but figures' style.

`Diagnose`, the callback, is in `cnnkit.diagnostics.callback`: the rest reads histories without importing Keras.
"""

from cnnkit.diagnostics.reading import read_history
from cnnkit.diagnostics.rules import SYMPTOMS, diagnose
from cnnkit.diagnostics.telling import plot_diagnosis, tell_diagnosis

__all__ = ["SYMPTOMS", "diagnose", "plot_diagnosis", "read_history", "tell_diagnosis"]
