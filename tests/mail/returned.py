"""Mails that come back, as tests write them."""

from mail.links import envelope_sender, message_id


def bounce(
    recipient="a@x.example.jp",
    *,
    said="550 5.1.1 User unknown",
    status="5.1.1",
    action="failed",
    to="b@c",
    extra="",
):
    """A multipart/report (RFC 3464) as bytes; `extra` are further fields of its header."""
    return f"""From: <mailer-daemon@x.example.jp>
To: {to}
Subject: Undelivered Mail
Auto-Submitted: auto-replied
{extra}MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

It failed.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; x.example.jp

Final-Recipient: rfc822; {recipient}
Action: {action}
Status: {status}
Diagnostic-Code: smtp; {said}

--b--
""".replace("\n", "\r\n").encode()


def complaint(delivery, *, kind="abuse", original_rcpt="", ids=True):
    """RFC 5965, with the recipient blacked out unless `original_rcpt` is given; `ids`: our signed ids in the copy."""
    rcpt = f"Original-Rcpt-To: {original_rcpt}\n" if original_rcpt else ""
    signed = (
        f"Return-Path: <{envelope_sender(delivery.pk)}>\nMessage-ID: {message_id(delivery.pk)}\n"
        if ids
        else ""
    )
    return f"""From: <feedback@isp.example.net>
To: fbl@smp.example
Subject: abuse report
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="f"

--f
Content-Type: text/plain

This is an abuse report.
--f
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: ISP-Feedback/1.0
Version: 1
{rcpt}
--f
Content-Type: message/rfc822

{signed}From: info@seminar.example.jp
To: [redacted]
Subject: hello

text
--f--
""".replace("\n", "\r\n").encode()
