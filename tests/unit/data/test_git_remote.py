"""Repositories on servers, as hostile as their contents. With the real git, over real https to this machine."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from git_places import (
    Server,
    answer,
    begun,
    certificate,
    committed,
    git,
    made_tree,
    on_command,
    point_at_tree,
    serving,
    stand_in_ssh,
)
from tunesmith.data.codebase import remote
from tunesmith.data.codebase.history import changed_at
from tunesmith.data.codebase.repository import Repository
from tunesmith.data.codebase.source import open_repository
from tunesmith.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TunesmithError,
    Unauthenticated,
    Unavailable,
)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl, which makes the server's certificate, is not on this machine")
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def server(tmp_path: Path, signed: Path) -> Iterator[Server]:
    with serving(tmp_path, signed) as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return begun(tmp_path / "repo")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    made = tmp_path / "scratch"
    made.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(made))
    return made


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that fetch."""
    found: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            if more.get("start_new_session"):
                found.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    return found


def contents(found: Repository) -> dict[str, bytes]:
    with found:
        return {entry.path: found.read(entry) for entry in found.entries() if not entry.reason}


def fetched(server: Server, signed: Path, revision: str = "", **more: Any) -> Repository:
    return open_repository(f"{server.url}/repo/.git", revision, certificates=signed, network="any", **more)


def assert_nothing_is_left(scratch: Path, started: list[subprocess.Popen[bytes]]) -> None:
    assert list(scratch.iterdir()) == []
    assert started
    for process in started:
        while group_of(process.pid):  # what was killed may take its time to go
            time.sleep(0.01)


def group_of(leader: int) -> list[str]:
    """The processes of a group, without those that have ended and wait to be noticed."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            name, _, rest = path.read_text().rpartition(")")
            state, _, group, *_ = rest.split()
            if int(group) == leader and state not in "ZX":
                found.append(name)
    return found


def test_default_branch_is_fetched_without_its_history(server: Server, signed: Path, root: Path) -> None:
    committed(root, {"a.py": b"1"})
    digest = committed(root, {"a.py": b"2\r\n", "deep/er/b.go": b"", "\u00e9\n.py": b"\xff\x00"})
    git(root, "branch", "other", "HEAD~1")
    with fetched(server, signed) as found:
        assert isinstance(found, remote.Remote)
        assert found.revision == digest
        assert found.cut_at == {digest}
        assert contents(found) == {"a.py": b"2\r\n", "deep/er/b.go": b"", "\u00e9\n.py": b"\xff\x00"}


def test_revision_is_a_branch_a_tag_or_a_full_hash(server: Server, signed: Path, root: Path) -> None:
    first = committed(root, {"a.py": b"1"})
    git(root, "tag", "--annotate", "--message", "t", "v1.0")
    committed(root, {"a.py": b"2"})
    git(root, "branch", "b/two")
    last = committed(root, {"a.py": b"3"})
    names = ("main", "b/two", "v1.0", "refs/tags/v1.0", first, last)
    found = {name: contents(fetched(server, signed, name))["a.py"] for name in names}
    assert list(found.values()) == [b"3", b"2", b"1", b"1", b"1", b"3"]


def test_what_was_fetched_stays_though_the_branch_is_moved(server: Server, signed: Path, root: Path) -> None:
    first = committed(root, {"a.py": b"1"})
    with fetched(server, signed) as found:
        entries = found.entries()
        git(root, "checkout", "--quiet", "--orphan", "else")
        committed(root, {"a.py": b"2"})
        git(root, "branch", "--force", "main", "else")
        assert [found.read(entry) for entry in entries] == [b"1"]
        assert isinstance(found, remote.Remote)
        assert found.revision == first


def test_name_that_is_not_there_is_told_with_those_that_are(server: Server, signed: Path, root: Path) -> None:
    digest = committed(root, {"a.py": b"1"})
    with pytest.raises(InvalidArgument, match="no branch or tag 'mian'; give another, such as main,"):
        fetched(server, signed, "mian")
    with pytest.raises(InvalidArgument, match="or a commit's full hash"):
        fetched(server, signed, digest[:10])
    with pytest.raises(InvalidArgument, match="has no commit '0123456789"):
        fetched(server, signed, "0123456789" * 4)


def test_repository_without_a_commit_or_a_default_branch_is_told(server: Server, signed: Path, root: Path) -> None:
    with pytest.raises(InvalidArgument, match="is empty"):
        fetched(server, signed)
    committed(root, {"a.py": b"1"})
    git(root, "symbolic-ref", "HEAD", "refs/heads/gone")
    with pytest.raises(InvalidArgument, match=r"no default branch: .* such as main"):
        fetched(server, signed)
    assert contents(fetched(server, signed, "main")) == {"a.py": b"1"}


def test_tag_of_something_else_than_a_commit_is_refused(server: Server, signed: Path, root: Path) -> None:
    committed(root, {"a.py": b"1"})
    git(root, "tag", "blob", "HEAD:a.py")
    with pytest.raises(InvalidArgument, match="has no commit 'blob'"):
        fetched(server, signed, "blob")


@pytest.mark.parametrize(
    "revision",
    ["--upload-pack=touch x", "-h", "+main", "a:b", "HEAD~1", "v1^{}", "a..b", "@{-1}", "a\nb", "ref*", "a b", "^x",
     "@", "a.lock", "x/", "\u00e9\x7f"],
)  # fmt: skip
def test_revision_that_is_no_name_never_reaches_git(
    revision: str, server: Server, signed: Path, started: list[Any]
) -> None:
    with pytest.raises(InvalidArgument, match="no name on a server"):
        fetched(server, signed, revision)
    assert started == []
    assert server.asked == []


def test_certificate_that_nobody_known_signed_is_refused(server: Server, root: Path) -> None:
    committed(root, {"a.py": b"1"})
    with pytest.raises(PermissionDenied, match=r"certificate is not right.*--certificates"):
        open_repository(f"{server.url}/repo/.git", network="any")
    assert server.asked == []


def test_certificate_of_another_host_is_refused(server: Server, signed: Path, root: Path) -> None:
    committed(root, {"a.py": b"1"})
    with pytest.raises(PermissionDenied, match="certificate is not right"):
        open_repository(f"{server.url.replace('localhost', '127.0.0.1')}/repo/.git", certificates=signed, network="any")
    assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(status: int, server: Server, signed: Path, root: Path) -> None:
    committed(root, {"a.py": b"1"})

    def elsewhere(request: BaseHTTPRequestHandler) -> None:
        answer(request, status, Location=request.path.replace("/moved", "/repo"))

    server.answers["/moved"] = elsewhere
    with pytest.raises(InvalidArgument, match="sends on to another address"):
        open_repository(f"{server.url}/moved/.git", certificates=signed, network="any")
    assert [path for path in server.asked if not path.startswith("/moved")] == []


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, Unauthenticated, "use an ssh URL with --ssh-key"),
        (403, PermissionDenied, "ask who runs it"),
        (404, NotFound, "look at the URL"),
        (500, Unavailable, "try again"),
    ],
)
def test_refusal_of_a_server_is_told_in_our_words(
    status: int, error: type[TunesmithError], words: str, server: Server, signed: Path
) -> None:
    def refusal(request: BaseHTTPRequestHandler) -> None:
        answer(request, status, WWW_Authenticate="Basic realm=x")

    server.answers["/"] = refusal
    with pytest.raises(error, match=words) as raised:
        fetched(server, signed)
    assert "git said: " in raised.value.message


def test_page_that_is_no_repository_is_told(server: Server, signed: Path) -> None:
    def page(request: BaseHTTPRequestHandler) -> None:
        answer(
            request,
            200,
            b"<html><body>Welcome to the pages of nobody in particular</body></html>\n",
            Content_Type="text/html",
        )

    server.answers["/"] = page
    with pytest.raises(NotFound, match="is no repository"):
        fetched(server, signed)


def test_server_that_does_not_stop_sending_is_stopped(
    server: Server, signed: Path, scratch: Path, started: list[Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(root, {"a.py": b"1"})
    monkeypatch.setattr(remote, "MAX_FETCHED_BYTES", 1 << 22)

    def endless(request: BaseHTTPRequestHandler) -> None:
        begin_pack(request, b"PACK\0\0\0\2\0\0\0\1\xbf\x80\x80\x80\x80\x10")  # one blob, of more than 2**38 bytes
        packed = zlib.compressobj(0)
        while not server.stopped.is_set():
            write_pack(request, packed.compress(bytes(1 << 15)))

    server.answers["/repo/.git/git-upload-pack"] = on_command(b"fetch", root.parent, endless)
    with pytest.raises(ResourceExhausted, match="sends more than 4,194,304 bytes"):
        fetched(server, signed)
    assert_nothing_is_left(scratch, started)


def test_server_that_falls_silent_is_left(
    server: Server, signed: Path, scratch: Path, started: list[Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(root, {"a.py": b"1"})
    monkeypatch.setattr(remote, "TIME_LIMIT_S", 0.3)
    server.answers["/repo/.git/git-upload-pack"] = lambda request: server.stopped.wait() and None
    with pytest.raises(Unavailable, match="is not done; clone it yourself"):
        fetched(server, signed)
    assert_nothing_is_left(scratch, started)


def test_nothing_is_left_when_interrupted(
    server: Server, signed: Path, scratch: Path, started: list[Any], root: Path
) -> None:
    committed(root, {"a.py": b"1"})

    def interrupt(phase: str, share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetched(server, signed, progress=interrupt)
    assert_nothing_is_left(scratch, started)


def test_nothing_is_left_after_use_or_refusal(
    server: Server, signed: Path, scratch: Path, started: list[Any], root: Path
) -> None:
    committed(root, {"a.py": b"1"})
    contents(fetched(server, signed))
    with pytest.raises(InvalidArgument):
        fetched(server, signed, "gone")
    assert_nothing_is_left(scratch, started)


def test_progress_is_told_by_phase_and_share(server: Server, signed: Path, root: Path) -> None:
    committed(root, {f"{number}.py": b"x = 1\n" * number for number in range(50)})
    told: list[tuple[str, float]] = []
    fetched(server, signed, progress=lambda phase, share: told.append((phase, share))).close()
    assert {phase for phase, _ in told} >= {"counting objects", "receiving objects"}
    assert [share for phase, share in told if phase == "receiving objects"][-1] == 1.0
    assert all(0 <= share <= 1 for _, share in told)


def test_words_of_a_server_do_not_rule_the_terminal(server: Server, signed: Path, root: Path) -> None:
    committed(root, {"a.py": b"1"})

    def rude(request: BaseHTTPRequestHandler) -> None:
        begin_pack(request, b"")
        request.wfile.write(pkt_line(b"\2\x1b[2J\x9b31m\x07me:secret@example.com\n" + b"x" * 9000 + b"\n"))
        request.wfile.write(pkt_line(b"\3no\x1b]0;pwned\x07\n"))

    server.answers["/repo/.git/git-upload-pack"] = on_command(b"fetch", root.parent, rude)
    with pytest.raises(Unavailable) as raised:
        fetched(server, signed)
    said = raised.value.message
    assert said.isprintable()
    assert "secret" not in said
    assert len(said) < 2000


def plant(folder: Path) -> Path:
    """A program that leaves a file behind when it is run, by whatever name."""
    folder.mkdir()
    evil = folder / "evil"
    evil.write_text(f"#!/bin/sh\necho $0 >> {folder}/ran\ncat\n")
    evil.chmod(0o755)
    return evil


def test_nothing_that_a_repository_names_is_run(server: Server, signed: Path, root: Path, tmp_path: Path) -> None:
    evil = plant(tmp_path / "planted")
    files = {
        "a.py": b"1",
        ".gitattributes": b"* filter=evil diff=evil merge=evil text=auto eol=crlf\n*.bin filter=lfs\n",
        ".gitmodules": b'[submodule "s"]\n\tpath = s\n\turl = https://10.0.0.7/s\n',
        ".lfsconfig": f"[lfs]\n\turl = {server.url}/lfs\n".encode(),
        "b.bin": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n",
        "hooks/post-checkout": evil.read_bytes(),
        "config": f"[core]\n\tfsmonitor = {evil}\n".encode(),
    }
    committed(root, files)
    assert contents(fetched(server, signed)) == files
    assert [path for path in server.asked if "/repo/.git/" not in path] == []
    assert not (evil.parent / "ran").exists()


def test_nothing_that_the_users_settings_name_is_run(
    server: Server, signed: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed(root, {"a.py": b"1"})
    evil = plant(tmp_path / "planted")
    home = tmp_path / "home"
    (home / "template" / "hooks").mkdir(parents=True)
    for hook in ("reference-transaction", "post-checkout", "pre-auto-gc", "post-index-change"):
        (home / "template" / "hooks" / hook).symlink_to(evil)
    (home / ".gitconfig").write_text(
        f"[core]\n\tfsmonitor = {evil}\n\tsshCommand = {evil}\n\tgitProxy = {evil}\n\taskPass = {evil}\n"
        f"\talternateRefsCommand = {evil}\n\thooksPath = {home}/template/hooks\n"
        f"[init]\n\ttemplateDir = {home}/template\n[credential]\n\thelper = !{evil}\n"
        f'[url "ext::{evil} "]\n\tinsteadOf = https://\n[http]\n\tproxy = http://127.0.0.1:9\n\tsslVerify = false\n'
    )
    (home / ".netrc").write_text("machine localhost login me password secret\n")
    monkeypatch.setenv("HOME", str(home))
    for name, value in {
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": str(evil),
        "GIT_TEMPLATE_DIR": str(home / "template"),
        "GIT_ASKPASS": str(evil),
        "SSH_ASKPASS": str(evil),
        "GIT_PROXY_COMMAND": str(evil),
        "GIT_EXTERNAL_DIFF": str(evil),
        "GIT_TRACE2_EVENT": str(evil.parent / "ran"),
        "GIT_ALLOW_PROTOCOL": "ext:https",
        "GIT_SSL_NO_VERIFY": "1",
        "https_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    assert contents(fetched(server, signed)) == {"a.py": b"1"}
    with pytest.raises(PermissionDenied, match="certificate is not right"):
        open_repository(f"{server.url}/repo/.git", network="any")
    shown: list[str | None] = []

    def ask(request: BaseHTTPRequestHandler) -> None:
        shown.append(request.headers.get("Authorization"))
        answer(request, 401, WWW_Authenticate="Basic realm=x")

    server.answers["/secret"] = ask
    with pytest.raises(Unauthenticated):
        open_repository(f"{server.url}/secret", certificates=signed, network="any")
    assert set(shown) == {None}
    assert not (evil.parent / "ran").exists()


def test_host_that_was_looked_at_is_the_one_connected_to(
    server: Server, signed: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A name that only our look-up knows: were git to look it up once more, it would find nothing.
    committed(root, {"a.py": b"1"})
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
    url = server.url.replace("localhost", "git.example.invalid")
    with pytest.raises(PermissionDenied, match="does not match"):
        open_repository(f"{url}/repo/.git", certificates=signed, network="any")


def test_loopback_and_link_local_hosts_are_not_asked(server: Server, signed: Path, root: Path) -> None:
    committed(root, {"a.py": b"1"})
    with pytest.raises(PermissionDenied, match="this machine; allow it with --network any"):
        open_repository(f"{server.url}/repo/.git", certificates=signed)
    assert server.asked == []


def test_harm_in_a_tree_is_refused_and_an_old_slip_is_not(server: Server, signed: Path, root: Path) -> None:
    committed(root, {"a.py": b"1"})
    blob, tree = git(root, "rev-parse", "HEAD:a.py"), git(root, "rev-parse", "HEAD^{tree}")
    point_at_tree(root, tree, "a <a@b.c> 1300000000 +051800")
    assert contents(fetched(server, signed, since=datetime(2020, 1, 1, tzinfo=UTC))) == {"a.py": b"1"}
    point_at_tree(root, made_tree(root, ("100644", b"..", blob), ("100644", b"a.py", blob)))
    with pytest.raises(DataLoss, match="made to do harm"):
        fetched(server, signed)


def test_server_with_long_hashes_is_told(server: Server, signed: Path, root: Path) -> None:
    shutil.rmtree(root / ".git")
    git(root, "init", "--quiet", "--object-format=sha256")
    committed(root, {"a.py": b"1"})
    with pytest.raises(FailedPrecondition, match="SHA-256"):
        fetched(server, signed)


def test_history_is_fetched_when_asked_for(server: Server, signed: Path, root: Path) -> None:
    committed(root, {"a.py": b"1", "b.py": b"1"}, at="2020-01-01T00:00:00Z")
    committed(root, {"a.py": b"2"}, at="2024-01-01T00:00:00Z")
    since = datetime(2023, 1, 1, tzinfo=UTC)
    with fetched(server, signed, since=since) as found:
        assert changed_at(found, since) == {"a.py": 1704067200}
    with fetched(server, signed) as found, pytest.raises(FailedPrecondition, match="shallow clone"):
        changed_at(found, since)


SSH_URL = "ssh://git@10.0.0.7:2222"


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = stand_in_ssh(tmp_path / "programs")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_ssh_gets_a_key_a_checked_host_and_nothing_of_the_users(
    root: Path, tmp_path: Path, ssh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    digest = committed(root, {"a.py": b"1"})
    monkeypatch.setenv("PATH", str(ssh))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    monkeypatch.setenv("GIT_SSH_COMMAND", "false")
    key, hosts = tmp_path / "my key", tmp_path / "my hosts"
    key.touch()
    hosts.touch()
    with open_repository(f"{SSH_URL}{root}", ssh_key=key, known_hosts=hosts) as found:
        assert isinstance(found, remote.Remote)
        assert found.revision == digest
        assert contents(found) == {"a.py": b"1"}
    asked = (ssh / "arguments").read_text().splitlines()
    assert asked[asked.index("-F") + 1] == "/dev/null"
    assert asked[asked.index("-i") + 1] == str(key)
    assert {"-a", "-x"} < set(asked)
    assert {option[2:] for option in asked if option.startswith("-o")} >= {
        "BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "ProxyCommand=none",
        "PermitLocalCommand=no", "ClearAllForwardings=yes", "HostName=10.0.0.7", "HostKeyAlias=[10.0.0.7]:2222",
        f'UserKnownHostsFile="{hosts}"', "GlobalKnownHostsFile=/dev/null", "UpdateHostKeys=no",
    }  # fmt: skip
    assert asked[-2:] == ["git@10.0.0.7", f"git-upload-pack '{root}'"]
    environment = (ssh / "environment").read_text()
    assert "SSH_AUTH_SOCK" not in environment
    assert "GIT_ALLOW_PROTOCOL=ssh\n" in environment


@pytest.mark.parametrize(
    ("says", "error", "words"),
    [
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\\nHost key verification failed.\\n",
            PermissionDenied,
            "host key of 10.0.0.7 is not the one that is known",
        ),
        (
            "No ED25519 host key is known for [10.0.0.7]:2222 and you have requested strict checking.\\n"
            "Host key verification failed.\\n",
            FailedPrecondition,
            "ssh-keyscan -p 2222 10.0.0.7`",
        ),
        ("git@10.0.0.7: Permission denied (publickey).\\n", Unauthenticated, "as --ssh-key"),
        (
            "@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\\ngit@10.0.0.7: Permission denied (publickey).\\n",
            FailedPrecondition,
            "chmod 600",
        ),
        ("ERROR: Repository not found.\\n", NotFound, "look at the URL"),
        ("ssh: connect to host 10.0.0.7 port 22: Connection refused\\n", Unavailable, "try again"),
    ],
)
def test_what_ssh_says_is_told_in_our_words(
    says: str, error: type[TunesmithError], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(stand_in_ssh(tmp_path / "programs", says)))
    with pytest.raises(error) as raised:
        open_repository("ssh://git@10.0.0.7:2222/a/b")
    assert words in raised.value.message
    assert "git@10" not in raised.value.message


@pytest.mark.parametrize("name", ["a%h", 'a"b', "a$b", "a\\b", "a\nb"])
def test_file_whose_name_ssh_would_read_otherwise_is_refused(name: str, tmp_path: Path, ssh: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InvalidArgument, match="rename it"):
        open_repository(f"{SSH_URL}/a", ssh_key=tmp_path / name)
    with pytest.raises(InvalidArgument, match="rename it"):
        open_repository(f"{SSH_URL}/a", known_hosts=tmp_path / name)


def test_file_that_is_not_there_is_named(tmp_path: Path, ssh: Path) -> None:
    for url, option in ((SSH_URL, "ssh_key"), (SSH_URL, "known_hosts"), ("https://10.0.0.7", "certificates")):
        with pytest.raises(InvalidArgument, match="gone is no file"):
            open_repository(f"{url}/a", **{option: tmp_path / "gone"})  # type: ignore[arg-type]


def test_option_that_would_do_nothing_is_refused(root: Path) -> None:
    for place, option in (("https://10.0.0.7/a", "ssh_key"), ("git@10.0.0.7:a", "certificates"), (root, "ssh_key")):
        with pytest.raises(InvalidArgument, match="leave"):
            open_repository(place, **{option: root})  # type: ignore[arg-type]


class Sshd(NamedTuple):
    port: int
    key: Path
    known_hosts: Path


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None or shutil.which("ssh-keygen") is None:
        pytest.skip("the program sshd is not on this machine; what a stand-in can show is shown without it")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/user.pub\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    os.makedirs("/run/sshd", exist_ok=True)
    log = tmp_path / "sshd.log"
    process = subprocess.Popen([program, "-D", "-f", tmp_path / "sshd_config", "-E", log])
    while "listening" not in (log.read_text() if log.exists() else ""):
        assert process.poll() is None, log.read_text()
        time.sleep(0.01)
    known = tmp_path / "known_hosts"
    known.write_text(f"[localhost]:{port} {(tmp_path / 'host.pub').read_text()}")
    yield Sshd(port, tmp_path / "user", known)
    process.terminate()
    process.wait()


def over(sshd: Sshd, root: Path, **more: Any) -> Repository:
    url = f"ssh://{getpass.getuser()}@localhost:{sshd.port}{root}"
    return open_repository(url, network="any", **{"ssh_key": sshd.key, "known_hosts": sshd.known_hosts, **more})


def test_repository_is_fetched_over_real_ssh(sshd: Sshd, root: Path, tmp_path: Path) -> None:
    committed(root, {"a.py": b"1"})
    assert contents(over(sshd, root)) == {"a.py": b"1"}
    with pytest.raises(NotFound, match="is no repository"):
        over(sshd, tmp_path / "gone")


def test_host_key_is_checked_by_real_ssh(sshd: Sshd, root: Path, tmp_path: Path) -> None:
    committed(root, {"a.py": b"1"})
    other = tmp_path / "other"
    other.write_text(f"[localhost]:{sshd.port} {sshd.key.with_name('user.pub').read_text()}")
    with pytest.raises(PermissionDenied, match="somebody may stand between"):
        over(sshd, root, known_hosts=other)
    other.write_text("")
    with pytest.raises(FailedPrecondition, match=f"ssh-keyscan -p {sshd.port} localhost"):
        over(sshd, root, known_hosts=other)
    assert other.read_text() == ""


def test_key_is_needed_by_real_ssh(sshd: Sshd, root: Path) -> None:
    committed(root, {"a.py": b"1"})
    with pytest.raises(Unauthenticated, match="does not take the key"):
        over(sshd, root, ssh_key=sshd.key.with_name("host"))
    sshd.key.chmod(0o644)
    with pytest.raises(FailedPrecondition, match="chmod 600"):
        over(sshd, root)


def begin_pack(request: BaseHTTPRequestHandler, head: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/x-git-upload-pack-result")
    request.end_headers()
    request.wfile.write(pkt_line(b"packfile\n"))
    write_pack(request, head)


def write_pack(request: BaseHTTPRequestHandler, data: bytes) -> None:
    for start in range(0, len(data), 60_000):
        request.wfile.write(pkt_line(b"\1" + data[start : start + 60_000]))


def pkt_line(data: bytes) -> bytes:
    return f"{len(data) + 4:04x}".encode() + data
