"""A git repository on a server, fetched over https or ssh into an empty repository of ours; removed at the end.

In: an address, what the user gave to reach it, a revision. Out: the same files as of a repository on this machine. What
is fetched is one branch, tag or commit, alone or with all that led to it. Neither the server nor the repository has a
say in what runs here: no settings but ours, no password is asked for, no other place is followed to, only the host
looked at is connected to, its certificate or host key must be right, and time, bytes and memory are limited. Proxies
are not used.
"""

from __future__ import annotations

import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tunesmith.data.codebase import git
from tunesmith.data.codebase.addresses import Address, Network, ips_of
from tunesmith.data.codebase.complaints import error_of
from tunesmith.data.codebase.git import DEFAULT_REVISION, Commit
from tunesmith.data.codebase.repository import shown
from tunesmith.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, TunesmithError, Unavailable

MAX_FETCHED_BYTES = 8 << 30
"""Of all that is written while fetching. The largest public histories have 5 GB; without history it is the files."""
TIME_LIMIT_S = 3_600.0
SILENCE_S = 120
"""After which a server that sends nothing is given up. Busy ones send a sign of life every 5 seconds."""
Progress = Callable[[str, float], None]
"""Called with a phase, such as `receiving objects`, and the share of it that is done."""

_ASKED = "refs/tunesmith/asked"
_POLL_S = 0.2
_CHUNK_BYTES = 1 << 16
_KEPT_LINES = 20
_LINE_CHARS = 300
_SHOWN_NAMES = 10
_SAID_BYTES = 1 << 20
_PROGRESS = re.compile(
    r"(?:remote: )?(Counting objects|Compressing objects|Receiving objects|Resolving deltas): +(\d{1,3})%"
)
_NAME = re.compile(r"(?!.*(?:\.\.|@\{|//|/\.))[^-+./\x00-\x20\x7f:^~?*\[\\][^\x00-\x20\x7f:^~?*\[\\]{0,250}")
"""git check-ref-format(1), and nothing that would make a refspec another one."""
_ODD = re.compile(r"[%$\"\\\x00-\x1f\x7f]")
"""What ssh reads in a path as something else."""

# Real histories have these, from tools of long ago; none of them changes which bytes are read.
_FORGIVEN = (
    "badDate", "badDateOverflow", "badEmail", "badName", "badTimezone", "missingEmail", "missingNameBeforeEmail",
    "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "missingTaggerEntry", "multipleAuthors",
    "zeroPaddedDate", "zeroPaddedFilemode",
)  # fmt: skip
_SETTINGS = (
    "fetch.fsckObjects=true",
    *(f"fetch.fsck.{name}=ignore" for name in _FORGIVEN),
    "fetch.unpackLimit=1",  # one pack whose length can be watched, never a million loose files
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "transfer.bundleURI=false",
    "pack.threads=2",
    "credential.helper=",
    "http.followRedirects=false",  # nor the alternates of old servers
    "http.sslVerify=true",
    "http.proxy=",
    "http.lowSpeedLimit=1",
    f"http.lowSpeedTime={SILENCE_S}",
)
# Nothing that is typed, nothing of the user's settings, nothing let through; keys only.
_SSH = (
    "-F", "/dev/null", "-a", "-x",
    "-oBatchMode=yes", "-oStrictHostKeyChecking=yes", "-oUpdateHostKeys=no", "-oVerifyHostKeyDNS=no",
    "-oIdentitiesOnly=yes", "-oIdentityAgent=none", "-oPreferredAuthentications=publickey",
    "-oClearAllForwardings=yes", "-oPermitLocalCommand=no", "-oProxyCommand=none", "-oCanonicalizeHostname=no",
    "-oControlMaster=no", "-oControlPath=none", "-oRequestTTY=no", "-oLogLevel=ERROR",
    "-oConnectTimeout=30", "-oServerAliveInterval=15", f"-oServerAliveCountMax={SILENCE_S // 15}",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Access:
    """What the user gave to reach a server."""

    ssh_key: Path | None = None
    """A private key without a passphrase. None: ssh's own choice among the user's."""
    known_hosts: Path | None = None
    """The only file of host keys that counts. None: the user's and the machine's."""
    certificates: Path | None = None
    """Those that sign https servers' (PEM), instead of the machine's."""
    network: Network = "private"
    hosts: frozenset[str] = frozenset()
    """HOST or HOST:PORT of those for which the network is `any`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the program that fetches is given besides, to be known by."""


class Remote(Commit):
    """A repository on a server, at a branch, a tag or a full hash ("": at its default branch)."""

    def __init__(
        self,
        address: Address,
        revision: str,
        access: Access,
        *,
        history: bool = False,
        progress: Progress | None = None,
    ) -> None:
        asked = revision or DEFAULT_REVISION
        refuse_odd_revision(asked)
        fetch = _Fetch(address, access, progress)
        super().__init__(partial(fetch.into, asked, history), address.shown, asked, _ASKED)


class _Fetch:
    """From one server."""

    def __init__(self, address: Address, access: Access, progress: Progress | None) -> None:
        self._address = address
        self._progress = progress
        ips = ips_of(address, access.network, access.hosts)
        self._environment = {
            **access.environment,
            **git.environment(),
            "GIT_ALLOW_PROTOCOL": address.scheme,
            "GIT_ASKPASS": "",
        }
        self._settings = list(_SETTINGS)
        if address.scheme == "ssh":
            command = shlex.join(_ssh_command(address, ips[0], access))
            self._environment |= {"GIT_SSH_COMMAND": command, "GIT_SSH_VARIANT": "ssh"}
        else:
            self._settings += _https_settings(address, ips, access)

    def into(self, asked: str, history: bool, own: Path) -> None:
        git.begin(own)
        depth = ("--update-shallow",) if history else ("--depth=1",)
        options = ("--progress", "--no-tags", "--no-recurse-submodules", *depth)
        lines = self._ran(own, "fetch", *options, "--", self._address.url, f"+{asked}:{_ASKED}")
        if lines is None:
            return
        if any("couldn't find remote ref" in line for line in lines):
            raise self._no_such_name(own, asked)
        raise error_of(self._address, asked, lines)

    def _no_such_name(self, own: Path, asked: str) -> TunesmithError:
        lines = self._ran(own, "ls-remote", "--heads", "--", self._address.url)
        if lines is not None:
            return error_of(self._address, asked, lines)
        with open(own / "said", "rb") as file:
            found = [line.partition(b"\trefs/heads/")[2] for line in file.read(_SAID_BYTES).splitlines()]
        names = ", ".join(shown(name) for name in found[:_SHOWN_NAMES])
        where = self._address.shown
        if not found:
            return InvalidArgument.of("REPO", f"{where} is empty: it has no branch; commit something first")
        if asked == DEFAULT_REVISION:
            reason = f"{where} has no default branch: its HEAD names one that is not there; give one, such as {names}"
        else:
            reason = f"{where} has no branch or tag {asked!r}; give another, such as {names}, or a commit's full hash"
        return InvalidArgument.of("--revision", reason)

    def _ran(self, own: Path, *arguments: str) -> list[str] | None:
        """None if all went well, otherwise git's last words. What it answers is in the file `said`."""
        with open(own / "said", "wb") as said:
            process = subprocess.Popen(
                git.command(own, *arguments, settings=self._settings),
                env=self._environment,
                cwd=own,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a group that can be ended whole, and no terminal to ask on
            )
        try:
            git.limit_memory(process.pid)
            lines = self._watched(process, own)
            return lines if process.wait(timeout=SILENCE_S) else None
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"git does not come to an end with {self._address.shown}; try again") from error
        finally:
            _end(process)

    def _watched(self, process: subprocess.Popen[bytes], own: Path) -> list[str]:
        """What git says until it has no more to say, or is beyond a limit."""
        assert process.stderr is not None
        listened = _Listened(self._progress)
        deadline = time.monotonic() + TIME_LIMIT_S
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stderr, selectors.EVENT_READ)
            while True:
                heard = waiting.select(_POLL_S)
                chunk = os.read(process.stderr.fileno(), _CHUNK_BYTES) if heard else None
                if chunk == b"":
                    return listened.lines()
                listened.hear(chunk or b"")
                self._refuse_too_much(own, deadline)

    def _refuse_too_much(self, own: Path, deadline: float) -> None:
        where = self._address.shown
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{where} has sent for {TIME_LIMIT_S:,.0f} s and is not done; clone it yourself and give the folder"
            )
        if _size_bytes(own) > MAX_FETCHED_BYTES:
            raise ResourceExhausted(
                f"{where} sends more than {MAX_FETCHED_BYTES:,} bytes; leave --since out, or clone it yourself and "
                "give the folder"
            )


class _Listened:
    """To what git says on stderr: progress, which is passed on, and words, of which the last are kept."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._kept: deque[str] = deque(maxlen=_KEPT_LINES)
        self._rest = b""

    def hear(self, chunk: bytes) -> None:
        *lines, rest = re.split(rb"[\r\n]", self._rest + chunk)
        self._rest = rest[:_CHUNK_BYTES]
        for line in lines:
            self._line(_plain(line))

    def lines(self) -> list[str]:
        self._line(_plain(self._rest))
        return list(self._kept)

    def _line(self, line: str) -> None:
        found = _PROGRESS.match(line)
        if found is None:
            if line:
                self._kept.append(line)
        elif self._progress is not None:
            self._progress(found[1].lower(), min(int(found[2]), 100) / 100)


def refuse_odd_revision(asked: str) -> None:
    """InvalidArgument unless a server could have something of that name."""
    if not _NAME.fullmatch(asked) or asked.endswith((".", "/", ".lock")) or asked == "@":
        raise InvalidArgument.of(
            "--revision", f"{asked[:100]!r} is no name on a server; give a branch, a tag or a commit's full hash"
        )


def _https_settings(address: Address, ips: Sequence[str], access: Access) -> list[str]:
    """To connect to nothing but the addresses that were looked at. Gits before 2.37 look the name up once more."""
    places = ",".join(f"[{ip}]" if ":" in ip else ip for ip in ips)
    settings = [] if ":" in address.host else [f"http.curloptResolve={address.host}:{address.port}:{places}"]
    if access.certificates is not None:
        settings.append(f"http.sslCAInfo={_file('--certificates', access.certificates)}")
    return settings


def _ssh_command(address: Address, ip: str, access: Access) -> list[str]:
    program = shutil.which("ssh")
    if program is None:
        raise FailedPrecondition("REPO is an ssh URL, and the program `ssh` is not on this machine; install it")
    # The host key is looked for under the name, in the way ssh writes one that has a port.
    named = address.host if address.port == 22 else f"[{address.host}]:{address.port}"
    command = [program, *_SSH, f"-oHostName={ip}", f"-oHostKeyAlias={named}"]
    if access.ssh_key is not None:
        command += ["-i", _ssh_file("--ssh-key", access.ssh_key)]
    if access.known_hosts is not None:
        file = _ssh_file("--known-hosts", access.known_hosts)
        command += [f'-oUserKnownHostsFile="{file}"', "-oGlobalKnownHostsFile=/dev/null"]
    return command


def _ssh_file(option: str, path: Path) -> str:
    if _ODD.search(str(path.absolute())):
        raise InvalidArgument.of(option, f"{str(path)!r} has a character that ssh takes for something else; rename it")
    return _file(option, path)


def _file(option: str, path: Path) -> str:
    if not path.is_file():
        raise InvalidArgument.of(option, f"{path} is no file; give the path of one")
    return str(path.absolute())


def _end(process: subprocess.Popen[bytes]) -> None:
    """With all that it has started, unless it has come to its own end."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.stderr is not None
    process.stderr.close()


def _size_bytes(folder: Path) -> int:
    total = 0
    for here, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(here, name)).st_size
            except FileNotFoundError:  # renamed by git since it was listed
                continue
    return total


def _plain(line: bytes) -> str:
    """Without what a terminal would obey, and without users."""
    text = "".join(letter if letter.isprintable() else " " for letter in line.decode("utf-8", "replace"))
    return re.sub(r"[^\s/'\"]+@(?=[\w.\[])", "", text).strip()[:_LINE_CHARS]
