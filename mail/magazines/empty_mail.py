"""Registration by empty mail (MAG-13): a mail to the magazine's own address (mail/links.py) asks for a registration of its
sender. From can be forged, so it only asks: the answer is the confirmation mail of requests.py, never a registration.

Whom it answers, so that nobody is flooded and nothing answers itself:
- no machine: no null sender, Auto-Submitted, bulk or list mail (RFC 3834), report, auto-reply, or mail of our own;
- one From field with one well-formed address; where the envelope's sender is known it has the same domain, or one is below
  the other (as DMARC aligns them), otherwise somebody's server sends in another's name;
- few an hour from one address, and for one magazine.
"""

from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import getaddresses

from django.conf import settings

from leads.address import check_email, normalise_email
from mail.bounces.forwarded_mail import was_forwarded
from mail.bounces.read import read_report
from mail.links import read_empty_mail, read_message_id
from mail.magazines.reader_words import EMPTY_MAIL
from mail.magazines.requests import ask
from mail.models import Magazine, ReaderRequest, ReaderWay, ReturnedNote
from smp.lib.rate_limit import too_many

LARGE = 256 * 1024  # bytes; signatures with pictures are smaller
BY_ADDRESS = (3, 3600)  # times, seconds
BY_MAGAZINE = (300, 600)
_HEAD_MAX = 64 * 1024
_BRACKETS_MAX = 20
_RECIPIENTS = ("delivered-to", "x-original-to", "envelope-to", "to", "cc")
_MACHINES = (
    "list-id", "list-post", "list-unsubscribe", "mailing-list", "x-autoreply", "x-autorespond", "x-loop",
    "feedback-id",
)  # fmt: skip
_BULK = frozenset({"bulk", "list", "junk", "auto_reply"})


@dataclass(frozen=True)
class EmptyMail:
    """`request`: what was noted; without one `note` says why (ReturnedNote). `address`: From, as far as it is clear."""

    magazine: Magazine | None
    address: str
    note: str = ""
    request: ReaderRequest | None = None


def magazine_addressed(raw: bytes, recipient: str | None) -> int | None:
    """The magazine whose address the mail went to: the envelope's recipient, or where it is not known (a mailbox, a pipe)
    the fields that name it. None for every other mail."""
    if recipient is not None:
        return read_empty_mail(recipient)
    head = _head(raw)
    found = (read_empty_mail(one) for name in _RECIPIENTS for one in _addresses(head, name))
    return next((magazine_id for magazine_id in found if magazine_id is not None), None)


def take(raw: bytes, magazine_id: int, *, sender: str | None, now: datetime) -> EmptyMail:
    """Notes the wish to register. `sender`: the envelope's, "" = the null sender, None = not known."""
    magazine = Magazine.objects.filter(pk=magazine_id, archived_at=None).first()
    head = _head(raw)
    address = _one_sender(head)
    if magazine is None or not magazine.registration_open or not magazine.empty_mail:
        return EmptyMail(magazine, address, ReturnedNote.CLOSED)
    if len(raw) > LARGE:
        return EmptyMail(magazine, address, ReturnedNote.LARGE)
    envelope = _envelope(head, sender)
    if envelope == "" or _from_a_machine(head, raw) or _is_ours(head, address, magazine):
        return EmptyMail(magazine, address, ReturnedNote.AUTOMATIC)
    if not address or (envelope is not None and not _aligned(envelope, address)):
        return EmptyMail(magazine, address, ReturnedNote.SENDER)
    if too_many(
        "empty-mail", normalise_email(address), limit=BY_ADDRESS[0], seconds=BY_ADDRESS[1]
    ) or too_many("empty-mail-to", str(magazine.pk), limit=BY_MAGAZINE[0], seconds=BY_MAGAZINE[1]):
        return EmptyMail(magazine, address, ReturnedNote.TOO_OFTEN)
    request = ask(
        magazine, address, {}, way=ReaderWay.EMPTY_MAIL, language="ja", source=EMPTY_MAIL, ip=None, now=now
    )
    return EmptyMail(magazine, address, request=request)


def _head(raw: bytes) -> Message:
    return BytesHeaderParser(policy=compat32).parsebytes(raw[:_HEAD_MAX])


def _fields(head: Message, name: str) -> list[str]:
    return [str(value) for value in head.get_all(name, [])]


def _addresses(head: Message, name: str) -> list[str]:
    """Those of fields that people write: Python's reader goes one call deeper with each bracket."""
    fields = [value for value in _fields(head, name) if value.count("(") <= _BRACKETS_MAX]
    return [address for _name, address in getaddresses(fields) if address]


def _one_sender(head: Message) -> str:
    """The address of From; "" when there is none, or not one."""
    addresses = _addresses(head, "from")
    if len(_fields(head, "from")) != 1 or len(addresses) != 1:
        return ""
    check = check_email(addresses[0])
    return "" if check.malformed or not check.norm else check.address


def _envelope(head: Message, sender: str | None) -> str | None:
    """The envelope's sender, of the session or as the last server wrote it down."""
    if sender is None:
        written = _fields(head, "return-path")
        sender = written[0] if written else None
    return None if sender is None else sender.strip().strip("<>").strip().lower()


def _from_a_machine(head: Message, raw: bytes) -> bool:
    if any(_fields(head, name) for name in _MACHINES):
        return True
    submitted = [value.partition(";")[0].strip().lower() for value in _fields(head, "auto-submitted")]
    if any(value != "no" for value in submitted):
        return True
    if any(value.strip().lower() in _BULK for value in _fields(head, "precedence")):
        return True
    return read_report(raw).kind != "other"


def _is_ours(head: Message, address: str, magazine: Magazine) -> bool:
    if any(read_message_id(value) is not None for value in _fields(head, "message-id")):
        return True
    norm = normalise_email(address)
    domain = norm.rpartition("@")[2]
    ours = {settings.BOUNCE_DOMAIN.lower(), settings.MAIL_DOMAIN.lower()}
    return domain in ours or norm == normalise_email(magazine.from_address) or was_forwarded(bytes(head))


def _aligned(envelope: str, address: str) -> bool:
    one, other = envelope.rpartition("@")[2], normalise_email(address).rpartition("@")[2]
    return bool(one) and (one == other or one.endswith(f".{other}") or other.endswith(f".{one}"))
