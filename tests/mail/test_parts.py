"""ADDR-4 where a mail's addresses live at several sites: each part is settled for itself, the lead's own first."""

from types import SimpleNamespace

import pytest

from mail.delivery import verdicts
from mail.delivery.claim import Claimed
from mail.delivery.outgoing import OutgoingMail
from mail.models.delivery import DeliveryState
from mail.smtp.outcomes import Refused, Started
from mail.smtp.replies import Reply

OWN, COPY, THIRD = "a@one.example.jp", "copy@two.example.jp", "third@three.example.jp"
OK = Reply(250, "2.0.0 ok", "2.0.0")
NO = Reply(550, "5.1.1 no such user", "5.1.1")
LATER = Reply(451, "4.3.0 later", "4.3.0")


def outgoing(part, others=(), *, last_attempt=False, **row):
    values = {
        "pk": 1, "token": 2, "job_id": 3, "lead_id": 4, "kind": "wizard", "purpose": "advertising", "snapshot_id": 5,
        "campaign_id": None, "merge_values": None, "given_values": None, "address": OWN, "accepted": [], "failed_address": "", "code": None, "enhanced_status": "",
        "reply": "", "sent_at": None, "tried_minutes": None,
    }  # fmt: skip
    one = OutgoingMail(Claimed(**(values | row)), 0.0)
    one.own, one.part, one.others, one.last_attempt = OWN, list(part), list(others), last_attempt
    one.sender = "b.1.x@bounce.smp.example"
    return one


def taken(one, refused=None):
    return verdicts.answered(one, OK, Started(list(one.part), refused or {}), "mx")


def said(result):
    return result.state, result.code, result.failed_address


def test_addr_4_the_first_part_is_written_down_before_the_next_one():
    result = taken(outgoing([OWN], [COPY]))
    assert (result.state, result.accepted, result.at_once, result.attempted) == (
        "deferred",
        (OWN,),
        True,
        False,
    )


def test_addr_4_the_last_part_completes_the_mail():
    result = taken(outgoing([COPY], accepted=[OWN]))
    assert said(result) == ("sent", 40000, "")


def test_addr_4_a_copy_refused_for_good_makes_the_mail_an_error():
    one = outgoing([COPY], accepted=[OWN])
    assert said(verdicts.refused(one, Refused(NO, COPY, "RCPT"), "mx")) == ("error", 42550, COPY)


def test_addr_4_a_refused_copy_does_not_keep_the_others_from_their_mail():
    """The first failure is the one that is shown in the end."""
    first = verdicts.refused(outgoing([COPY], [THIRD], accepted=[OWN]), Refused(NO, COPY, "RCPT"), "mx")
    assert (said(first), first.at_once) == (("deferred", 42550, COPY), True)
    rest = outgoing(
        [THIRD], accepted=[OWN, *first.accepted], failed_address=first.failed_address, code=first.code, reply=first.reply
    )  # fmt: skip
    last = taken(rest)
    assert (said(last), last.reply) == (("error", 42550, COPY), first.reply)


@pytest.mark.parametrize("command", ["MAIL", "DATA"])
def test_addr_4_a_refused_part_is_known_later_by_one_of_its_addresses(command):
    refusal = Refused(
        NO, SimpleNamespace(MAIL="b.1.x@bounce.smp.example", DATA="").__dict__[command], command
    )
    result = verdicts.refused(outgoing([COPY], [THIRD], accepted=[OWN]), refusal, "mx")
    assert result.failed_address == COPY


def test_addr_4_the_own_address_refused_ends_the_mail():
    result = verdicts.refused(outgoing([OWN], [COPY]), Refused(NO, OWN, "RCPT"), "mx")
    assert (said(result), result.accepted) == (("error", 42550, OWN), ())


def test_addr_4_a_copy_refused_for_now_waits_without_repeating_the_own():
    one = outgoing([COPY], accepted=[OWN])
    result = verdicts.refused(one, Refused(LATER, COPY, "RCPT"), "mx")
    assert (said(result), result.accepted, result.at_once) == (("deferred", 42451, COPY), (), False)


def test_addr_4_in_the_last_attempt_a_silent_copy_does_not_keep_the_third_waiting():
    one = outgoing([COPY], [THIRD], accepted=[OWN], last_attempt=True)
    result = verdicts.refused(one, Refused(LATER, COPY, "RCPT"), "mx")
    assert (said(result), result.at_once) == (("deferred", 41606, COPY), True)


def test_everything_settled_before_the_process_died():
    """Killed between the last part's record and the mail's: the row says what became of it."""
    assert verdicts.nothing_left(outgoing([], accepted=[OWN, COPY])).state == DeliveryState.SENT
    failed = verdicts.nothing_left(outgoing([], accepted=[OWN, COPY], failed_address=COPY, code=42550))
    assert said(failed) == ("error", 42550, COPY)
