"""Later proof of arrival resolves 結果不明 (ERR-4), and what mail/ tells other apps about failures."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from leads.models import Lead
from mail.delivery.proof import arrived
from mail.delivery.record import Result, record
from mail.models import Delivery
from mail.models.delivery import DeliveryState
from mail.signals import Failure, announce, delivery_failed
from tests.factories import make_delivery, make_job, make_lead


@pytest.fixture
def now():
    return timezone.now()


def test_err_4_proof_of_arrival_resolves_an_unknown_outcome(db, now):
    """ERR-4, FLAG-1: 結果不明 → 正常, with a line in its story; a row of failures before it ends there."""
    since = now - timedelta(days=90)
    lead = make_lead("a@x.example.jp", email_since=since, email_failures=1)
    moment = now - timedelta(hours=1)
    make_delivery(lead, state="error", code=42550, result_at=moment - timedelta(days=1))
    mail = make_delivery(lead, state="unknown", sent_at=moment, result_at=moment)
    assert arrived([mail.pk], proof="click", now=now) == {mail.pk}
    mail.refresh_from_db()
    assert (mail.state, mail.code, mail.sent_at, mail.result_at) == ("sent", 40000, moment, now)
    assert [(event.what, event.text) for event in mail.events.all()] == [("arrived", "click")]
    assert Lead.objects.get().email_failures == 0
    assert arrived([mail.pk], proof="open", now=now) == set()
    assert mail.events.count() == 1


@pytest.mark.parametrize("state", ["queued", "handing_over", "sent", "error"])
def test_proof_changes_nothing_else(db, now, state):
    mail = make_delivery(make_lead(), state=state, code=42550 if state == "error" else None)
    assert arrived([mail.pk, 10**15], proof="open", now=now) == set()
    mail.refresh_from_db()
    assert mail.state == state
    assert mail.events.count() == 0


def test_a_finished_job_is_counted_again_after_proof(db, now):
    job = make_job(state="done", counts={"state": {"unknown": 1}})
    mail = make_delivery(make_lead(), job=job, state="unknown", sent_at=now)
    arrived([mail.pk], proof="open", now=now)
    job.refresh_from_db()
    assert job.counts["stale"] is True


def test_nothing_to_prove(db, now, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert arrived([], proof="open", now=now) == set()


@pytest.fixture
def told():
    heard = []

    def hear(failures, **_rest):
        heard.append(failures)

    def break_down(**_rest):
        raise RuntimeError("a receiver of a test")

    delivery_failed.connect(break_down)
    delivery_failed.connect(hear)
    yield heard
    delivery_failed.disconnect(hear)
    delivery_failed.disconnect(break_down)


@pytest.mark.django_db(transaction=True)
def test_failures_are_told_after_the_commit(told, now):
    """A receiver that breaks disturbs nobody; after a rollback nothing is told."""
    failure = Failure(7, None, "no_mailbox", True, now)
    with transaction.atomic():
        announce([failure])
        assert told == []
    assert told == [[failure]]
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        announce([failure])
        raise ZeroDivisionError
    announce([])
    assert told == [[failure]]
    assert not Delivery.objects.exists()


@pytest.mark.parametrize(
    ("kind", "told_of"),
    [("wizard", [("no_mailbox", True)]), ("single", [("no_mailbox", True)]), ("test", [])],
)
@pytest.mark.django_db(transaction=True)
def test_err_5_a_failure_at_the_hand_over_is_told_too(told, now, kind, told_of):
    """Refused by the receiver: the recorder tells it after its commit, with the cause; a test mail is nobody's."""
    lead = make_lead("a@x.example.jp")
    mail = make_delivery(lead, kind=kind, state="claimed", token=5)
    refused = Result(
        mail.pk, 5, DeliveryState.ERROR, 42550, "5.1.1", "550 5.1.1 no", cause="no_mailbox", handed_over=False
    )
    assert record([refused]) == {mail.pk}
    assert [(one.cause, one.hard) for failures in told for one in failures] == told_of
    assert all(one.sent_at is not None and one.lead_id == lead.pk for failures in told for one in failures)
