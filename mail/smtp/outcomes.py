"""What can become of a mail that is handed over, in exactly one of these ways:

NoSession                      there was no session; no mail was touched
Refused, Interrupted           the final dot was not written: the receiver has certainly not taken the mail
Reply (mail/smtp/replies.py)   the receiver's verdict on the whole mail: 2xx, 4xx or 5xx
NoAnswer                       the dot was written, even if only partly, and no answer came: nobody can know
"""

from dataclasses import dataclass, field

from mail.smtp.replies import Reply, clean_text


class SmtpError(Exception):
    """Something went wrong; `reply` is the server's own answer if there was one."""

    def __init__(self, text: str, reply: Reply | None = None) -> None:
        super().__init__(text)
        self.text = clean_text(text)
        self.reply = reply


class NoSession(SmtpError):
    """No session with the server: unreachable, silent, greeting or TLS failed. No mail's fault.

    `tls_failed`: STARTTLS was offered and did not work. The policy decides whether the same host may be asked once
    more in clear, on a new connection with tls="never" (RFC 7435)."""

    def __init__(self, text: str, reply: Reply | None = None, *, tls_failed: bool = False) -> None:
        super().__init__(text, reply)
        self.tls_failed = tls_failed


class Interrupted(SmtpError):
    """The connection broke or fell silent before the final dot was written: the mail was certainly not taken."""


class NoAnswer(SmtpError):
    """The dot went out and no answer came. `timed_out`: the server stayed silent; otherwise the connection broke,
    or what came was no SMTP answer."""

    def __init__(self, text: str, *, timed_out: bool, reply: Reply | None = None) -> None:
        super().__init__(text, reply)
        self.timed_out = timed_out


class Refused(SmtpError):
    """The server said no before the data was complete. `address` is what it refused: a recipient, the sender, or ""
    for the rest. Nothing was sent."""

    def __init__(self, reply: Reply, address: str, command: str) -> None:
        super().__init__(f"{command}: {reply.words}", reply)
        self.answer = reply
        self.address = address
        self.command = command


@dataclass(frozen=True)
class Started:
    """After 354: who will get the mail, and who was refused while the rest goes on (ADDR-4)."""

    accepted: list[str]
    refused: dict[str, Reply] = field(default_factory=dict)
