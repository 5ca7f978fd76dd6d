"""FLAG-1, FLAG-2: failures in a row, placed by the time of sending."""

from datetime import timedelta

import pytest
from django.utils import timezone

from leads.models import Lead
from mail.delivery.claim import claim
from mail.delivery.failures import recount
from mail.delivery.record import Result, record
from mail.models import Delivery
from mail.models.delivery import DeliveryState
from tests.factories import make_delivery, make_lead, make_sending_job

pytestmark = pytest.mark.django_db

NOW = timezone.now()


@pytest.fixture
def lead():
    return make_lead("a@x.example.jp", email_since=NOW - timedelta(days=100))


def mail(lead, days_ago, state="error", code=42550, **values):
    at = NOW - timedelta(days=days_ago)
    values.setdefault("sent_at", at)
    return make_delivery(lead, state=state, code=40000 if state == "sent" else code, result_at=at, **values)


def count(lead):
    return recount([lead.pk], now=NOW)[lead.pk]


def test_flag_1_counts_back_to_the_last_success(lead):
    """FLAG-1: errors from the newest backwards until a 正常; three switch the flag off."""
    mail(lead, 9)
    mail(lead, 8, "sent")
    mail(lead, 7)
    mail(lead, 6)
    assert count(lead) == 2
    assert Lead.objects.get().email_valid
    mail(lead, 5)
    assert count(lead) == 3
    assert not Lead.objects.get().email_valid


def test_flag_1_a_late_result_falls_into_its_place(lead):
    """FLAG-1: a bounce that came in today for a mail before the last 正常 breaks nothing."""
    late = mail(lead, 30, "sent")
    mail(lead, 20, "sent")
    mail(lead, 10)
    type(late).objects.filter(pk=late.pk).update(state="error", code=90000, result_at=NOW)
    assert count(lead) == 1
    # The 正常 that stood between turns out to have bounced too: now all three are in a row.
    type(late).objects.filter(state="sent").update(state="error", code=90000, result_at=NOW)
    assert count(lead) == 3


def test_flag_1_what_does_not_count(lead):
    """FLAG-1: our own faults, test mails, other addresses, open and unknown outcomes."""
    mail(lead, 9, code=None)  # could not be made
    mail(lead, 8, code=41605)
    mail(lead, 7, failed_address="b.1.x@bounce.smp.example")  # our sender was refused
    mail(lead, 6, kind="test")
    mail(lead, 200)  # before this address was the lead's
    mail(lead, 5, "unknown", code=None)
    mail(lead, 4, "excluded", reason="stopped")
    mail(lead, 3, "deferred", code=42451)
    mail(lead, 3, cause="ours")
    mail(lead, 3, code=42552, cause="size")
    mail(make_lead("b@x.example.jp"), 2)
    assert count(lead) == 0
    mail(lead, 2, failed_address="chief@y.example.jp")  # ADDR-4: counts for the lead
    mail(lead, 1, sent_at=None)  # refused before the data
    assert count(lead) == 2


def test_flag_1_a_test_mail_that_arrives_ends_nothing(lead):
    mail(lead, 9)
    mail(lead, 8)
    mail(lead, 1, "sent", kind="test")
    assert count(lead) == 2


def test_many_leads_in_one_statement(django_assert_num_queries):
    leads = [
        make_lead(f"r{number}@x.example.jp", email_since=NOW - timedelta(days=100)) for number in range(3)
    ]
    for lead in leads:
        mail(lead, 1)
    with django_assert_num_queries(5):  # count; savepoint, setting, update, release
        recount([lead.pk for lead in leads], now=NOW)
    with django_assert_num_queries(5):
        recount([leads[0].pk], now=NOW)


@pytest.mark.parametrize(
    ("code", "valid"), [(42521, False), (42551, False), (42553, False), (42550, True), (42552, True)]
)
def test_flag_2_codes_that_switch_off_at_once(code, valid):
    """FLAG-2."""
    job = make_sending_job("a@x.example.jp")
    [row] = claim(job.pk, 1)
    record([Result(row.pk, row.token, DeliveryState.ERROR, code, failed_address="a@x.example.jp")])
    assert Lead.objects.get().email_valid is valid


@pytest.mark.parametrize(("cause", "valid"), [("ours", True), ("size", True), ("no_mailbox", False)])
def test_flag_2_what_is_not_the_leads_switches_nothing_off(cause, valid):
    """FLAG-2: a code that switches off, said of our configuration or of the mail's size, does not."""
    job = make_sending_job("a@x.example.jp")
    [row] = claim(job.pk, 1)
    record(
        [Result(row.pk, row.token, DeliveryState.ERROR, 42553, failed_address="a@x.example.jp", cause=cause)]
    )
    lead = Lead.objects.get()
    assert (lead.email_valid, lead.email_failures) == (valid, 0 if valid else 1)


def test_flag_2_is_about_the_leads_own_address():
    """FLAG-2: a CC that does not exist says nothing about the lead's address; it counts as one failure."""
    job = make_sending_job("a@x.example.jp")
    [row] = claim(job.pk, 1)
    record([Result(row.pk, row.token, DeliveryState.ERROR, 42551, failed_address="chief@y.example.jp")])
    lead = Lead.objects.get()
    assert (lead.email_valid, lead.email_failures) == (True, 1)


def test_flag_1_a_success_resets_the_row(lead):
    mail(lead, 2)
    mail(lead, 1)
    assert count(lead) == 2
    job = make_sending_job()
    make_delivery(lead, job=job)
    [row] = claim(job.pk, 1)
    from mail.delivery.intent import Intent, intend

    intend([Intent(row.pk, row.token, job.snapshot_id, "{}", "", timezone.now(), lead.email)])
    record([Result(row.pk, row.token, DeliveryState.SENT, 40000)])
    assert Lead.objects.get(pk=lead.pk).email_failures == 0


def test_a_count_that_fails_does_not_cost_the_result(monkeypatch):
    def breaks(*_given, **_named):
        raise RuntimeError("a bug")

    monkeypatch.setattr("mail.delivery.record.recount", breaks)
    job = make_sending_job("a@x.example.jp")
    [row] = claim(job.pk, 1)
    assert record([Result(row.pk, row.token, DeliveryState.ERROR, 42550)]) == {row.pk}
    row = Delivery.objects.get(pk=row.pk)
    assert (row.state, row.code) == ("error", 42550)
