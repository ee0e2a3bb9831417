"""A digest of a builder's code: an edited notebook cell, or another value of a global it reads, is another network."""

import ast
import dis
import functools
import hashlib
import inspect
import re
import sys
import textwrap
import types

import numpy as np

from cnnkit.models.registry import MAIN

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))
_METHODS = (types.FunctionType, classmethod, staticmethod)


def code_digest(builder):
    """Return the sha256 of a function's code and all that it reaches: its author's functions and classes, and globals.

    Comments, docstrings, layout and the place in a file do not count; what installed packages hold counts by its name
    only, globals by their values at this moment. Every process and machine that can read the source gets the same.
    """
    return _Walk().digest(builder)


class _Walk:
    def __init__(self):
        self.known = {}  # id -> (value, digest); the value is kept, so that no other takes its id

    def digest(self, value):
        if id(value) not in self.known:
            kind = type(value).__name__
            self.known[id(value)] = value, f"again {getattr(value, '__name__', kind)}"  # what it is inside itself
            text = "\0".join([kind, *self.parts(value)])
            self.known[id(value)] = value, hashlib.sha256(text.encode()).hexdigest()
        return self.known[id(value)][1]

    def parts(self, value):
        """Return what makes a value what it is, besides its type's name, as strings."""
        if isinstance(value, _PLAIN):
            return [repr(value)]
        if isinstance(value, (list, tuple)):
            return map(self.digest, value)
        if isinstance(value, dict):
            return [self.digest(item) for pair in value.items() for item in pair]
        if isinstance(value, (set, frozenset)):
            return sorted(map(self.digest, value))
        if isinstance(value, (np.ndarray, np.generic)) and not value.dtype.hasobject:
            return [str(value.dtype), str(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
        if isinstance(value, types.ModuleType):
            return [value.__name__]
        if isinstance(value, (types.FunctionType, type)) and not _is_own(value.__module__):
            return [f"{value.__module__}.{value.__qualname__}"]
        if isinstance(value, types.FunctionType):
            return self.function(value)
        if isinstance(value, type):  # `__module__`, `__doc__` and their like are no part of what it does
            own = {k: v for k, v in vars(value).items() if not k.startswith("__") or isinstance(v, _METHODS)}
            return map(self.digest, [*value.__bases__, *sorted(own.items())])
        if isinstance(value, types.CodeType):  # without its source
            constants = [constant for constant in value.co_consts if not isinstance(constant, str)]
            texts = sorted(constant for constant in value.co_consts if isinstance(constant, str))
            return [value.co_code.hex(), *value.co_names, self.digest(constants), self.digest(texts)]
        if isinstance(value, types.CellType):
            return [self.digest(value.cell_contents)]
        if isinstance(value, _METHODS) or hasattr(value, "__wrapped__"):  # functools.cache and such
            return [self.digest(inspect.unwrap(value))]
        if isinstance(value, property):
            return [self.digest(value.fget), self.digest(value.fset)]
        if hasattr(value, "get_config"):  # of Keras; a layer's name counts up in a process
            weights = getattr(value, "get_weights", lambda: None)()
            return map(self.digest, [type(value), _without_names(value.get_config()), weights])
        try:
            reduced = value.__reduce_ex__(4)  # what pickle would write
        except Exception:  # whatever a class raises that cannot be pickled
            return []
        if isinstance(reduced, str):
            return [getattr(value, "__module__", None) or "", reduced]
        return [self.digest(list(part) if hasattr(part, "__next__") else part) for part in reduced]

    def function(self, function):
        """Return a function's code, defaults and captured values, and the globals it reads."""
        parts = [_source(function) or self.digest(function.__code__)]
        parts += map(self.digest, (function.__defaults__, function.__kwdefaults__, function.__closure__))
        codes = [function.__code__]
        for code in codes:  # and the code inside it
            codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        steps = [step for code in codes for step in dis.get_instructions(code)]
        names = {step.argval for step in steps if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"}}
        attributes = {name for code in codes for name in code.co_names}
        for name in sorted(names & function.__globals__.keys()):  # not builtins, nor what is not there yet
            value = function.__globals__[name]
            parts += [name, self.digest(value)]
            if isinstance(value, types.ModuleType) and _is_own(value.__name__):
                parts += [self.digest((key, vars(value)[key])) for key in sorted(attributes & vars(value).keys())]
        return parts


def _source(function):
    """Return a function's source without comments, docstrings and layout, or None where it has none of its own."""
    if function.__name__ == "<lambda>":  # its source is the whole line, which may hold two
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function.__code__)))
    except (OSError, TypeError, SyntaxError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


@functools.cache
def _is_own(module):
    """Whether a module is somebody's own work, whose code counts: not Python's, nor that of an installed package."""
    root = (module or "builtins").partition(".")[0]
    if root in {"cnnkit", *MAIN}:
        return not module.startswith("cnnkit.models.registry")  # it knows all models
    places = f"{getattr(sys.modules.get(root), '__file__', '')} {getattr(sys.modules.get(root), '__path__', '')}"
    return root not in sys.stdlib_module_names and not re.search("(site|dist)-packages", places)


def _without_names(config):
    if isinstance(config, dict):
        return {key: _without_names(value) for key, value in config.items() if key != "name"}
    return [_without_names(value) for value in config] if isinstance(config, (list, tuple)) else config
