"""A folder as `tunesmith data build` leaves it, without a repository: seeded, of any size, tame or hostile."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HOSTILE_NAMES = (
    "src/<script>alert(1)</script>.py",
    'src/"><img src=x onerror=alert(1)>.py',
    "src/\u202egnp.exe.py",
    "src/two\nlines\r.py",
    "src/\u2066half \ud800 of a pair\x1b[31m.py",
    "src/</pre></details><style>body{display:none}</style>.py",
    "src/" + "very-long-name-" * 60 + ".py",
    "src/&lt;b&gt; & 'quotes'.py",
    "src/\u05e9\u05dc\u05d5\u05dd.py",
)
HOSTILE_CODE = (
    "x = 1\n</code></pre><script>alert('row')</script>\n<!-- \u202e\u2066 turned \u2069 -->\n"
    '"<img src=https://example.org/x.png onerror=alert(1)>"\x00\x1b[2J\r\n\ud800 &lt;/pre&gt; ' + "\u200b" * 40 + "\n"
)
_NOUNS = (
    "order",
    "invoice",
    "session",
    "cache",
    "token",
    "index",
    "bucket",
    "stream",
    "client",
    "queue",
    "route",
    "user",
)
_VERBS = (
    "load",
    "parse",
    "merge",
    "close",
    "flush",
    "resolve",
    "encode",
    "verify",
    "render",
    "expire",
    "retry",
    "split",
)
_TOPS = (
    "src/core",
    "src/api",
    "src/storage",
    "src/web",
    "lib/http",
    "lib/text",
    "tools",
    "cmd/server",
    "tests",
    "docs",
)
_LANGUAGES = (("Python", "py", 46), ("TypeScript", "ts", 18), ("Go", "go", 12), ("C", "c", 6), ("Bash", "sh", 3),
              ("Rust", "rs", 2), ("Markdown", "md", 9), ("JSON", "json", 7), ("YAML", "yml", 5), ("CSS", "css", 3),
              ("", "dat", 4))  # fmt: skip
_CODE = {"Python", "TypeScript", "Go", "C", "Bash", "Rust"}
_REASONS = (("vendored", 18, "node_modules"), ("generated", 8, "_pb2.py"), ("minified", 4, "136 characters a line"),
            ("empty", 5, ""), ("encoding", 1, "byte 1042 is 0xe9"), ("data", 3, "18% letters"), ("too-large", 1, ""),
            ("symlink", 1, ""), ("unparsable", 2, "31% of the bytes"), ("licence-not-allowed", 7, "GPL-3.0-only"),
            ("licence-unknown", 5, ""), ("secret", 1, "private-key"), ("duplicate", 6, ""),
            ("near-duplicate", 11, ""), ("no-example", 6, ""))  # fmt: skip
_MIDDLES = ("expression", "statement", "block", "body", "arguments", "random")


def build_folder(folder: Path, *, files: int = 2500, seed: int = 4, hostile: bool = False, rows: bool = True) -> Path:
    """Fills `folder`; of `files` ledger lines about a third are of files that gave rows."""
    rng = random.Random(seed)
    ledger = [_ledger_line(rng, number) for number in range(files)]
    if hostile:
        for line, name in zip(ledger, HOSTILE_NAMES, strict=False):
            line["path"] = name
            line["detail"] = line["detail"] and name
    ledger.sort(key=lambda line: line["path"])
    _cluster(rng, ledger, folder)
    told, written = _rows(rng, ledger if rows else [], hostile)
    write_lines(folder / "ledger.jsonl", ledger)
    write_lines(folder / "rows.jsonl", told)
    for name, values in written.items():
        write_lines(folder / name, values)
    write_manifest(folder)
    return folder


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # ASCII: half characters are written as the escapes that JSON has for them.
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "ascii")


def write_manifest(folder: Path, **changed: Any) -> None:
    files = {}
    for path in sorted(folder.glob("*.jsonl")):
        data = path.read_bytes()
        files[path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "rows": data.count(b"\n")}
    manifest = {
        "format": 1,
        "tunesmith": "0.3.0",
        "templates": 1,
        "source": {"kind": "git", "name": "harbour", "revision": "5f3c0e9d2b7a41c86e0f9d53b1a7c24e88d0b6f1"},
        "options": {"kinds": ["instruction", "chat", "fim"], "licence_policy": "permissive", "evaluation_rows": 250,
                    "seed": 0, "fim": {"random_share": 0.1, "order": "both"}, "secrets": True},
        "files": files,
        "counts": {},
        "overlap": {"found": 0, "exact": 0, "near": 0, "rows_compared": 250},
        "decontamination": {"found": 2, "suites": {"humaneval": 164, "mbpp": 500}, "rows_dropped": 2},
        **changed,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")


def _ledger_line(rng: random.Random, number: int) -> dict[str, Any]:
    language, ending, _ = rng.choices(_LANGUAGES, [one[2] for one in _LANGUAGES])[0]
    top = rng.choices(_TOPS, [20, 14, 9, 12, 8, 5, 3, 4, 9, 2])[0]
    name = f"{rng.choice(_VERBS)}_{rng.choice(_NOUNS)}_{number}.{ending}"
    path = f"{top}/{rng.choice(_NOUNS)}/{name}"
    reason, detail = "", ""
    if language not in _CODE:
        reason, detail = "not-code", language
    elif rng.random() < 0.5:
        reason, _, detail = rng.choices(_REASONS, [one[1] for one in _REASONS])[0]
    licence = rng.choices(["MIT", "Apache-2.0", "BSD-3-Clause", ""], [60, 25, 8, 3])[0]
    licence = {"licence-not-allowed": rng.choice(["GPL-3.0-only", "AGPL-3.0-only"]), "licence-unknown": ""}.get(
        reason, licence
    )
    # Of a folder, nearly all files are in one split.
    kept_back = top in ("tools", "cmd/server") or rng.random() < 0.01
    return {
        "path": path, "status": "rejected" if reason else "used", "reason": reason, "detail": detail,
        "language": language, "licence": licence, "bytes": int(rng.lognormvariate(8.2, 1.1)),
        "sha256": hashlib.sha256(path.encode()).hexdigest(), "cluster": "",
        "split": "" if reason else "evaluation" if kept_back else "training", "examples": {},
        "left_out": {} if reason else {"fim": rng.choice([0, 0, 0, 2, 5])},
        "redactions": {} if reason or rng.random() < 0.97 else {rng.choice(["aws-access-key", "email", "jwt"]): 1},
    }  # fmt: skip


def _cluster(rng: random.Random, ledger: Sequence[dict[str, Any]], folder: Path) -> None:
    clusters: list[dict[str, Any]] = []
    used = [line for line in ledger if line["status"] == "used"] or list(ledger)
    for kind in ("exact", "near"):
        dropped = [line for line in ledger if line["reason"] == f"{kind}-duplicate"]
        rng.shuffle(dropped)
        while dropped:
            taken = [dropped.pop() for _ in range(min(len(dropped), rng.choice([1, 1, 1, 2, 3, 7, 24])))]
            kept, name = rng.choice(used), f"c{len(clusters) + 1:06}"
            members = [{"path": kept["path"], "similarity": 1.0}]
            for line in taken:
                line["cluster"] = name
                similar = 1.0 if kind == "exact" else round(rng.uniform(0.7, 0.995), 3)
                members.append({"path": line["path"], "similarity": similar})
            clusters.append({"cluster": name, "kind": kind, "kept": kept["path"], "members": members})
    write_lines(folder / "clusters.jsonl", clusters)


def _rows(
    rng: random.Random, ledger: Sequence[dict[str, Any]], hostile: bool
) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    told: list[dict[str, Any]] = []
    written: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("train.jsonl", "evaluation.jsonl", "train-chat.jsonl", "evaluation-chat.jsonl")
    }
    for line in ledger:
        if line["status"] != "used":
            continue
        made: Counter[str] = Counter()
        for kind in ("instruction", "chat", "fim", "fim", "fim"):
            if rng.random() < {"instruction": 0.8, "chat": 0.3, "fim": 0.9}[kind]:
                file = (
                    ("train" if line["split"] == "training" else "evaluation") + ("-chat" * (kind == "chat")) + ".jsonl"
                )
                unit = f"{rng.choice(_VERBS)}_{rng.choice(_NOUNS)}"
                middle, row = _row(rng, kind, line, unit, hostile)
                written[file].append(row)
                told.append({
                    "file": file, "line": len(written[file]), "kind": kind, "path": line["path"], "unit": unit,
                    "language": line["language"], "template": "" if kind == "fim" else f"{kind}/{rng.choice('112')}",
                    "middle": middle, "start": 0, "end": 100,
                })  # fmt: skip
                made[kind] += 1
        line["examples"] = dict(made)
    return told, written


def _row(
    rng: random.Random, kind: str, line: Mapping[str, Any], unit: str, hostile: bool
) -> tuple[str, dict[str, Any]]:
    code = _code(rng, unit, rng.choice([1, 1, 2, 3, 9]))
    if hostile:
        code = HOSTILE_CODE + code
    asked = (
        f"Write the {line['language']} function `{unit}` of {line['path']}. It is used by:\n{_code(rng, 'caller', 1)}"
    )
    answer = f"```{line['language'].lower()}\n{code}```"
    if kind == "instruction":
        return "", {"input_text": asked, "output_text": answer}
    if kind == "chat":
        turns = [
            asked,
            answer,
            "What happens when the argument is empty?",
            "It returns `None` before it reads anything.",
        ]
        authors = ("user", "assistant") * 2
        row = {"messages": [{"author": a, "content": c} for a, c in zip(authors, turns, strict=True)]}
        return "", {"context": "You write code for this repository.", **row}
    start = rng.randrange(len(code) // 2)
    end = start + rng.randrange(5, len(code) - start)
    fim = {"prefix": _code(rng, "before", rng.choice([1, 4])) + code[:start], "middle": code[start:end],
           "suffix": code[end:], "order": rng.choice(["psm", "psm", "spm"])}  # fmt: skip
    if rng.random() < 0.3:
        fim["context"] = f"# {line['path']}\n{_code(rng, 'neighbour', 1)}"
    return rng.choices(_MIDDLES, [20, 25, 15, 15, 10, 10])[0], fim


def _code(rng: random.Random, unit: str, paragraphs: int) -> str:
    lines = [f"def {unit}({rng.choice(_NOUNS)}, limit=10):", f'    """{unit.replace("_", " ").capitalize()}."""']
    for _ in range(paragraphs):
        noun, verb, other = rng.choice(_NOUNS), rng.choice(_VERBS), rng.choice(_NOUNS)
        lines += [f"    {noun} = {verb}_{other}(self.{other}, limit=limit)",
                  f"    if {noun} is None or len({noun}) < limit:",
                  f"        raise LookupError(f'no {noun} for {{{other}!r}}')",
                  f"    for key, value in {noun}.items():", f"        {other}[key] = {verb}(value)", ""]  # fmt: skip
    return "\n".join([*lines, f"    return {rng.choice(_NOUNS)}", "", ""])
