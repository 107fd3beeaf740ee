"""Turns this process into the keeper of a closed room and runs one Python program in it. Linux only.

Started by sandbox.py as `python -I -S jail.py JOB`, JOB being JSON with the fields of `Job`; nothing imports it, and
it imports nothing of ours. Three processes:

    keeper     this one: opens the namespaces, starts init, waits; SIGTERM makes it kill init. Never inside.
    init       process 1 of the new process namespace: builds the file system, starts the program, waits.
               When it ends, the kernel kills whatever else is left inside, daemons too, before anybody is told.
    program    the untrusted one, with no rights, limits, a system call filter, an empty folder, an empty environment.

What the program finds: the interpreter and the system's libraries, read-only; /room (empty, small, in memory); no
/proc, /sys, /etc or home; no network but a loopback that is down; no process but its own. As root the program gets a
user id that nobody has; without root a user namespace is opened, in which it has none of the rights of its opener.

Not done here: judging, deadlines by the wall clock, limiting output (sandbox.py). Not protected against: errors of the
kernel itself; memory beyond `memory_bytes` times `processes`; time stolen by using the CPU up to the limit.
Whatever step fails, the keeper says which on stderr and exits with NOT_CLOSED; nothing is ever run with a step left
out. Otherwise it exits with the program's own code, 124 at most, or 128 + the signal that killed it.
"""

import ctypes
import fcntl
import json
import os
import platform
import resource
import select
import signal
import struct
import sys
from typing import NamedTuple, NoReturn

NOT_CLOSED = 125  # exit code; no program's code is reported as this one
WORK = "/room"
PROGRAM_USER = 1000  # inside a user namespace, where the number means nothing outside
FIRST_FREE_USER = 1_000_000_000  # as root: this plus the keeper's process id, far above any account

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP = 0x10000000, 0x20000000, 0x40000000, 0x02000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 1, 4, 38, 22
MOUNT_SETATTR = 442  # the same number on every architecture, as all calls since 5.1
CLONE3 = 435
EPERM, ENOSYS = 1, 38

# System calls that a pure program never needs and an attack does: other processes' memory, mounts, namespaces,
# kernel interfaces with a history of holes. Numbers: (x86_64, aarch64), from the kernel's own tables.
DENIED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "personality": (135, 92),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_getfd": (438, 438),
    "mount_setattr": (442, 442),
}
MACHINES = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}  # column, audit number, clone


class Job(NamedTuple):
    """What the keeper is told."""

    program: str  # source text
    judge: int  # the process that waits for the answers; the room does not outlive it
    root: str  # an empty folder, on which the new root is mounted
    interpreter: str  # its real path: links of a virtual environment lead nowhere inside
    readable: list[str]  # folders that the program may read
    replies_fd: int  # becomes the program's file descriptor 3
    cpu_s: int
    memory_bytes: int
    file_bytes: int
    disk_bytes: int
    processes: int
    open_files: int


class JailError(Exception):
    """A step of closing the room failed."""


def main() -> int:
    job = Job(**json.loads(sys.argv[1]))
    try:
        return keep(job)
    except (JailError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return NOT_CLOSED


def keep(job: Job) -> int:
    """Opens the namespaces, runs init in them, returns what init ended with."""
    call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != job.judge:
        raise JailError("the judge is gone")
    is_root = os.geteuid() == 0
    program_user = FIRST_FREE_USER + os.getpid() if is_root else PROGRAM_USER
    open_namespaces(is_root)
    watched, held = os.pipe()  # init sees the end of this pipe when the keeper is gone
    init = os.fork()
    if init == 0:
        os.close(held)
        run_as_init(job, watched, program_user, is_root)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(init, signal.SIGKILL))
    os.close(watched)
    os.close(job.replies_fd)
    _, status = os.waitpid(init, 0)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def open_namespaces(is_root: bool) -> None:
    flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP
    user, group = os.geteuid(), os.getegid()
    call("unshare", flags if is_root else flags | CLONE_NEWUSER)
    if not is_root:
        for name, text in (
            ("setgroups", "deny"),
            ("gid_map", f"{PROGRAM_USER} {group} 1"),
            ("uid_map", f"{PROGRAM_USER} {user} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def run_as_init(job: Job, watched: int, program_user: int, is_root: bool) -> NoReturn:
    """Process 1: everything in here ends with os._exit, since the keeper's code must not run twice."""
    code = NOT_CLOSED
    try:
        call("prctl", PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if select.select([watched], [], [], 0)[0]:
            os._exit(NOT_CLOSED)  # the keeper died before it could be watched
        os.setsid()  # a signal to its own process group must not reach the keeper
        build_root(job, program_user)
        code = run_program(job, program_user, is_root)
    except (JailError, OSError) as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(code)


def run_program(job: Job, program_user: int, is_root: bool) -> int:
    """Starts the program and reaps until it has ended; its exit code. JailError if it could not be started."""
    failure, failure_end = os.pipe()  # closed by a successful execve, so silence means that the program runs
    program = os.fork()
    if program == 0:
        become_program(job, program_user, is_root, failure_end)
    os.close(failure_end)
    os.close(job.replies_fd)
    message = os.read(failure, 4_096)
    if message:
        raise JailError(message.decode())
    while True:
        ended, status = os.wait()
        if ended == program:
            return exit_code(status)


def build_root(job: Job, program_user: int) -> None:
    """Mounts a new root with only what the program may see, and makes it the only one."""
    call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
    mount_memory(job.root, 1 << 20, "0755")
    for folder in job.readable:
        show(folder, job.root)
    for device in ("/dev/null", "/dev/urandom"):
        show_device(device, job.root)
    if not os.path.exists(job.root + "/tmp"):  # an interpreter may live below it
        os.symlink(WORK, job.root + "/tmp")
    os.mkdir(job.root + WORK)
    mount_memory(job.root + WORK, job.disk_bytes, "0700")
    os.chown(job.root + WORK, program_user, program_user)
    set_mount_flags(job.root, MS_RDONLY | MS_NOSUID | MS_NODEV, recursive=False)
    os.chdir(job.root)
    system_call("pivot_root", {"x86_64": 155, "aarch64": 41}[machine()], b".", b".")
    call("umount2", b".", MNT_DETACH)
    os.chdir(WORK)
    os.umask(0o077)


def mount_memory(folder: str, size_bytes: int, mode: str) -> None:
    options = f"size={size_bytes},nr_inodes=2000,mode={mode}".encode()
    call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", MS_NOSUID | MS_NODEV, options)


def show(folder: str, root: str) -> None:
    """Shows one folder of the machine at the same place in the new root, read-only; links stay links."""
    target = root + folder
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    if os.path.islink(folder):
        os.symlink(os.readlink(folder), target)
    elif os.path.isdir(folder) and not os.path.isdir(target):
        os.mkdir(target, 0o755)
        call("mount", os.fsencode(folder), os.fsencode(target), None, MS_BIND | MS_REC, None)
        set_mount_flags(target, MS_RDONLY | MS_NOSUID | MS_NODEV, recursive=True)


def show_device(device: str, root: str) -> None:
    os.makedirs(root + "/dev", mode=0o755, exist_ok=True)
    with open(root + device, "w"):
        pass
    call("mount", os.fsencode(device), os.fsencode(root + device), None, MS_BIND, None)


def set_mount_flags(folder: str, flags: int, recursive: bool) -> None:
    # struct mount_attr {attr_set, attr_clr, propagation, userns_fd}; the three attributes have the MS_ numbers.
    attributes = struct.pack("=QQQQ", flags, 0, 0, 0)
    where = AT_RECURSIVE if recursive else 0
    system_call("mount_setattr", MOUNT_SETATTR, AT_FDCWD, os.fsencode(folder), where, attributes, len(attributes))


def become_program(job: Job, program_user: int, is_root: bool, failure_end: int) -> NoReturn:
    """Gives up every right and replaces this process by the interpreter; returns never."""
    try:
        # Both go up first: either may be number 3 or 4 already.
        replies, failure_end = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (job.replies_fd, failure_end))
        os.dup2(failure_end, 4, inheritable=False)
        os.dup2(replies, 3)
        os.closerange(5, 1_024)
        if is_root:
            os.setgroups([])
            os.setresgid(program_user, program_user, program_user)
            os.setresuid(program_user, program_user, program_user)
        set_limits(job)
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        filter_system_calls()
        environment = {"HOME": WORK, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin", "TMPDIR": WORK}
        arguments = [job.interpreter, "-I", "-S", "-B", "-u", "-X", "utf8", "-c", job.program]
        os.execve(job.interpreter, arguments, environment)
    except (JailError, OSError, ValueError) as error:
        os.write(4, str(error).encode())
    finally:
        os._exit(NOT_CLOSED)


def set_limits(job: Job) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (job.cpu_s, job.cpu_s + 1))  # first SIGXCPU, which tells why, then SIGKILL
    for kind, value in (
        (resource.RLIMIT_AS, job.memory_bytes),
        (resource.RLIMIT_FSIZE, job.file_bytes),
        (resource.RLIMIT_NPROC, job.processes),
        (resource.RLIMIT_NOFILE, job.open_files),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def filter_system_calls() -> None:
    """Denied calls fail with EPERM; clone3 does not exist (libc falls back to clone, whose flags can be looked at)."""
    column, audit, clone = MACHINES[machine()]
    refuse, kill, allow = 0x00050000 | EPERM, 0x80000000, 0x7FFF0000
    load, jump_if_equal, jump_if_at_least, jump_if_any, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    steps = [
        (load, 0, 0, 4),
        (jump_if_equal, 1, 0, audit),
        (answer, 0, 0, kill),
        (load, 0, 0, 0),
        (jump_if_at_least, 0, 1, 0x40000000),  # the x32 table: the same calls by other numbers
        (answer, 0, 0, refuse),
        (jump_if_equal, 0, 1, CLONE3),
        (answer, 0, 0, 0x00050000 | ENOSYS),
    ]
    for numbers in DENIED.values():
        steps += [(jump_if_equal, 0, 1, numbers[column]), (answer, 0, 0, refuse)]
    new_namespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
    steps += [
        (jump_if_equal, 0, 3, clone),
        (load, 0, 0, 16),  # the low half of the first argument
        (jump_if_any, 0, 1, new_namespaces | CLONE_NEWCGROUP),
        (answer, 0, 0, refuse),
        (answer, 0, 0, allow),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    call("prctl", PR_SET_SECCOMP, 2, program, 0, 0)


def exit_code(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else min(os.WEXITSTATUS(status), 124)


def machine() -> str:
    name = platform.machine()
    if name not in MACHINES:
        raise JailError(f"no system call table for a {name} machine; known are {', '.join(MACHINES)}")
    return name


def call(name: str, *arguments: object) -> None:
    """Calls a function of the C library that answers 0 or sets errno."""
    check(name, getattr(ctypes.CDLL(None, use_errno=True), name)(*map(as_c, arguments)))


def system_call(name: str, number: int, *arguments: object) -> None:
    check(name, ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *map(as_c, arguments)))


def as_c(argument: object) -> object:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def check(name: str, answer: int) -> None:
    if answer != 0:
        raise JailError(f"{name} failed: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    sys.exit(main())
