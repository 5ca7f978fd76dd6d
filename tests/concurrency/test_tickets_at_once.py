"""TKT-3: an expired ticket opened by twenty at the same moment brings one mail."""

import threading
from datetime import UTC, datetime

import pytest
from django.db import connection

from campaigns import tickets
from campaigns.events import happened
from campaigns.models import Application
from tests.factories import make_application, make_campaign

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 16, 1, 0, tzinfo=UTC)


def all_at_once(function, times):
    """What each of `times` threads, each with its own connection, got; all start together."""
    ready, answers = threading.Barrier(times), []

    def go(number):
        try:
            ready.wait(30)
            answers.append(function(number))
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def test_twenty_at_once():
    """TKT-3"""
    application = make_application(make_campaign())
    told = []

    def listen(happenings, **_):
        told.extend(happenings)

    happened.connect(listen, weak=False, dispatch_uid="test")
    try:
        answers = all_at_once(
            lambda _number: tickets.reissue(Application.objects.select_related("campaign").get(), now=NOW), 20
        )
    finally:
        happened.disconnect(dispatch_uid="test")
    assert sorted(answers) == [False] * 19 + [True]
    assert [happening.application for happening in told] == [application]
    assert Application.objects.get().reissued_at == NOW
