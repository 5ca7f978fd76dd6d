"""API-1: visitor.put with upsert=1, the same person at the same moment."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from campaigns.models import Application
from leads.models import Lead
from settings.api_keys import make_key
from settings.models import ApiKey
from tests.campaigns.applying import apply, entry
from tests.factories import make_campaign

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def key():
    return make_key("同時", ApiKey.Scope.values, expires_at=None, user=None, now=timezone.now()).text


def at_once(*calls):
    ready = threading.Barrier(len(calls))

    def go(call):
        try:
            connection.ensure_connection()
            ready.wait(60)
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(go, calls))


def put(key, body, query="upsert=1"):
    headers = {"Authorization": f"Bearer {key}"}
    answer = Client().put(f"/api/v1/visitor?{query}", body, content_type="application/json", headers=headers)
    return answer.status_code


@pytest.mark.parametrize("update_key", ["email", "last_name:phone"])
def test_eight_times_the_same_is_one_lead(key, update_key):
    body = {"email": "one@yamate.example.jp", "last_name": "髙橋", "phone": "03-1"}
    query = f"upsert=1&update_key={update_key}"
    answers = at_once(*(lambda: put(key, body, query) for _number in range(8)))
    assert sorted(answers) == [200] * 7 + [201]
    assert Lead.objects.count() == 1


def test_together_with_applications_of_the_same_person(key):
    """APP-3"""
    campaigns = [make_campaign(f"第{number}回") for number in range(3)]
    given = entry(email="One@yamate.example.jp")
    at_once(
        *(lambda: put(key, {"email": "one@yamate.example.jp"}) for _number in range(3)),
        *(lambda one=one: apply(one, given) for one in campaigns),
    )
    assert (Lead.objects.count(), Application.objects.count()) == (1, 3)
