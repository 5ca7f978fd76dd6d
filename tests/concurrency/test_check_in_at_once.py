"""TKT-4: two phones at one door."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from campaigns.check_in import Result, check_in
from campaigns.models import Application, CheckIn
from tests.concurrency.test_tickets_at_once import all_at_once
from tests.factories import make_application, make_campaign

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)


def test_two_phones_scan_the_same_person():
    """TKT-4: one 受付, the others 既に受付済み"""
    application = make_application(make_campaign())

    def scan(_number):
        return check_in(
            application.campaign, application.code, scan=uuid4(), at=NOW, user=None, now=NOW
        ).result

    assert sorted(all_at_once(scan, 8)) == [Result.ALREADY] * 7 + [Result.OK]
    assert CheckIn.objects.count() == 1
    assert Application.objects.get().attended_at == NOW


def test_one_scan_sent_eight_times_at_once():
    """TKT-4"""
    application = make_application(make_campaign())
    number = uuid4()

    def scan(_number):
        return check_in(
            application.campaign, application.code, scan=number, at=NOW, user=None, now=NOW
        ).result

    assert all_at_once(scan, 8) == [Result.OK] * 8
    assert CheckIn.objects.count() == 1


def test_one_number_for_two_people():
    """TKT-4: no phone of ours does that; nobody is let in twice by it"""
    campaign = make_campaign()
    people = [make_application(campaign), make_application(campaign)]
    number = uuid4()

    def scan(which):
        return check_in(campaign, people[which].code, scan=number, at=NOW, user=None, now=NOW).result

    assert Result.OK in all_at_once(scan, 2)
    assert CheckIn.objects.count() == 1
