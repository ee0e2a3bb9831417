"""What every worker needs, imported once in the process they are forked from. Nothing in it may run an operation."""

from cnnkit.quiet import import_keras

import_keras()

from cnnkit import training  # noqa: E402, F401
