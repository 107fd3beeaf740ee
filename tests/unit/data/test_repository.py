"""A repository as hostile input: nothing outside of it is read, and nothing that lies in it is lost."""

from __future__ import annotations

import io
import os
import random
import socket
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tunesmith.data.codebase import archives, repository
from tunesmith.data.codebase.repository import Repository
from tunesmith.data.codebase.source import open_repository
from tunesmith.errors import DataLoss, InvalidArgument, NotFound, ResourceExhausted

SECRET = b"not of this repository"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "outside").write_bytes(SECRET)
    made = tmp_path / "repo"
    made.mkdir()
    return made


def reasons(found: Repository) -> dict[str, str]:
    """Path -> reason; every entry must have a path of its own."""
    entries = found.entries()
    assert [entry.path for entry in entries] == sorted({entry.path for entry in entries})
    return {entry.path: entry.reason for entry in entries}


def contents(found: Repository) -> dict[str, bytes]:
    return {entry.path: found.read(entry) for entry in found.entries() if not entry.reason}


def zipped(target: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target


def tarred(target: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(target, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target


def in_folder(target: Path, files: dict[str, bytes]) -> Path:
    root = target.with_suffix(".folder")
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


MAKERS = pytest.mark.parametrize(
    ("make", "name"), [(in_folder, "a.folder"), (zipped, "a.zip"), (tarred, "a.tar.gz")], ids=["folder", "zip", "tar"]
)


@MAKERS
def test_every_file_is_there_once_with_its_bytes(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    files = {"src/a.py": b"a = 1\r\n", "src/deep/er/b.go": b"", "README.md": b"\xff\x00"}
    with open_repository(make(tmp_path / name, files)) as found:
        assert contents(found) == files


@MAKERS
def test_the_one_folder_at_an_archives_top_is_no_part_of_the_paths(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    with open_repository(make(tmp_path / name, {"p-1.0/a.py": b"a", "p-1.0/b/c.py": b"c"})) as found:
        expected = {"p-1.0/a.py": b"a", "p-1.0/b/c.py": b"c"} if make is in_folder else {"a.py": b"a", "b/c.py": b"c"}
        assert contents(found) == expected


@MAKERS
def test_what_belongs_to_version_control_is_not_of_the_repository(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    files = {".git/config": b"[core]", "sub/.git/hooks/x": b"", "a.py": b"a", ".gitignore": b"", "git/b.py": b"b"}
    with open_repository(make(tmp_path / name, files)) as found:
        assert contents(found) == {"a.py": b"a", ".gitignore": b"", "git/b.py": b"b"}


@MAKERS
def test_file_over_the_limit_is_listed_and_not_read(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "MAX_FILE_BYTES", 4)
    with open_repository(make(tmp_path / name, {"long": b"12345", "short": b"1234"})) as found:
        assert reasons(found) == {"long": "too-large", "short": ""}


@MAKERS
def test_more_files_than_the_limit_are_refused(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "MAX_FILES", 3)
    place = make(tmp_path / name, {str(i): b"" for i in range(4)})
    with open_repository(place) as found, pytest.raises(ResourceExhausted, match="more than 3 files"):
        found.entries()


def test_links_pipes_and_sockets_of_a_folder_are_listed_and_not_opened(root: Path) -> None:
    (root / "file").symlink_to("/etc/passwd")
    (root / "folder").symlink_to("/etc")
    (root / "loop").symlink_to("loop")
    (root / "up").symlink_to("..")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(root, os.O_RDONLY)
        listening.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    with open_repository(root) as found:
        links = dict.fromkeys(("file", "folder", "loop", "up"), "symlink")
        assert reasons(found) == {**links, "pipe": "special-file", "socket": "special-file"}


def test_file_that_becomes_a_link_after_it_was_listed_is_not_read(root: Path) -> None:
    (root / "inner").mkdir()
    (root / "inner" / "a.py").write_bytes(b"a")
    (root / "b.py").write_bytes(b"b" * len(SECRET))
    with open_repository(root) as found:
        first, second = found.entries()
        (root / "b.py").unlink()
        (root / "b.py").symlink_to("../outside")
        (root / "inner").rename(root / "other")
        (root / "inner").symlink_to("other")
        for entry in (first, second):
            with pytest.raises(DataLoss, match=f"{entry.path} is not what it was"):
                found.read(entry)


def test_file_that_grows_or_becomes_a_pipe_after_it_was_listed_is_not_taken(root: Path) -> None:
    for name in ("grows", "pipe"):
        (root / name).write_bytes(b"a")
    with open_repository(root) as found:
        grows, pipe = found.entries()
        (root / "grows").write_bytes(b"ab")
        (root / "pipe").unlink()
        os.mkfifo(root / "pipe")
        for entry in (grows, pipe):
            with pytest.raises(DataLoss):
                found.read(entry)


def test_names_of_any_bytes_are_told_apart(root: Path) -> None:
    names = [b"new\nline.py", b"latin-\xe9.py", b"\xc3\xa9.py", b"e" * 255, b"Case.py", b"case.py", b" ", b"a\x1b[2J"]
    for number, name in enumerate(names):
        (Path(os.fsdecode(os.path.join(os.fsencode(root), name)))).write_text(str(number))
    with open_repository(root) as found:
        assert sorted(contents(found).values()) == sorted(str(i).encode() for i in range(len(names)))
        assert "latin-\\xe9.py" in reasons(found)


def test_folders_deeper_than_the_limit_are_one_entry(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "MAX_DEPTH", 2)
    (root / "a" / "b" / "c" / "d").mkdir(parents=True)
    for place in ("a", "a/b", "a/b/c", "a/b/c/d"):
        (root / place / "x.py").touch()
    with open_repository(root) as found:
        assert reasons(found) == {"a/x.py": "", "a/b/x.py": "", "a/b/c/": "too-deep"}


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "a\\..\\x", "C:x", "..", "a/.."])
@pytest.mark.parametrize("make", [zipped, tarred], ids=["zip", "tar"])
def test_member_whose_name_leads_out_of_its_archive_is_listed_and_not_read(
    tmp_path: Path, make: Callable[[Path, dict[str, bytes]], Path], name: str
) -> None:
    place = make(tmp_path / ("a.zip" if make is zipped else "a.tar.gz"), {name: b"x", "ok.py": b"ok", "b/c.py": b"c"})
    with open_repository(place) as found:
        assert contents(found) == {"ok.py": b"ok", "b/c.py": b"c"}
        assert "unsafe-name" in reasons(found).values()


def test_links_and_devices_of_an_archive_are_listed_and_not_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in {
            "s": tarfile.SYMTYPE,
            "h": tarfile.LNKTYPE,
            "f": tarfile.FIFOTYPE,
            "d": tarfile.CHRTYPE,
        }.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        link = zipfile.ZipInfo("s")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(link, "/etc/passwd")
    with open_repository(tmp_path / "a.tar") as found:
        assert reasons(found) == {"s": "symlink", "h": "hard-link", "f": "special-file", "d": "special-file"}
    with open_repository(tmp_path / "a.zip") as found:
        assert reasons(found) == {"s": "symlink"}


def test_two_members_of_one_name_are_two_entries_of_which_the_first_is_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in (("a.py", b"1"), ("./a.py", b"2"), ("b.py", b"3")):
            info = tarfile.TarInfo(name)
            info.size = 1
            archive.addfile(info, io.BytesIO(data))
    with open_repository(tmp_path / "a.tar") as found:
        assert [(entry.path, entry.reason) for entry in found.entries()] == [
            ("a.py", ""),
            ("a.py", "same-name"),
            ("b.py", ""),
        ]
        assert contents(found) == {"a.py": b"1", "b.py": b"3"}


def test_member_that_is_longer_than_it_says_is_not_taken(tmp_path: Path) -> None:
    place = zipped(tmp_path / "a.zip", {"a": b"0" * 100_000})
    data = place.read_bytes()
    lie = data.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lie != data
    place.write_bytes(lie)
    with open_repository(place) as found:
        (entry,) = found.entries()
        with pytest.raises(InvalidArgument, match=r"lies about the size|damaged"):
            found.read(entry)


def packed(target: Path, files: dict[str, bytes], method: int | str) -> Path:
    if isinstance(method, int):
        with zipfile.ZipFile(target, "w", method) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return target
    with tarfile.open(target, f"w:{method}") as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target


METHODS = {
    "stored.zip": zipfile.ZIP_STORED,
    "deflated.zip": zipfile.ZIP_DEFLATED,
    "bzip2.zip": zipfile.ZIP_BZIP2,
    "lzma.zip": zipfile.ZIP_LZMA,
    "a.tar": "",
    "a.tar.gz": "gz",
    "a.tar.bz2": "bz2",
    "a.tar.xz": "xz",
}


@pytest.mark.parametrize("name", METHODS)
def test_archive_with_any_byte_changed_or_cut_is_read_or_refused_with_its_name(tmp_path: Path, name: str) -> None:
    files = {"a.py": b"a = 1\n" * 50, "b/c.py": bytes(range(256))}
    whole = packed(tmp_path / name, files, METHODS[name]).read_bytes()
    with open_repository(tmp_path / name) as found:
        assert contents(found) == files
    dice, refused = random.Random(0), 0
    for _ in range(400):
        damaged = bytearray(whole)
        place = dice.randrange(len(damaged))
        damaged[place] ^= dice.randrange(1, 256)
        (tmp_path / name).write_bytes(damaged[:place] if dice.random() < 0.2 else damaged)
        try:
            with open_repository(tmp_path / name) as found:
                if ".tar" in name:  # a folder's name in a .zip is one bit away from a file's, without a checksum
                    assert len(found.entries()) == len(files)
                contents(found)
        except InvalidArgument as error:
            refused += name in error.message
    assert refused > 20


def test_member_packed_in_a_way_that_is_not_read_is_listed_with_the_others(tmp_path: Path) -> None:
    place = packed(tmp_path / "a.zip", {"a.py": b"a", "b.py": b"b"}, zipfile.ZIP_STORED)
    data = bytearray(place.read_bytes())
    for header, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(header) + at] = 97  # of the first member: WavPack
    place.write_bytes(data)
    with open_repository(place) as found:
        assert reasons(found) == {"a.py": "unreadable", "b.py": ""}
        assert contents(found) == {"b.py": b"b"}


def test_list_of_members_that_breaks_off_is_refused(tmp_path: Path) -> None:
    files = {"a.py": b"a", "b.py": b"b"}
    place = packed(tmp_path / "a.zip", files, zipfile.ZIP_STORED)
    data = bytearray(place.read_bytes())
    first, second = data.index(b"PK\x01\x02"), data.rindex(b"PK\x01\x02")
    data[-10:-6] = (second - first).to_bytes(4, "little")  # of the list, as its end says
    data[first:second] = b""
    place.write_bytes(data)
    with pytest.raises(InvalidArgument, match="breaks off"):
        open_repository(place)
    place = packed(tmp_path / "a.tar", files, "")
    data = bytearray(place.read_bytes())
    data[1024] ^= 1  # in the name of the second
    place.write_bytes(data)
    with open_repository(place) as found, pytest.raises(InvalidArgument, match="breaks off"):
        found.entries()


def test_archive_that_unpacks_to_more_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = packed(tmp_path / "a.tar.gz", {"bomb": bytes(5_000_000)}, "gz")
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 4_000_000)
    with open_repository(place) as found, pytest.raises(ResourceExhausted, match="holds more than 4,000,000 bytes"):
        found.entries()


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_file_that_is_no_archive_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no archive at all")
    with pytest.raises(InvalidArgument, match=f"{name} is damaged or no archive"):
        open_repository(tmp_path / name)


def test_place_that_is_no_repository_is_refused_with_what_would_be_one(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        open_repository(tmp_path / "nothing")
    (tmp_path / "a.rar").touch()
    with pytest.raises(InvalidArgument, match="neither a folder nor an archive"):
        open_repository(tmp_path / "a.rar")
