"""Polling a mailbox for returned mail (IMAP4rev1, RFC 3501), for installations whose bounce domain leads to one.

A mail is marked as handled (\\Seen and, where the server allows it, the keyword $SMPHandled), or moved, only after what
it changed is committed. A crash in between is harmless: taken again, it is known (ReturnedMail.digest).
"""

import imaplib
import logging
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.conf import settings
from django.core.cache import cache
from django.db import Error as DatabaseError
from redis.exceptions import RedisError

from mail.bounces.receive import READ_MAX, receive
from mail.models import ReturnedSource

logger = logging.getLogger(__name__)

TIMEOUT = 30.0  # seconds for each answer of the server
ROUND = 200  # mails of one poll; the next one goes on
HANDLED = "$SMPHandled"
STATUS_KEY = "smp:imap"  # in the cache, for doctor: what the last poll did
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class MailboxError(Exception):
    """The mailbox could not be read; the text says why."""


@dataclass(frozen=True)
class Mailbox:
    """Where bounces are fetched. `move_to`: a folder for what was handled, "" = it stays and is marked."""

    host: str
    port: int
    user: str
    password: str
    folder: str = "INBOX"
    move_to: str = ""
    tls: bool = True

    @property
    def name(self) -> str:
        return f"{self.user} at {self.host}, {self.folder}"


@dataclass(frozen=True)
class Polled:
    """`later`: mails that stay because the mail they are about is still in the air; `failed`: left and logged."""

    taken: int = 0
    changed: int = 0
    later: int = 0
    failed: int = 0


def mailbox_of(url: str, password: str) -> Mailbox | None:
    """SMP_BOUNCE_IMAP, `imaps://user@host/INBOX` (user percent-encoded; `?move=Folder`), read. None when it is not set;
    MailboxError says what is wrong with it. Clear text (`imap://`) goes to this machine only."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, user, port = parts.hostname or "", unquote(parts.username or ""), parts.port
    except ValueError as error:
        raise MailboxError(f"SMP_BOUNCE_IMAP: {error}") from error
    if parts.scheme not in {"imaps", "imap"} or not host or not user:
        raise MailboxError("SMP_BOUNCE_IMAP: expected imaps://user@host/INBOX")
    if parts.password:
        raise MailboxError("SMP_BOUNCE_IMAP: the password belongs into SMP_BOUNCE_IMAP_PASSWORD (or …_FILE)")
    if not password:
        raise MailboxError("SMP_BOUNCE_IMAP_PASSWORD is not set")
    tls = parts.scheme == "imaps"
    if not tls and host not in LOOPBACK:
        raise MailboxError("SMP_BOUNCE_IMAP: without TLS only a mailbox on this machine; use imaps://")
    folder = unquote(parts.path.strip("/")) or "INBOX"
    move_to = parse_qs(parts.query).get("move", [""])[0]
    if any(ord(character) < 32 or not character.isascii() for character in user + folder + move_to):
        raise MailboxError("SMP_BOUNCE_IMAP: user and folder names in ASCII (modified UTF-7) only")
    return Mailbox(host, port or (993 if tls else 143), user, password, folder, move_to, tls)


def configured_mailbox() -> Mailbox | None:
    return mailbox_of(settings.BOUNCE_IMAP, settings.BOUNCE_IMAP_PASSWORD)


def poll(mailbox: Mailbox) -> Polled:
    """Takes up to ROUND unhandled mails. MailboxError when the mailbox or its server fails; a mail that fails is left
    for the next poll and does not keep the others back. DatabaseError ends the round: everything comes again."""
    with _opened(mailbox) as connection:
        keyword = _keeps_keywords(connection)
        wanted = f"UNKEYWORD {HANDLED}" if keyword else "UNSEEN"
        numbers = _ok(connection.uid("SEARCH", f"UNDELETED {wanted}"))
        uids = (numbers[0] or b"").split()[:ROUND]
        return _take_all(connection, mailbox, uids, keyword)


def look(mailbox: Mailbox, *, timeout: float = TIMEOUT) -> str:
    """How many mails are in it. For doctor: changes nothing. MailboxError when it cannot be opened."""
    with _opened(mailbox, readonly=True, timeout=timeout) as connection:
        count = (connection.response("EXISTS")[1] or [b"?"])[-1] or b"?"
        return count.decode("ascii", "replace")


def _take_all(connection: imaplib.IMAP4, mailbox: Mailbox, uids: list[bytes], keyword: bool) -> Polled:
    taken = changed = later = failed = 0
    for uid in uids:
        raw = _fetch(connection, uid)
        if raw is None:  # somebody else took it meanwhile
            continue
        try:
            received = receive(raw, source=ReturnedSource.MAILBOX)
        except DatabaseError:
            raise
        except Exception:
            logger.exception("mail %s of %s could not be handled", uid, mailbox.name)
            failed += 1
            continue
        if received.kind == "too_early":
            later += 1
            continue
        _done(connection, mailbox, uid, keyword)
        taken += 1
        changed += received.changed
    return Polled(taken, changed, later, failed)


def _fetch(connection: imaplib.IMAP4, uid: bytes) -> bytes | None:
    """The mail, at most READ_MAX bytes of it, without marking it as seen."""
    answer = _ok(connection.uid("FETCH", uid.decode("ascii"), f"(BODY.PEEK[]<0.{READ_MAX}>)"))
    return next((bytes(part[1]) for part in answer if isinstance(part, tuple) and len(part) > 1), None)


def _done(connection: imaplib.IMAP4, mailbox: Mailbox, uid: bytes, keyword: bool) -> None:
    """After the commit."""
    number = uid.decode("ascii")
    flags = f"(\\Seen {HANDLED})" if keyword else "(\\Seen)"
    _ok(connection.uid("STORE", number, "+FLAGS.SILENT", flags))
    if mailbox.move_to and "MOVE" in connection.capabilities:  # RFC 6851
        _ok(connection.uid("MOVE", number, _quoted(mailbox.move_to)))


@contextmanager
def _opened(mailbox: Mailbox, *, readonly: bool = False, timeout: float = TIMEOUT) -> Iterator[imaplib.IMAP4]:
    connection: imaplib.IMAP4 | None = None
    try:
        if mailbox.tls:
            context = ssl.create_default_context()
            connection = imaplib.IMAP4_SSL(mailbox.host, mailbox.port, ssl_context=context, timeout=timeout)
        else:
            connection = imaplib.IMAP4(mailbox.host, mailbox.port, timeout=timeout)
        connection.login(_quoted(mailbox.user), mailbox.password)
        _ok(connection.select(_quoted(mailbox.folder), readonly=readonly))
        yield connection
    except (imaplib.IMAP4.error, OSError, EOFError) as error:
        raise MailboxError(f"{mailbox.name}: {error}") from error
    finally:
        if connection is not None:
            with suppress(imaplib.IMAP4.error, OSError, EOFError):
                connection.logout()


def _keeps_keywords(connection: imaplib.IMAP4) -> bool:
    """Whether the mailbox lets us make keywords (RFC 3501 7.1, PERMANENTFLAGS \\*) or has ours."""
    flags = b" ".join(part for part in connection.response("PERMANENTFLAGS")[1] or [] if part)
    return rb"\*" in flags or HANDLED.encode() in flags


def _ok(answer: tuple[str, Any]) -> list[Any]:
    kind, data = answer
    if kind != "OK":
        raise MailboxError(re.sub(r"[^\x20-\x7e]", " ", repr(data))[:200])
    return list(data)


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def remember(polled: Polled | None, error: str, *, at: float) -> None:
    """For doctor: when the mailbox was last read, and what stood in the way."""
    try:
        cache.set(
            STATUS_KEY, {"at": at, "taken": polled.taken if polled else 0, "error": error}, timeout=86400
        )
    except (RedisError, OSError) as away:
        logger.warning("the cache does not answer: %s", away)


def last_poll() -> dict[str, Any] | None:
    """{"at": Unix time, "taken": number, "error": text} of the last poll within a day; None if there was none, or the
    cache does not answer."""
    try:
        found = cache.get(STATUS_KEY)
    except (RedisError, OSError):
        return None
    return found if isinstance(found, dict) else None
