"""smp/lib/deadlocks.py with two real transactions that wait for each other."""

import threading

import pytest
from django.db import OperationalError, transaction

from leads.models import Lead
from smp.lib.deadlocks import again_after_deadlock
from tests.connections import Other
from tests.factories import make_lead

pytestmark = pytest.mark.django_db(transaction=True)


def test_who_was_broken_off_does_it_again():
    """APP-5, APP-6: nobody reads of a deadlock"""
    first, second = make_lead("a@yamate.example.jp"), make_lead("b@yamate.example.jp")
    both_have_one = threading.Barrier(2)
    tries = []

    def lock(order):
        with transaction.atomic():
            tries.append(order)
            for number, lead in enumerate(order):
                Lead.objects.select_for_update().get(pk=lead.pk)
                if not number and len(tries) <= 2:
                    both_have_one.wait(60)
        return "done"

    with Other() as one, Other() as other:
        doing = [
            one.start(again_after_deadlock(lock), [first, second]),
            other.start(again_after_deadlock(lock), [second, first]),
        ]
        assert [thread.result(60) for thread in doing] == ["done", "done"]
    assert len(tries) == 3


def test_other_errors_and_outer_transactions_are_left_alone():
    calls = []

    @again_after_deadlock
    def breaks():
        calls.append(1)
        raise OperationalError("the server is away")

    with pytest.raises(OperationalError):
        breaks()
    with transaction.atomic(), pytest.raises(OperationalError):
        breaks()
    assert len(calls) == 2
