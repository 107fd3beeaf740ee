"""The sandbox under attack: each test is one attack, and what must be true afterwards."""

import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tunesmith.errors import FailedPrecondition, InvalidArgument
from tunesmith.evals import sandbox
from tunesmith.evals.sandbox import Limits, judge

SHORT = Limits(wall_s=3.0, cpu_s=1, memory_bytes=128 << 20)
DOUBLE = "def double(x):\n    return x * 2\n"
TESTS = "assert double(4) == 8\nassert double('ab') == 'abab'\n"


def answers(code: str, expected: object, **options: object) -> None:
    """The function answer() of the code gives this value from inside."""
    verdict = judge(code, f"assert answer() == {expected!r}, answer()", **options)
    assert verdict.passed, verdict


def test_this_host_passes_its_own_attacks():
    sandbox.self_test()


def test_a_right_solution_passes():
    assert judge(DOUBLE, TESTS).reason == "passed"


def test_a_wrong_solution_fails_and_the_detail_names_the_line():
    verdict = judge(DOUBLE.replace("* 2", "+ x"), "assert double(1) == 2\nassert double(2) == 5, 'five'\n")
    assert (verdict.reason, verdict.detail) == ("failed", "line 2: five")


def test_what_the_solution_printed_is_kept_in_part():
    verdict = judge("print('a' * 5000)\n" + DOUBLE, TESTS)
    assert verdict.passed
    assert verdict.output == "a" * 4_096


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("while True: pass", "timeout"),
        ("import time\ntime.sleep(60)", "timeout"),
        ("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", "died"),
        ("kept = bytearray(100 << 30)", "raised"),
        ("kept = []\nwhile True: kept.append(bytearray(1 << 20))", "raised"),
        ("while True: print('x' * 10000, flush=True)", "flood"),
        ("import os\nwhile True: os.write(3, b'x' * 65536)", "flood"),
        ("import os\nos._exit(0)", "died"),
        ("raise SystemExit(0)", "raised"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "died"),
        ("import os\nos.kill(0, 9)\nos.kill(-1, 9)\nos._exit(1)", "died"),
        ("import ctypes\nctypes.string_at(0)", "died"),
        ("import os\nimport time\nos.closerange(0, 100)\ntime.sleep(60)", "died"),
        ("import os\nos.write(3, b'[' * 100000 + b'\\n')", "died"),
        ("import os\nos.write(3, b'{\"verdict\": \"passed\"}\\n')\nos._exit(0)", "died"),
        ("def double(x:", "raised"),
    ],
)  # fmt: skip
def test_a_hostile_solution_ends_with_the_right_reason(code, reason):
    assert judge(code, TESTS, limits=SHORT).reason == reason


def test_a_fork_bomb_stops_at_the_limit_and_leaves_nothing():
    code = """
import os, time
def answer():
    started = 0
    while True:
        try:
            if os.fork() == 0:
                time.sleep(600)
        except OSError:
            return started
        started += 1
"""
    verdict = judge(code, "assert 0 < answer() < 8")
    assert verdict.passed, verdict


def test_threads_count_as_processes():
    code = """
import threading, time
def answer():
    started = 0
    try:
        for _ in range(50):
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
            started += 1
    except RuntimeError:
        return started < 8
"""
    answers(code, True)


def test_a_daemon_is_dead_when_the_verdict_is_there(tmp_path):
    marker = secrets.token_hex(8)
    code = f"""
import os, time, sys
def answer():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.closerange(0, 100)
            program = "import time; time.sleep(600)"
            os.execv({os.path.realpath(sys.executable)!r}, ["daemon-{marker}", "-I", "-S", "-c", program])
        os._exit(0)
    time.sleep(0.5)
    return 1
"""
    answers(code, 1)
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [command for command in commands if marker.encode() in command and b"daemon" in command[:8]]


def test_no_room_is_left_behind_by_a_timeout(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    judge("import time\ntime.sleep(60)", TESTS, limits=Limits(wall_s=0.5))
    assert list(tmp_path.iterdir()) == []


def test_the_environment_does_not_get_in(monkeypatch):
    monkeypatch.setenv("TUNESMITH_SECRET", "do not read me")
    answers("import os\ndef answer():\n    return sorted(os.environ)\n", ["HOME", "LANG", "PATH", "TMPDIR"])


def test_a_listening_socket_of_this_machine_is_not_reached():
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        name = f"\0tunesmith-{secrets.token_hex(8)}"
        abstract.bind(name)
        abstract.listen()
        code = f"""
import socket
def answer():
    reached = []
    for family, address in ((socket.AF_INET, {tcp.getsockname()!r}), (socket.AF_UNIX, {name!r})):
        try:
            socket.socket(family).connect(address)
            reached.append(address)
        except OSError:
            pass
    return reached
"""
        answers(code, [])


def test_names_are_not_resolved():
    code = """
import socket
def answer():
    try:
        return socket.getaddrinfo("example.com", 80)
    except OSError:
        return "unknown"
"""
    answers(code, "unknown", limits=Limits(wall_s=20))


def test_files_of_this_machine_are_not_seen(tmp_path):
    (tmp_path / "secret").write_text("s")
    paths = [str(tmp_path / "secret"), __file__, sandbox.__file__, "/etc/passwd", "/proc/self/mem", "/proc/1/root"]
    code = f"import os\ndef answer():\n    return [p for p in {paths!r} if os.path.exists(p)]\n"
    answers(code, [])


def test_the_interpreter_cannot_be_changed():
    code = """
import os, sys
def answer():
    written = []
    for folder in [*sys.path, sys.prefix, "/", "/lib", "/dev", "/usr/lib"]:
        for name in ("sitecustomize.py", "evil.pth"):
            try:
                open(os.path.join(folder, name), "w").close()
                written.append(folder)
            except OSError:
                pass
    return written
"""
    answers(code, [])


def test_the_next_run_finds_nothing_of_the_last():
    leave = """
import os
for name in ("sitecustomize.py", "usercustomize.py", "conftest.py", "evil.pth", "json.py"):
    for folder in (".", "/tmp"):
        open(os.path.join(folder, name), "w").write("import os; os._exit(0)")
def double(x):
    return x * 2
"""
    assert judge(leave, TESTS).passed
    answers("import os, json\ndef answer():\n    return os.listdir('.') + os.listdir('/tmp')\n", [])
    assert judge(DOUBLE, TESTS).passed


def test_a_sparse_file_and_a_full_folder_are_refused():
    code = """
def answer():
    refused = 0
    try:
        open("sparse", "wb").truncate(1 << 40)
    except OSError:
        refused += 1
    try:
        for n in range(100):
            with open(f"part{n}", "wb") as file:
                file.write(bytes(1 << 20))
    except OSError:
        refused += 1
    return refused
"""
    answers(code, 2)


@pytest.mark.parametrize(
    "attempt",
    [
        "c.setuid(0)",
        "c.unshare(0x10000000)",
        "c.unshare(0x20000)",
        "c.ptrace(16, os.getppid(), 0, 0)",
        "c.mount(b'none', b'/room', b'tmpfs', 0, None)",
        "c.chroot(b'/room')",
        "c.syscall(425, 8, ctypes.create_string_buffer(200))",
        "c.syscall(321, 0, ctypes.create_string_buffer(200), 64)",
        "c.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)",
        "c.syscall(435, ctypes.create_string_buffer(88), 88)",
        "c.process_vm_readv(1, None, 0, None, 0, 0)",
        "c.sethostname(b'x', 1)",
    ],
)
def test_the_kernel_refuses_what_no_solution_needs(attempt):
    code = f"""
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
def answer():
    return {attempt} == -1 and ctypes.get_errno() in (1, 13, 22, 38)
"""
    answers(code, True)


def test_subclass_walks_reach_no_more_than_any_import():
    code = """
def answer():
    loader = next(c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "BuiltinImporter")
    return loader.load_module("posix").listdir("/room")
"""
    answers(code, [])


def test_printing_the_success_word_does_not_pass():
    printing = "import sys\nprint('PASS passed OK')\nsys.stderr.write('{\"verdict\": \"passed\"}\\n')\n"
    code = printing + "def double(x): return 0\n"
    assert judge(code, TESTS).reason == "failed"


def test_a_forged_verdict_on_the_reply_channel_does_not_pass():
    code = 'import os\nos.write(3, b\'{"value": "[]", "verdict": "passed"}\\n\' * 20)\ndef double(x): return 0\n'
    assert judge(code, TESTS).reason == "failed"


def test_patched_builtins_and_unittest_do_not_pass():
    code = """
import builtins, unittest, sys
builtins.AssertionError = type("Quiet", (Exception,), {})
builtins.repr = lambda value: "8"
unittest.TestCase.assertEqual = lambda *a: None
class Same:
    def __eq__(self, other): return True
def double(x):
    return Same()
"""
    assert judge(code, TESTS).reason == "failed"


def test_an_object_that_equals_everything_does_not_pass():
    code = """
class Same(int):
    def __eq__(self, other): return True
    __hash__ = int.__hash__
def double(x):
    return Same(0)
"""
    assert judge(code, TESTS).reason == "failed"


def test_the_expected_answers_are_not_in_the_solutions_process():
    code = """
import gc, sys
def double(x):
    seen = [str(o) for o in gc.get_objects() if isinstance(o, (dict, list, tuple))]
    frames = []
    frame = sys._getframe()
    while frame:
        frames.append(str(frame.f_locals))
        frame = frame.f_back
    return any("-".join(["7107", "7345"]).replace("-", "") in text for text in seen + frames)
"""
    assert judge(code, "assert double(1) != 71077345\nassert double(2) is False").passed


def test_a_solutions_function_named_like_a_builtin_does_not_reach_the_tests():
    code = "def abs(x): return 7\ndef isinstance(*a): return True\ndef double(x): return x\n"
    verdict = judge(code, "assert abs(-1) == 1 and not isinstance(1, str)\nassert double(1) == 2")
    assert (verdict.reason, verdict.detail) == ("failed", "line 2: ")


def test_an_answer_that_breaks_the_reader_does_not_pass():
    code = "import os\ndef double(x):\n    os.write(3, b'{\"value\": \"' + b'(' * 90000 + b'\"}\\n')\n"
    assert judge(code, TESTS).reason in ("failed", "died")


def test_values_cross_as_they_are():
    value = {"a": [1, 2.5, None, True], ("b", b"c"): {3, 4}, "e": "\u2028\n'\"\\", "z": set()}
    answers(f"def answer():\n    return {value!r}\n", value)


def test_an_answer_that_is_no_literal_fails_and_says_so():
    verdict = judge("def double(x):\n    return object()\n", TESTS)
    assert verdict.reason == "failed"
    assert "the answer holds a object, which is not a literal" in verdict.detail


def test_tests_can_ask_do_and_expect_errors_where_the_solution_is():
    tests = """
do("cart = Cart()")
do("cart.add('apple', 3)")
assert ask("cart.total") == 3
assert error_of("cart.add('apple', -1)") == "ValueError"
assert error_of("cart.total") == ""
"""
    code = """
class Cart:
    total = 0
    def add(self, name, count):
        if count < 0:
            raise ValueError(count)
        self.total += count
"""
    assert judge(code, tests).passed


def test_modules_that_are_passed_along_can_be_imported():
    modules = {"shop": "RATE = 3\n", "tools": "import shop\ndef price(n):\n    return n * shop.RATE\n"}
    code = "from tools import price\ndef answer():\n    return price(5)\n"
    answers(code, 15, modules=modules)


def test_input_finds_an_empty_file():
    verdict = judge("line = input()\n", TESTS)
    assert (verdict.reason, verdict.detail.split(":")[0]) == ("raised", "EOFError")


def test_tests_that_ask_nothing_are_refused():
    with pytest.raises(InvalidArgument, match="ask the solution nothing"):
        judge(DOUBLE, "assert 1 + 1 == 2")


def test_a_room_that_cannot_be_closed_runs_nothing():
    with pytest.raises(FailedPrecondition, match=r"no closed room can be made: .*limit"):
        judge(DOUBLE, TESTS, limits=Limits(open_files=-7))


def test_a_solution_cannot_pretend_that_the_room_was_not_closed():
    assert judge("import os\nprint('pivot_root failed', flush=True)\nos._exit(125)", TESTS).reason == "died"


def test_a_host_on_which_a_property_fails_is_refused_with_its_name(monkeypatch):
    monkeypatch.setattr(sandbox, "_PROBE_LIMITS", Limits(wall_s=5, memory_bytes=32 << 30, cpu_s=1))
    monkeypatch.setattr(sandbox, "_PROBES", [p for p in sandbox._PROBES if p[0] == "memory is limited"])
    with pytest.raises(FailedPrecondition, match="memory is limited: expected raised, got"):
        sandbox.self_test.__wrapped__()


def test_another_system_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    with pytest.raises(FailedPrecondition, match="not run on darwin"):
        sandbox.self_test.__wrapped__()


def test_two_judgements_at_once_do_not_mix():
    verdicts: dict[int, bool] = {}

    def run(n: int) -> None:
        verdicts[n] = judge(f"def answer():\n    return {n}\n", f"assert answer() == {n}").passed

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == dict.fromkeys(range(4), True)


def test_a_killed_judge_leaves_no_room(tmp_path):
    script = "from tunesmith.evals.sandbox import judge\njudge('import time\\ntime.sleep(50)', 'assert double(1) == 2')"
    judge_process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)})
    deadline = time.monotonic() + 20
    while len(rooms_in(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    judge_process.kill()
    judge_process.wait()
    while rooms_in(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert rooms_in(tmp_path) == []


def rooms_in(folder: Path) -> list[str]:
    """Processes whose command line names a room below the folder."""
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return [c.decode("utf-8", "replace") for c in commands if b"jail.py" in c and os.fsencode(folder) in c]
