"""A digest of a builder's code: an edited notebook cell, or another value of a global it reads, is another network."""

import ast
import dis
import functools
import hashlib
import importlib.util
import inspect
import sys
import textwrap
import types

import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))
_METHODS = (types.FunctionType, classmethod, staticmethod)


def code_digest(builder):
    """Digest a function's code and all that it reaches: functions and classes of its author, constants, globals.

    Comments, docstrings, formatting and the place in a file do not count; what installed packages hold counts by its
    name only. Globals count by their values at the time of the call. The digest is the same in every process and on
    every machine, as long as the source can be read there.

    Args:
        builder: A Python function.
    Returns:
        String, a sha256 in hexadecimal.
    """
    return _Walk().digest(builder)


class _Walk:
    def __init__(self):
        self.known = {}  # id -> (value, digest); the value is kept, so that no other takes its id

    def digest(self, value):
        if isinstance(value, _PLAIN):
            return _hash(type(value).__name__, repr(value))
        if id(value) not in self.known:
            name = getattr(value, "__name__", type(value).__name__)
            self.known[id(value)] = value, f"again {name}"  # what it is inside itself
            self.known[id(value)] = value, _hash(*self.parts(value))
        return self.known[id(value)][1]

    def parts(self, value):
        """Return what makes a value what it is, as strings."""
        kind = type(value).__name__
        if isinstance(value, (list, tuple)):
            return [kind, *map(self.digest, value)]
        if isinstance(value, dict):
            return [kind, *(self.digest(item) for pair in value.items() for item in pair)]
        if isinstance(value, (set, frozenset)):
            return [kind, *sorted(map(self.digest, value))]
        if isinstance(value, (np.ndarray, np.generic)):
            if value.dtype.hasobject:
                return [kind, self.digest(value.tolist())]
            return [kind, str(value.dtype), str(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
        if isinstance(value, types.ModuleType):
            return [kind, value.__name__]
        if isinstance(value, (types.FunctionType, type)) and not _is_own(value.__module__):
            return [kind, f"{value.__module__}.{value.__qualname__}"]
        if isinstance(value, types.FunctionType):
            return [kind, *self.function(value)]
        if isinstance(value, type):
            # `__module__`, `__doc__` and their like are no part of what it does.
            own = {k: v for k, v in vars(value).items() if not k.startswith("__") or isinstance(v, _METHODS)}
            return [kind, *map(self.digest, value.__bases__), *map(self.digest, sorted(own.items()))]
        if isinstance(value, types.CodeType):  # without its source
            constants = [constant for constant in value.co_consts if not isinstance(constant, str)]
            texts = sorted(constant for constant in value.co_consts if isinstance(constant, str))
            return [kind, value.co_code.hex(), *value.co_names, *map(self.digest, [constants, texts])]
        if isinstance(value, types.CellType):
            return [kind, self.digest(value.cell_contents)]
        if isinstance(value, _METHODS) or hasattr(value, "__wrapped__"):  # functools.cache and such
            return [kind, self.digest(inspect.unwrap(value))]
        if isinstance(value, property):
            return [kind, *map(self.digest, (value.fget, value.fset))]
        if hasattr(value, "get_config"):  # of Keras; a layer's name counts up in a process
            weights = value.get_weights() if hasattr(value, "get_weights") else None
            return [kind, *map(self.digest, (type(value), _without_names(value.get_config()), weights))]
        try:
            reduced = value.__reduce_ex__(4)  # what pickle would write
        except Exception:  # whatever a class raises that cannot be pickled
            return [kind]
        if isinstance(reduced, str):
            return [kind, getattr(value, "__module__", None) or "", reduced]
        return [kind, *(self.digest(list(part) if hasattr(part, "__next__") else part) for part in reduced)]

    def function(self, function):
        """Return a function's code, defaults and captured values, and the globals it reads."""
        parts = [_source(function) or self.digest(function.__code__)]
        parts += map(self.digest, (function.__defaults__, function.__kwdefaults__, function.__closure__))
        for name, attributes in sorted(_globals_read(function.__code__).items()):
            if name not in function.__globals__:
                continue  # a builtin, or a name that is not there yet
            value = function.__globals__[name]
            parts += [name, self.digest(value)]
            if isinstance(value, types.ModuleType) and _is_own(value.__name__):
                parts += [self.digest((key, vars(value)[key])) for key in sorted(attributes & vars(value).keys())]
        return parts


def _hash(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _source(function):
    """Return a function's source without comments, docstrings and layout, or None where it has none of its own."""
    if function.__name__ == "<lambda>":  # its source is the whole line, which may hold two
        return None
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function.__code__)))
    except (OSError, TypeError, SyntaxError):
        return None
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        if documented and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _globals_read(code):
    """Return the global names that code and the code inside it read, each with all attribute names in there."""
    codes = [code]
    for outer in codes:
        codes += [constant for constant in outer.co_consts if isinstance(constant, types.CodeType)]
    attributes = {name for each in codes for name in each.co_names}
    loaded = (step for each in codes for step in dis.get_instructions(each))
    return {step.argval: attributes for step in loaded if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"}}


@functools.cache
def _is_own(module):
    """Whether a module is somebody's own work, whose code counts: not Python's, nor that of an installed package."""
    root = (module or "builtins").partition(".")[0]
    if root == "cnnkit":
        return not module.startswith("cnnkit.models.registry")  # it knows all models
    if root in {"__main__", "__mp_main__"}:
        return True
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        spec = None
    places = f"{getattr(spec, 'origin', '')} {getattr(spec, 'submodule_search_locations', '')}"
    return root not in sys.stdlib_module_names and "site-packages" not in places and "dist-packages" not in places


def _without_names(config):
    if isinstance(config, dict):
        return {key: _without_names(value) for key, value in config.items() if key != "name"}
    return [_without_names(value) for value in config] if isinstance(config, (list, tuple)) else config
