"""Which process is which: a name for a running process that no later process can have, and whether it still runs.

A pid alone is used again after a while. An identity is `machine:pid:start`: the boot and the pid namespace the
process lives in, its pid, and when it started. A port, too, is given to others after a while: `proof` is how a process
shows that it is the one that a token was made for. Only standard library; nothing is started or stopped here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import platform
import subprocess
from pathlib import Path

_PROC = Path("/proc")
_START_TIME = 18
"""Where starttime, in clock ticks since the boot, is among the fields behind the state in /proc/PID/stat: proc(5)."""


def identity(pid: int) -> str | None:
    """The identity of a running process; None if there is none of that pid, or only its unreaped remains."""
    start = _start(pid)
    return None if start is None else f"{machine()}:{pid}:{start}"


def own() -> str:
    """This process's identity."""
    found = identity(os.getpid())
    assert found is not None
    return found


def is_running(process: str) -> bool:
    """Whether the process of that identity runs on this machine. False for one of another machine or boot."""
    return process == identity(pid_of(process))


def is_here(process: str) -> bool:
    """Whether the identity is of this machine, since its last boot: only then does `is_running` say anything of it."""
    return process.partition(":")[0] == machine()


def pid_of(process: str) -> int:
    return int(process.split(":")[1])


def machine() -> str:
    """This boot of this machine, as seen from one pid namespace (a container has its own pids)."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = os.readlink(_PROC / "self/ns/pid").strip("pid:[]")
    except OSError:
        return platform.node()
    return f"{boot}.{namespace}"


def proof(token: str, challenge: str) -> str:
    """What only a process that has the token can answer to a challenge; says nothing of the token itself."""
    return hmac.new(token.encode(), challenge.encode(), hashlib.sha256).hexdigest()


def _start(pid: int) -> str | None:
    if not (_PROC / "self").exists():
        return _start_by_ps(pid)
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else fields[_START_TIME]


def _start_by_ps(pid: int) -> str | None:
    # macOS and the BSDs.
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, start = answer.stdout.strip().partition(" ")
    return None if not start or state.startswith("Z") else start.strip().replace(":", ".").replace(" ", "-")
