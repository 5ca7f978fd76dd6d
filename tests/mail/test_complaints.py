"""RATE-1: which answers are about our speed or our address, and which are about a mail or its reader."""

import time

import pytest

from mail.delivery.complaints import WAIT_MAX, Kind, complaint_of
from mail.smtp.replies import Reply, parse_reply


def heard(text):
    complaint = complaint_of(parse_reply([text.encode()]))
    return complaint and (complaint.kind, complaint.seconds)


@pytest.mark.parametrize(
    "text",
    [
        "250 2.0.0 ok",
        "354 go ahead",
        "550 5.1.1 User unknown",
        "550 5.7.1 Message refused by policy",
        "450 4.2.1 The user is receiving mail at a rate that prevents additional messages from being delivered",
        "450 User is receiving mail too quickly",
        "452 4.2.2 The mailbox is over quota",
        "451 4.7.1 Greylisted, please try again in 300 seconds",
        "450 4.7.1 Recipient address rejected: Greylisting in action",
        "451 4.3.0 Local error in processing",
        "451 4.1.8 Too many connections to look the domain up",
        "421 Max messages per connection reached",
        "421 4.4.2 Idle timeout exceeded",
        "421 4.1.1 no such user right now",
        "554 5.7.1 Message contains a URL listed in the Spamhaus DBL",
    ],
)
def test_no_complaint_about_us(text):
    assert heard(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("421 4.7.28 an unusual rate of unsolicited mail from your IP address", (Kind.RATE, 0)),
        ("450 4.7.1 You are sending too many messages, try again in 5 minutes", (Kind.RATE, 300)),
        ("451 4.7.650 The mail server has been temporarily rate limited", (Kind.RATE, 0)),
        ("451 4.7.500 Server busy. Please try again later", (Kind.RATE, 0)),
        ("450 throttled, retry after 90 seconds", (Kind.RATE, 90)),
        ("451 Rate limit exceeded; come back in 2 hours", (Kind.RATE, 7200)),
        ("421 送信数制限のため10分後に再送してください", (Kind.RATE, 600)),
        ("421 4.7.0 Too many concurrent SMTP connections from this IP", (Kind.CONNECTIONS, 0)),
        ("421 4.3.2 The maximum number of concurrent server connections has exceeded a limit", (Kind.CONNECTIONS, 0)),
        ("452 4.3.2 Connection rate limit exceeded", (Kind.CONNECTIONS, 0)),
        ("421 Service not available, closing channel", (Kind.CONNECTIONS, 0)),
        ("421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume", (Kind.STOP, 7200)),
        ("421 4.7.0 [TSS05] Messages temporarily deferred", (Kind.STOP, 14400)),
        ("421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred", (Kind.STOP, 14400)),
        ("553 5.7.1 [BL21] Connections will not be accepted from 192.0.2.1", (Kind.STOP, 43200)),
        ("421 4.7.0 VS98-IP0 deferred", (Kind.STOP, 3600)),
        ("550 5.7.1 part of their network is on our block list (S3150)", (Kind.STOP, 14400)),
        ("550 5.7.606 Access denied, banned sending IP [192.0.2.1]", (Kind.STOP, 14400)),
        ("554 5.7.1 Service unavailable; client host [192.0.2.1] blocked using zen.spamhaus.org", (Kind.STOP, 7200)),
        ("421 4.7.1 blacklisted, try again in 4 hours", (Kind.STOP, 14400)),
    ],
)  # fmt: skip
def test_complaints(text, expected):
    assert heard(text) == expected


def test_no_server_stops_us_for_days():
    assert heard("450 rate limited, try again in 99999 hours") == (Kind.RATE, WAIT_MAX)


def test_what_is_no_answer_is_no_complaint():
    assert complaint_of(Reply(0, "rate limited")) is None


@pytest.mark.parametrize(
    "piece",
    ["too many ", "try again ", "connection ", "your ip ", "originating from your IP address ", "a " * 9],
)
def test_long_hostile_texts_take_no_time(piece):
    begun = time.process_time()
    complaint_of(Reply(450, piece * 2000))
    assert time.process_time() - begun < 5  # a pattern that explodes takes hours
