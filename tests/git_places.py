"""Git repositories for tests, and servers that give them: real https with a certificate of our own, and stand-ins."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

WHO = {
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(root: Path, *arguments: str, given: bytes = b"", **environment: str) -> str:
    command = ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments]
    env = {**os.environ, **WHO, **environment}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, check=False, input=given)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def begun(root: Path) -> Path:
    root.mkdir(parents=True)
    git(root, "init", "--quiet")
    return root


def committed(root: Path, files: dict[str, bytes], at: str = "") -> str:
    """The commit's hash. at: the time of the commit, as git writes it; the author's is long before."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    git(root, "add", "--all")
    dates = {"GIT_COMMITTER_DATE": at, "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z"} if at else {}
    git(root, "commit", "--quiet", "--allow-empty", "--message", "m", **dates)
    return git(root, "rev-parse", "HEAD")


def made_tree(root: Path, *members: tuple[str, bytes, str]) -> str:
    """A tree's hash, of (mode, name, hash); git's own commands would refuse some names."""
    data = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(digest) for mode, name, digest in members)
    return git(root, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", given=data)


def point_at_tree(root: Path, tree: str, who: str = "a <a@b.c> 1700000000 +0000") -> str:
    """A commit of that tree, at HEAD."""
    data = f"tree {tree}\nauthor {who}\ncommitter {who}\n\nm\n".encode()
    digest = git(root, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", given=data)
    git(root, "update-ref", "HEAD", digest)
    return digest


def certificate(folder: Path) -> Path:
    """For localhost, signed by itself; with its key in key.pem beside it."""
    made = folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    more = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(folder / "key.pem"), "-out", str(made)]
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    return made


Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(NamedTuple):
    url: str
    """Of what lies under its folder."""
    asked: list[str]
    """The paths of all requests."""
    answers: dict[str, Answer]
    """The beginning of a path -> what answers there instead of git."""
    stopped: threading.Event
    """For answers that wait."""


@contextlib.contextmanager
def serving(folder: Path, signed: Path) -> Iterator[Server]:
    """git's own http server for the repositories in a folder."""
    answers: dict[str, Answer] = {}
    asked: list[str] = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            other = next((answer for start, answer in answers.items() if self.path.startswith(start)), None)
            with contextlib.suppress(OSError):  # whoever asked has gone
                other(self) if other else backend(self, folder)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:  # a client that does not like the certificate
            pass

    with Quiet(("127.0.0.1", 0), Answering) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed, signed.with_name("key.pem"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        made = Server(f"https://localhost:{server.server_port}", asked, answers, threading.Event())
        try:
            yield made
        finally:
            made.stopped.set()
            server.shutdown()
            thread.join()


def answer(request: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    """Names of headers with _ for -."""
    request.send_response(status)
    for name, value in {**headers, "Content_Length": str(len(body))}.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(body)


def on_command(word: bytes, folder: Path, other: Answer) -> Answer:
    """Answers as git does, but for one command of its protocol."""

    def answering(request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        request.rfile = io.BufferedReader(io.BytesIO(body))  # type: ignore[arg-type]
        other(request) if b"command=" + word in body else backend(request, folder)

    return answering


def backend(request: BaseHTTPRequestHandler, folder: Path) -> None:
    path, _, query = request.path.partition("?")
    length = int(request.headers.get("Content-Length") or 0)
    environment = {
        "PATH": os.defpath,  # nothing of what a test sets for those who ask
        **WHO,
        "GIT_PROJECT_ROOT": str(folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": request.command,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(length),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    given = request.rfile.read(length)
    done = subprocess.run(["git", "http-backend"], env=environment, input=given, capture_output=True, check=False)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
    status = int(headers.pop("Status", "200").split()[0])
    answer(request, status, body, **headers)


def stand_in_ssh(folder: Path, says: str = "") -> Path:
    """A folder with a program `ssh` that writes down how it was called and runs here what it should run there.

    says: only says this, and fails.
    """
    folder.mkdir()
    program = folder / "ssh"
    goes_on = f"printf '%b' '{says}' >&2; exit 255" if says else 'for last; do :; done; exec sh -c "$last"'
    program.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {folder}/arguments\nenv > {folder}/environment\n{goes_on}\n"
    )
    program.chmod(0o755)
    for name in ("git", "sh", "env"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder
