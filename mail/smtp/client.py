"""An asyncio SMTP client (RFC 5321) whose phases are separate, because the sending promise must act between them:

    session = await Session.open(…)      greeting, EHLO, STARTTLS               → NoSession
    flight = session.begin(envelope)     writes MAIL, RCPT …, DATA
    started = await flight.ready()       354                                    → Refused, Interrupted: not sent
    (the intent is committed here)
    session.body(flight, data)           writes the body and the final dot
    behind = session.begin(envelope)     the next envelope, in the same write
    reply = await flight.verdict()       up to 10 minutes                       → NoAnswer: nobody can know
                                                                                  Refused, Interrupted: not sent
    started = await behind.ready()

Where the server offers PIPELINING (RFC 2920) a mail costs one round trip: body, dot and the next mail's MAIL, RCPT,
DATA leave in one write. DATA is the last of its group and the content the first of the next one, as 3.1 wants it.
Where it does not, the same calls go in lock step. Not here: MX look-ups, pools of sessions, retries.
"""

import asyncio
import re
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from mail.smtp.conversation import Conversation
from mail.smtp.opening import Tls, connect, unchecked_tls
from mail.smtp.outcomes import Interrupted, NoAnswer, NoSession, Refused, SmtpError, Started
from mail.smtp.replies import Reply
from mail.smtp.stuffing import stuff

__all__ = [
    "Envelope", "Flight", "Interrupted", "NoAnswer", "NoSession", "Refused", "Session", "SmtpError", "Started",
    "Tls", "stuff",
]  # fmt: skip

QUIT_TIMEOUT = 2.0

# Nothing that could end an address or begin another command (RFC 5321 4.1.2)
_DANGEROUS = re.compile(r"[\x00-\x20\x7f<>\ud800-\udfff]")
_NUMBER = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True)
class Envelope:
    """`size` in bytes, for SIZE (RFC 1870). The lead's `own` address refused → nothing is sent; another one refused
    for good → the rest goes on; any temporary refusal → the whole mail waits, unless `partly` (the last attempt):
    then it goes to those that were accepted (ADDR-4). `utf8`: the headers need SMTPUTF8 (RFC 6531); an address
    beyond ASCII needs it anyway."""

    sender: str
    recipients: Sequence[str]
    size: int
    own: str = ""
    partly: bool = False
    utf8: bool = False

    def foreign(self) -> str:
        """The first address beyond ASCII, or ""."""
        return next((one for one in (self.sender, *self.recipients) if not one.isascii()), "")


class Flight:
    """One mail on its way: begun → ready → handed over → settled. Made by `Session.begin`; one task waits for it."""

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.started: Started | None = None
        self.outcome: Reply | SmtpError | None = None
        # The session's notes
        self.steps: deque[tuple[bytes, Callable[[Reply], None]]] = (
            deque()
        )  # lock step: what is still to be said
        self.judged = 0  # recipients
        self.accepted: list[str] = []
        self.refused: dict[str, Reply] = {}
        self.refusal: Refused | None = None  # decided, while answers are still to come
        self.dot_at: int | None = (
            None  # in the wire's count: once more than this was sent, nobody can take it back
        )
        self.dot_end = 0
        self.dot_left = False
        self._waiter: asyncio.Future[None] | None = None

    async def ready(self) -> Started:
        """After 354. Raises Refused (the session stays usable, unless the server closes it) or Interrupted."""
        while self.started is None and self.outcome is None:
            await self._wait()
        if isinstance(self.outcome, SmtpError):
            raise self.outcome
        assert self.started is not None
        return self.started

    async def verdict(self) -> Reply:
        """After `Session.body`: the receiver's answer, 2xx, 4xx or 5xx. Raises NoAnswer; or Interrupted, Refused if
        the session ended before the dot was written."""
        while self.outcome is None:
            await self._wait()
        if isinstance(self.outcome, SmtpError):
            raise self.outcome
        return self.outcome

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Session(Conversation):
    """One SMTP session. `mails` counts the transactions begun on it."""

    def __init__(self, sock: socket.socket, host: str, *, timeout: float, dot_timeout: float) -> None:
        self.extensions: dict[str, str] = {}
        self.pipelining = False
        self.mails = 0
        self._flights: deque[Flight] = (
            deque()
        )  # at most two: the one whose answers come next, the one behind it
        self._reset_first = False
        self._in_handshake = False
        super().__init__(sock, host, timeout=timeout, dot_timeout=dot_timeout)

    @property
    def encrypted(self) -> bool:
        return self.wire.tls is not None

    # ---- opening and leaving

    @classmethod
    async def open(
        cls,
        address: str,
        port: int,
        *,
        host: str = "",
        helo: str,
        source: str = "",
        timeout: float,
        dot_timeout: float,
        tls: Tls = "opportunistic",
    ) -> "Session":
        """Connects from `source` (an IP; "" = the system's choice). `host` is the server's name, for TLS and texts.

        `timeout` (seconds) bounds each of: all of this, an envelope up to 354, writing the body; `dot_timeout` the
        wait for the verdict. tls: "opportunistic" encrypts when offered, without checking the certificate, because
        that is still better than clear text (RFC 7435); "required" never goes on in clear. After a failed handshake
        the connection is given up: clear text only ever on a new one. Raises NoSession.
        """
        where = f"{host or address}:{port}"
        session = None
        try:
            async with asyncio.timeout(timeout):
                sock = await connect(address, port, source=source)
                session = cls(sock, host or address, timeout=timeout, dot_timeout=dot_timeout)
                await session._greet(helo, tls)
            return session
        except BaseException as error:
            if session is not None:
                session.close()
            if isinstance(error, NoSession):
                raise
            if isinstance(error, TimeoutError):
                shaking = session is not None and session._in_handshake
                text = (
                    "no answer in time in the TLS handshake" if shaking else str(error) or "no answer in time"
                )
                raise NoSession(f"{where}: {text}", tls_failed=shaking) from error
            if isinstance(error, SmtpError):
                raise NoSession(error.text, error.reply) from error
            if isinstance(error, OSError):
                raise NoSession(f"{where}: {error}") from error
            raise

    async def _greet(self, helo: str, tls: Tls) -> None:
        self._must(await self._ask(""), "greeting")
        await self._hello(helo)
        if tls == "never":
            return
        if "STARTTLS" in self.extensions:
            await self._encrypt()
            await self._hello(helo)  # RFC 3207 4.2: what was learned in clear counts no more
        elif tls == "required":
            raise NoSession(f"{self.host}: TLS is required here, and the server does not offer STARTTLS")

    async def _hello(self, helo: str) -> None:
        reply = await self._ask(f"EHLO {helo}")
        self.extensions = {}
        if reply.positive:
            for line in reply.text.split("\n")[1:]:
                name, _space, arguments = line.partition(" ")
                self.extensions[name.upper()] = arguments
        elif reply.closing or not reply.code:
            self._must(reply, "EHLO")
        else:
            self._must(await self._ask(f"HELO {helo}"), "HELO")
        self.pipelining = "PIPELINING" in self.extensions

    async def _encrypt(self) -> None:
        reply = await self._ask("STARTTLS")
        if not reply.positive:
            raise NoSession(f"{self.host}: STARTTLS: {reply.words}", reply, tls_failed=True)
        if self._buffer or self._lines or self.last_words:
            # CVE-2011-0411: what came in clear before the handshake must not count as encrypted.
            raise NoSession(f"{self.host}: the server sent text between STARTTLS and the handshake")
        self._in_handshake = True
        try:
            await self.wire.start_tls(unchecked_tls(), self.host)
        except (OSError, ValueError) as error:
            raise NoSession(f"{self.host}: the TLS handshake failed: {error}", tls_failed=True) from error
        self._in_handshake = False

    def _must(self, reply: Reply, step: str) -> None:
        if not reply.positive:
            raise NoSession(f"{self.host}: {step}: {reply.words}", reply)

    async def quit(self) -> None:
        """Says goodbye if nothing is in the air, and closes."""
        if self.usable and not self._flights and not self._expected:
            with suppress(TimeoutError, SmtpError):
                async with asyncio.timeout(QUIT_TIMEOUT):
                    await self._ask("QUIT")
        self.close()

    # ---- mails: what goes out

    def begin(self, envelope: Envelope) -> Flight:
        """Writes MAIL, RCPT … and DATA; with PIPELINING in one go, behind the dot of the mail before if that one's
        verdict is still due. At most one such flight ahead. Raises ValueError for what is no envelope address.
        On a session that has ended the flight is Interrupted from the start."""
        _check_addresses(envelope)
        if len(self._flights) > 1 or (self._flights and self._flights[0].dot_at is None):
            raise RuntimeError("the mail before is not handed over yet")
        flight = Flight(envelope)
        if not self.usable:
            flight.outcome = Interrupted(f"{self.host}: the connection has ended")
            return flight
        flight.outcome = self._impossible(envelope)
        if flight.outcome is not None:
            return flight
        self.mails += 1
        self._flights.append(flight)
        flight.steps = self._steps(flight)
        if self.pipelining:
            while flight.steps:
                self._say(*flight.steps.popleft())
        if self._flights[0] is flight:
            self._its_turn(flight)
        return flight

    def body(self, flight: Flight, data: bytes) -> None:
        """Writes the mail and the final dot. If the session has ended meanwhile, nothing: `verdict` says so."""
        if flight.outcome is not None:
            return
        if flight.started is None or flight.dot_at is not None:
            raise RuntimeError("the flight is not ready for its data")
        self.wire.write(stuff(data))
        self._dot(flight, partial(self._verdict, flight))
        self._clock(self.timeout)

    def _dot(self, flight: Flight, answered: Callable[[Reply], None]) -> None:
        flight.dot_at = self.wire.position
        self._say(b".\r\n", answered)
        flight.dot_end = self.wire.position

    def _impossible(self, envelope: Envelope) -> Refused | None:
        """What the server said it will not take, without asking it again."""
        limit = self.extensions.get("SIZE", "")
        if _NUMBER.fullmatch(limit) and 0 < int(limit) < envelope.size:
            text = f"the mail has {envelope.size} bytes, the server takes {limit}"
            return Refused(Reply(552, text, "5.3.4"), "", "SIZE")
        foreign = envelope.foreign()
        if (foreign or envelope.utf8) and "SMTPUTF8" not in self.extensions:  # CHR-5
            return Refused(Reply(553, "the server does not offer SMTPUTF8", "5.6.7"), foreign, "SMTPUTF8")
        return None

    def _steps(self, flight: Flight) -> deque[tuple[bytes, Callable[[Reply], None]]]:
        envelope = flight.envelope
        mail = f"MAIL FROM:<{envelope.sender}>"
        if "SIZE" in self.extensions:
            mail += f" SIZE={envelope.size}"
        if "8BITMIME" in self.extensions:
            mail += " BODY=8BITMIME"
        if envelope.utf8 or envelope.foreign():
            mail += " SMTPUTF8"
        steps: deque[tuple[bytes, Callable[[Reply], None]]] = deque()
        if self._reset_first:
            self._reset_first = False
            steps.append((b"RSET\r\n", partial(self._rset, flight)))
        steps.append((f"{mail}\r\n".encode(), partial(self._mail, flight)))
        for address in envelope.recipients:
            steps.append((f"RCPT TO:<{address}>\r\n".encode(), partial(self._rcpt, flight, address)))
        steps.append((b"DATA\r\n", partial(self._data, flight)))
        return steps

    def _its_turn(self, flight: Flight) -> None:
        self._clock(self.timeout)
        self._next_step(flight)

    def _next_step(self, flight: Flight) -> None:
        """Lock step: the next command, unless the mail is settled."""
        if flight.steps and flight.outcome is None:
            self._say(*flight.steps.popleft())

    # ---- mails: what the answers mean

    def _rset(self, flight: Flight, reply: Reply) -> None:
        if not reply.positive:
            self._end(f"RSET: {reply.words}", reply=reply)
        self._next_step(flight)

    def _mail(self, flight: Flight, reply: Reply) -> None:
        if not reply.positive:
            self._refuse(flight, Refused(reply, flight.envelope.sender, "MAIL"))
        self._next_step(flight)

    def _rcpt(self, flight: Flight, address: str, reply: Reply) -> None:
        envelope = flight.envelope
        flight.judged += 1
        if reply.positive:
            flight.accepted.append(address)
        elif (
            address == envelope.own
            or not 400 <= reply.code < 600
            or reply.closing
            or (reply.code < 500 and not envelope.partly)
        ):
            self._refuse(flight, Refused(reply, address, "RCPT"))
        else:
            flight.refused[address] = reply
        if flight.judged == len(envelope.recipients) and not flight.accepted and flight.refusal is None:
            first, answer = next(iter(flight.refused.items()))
            self._refuse(flight, Refused(answer, first, "RCPT"))
        self._next_step(flight)

    def _refuse(self, flight: Flight, refused: Refused) -> None:
        """The mail will not be sent. With PIPELINING its DATA is under way already: how to leave shows when that is
        answered. A server that closes or talks nonsense is left at once."""
        reply = refused.answer
        flight.refusal = flight.refusal or refused
        if reply.closing or not 400 <= reply.code < 600:
            self._settle(flight, flight.refusal)
            self._end(f"the server said: {reply.words}", reply=reply)
        elif not self.pipelining:
            self._reset_first = True
            self._settle(flight, flight.refusal)

    def _data(self, flight: Flight, reply: Reply) -> None:
        if flight.refusal is None and reply.code == 354:
            flight.started = Started(flight.accepted, flight.refused)
            self._clock(None)
            flight.wake()
            return
        refusal = flight.refusal or Refused(reply, "", "DATA")
        if reply.code == 354 and flight.accepted:
            # Somebody would get an empty mail, whatever is said now. Only the end of the connection says nothing.
            self._settle(flight, refusal)
            self.close()
        elif reply.code == 354:
            # RFC 2920 3.1: 354 although nobody was accepted; a lone dot leads out of it, and sends nothing.
            self._dot(flight, self._lone_dot)
            self._settle(flight, refusal)
        elif reply.closing or not 400 <= reply.code < 600:
            self._settle(flight, refusal)
            self._end(f"the server said: {reply.words}", reply=reply)
        else:
            self._reset_first = True
            self._settle(flight, refusal)

    def _lone_dot(self, reply: Reply) -> None:
        if reply.closing:
            self._end(f"the server said: {reply.words}", reply=reply)

    def _verdict(self, flight: Flight, reply: Reply) -> None:
        if not (reply.positive or 400 <= reply.code < 600):
            self._settle(flight, NoAnswer(f"{self.host}: {reply.words}", timed_out=False, reply=reply))
            self._end(f"the server said: {reply.words}", reply=reply)
            return
        self._settle(flight, reply)
        if reply.closing:
            self._end(f"the server said: {reply.words}", reply=reply)

    def _settle(self, flight: Flight, outcome: Reply | SmtpError) -> None:
        self._flights.popleft()
        flight.outcome = outcome
        flight.wake()
        if self._flights:
            self._its_turn(self._flights[0])
        else:
            self._clock(None)

    # ---- when the conversation breaks

    def _unasked(self, reply: Reply) -> None:
        """Before its time: in the middle of a body a no means that the mail is not taken; anything else is nonsense."""
        if self._flights:
            flight = self._flights[0]
            no = 400 <= reply.code < 600
            if flight.dot_at is not None and self.wire.sent > flight.dot_at:
                if no:
                    self._settle(flight, reply)
            elif flight.started is not None and reply.code >= 500:
                self._settle(flight, Refused(reply, "", "DATA"))
        self._end(f"not asked, the server said: {reply.words}", reply=reply)

    def _settle_all(self, text: str, *, timed_out: bool, reply: Reply | None) -> None:
        flights, self._flights = self._flights, deque()
        for flight in flights:
            if flight.dot_at is not None and self.wire.sent > flight.dot_at:
                flight.outcome = NoAnswer(text, timed_out=timed_out, reply=reply)
            else:
                flight.outcome = Interrupted(text, reply)
            flight.wake()

    def _flushed(self) -> None:
        """The time of the verdict begins when the dot has left."""
        if self._flights:
            flight = self._flights[0]
            if flight.dot_at is not None and not flight.dot_left and self.wire.sent >= flight.dot_end:
                flight.dot_left = True
                self._clock(self.dot_timeout)


def _check_addresses(envelope: Envelope) -> None:
    for address in (envelope.sender, *envelope.recipients):
        if _DANGEROUS.search(address):
            raise ValueError(f"no envelope address: {address!r}")
    if not envelope.recipients:
        raise ValueError("a mail without recipients")
