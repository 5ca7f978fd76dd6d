"""APP-6: the last seats, with real connections at the same moment."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from campaigns.applications import ApplicationRefused, cancel, confirm, seats
from campaigns.models import Application, Session
from leads.models import Lead
from tests.campaigns.applying import apply, entry
from tests.factories import make_application, make_campaign, make_lead

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_limits():
    cache.clear()


def at_once(*calls):
    """Runs all calls at the same moment, each over its own connection; what each returned, or the refusal's code."""
    ready = threading.Barrier(len(calls))

    def go(call):
        try:
            connection.ensure_connection()
            ready.wait(60)
            return call()
        except ApplicationRefused as refused:
            return refused.code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(go, calls))


def person(number, **values):
    return entry(email=f"person{number}@yamate.example.jp", **values)


def test_50_apply_at_once_for_the_last_10_seats():
    campaign = make_campaign(capacity=15)
    for _number in range(5):
        make_application(campaign)
    applied = at_once(*(lambda n=n: apply(campaign, person(n)) for n in range(50)))
    outcomes = [str(one.outcome) for one in applied]
    assert (outcomes.count("applied"), outcomes.count("waiting")) == (10, 40)
    assert (seats(campaign).taken, seats(campaign).waiting) == (15, 40)
    assert Lead.objects.filter(email__startswith="person").count() == 50
    # In order: whoever got a row first got the seat.
    mine = Application.objects.filter(pk__in=[one.application.pk for one in applied]).order_by("id")
    assert list(mine.values_list("state", flat=True)) == ["applied"] * 10 + ["waiting"] * 40


def test_without_a_waiting_list_the_others_are_refused():
    campaign = make_campaign(capacity=3, waiting_list=False)
    results = at_once(*(lambda n=n: apply(campaign, person(n)) for n in range(12)))
    assert results.count("full") == 9 and seats(campaign).taken == 3
    assert Lead.objects.count() == 3


def test_a_session_is_not_overbooked():
    campaign = make_campaign(session_choice="one")
    morning = Session.objects.create(campaign=campaign, title="午前", capacity=4)
    results = at_once(*(lambda n=n: apply(campaign, person(n, sessions=[morning.pk])) for n in range(12)))
    assert results.count("session_full") == 8
    assert morning.chosen.count() == 4


def test_20_cancel_while_20_apply():
    """Nobody is lost, no seat is given twice, and none stays empty while somebody waits."""
    campaign = make_campaign(capacity=20)
    seated = [make_application(campaign) for _number in range(20)]
    now = timezone.now()
    at_once(
        *(lambda one=one: cancel(one, by="lead", now=now) for one in seated),
        *(lambda n=n: apply(campaign, person(n)) for n in range(20)),
    )
    assert Application.objects.filter(campaign=campaign).count() == 40
    assert (seats(campaign).taken, seats(campaign).waiting) == (20, 0)


def test_one_form_sent_10_times_at_once_is_one_application():
    campaign, token = make_campaign(), uuid.uuid4()
    applied = at_once(*(lambda: apply(campaign, token=token) for _number in range(10)))
    assert len({one.application.pk for one in applied}) == 1
    assert sorted(str(one.outcome) for one in applied) == ["applied"] + ["repeated"] * 9
    assert Lead.objects.count() == 1


def test_one_token_for_two_campaigns_at_once():
    token = uuid.uuid4()
    results = at_once(
        *(lambda one=one: apply(one, token=token) for one in (make_campaign(), make_campaign()))
    )
    assert results.count("token") == 1 and Application.objects.count() == 1


def test_one_new_person_applies_for_several_campaigns_at_once():
    """APP-3: the second finds the lead that the first made."""
    campaigns = [make_campaign() for _number in range(6)]
    at_once(*(lambda one=one: apply(one) for one in campaigns))
    assert (Lead.objects.count(), Application.objects.count()) == (1, 6)


def test_one_person_with_two_forms_at_once_has_one_application():
    campaign, lead = make_campaign(), make_lead("hanako@yamate.example.jp")
    applied = at_once(*(lambda: apply(campaign) for _number in range(6)))
    assert sorted(str(one.outcome) for one in applied) == ["already"] * 5 + ["applied"]
    assert Application.objects.get().lead == lead


def test_the_last_seat_is_confirmed_once():
    campaign = make_campaign(capacity=1, confirm_address=True)
    unconfirmed = [apply(campaign, person(n)).application for n in range(6)]
    now = timezone.now()
    at_once(*(lambda one=one: confirm(one, now=now) for one in unconfirmed * 2))
    assert (seats(campaign).taken, seats(campaign).waiting, seats(campaign).provisional) == (1, 5, 0)
