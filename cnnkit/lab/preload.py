"""What every worker needs, imported once in the process they are forked from. Nothing in it may run an operation."""

from cnnkit.lab.startup import import_keras

import_keras()
