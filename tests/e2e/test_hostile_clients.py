"""A real server against clients that send too much, too slowly or not at all: each is refused or ended in bounded time
and memory, and others are served meanwhile. Over plain sockets: no HTTP library would send such things."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from running_service import PATHS, wait_for_url, wait_until

JOBS = "/v1/projects/p/locations/us-central1/pipelineJobs"
HOST = b"Host: 127.0.0.1\r\n"

# The server as `tunesmith serve` runs it, with limits that a test can wait for.
PROGRAM = """
import logging, pathlib, sys
from tunesmith import settings, slow_clients, up
from tunesmith.api import uploads, wire
logging.basicConfig(level=logging.INFO)
slow_clients.HEAD_LIMIT_S = wire.BODY_LIMIT_S = uploads.SILENCE_LIMIT_S = 1.5
up.MAX_CONNECTIONS = 40
up.run(settings.Settings(pathlib.Path(sys.argv[1])), "127.0.0.1", 0, works=False)
"""


@dataclass
class Server:
    url: str
    pid: int

    def connect(self) -> socket.socket:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return socket.create_connection((host, int(port)), timeout=30)

    def peak_mib(self) -> float:
        """The most memory it has ever had."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    log = folder / "log"
    with open(log, "wb") as file:
        command = [sys.executable, "-c", PROGRAM, str(folder / "home")]
        environment = {**os.environ, "PYTHONPATH": PATHS}
        running = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    try:
        yield Server(wait_for_url(running, log), running.pid)
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0, log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()


def is_served(server: Server) -> None:
    assert httpx.get(f"{server.url}/readyz").status_code == 200


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the server hangs up; it must, or the socket's time limit fails the test."""
    said = b""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while piece := connection.recv(65536):
            said += piece
    return said


def answer_of(connection: socket.socket) -> bytes:
    """One answer, head and body."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += connection.recv(65536)
    head, _, body = said.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def send_all(connection: socket.socket, total: int, head: bytes = b"", piece: bytes = b"a" * (1 << 20)) -> int:
    """How much the server took of `total` bytes before it hung up."""
    sent = 0
    connection.sendall(head)
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while sent < total:
            connection.sendall(piece)
            sent += len(piece)
    return sent


def status_of(said: bytes) -> int:
    return int(said.split(b" ", 2)[1])


def test_body_of_a_gigabyte_is_refused_before_it_is_sent(server: Server) -> None:
    head = b"POST %s HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head % (JOBS.encode(), HOST))
        said = answer_of(connection)
    assert status_of(said) == 400
    assert b"is longer than" in said
    is_served(server)


def test_endless_body_is_refused_while_it_is_sent(server: Server) -> None:
    head = b"POST %s HTTP/1.1\r\n%sContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    before = server.peak_mib()
    with server.connect() as connection:
        chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
        sent = send_all(connection, 1 << 30, head % (JOBS.encode(), HOST), chunk)
        assert sent < 64 << 20
    assert server.peak_mib() - before < 64
    is_served(server)


def test_body_that_a_route_does_not_read_is_not_taken(server: Server) -> None:
    head = b"GET /healthz HTTP/1.1\r\n%sContent-Length: 1073741824\r\n\r\n"
    before = server.peak_mib()
    with server.connect() as connection:
        assert send_all(connection, 1 << 30, head % HOST) < 64 << 20
    assert server.peak_mib() - before < 64
    is_served(server)


def test_gzip_bomb_is_not_unpacked(server: Server) -> None:
    import gzip

    before = server.peak_mib()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = httpx.post(server.url + JOBS, content=gzip.compress(b" " * (1 << 28)), headers=headers)
    assert answer.status_code == 400
    assert server.peak_mib() - before < 64


@pytest.mark.parametrize("head", [b"X-Long: " + b"a" * (10 << 20), b"X-Many: a\r\n" * (1 << 20)], ids=["one", "many"])
def test_head_of_ten_megabytes_is_refused(server: Server, head: bytes) -> None:
    before = server.peak_mib()
    with server.connect() as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + head + b"\r\n\r\n")
        said = rest_of(connection)
    assert said == b"" or status_of(said) == 400
    assert server.peak_mib() - before < 64
    is_served(server)


def test_url_of_a_megabyte_is_refused(server: Server) -> None:
    with server.connect() as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        said = rest_of(connection)
    assert said == b"" or status_of(said) == 400
    is_served(server)


@pytest.mark.parametrize(
    "begun", [b"", b"G", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "], ids=["nothing", "a byte", "a line"]
)
def test_head_that_does_not_end_ends_its_connection(server: Server, begun: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(begun)
        assert rest_of(connection) == b""
    is_served(server)


def test_head_that_trickles_ends_its_connection(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")

        def is_ended() -> bool:
            try:
                connection.sendall(b"a")
            except OSError:
                return True
            return False

        wait_until(is_ended, 30)
    is_served(server)


def test_body_that_trickles_on_after_the_answer_ends_its_connection(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\n")
        assert status_of(answer_of(connection)) == 200

        def is_ended() -> bool:
            try:
                connection.sendall(b"a")
            except OSError:
                return True
            return False

        wait_until(is_ended, 30)


def test_second_head_of_a_connection_must_end_too(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert status_of(answer_of(connection)) == 200
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert rest_of(connection) == b""


def test_body_that_trickles_is_refused(server: Server) -> None:
    head = b"POST %s HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with server.connect() as connection:
        connection.sendall(head % (JOBS.encode(), HOST))
        time.sleep(0.7)
        connection.sendall(b" ")
        said = answer_of(connection)
    assert status_of(said) == 400
    assert b"did not arrive within" in said
    is_served(server)


def test_upload_that_falls_silent_ends_and_its_bytes_stay(server: Server) -> None:
    httpx.post(f"{server.url}/storage/v1/b?project=p", json={"name": "bucket"})
    path = "/upload/storage/v1/b/bucket/o?uploadType=resumable&name=object"
    location = httpx.post(server.url + path, json={}).headers["Location"]
    target = location.removeprefix(server.url).encode()
    with server.connect() as connection:
        head = b"PUT %s HTTP/1.1\r\n%sContent-Range: bytes 0-99/100\r\nContent-Length: 100\r\n\r\n"
        connection.sendall(head % (target, HOST) + b"a" * 40)
        assert status_of(answer_of(connection)) == 499
    so_far = httpx.put(location, headers={"Content-Range": "bytes */100"})
    assert (so_far.status_code, so_far.headers["Range"]) == (308, "bytes=0-39")


def test_crowd_of_silent_clients_is_gone_after_a_while(server: Server) -> None:
    with contextlib.ExitStack() as crowd:
        for _ in range(60):  # more than MAX_CONNECTIONS
            crowd.enter_context(server.connect()).sendall(b"GET / HTTP/1.1\r\n")
        answer = httpx.get(f"{server.url}/healthz")
        assert answer.status_code in (200, 503)
        wait_until(lambda: httpx.get(f"{server.url}/healthz").status_code == 200, 30)


POST = b"POST %s HTTP/1.1\r\n%s" % (JOBS.encode(), HOST)
GARBAGE = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "smuggling": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET",
    "negative": POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "no version": b"GET /healthz\r\n\r\n",
    "proxy": b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n",
    "connect": b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n%s\r\n" % HOST,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_request_is_refused(server: Server, garbage: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(garbage)
        said = rest_of(connection)
    assert 400 <= status_of(said) < 500
    assert said.count(b"HTTP/1.1") == 1, said  # what hides behind one request is no second one
    is_served(server)


def test_host_of_another_name_is_refused_without_keys(server: Server) -> None:
    """Against web pages that make a browser call this server under a name of theirs."""
    with server.connect() as connection:
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n" % JOBS.encode())
        said = rest_of(connection)
    assert status_of(said) == 403
    assert json.loads(said.split(b"\r\n\r\n")[1])["error"]["status"] == "PERMISSION_DENIED"


def test_form_that_does_not_end_is_not_waited_for(server: Server) -> None:
    head = b"POST /tensorboard/login HTTP/1.1\r\n%sAccept: text/html\r\nContent-Length: 10\r\n\r\nkey=1"
    with server.connect() as connection:
        connection.sendall(head % HOST)
        said = answer_of(connection)
    assert status_of(said) == 400
    assert b"did not arrive" in said


def test_client_that_goes_away_within_its_body_is_no_fault_of_the_server(server: Server) -> None:
    head = b"POST %s HTTP/1.1\r\n%sContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with server.connect() as connection:
        connection.sendall(head % (JOBS.encode(), HOST))
    is_served(server)  # the fixture looks for a traceback in the log at the end


def test_connection_stays_for_many_bodies_that_were_answered_early(server: Server) -> None:
    body = b"a" * (1 << 20)
    head = b"POST %s HTTP/1.1\r\n%sContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    with server.connect() as connection:
        for _ in range(8):
            connection.sendall(head % (JOBS.encode(), HOST, len(body)))
            assert status_of(answer_of(connection)) == 400
            connection.sendall(body)
