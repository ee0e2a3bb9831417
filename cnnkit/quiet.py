"""Import Keras without TensorFlow's start-up log, which no setting of TensorFlow 2.21 turns off."""

import os
import sys


def import_keras():
    """Import Keras and its backend with the process's standard error held shut for that moment; errors still raise."""
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # and its later notes: what matters is raised
    sys.stderr.flush()
    kept, devnull = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        import keras  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(devnull)
