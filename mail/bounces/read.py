"""Reading any returned mail: what it is, whose mail failed and why. Pure and total: never raises, whatever comes in, and
takes bounded time and memory.

In this order: feedback reports (RFC 5965), delivery status (RFC 3464, 6533), receipts (RFC 8098), auto-replies
(RFC 3834) and the like, then what servers write in words, last the detectors of flufl.bounce. The cause of each failure
comes from mail/bounces/cause.py alone.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from mail.bounces.cause import cause_of, is_hard
from mail.bounces.detectors import detected_recipients
from mail.bounces.feedback import NO_COMPLAINT, feedback_fields
from mail.bounces.kinds import (
    answers_like_a_person,
    claims_in_headers,
    from_a_daemon,
    is_auto_reply,
    is_something_else,
    is_warning,
    says_it_failed,
    still_trying,
)
from mail.bounces.mime import Part, parse
from mail.bounces.notification import Notification, addresses_in, take_apart, unique
from mail.bounces.reasons import reported_cause
from mail.bounces.status_fields import RecipientFields, recipient_fields
from mail.bounces.wording import Named, named_recipients
from mail.models.delivery import Cause
from mail.smtp.replies import clean_text

logger = logging.getLogger(__name__)

DIAGNOSTIC_MAX = 1000


@dataclass(frozen=True)
class FailedRecipient:
    """One address a report is about. `address`: the one we sent to, as far as the report tells.

    `action`: failed or delayed. `status`: RFC 3463 or "". `diagnostic`: the server's own words, cleaned.
    """

    address: str
    action: str
    status: str
    diagnostic: str
    cause: Cause
    hard: bool


@dataclass(frozen=True)
class Report:
    """What a mail that came back is.

    `kind`: failure · delayed · report (of success) · complaint · receipt · auto_reply · other (nothing of these).
    `recipients`: whose mail failed, or is delayed; of a complaint whose it was, if the report tells; otherwise [].
    `original`: of the returned copy, for finding our delivery when the envelope does not tell: message-id, from, to,
    list-unsubscribe, return-path. `feedback_type` and `reported_by` are of complaints (RFC 5965).
    """

    kind: str
    recipients: list[FailedRecipient] = field(default_factory=list)
    original: dict[str, str] = field(default_factory=dict)
    subject: str = ""
    feedback_type: str = ""
    original_mail_from: str = ""
    reported_by: str = ""


def read_report(raw: bytes) -> Report:
    try:
        return _read(raw)
    except Exception:
        # A mistake of ours, not of the mail's: every reader is total by itself, and tests try hard to prove it.
        logger.exception("a returned mail of %d bytes could not be read", len(raw))
        return Report("other")


def _read(raw: bytes, *, wrapped: bool = False) -> Report:
    root = parse(raw)
    apart = take_apart(root)
    subject = clean_text(root.shown("subject"), 500)
    original = _original(apart)
    inner = None if wrapped else _wrapped_report(root)
    if inner is not None:
        return _read(inner, wrapped=True)
    feedback = feedback_fields(root)
    if feedback is not None:
        return _complaint(feedback, original, subject)
    statuses = recipient_fields(root)
    if statuses:
        if answers_like_a_person(root) and all(fields.status.startswith("4.7.") for fields in statuses):
            return Report(
                "other", original=original, subject=subject
            )  # a challenge: "first confirm that you are one"
        return _from_statuses(statuses, apart, original, subject)
    kind = _kind_without_status(root, apart.notice)
    if kind not in {"failure", "delayed"}:
        return Report(kind, original=original, subject=subject)
    named = _named(root, apart, raw)
    if not named and not claims_in_headers(root):
        return Report("other", original=original, subject=subject)
    if kind == "delayed" and not still_trying(apart.notice) and _says_hard(named, apart, subject):
        kind = "failure"  # only the subject looked like a warning
    action = "delayed" if kind == "delayed" else "failed"
    recipients = [_failed(one.address, action, "", one.reason, apart, subject) for one in named]
    return Report(kind, recipients, original, subject)


def _wrapped_report(root: Part) -> bytes | None:
    """A report that a list server passed on as an attachment (Mailman's "uncaught bounce")."""
    if not re.search(r"bounce", root.shown("subject") + root.shown("from"), re.IGNORECASE):
        return None
    if root.type == "multipart/report":
        return None
    for part in root.walk():
        if part.is_message and part.parts and part.parts[0].type == "multipart/report":
            return part.decoded()
    return None


def _kind_without_status(root: Part, notice: str) -> str:
    types = {part.type for part in root.walk()}
    if "message/disposition-notification" in types:
        # Dovecot says so that it refused a mail at the door
        rejected = re.search(
            r"automatic(?:ally)? reject", root.shown("subject") + notice[:500], re.IGNORECASE
        )
        return "failure" if rejected else "receipt"
    if is_auto_reply(root, notice):
        return "auto_reply"
    if is_something_else(root, notice):
        return "other"
    if not says_it_failed(root, notice):
        # A postmaster writes about other things too
        known = from_a_daemon(root) and cause_of(0, "", notice, stage="report") != Cause.OTHER
        if not known:
            return "other"
    return "delayed" if is_warning(root, notice) else "failure"


# ---- RFC 3464


def _from_statuses(
    statuses: list[RecipientFields], apart: Notification, original: dict[str, str], subject: str
) -> Report:
    only_named = cache(lambda: _only_named(apart))  # reads the whole notice: once
    meant: dict[str, FailedRecipient] = {}
    for fields in statuses:
        address = _meant_address(fields, apart, only_named)
        if address and fields.action in {"failed", "delayed"}:
            one = _failed(address, fields.action, fields.status, fields.diagnostic, apart, subject)
            known = meant.get(address.lower())
            if known is None or (known.action == "delayed" and one.action == "failed"):
                meant[address.lower()] = one
    failed = [one for one in meant.values() if one.action == "failed"]
    actions = {fields.action for fields in statuses}
    if failed or "failed" in actions:
        return Report("failure", failed, original, subject)
    if "delayed" in actions:
        return Report("delayed", list(meant.values()), original, subject)
    return Report("report", [], original, subject)


def _meant_address(fields: RecipientFields, apart: Notification, only_named: Callable[[], str]) -> str:
    """The address we sent to: Original-Recipient; else Final-Recipient, unless that is plainly a name of the receiver's
    inside (no domain, `.local`): then the one the returned mail was addressed to, or the only one the words name."""
    recipients = apart.original_recipients()
    if not fields.original and fields.final and (alias := _alias_of(fields.final, apart)):
        return alias
    for address in (fields.original, fields.final):
        if "@" in address and not _INSIDE.search(address):
            return address
    if len(recipients) == 1:
        return recipients[0]
    if named := only_named():
        return named
    inside = fields.original or fields.final
    if "@" in inside or not inside or not fields.reporting_host:
        return inside
    return f"{inside}@{fields.reporting_host}"


def _only_named(apart: Notification) -> str:
    named = named_recipients(apart, strangers=())
    return named[0].address if len(named) == 1 else ""


def _alias_of(address: str, apart: Notification) -> str:
    """The address we sent to, where it is an alias that led to `address`: Exim says so only in words."""
    alias = re.search(
        re.escape(address)
        + r"[^\n]{0,20}\s{1,20}\((?:ultimately )?(?:generated|expanded) from:?\s*<?([^\s<>()]{3,320})",
        apart.notice,
        re.IGNORECASE,
    )
    known = {recipient.lower() for recipient in apart.original_recipients()}
    return alias[1] if alias and alias[1].lower() in known else ""


_INSIDE = re.compile(r"@(?:localhost|[^@.]+|.*\.(?:local|localdomain|lan|internal|intra))$", re.IGNORECASE)


# ---- words


def _named(root: Part, apart: Notification, raw: bytes) -> list[Named]:
    header = unique(addresses_in(root.get("x-failed-recipients")))
    strangers = {
        address.lower()
        for name in (
            "from",
            "sender",
            "reply-to",
            "to",
            "return-path",
            "delivered-to",
            "x-original-to",
            "errors-to",
        )
        for value in root.all(name)
        for address in addresses_in(value)
    }
    named = named_recipients(apart, strangers=strangers)
    if header:
        reasons = {one.address.lower(): one.reason for one in named}
        meant = {address: _alias_of(address, apart) or address for address in header}
        return [
            Named(sent_to, reasons.get(sent_to.lower()) or reasons.get(address.lower(), ""))
            for address, sent_to in meant.items()
        ]
    if named:
        return named
    detected = detected_recipients(raw)
    if detected:
        return [Named(address, "") for address in detected]
    lone = named_recipients(apart, strangers=strangers, lone=True)
    recipients = apart.original_recipients()
    return lone or [Named(address, "") for address in recipients[:1] if len(recipients) == 1]


def _says_hard(named: list[Named], apart: Notification, subject: str) -> bool:
    return any(_failed(one.address, "failed", "", one.reason, apart, subject).hard for one in named)


def _failed(
    address: str, action: str, status: str, said: str, apart: Notification, subject: str
) -> FailedRecipient:
    said = clean_text(said, DIAGNOSTIC_MAX)
    cause = reported_cause(address, status, said, apart.notice, subject)
    if action == "delayed" and (is_hard(cause) or cause == Cause.OTHER):
        cause = Cause.TEMPORARY
    return FailedRecipient(
        clean_text(address, 320), action, status, said or clean_text(apart.notice, 300), cause, is_hard(cause)
    )


# ---- the returned copy, and RFC 5965

_KEPT = ("message-id", "from", "to", "return-path", "list-unsubscribe", "subject")


def _original(apart: Notification) -> dict[str, str]:
    return {name: clean_text(value, 1000) for name in _KEPT if (value := apart.original_header(name))}


def _complaint(fields: dict[str, str], original: dict[str, str], subject: str) -> Report:
    kind = fields.get("feedback-type", "abuse").strip().lower()
    who = unique(
        address
        for name in ("original-rcpt-to", "removal-recipient")
        for address in addresses_in(fields.get(name, ""))
    )
    recipients = [
        FailedRecipient(clean_text(address, 320), "complaint", "", "", Cause.OTHER, False) for address in who
    ]
    mail_from = addresses_in(fields.get("original-mail-from", ""))
    return Report(
        "other" if kind in NO_COMPLAINT else "complaint",
        recipients,
        original,
        subject,
        clean_text(kind, 40),
        mail_from[0] if mail_from else "",
        clean_text(fields.get("user-agent", ""), 200),
    )
