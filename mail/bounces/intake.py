"""The listener for mail that comes back: SMTP or LMTP, for addresses of the bounce domain that we signed.

250 is answered after the database commit and never before; when the database is away or too much is waiting, 451. A
sender that repeats because it did not get its 250 does no harm (ReturnedMail.digest).
"""

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.db import Error as DatabaseError
from django.db import close_old_connections, connections

from mail.bounces.address import is_ours
from mail.bounces.gate import Gate, Limits
from mail.bounces.receive import READ_MAX, Received, receive
from mail.models import ReturnedSource

logger = logging.getLogger(__name__)

THREADS = 4
RECIPIENTS_MAX = 20
SIZE_MAX = 60 * 1024 * 1024  # bytes of one mail that are listened to at all
LINE_MAX = 64 * 1024  # of the reader's buffer; longer lines are taken in pieces
CALLS = {"*": 200, "MAIL": 2000, "RCPT": 4000, "DATA": 2000, "RSET": 2000, "NOOP": 100}
COME_AGAIN = "451 4.3.0 Try again later"
BUSY = "451 4.3.2 Busy, try again later"


class Handler:
    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="intake")

    async def handle_RCPT(
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if not is_ours(address):
            return "550 5.1.1 No such address"
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 Too many recipients"
        if not envelope.rcpt_tos and not self.gate.one_more_mail(peer_of(session)):
            return "451 4.7.1 Too many mails, try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        loop = asyncio.get_running_loop()
        answers = []
        for recipient in envelope.rcpt_tos:
            if self.gate.waiting >= self.gate.limits.waiting:
                answers.append(BUSY)
                continue
            self.gate.waiting += 1
            try:
                answers.append(
                    await loop.run_in_executor(self._threads, _take, raw, recipient, envelope.mail_from)
                )
            finally:
                self.gate.waiting -= 1
        if isinstance(server, LMTP):  # RFC 2033: one answer a recipient
            return "\r\n".join(answers)
        return next((answer for answer in answers if not answer.startswith("2")), answers[0])

    def close(self) -> None:
        """Finishes what was taken; the threads' connections end with them."""
        together = threading.Barrier(THREADS)
        for _thread in range(THREADS):
            self._threads.submit(_leave, together)
        self._threads.shutdown()


def _leave(together: threading.Barrier) -> None:
    """In each of the threads, which is what waiting for one another makes sure of."""
    with suppress(threading.BrokenBarrierError):
        together.wait(10)
    connections.close_all()


def _take(raw: bytes, recipient: str, sender: str | None) -> str:
    close_old_connections()
    try:
        received = receive(raw, recipient=recipient, sender=sender or "", source=ReturnedSource.LISTENER)
    except DatabaseError:
        logger.exception("a returned mail could not be recorded")
        return COME_AGAIN
    except Exception:
        logger.exception("a returned mail could not be handled")
        return COME_AGAIN
    logger.info(
        "returned mail for delivery %s: %s, changed %s", received.delivery_id, received.kind, received.changed
    )
    return _answer(received)


def _answer(received: Received) -> str:
    return COME_AGAIN if received.kind == "too_early" else f"250 2.0.0 {received.kind}"


def peer_of(session: Session) -> str:
    peer = session.peer
    return str(peer[0]) if isinstance(peer, tuple) and peer else str(peer or "")


class GuardedServer(SMTP):
    """aiosmtpd's server behind a Gate, and with a reader of data of our own: mails that are too big are cut, lines
    that are too long or end with a bare LF are taken, because a report that is refused for its form is lost."""

    line_length_limit = LINE_MAX
    gate: Gate
    _inside = False
    _turned_away = False
    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._inside:  # once more, after STARTTLS
            super().connection_made(transport)
            return
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if isinstance(peer, tuple) and peer else str(peer or "")
        if not self.gate.enter(self._peer):
            self._turned_away = True
            assert isinstance(transport, asyncio.WriteTransport)
            transport.write(b"421 4.7.0 Too many connections, try again later\r\n")
            transport.close()
            return
        self._inside = True
        super().connection_made(transport)
        self._end = self.loop.call_later(self.gate.limits.session_seconds, transport.close)

    def connection_lost(self, error: Exception | None) -> None:
        if self._turned_away:
            return
        if self._inside:
            self._inside = False
            self.gate.leave(self._peer)
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if not self._turned_away:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        return False if self._turned_away else super().eof_received()

    async def smtp_DATA(self, arg: str | None) -> None:
        if await self.check_helo_needed():
            return
        assert self.envelope is not None
        if not self.envelope.rcpt_tos:
            await self.push("503 5.5.1 Error: need RCPT command")
            return
        if arg:
            await self.push("501 5.5.4 Syntax: DATA")
            return
        if self.gate.waiting >= self.gate.limits.waiting or not self.gate.hold(READ_MAX):
            await self.push(BUSY)
            return
        try:
            await self.push("354 End data with <CR><LF>.<CR><LF>")
            content = await self._read_data()
            if content is None:
                await self.push("552 5.3.4 Too much mail data")
                if self.transport is not None:
                    self.transport.close()
                return
            self.envelope.content = self.envelope.original_content = content
            status = await self._call_handler_hook("DATA")
        finally:
            self.gate.release(READ_MAX)
        self.envelope = self._create_envelope()
        await self.push(status)

    async def _read_data(self) -> bytes | None:
        """Up to the lone dot (RFC 5321 4.1.1.4: between CRLFs only), dots unstuffed, cut at READ_MAX; None when there
        is no end to it. The connection's timer, set at DATA, bounds the time."""
        kept, size, at_start = bytearray(), 0, True
        while size <= SIZE_MAX:
            try:
                line = await self._reader.readuntil(b"\r\n")
            except asyncio.LimitOverrunError as error:
                line = await self._reader.read(error.consumed)
            if at_start and line == b".\r\n":
                return bytes(kept)
            if at_start and line.startswith(b"."):
                line = line[1:]
            at_start = line.endswith(b"\r\n")
            size += len(line)
            kept += line[: max(0, READ_MAX - len(kept))]
        return None


class GuardedLmtp(GuardedServer, LMTP):
    """The same as LMTP (RFC 2033)."""


class Intake(Controller):
    """`start()` listens in a thread of its own, `stop()` ends it after what it took is recorded."""

    def __init__(self, host: str, port: int, *, lmtp: bool = False, limits: Limits | None = None) -> None:
        self.lmtp = lmtp
        self.gate = Gate(limits or Limits())
        super().__init__(
            Handler(self.gate),
            hostname=host,
            port=port,
            data_size_limit=SIZE_MAX,
            ident="SMP intake",
            enable_SMTPUTF8=True,
            timeout=self.gate.limits.idle_seconds,
            command_call_limit=CALLS,
        )

    def factory(self) -> SMTP:
        kind: Any = GuardedLmtp if self.lmtp else GuardedServer
        server: GuardedServer = kind(self.handler, **self.SMTP_kwargs)
        server.gate = self.gate
        return server

    def stop(self, no_assert: bool = False) -> None:
        super().stop(no_assert=no_assert)
        self.handler.close()
