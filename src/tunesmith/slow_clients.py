"""HTTP/1.1 as uvicorn speaks it, to clients that may never finish what they began.

uvicorn waits for ever for the head of a request (line and headers), so that a few hundred sockets which send a byte now
and then would take all there are. Here a head that is not whole in time ends its connection. Bodies are bounded where
they are read (api/wire.py, api/uploads.py). Used by `up` in place of uvicorn's own protocol.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_LIMIT_S = 20.0
"""From the connection, or the first byte of a later request, to the end of the head; 64 KiB at 3 KiB/s."""


class BoundedProtocol(H11Protocol):
    """One connection."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _look(self) -> None:
        """Whether a head is awaited. Between two requests uvicorn's own timer runs; the next byte ends that one."""
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_LIMIT_S, self.transport.close)

    def _forget(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
