"""When files were last changed, from histories that people and enemies write. With the real git."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from git_places import begun, committed, git
from tunesmith.data.codebase.git import Git
from tunesmith.data.codebase.history import changed_at, moment
from tunesmith.data.codebase.source import open_repository
from tunesmith.errors import FailedPrecondition, InvalidArgument

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SINCE = datetime(2023, 1, 1, tzinfo=UTC)
OLD, MIDDLE, NEW = "2020-01-01T00:00:00Z", "2023-06-01T00:00:00Z", "2024-01-01T00:00:00Z"
MIDDLE_S, NEW_S = 1685577600, 1704067200


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return begun(tmp_path / "repo")


def changes(root: Path, since: datetime = SINCE, revision: str = "") -> dict[str, int]:
    with open_repository(root, revision, since=since) as found:
        return changed_at(found, since)


def test_newest_commit_since_then_that_touched_a_file_counts(root: Path) -> None:
    committed(root, {"a.py": b"1", "old.py": b"1", "gone.py": b"1"}, at=OLD)
    committed(root, {"a.py": b"2", "deep/b.py": b"1", "gone.py": b"2"}, at=MIDDLE)
    (root / "gone.py").unlink()
    committed(root, {"deep/b.py": b"2"}, at=NEW)
    assert changes(root) == {"a.py": MIDDLE_S, "deep/b.py": NEW_S}
    assert changes(root, revision="HEAD~1") == {"a.py": MIDDLE_S, "deep/b.py": MIDDLE_S, "gone.py": MIDDLE_S}


def test_moment_itself_counts(root: Path) -> None:
    committed(root, {"a.py": b"1"}, at=OLD)
    committed(root, {"b.py": b"1"}, at=NEW)
    assert changes(root, datetime.fromtimestamp(NEW_S, UTC)) == {"b.py": NEW_S}


def test_what_came_from_a_branch_counts_with_its_own_time(root: Path) -> None:
    committed(root, {"a.py": b"1", "both.py": b"1\n"}, at=OLD)
    git(root, "checkout", "--quiet", "-b", "side")
    committed(root, {"early.py": b"1"}, at=OLD)
    committed(root, {"late.py": b"1", "both.py": b"2\n"}, at=MIDDLE)
    git(root, "checkout", "--quiet", "main")
    committed(root, {"both.py": b"3\n"}, at=MIDDLE)
    git(root, "merge", "--quiet", "--no-commit", "--strategy=ours", "side")
    (root / "early.py").write_bytes(b"1")
    (root / "late.py").write_bytes(b"1")
    committed(root, {"both.py": b"23\n"}, at=NEW)
    # The merge changed both.py alone against each of its parents.
    assert changes(root) == {"late.py": MIDDLE_S, "both.py": NEW_S}


def test_commit_with_a_wrong_clock_hides_none_behind_it(root: Path) -> None:
    committed(root, {"a.py": b"1"}, at=OLD)
    committed(root, {"b.py": b"1"}, at=NEW)
    for number in range(20):
        committed(root, {"c.py": str(number).encode()}, at=OLD)
    assert changes(root) == {"b.py": NEW_S}


def test_commit_of_the_future_is_taken(root: Path) -> None:
    committed(root, {"a.py": b"1"}, at=OLD)
    committed(root, {"b.py": b"1"}, at="@4102444800 +0000")
    assert changes(root) == {"b.py": 4102444800}


def test_names_come_out_as_those_of_the_entries(root: Path) -> None:
    digest = committed(root, {"a.py": b"1"}, at=OLD)
    names = {"a\nb.py": b"", ":100644 x": b"", digest: b"", "\u00e9.py": b"", '"q".py': b"", "b\udcff.py": b""}
    committed(root, names, at=NEW)
    with Git(root) as found:
        paths = {entry.path for entry in found.entries()}
    assert set(changes(root)) == paths - {"a.py"}
    assert "b\\xff.py" in paths


def test_renamed_file_is_a_new_one(root: Path) -> None:
    committed(root, {"a.py": b"1" * 100}, at=OLD)
    git(root, "mv", "a.py", "b.py")
    committed(root, {}, at=NEW)
    assert changes(root) == {"b.py": NEW_S}


def test_settings_of_the_repository_change_nothing(root: Path, tmp_path: Path) -> None:
    committed(root, {"a.py": b"1"}, at=OLD)
    committed(root, {"a.py": b"2", ".gitattributes": b"* diff=evil\n"}, at=NEW)
    (root / ".git" / "config").write_text(
        f'[diff "evil"]\n\ttextconv = touch {tmp_path}/ran\n\tcommand = touch {tmp_path}/ran\n'
        f"[diff]\n\texternal = touch {tmp_path}/ran\n\tignoreSubmodules = all\n[log]\n\tshowSignature = true\n"
        f"[gpg]\n\tprogram = touch {tmp_path}/ran\n[core]\n\tpager = touch {tmp_path}/ran\n\tquotePath = false\n"
    )
    assert changes(root) == {"a.py": NEW_S, ".gitattributes": NEW_S}
    assert not (tmp_path / "ran").exists()


def test_history_that_was_cut_is_told(root: Path, tmp_path: Path) -> None:
    committed(root, {"a.py": b"1"}, at=OLD)
    committed(root, {"b.py": b"1"}, at=MIDDLE)
    committed(root, {"c.py": b"1"}, at=NEW)
    git(tmp_path, "clone", "--quiet", "--depth=2", f"file://{root}", "shallow")
    with pytest.raises(FailedPrecondition, match="shallow clone that begins at 2023-06-01"):
        changes(tmp_path / "shallow")
    assert changes(tmp_path / "shallow", datetime(2023, 12, 1, tzinfo=UTC)) == {"c.py": NEW_S}


def test_moment_that_leaves_a_side_empty_is_refused(root: Path) -> None:
    committed(root, {"a.py": b"1"}, at=MIDDLE)
    committed(root, {"a.py": b"2"}, at=NEW)
    with pytest.raises(InvalidArgument, match=r"before 2023-01-01; its oldest commit is of 2023-06-01"):
        changes(root)
    with pytest.raises(InvalidArgument, match=r"since 2025-01-01; its newest commit is of 2024-01-01"):
        changes(root, datetime(2025, 1, 1, tzinfo=UTC))


def test_what_is_no_git_repository_has_no_history(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="leave --since out"):
        open_repository(tmp_path, since=SINCE)
    with open_repository(tmp_path) as found, pytest.raises(FailedPrecondition, match="has no history"):
        changed_at(found, SINCE)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2025-01-31", datetime(2025, 1, 31, tzinfo=UTC)),
        ("2025-01-31T12:00:00Z", datetime(2025, 1, 31, 12, tzinfo=UTC)),
        ("2025-01-31t12:00:00.5z", datetime(2025, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2025-01-31T12:00:00+02:00", datetime(2025, 1, 31, 10, tzinfo=UTC)),
        ("0001-01-01", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_moment_is_a_day_or_an_rfc_3339_time(text: str, found: datetime) -> None:
    assert moment(text, NOW) == found


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2025-02-30", "2025-1-1", "20250131", "2025-01-31 12:00:00Z", "2025-01-31T12:00:00", "@0", "1e9",
     "2025-W05", "0001-01-01T00:00:00+23:59", "2025-01-31T25:00:00Z", "--all", "\u0662\u0660\u0662\u0665-01-01"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is no date"):
        moment(text, NOW)


def test_moment_to_come_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="has not come yet"):
        moment("2026-06-02", NOW)


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidArgument):
        assert moment(text, NOW).utcoffset() is not None
