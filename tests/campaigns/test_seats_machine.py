"""APP-6: whatever happens in whatever order, the seats add up and the waiting list keeps its order."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from campaigns.applications import ApplicationRefused, cancel, cancel_unconfirmed, confirm
from campaigns.campaigns import save_campaign
from campaigns.models import Application
from tests.campaigns.applying import apply, entry
from tests.factories import make_campaign

START = timezone.now()
PICK = st.integers(0, 99)


class Machine(RuleBasedStateMachine):
    """The model: who has a seat, who waits (in order), who has not confirmed."""

    def __init__(self):
        super().__init__()
        self.capacity = 2
        self.campaign = make_campaign(capacity=2, confirm_address=True)
        self.seated, self.waiting, self.unconfirmed, self.gone = [], [], [], []
        self.clock = START

    def now(self):
        self.clock += timedelta(seconds=1)
        return self.clock

    def one_of(self, people, number):
        return people[number % len(people)]

    def move_up(self):
        while self.waiting and (self.capacity is None or len(self.seated) < self.capacity):
            self.seated.append(self.waiting.pop(0))

    def take_place(self, pk):
        free = self.capacity is None or len(self.seated) < self.capacity
        (self.seated if free else self.waiting).append(pk)

    @rule(form=st.booleans())
    def applies(self, form):
        given = entry(email=f"{uuid.uuid4().hex}@yamate.example.jp")
        pk = apply(self.campaign, given, way="form" if form else "api", now=self.now()).application.pk
        if form:
            self.unconfirmed.append(pk)
        else:
            self.take_place(pk)

    @precondition(lambda self: self.unconfirmed)
    @rule(number=PICK)
    def confirms(self, number):
        pk = self.one_of(self.unconfirmed, number)
        self.unconfirmed.remove(pk)
        self.take_place(pk)
        for _twice in range(2):
            confirm(Application.objects.get(pk=pk), now=self.now())

    @precondition(lambda self: self.seated or self.waiting or self.unconfirmed)
    @rule(number=PICK, by=st.sampled_from(["lead", "staff"]))
    def cancels(self, number, by):
        pk = self.one_of(self.seated + self.waiting + self.unconfirmed, number)
        for people in (self.seated, self.waiting, self.unconfirmed):
            if pk in people:
                people.remove(pk)
        self.gone.append(pk)
        self.move_up()
        for _twice in range(2):
            cancel(Application.objects.get(pk=pk), by=by, now=self.now())

    @rule(capacity=st.one_of(st.none(), st.integers(0, 5)))
    def the_capacity_changes(self, capacity):
        save_campaign({"capacity": capacity}, campaign=self.campaign, user=None, now=self.now())
        self.capacity = capacity
        self.move_up()

    @rule()
    def time_runs_out(self):
        cancel_unconfirmed(self.clock + timedelta(hours=25))
        self.gone += self.unconfirmed
        self.unconfirmed = []

    @precondition(lambda self: self.gone)
    @rule(number=PICK)
    def a_cancelled_one_is_confirmed(self, number):
        with pytest.raises(ApplicationRefused):
            confirm(Application.objects.get(pk=self.one_of(self.gone, number)), now=self.now())

    @invariant()
    def the_rows_are_as_the_model_says(self):
        rows = Application.objects.filter(campaign=self.campaign)
        found = {state: set() for state in ("applied", "waiting", "provisional", "cancelled")}
        for pk, state in rows.values_list("pk", "state"):
            found[state].add(pk)
        assert found == {
            "applied": set(self.seated), "waiting": set(self.waiting),
            "provisional": set(self.unconfirmed), "cancelled": set(self.gone),
        }  # fmt: skip


@pytest.mark.django_db
def test_app_6_as_a_machine():
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
        ),
    )  # fmt: skip
