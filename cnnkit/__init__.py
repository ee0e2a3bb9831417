"""A laboratory for convolutional neural networks in Keras."""

from pathlib import Path

__version__ = "0.2.0"

_ABOVE = Path(__file__).resolve().parent.parent
# The repository that this package lies in, or None where it was installed without one.
CHECKOUT = _ABOVE if (_ABOVE / "pyproject.toml").is_file() and (_ABOVE / "notebooks" / "source").is_dir() else None
HOME = CHECKOUT or Path.cwd()  # where results/ and data/ are
