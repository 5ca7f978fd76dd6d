"""APP-4: two ticks at once, and somebody who cancels meanwhile: nobody is reminded twice, or after cancelling."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from campaigns.applications import cancel
from campaigns.events import Event, Happening, announce
from mail.models import Delivery
from mail.reminders import remind
from tests.concurrency.test_brake_at_once import at_once
from tests.connections import Other
from tests.factories import make_application, make_campaign

pytestmark = pytest.mark.django_db(transaction=True)


def waiting_for_their_reminder(number):
    now = timezone.now()
    campaign = make_campaign(starts_at=now + timedelta(hours=1))
    return [make_application(campaign, applied_at=now - timedelta(days=9)) for _one in range(number)]


def test_two_ticks_at_once():
    applications = waiting_for_their_reminder(30)
    now = timezone.now()
    told = at_once(*[lambda: remind(now)] * 3)
    remind(now)  # what somebody else's lock made them pass over
    rows = list(Delivery.objects.filter(mail_kind="reminder").values_list("application_id", flat=True))
    assert sorted(rows) == [one.pk for one in applications]
    assert sum(told) <= 30


def test_the_same_reminder_announced_at_once():
    (application,) = waiting_for_their_reminder(1)
    one = Happening(Event.REMINDER, application.lead, timezone.now(), application.campaign, application)
    at_once(*[lambda: announce(one)] * 3)
    assert Delivery.objects.filter(mail_kind="reminder").count() == 1


def test_who_is_just_cancelling_is_not_reminded():
    (application,) = waiting_for_their_reminder(1)
    with Other() as other, transaction.atomic():
        cancel(application, by="lead", now=timezone.now())
        assert other.run(remind, timezone.now()) == 0
    assert remind(timezone.now()) == 0
    assert not Delivery.objects.filter(mail_kind="reminder").exists()
