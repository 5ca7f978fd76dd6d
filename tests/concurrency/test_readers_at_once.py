"""Readers with several processes: nobody is deliverable after leaving, a failure counts once, a threshold stops once."""

import threading

import pytest
from django.db import transaction
from django.utils import timezone

from leads.models import Lead
from mail.magazines import blacklist
from mail.magazines.failures import count, stop_over_thresholds
from mail.magazines.locks import hold
from mail.magazines.many_readers import stop
from mail.magazines.outage import take_back
from mail.magazines.readers import Outcome, change_reader, lead_for, leave, register
from mail.models import Magazine, Reader, ReaderChange, ReaderFailure
from mail.refused import Refused
from tests.concurrency.test_resolve_race import in_threads
from tests.mail.magazine_scene import make_magazine, make_reader
from tests.mail.test_reader_failures import assert_true, failed_mail

pytestmark = pytest.mark.django_db(transaction=True)
YOSHIO = "yoshio@yamate.example.jp"


@pytest.mark.parametrize("leave_does", ["stop", "remove"])
def test_leaving_while_a_list_is_imported(leave_does):
    """MAG-9: an import has looked at the blacklist, and writes a moment later. Whoever leaves in between waits for it, and has
    left afterwards."""
    magazine = make_magazine(leave_does=leave_does)
    reader, now = make_reader(magazine, YOSHIO), timezone.now()
    looked, left = threading.Event(), threading.Event()

    def imports():
        with transaction.atomic():
            hold(magazine.pk, alone=True)
            assert not blacklist.is_blacklisted(magazine, YOSHIO)
            looked.set()
            assert not left.wait(0.3)  # it has to wait for us
            register(magazine, reader.lead, way="import", now=now, evidence="import")

    def leaves():
        assert looked.wait(30)
        assert leave(magazine, reader.lead, way="one_click", now=now)
        left.set()

    in_threads(imports, leaves)
    assert not Reader.objects.filter(state="deliverable").exists()
    assert (
        register(magazine, reader.lead, way="import", now=now, evidence="import").outcome == Outcome.REFUSED
    )


def test_leaving_while_administrators_work():
    """MAG-2, MAG-9: an edit, a bulk stop, a registration and the reader's own act at once, each in its own transaction: in the
    end they have left, by their own act."""
    magazine, now = make_magazine(), timezone.now()
    for place in range(4):
        reader = make_reader(magazine, f"r{place}@yamate.example.jp", state="error_stopped")

        def edits(reader=reader):
            try:
                change_reader(reader, {}, state="deliverable", reset_failures=True, user=None, now=now)
            except Refused as refused:
                assert refused.code == "blacklisted"

        in_threads(
            lambda reader=reader: leave(magazine, reader.lead, way="form", now=now),
            edits,
            lambda reader=reader: register(magazine, reader.lead, way="admin", now=now, evidence="trade"),
            lambda reader=reader: stop(magazine, [reader.pk], way="bulk", user=None, now=now),
        )
        reader.refresh_from_db()
        assert reader.state == "stopped"
        with pytest.raises(Refused):
            blacklist.release(magazine, reader.lead.email, user=None, now=now)


def test_leaving_twice_at_once():
    """Idempotent: one line of history, one True."""
    magazine, now = make_magazine(), timezone.now()
    reader, twin = make_reader(magazine, YOSHIO), make_reader(magazine, YOSHIO)
    answers = in_threads(
        *[lambda: leave(magazine, reader.lead, way="one_click", now=now)] * 2,
        *[lambda: leave(magazine, twin.lead, way="form", now=now)] * 2,
    )
    assert sorted(answers) == [False, False, False, True]
    assert ReaderChange.objects.count() == 2
    assert Reader.objects.filter(state="stopped").count() == 2


def test_registering_twice_at_once():
    """MAG-13: a new address makes one lead and one reader."""
    magazine, now = make_magazine(), timezone.now()

    def registers():
        lead = lead_for(magazine, YOSHIO, {}, way="form", now=now, proved=True)
        return register(magazine, lead, way="form", now=now, evidence="form", proved=True).outcome

    assert sorted(in_threads(*[registers] * 3)) == ["already", "already", "new"]
    assert Reader.objects.count() == Lead.objects.count() == 1


def test_failures_at_once():
    """MAG-3: different mails, and the same one told several times: each counts once, the threshold stops once."""
    magazine, now = make_magazine(), timezone.now()
    readers = [make_reader(magazine) for _place in range(5)]
    mails = [[failed_mail(reader).pk for _time in range(3)] for reader in readers]
    first, second, third = ([mail[place] for mail in mails] for place in range(3))
    in_threads(
        lambda: count(first, now=now),
        lambda: count(second[::-1], now=now),
        lambda: count([*third, *first], now=now),
        lambda: count(second, now=now),
    )
    for reader in readers:
        assert_true(reader)
        assert (reader.state, reader.failures_refused) == ("error_stopped", 3)
    assert ReaderFailure.objects.count() == 15
    assert ReaderChange.objects.filter(after="error_stopped").count() == 5


def test_a_reset_while_failures_come_in():
    """MAG-6: whoever is first, the count is the number of failures since the reset."""
    magazine = make_magazine()
    for _round in range(4):
        reader = make_reader(magazine)
        mails = [failed_mail(reader, "full").pk for _time in range(3)]
        now = timezone.now()
        in_threads(
            lambda reader=reader, now=now: change_reader(
                reader, {}, state="deliverable", reset_failures=True, user=None, now=now
            ),
            lambda mails=mails, now=now: count(mails, now=now),
        )
        assert_true(reader)
        assert reader.failures_full == 0  # sent before the reset, whenever told


def test_two_starts_and_failures_at_once():
    """MAG-5: each reader over the threshold is stopped by one of them."""
    magazine, now = make_magazine(stop_full=None), timezone.now()
    readers = [make_reader(magazine, failures_full=3) for _place in range(5)]
    mails = [failed_mail(reader, "refused").pk for reader in readers]
    Magazine.objects.update(stop_full=3, stop_refused=1)

    def start(job):
        with transaction.atomic():
            return stop_over_thresholds(magazine, job_id=job, now=now)

    in_threads(lambda: start(1), lambda: start(2), lambda: count(mails, now=now))
    assert Reader.objects.filter(state="error_stopped").count() == 5
    assert ReaderChange.objects.filter(after="error_stopped").count() == 5


def test_an_outage_taken_back_while_its_failures_come_in():
    """MAG-3: told before, at the same moment or later: none of them counts."""
    magazine, now = make_magazine(), timezone.now()
    readers = [make_reader(magazine) for _place in range(4)]
    count([failed_mail(reader).pk for reader in readers for _time in range(2)], now=now)
    mails = [failed_mail(reader).pk for reader in readers for _time in range(2)]
    period = (now - timezone.timedelta(hours=1), now + timezone.timedelta(hours=1))
    in_threads(
        lambda: take_back(magazine, "yamate.example.jp", *period, user=None, now=now),
        lambda: count(mails, now=now),
    )
    count(mails, now=now)
    for reader in readers:
        assert_true(reader)
