"""The door for mail that comes back, the same for the listener and for `manage.py receive_mail`.

Auto-replies, delays, unsigned and forged addresses change nothing. Nothing is ever answered (loops).
"""

from dataclasses import dataclass, field

from django.utils import timezone

from leads.address import normalise_email
from mail.bounces.address import delivery_id_of, recipients_in
from mail.bounces.dsn import RecipientStatus, Unreadable, automatic, parse_message, recipient_statuses
from mail.bounces.record import IN_THE_AIR, record_bounce
from mail.models import Delivery

SIZE_MAX = 10 * 1024 * 1024


@dataclass(frozen=True)
class Received:
    """What a mail was and what it changed.

    kind: failure · delayed · report (of success) · auto_reply · other · unsigned · unreadable · too_large ·
    too_early (its mail is still in the air: ask the sender to come again).
    """

    kind: str
    changed: bool = False
    delivery_id: int | None = None
    lead_id: int | None = None
    text: str = ""
    recipients: list[RecipientStatus] = field(default_factory=list)


def receive(raw: bytes, *, recipient: str | None = None) -> Received:
    """Handles one message; when this returns, what it changed is committed. `recipient` is the envelope's; None = look
    into the headers. Database errors are raised: whoever calls asks the sender to try again."""
    if len(raw) > SIZE_MAX:
        return Received("too_large")
    try:
        message = parse_message(raw)
        addresses = [recipient] if recipient is not None else recipients_in(message)
        statuses = recipient_statuses(message)
        auto_reply = automatic(message)
    except (Unreadable, RecursionError, ValueError, LookupError):
        return Received("unreadable")
    delivery_id = delivery_id_of(addresses)
    delivery = Delivery.objects.filter(pk=delivery_id).first() if delivery_id is not None else None
    if delivery is None:
        return Received("unsigned", recipients=statuses)
    failed = _failed(delivery, statuses)
    if failed is None:
        return Received(
            _kind_without_failure(statuses, auto_reply),
            False,
            delivery.pk,
            delivery.lead_id,
            recipients=statuses,
        )
    if delivery.state in IN_THE_AIR:
        return Received("too_early", False, delivery.pk, delivery.lead_id, failed.diagnostic, statuses)
    address = delivery.address if _own(delivery, failed) else failed.address
    changed = record_bounce(delivery, failed, failed_address=address, now=timezone.now())
    return Received("failure", changed, delivery.pk, delivery.lead_id, failed.diagnostic, statuses)


def _failed(delivery: Delivery, statuses: list[RecipientStatus]) -> RecipientStatus | None:
    """The failure that counts: the lead's own address before the others (ADDR-4)."""
    failures = [status for status in statuses if status.failed]
    return next((status for status in failures if _own(delivery, status)), failures[0] if failures else None)


def _own(delivery: Delivery, status: RecipientStatus) -> bool:
    return normalise_email(status.address) == normalise_email(delivery.address)


def _kind_without_failure(statuses: list[RecipientStatus], auto_reply: bool) -> str:
    if any(status.action == "delayed" for status in statuses):
        return "delayed"
    if statuses:
        return "report"
    return "auto_reply" if auto_reply else "other"
