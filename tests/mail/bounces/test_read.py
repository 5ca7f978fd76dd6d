"""Reading any returned mail (ERR-5, ADDR-4, OPT-9): whose mail failed and why, and what is no bounce at all."""

from pathlib import Path

import pytest
from django.conf import settings

from mail.bounces.read import Report, read_report
from mail.models.delivery import Cause
from tests.mail.bounces.mails import (
    BOUNCES,
    DELAYED,
    NO_BOUNCES,
    POSTFIX,
    dsn,
    feedback,
    fields,
    mail,
    original,
)

COLLECTION = Path(settings.BASE_DIR).parent / "shared/data/bounces"


def addresses(report):
    return sorted(one.address for one in report.recipients)


@pytest.mark.parametrize("name", BOUNCES)
def test_a_failure_is_read_however_the_server_writes_it(name):
    raw, recipients, hard = BOUNCES[name]
    report = read_report(raw)
    assert (report.kind, addresses(report)) == ("failure", recipients)
    if hard is not None:
        assert {one.hard for one in report.recipients} == {hard}


@pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
def test_line_ends_make_no_difference(ending):
    for name, (raw, recipients, _hard) in BOUNCES.items():
        assert (name, addresses(read_report(raw.replace(b"\n", ending)))) == (name, recipients)


@pytest.mark.parametrize("name", DELAYED)
def test_a_delay_is_no_failure(name):
    report = read_report(DELAYED[name])
    assert (report.kind, addresses(report)) == ("delayed", ["taro@example.jp"])
    assert not any(one.hard for one in report.recipients)


@pytest.mark.parametrize("name", NO_BOUNCES)
def test_what_is_no_bounce_is_not_taken_for_one(name):
    kind, raw = NO_BOUNCES[name]
    report = read_report(raw)
    assert report.kind == kind
    assert not any(one.action in {"failed", "delayed"} for one in report.recipients)


def test_the_whole_of_a_failure():
    report = read_report(BOUNCES["postfix"][0])
    (one,) = report.recipients
    assert (one.action, one.status, one.cause, one.hard) == ("failed", "5.1.1", Cause.NO_MAILBOX, True)
    assert (
        one.diagnostic
        == "550 5.1.1 <taro@example.jp>: Recipient address rejected: User unknown in local recipient table"
    )
    assert report.original["message-id"] == "<1234.abcdefgh@smp.example>"
    assert report.original["to"] == "taro@example.jp"


def test_a_complaint_tells_what_it_can():
    report = read_report(NO_BOUNCES["arf abuse"][1])
    assert (report.feedback_type, addresses(report)) == ("abuse", ["taro@example.jp"])
    assert report.original_mail_from == "b.1234.abcdefgh@bounce.smp.example"
    redacted = read_report(
        feedback(
            "Feedback-Type: abuse\nVersion: 1",
            returned=original("x@redacted", **{"List-Unsubscribe": "<https://smp.example/u1/tok>"}),
        )
    )
    assert redacted.recipients == []
    assert redacted.original["message-id"] == "<1234.abcdefgh@smp.example>"
    assert redacted.original["list-unsubscribe"] == "<https://smp.example/u1/tok>"


def test_several_recipients_keep_their_own_reasons():
    report = read_report(BOUNCES["postfix two"][0])
    assert {one.address: one.cause for one in report.recipients} == {
        "taro@example.jp": Cause.NO_MAILBOX,
        "hanako@example.jp": Cause.FULL,
    }


def test_what_a_report_says_is_hostile_text():
    raw = dsn(POSTFIX, fields("rfc822; taro@example.jp", "5.1.1", "smtp; 550 \x1b[31mred\u202e" + "x" * 5000))
    (one,) = read_report(raw).recipients
    assert "\x1b" not in one.diagnostic
    assert "\u202e" not in one.diagnostic
    assert len(one.diagnostic) <= 1000


def test_a_mailing_list_is_nobodys_recipient():
    raw = mail(
        "Your message could not be delivered.\n\n--- Original message follows ---\n\n"
        + original("friends@lists.example", **{"List-Id": "<friends.lists.example>"})
    )
    assert (read_report(raw).kind, read_report(raw).recipients) == ("failure", [])


def test_a_forwarded_report_is_a_persons_mail():
    raw = mail("Look, what is this? <taro@example.jp>: User unknown", sender="Hanako <hanako@example.jp>",
               subject="Fwd: Undelivered Mail Returned to Sender")  # fmt: skip
    assert read_report(raw).kind == "other"


# ---- the collection of real bounces


def _expected():
    rows = [line.split("\t") for line in (COLLECTION / "expected.tsv").read_text().splitlines()[1:]]
    return {
        name: (sorted(a.lower() for a in found.split(",") if a), temporary == "1")
        for name, found, temporary in rows
    }


needs_collection = pytest.mark.skipif(
    not COLLECTION.exists(), reason="shared/data/bounces is not beside this repository"
)


@needs_collection
def test_the_collection_of_real_bounces_is_read_exactly():
    misses, disagreements = [], []
    expected = _expected()
    for path in sorted(COLLECTION.glob("*.txt")):
        report = read_report(path.read_bytes())
        recipients, temporary = expected.get(path.name, ([], False))
        if [a.lower() for a in addresses(report)] != recipients:
            misses.append(f"{path.name}: {addresses(report)}, not {recipients}")
        # What may pass is never hard. The other way round proves little: it calls full boxes and lost networks
        # permanent, which here are soft.
        if temporary and any(one.hard for one in report.recipients):
            disagreements.append(path.name)
    print(*misses, sep="\n")
    assert len(misses) <= len(expected) * 0.03
    assert disagreements == []


@needs_collection
def test_a_damaged_mail_is_no_reason_to_fail(rng):
    for path in sorted(COLLECTION.glob("*.txt")):
        raw = path.read_bytes()
        damaged = [raw[: len(raw) * part // 12] for part in range(12)]
        damaged += [raw.replace(b"\n", b"\r"), raw.replace(b"\n", b"\r\n"), raw[len(raw) // 2 :]]
        for _round in range(3):
            changed = bytearray(raw)
            for _byte in range(max(1, len(raw) // 100)):
                changed[rng.randrange(len(raw))] = rng.randrange(256)
            damaged.append(bytes(changed))
        pieces = raw.split(b"\n--")
        rng.shuffle(pieces)
        damaged.append(b"\n--".join(pieces))
        for each in damaged:
            assert _read(each).kind != "broken"


# ---- anything at all


def _read(raw):
    """What read_report reads, without its last net: a mistake of a reader shows."""
    from mail.bounces import read

    report = read._read(raw)
    assert isinstance(report, Report)
    for one in report.recipients:
        assert one.address
        assert len(one.address) <= 320
        assert "\n" not in one.address
    return report


NASTY = {
    "zeros": b"\0" * 10_000_000,
    "one line": b"From: mailer-daemon@x.jp\nSubject: failure notice\n\n" + b"a@b.jp " * 1_000_000,
    "nested": b"Content-Type: multipart/mixed; boundary=b0\n\n"
    + b"".join(b"--b%d\nContent-Type: multipart/mixed; boundary=b%d\n\n" % (i, i + 1) for i in range(10_000)),
    "nested with one boundary": b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\nContent-Type: multipart/mixed; boundary=b\n\n" * 20_000,
    "nested mails": b"Content-Type: message/rfc822\n\n" * 30_000,
    "many parts": b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\n\nx\n" * 50_000,
    "many headers": b"X: y\n" * 200_000,
    "a long subject": b"Subject: " + b"=?utf-8?B?44GC?= " * 100_000 + b"\n\nx",
    "open html": b"Content-Type: text/html\nSubject: failure notice\n\n" + b"<style>" * 100_000,
    "many recipients": b"Content-Type: message/delivery-status\n\n" + b"Final-Recipient: rfc822;a@b.jp\nAction: failed\n\n" * 20_000,
    "many names of the inside": b"Content-Type: multipart/report; boundary=b\n\n--b\n\n" + b"<a@b.jp>: x c@d.jp\n>>> RCPT TO\n<<< 250 ok\n>>> DATA\n<<< 554 no\n" * 2_000
    + b"--b\nContent-Type: message/delivery-status\n\n" + b"".join(b"Final-Recipient: rfc822;n%d\nAction: failed\n\n" % i for i in range(1_000)),
    "words": b"From: mailer-daemon@x.jp\nSubject: failure notice\n\n<a@example.jp>: " + b"user " * 200_000,
    "dots": b"From: mailer-daemon@x.jp\nSubject: failure notice\n\na@b" + b".b" * 200_000,
    "a slow codec": b"Content-Type: text/plain; charset=punycode\nSubject: failure notice\n\n" + b"a-" * 400_000,
    "escapes": b"Content-Type: text/plain; charset=iso-2022-jp\nSubject: failure notice\n\n" + b"\x1b$B" * 300_000,
}  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_time_and_memory_are_bounded_whatever_comes_in(name):
    _read(NASTY[name])  # what is not bounded takes minutes or hours here
