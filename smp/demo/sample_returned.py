"""Mails that came back to the sample mailings beside failure reports: complaints, automatic replies, reports of a delay,
and one that belongs to nobody. They go through the intake's own door (mail/bounces/receive.py), so what they change is
real."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import format_datetime

from mail.bounces.receive import receive
from mail.links import envelope_sender, message_id
from mail.models import Delivery, ReturnedSource

COMPLAINTS, AUTO_REPLIES, DELAYS = 3, 4, 2
NEEDED = COMPLAINTS + AUTO_REPLIES + DELAYS


def return_some(delivered: Sequence[Delivery], *, sent_at: datetime) -> None:
    """`delivered`: at least NEEDED mails that are 正常, of different leads."""
    mails = iter(delivered)
    for number, delivery in zip(range(COMPLAINTS), mails, strict=False):
        _take(complaint(delivery), "fbl", sent_at + timedelta(hours=5 + 9 * number))
    for number, delivery in zip(range(AUTO_REPLIES), mails, strict=False):
        at = sent_at + timedelta(minutes=1 + number)
        _take(auto_reply(delivery, at=at), envelope_sender(delivery.pk), at)
    for number, delivery in zip(range(DELAYS), mails, strict=False):
        at = sent_at + timedelta(hours=4, minutes=number)
        _take(delay(delivery, at=at), envelope_sender(delivery.pk), at)
    at = sent_at + timedelta(days=1)
    _take(
        _mail("From: info@prize.example", "Subject: Congratulations", at, "", "You have won."), "failure", at
    )


def _take(raw: bytes, recipient: str, now: datetime) -> None:
    receive(raw, recipient=recipient, source=ReturnedSource.LISTENER, now=now)


def complaint(delivery: Delivery) -> bytes:
    """RFC 5965 as a provider sends it: the address is blacked out, our own Message-ID is not."""
    return _lines(f"""From: <feedback@provider.example>
To: fbl
Subject: Abuse report
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="f"

--f
Content-Type: text/plain

This is an abuse report for a mail that our user marked as spam.
--f
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Provider-FBL/1.0
Version: 1
Reported-Domain: seminar.example.jp

--f
Content-Type: message/rfc822

Return-Path: <{envelope_sender(delivery.pk)}>
Message-ID: {message_id(delivery.pk)}
From: info@seminar.example.jp
To: [redacted]
Subject: [redacted]

[redacted]
--f--
""")


def auto_reply(delivery: Delivery, *, at: datetime) -> bytes:
    return _mail(
        f"From: {delivery.address}",
        "Subject: Automatic reply: out of office",
        at,
        "Auto-Submitted: auto-replied\n",
        "I am out of the office until Monday.",
    )


def delay(delivery: Delivery, *, at: datetime) -> bytes:
    """RFC 3464 with Action: delayed: nothing failed yet."""
    domain = delivery.address.rpartition("@")[2]
    return _lines(f"""From: Mail Delivery System <mailer-daemon@{domain}>
Subject: Warning: could not send message for past 4 hours
Date: {format_datetime(at)}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="d"

--d
Content-Type: text/plain

Your message could not be delivered for 4 hours. It will be retried until it is 5 days old.
--d
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.{domain}

Final-Recipient: rfc822; {delivery.address}
Action: delayed
Status: 4.4.1
Diagnostic-Code: smtp; 451 4.4.1 connect: connection timed out

--d--
""")


def _mail(sender: str, subject: str, at: datetime, further: str, text: str) -> bytes:
    return _lines(f"{sender}\n{subject}\nDate: {format_datetime(at)}\n{further}\n{text}\n")


def _lines(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()
