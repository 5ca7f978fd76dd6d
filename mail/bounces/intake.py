"""The listener for mail that comes back: SMTP or LMTP, for addresses of the bounce domain that we signed.

250 is answered after the database commit and never before; when the database is away, 451.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.db import Error as DatabaseError
from django.db import close_old_connections, connections

from mail.bounces.receive import SIZE_MAX, Received, receive
from mail.links import read_envelope_sender

logger = logging.getLogger(__name__)

THREADS = 4
RECIPIENTS_MAX = 20
COME_AGAIN = "451 4.3.0 Try again later"


class Handler:
    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="intake")

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if read_envelope_sender(address) is None:
            return "550 5.1.1 No such address"
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        raw = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        loop = asyncio.get_running_loop()
        answers = [await loop.run_in_executor(self._threads, _take, raw, to) for to in envelope.rcpt_tos]
        if isinstance(server, LMTP):  # RFC 2033: one answer a recipient
            return "\r\n".join(answers)
        return next((answer for answer in answers if not answer.startswith("2")), answers[0])

    def close(self) -> None:
        self._threads.submit(connections.close_all)
        self._threads.shutdown()


def _take(raw: bytes, recipient: str) -> str:
    close_old_connections()
    try:
        received = receive(raw, recipient=recipient)
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


class Intake(Controller):
    """`start()` listens in a thread of its own, `stop()` ends it."""

    def __init__(self, host: str, port: int, *, lmtp: bool = False) -> None:
        self.lmtp = lmtp
        super().__init__(
            Handler(),
            hostname=host,
            port=port,
            data_size_limit=SIZE_MAX,
            ident="SMP intake",
            enable_SMTPUTF8=True,
        )

    def factory(self) -> SMTP:
        kind: Any = LMTP if self.lmtp else SMTP
        server: SMTP = kind(self.handler, **self.SMTP_kwargs)
        return server

    def stop(self, no_assert: bool = False) -> None:
        super().stop(no_assert=no_assert)
        self.handler.close()
