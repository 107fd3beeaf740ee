"""HTTP/1.1 as uvicorn speaks it, to clients that may never finish what they began.

uvicorn waits for ever for the head of a request (line and headers), so that a few hundred sockets which send a byte now
and then would take all there are; and what follows a request that is answered already it reads to the end, a terabyte
if need be. Here both end the connection. Bodies that are read are bounded where that is done (api/wire.py,
api/uploads.py). Used by `up` in place of uvicorn's own protocol.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_LIMIT_S = 20.0
"""From the connection, or the first byte of a later request, to the end of the head; 64 KiB at 3 KiB/s."""

REST_LIMIT_BYTES = 4 << 20
"""Of a body whose request is answered. Not 0: who is cut off at once may never see why."""


class BoundedProtocol(H11Protocol):
    """One connection."""

    _timer: asyncio.TimerHandle | None = None
    _rest_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answered_early():
            self._rest_bytes += len(data)
            if self._rest_bytes > REST_LIMIT_BYTES:
                self.transport.close()
        else:
            self._rest_bytes = 0
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def _is_answered_early(self) -> bool:
        """Whether the client still sends a body that nobody waits for."""
        return self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete

    def _look(self) -> None:
        """Times what the client owes. Between two requests uvicorn's own timer runs; the next byte ends that one."""
        if self.conn.their_state is not h11.IDLE and not self._is_answered_early():
            self._forget()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_LIMIT_S, self.transport.close)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
