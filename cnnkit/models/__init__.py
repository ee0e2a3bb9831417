"""Networks: one file a paper, with the layers only it needs, and your own by `@register`."""

import importlib
import pkgutil

from cnnkit.models.digest import code_digest
from cnnkit.models.registry import (
    check_args,
    check_network,
    create_model,
    get_builder,
    list_models,
    register,
    sketch_model,
    sketching,
)

__all__ = ["check_args", "check_network", "code_digest", "create_model", "get_builder", "list_models", "register"]
__all__ += ["sketch_model", "sketching"]

for _file in pkgutil.iter_modules(__path__):  # a paper's file registers its builders
    importlib.import_module(f"{__name__}.{_file.name}")
