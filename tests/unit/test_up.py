"""The socket that the service listens on."""

from __future__ import annotations

import socket

from tunesmith import up


def test_answers_do_not_wait_for_the_client_to_acknowledge_their_head() -> None:
    # With Nagle's algorithm every answer that is written in two pieces takes 40 ms.
    with up._listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
