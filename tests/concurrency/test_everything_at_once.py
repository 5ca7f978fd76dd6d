"""APP-3, APP-5, APP-6, TKT-3: people apply and cancel while staff change the capacity, merge, undo and deliver."""

import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone

from campaigns import applications
from campaigns.campaigns import save_campaign
from campaigns.models import Application, Campaign
from campaigns.refusals import ApplicationRefused
from campaigns.seats import seats_of
from campaigns.tickets import send_ticket_url
from campaigns.waiting_list import move_up
from leads.flags import record_failures
from leads.merge import MergeRefused, merge, undo
from leads.models import Lead, LeadMerge
from mail.models import Delivery
from smp.lib.deadlocks import again_after_deadlock
from tests.campaigns.applying import entry
from tests.factories import make_campaign, make_lead

pytestmark = pytest.mark.django_db(transaction=True)
THREADS, ROUNDS, PEOPLE = 6, 20, 10
MOST = 6  # the capacity is changed up and down below this


def address(number):
    return f"person{number}@yamate.example.jp"


class Somebody:
    """One thread, doing things in an order of its own."""

    def __init__(self, seed):
        self.dice = random.Random(seed)

    def somewhere(self):
        return self.dice.choice(list(Campaign.objects.order_by("pk")))

    def some_application(self, **which):
        found = list(Application.objects.filter(**which).order_by("pk"))
        return self.dice.choice(found) if found else None

    def applies(self):
        given = entry(email=address(self.dice.randrange(PEOPLE)))
        applications.apply(
            self.somewhere(), given, way="form", now=timezone.now(), token=uuid.uuid4(), tell=True
        )

    def cancels(self):
        if one := self.some_application(state__in=["applied", "waiting"]):
            applications.cancel(one, by="staff", now=timezone.now())

    def changes_the_capacity(self):
        values = {"capacity": self.dice.randint(3, MOST)}
        save_campaign(values, campaign=self.somewhere(), user=None, now=timezone.now())

    def merges(self):
        ids = list(Lead.objects.existing().order_by("pk").values_list("pk", flat=True))
        chosen = self.dice.sample(ids, 2)
        merge(chosen[0], chosen, chosen={}, user=None, now=timezone.now())

    def undoes(self):
        done = list(LeadMerge.objects.filter(undone_at=None).order_by("pk"))
        if done:
            undo(self.dice.choice(done), user=None, now=timezone.now())

    def asks_for_a_ticket(self):
        if one := self.some_application(state="applied"):
            send_ticket_url(one, now=timezone.now())

    def counts_failures(self):
        ids = Lead.objects.existing().values_list("pk", flat=True)
        again_after_deadlock(record_failures)(dict.fromkeys(ids, 1), now=timezone.now())

    def live(self):
        acts = [
            self.applies, self.applies, self.applies, self.cancels, self.cancels, self.changes_the_capacity,
            self.merges, self.undoes, self.asks_for_a_ticket, self.counts_failures,
        ]  # fmt: skip
        try:
            for _round in range(ROUNDS):
                # Full, merged meanwhile, undone meanwhile: it is said, and nothing was done.
                with suppress(ApplicationRefused, MergeRefused):
                    self.dice.choice(acts)()
        finally:
            connection.close()


def test_nobody_is_lost_and_no_seat_given_twice():
    """APP-3, APP-5, APP-6"""
    cache.clear()
    campaigns = [make_campaign(f"第{number}回", capacity=4) for number in range(2)]
    for number in range(PEOPLE):
        make_lead(address(number))
    with ThreadPoolExecutor(THREADS) as pool:
        for thread in [pool.submit(Somebody(seed).live) for seed in range(THREADS)]:
            thread.result(120)
    for campaign in campaigns:
        campaign.refresh_from_db()
        save_campaign({"capacity": MOST}, campaign=campaign, user=None, now=timezone.now())
    for campaign, found in ((one, seats_of([one])[one.pk]) for one in Campaign.objects.all()):
        assert found.taken <= MOST
        assert found.full or not found.waiting, f"{campaign} has a free seat, and somebody waits"
        assert move_up(campaign, now=timezone.now()) == []
    live = Application.objects.exclude(state="cancelled")
    assert not live.exclude(lead__deleted_at=None).exists()
    assert not live.filter(state="applied", applied_at=None).exists()
    assert not live.filter(state="waiting", waiting_since=None).exists()
    assert not Application.objects.filter(state="cancelled", cancelled_at=None).exists()
    assert not Delivery.objects.filter(lead_id__lt=0).exists()
