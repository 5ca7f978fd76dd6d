"""The demo's campaigns show what there is to see: seats, a waiting list, a day at the door."""

import pytest
from django.utils import timezone

from campaigns.models import Application, ApplicationState, Campaign
from campaigns.seats import seats_of
from campaigns.status import status_of
from mail.models import Delivery
from smp.demo import sample_data

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def loaded(django_db_setup, django_db_blocker):
    """Read only, so once for all."""
    from django.db import transaction

    with django_db_blocker.unblock(), transaction.atomic():
        now = timezone.now()
        sample_data.load(now=now, leads=1500)
        yield now
        transaction.set_rollback(True)


def test_three_campaigns_one_of_them_full(loaded):
    """APP-1, APP-6"""
    campaigns = list(Campaign.objects.order_by("pk"))
    seats = seats_of(campaigns)
    statuses = [status_of(one, now=loaded, seats=seats[one.pk]).key for one in campaigns]
    assert statuses[:2] == ["open", "waiting"]
    winter, full, today = campaigns
    assert (seats[full.pk].taken, seats[full.pk].capacity) == (30, 30)
    assert seats[full.pk].waiting >= 5
    assert 60 < seats[winter.pk].taken < 120
    assert today.applications.exclude(attended_at=None).count() == 21
    states = set(Application.objects.values_list("state", flat=True))
    assert states == set(ApplicationState.values)


def test_some_are_told_by_mail_and_the_rest_is_the_past(loaded):
    """APP-4: the mails are decided like all others"""
    mails = Delivery.objects.filter(kind="automatic")
    assert 5 <= mails.count() <= 40
    assert set(mails.exclude(lead=None).values_list("state", flat=True)) == {"queued"}
    assert {"received", "waiting", "confirm"} <= set(mails.values_list("mail_kind", flat=True))
