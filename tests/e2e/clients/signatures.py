"""Prints, as JSON, what the Google SDK's language models take: class -> method -> [[name, kind, default], ...].

Runs where google-cloud-aiplatform is installed. `ga` and `preview` are its two modules.
"""

from __future__ import annotations

import importlib
import inspect
import json
import warnings

CLASSES = (
    "CodeGenerationModel",
    "CodeChatModel",
    "CodeChatSession",
    "TuningEvaluationSpec",
    "InputOutputTextPair",
    "ChatMessage",
    "TextGenerationResponse",
    "CountTokensResponse",
)
MODULES = {"ga": "vertexai.language_models", "preview": "vertexai.preview.language_models"}


def taken(function: object) -> list[list[str]] | None:
    """The parameters of a method; None of what is none."""
    if not callable(function):
        return None
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    # A default factory has no text that stays the same.
    return [
        [
            p.name,
            p.kind.name,
            "" if p.default is p.empty else "set" if "factory" in repr(p.default) else repr(p.default),
        ]
        for p in parameters
    ]


def methods_of(kind: type) -> dict[str, list[list[str]] | None]:
    """Every public method and property, and what makes an instance."""
    names = [name for name in dir(kind) if not name.startswith("_")]
    return {
        "__init__": taken(kind.__init__),
        **{name: taken(inspect.getattr_static(kind, name) and getattr(kind, name)) for name in names},
    }  # type: ignore[misc]


def surface(module: str) -> dict[str, dict[str, list[list[str]] | None]]:
    """What the classes of a module take."""
    found = importlib.import_module(module)
    return {name: methods_of(getattr(found, name)) for name in CLASSES if hasattr(found, name)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps({name: surface(module) for name, module in MODULES.items()}))
