"""Tunesmith: supervised tuning of code models on one's own machines. Importing this package loads nothing else.

`tunesmith.init` and `tunesmith.language_models` are loaded when they are first asked for, so that
`import tunesmith as vertexai` is all that a script changes.
"""

from typing import TYPE_CHECKING

__all__ = ["__version__", "init", "language_models"]
__version__ = "0.1.0"

if TYPE_CHECKING:
    import tunesmith.language_models as language_models
    from tunesmith.default_client import init as init
else:

    def __getattr__(name):
        import importlib

        if name == "init":
            return importlib.import_module("tunesmith.default_client").init
        if name == "language_models":
            return importlib.import_module("tunesmith.language_models")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
