"""Identities of processes: of those that run, and of those that did."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tunesmith import process


@pytest.fixture
def child() -> subprocess.Popen:
    started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield started
    started.kill()
    started.communicate()


def test_own_process_runs_here() -> None:
    assert process.is_running(process.own())
    assert process.is_here(process.own())
    assert process.pid_of(process.own()) == os.getpid()


def test_identity_stays_the_same_while_it_runs(child: subprocess.Popen) -> None:
    assert process.identity(child.pid) == process.identity(child.pid) != process.own()


def test_killed_process_does_not_run_even_before_it_is_waited_for(child: subprocess.Popen) -> None:
    identity = process.identity(child.pid)
    assert identity is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.identity(child.pid) is None
    assert not process.is_running(identity)


def test_another_process_of_the_same_pid_is_not_the_same() -> None:
    machine, pid, start = process.own().split(":")
    assert not process.is_running(f"{machine}:{pid}:{int(start) - 1}")


def test_process_of_another_boot_is_not_here() -> None:
    _, pid, start = process.own().split(":")
    other = f"another-boot.4026531836:{pid}:{start}"
    assert not process.is_here(other)
    assert not process.is_running(other)


def test_name_with_spaces_and_brackets_does_not_confuse(child: subprocess.Popen) -> None:
    # /proc/PID/stat has the name in brackets, as it is.
    code = "open('/proc/self/comm', 'w').write(') R 1 (x'); print('named', flush=True); input()"
    named = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    before = process.identity(named.pid)
    assert named.stdout.readline() == "named\n"
    assert process.identity(named.pid) == before is not None
    named.communicate("\n")


def test_a_proof_says_who_has_the_token_and_is_worth_nothing_for_another_challenge() -> None:
    proofs = {process.proof(token, challenge) for token in ("t", "u") for challenge in ("a", "b", "")}
    assert len(proofs) == 6
    assert process.proof("t", "a") in proofs
    assert not any("t" in proof or len(proof) != 64 for proof in proofs)
