"""「エラー時返信先」 (ADDR-5): a bounce also goes to the address its mail names, unless that is the system's own.

The outbox is ReturnedMail itself: `forward_to`, `forward_next_at`, and the mail's bytes until it went. The tick starts
`forward_due` in a worker. A row is leased before it is sent, so a worker that dies costs a delay; the Message-ID stays
the same, so a repetition can be recognised. At most HOURLY mails an hour go to one address; what comes beyond waits
for the hour's end and then goes as one summary. Once forwarded or given up, the bytes are deleted.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from leads.address import smtp_address
from mail.bounces.forwarded_mail import (
    ATTACHED_MAX,
    failure_address,
    forwarded_mail,
    summary_mail,
)
from mail.models import Delivery, ReturnedMail
from mail.models.delivery import Cause
from mail.sent_mail import NotRebuilt, rebuild
from mail.smtp.replies import clean_text
from mail.smtp.single import NotSent, hand_over_one

logger = logging.getLogger(__name__)

HOURLY = 100  # forwarded mails to one address an hour
HOUR = timedelta(hours=1)
LEASE = timedelta(minutes=15)
RETRIES = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 60, 240, 720))  # then it is given up
GIVEN_UP_AFTER = timedelta(days=5)  # RFC 5321 4.5.4.1
BATCH = 2000
LOCK = 0x534D5046  # "SMPF", this task's key among PostgreSQL's advisory locks
# In forward_error, beside a server's words:
WAITING = "waiting"  # the hour was full
SUMMARY = "summary"  # a summary stood for it
KEPT_FOR_NOBODY = timedelta(days=90)  # rows that belong to no mail of ours


def destination(delivery: Delivery) -> str:
    """Where this mail's bounces go on to: its 「エラー時返信先」 in envelope form; "" for the system's own address,
    for any other at the domains whose mail leads back to us, and for none."""
    content = delivery.snapshot.content if delivery.snapshot else {}
    if not str(content.get("errors_to", "")).strip():
        return ""
    try:
        wanted = rebuild(delivery).mail.errors_to
        address = smtp_address(wanted) if wanted else ""
    except (NotRebuilt, ValueError):
        return ""
    domain = address.rpartition("@")[2].lower()
    if address.lower() == failure_address().lower() or domain == settings.BOUNCE_DOMAIN.lower():
        return ""
    return address


def plan(row: ReturnedMail, delivery: Delivery, raw: bytes, *, now: datetime) -> None:
    """Puts a bounce that changed its mail into the outbox: sets the fields of `row`, which is not stored yet. When
    more wait for this address than can go in an hour, its bytes are not kept: it will be one of a summary."""
    to = destination(delivery)
    if not to:
        return
    waiting = ReturnedMail.objects.filter(forward_to=to, forward_next_at__isnull=False)
    row.forward_to = to
    row.forward_next_at = now
    if len(waiting.values_list("pk", flat=True)[:HOURLY]) < HOURLY:
        row.raw = raw[:ATTACHED_MAX]


def due(now: datetime) -> bool:
    return ReturnedMail.objects.filter(forward_next_at__lte=now).exists()


def forward_due(*, now: datetime, limit: int = 200) -> int:
    """Sends what is due, address by address; returns how many mails went out. One process at a time does it, others
    return at once: an address's hour is counted by one. Call it outside of any transaction."""
    sent = 0
    with _only_one() as free, translation.override(settings.LANGUAGE_CODE):
        try:
            while free and sent < limit and (rows := _lease(now)):
                sent += _send_to_one(rows, now=now)
        except _Away as away:
            logger.warning("bounces wait to be forwarded: %s", away)
    return sent


class _Away(Exception):
    """No mail server was reached: it makes no sense to try the next one."""


@contextmanager
def _only_one() -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        free = bool((cursor.fetchone() or (False,))[0])
        try:
            yield free
        finally:
            if free:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def _lease(now: datetime) -> list[ReturnedMail]:
    """All due rows of one address, put aside for a while: a process that dies with them costs a delay, not a mail."""
    waiting = ReturnedMail.objects.filter(forward_next_at__lte=now)
    to = waiting.order_by("forward_next_at").values_list("forward_to", flat=True).first()
    if to is None:
        return []
    rows = list(waiting.filter(forward_to=to).order_by("pk")[:BATCH])
    _change(rows, forward_next_at=now + LEASE)
    return rows


def _send_to_one(rows: Sequence[ReturnedMail], *, now: datetime) -> int:
    """Rows of one address: as many as the hour has room for go by themselves, the others wait for its end; those that
    waited go as one summary, unless there is room for each of them."""
    recent = (
        ReturnedMail.objects.filter(forward_to=rows[0].forward_to, forwarded_at__gt=now - HOUR)
        .exclude(forward_error=SUMMARY)
        .order_by("forwarded_at")
    )
    sent_at = [at for at in recent.values_list("forwarded_at", flat=True) if at is not None]
    room = max(0, HOURLY - len(sent_at))
    waited = [row for row in rows if row.forward_error == WAITING]
    fresh = [row for row in rows if row.forward_error != WAITING]
    sent = 0
    if waited and len(waited) <= room and all(row.raw is not None for row in waited):
        waited, fresh = [], [*waited, *fresh]
    elif waited and room:
        sent += _send_summary(waited, now=now)
        waited, room = [], room - 1
    alone = [row for row in fresh if row.raw is not None][:room]
    for row in alone:
        sent += _send_one(row, now=now)
    later = [*waited, *(row for row in fresh if row not in alone)]
    _change(later, forward_next_at=(sent_at[0] if sent_at else now) + HOUR, forward_error=WAITING)
    return sent


def _send_one(row: ReturnedMail, *, now: datetime) -> int:
    raw = bytes(row.raw or b"")
    delivery = Delivery.objects.filter(pk=row.delivery_id or 0).first()
    subject, text = _words(row, delivery)
    data = forwarded_mail(
        row.pk,
        row.forward_to,
        subject=subject,
        text=text,
        bounce=raw,
        shortened=len(raw) >= ATTACHED_MAX,
        now=now,
    )
    return _hand_over([row], data, now=now)


def _send_summary(rows: Sequence[ReturnedMail], *, now: datetime) -> int:
    causes = Counter(row.cause for row in rows)
    lines = [
        _("%(n)s failure reports came in for mails whose errors go to this address.") % {"n": len(rows)},
        _(
            "They are more than %(n)s an hour, so they are summed up here instead of being forwarded one by one."
        )
        % {"n": HOURLY},
        "",
        *(f"{_cause_label(cause)}: {number}" for cause, number in causes.most_common()),
        "",
        _("The list: %(url)s") % {"url": settings.BASE_URL + reverse("returned_mails") + "?kind=failure"},
    ]
    subject = _("Failure reports: %(n)s mails") % {"n": len(rows)}
    data = summary_mail(rows[0].pk, rows[0].forward_to, subject=subject, lines=lines, now=now)
    return _hand_over(rows, data, now=now)


def _words(row: ReturnedMail, delivery: Delivery | None) -> tuple[str, str]:
    """(subject, text). Everything from the report is somebody else's text."""
    first: dict[str, str] = next(iter(row.recipients), {})
    title = delivery.subject if delivery else ""
    lines = [
        _("A mail could not be delivered. It is recorded as an error; the report is attached."),
        "",
        _("Mail: %(title)s") % {"title": title},
        _("Address that failed: %(address)s") % {"address": delivery.failed_address if delivery else ""},
        _("Cause: %(cause)s (%(kind)s)")
        % {"cause": _cause_label(row.cause), "kind": _("permanent") if row.hard else _("may pass")},
        _("The server's words: %(words)s") % {"words": first.get("diagnostic", "")},
    ]
    if delivery:
        url = settings.BASE_URL + reverse("delivery", args=[delivery.pk])
        lines += ["", _("Details: %(url)s") % {"url": url}]
    lines += ["", _("This mail was made by the system. Replies to it reach nobody.")]
    subject = _("Could not be delivered: %(title)s") % {"title": title}
    return subject, "\n".join(lines) + "\n"


def _cause_label(cause: str) -> str:
    return str(Cause(cause).label) if cause in Cause.values else str(Cause.OTHER.label)


def _hand_over(rows: Sequence[ReturnedMail], data: bytes, *, now: datetime) -> int:
    """One SMTP transaction with the null sender; what went is forgotten, what did not comes again, with an end."""
    try:
        hand_over_one(rows[0].forward_to, data)
    except NotSent as problem:
        for row in rows:
            _try_again(row, problem, now=now)
        if problem.nobodys_fault:
            raise _Away(problem.text) from problem
        return 0
    # The first row stands for the mail that went: a summary uses up the hour's room for one.
    _change(rows[:1], forwarded_at=now, forward_next_at=None, forward_error="", raw=None)
    _change(rows[1:], forwarded_at=now, forward_next_at=None, forward_error=SUMMARY, raw=None)
    return 1


def _try_again(row: ReturnedMail, problem: NotSent, *, now: datetime) -> None:
    text = clean_text(problem.text, 300)
    attempts = row.forward_attempts + (not problem.nobodys_fault)
    if problem.permanent or attempts > len(RETRIES) or row.at < now - GIVEN_UP_AFTER:
        logger.warning("returned mail %s could not be forwarded: %s", row.pk, text)
        _change([row], forward_next_at=None, forward_error=text, forward_attempts=attempts, raw=None)
        return
    shown = WAITING if row.forward_error == WAITING else text
    wait = RETRIES[max(0, attempts - 1)]
    _change([row], forward_next_at=now + wait, forward_error=shown, forward_attempts=attempts)


def _change(rows: Sequence[ReturnedMail], **values: object) -> None:
    if rows:
        ReturnedMail.objects.filter(pk__in=[row.pk for row in rows]).update(**values)


def forget_old(*, now: datetime) -> int:
    """Rows that belong to no mail of ours are kept for 90 days. Returns how many went."""
    return ReturnedMail.objects.filter(delivery_id=None, at__lt=now - KEPT_FOR_NOBODY).delete()[0]
