"""A hostile repository becomes a data set: nothing of it runs, nothing leaks, every file is accounted for."""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from git_places import begun, committed, git
from made_codebase import make_codebase
from planted_secrets import planted
from tunesmith.data.check import check
from tunesmith.data.codebase.git import Git
from tunesmith.data.codebase.ledger import reasons
from tunesmith.folder import verify

DIGESTS = 300


def build(repo: Path, output: Path, *options: str, home: Path, **environment: str) -> dict[str, Any]:
    """Runs the command in a process of its own; the manifest that it prints."""
    command = [sys.executable, "-m", "tunesmith.cli", "data", "build", str(repo), "--output", str(output), "--json"]
    env = {**os.environ, "TUNESMITH_HOME": str(home), **environment}
    done = subprocess.run([*command, *options], env=env, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@functools.cache
def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


class Made:
    """The repository, and what was built of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repo = begun(root / "shop")
        self.ran = root / "ran"
        self.secrets = planted(11)
        make_codebase(self.repo)
        self._plant()
        self.digests = _digests(self.repo)
        self.commit = committed(self.repo, self._others())
        self._set_traps()
        self.output = root / "data"
        self.manifest = build(self.repo, self.output, home=root / "home")
        self.ledger = lines(self.output / "ledger.jsonl")
        self.rows = lines(self.output / "rows.jsonl")

    def row(self, origin: dict[str, Any]) -> dict[str, Any]:
        return lines(self.output / origin["file"])[origin["line"] - 1]

    def of(self, path: str) -> dict[str, Any]:
        (line,) = [line for line in self.ledger if line["path"] == path]
        return line

    def _plant(self) -> None:
        for secret in self.secrets:
            path = self.repo / secret.file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(secret.source_text, "utf-8")

    def _others(self) -> dict[str, bytes]:
        own = sorted((self.repo / "src").rglob("*.py"))
        self.copied = own[0].relative_to(self.repo).as_posix()
        text = own[0].read_text("utf-8")
        renamed = re.sub(r"\b(order|invoice|parcel|depot|route|driver|limit\w*)\b", r"\1_of_ours", text)
        gpl = "# SPDX-License-Identifier: GPL-3.0-only\n" + own[1].read_text("utf-8").replace("def ", "def gpl_")
        copies = {f"copies/copy_{number:03d}.py": own[2].read_bytes() for number in range(60)}
        return copies | {
            "pyproject.toml": b'[project]\nname = "shop"\nlicense = "MIT"\n',
            "near/reformatted.py": ("# taken over\n\n" + text.replace("    ", "  ").replace(" = ", "  =  ")).encode(),
            "near/renamed.py": renamed.encode(),
            "gpl/strict.py": gpl.encode(),
            "a/__init__.py": b'"""Orders."""\n\nfrom a.orders import open_order, shut_order\n',
            "b/__init__.py": b'"""Routes."""\n\nfrom b.routes import find_route, name_route\n',
            "long_line.py": b"x = '" + b"a" * 10_000_000 + b"'\n",
            "deep.py": b"x = " + b"[a,\n" * 3000 + b"]" * 100 + b"\n",
            "broken.py": b"def f(:\n  ) = 3 ( class\n" * 40,
            "generated_pb2.py": b"x = 1\n",
            "node_modules/left/pad.js": b"module.exports = 1;\n",
            "logo.png": b"\x89PNG\r\n\x1a\n\0\0\0",
            "latin.py": "# caf\xe9\nx = 1\n".encode("latin-1"),
            "odd\nname.py": b"def f():\n    return 1\n",
            "model.bin": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            ".gitattributes": b"*.bin filter=lfs\n*.py filter=evil\n",
        }

    def _set_traps(self) -> None:
        """What would write a file if anything of the repository ran."""
        program = self.root / "evil.sh"
        program.write_text(f"#!/bin/sh\ntouch {self.ran}\ncat\n")
        program.chmod(0o755)
        for hook in ("post-checkout", "pre-commit", "fsmonitor-watchman", "reference-transaction"):
            shutil.copy(program, self.repo / ".git" / "hooks" / hook)
        (self.repo / "passwd.py").symlink_to("/etc/passwd")
        (self.repo / "loop").symlink_to("loop")
        git(self.repo, "add", "--all")
        git(self.repo, "-c", "core.hooksPath=/nowhere", "commit", "--quiet", "--message", "links")
        for name, value in {
            "core.fsmonitor": str(program),
            "core.sshCommand": str(program),
            "core.pager": str(program),
            "filter.evil.smudge": str(program),
            "filter.evil.clean": str(program),
            "filter.lfs.process": str(program),
            "uploadpack.packObjectsHook": str(program),
            "remote.origin.url": f"ext::{program}",
        }.items():
            git(self.repo, "config", name, value)
        self.ran.unlink(missing_ok=True)


def _digests(repo: Path) -> list[str]:
    """Writes a file of digests and identifiers, as code has them."""
    draw = random.Random(5)
    found = [uuid.UUID(int=draw.getrandbits(128)).hex for _ in range(DIGESTS // 3)]
    found += [str(uuid.UUID(int=draw.getrandbits(128), version=4)) for _ in range(DIGESTS // 3)]
    found += [draw.randbytes(32).hex() for _ in range(DIGESTS // 3)]
    for number in range(0, DIGESTS, 20):
        names = [f"    'part-{at}.whl': '{found[at]}'," for at in range(number, number + 20)]
        text = "\n".join(
            ["def checksums():", '    """Digests of the parts that are shipped."""', "    return {", *names]
        )
        path = repo / "digests" / f"parts_{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{text}\n    }}\n", "utf-8")
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("build"))


def test_nothing_of_the_repository_runs(made: Made) -> None:
    assert not made.ran.exists()


def test_every_file_of_the_commit_is_in_the_ledger_once(made: Made) -> None:
    with Git(made.repo) as repository:
        listed = [entry.path for entry in repository.entries()]
    assert [line["path"] for line in made.ledger] == sorted(listed)


def test_a_file_is_used_and_has_rows_or_is_rejected_with_a_reason_that_is_explained(made: Made) -> None:
    for line in made.ledger:
        if line["status"] == "used":
            assert line["reason"] == ""
            assert sum(line["examples"].values()) > 0
        else:
            assert line["reason"] in reasons()
            assert line["examples"] == {}


def test_the_ledger_counts_every_row(made: Made) -> None:
    assert sum(sum(line["examples"].values()) for line in made.ledger) == len(made.rows)


def test_no_trace_of_a_planted_secret_is_in_any_file_of_the_output(made: Made) -> None:
    texts = {path.name: path.read_text("utf-8") for path in made.output.iterdir()}
    for secret in made.secrets:
        for trace in secret.traces:
            written = json.dumps(trace)[1:-1]
            for name, text in texts.items():
                assert trace not in text, (name, secret.kind, secret.form)
                assert written not in text, (name, secret.kind, secret.form)


def test_no_trace_of_a_planted_secret_is_in_the_cache(made: Made) -> None:
    held = b"".join(path.read_bytes() for path in (made.root / "home" / "cache").rglob("*") if path.is_file())
    for secret in made.secrets:
        assert not any(trace.encode() in held for trace in secret.traces if len(trace) > 12), secret.kind


def test_digests_and_identifiers_are_no_secrets(made: Made) -> None:
    redacted = sum(sum(line["redactions"].values()) for line in made.ledger if line["path"].startswith("digests/"))
    rejected = [line for line in made.ledger if line["path"].startswith("digests/") and line["reason"] == "secret"]
    assert rejected == []
    assert redacted <= 0.02 * DIGESTS


def test_near_copies_are_found_and_one_of_each_group_stays(made: Made) -> None:
    near = [made.of(path) for path in (made.copied, "near/reformatted.py", "near/renamed.py")]
    assert len({line["cluster"] for line in near}) == 1
    assert sorted(line["reason"] for line in near) == ["", "near-duplicate", "near-duplicate"]
    copies = [line for line in made.ledger if line["path"].startswith("copies/")]
    assert len({line["cluster"] for line in copies}) == 1
    assert sorted(line["reason"] for line in copies)[1:] == ["duplicate"] * 59


def test_no_cluster_has_rows_on_both_sides(made: Made) -> None:
    sides: dict[str, set[str]] = {}
    for line in made.ledger:
        if line["cluster"] and line["split"]:
            sides.setdefault(line["cluster"], set()).add(line["split"])
    assert all(len(own) == 1 for own in sides.values())


def test_no_folder_has_rows_on_both_sides(made: Made) -> None:
    sides: dict[str, set[str]] = {}
    for line in made.ledger:
        if line["split"]:
            sides.setdefault(line["path"].rpartition("/")[0], set()).add(line["split"])
    assert all(len(own) == 1 for own in sides.values())
    assert {"training", "evaluation"} == set().union(*sides.values())


def test_two_different_files_of_one_length_both_stay(made: Made) -> None:
    assert made.of("a/__init__.py")["bytes"] == made.of("b/__init__.py")["bytes"]
    assert not made.of("a/__init__.py")["cluster"]
    assert not made.of("b/__init__.py")["cluster"]


def test_a_stricter_licence_in_a_permissive_tree_is_left_out(made: Made) -> None:
    line = made.of("gpl/strict.py")
    assert (line["reason"], line["licence"]) == ("licence-not-allowed", "GPL-3.0-only")
    assert {line["licence"] for line in made.ledger if line["status"] == "used"} == {"MIT"}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("passwd.py", "symlink"),
        ("loop", "symlink"),
        ("long_line.py", "too-large"),
        ("deep.py", "unparsable"),
        ("broken.py", "unparsable"),
        ("generated_pb2.py", "generated"),
        ("node_modules/left/pad.js", "vendored"),
        ("logo.png", "binary"),
        ("latin.py", "encoding"),
        ("model.bin", "not-code"),
        ("pyproject.toml", "not-code"),
    ],
)
def test_what_is_no_code_of_people_has_its_reason(made: Made, path: str, reason: str) -> None:
    assert made.of(path)["reason"] == reason


def test_prefix_middle_and_suffix_are_the_file(made: Made) -> None:
    with Git(made.repo) as repository:
        texts = {entry.path: repository.read(entry).decode() for entry in repository.entries() if not entry.reason
                 and entry.path.startswith("src/")}  # fmt: skip
    holes = [origin for origin in made.rows if origin["kind"] == "fim" and origin["path"] in texts]
    assert len(holes) > 50
    whole = 0
    for origin in holes:
        row = made.row(origin)
        text = row["prefix"] + row["middle"] + row["suffix"]
        assert text.encode() == texts[origin["path"]].encode()[origin["start"] : origin["end"]]
        whole += text == texts[origin["path"]]
    assert whole == len(holes)  # these files are short


def test_held_out_holes_are_asked_prefix_first(made: Made) -> None:
    orders = {(origin["file"], made.row(origin).get("order", "psm")) for origin in made.rows if origin["kind"] == "fim"}
    assert {order for file, order in orders if file == "evaluation.jsonl"} <= {"psm"}
    assert {order for file, order in orders if file == "train.jsonl"} == {"psm", "spm"}


def test_signatures_of_other_files_stand_before_what_uses_them(made: Made) -> None:
    assert any("# Path: src/" in made.row(origin).get("context", "") for origin in made.rows if origin["kind"] == "fim")


@pytest.mark.parametrize("form", ["", "-chat"])
def test_tuning_takes_the_rows(made: Made, form: str) -> None:
    report = check(made.output / f"train{form}.jsonl", evaluation=made.output / f"evaluation{form}.jsonl").to_json()
    assert report["valid"], report["findings"]
    assert not [found for found in report["findings"] if "evaluation_row" in found["code"]]


def test_the_manifest_has_the_commit_and_the_hash_of_every_file(made: Made) -> None:
    assert made.manifest["source"] == {
        "kind": "git", "name": "shop", "revision": git(made.repo, "-c", "core.fsmonitor=false", "rev-parse", "HEAD"),
    }  # fmt: skip
    assert set(verify(made.output)["files"]) == {path.name for path in made.output.iterdir()} - {"manifest.json"}


def test_the_same_input_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    build(made.repo, tmp_path / "again", "--processes", "1", home=tmp_path / "home", PYTHONHASHSEED="77")
    for path in made.output.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_a_build_from_the_cache_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    build(made.repo, tmp_path / "again", home=made.root / "home")
    for path in made.output.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_what_changed_last_is_held_out_by_time(tmp_path: Path) -> None:
    repo = begun(tmp_path / "shop")
    make_codebase(repo, packages=5)
    committed(repo, {}, at="2024-01-01T00:00:00Z")
    newer = {path.relative_to(repo).as_posix(): path.read_bytes() + b"\n" for path in (repo / "src").rglob("*2.py")}
    committed(repo, {**newer, "pyproject.toml": b'[project]\nlicense = "MIT"\n'}, at="2025-06-01T00:00:00Z")
    build(repo, tmp_path / "data", "--split", "time", "--since", "2025-01-01", home=tmp_path / "home")
    sides = {line["path"]: line["split"] for line in lines(tmp_path / "data" / "ledger.jsonl") if line["split"]}
    assert {path for path, side in sides.items() if side == "evaluation"} <= set(newer)
    assert "evaluation" in sides.values()
    assert {side for path, side in sides.items() if path not in newer} == {"training"}


def test_rows_with_tasks_of_a_suite_are_taken_out(made: Made, tmp_path: Path) -> None:
    origin = next(origin for origin in made.rows if origin["kind"] == "instruction" and origin["file"] == "train.jsonl")
    code = made.row(origin)["output_text"]
    suite = tmp_path / "suite.jsonl"
    suite.write_text(json.dumps({"task_id": "T/1", "prompt": "def never_seen(): pass", "canonical_solution": code}))
    build(made.repo, tmp_path / "data", "--suite", str(suite), home=made.root / "home")
    taken_out = [line for line in lines(tmp_path / "data" / "overlap.jsonl") if line["why"] == "suite"]
    assert origin["path"] in {line["path"] for line in taken_out}
    kept = {(row["path"], row["unit"]) for row in lines(tmp_path / "data" / "rows.jsonl")}
    assert (origin["path"], origin["unit"]) not in kept


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("nowhere", "--output", "out"), "nowhere does not exist"),
        (("shop", "--output", "shop/data"), "lies in REPO"),
        (("linked", "--output", "linked/data"), "lies in REPO"),
        (("shop", "--output", "full"), "holds thesis.txt, which no build wrote"),
        (("shop", "--output", "other"), "holds manifest.json, which no build wrote"),
        (("shop", "--output", "added"), "holds notes.txt, which no build wrote"),
        (("shop", "--output", "out", "--split", "time"), "time needs --since"),
        (("shop", "--output", "out", "--since", "2025-01-01"), "give --split time"),
        (("shop", "--output", "out", "--evaluation-rows", "5"), "at least 10"),
        (("shop", "--output", "out", "--kinds", "poems"), "'poems' is not known"),
        (("shop", "--output", "out", "--limit", "a: longest=1"), "did you mean longest_line?"),
        (("shop", "--output", "out", "--licence-policy", "MITT"), "MIT"),
        (("shop", "--output", "out", "--suite", "none.jsonl"), "none.jsonl: no such file"),
        (("shop", "--output", "out", "--revision", "main"), "no git repository"),
        (("http://example.com/shop.git", "--output", "out"), "https"),
        (("shop", "--output", "out"), "give --licence-policy permissive,unknown"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_remedy(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.py").write_text("def f(x):\n    return x + 1\n")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / ".git").write_text("gitdir: ../shop")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for name, manifest in (("other", '["tunesmith"]'), ("added", '{"tunesmith": "1", "files": {}}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(manifest)
    (tmp_path / "added" / "notes.txt").write_text("mine")
    command = [sys.executable, "-m", "tunesmith.cli", "data", "build", *options, "--home", str(tmp_path / "home")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False, text=True)
    assert done.returncode == 2, done.stderr
    assert said in " ".join(done.stderr.split())
    assert all((tmp_path / name).read_text() == "mine" for name in ("full/thesis.txt", "added/notes.txt"))
    assert not (tmp_path / "out").exists()
