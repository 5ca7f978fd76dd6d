"""Failures by cause, thresholds, judged at the failure and at each start (MAG-3, MAG-4, MAG-5, MAG-6)."""

import random
from datetime import timedelta

import pytest
from django.utils import timezone

from leads.merge import merge
from mail import tasks
from mail.bounces.record import Bounce, record_bounce
from mail.delivery.record import Result, record
from mail.magazines import failures
from mail.magazines.failures import count, count_missed, group_of, stop_over_thresholds
from mail.magazines.readers import change_reader, register, remove
from mail.models import Delivery, DeliveryEvent, FailureGroup, Magazine, Reader, ReaderChange, ReaderFailure
from mail.models.delivery import Cause, DeliveryState
from mail.send_again import retry_failed
from mail.smtp.replies import NO_ROUTE
from tests.factories import make_delivery, make_job, make_lead
from tests.mail.magazine_scene import make_magazine, make_reader

pytestmark = pytest.mark.django_db
COUNTS = [f"failures_{group.value}" for group in FailureGroup]


def failed_mail(reader, cause="refused", *, at=None, **values):
    """A mail of the reader's magazine that failed, without anybody having been told."""
    job = values.pop("job", None) or make_job(magazine=reader.magazine, state="done")
    at = at or timezone.now()
    values = {
        "kind": "magazine", "state": "error", "cause": cause, "code": 52571, "sent_at": at, "result_at": at,
        "template": None,
    } | values  # fmt: skip
    return make_delivery(
        reader.lead, job=job, **{key: value for key, value in values.items() if key != "template"}
    )


def fails(reader, cause="refused", *, times=1, now=None, **values):
    """Fails and is counted."""
    for _time in range(times):
        count([failed_mail(reader, cause, **values).pk], now=now or timezone.now())
    reader.refresh_from_db()
    return reader


def counts(reader):
    reader.refresh_from_db()
    return {group.value: reader.failures(group) for group in FailureGroup if reader.failures(group)}


def assert_true(reader):
    """A reader's counts are the number of failures that were not reset."""
    rows = ReaderFailure.objects.filter(magazine=reader.magazine, lead=reader.lead, reset_at=None)
    reader.refresh_from_db()
    for group in FailureGroup:
        assert reader.failures(group) == rows.filter(group=group).count()


# ---- causes and thresholds


def test_causes():
    """MAG-4: each cause belongs to one threshold; what is our own fault to none."""
    assert {cause.value: group_of(cause) for cause in Cause} == {
        "no_mailbox": "no_mailbox", "no_host": "no_mailbox", "moved": "no_mailbox", "not_accepted": "no_mailbox",
        "full": "full", "refused": "refused", "size": "other", "temporary": "temporary", "ours": None, "other": "other",
    }  # fmt: skip
    assert group_of("") is None


def test_the_defaults():
    """MAG-4."""
    magazine = Magazine()
    assert [magazine.threshold(group) for group in FailureGroup] == [1, 3, 5, 5, 5]


@pytest.mark.parametrize(
    ("cause", "threshold"), [("no_host", 1), ("refused", 3), ("full", 5), ("temporary", 5), ("size", 5)]
)
def test_the_threshold_of_a_cause(cause, threshold):
    """MAG-3: cumulative, whatever arrived in between; the history says cause, count and threshold."""
    reader = make_reader(make_magazine())
    fails(reader, cause, times=threshold - 1)
    assert reader.state == "deliverable"
    make_delivery(reader.lead, kind="magazine", state="sent", sent_at=timezone.now())
    last = failed_mail(reader, cause)
    now = timezone.now()
    assert count([last.pk], now=now) == 1
    reader.refresh_from_db()
    assert (reader.state, reader.state_at, reader.updated_at) == ("error_stopped", now, now)
    change = ReaderChange.objects.get()
    assert (change.way, change.before, change.after) == ("failure", "deliverable", "error_stopped")
    assert (change.group, change.delivery_id) == (group_of(cause), last.pk)
    assert change.detail == {"failures": threshold, "threshold": threshold}


def test_causes_are_counted_apart():
    """MAG-3: 不達原因ごとの累積."""
    reader = make_reader(make_magazine())
    fails(reader, "refused", times=2)
    fails(reader, "full", times=4)
    fails(reader, "temporary", times=4)
    assert (reader.state, counts(reader)) == ("deliverable", {"refused": 2, "full": 4, "temporary": 4})


def test_never():
    """MAG-4: an empty threshold stops nobody."""
    reader = make_reader(make_magazine(stop_no_mailbox=None))
    fails(reader, "no_mailbox", times=3)
    assert (reader.state, reader.failures_no_mailbox) == ("deliverable", 3)
    assert stop_over_thresholds(reader.magazine, job_id=1, now=timezone.now()) == 0


def test_of_this_magazine_only():
    """MAG-1: the lead reads another magazine as well; mails of the wizard count for no magazine."""
    reader = make_reader(make_magazine())
    other = make_reader(make_magazine("別"), lead=reader.lead)
    fails(reader, "no_mailbox")
    wizard = failed_mail(other, "no_mailbox", kind="wizard", job=make_job(state="done"))
    odd = failed_mail(other, "no_mailbox", kind="single")
    assert count([wizard.pk, odd.pk], now=timezone.now()) == 0
    other.refresh_from_db()
    assert (reader.state, other.state, counts(other)) == ("error_stopped", "deliverable", {})


@pytest.mark.parametrize(
    "values",
    [
        {"cause": "ours"},
        {"code": None},
        {"code": NO_ROUTE},
        {"failed_address": "b.1.x@bounce.example.jp"},
        {"failed_address": "boss@other.example.jp"},
        {"state": "sent"},
        {"state": "unknown"},
    ],
)
def test_not_the_readers_failure(values, settings):
    """MAG-4: our own fault, no DNS, a refused sender, somebody in CC."""
    settings.BOUNCE_DOMAIN = "bounce.example.jp"
    reader = make_reader(make_magazine())
    mail = failed_mail(reader, **({"cause": "no_mailbox"} | values))
    assert count([mail.pk], now=timezone.now()) == 0
    assert count_missed(timezone.now()) == 0
    assert counts(reader) == {}


@pytest.mark.parametrize(
    ("address", "failed"),
    [("Yoshio@Yamate.example.jp", "yoshio@yamate.EXAMPLE.jp"), ("yoshio@例え.jp", "yoshio@xn--r8jz45g.jp")],
)
def test_the_readers_own_address_as_the_server_says_it(address, failed):
    reader = make_reader(make_magazine(), address)
    fails(reader, failed_address=failed)
    assert counts(reader) == {"refused": 1}
    assert ReaderFailure.objects.get().domain == failed.lower().rpartition("@")[2]


def test_told_again():
    """MAG-3: the same failure twice, by the signal and by the tick, counts once."""
    reader = make_reader(make_magazine())
    mail = failed_mail(reader)
    now = timezone.now()
    assert [count([mail.pk, mail.pk], now=now), count([mail.pk], now=now), count_missed(now)] == [1, 0, 0]
    assert counts(reader) == {"refused": 1}
    assert ReaderFailure.objects.count() == 1


def test_tried_again_and_failed_again(monkeypatch):
    """MAG-3: a mail that a person sends again and that fails once more, for another cause too, has counted already."""
    monkeypatch.setattr("mail.send_again.hint", lambda task, *ids: None)
    reader = make_reader(make_magazine())
    mail = failed_mail(reader, "full", code=42552)
    now = timezone.now()
    assert count([mail.pk], now=now) == 1
    assert retry_failed(mail.job, user=None, now=now) == 1
    Delivery.objects.filter(pk=mail.pk, state="queued").update(state="error", cause="refused", result_at=now)
    assert [count([mail.pk], now=now), count_missed(now)] == [0, 0]
    assert counts(reader) == {"full": 1}


def test_many_in_one_batch(django_assert_num_queries):
    """One batch of results: three statements, however many; several mails of one reader at once."""
    magazine = make_magazine(stop_refused=2)
    job, other = make_job(magazine=magazine), make_job(magazine=magazine)
    readers = [make_reader(magazine) for _place in range(6)]
    mails = [failed_mail(one, job=job).pk for one in readers]
    mails += [failed_mail(one, job=other).pk for one in readers[:3]]
    with django_assert_num_queries(5):  # two of them the savepoint
        assert count(mails, now=timezone.now()) == 9
    assert Reader.objects.filter(state="error_stopped").count() == 3
    assert {change.delivery_id for change in ReaderChange.objects.all()} == set(mails[6:])


# ---- from the hand-over and from a bounce


def test_a_refusal_at_the_hand_over(django_capture_on_commit_callbacks):
    """MAG-3: by the signal, after the commit."""
    reader = make_reader(make_magazine())
    mail = failed_mail(reader, "", state="claimed", token=7, code=None, result_at=None)
    result = Result(mail.pk, 7, DeliveryState.ERROR, 55011, "5.1.1", "no such user", cause="no_mailbox")
    with django_capture_on_commit_callbacks(execute=True):
        record([result])
    reader.refresh_from_db()
    assert (reader.state, reader.failures_no_mailbox) == ("error_stopped", 1)


def test_a_bounce(django_capture_on_commit_callbacks):
    """MAG-3: エラーが返却されてきた際; a second report changes nothing."""
    reader = make_reader(make_magazine())
    mail = failed_mail(reader, "", state="sent", code=None)
    bounce = Bounce(mail.address, "5.1.1", "no such user", "no_mailbox", True)
    for _time in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            record_bounce(mail, bounce, now=timezone.now())
    reader.refresh_from_db()
    assert (reader.state, reader.failures_no_mailbox) == ("error_stopped", 1)
    assert DeliveryEvent.objects.filter(what="bounced").count() == 1


def test_killed_between_the_commit_and_the_signal():
    """MAG-3: the result is stored, nobody was told: the tick finds it, within a week."""
    reader = make_reader(make_magazine())
    now = timezone.now()
    mail = failed_mail(reader, "", state="sent", code=None)
    record_bounce(
        mail, Bounce(mail.address, "5.1.1", "", "no_mailbox", True), now=now
    )  # its signal is never sent
    assert counts(reader) == {}
    assert count_missed(now + failures.MISSED_FOR + timedelta(seconds=1)) == 0
    assert count_missed(now) == 1
    assert count_missed(now) == 0
    reader.refresh_from_db()
    assert reader.state == "error_stopped"


def test_many_missed(monkeypatch):
    """In portions, also when some of them count for nobody."""
    monkeypatch.setattr(failures, "_MISSED", failures._MISSED.replace("LIMIT 2000", "LIMIT 2"))
    reader = make_reader(make_magazine(stop_full=None))
    for number in range(7):
        other = {"failed_address": "boss@other.example.jp"} if number % 3 == 0 else {}
        failed_mail(reader, "full", **other)
    assert count_missed(timezone.now()) == 4
    assert counts(reader) == {"full": 4}


def test_the_tick_looks_for_them(monkeypatch):
    """MAG-3: about each minute; the note in the cache of another test must not keep it from it."""
    monkeypatch.setattr(tasks, "_remember", lambda *_note: True)
    reader = make_reader(make_magazine())
    failed_mail(reader)
    tasks.tick()
    assert counts(reader) == {"refused": 1}


# ---- at a start


def test_a_stricter_threshold_at_the_next_start():
    """MAG-5: who is over it is stopped there, and the history names the delivery."""
    magazine = make_magazine()
    reader, one_failure, stopped = (make_reader(magazine) for _place in range(3))
    fails(reader, "full", times=3)
    fails(one_failure, "full")
    fails(stopped, "full", times=3)
    Reader.objects.filter(pk=stopped.pk).update(state="stopped")
    Magazine.objects.filter(pk=magazine.pk).update(stop_full=2)
    reader.refresh_from_db()
    assert reader.state == "deliverable"  # until the start
    now = timezone.now()
    assert stop_over_thresholds(magazine, job_id=77, now=now) == 1
    assert stop_over_thresholds(magazine, job_id=78, now=now) == 0
    reader.refresh_from_db()
    assert (reader.state, reader.state_at) == ("error_stopped", now)
    change = ReaderChange.objects.get()
    assert (change.way, change.job_id, change.group) == ("start", 77, "full")
    assert change.detail == {"failures": 3, "threshold": 2}
    assert set(Reader.objects.exclude(pk=reader.pk).values_list("state", flat=True)) == {
        "deliverable",
        "stopped",
    }


def test_set_back_without_a_reset():
    """MAG-6: the next start stops the reader again; with the reset it does not."""
    reader = make_reader(make_magazine())
    fails(reader, "refused", times=3)
    now = timezone.now()
    change_reader(reader, {}, state="deliverable", reset_failures=False, user=None, now=now)
    assert stop_over_thresholds(reader.magazine, job_id=1, now=now) == 1
    change_reader(reader, {}, state="deliverable", reset_failures=True, user=None, now=now)
    assert stop_over_thresholds(reader.magazine, job_id=2, now=now) == 0
    fails(reader, "refused", at=now + timedelta(minutes=1))
    assert (reader.state, counts(reader)) == ("deliverable", {"refused": 1})


def test_what_the_signal_lost_is_counted_before_the_start():
    """MAG-5."""
    reader = make_reader(make_magazine())
    failed_mail(reader, "no_mailbox")
    assert (
        stop_over_thresholds(reader.magazine, job_id=1, now=timezone.now()) == 0
    )  # stopped by the failure itself
    reader.refresh_from_db()
    assert reader.state == "error_stopped"


def test_a_start_judges_its_magazine(django_assert_num_queries):
    """Two statements, whatever the size; other magazines are not touched."""
    magazine, other = make_magazine(), make_magazine("別")
    for one in (magazine, other):
        for _place in range(3):
            make_reader(one, failures_full=9)
    with django_assert_num_queries(2):
        assert stop_over_thresholds(magazine, job_id=1, now=timezone.now()) == 3
    assert Reader.objects.filter(magazine=other, state="deliverable").count() == 3


# ---- a reset, a removal, a merge


def test_a_late_report_of_a_mail_from_before_the_reset():
    """MAG-6: it tells of the time before, so it does not count; it is noted."""
    reader = make_reader(make_magazine())
    now = timezone.now()
    change_reader(reader, {}, state="deliverable", reset_failures=True, user=None, now=now)
    fails(reader, "no_mailbox", at=now - timedelta(days=1), now=now + timedelta(days=1))
    assert (reader.state, counts(reader)) == ("deliverable", {})
    assert ReaderFailure.objects.get().reset_at == now + timedelta(days=1)
    fails(reader, "no_mailbox", at=now + timedelta(minutes=1))
    assert reader.state == "error_stopped"


def test_a_late_report_about_somebody_who_left_and_came_back():
    """MAG-3: a new reader begins with nothing, whatever is reported of the time before."""
    magazine, now = make_magazine(), timezone.now()
    reader = make_reader(magazine)
    before = failed_mail(reader, "full", at=now - timedelta(days=2))
    fails(reader, "full", at=now - timedelta(days=1))
    remove(magazine, [reader.pk], way="import_undo", user=None, now=now)
    gone = failed_mail(reader, "full", at=now - timedelta(hours=1))
    count([gone.pk], now=now)
    back = register(magazine, reader.lead, way="form", now=now, evidence="form", proved=True).reader
    count([before.pk], now=now)
    assert counts(back) == {}
    fails(back, "full", at=now + timedelta(minutes=1))
    assert counts(back) == {"full": 1}
    assert_true(back)


def test_a_lead_that_was_merged():
    """APP-5: a mail that stayed with the merged lead counts for the survivor."""
    magazine, now = make_magazine(), timezone.now()
    reader = make_reader(magazine, "a@yamate.example.jp")
    twin = make_lead("b@yamate.example.jp")
    merge(reader.lead_id, [twin.pk], chosen={}, user=None, now=now)
    mail = failed_mail(reader)
    Delivery.objects.filter(pk=mail.pk).update(lead=twin)
    count([mail.pk], now=now)
    assert counts(reader) == {"refused": 1}


def test_counts_are_the_distinct_failures_since_the_reset():
    """MAG-3, MAG-6: whatever comes in whatever order, told however often, reset in between."""
    dice = random.Random(20261122)
    for _run in range(5):
        reader = make_reader(
            make_magazine(f"第{_run}", stop_no_mailbox=None, stop_refused=None, stop_full=None)
        )
        start, expected, mails = timezone.now() - timedelta(days=30), [], []
        now, last_reset = start, start - timedelta(days=1)
        for _act in range(25):
            now += timedelta(hours=dice.randint(1, 9))
            act = dice.choice(["fail", "fail", "again", "late", "reset", "missed"])
            if act in {"fail", "late"}:
                at = now if act == "fail" else now - timedelta(hours=dice.randint(1, 48))
                cause = dice.choice(["no_mailbox", "refused", "full", "ours"])
                mails.append(failed_mail(reader, cause, at=at, result_at=timezone.now()).pk)
                count(mails[-1:], now=now)
                if at > last_reset and cause != "ours":
                    expected.append(cause)
            elif act == "again" and mails:
                count(dice.choices(mails, k=3), now=now)
            elif act == "reset":
                reader.refresh_from_db()
                change_reader(reader, {}, state=reader.state, reset_failures=True, user=None, now=now)
                last_reset, expected = now, []
            elif act == "missed":
                count_missed(timezone.now())
        assert counts(reader) == {cause: expected.count(cause) for cause in set(expected)}
        assert_true(reader)
