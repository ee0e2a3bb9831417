"""Networks: one file a paper, with the layers only it needs, and your own by `@register`.

A builder takes `input_shape`, `(height, width, channels)` in pixels, `num_classes`, at least 2, and arguments of its
own, or raises a ValueError. It returns an uncompiled `keras.Model`: float32 `(batch, *input_shape)`, scaled as the run
says -> logits `(batch, num_classes)`. Its docstring says parameters at 10 classes, shortest sides, and what departs.
"""

import importlib
import pkgutil

from cnnkit.models.digest import code_digest
from cnnkit.models.registry import check_args, create_model, get_builder, list_models, register, sketch_model, sketching

__all__ = ["check_args", "code_digest", "create_model", "get_builder", "list_models", "register", "sketch_model"]
__all__ += ["sketching"]

for _file in pkgutil.iter_modules(__path__):  # a paper's file registers its builders
    importlib.import_module(f"{__name__}.{_file.name}")
