"""HTTP/1.1 from untrusted clients: uvicorn's protocol, with bounds in time, size and number.

A connection is always in one `Phase`. In all but one of them the server waits for the client, and
for each of these waits there is a limit. When there are too many connections, those that wait make
room for new ones, the least deserving first: so clients that send half a request, or nothing, shut
nobody out. Whatever cannot be a request is answered with the one error body, and closes.
"""

import re
from asyncio import TimerHandle
from collections.abc import Collection
from enum import IntEnum
from itertools import count
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.limits import (
    ANSWER_STALL_S,
    BODY_GRACE_S,
    HEAD_TIMEOUT_S,
    LINGER_S,
    MAX_CONNECTIONS,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_LINGER_BYTES,
    MAX_PIPELINED,
    MIN_ANSWER_BYTES,
    MIN_BODY_BYTES_PER_S,
    PIECE_BYTES,
)
from serving.refusals import refusal

FED_BYTES = 32 * 1024
"""Bytes parsed before the bounds are looked at again."""
MAX_FRAMING_SHARE = 1 / 8
"""Bytes around a body's chunks, beside MAX_HEAD_BYTES, as a share of the body: tiny chunks cost
more time than bytes."""
AROUND_HEADER_BYTES = len(": \r\n")
HOST = b"host"
ABSOLUTE_TARGET = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")


_turns = count(1)


def next_turn() -> int:
    """The order in which phases begin: the clock counts milliseconds only."""
    return next(_turns)


def make_room(connections: Collection[Any], newcomer: object) -> bool:
    """End the least deserving connection that waits for its client; False when none does."""
    others = [other for other in connections if other is not newcomer and other.may_give_way()]
    if others:
        min(others, key=lambda other: (other.phase, other.turn)).give_way()
    return bool(others)


class Phase(IntEnum):
    """What a connection is doing; the lower, the sooner it makes room for another."""

    CLOSING = 0
    """Its last answer was written, and what the client still sends is thrown away."""
    IDLE = 1
    """It waits for the next request's first byte."""
    HEAD = 2
    """It waits for the rest of a head, or, when it is new, for its first byte."""
    BODY = 3
    """It waits for the rest of a body."""
    ANSWERING = 4
    """The request is complete: the client waits for us."""


class RefusedError(Exception):
    """A request that goes beyond the bounds: `status` and what to say."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: Any, *arguments: Any, handshake: object = None, **more: Any) -> None:
        """`handshake` is what stood for the connection before, where it speaks TLS."""
        super().__init__(config, *arguments, **more)
        self._handshake = handshake
        self.max_connections: int = getattr(config, "max_connections", MAX_CONNECTIONS)
        self.phase = Phase.HEAD
        self.since = 0.0
        """When the phase began, on the loop's clock."""
        self.turn = 0
        self._timer: TimerHandle | None = None
        self._writing: TimerHandle | None = None
        self._bytes = 0
        """Of this phase: of a head so far, of a body so far, of what came after the refusal."""
        self._framing = 0
        """Bytes of a body's phase that are not the body itself."""
        self._begun = False
        """Whether a request line has begun in this phase."""
        self._deaf = False
        """Whether what comes is thrown away until the answers under way are written."""

    # The connection

    def connection_made(self, transport: Any) -> None:
        """Take a new connection; make room for it where there are too many."""
        self.connections.discard(self._handshake)
        super().connection_made(transport)
        if self.scheme == "https":
            transport.set_write_buffer_limits(PIECE_BYTES)
        self._enter(Phase.HEAD)
        if len(self.connections) > self.max_connections and not make_room(self.connections, self):
            self._refuse(503, "Too many connections, try again")

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._stop_watching_writes()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End the connection once nothing is under way, as the server stops."""
        super().shutdown()
        if self.scheme == "https" and not self._is_answering():
            self.loop.call_later(LINGER_S, self.transport.abort)

    def may_give_way(self) -> bool:
        """Whether it is the client that is waited for, and no answer is under way."""
        if self.phase is Phase.HEAD:
            return not self._is_answering()
        return self.phase < Phase.ANSWERING and not self.flow.read_paused

    def give_way(self) -> None:
        """End this connection now, since another one needs its place."""
        self.connections.discard(self)
        if self.phase is Phase.BODY or self._begun:
            self._refuse(408, "The request came too slowly while too many others came")
        self._stop_timer()
        self.transport.close()
        if self.scheme == "https":  # which would wait for the client's goodbye
            self.loop.call_soon(self.transport.abort)

    # Time

    def _enter(self, phase: Phase) -> None:
        """Begin a phase, and the wait that is limited in it."""
        self._stop_timer()
        self.phase, self.since, self.turn = phase, self.loop.time(), next_turn()
        self._bytes = self._framing = 0
        self._begun = False
        if phase is Phase.HEAD:
            self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_is_late)
        elif phase is Phase.BODY:
            self._timer = self.loop.call_later(BODY_GRACE_S, self._look_at_body)
        elif phase is Phase.CLOSING:
            self._timer = self.loop.call_later(LINGER_S, self._close)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close(self) -> None:
        self.transport.close()

    def _head_is_late(self) -> None:
        if self._is_answering():  # sent ahead of the answer: it may come after it
            self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_is_late)
        elif self._begun:
            self._refuse(408, f"The request's head took more than {HEAD_TIMEOUT_S:.0f} s")
        else:
            self.transport.close()

    def _look_at_body(self) -> None:
        """End a request whose body comes too slowly; a pause that we make ourselves is forgiven."""
        now = self.loop.time()
        if self.flow.read_paused:
            self.since, self._bytes = now, 0
        until = self.since + BODY_GRACE_S + self._bytes / MIN_BODY_BYTES_PER_S
        if now < until:
            self._timer = self.loop.call_at(until, self._look_at_body)
        else:
            self._refuse(408, "The request's body came too slowly")

    def pause_writing(self) -> None:
        """The client is slower to take an answer than we are to give it."""
        super().pause_writing()
        self._watch_writes(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client has taken nearly all."""
        self._stop_watching_writes()
        super().resume_writing()

    def _watch_writes(self, waiting: int) -> None:
        self._stop_watching_writes()
        self._writing = self.loop.call_later(ANSWER_STALL_S, self._look_at_writes, waiting)

    def _look_at_writes(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting > before - MIN_ANSWER_BYTES:
            self.transport.abort()
        else:
            self._watch_writes(waiting)

    def _stop_watching_writes(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    # What comes in

    def data_received(self, data: bytes) -> None:
        """Parse what came, piece by piece, so that the bounds hold before much of it is parsed."""
        self._unset_keepalive_if_required()
        rest = memoryview(data)
        try:
            while rest and self.phase is not Phase.CLOSING and not self._deaf:
                self._feed(rest[:FED_BYTES])
                rest = rest[FED_BYTES:]
        except httptools.HttpParserUpgrade:
            # There is nothing to upgrade to, and the parser takes no more.
            self._close_after_answer()
        except (httptools.HttpParserError, RefusedError) as error:
            reason = error.__context__ if isinstance(error, httptools.HttpParserError) else error
            if isinstance(reason, RefusedError):
                self._refuse(reason.status, str(reason))
            else:
                self._refuse(400, f"Invalid HTTP request: {_what(error)}")
        if self.phase is Phase.CLOSING:
            self._bytes += len(rest)
            if self._bytes > MAX_LINGER_BYTES:
                self.transport.close()

    def _feed(self, piece: memoryview) -> None:
        if self.phase in (Phase.IDLE, Phase.ANSWERING):
            self._enter(Phase.HEAD)
        if self.phase is Phase.HEAD:
            self._bytes += len(piece)
        else:
            self._framing += len(piece)
        self.parser.feed_data(piece)
        if self.phase is Phase.HEAD and self._bytes > MAX_HEAD_BYTES:
            raise _head_too_large()
        most_framing = MAX_HEAD_BYTES + self._bytes * MAX_FRAMING_SHARE
        if self.phase is Phase.BODY and self._framing > most_framing:
            raise RefusedError(400, "The body's chunks are too small, or its trailers too large")

    def on_message_begin(self) -> None:
        """A request line begins."""
        if self.phase is not Phase.HEAD:
            self._enter(Phase.HEAD)
        self._begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; what follows a body is none."""
        if self.phase is Phase.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start answering, unless the head is too large or too many were sent ahead."""
        sizes = (len(name) + len(value) + AROUND_HEADER_BYTES for name, value in self.headers)
        if len(self.url) + sum(sizes) > MAX_HEAD_BYTES:
            raise _head_too_large()
        if len(self.headers) > MAX_HEADERS:
            raise RefusedError(431, f"A request may have at most {MAX_HEADERS} headers")
        if len(self.pipeline) >= MAX_PIPELINED:
            raise RefusedError(400, "Too many requests were sent ahead of their answers")
        if (target := ABSOLUTE_TARGET.match(self.url)) and (HOST, target[1]) not in self.headers:
            self.headers.append((HOST, target[1]))  # it names a host as the header does
        super().on_headers_complete()
        self._enter(Phase.BODY)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._bytes += len(body)
        self._framing -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        super().on_message_complete()
        self._enter(Phase.ANSWERING)

    def on_response_complete(self) -> None:
        """The answer is written; the next one may begin."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None and self.phase is Phase.ANSWERING:
            self._enter(Phase.IDLE)

    # What goes wrong

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _close_after_answer(self) -> None:
        self._deaf = True
        if self._is_answering():
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer with an error and close; what was sent ahead of it is answered first.

        The connection stays open for a little, for a client that is still sending.
        """
        if self._is_answering() and self.phase is Phase.HEAD:
            self._close_after_answer()
            return
        began = self._is_answering() and self.cycle.response_started
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._enter(Phase.CLOSING)
        if began or self.pipeline or self.transport.is_closing():
            self.transport.close()
            return
        self.flow.resume_reading()
        self.transport.write(refusal(status, message))
        if self.transport.can_write_eof():
            self.transport.write_eof()


def _what(error: Exception) -> str:
    """What is wrong; an error in one of our callbacks is about the request's target."""
    in_callback = isinstance(error, httptools.HttpParserCallbackError)
    return "its target is not valid" if in_callback else str(error)


def _head_too_large() -> RefusedError:
    return RefusedError(431, f"The request's head must not be larger than {MAX_HEAD_BYTES} bytes")
