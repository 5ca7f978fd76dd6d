"""Commands out, replies in: which answer belongs to which command, how much is read, how long is waited.

A reply counts only when its command has gone out whole. A server that speaks before it is asked, or in lines without
end, is left: from there on nobody could tell which answer means what.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from functools import lru_cache

from mail.smtp.outcomes import Interrupted
from mail.smtp.replies import Reply, clean_text, parse_reply
from mail.smtp.wire import Wire

LINE_MAX = 4096  # RFC 5321 4.5.3.1.5 says 512; real servers exceed it
LINES_MAX = 100


class Conversation:
    """One connection's commands and replies. `usable` turns False when it is over, whoever ended it."""

    def __init__(self, sock: socket.socket, host: str, *, timeout: float, dot_timeout: float) -> None:
        self.host = host
        self.timeout = timeout
        self.dot_timeout = dot_timeout
        self.usable = True
        self.last_words: Reply | None = None  # what the server said that ended it
        self.wire = Wire(sock, received=self._received, ended=self._end, flushed=self._flushed)
        self._loop = self.wire.loop
        self._buffer = b""
        self._lines: list[bytes] = []
        # The end of each command in the wire's count, and what its answer means
        self._expected: deque[tuple[int, Callable[[Reply], None]]] = deque()
        self._asked: asyncio.Future[Reply] | None = None
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # ---- what the mails' part adds (mail/smtp/client.py)

    def _unasked(self, reply: Reply) -> None:
        """The server spoke before it was asked."""
        self._end(f"not asked, the server said: {reply.words}", reply=reply)

    def _settle_all(self, text: str, *, timed_out: bool, reply: Reply | None) -> None:
        """The conversation is over; whatever was in the air ends now."""

    def _flushed(self) -> None:
        """All that was written has left."""

    # ---- out

    def _say(self, command: bytes, answered: Callable[[Reply], None]) -> None:
        self.wire.write(command)
        self._expected.append((self.wire.position, answered))

    async def _ask(self, command: str) -> Reply:
        """For the set-up: one command, one answer. Raises Interrupted; the caller bounds the time."""
        self._asked = self._loop.create_future()
        self._say(f"{command}\r\n".encode() if command else b"", self._hear)
        try:
            return await self._asked
        finally:
            self._asked = None

    def _hear(self, reply: Reply) -> None:
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(reply)

    # ---- in

    def _received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            self._line(data[start:end].rstrip(b"\r"))
            if not self.usable:
                return
            start = end + 1
        self._buffer = data[start:]
        if self._expected and self._expected[0][0] <= self.wire.sent:
            self.wire.hurry()
        if len(self._buffer) > LINE_MAX:
            self._reply(Reply(0, clean_text(self._buffer)))

    def _line(self, line: bytes) -> None:
        if not self._lines and line[3:4] != b"-":
            self._reply(_one_line(line[:LINE_MAX]))
            return
        self._lines.append(line[:LINE_MAX])
        if len(self._lines) >= LINES_MAX:
            self._reply(Reply(0, clean_text(b"\n".join(self._lines))))
        elif line[3:4] != b"-" or not line[:3].isdigit():
            lines, self._lines = self._lines, []
            self._reply(parse_reply(lines))

    def _reply(self, reply: Reply) -> None:
        if not self._expected or self._expected[0][0] > self.wire.sent:
            self._unasked(reply)
            return
        answered = self._expected.popleft()[1]
        answered(reply)
        if not reply.code:  # no SMTP: whatever follows cannot be understood either
            self._end(f"the server said: {reply.text}", reply=reply)

    # ---- time

    def _clock(self, seconds: float | None) -> None:
        """The next thing must happen within so many seconds; None: nothing is waited for.

        The timer is not moved for every mail: it fires at the latest after the shortest of our times and looks."""
        if seconds is None:
            self._deadline = None
            return
        self._deadline = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_later(self._shortest, self._look)

    @property
    def _shortest(self) -> float:
        return min(self.timeout, self.dot_timeout)

    def _look(self) -> None:
        self._timer = None
        if self._deadline is None or not self.usable:
            return
        left = self._deadline - self._loop.time()
        if left <= 0:
            self._end("no answer in time", timed_out=True)
        else:
            self._timer = self._loop.call_later(min(left, self._shortest), self._look)

    # ---- the end

    def close(self) -> None:
        """At once and without a word. In the middle of DATA this is the only way not to send."""
        self._end("the connection was closed")

    def _end(self, text: str, *, timed_out: bool = False, reply: Reply | None = None) -> None:
        if not self.usable:
            return
        self.usable = False
        self.last_words = reply
        self.wire.close()
        self._expected.clear()
        if self._timer is not None:
            self._timer.cancel()
        text = f"{self.host}: {text}"
        if self._asked is not None and not self._asked.done():
            self._asked.set_exception(Interrupted(text, reply))
        self._settle_all(text, timed_out=timed_out, reply=reply)


@lru_cache(512)  # "250 2.1.5 Ok" again and again
def _one_line(line: bytes) -> Reply:
    return parse_reply([line])
