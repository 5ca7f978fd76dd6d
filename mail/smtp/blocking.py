"""A blocking SMTP client whose phases are separate, because the sending promise needs to act between them:

    connection = Connection.open(…)                    greeting, EHLO, STARTTLS   → RelayTrouble
    started = connection.start(sender, recipients, …)  MAIL, RCPT …, DATA → 354   → Refused, Interrupted: safe to retry
    (the intent is committed here)
    connection.send_body(data)                         everything but the dot     → Interrupted: safe to retry
    reply = connection.send_dot()                      the dot, up to 10 minutes  → NoAnswer: nobody can know

RFC 5321. Not here: MX look-ups, connection pools, PIPELINING, retries.
"""

import select
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from mail.smtp.replies import Reply, clean_text, parse_reply

LINE_MAX = 4096  # RFC 5321 4.5.3.1.5 says 512; real servers exceed it
LINES_MAX = 100
CONNECT_TIMEOUT = 30.0


class SmtpError(Exception):
    """Something went wrong; `reply` is the server's own answer if there was one."""

    def __init__(self, text: str, reply: Reply | None = None) -> None:
        super().__init__(text)
        self.text = clean_text(text)
        self.reply = reply


class RelayTrouble(SmtpError):
    """No session with the server: refused, unreachable, no DNS, TLS or greeting failed. No mail's fault."""


class Interrupted(SmtpError):
    """The connection broke or fell silent before the final dot was written: the mail was certainly not taken."""


class NoAnswer(SmtpError):
    """The dot went out and no answer came. `timed_out`: the server stayed silent; otherwise the connection broke,
    or what came was no SMTP answer."""

    def __init__(self, text: str, *, timed_out: bool, reply: Reply | None = None) -> None:
        super().__init__(text, reply)
        self.timed_out = timed_out


class Refused(SmtpError):
    """The server said no before the data. `address` is what it refused: a recipient, the sender, or "" for the rest.
    The transaction was reset; nothing was sent."""

    def __init__(self, reply: Reply, address: str, command: str) -> None:
        super().__init__(f"{command}: {reply.code} {reply.text}", reply)
        self.answer = reply
        self.address = address
        self.command = command


@dataclass(frozen=True)
class Started:
    """After 354: who will get the mail, and who was refused while the rest goes on (ADDR-4)."""

    accepted: list[str]
    refused: dict[str, Reply] = field(default_factory=dict)


class Connection:
    """One SMTP session. `mails` counts the transactions begun on it."""

    def __init__(self, sock: socket.socket, host: str, *, timeout: float, dot_timeout: float) -> None:
        self.sock = sock
        self.host = host
        self.timeout = timeout
        self.dot_timeout = dot_timeout
        self.extensions: dict[str, str] = {}
        self.mails = 0
        self.in_transaction = False
        self.usable = True
        self._buffer = b""
        self._deadline = time.monotonic() + timeout

    # ---- session

    @classmethod
    def open(
        cls, host: str, port: int, *, helo: str, timeout: float, dot_timeout: float, starttls: bool = True
    ) -> "Connection":
        """`timeout` bounds each of: the set-up, everything up to 354, the body. Raises RelayTrouble."""
        try:
            sock = socket.create_connection((host, port), timeout=min(timeout, CONNECT_TIMEOUT))
        except OSError as error:
            raise RelayTrouble(f"{host}:{port}: {error}") from error
        connection = cls(sock, host, timeout=timeout, dot_timeout=dot_timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection._greet(helo, starttls)
        except RelayTrouble:
            connection.close()
            raise
        except (OSError, SmtpError) as error:
            connection.close()
            raise RelayTrouble(f"{host}:{port}: {error}") from error
        return connection

    def _greet(self, helo: str, starttls: bool) -> None:
        self._start_clock()
        self._expect(self._read_reply(), "greeting")
        self._hello(helo)
        if starttls and "STARTTLS" in self.extensions:
            self._expect(self._ask("STARTTLS"), "STARTTLS")
            if (
                self._buffer
            ):  # CVE-2011-0411: what came in clear before the handshake must not count as encrypted
                raise RelayTrouble("the server sent text between STARTTLS and the handshake")
            # Opportunistic: a certificate that cannot be checked is still better than clear text (RFC 7435).
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.sock.settimeout(self._remaining())
            self.sock = context.wrap_socket(self.sock, server_hostname=self.host)
            self._hello(helo)

    def _hello(self, helo: str) -> None:
        reply = self._ask(f"EHLO {helo}")
        self.extensions = {}
        if reply.positive:
            for line in reply.text.split("\n")[1:]:
                name, _space, arguments = line.partition(" ")
                self.extensions[name.upper()] = arguments
        else:
            self._expect(self._ask(f"HELO {helo}"), "HELO")

    def _expect(self, reply: Reply, step: str) -> None:
        if not reply.positive:
            raise RelayTrouble(f"{step}: {reply.code or ''} {reply.text}".strip(), reply)

    # ---- one mail

    def start(
        self, sender: str, recipients: Sequence[str], *, size: int, own: str = "", partly: bool = False
    ) -> Started:
        """MAIL, every RCPT and DATA in one transaction; returns after 354.

        The lead's `own` address refused → nothing is sent. Another one refused for good → the rest goes on. Any
        temporary refusal → the whole mail waits, because nothing was sent yet; with `partly` (the last attempt)
        it goes to those that were accepted. Raises Refused (the session stays usable) or Interrupted (it does not).
        """
        self._start_clock()
        self.mails += 1
        for address in (sender, *recipients):
            if any(ord(c) < 33 or ord(c) == 127 for c in address) or "<" in address or ">" in address:
                raise ValueError(f"no envelope address: {address!r}")
        try:
            if self.in_transaction:
                self._reset()
            self._mail(sender, recipients, size)
            started = self._rcpt(recipients, own, partly)
            reply = self._ask("DATA")
            if reply.code != 354:
                self._refuse(reply, "", "DATA")
            return started
        except OSError as error:
            self.close()
            raise Interrupted(f"{self.host}: {error or 'connection lost'}") from error
        except Interrupted:
            self.close()
            raise

    def _mail(self, sender: str, recipients: Sequence[str], size: int) -> None:
        limit = self.extensions.get("SIZE", "")
        if limit.isdigit() and 0 < int(limit) < size:
            text = f"the mail has {size} bytes, the server takes {limit}"
            raise Refused(Reply(552, text, "5.3.4"), "", "SIZE")
        command = f"MAIL FROM:<{sender}>"
        if "SIZE" in self.extensions:
            command += f" SIZE={size}"
        if "8BITMIME" in self.extensions:
            command += " BODY=8BITMIME"
        foreign = next((address for address in (sender, *recipients) if not address.isascii()), "")
        if foreign:
            if "SMTPUTF8" not in self.extensions:  # CHR-5
                raise Refused(Reply(553, "the server does not offer SMTPUTF8", "5.6.7"), foreign, "SMTPUTF8")
            command += " SMTPUTF8"
        self.in_transaction = True
        reply = self._ask(command)
        if not reply.positive:
            self._refuse(reply, sender, "MAIL")

    def _rcpt(self, recipients: Sequence[str], own: str, partly: bool) -> Started:
        accepted: list[str] = []
        refused: dict[str, Reply] = {}
        for address in recipients:
            reply = self._ask(f"RCPT TO:<{address}>")
            if reply.positive:
                accepted.append(address)
                continue
            if address == own or reply.closing or not reply.code or (reply.code < 500 and not partly):
                self._refuse(reply, address, "RCPT")
            refused[address] = reply
        if not accepted:
            address, reply = next(iter(refused.items()))
            self._refuse(reply, address, "RCPT")
        return Started(accepted, refused)

    def _refuse(self, reply: Reply, address: str, command: str) -> None:
        """Leaves the transaction and raises Refused; a server that talks nonsense or closes is left altogether."""
        if reply.closing or not reply.code or not 400 <= reply.code < 600:
            self.close()
        else:
            with suppress(OSError, SmtpError):
                self._reset()
        raise Refused(reply, address, command)

    def _reset(self) -> None:
        reply = self._ask("RSET")
        if not reply.positive:
            raise Interrupted(f"RSET: {reply.code} {reply.text}", reply)
        self.in_transaction = False

    def send_body(self, data: bytes) -> None:
        """Everything but the final dot. Raises Interrupted, or Refused when the server says no in the middle:
        without the dot no server may take the mail."""
        self._start_clock()
        try:
            self.sock.settimeout(self._remaining())
            self.sock.sendall(stuff(data))
            if self._buffer or self._readable():
                self._interrupted_by(self._read_reply())
        except (OSError, Interrupted) as error:
            self.close()
            raise Interrupted(
                f"{self.host}: {error or 'connection lost'}", getattr(error, "reply", None)
            ) from error

    def _readable(self) -> bool:
        """Whether the server said something, or left, before it was asked."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def _interrupted_by(self, reply: Reply) -> None:
        self.close()
        if 500 <= reply.code < 600:
            raise Refused(reply, "", "DATA")
        raise Interrupted(f"{self.host}: {reply.code or ''} {reply.text}", reply)

    def send_dot(self) -> Reply:
        """Writes the dot and waits for the verdict: 2xx, 4xx or 5xx. Raises NoAnswer for everything else."""
        self._deadline = time.monotonic() + self.dot_timeout
        self.in_transaction = False
        try:
            self.sock.settimeout(self._remaining())
            self.sock.sendall(b".\r\n")
            reply = self._read_reply()
        except TimeoutError as error:
            self.close()
            raise NoAnswer(f"{self.host}: no answer after the data", timed_out=True) from error
        except (OSError, Interrupted) as error:
            self.close()
            raise NoAnswer(f"{self.host}: {error or 'connection lost'}", timed_out=False) from error
        if not reply.positive and reply.code < 400:
            self.close()
            raise NoAnswer(f"{self.host}: {reply.code or ''} {reply.text}", timed_out=False, reply=reply)
        if reply.closing:
            self.close()
        return reply

    def quit(self) -> None:
        if self.usable:
            self._deadline = time.monotonic() + 2
            with suppress(OSError, SmtpError):
                self._ask("QUIT")
        self.close()

    def close(self) -> None:
        """Without a word. In the middle of DATA this is the only way not to send."""
        self.usable = False
        with suppress(OSError):
            self.sock.close()

    # ---- lines

    def _start_clock(self) -> None:
        self._deadline = time.monotonic() + self.timeout

    def _remaining(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def _ask(self, command: str) -> Reply:
        if self._buffer:
            # An answer to nothing: from here on nobody could tell which answer belongs to which command.
            self._buffer = b""
            self.close()
            raise Interrupted("the server answered before it was asked")
        self.sock.settimeout(self._remaining())
        self.sock.sendall(command.encode("utf-8") + b"\r\n")
        return self._read_reply()

    def _read_reply(self) -> Reply:
        lines: list[bytes] = []
        while len(lines) < LINES_MAX:
            line = self._read_line()
            lines.append(line)
            if line[3:4] != b"-" or not line[:3].isdigit():
                return parse_reply(lines)
        return Reply(0, clean_text(b"\n".join(lines)))

    def _read_line(self) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_MAX:
                line, self._buffer = self._buffer, b""
                self.usable = False
                return line
            self.sock.settimeout(self._remaining())
            received = self.sock.recv(4096)
            if not received:
                raise Interrupted("the server closed the connection")
            self._buffer += received
        line, _newline, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r")


def stuff(data: bytes) -> bytes:
    """The data as it goes over the wire, ending with CRLF, without the final dot.

    Every CR, LF and CRLF becomes CRLF before dots are doubled: a lone CR or LF that another server reads as a line
    end is how a second mail is smuggled in (CVE-2023-51764 and its kin).
    """
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)
