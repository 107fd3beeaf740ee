"""The house's rules, checked on the source: who may import whom, no cycles, no forbidden names, nothing at import.

The tables below are `docs/architecture.md`'s picture as data. When the work shows a better wall, move it, and change
the picture in the same commit.
"""

from __future__ import annotations

import ast
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"
FUNCTION_LINES = 60
MEDIAN_FUNCTION_LINES = 10

# Our own modules that an area may import, the first row that fits counting. `inside`: within functions, and for
# annotations, as well. A name stands for itself and what lies below it.
ROOT = (
    "errors", "catalog", "spec", "resources", "filters", "storage", "folder", "process", "pipeline", "settings",
    "model_card", "questions", "instances", "batch", "dataset", "fingerprint",
    "adapter_check", "cost",
)  # fmt: skip


class Row(NamedTuple):
    area: str
    may: tuple[str, ...]
    inside: tuple[str, ...] = ()


IMPORTS = (
    Row("errors", ()),
    Row("process", ()),
    Row("catalog", ("errors",)),
    Row("spec", ("errors", "catalog")),
    Row("resources", ("errors", "catalog", "spec")),
    Row("storage", ("errors",)),
    Row("folder", ("errors",)),
    Row("pipeline", ("spec", "resources")),
    Row("filters", ("errors",)),
    Row("settings", ("errors", "catalog")),
    Row("model_card", ("catalog", "spec")),
    Row("questions", ("spec",)),
    Row("instances", ("errors", "catalog")),
    Row("batch", ("catalog", "spec")),
    Row("dataset", ("spec",)),
    Row("adapter_check", ("errors",)),
    Row("cost", ("spec",)),
    Row("fingerprint", ("errors", "catalog", "folder")),
    Row("store", ("errors", "spec", "batch", "dataset", "resources", "filters", "pipeline", "settings", "store")),
    Row("migrations", ()),
    Row("data", ("errors", "spec", "batch", "dataset", "catalog", "instances", "storage", "folder", "data")),
    Row(
        "engine",
        ("errors", "spec", "batch", "catalog", "instances", "questions", "fingerprint", "cost", "storage", "folder",
         "process", "data", "engine"),
    ),
    Row("evals", ("errors", "spec", "folder", "data", "evals")),
    Row(
        "api",
        (*ROOT, "store", "data.formats", "data.check", "data.codebase.options", "data.codebase.client_source",
         "data.codebase.service_words", "api"),
    ),
    Row("work", (*ROOT, "store", "work")),
    Row("client", ("errors", "resources")),
    Row("answers", ()),
    Row("default_client", ("errors", "resources", "client")),
    Row("remote_jobs", ("errors", "resources", "client")),
    Row("language_models", ("errors", "resources", "catalog", "client", "answers", "default_client", "remote_jobs")),
    Row("printing", ("errors",)),
    Row(
        "remote",
        ("errors", "resources", "catalog", "watch", "client", "printing", "build_remotely"),
        ("cli", "banner", "flags", "spec", "data"),
    ),
    Row(
        "task",
        ("errors", "folder", "process"),
        ("catalog", "spec", "batch", "dataset", "storage", "data", "engine", "evals", "client"),
    ),
    Row("inspection", ("errors",), ("catalog", "spec", "cost", "fingerprint", "storage", "data", "engine")),
    Row("up", ("errors", "settings", "foreground"), ("api", "slow_clients")),
    Row("slow_clients", ()),
    Row("vertex_compat", ("errors", "resources")),
    Row("watch", ("errors", "folder", "pipeline")),
    Row("report", ("errors", "folder", "pipeline")),
    Row("flags", ("errors", "spec")),
    Row("doctor", ("catalog", "settings")),
    Row("banner", ("errors", "spec", "watch"), ("cost", "data", "engine")),
    Row("foreground", ("errors", "folder", "process", "settings", "watch"), ("store", "resources", "work")),
    Row("build_command", ("errors", "printing", "watch", "settings"), ("data",)),
    Row("build_remotely", ("errors", "resources", "client", "build_command"), ("cli", "data")),
    Row(
        "cli",
        ("errors", "catalog", "folder", "pipeline", "settings", "client", "watch", "printing", "build_command"),
        ("spec", "store", "resources", "work", "task", "api", "data", "engine", "evals", "banner", "doctor", "flags",
         "foreground", "report", "up", "remote"),
    ),
)  # fmt: skip

# Third parties, and those of the standard library that start something: the only modules that may import them.
THIRD_PARTIES = {
    "pydantic": ("spec", "batch", "questions", "flags", "resources", "api.*"),
    "obstore": ("storage",),
    "google_crc32c": ("storage",),
    "sqlalchemy": ("store.*", "migrations.*"),
    "alembic": ("store.database", "migrations.*"),
    "typer": ("cli", "flags", "remote", "build_command"),
    "uvicorn": ("up", "slow_clients", "engine.serve"),
    "h11": ("slow_clients",),
    "rich": ("cli", "printing", "watch", "report", "build_command"),
    "matplotlib": ("report",),
    "httpx": ("client", "engine.vllm", "api.predictions", "api.app", "work.executors", "work.deploy"),
    "fastapi": ("api.*", "engine.serve", "up"),
    "starlette": ("api.*",),
    "google": ("vertex_compat",),
    "vertexai": ("vertex_compat",),
    "aiohttp": ("vertex_compat",),
    "numpy": ("data.*", "engine.*"),
    "tree_sitter": ("data.codebase.parsing",),
    "pathspec": ("data.codebase.limits",),
    "detect_secrets": ("data.codebase.secret_scan",),
    "license_expression": ("data.codebase.spdx",),
    "jinja2": ("data.render", "data.template"),
    "tokenizers": ("data.render", "data.encoder", "engine.model", "engine.sentinels"),
    "torch": ("engine.*", "doctor"),
    "safetensors": ("engine.*",),
    "transformers": ("engine.*",),
    "peft": ("engine.*",),
    "huggingface_hub": ("engine.model",),
    "gguf": ("engine.model",),
    "tensorboard": ("engine.metrics", "api.board"),
    "subprocess": (
        "process",
        "up",
        "work.executors",
        "work.deploy",
        "engine.model",
        "engine.ranks",
        "engine.vllm",
        "evals.sandbox",
        "api.inspector",
        "data.codebase.git",
        "data.codebase.crew",
        "data.codebase.remote",
        "data.codebase.secret_engine",
    ),
    "multiprocessing": (),
    "asyncio": ("api.*", "slow_clients", "engine.serve", "engine.vllm"),
}

FORBIDDEN_NAMES = {"manager", "handler", "processor", "helper", "helpers", "base", "common", "utils", "util"}
FORBIDDEN_WORDS = {"iteration", "iterations", "sample", "samples", "record", "records", "config", "configs", "params"}
# Words of others that we have to use: what a base model is, and names that a library gives its arguments.
ALLOWED_NAMES = {"BaseModel"}


class Import(NamedTuple):
    module: str
    """Full name: what is imported, down to the module."""
    place: str
    """top, function, or types (under TYPE_CHECKING)."""
    line: int


def modules() -> list[str]:
    """Every module of ours, by its name without `tunesmith.`; packages by theirs."""
    found = []
    for path in sorted((SOURCE / "tunesmith").rglob("*.py")):
        parts = path.relative_to(SOURCE / "tunesmith").with_suffix("").parts
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return [name for name in found if name]


def path_of(module: str) -> Path:
    path = (SOURCE / "tunesmith").joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text("utf-8"))


@cache
def imports_of(module: str) -> tuple[Import, ...]:
    return tuple(_imports(tree_of(module), "top"))


def _imports(node: ast.AST, place: str) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, place, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"line {child.lineno}: a relative import"
            yield from (Import(_module(child.module or "", a.name), place, child.lineno) for a in child.names)
        else:
            yield from _imports(child, _place_in(child, place))


def _place_in(node: ast.AST, place: str) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return "function"
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        return "types"
    return place


def _module(package: str, name: str) -> str:
    """`from tunesmith import folder` imports tunesmith.folder; `from tunesmith.folder import sealed` that as well."""
    inside = f"{package}.{name}"
    return inside if package.startswith("tunesmith") and _exists(inside) else package


def _exists(module: str) -> bool:
    path = SOURCE.joinpath(*module.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def ours(found: Import) -> str | None:
    """The name without `tunesmith.`, of one of our modules."""
    return found.module.removeprefix("tunesmith.") if found.module.startswith("tunesmith.") else None


def lies_in(module: str, areas: tuple[str, ...]) -> bool:
    return any(module == area or module.startswith(f"{area}.") for area in areas)


MODULES = modules()


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_what_its_area_may(module: str) -> None:
    row = next((row for row in IMPORTS if lies_in(module, (row.area,))), None)
    assert row is not None, f"{module} is in no area of the table; give it a row"
    for found in imports_of(module):
        name = ours(found)
        if name is not None:
            may = row.may if found.place == "top" else row.may + row.inside
            assert lies_in(name, may), f"{path_of(module)}:{found.line} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_third_parties_are_imported_only_where_they_are_listed(module: str) -> None:
    for found in imports_of(module):
        package = found.module.partition(".")[0]
        if package in ("tunesmith", "__future__"):
            continue
        listed = THIRD_PARTIES.get(package)
        where = f"{path_of(module)}:{found.line} imports {package}"
        if listed is None:
            assert package in sys.stdlib_module_names, f"{where}, which is in no row of the table"
        else:
            assert any(fnmatchcase(module, pattern) for pattern in listed), where


def test_nobody_imports_a_module_that_imports_it() -> None:
    needs = {m: {ours(i) for i in imports_of(m) if i.place != "types"} & set(MODULES) for m in MODULES}
    while free := [module for module, needed in needs.items() if not needed & needs.keys()]:
        for module in free:
            del needs[module]
    assert needs == {}


@pytest.mark.parametrize("module", MODULES)
def test_nothing_bears_a_name_that_says_nothing(module: str) -> None:
    called = [module.rpartition(".")[2]]
    called += [node.name for node in ast.walk(tree_of(module)) if isinstance(node, ast.ClassDef)]
    for name in called:
        assert name in ALLOWED_NAMES or not words(name) & FORBIDDEN_NAMES, name


@pytest.mark.parametrize("module", MODULES)
def test_our_words_are_used(module: str) -> None:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            assert not words(node.name) & FORBIDDEN_WORDS, f"{path_of(module)}:{node.lineno} {node.name}"
        if isinstance(node, ast.arg) and node.arg != "_record":
            assert not words(node.arg) & FORBIDDEN_WORDS, f"{path_of(module)}:{node.lineno} {node.arg}"


def words(name: str) -> set[str]:
    """The words of a name, of either style: `read_Row` and `ReadRow` have the same."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


@pytest.mark.parametrize("module", MODULES)
def test_module_opens_with_what_it_is(module: str) -> None:
    assert ast.get_docstring(tree_of(module))


@pytest.mark.parametrize("module", MODULES)
def test_source_is_ascii(module: str) -> None:
    path_of(module).read_bytes().decode("ascii")


def functions() -> Iterator[tuple[str, int]]:
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{path_of(module)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def test_no_function_is_longer_than_a_page() -> None:
    assert [(name, lines) for name, lines in functions() if lines > FUNCTION_LINES] == []


def test_functions_are_short() -> None:
    assert statistics.median(lines for _, lines in functions()) <= MEDIAN_FUNCTION_LINES


def test_only_programs_read_the_environment() -> None:
    # cli reads the settings; the worker passes what a task needs; torchrun tells its ranks who they are; vertex_compat
    # runs in a user's script, where the variable is how the storage library is told of another host; vLLM gets ours.
    # default_client too is for users' scripts.
    readers = {m for m in MODULES if re.search(r"\bos\.(environ\b|getenv\()", _code(m))}
    assert readers <= {"cli", "work.worker", "engine.parallel", "engine.vllm", "vertex_compat", "default_client"}


def _code(module: str) -> str:
    """The module without its strings."""
    return "\n".join(ast.unparse(node) for node in ast.walk(tree_of(module)) if isinstance(node, ast.Attribute))


def test_only_the_command_line_prints() -> None:
    for module in MODULES:
        calls = [n for n in ast.walk(tree_of(module)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        prints = [call.lineno for call in calls if call.func.id == "print"]  # type: ignore[attr-defined]
        assert module in ("cli", "printing", "evals.jail", "evals.examining") or prints == [], (module, prints)


# What an import does, seen from a process of its own. Each group is what one kind of process imports.
HEAVY = {"torch", "transformers", "peft", "tokenizers", "tensorboard", "matplotlib", "ray", "pandas", "scipy"}
ROOT_MODULES = tuple(name for name in ROOT if name in MODULES)
GROUPS = {
    "spec": (ROOT_MODULES, HEAVY | {"numpy", "sqlalchemy"}),
    "data": (tuple(m for m in MODULES if m.split(".")[0] == "data"), HEAVY - {"tokenizers"} | {"sqlalchemy"}),
    "evals": (tuple(m for m in MODULES if m.split(".")[0] == "evals"), HEAVY | {"sqlalchemy"}),
    "inspection": (("inspection",), HEAVY | {"numpy", "pydantic", "sqlalchemy", "httpx"}),
    "task": (("task",), HEAVY | {"numpy", "pydantic", "sqlalchemy", "httpx"}),
    "work": (tuple(m for m in MODULES if m.split(".")[0] == "work"), HEAVY | {"numpy", "alembic", "fastapi", "jinja2"}),
    "api": (tuple(m for m in MODULES if m.split(".")[0] == "api"), HEAVY | {"numpy", "alembic"}),
    "cli": (("cli",), HEAVY | {"numpy", "sqlalchemy", "pydantic", "httpx", "jinja2"}),
}  # fmt: skip

PROBE = """
import json, os, sys, threading
before = dict(os.environ), os.getcwd(), threading.active_count()
sys.dont_write_bytecode = True
opened = []
def hook(event, arguments):
    if event == "open" and arguments[1] and set(str(arguments[1])) & set("wax+"):
        opened.append(str(arguments[0]))
    if event in ("socket.connect", "subprocess.Popen", "os.system", "os.fork"):
        opened.append(event)
sys.addaudithook(hook)
for name in json.loads(sys.argv[1]):
    __import__(name)
assert (dict(os.environ), os.getcwd(), threading.active_count()) == before
print(json.dumps({"loaded": sorted({m.partition(".")[0] for m in sys.modules}), "did": opened}))
"""


@pytest.mark.parametrize("group", GROUPS)
def test_import_loads_nothing_heavy_and_does_nothing(group: str, tmp_path: Path) -> None:
    names, forbidden = GROUPS[group]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", PROBE, json.dumps([f"tunesmith.{name}" for name in names])]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    said = json.loads(ran.stdout)
    assert set(said["loaded"]) & forbidden == set()
    assert said["did"] == []
    assert list(tmp_path.iterdir()) == []


def test_open_store_of_a_database_that_is_up_to_date_does_not_load_alembic(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tunesmith import settings, store;"
        "store.open_store(settings.Settings(pathlib.Path(sys.argv[1]))); print('alembic' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    said = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    assert said == ["True\n", "False\n"]


STARTS = {
    "api": """
import httpx, asyncio
from tunesmith.api.app import create_app
async def ask(app):
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
    async with app.router.lifespan_context(app), client:
        for path in ("/readyz", "/openapi.json", "/v1/projects/p/locations/us-central1/pipelineJobs"):
            assert (await client.get(path)).status_code == 200
asyncio.run(ask(create_app(settings)))
""",
    "work": """
import threading
from tunesmith.store import open_store
from tunesmith.work.worker import work
work(settings, open_store(settings), until_idle=True, stop=threading.Event())
""",
}


@pytest.mark.parametrize("program", STARTS)
def test_api_and_worker_do_their_work_without_anything_that_computes(program: str, tmp_path: Path) -> None:
    opening = (
        "import sys, pathlib; from tunesmith.settings import Settings; settings = Settings(pathlib.Path(sys.argv[1]))"
    )
    code = f"{opening}\n{STARTS[program]}\nprint(*{{m.partition('.')[0] for m in sys.modules}})"
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", code, str(tmp_path)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert not set(ran.stdout.split()) & (HEAVY | {"numpy"})


def test_no_two_test_files_have_one_name() -> None:
    # pytest imports a file by its name alone: two of one name cannot be run together.
    names = [path.name for path in (SOURCE.parent / "tests").rglob("test_*.py")]
    assert [name for name in sorted(set(names)) if names.count(name) > 1] == []
