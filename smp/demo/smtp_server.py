"""A real SMTP server that keeps every mail as it came: the demo's inbox, and the sink of the tests.

A mail is on disk (file and folder fsynced) before its 250 goes out, so a file is the proof of an acceptance
and a 250 without a file cannot happen, whoever is killed. What it refuses is up to its `Rules`.
"""

import asyncio
import itertools
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from smp.demo.in_thread import InThread

MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class ReceivedMail:
    """One accepted mail: the envelope, and the bytes between DATA and the final dot."""

    id: str
    received_at: datetime
    peer: str
    sender: str
    recipients: tuple[str, ...]
    raw: bytes


class MailFolder:
    """Files `<id>.mail`: one line of JSON (the envelope), then the mail's bytes. Ids sort by time of arrival."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._counter = itertools.count()

    def keep(self, *, sender: str, recipients: list[str], raw: bytes, peer: str) -> ReceivedMail:
        """Returns when the mail would survive a power cut."""
        mail_id = f"{time.time_ns():020d}-{os.getpid()}-{next(self._counter)}"
        envelope = {
            "sender": sender,
            "recipients": recipients,
            "peer": peer,
            "received_at": datetime.now(UTC).isoformat(),
        }
        temporary = self.folder / f"{mail_id}.tmp"
        with temporary.open("wb") as file:
            file.write(json.dumps(envelope).encode() + b"\n" + raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._path(mail_id))
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return self.read(mail_id)

    def ids(self) -> list[str]:
        """Oldest first."""
        return sorted(path.stem for path in self.folder.glob("*.mail"))

    def read(self, mail_id: str) -> ReceivedMail:
        """FileNotFoundError when there is no such mail."""
        if not mail_id.replace("-", "").isdigit():
            raise FileNotFoundError(mail_id)
        head, _, raw = self._path(mail_id).read_bytes().partition(b"\n")
        envelope = json.loads(head)
        return ReceivedMail(
            id=mail_id,
            received_at=datetime.fromisoformat(envelope["received_at"]),
            peer=envelope["peer"],
            sender=envelope["sender"],
            recipients=tuple(envelope["recipients"]),
            raw=raw,
        )

    def mails(self) -> Iterator[ReceivedMail]:
        """Oldest first."""
        return (self.read(mail_id) for mail_id in self.ids())

    def _path(self, mail_id: str) -> Path:
        return self.folder / f"{mail_id}.mail"


class Rules:
    """What the server answers. Each answer is an SMTP reply line; None goes on as usual. Subclass to misbehave."""

    def sender(self, address: str) -> str | None:
        return None

    def recipient(self, address: str) -> str | None:
        return None

    async def data(self, sender: str, recipients: list[str], raw: bytes) -> str | None:
        """Before the mail is kept: an answer here means that it is not."""
        return None

    async def kept(self, mail: ReceivedMail) -> str | None:
        """After the mail is kept and before the 250: an answer here is given instead of it."""
        return None


class Handler:
    """aiosmtpd's hooks. A closed connection instead of an answer: raise ConnectionAbortedError in a rule."""

    def __init__(self, folder: MailFolder, rules: Rules) -> None:
        self.folder = folder
        self.rules = rules

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, mail_options: list[str]
    ) -> str:
        if answer := self.rules.sender(address):
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(mail_options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        if answer := self.rules.recipient(address):
            return answer
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        sender = (envelope.mail_from or "").strip("<>")  # aiosmtpd gives the empty path as "<>"
        recipients = list(envelope.rcpt_tos)
        raw = envelope.original_content or b""
        try:
            if answer := await self.rules.data(sender, recipients, raw):
                return answer
            mail = self.folder.keep(sender=sender, recipients=recipients, raw=raw, peer=str(session.peer))
            return await self.rules.kept(mail) or f"250 2.0.0 OK kept as {mail.id}"
        except ConnectionAbortedError:
            if server.transport:
                server.transport.abort()
            return "421 4.3.0 Connection lost"


class SmtpServer(InThread):
    """Listens on host:port (0 = any free port, then `port` says which), in a thread or for ever.

    with SmtpServer(folder) as server:
        … server.address … list(server.folder.mails())
    """

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", port: int = 0, rules: Rules | None = None
    ) -> None:
        self.folder = MailFolder(folder)
        self.host, self.port = host, port
        self.rules = rules or Rules()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def _protocol(self) -> SMTP:
        return SMTP(
            Handler(self.folder, self.rules),
            hostname="inbox.example",
            ident="SMP demo inbox",
            data_size_limit=MAX_BYTES,
            enable_SMTPUTF8=True,
            loop=asyncio.get_running_loop(),
        )

    async def listen(self) -> asyncio.Server:
        """OSError when the port is taken."""
        server = await asyncio.get_running_loop().create_server(self._protocol, self.host, self.port)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def serve_forever(self) -> None:
        async with await self.listen() as server:
            await server.serve_forever()

    async def begin(self) -> None:
        self._server = await self.listen()

    def end(self) -> None:
        self._server.close()
