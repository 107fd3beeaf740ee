"""A git repository as hostile input: its files at a revision, under none of its settings. With the real git."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from git_places import begun, committed, git, made_tree, point_at_tree
from tunesmith.data.codebase import git as reading
from tunesmith.data.codebase import repository
from tunesmith.data.codebase.git import Git
from tunesmith.data.codebase.source import open_repository
from tunesmith.errors import DataLoss, FailedPrecondition, InvalidArgument, ResourceExhausted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return begun(tmp_path / "repo")


def contents(root: Path, revision: str = "") -> dict[str, bytes]:
    with open_repository(root, revision) as found:
        return {entry.path: found.read(entry) for entry in found.entries() if not entry.reason}


def test_what_was_committed_is_read_and_not_what_lies_there(root: Path) -> None:
    digest = committed(root, {"a.py": b"a = 1\r\n", "deep/er/b.go": b"", "\u00e9\n.py": b"\xff\x00"})
    (root / "a.py").write_bytes(b"changed")
    (root / "new.py").write_bytes(b"new")
    assert contents(root) == {"a.py": b"a = 1\r\n", "deep/er/b.go": b"", "\u00e9\n.py": b"\xff\x00"}
    with Git(root) as found:
        assert found.revision == digest


def test_a_revision_is_a_branch_a_tag_or_a_hash(root: Path) -> None:
    first = committed(root, {"a.py": b"1"})
    git(root, "tag", "--annotate", "--message", "t", "v1")
    committed(root, {"a.py": b"2"})
    git(root, "branch", "two")
    committed(root, {"a.py": b"3"})
    found = {name: contents(root, name)["a.py"] for name in ("main", "two", "v1", first, first[:10], "HEAD~1")}
    assert found == {"main": b"3", "two": b"2", "v1": b"1", first: b"1", first[:10]: b"1", "HEAD~1": b"2"}


def test_packed_and_bare_repositories_and_those_without_a_branch_are_read(root: Path, tmp_path: Path) -> None:
    first = committed(root, {"a.py": b"1"})
    committed(root, {"a.py": b"2"})
    git(root, "gc", "--quiet")
    git(tmp_path, "clone", "--quiet", "--bare", f"file://{root}", "bare")
    git(root, "checkout", "--quiet", first)
    assert contents(root) == {"a.py": b"1"}
    assert contents(tmp_path / "bare") == {"a.py": b"2"}


def test_nothing_that_its_settings_name_is_run(root: Path, tmp_path: Path) -> None:
    committed(root, {"a.py": b"1", ".gitattributes": b"* filter=evil diff=evil text=auto eol=crlf\n"})
    ran = tmp_path / "ran"
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\necho $0 >> {ran}\ncat\n")
    evil.chmod(0o755)
    (root / ".git" / "config").write_text(
        "[core]\n"
        f"\trepositoryformatversion = 1\n\tfsmonitor = {evil}\n\tsshCommand = {evil}\n\tpager = {evil}\n"
        f"\thooksPath = {tmp_path}\n\teditor = {evil}\n\taskPass = {evil}\n\tworktree = {tmp_path}\n"
        f'[filter "evil"]\n\tsmudge = {evil}\n\tclean = {evil}\n\tprocess = {evil}\n\trequired = true\n'
        f'[diff "evil"]\n\ttextconv = {evil}\n\tcommand = {evil}\n'
        f"[alias]\n\tls-tree = !{evil}\n\tcat-file = !{evil}\n\trev-parse = !{evil}\n"
        f"[uploadpack]\n\tpackObjectsHook = {evil}\n[credential]\n\thelper = !{evil}\n"
        f'[extensions]\n\tpartialClone = origin\n[remote "origin"]\n\turl = ext::{evil}\n\tpromisor = true\n'
        f"\tuploadpack = {evil}\n[include]\n\tpath = {evil}\n"
    )
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"):
        (root / ".git" / "hooks").mkdir(exist_ok=True)
        (root / ".git" / "hooks" / hook).symlink_to(evil)
    assert contents(root)["a.py"] == b"1"
    assert not ran.exists()


def test_object_that_is_not_there_is_not_fetched(root: Path, tmp_path: Path) -> None:
    committed(root, {"a.py": b"1", "b.py": b"2"})
    blob = git(root, "rev-parse", "HEAD:a.py")
    (root / ".git" / "config").write_text(
        "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tpartialClone = origin\n"
        f'[remote "origin"]\n\turl = ext::touch% {tmp_path}/fetched\n\tpromisor = true\n'
    )
    gone = root / ".git" / "objects" / blob[:2] / blob[2:]
    gone.rename(tmp_path / "blob")
    with pytest.raises(DataLoss):
        contents(root)
    assert not (tmp_path / "fetched").exists()


def test_links_and_submodules_are_listed_and_not_followed(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    committed(other, {"x.py": b"x"})
    git(root, "submodule", "--quiet", "add", f"file://{other}", "sub")
    (root / "link").symlink_to("/etc/passwd")
    committed(root, {"a.py": b"a"})
    with open_repository(root) as found:
        reasons = {entry.path: entry.reason for entry in found.entries()}
    assert reasons == {".gitmodules": "", "a.py": "", "link": "symlink", "sub": "submodule"}


def test_file_over_the_limit_is_listed_and_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed(root, {"long": b"12345", "short": b"1234"})
    monkeypatch.setattr(repository, "MAX_FILE_BYTES", 4)
    assert contents(root) == {"short": b"1234"}


@pytest.mark.parametrize("revision", ["nothing", "--upload-pack=touch x", "-h", "a..b", "HEAD:a.py", "@{-1}", "a\nb"])
def test_revision_that_is_no_commit_is_refused(root: Path, revision: str) -> None:
    committed(root, {"a.py": b"1"})
    with pytest.raises(InvalidArgument, match="has no commit"):
        open_repository(root, revision)


def test_repository_without_a_commit_is_refused(root: Path) -> None:
    with pytest.raises(InvalidArgument, match="has no commit 'HEAD'; it is empty"):
        open_repository(root)


def test_head_without_a_branch_is_told_with_the_branches_that_there_are(root: Path) -> None:
    committed(root, {"a.py": b"1"})
    git(root, "symbolic-ref", "HEAD", "refs/heads/gone")
    with pytest.raises(
        InvalidArgument, match="its HEAD names a branch that is not there; give --revision, such as main"
    ):
        open_repository(root)
    assert contents(root, "main") == {"a.py": b"1"}


def test_folder_without_revisions_takes_none(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="no git repository"):
        open_repository(tmp_path, "main")


def test_a_linked_worktree_is_a_folder_whose_git_is_not_followed(root: Path, tmp_path: Path) -> None:
    committed(root, {"a.py": b"1"})
    git(root, "worktree", "add", "--quiet", str(tmp_path / "linked"), "-b", "two")
    (tmp_path / "linked" / "new.py").write_bytes(b"2")
    found = contents(tmp_path / "linked")
    assert (found["a.py"], found["new.py"]) == (b"1", b"2")
    with pytest.raises(FailedPrecondition, match=r"a linked worktree or a submodule.*leave --revision out"):
        open_repository(tmp_path / "linked", "main")


def test_objects_of_another_repository_are_not_borrowed(root: Path, tmp_path: Path) -> None:
    committed(root, {"secret.py": b"another team's"})
    thief = tmp_path / "thief"
    thief.mkdir()
    git(thief, "init", "--quiet")
    committed(thief, {"a.py": b"a"})
    (thief / ".git" / "objects" / "info" / "alternates").write_text(f"{root}/.git/objects\n")
    (thief / ".git" / "HEAD").write_text(git(root, "rev-parse", "HEAD") + "\n")
    with pytest.raises(FailedPrecondition, match="borrows another repository's objects"):
        open_repository(thief)
    (thief / ".git" / "objects" / "info" / "alternates").unlink()
    (thief / ".git" / "objects" / "pack" / "p.pack").symlink_to(root / ".git" / "objects")
    with pytest.raises(FailedPrecondition, match="is a link"):
        open_repository(thief)


def test_name_that_is_a_link_is_no_name(root: Path, tmp_path: Path) -> None:
    committed(root, {"a.py": b"a"})
    (tmp_path / "elsewhere").write_text(git(root, "rev-parse", "HEAD") + "\n")
    (root / ".git" / "refs" / "heads" / "linked").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidArgument, match="has no commit 'linked'"):
        open_repository(root, "linked")


def test_nothing_is_left_behind(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed(root, {"a.py": b"a"})
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    contents(root)
    with pytest.raises(InvalidArgument):
        open_repository(root, "nothing")
    assert list(scratch.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_place_with_an_odd_name_is_read(tmp_path: Path) -> None:
    root = tmp_path / 'a "b" \\ \u00e9:#\n'
    root.mkdir()
    git(root, "init", "--quiet")
    committed(root, {"a.py": b"a"})
    assert contents(root) == {"a.py": b"a"}


def test_what_was_opened_stays_though_the_branch_is_moved(root: Path) -> None:
    first = committed(root, {"a.py": b"1"})
    with Git(root) as found:
        entries = found.entries()
        git(root, "checkout", "--quiet", "--orphan", "else")
        committed(root, {"a.py": b"2"})
        git(root, "branch", "--force", "main", "else")
        assert [found.read(entry) for entry in entries] == [b"1"]
        assert found.entries() == entries
        assert found.revision == first


def test_names_that_no_folder_could_have_are_listed_and_not_read(root: Path) -> None:
    committed(root, {"a.py": b"a", "b.py": b"b"})
    blob, other = git(root, "rev-parse", "HEAD:a.py"), git(root, "rev-parse", "HEAD:b.py")
    inner = made_tree(root, ("100644", b"x", blob))
    members = [("100644", name, blob) for name in (b"..", b"/etc/passwd", b"a/../../b", b"ok.py")]
    members += [("100644", b"ok.py", other), ("40000", b".GIT", inner), ("40000", b"..", inner)]
    point_at_tree(root, made_tree(root, *members))
    with open_repository(root) as found:
        entries = found.entries()
        assert [found.read(entry) for entry in entries if not entry.reason] == [b"a"]
    assert [(entry.path, entry.reason) for entry in entries] == [
        ("..", "unsafe-name"), ("../x", "unsafe-name"), (".GIT/x", "unsafe-name"), ("/etc/passwd", "unsafe-name"),
        ("a/../../b", "unsafe-name"), ("ok.py", ""), ("ok.py", "same-name"),
    ]  # fmt: skip


def test_tree_that_unfolds_to_ten_billion_files_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed(root, {"a.py": b"a"})
    tree = made_tree(root, ("100644", b"a", git(root, "rev-parse", "HEAD:a.py")))
    for _ in range(10):
        tree = made_tree(root, *(("40000", b"%d" % number, tree) for number in range(10)))
    point_at_tree(root, tree)
    monkeypatch.setattr(repository, "MAX_FILES", 10_000)
    with open_repository(root) as found, pytest.raises(ResourceExhausted, match="more than 10,000 files"):
        found.entries()
    monkeypatch.setattr(repository, "MAX_FILES", 1 << 60)
    monkeypatch.setattr(reading, "MAX_LIST_BYTES", 1 << 20)
    with open_repository(root) as found, pytest.raises(ResourceExhausted, match="lists of more than 1,048,576 bytes"):
        found.entries()


def test_file_too_deep_is_listed_and_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed(root, {"1/2/3/a.py": b"a", "1/2/b.py": b"b"})
    monkeypatch.setattr(repository, "MAX_DEPTH", 2)
    assert contents(root) == {"1/2/b.py": b"b"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of another process")
def test_git_has_a_limit_of_memory(root: Path) -> None:
    committed(root, {"a.py": b"a"})
    with Git(root) as found:
        found.read(found.entries()[0])
        assert found._objects is not None
        limits = resource.prlimit(found._objects.pid, resource.RLIMIT_AS)
    assert limits == (reading.MEMORY_BYTES, reading.MEMORY_BYTES)


def test_shallow_clone_is_read(root: Path, tmp_path: Path) -> None:
    committed(root, {"a.py": b"1"})
    committed(root, {"a.py": b"2"})
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{root}", "shallow")
    assert contents(tmp_path / "shallow") == {"a.py": b"2"}


def test_partial_clone_is_told_and_nothing_is_fetched(root: Path, tmp_path: Path) -> None:
    committed(root, {"a.py": b"1"})
    git(root, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "--quiet", "--bare", "--filter=blob:none", f"file://{root}", "partial")
    with pytest.raises(FailedPrecondition, match=r"partial clone: a\.py is not in it"):
        contents(tmp_path / "partial")


def test_commit_graph_is_not_believed(root: Path) -> None:
    committed(root, {"a.py": b"1"})
    git(root, "commit-graph", "write", "--reachable")
    graph = root / ".git" / "objects" / "info" / "commit-graph"
    tree = bytes.fromhex(git(root, "rev-parse", "HEAD^{tree}"))
    data = graph.read_bytes()
    assert tree in data
    graph.chmod(0o644)
    graph.write_bytes(data.replace(tree, bytes(20)))
    assert contents(root) == {"a.py": b"1"}
    with Git(root) as found:
        assert len(list(found.said("diff-tree", "-r", "-z", "--root", found.revision, limit_bytes=1 << 20))) == 3


def test_branches_in_a_form_not_read_are_told(root: Path) -> None:
    committed(root, {"a.py": b"1"})
    (root / ".git" / "reftable").mkdir()
    with pytest.raises(FailedPrecondition, match="git refs migrate"):
        open_repository(root)


def test_repository_with_long_hashes_is_read(tmp_path: Path) -> None:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "--quiet", "--object-format=sha256")
    digest = committed(root, {"a.py": b"1"})
    assert len(digest) == 64
    assert contents(root) == contents(root, digest) == {"a.py": b"1"}
