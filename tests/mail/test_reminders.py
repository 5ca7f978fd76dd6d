"""APP-4: the reminder before a campaign begins."""

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from campaigns.models import Application, Campaign
from mail.models import Delivery, MailSettings
from mail.reminders import due_at, remind
from mail.tasks import tick
from tests.factories import make_application, make_campaign, make_lead

pytestmark = pytest.mark.django_db


def japan(text):
    return datetime.fromisoformat(f"{text}+09:00")


START = japan("2026-12-22T14:00")
DUE = japan("2026-12-21T10:00")


def make(**values):
    campaign = make_campaign(starts_at=START, ends_at=START + timedelta(hours=2), **values)
    return make_application(campaign, applied_at=japan("2026-12-01T12:00"))


def reminded():
    return list(Delivery.objects.filter(mail_kind="reminder").values_list("application_id", flat=True))


@pytest.mark.parametrize(
    ("options", "when"),
    [
        ({"days_before": 1, "at": "10:00"}, "2026-12-21T10:00"),
        ({"days_before": 7, "at": "23:59"}, "2026-12-15T23:59"),
        ({"days_before": 0, "at": "08:00"}, "2026-12-22T08:00"),
        ({"days_before": 99, "at": "late"}, "2026-12-21T10:00"),
        ({}, "2026-12-21T10:00"),
    ],
)
def test_due_by_days_and_time_in_japan(options, when):
    assert due_at(START, options) == japan(when)


def test_a_day_is_a_day_in_japan():
    """00:30 in Japan is still the day before in UTC."""
    assert due_at(japan("2026-12-22T00:30"), {"days_before": 1, "at": "10:00"}) == DUE


def test_once_and_not_before_its_time():
    application = make()
    assert remind(DUE - timedelta(seconds=1)) == 0
    assert remind(DUE) == 1
    assert remind(DUE + timedelta(hours=1)) == 0
    assert reminded() == [application.pk]
    application.refresh_from_db()
    assert application.reminded_at == DUE


def test_after_an_outage_once_or_not_at_all():
    application = make()
    assert remind(START) == 0
    assert remind(START + timedelta(days=1)) == 0
    assert remind(START - timedelta(minutes=1)) == 1
    assert reminded() == [application.pk]


def test_only_who_has_a_seat_in_a_campaign_that_is_held():
    campaign = make().campaign
    for state in ("waiting", "cancelled", "provisional"):
        make_application(
            campaign, make_lead(f"{state}@b.example.jp"), state=state, applied_at=DUE - timedelta(days=9)
        )
    for state in ("draft", "archived"):
        make(state=state)
    closed = make(state="closed")
    assert remind(DUE) == 2
    assert closed.pk in reminded()


def test_who_applies_after_it_was_due_is_not_reminded():
    campaign = make().campaign
    late = make_application(campaign, applied_at=DUE + timedelta(minutes=1))
    remind(DUE + timedelta(hours=1))
    assert late.pk not in reminded()


def test_days_and_switch_of_the_campaign():
    """NAV-2: set per campaign, otherwise as in the all-campaign mode."""
    first, second, third = make(), make(), make()
    MailSettings.objects.create(kind="reminder", options={"days_before": 3, "at": "09:00"})
    MailSettings.objects.create(
        kind="reminder", campaign=second.campaign, options={"days_before": 2, "at": "09:00"}
    )
    MailSettings.objects.create(kind="reminder", campaign=third.campaign, enabled=False)
    remind(japan("2026-12-19T09:00"))
    assert reminded() == [first.pk]
    remind(japan("2026-12-20T09:00"))
    assert set(reminded()) == {first.pk, second.pk}
    remind(START - timedelta(minutes=1))
    assert set(reminded()) == {first.pk, second.pk}


def test_the_tick_asks_little(django_assert_num_queries):
    """Every two seconds: one query with nothing coming up, two with nothing due, whatever the number of people."""
    with django_assert_num_queries(1):
        remind(DUE)
    for _campaign in range(3):
        make()
    with django_assert_num_queries(2):
        remind(DUE - timedelta(days=1))


def test_more_than_a_batch(monkeypatch):
    from mail import reminders

    monkeypatch.setattr(reminders, "_BATCH", 2)
    campaign = make().campaign
    for _one in range(4):
        make_application(campaign, applied_at=japan("2026-12-01T12:00"))
    assert remind(DUE) == 5
    assert Delivery.objects.filter(mail_kind="reminder", state="queued").count() == 5


def test_the_tick_reminds_and_ends_what_was_not_confirmed(monkeypatch):
    """APP-4; a failure there keeps nothing else from being done."""
    from mail import tasks

    now = timezone.now()
    campaign = make_campaign(starts_at=now + timedelta(minutes=30))
    application = make_application(campaign, applied_at=now - timedelta(days=5))
    stale = make_application(campaign, state="provisional", created_at=now - timedelta(days=60))

    def fails(now):
        raise ValueError

    monkeypatch.setattr(tasks, "remind", fails)
    monkeypatch.setattr(tasks, "_remember", lambda *args: True)
    tick()
    stale.refresh_from_db()
    assert stale.state == "cancelled" and reminded() == []
    monkeypatch.undo()
    tick()
    assert reminded() == [application.pk]
    assert Campaign.objects.count() == 1 and Application.objects.count() == 2
