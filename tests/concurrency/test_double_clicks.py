"""RSV-5 and every other button: pressed twice at once, it acts once, and the second press ends where the first did."""

import re
import threading

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from redis.exceptions import RedisError

from leads.models import Lead
from mail.models import Delivery, MailTemplate
from tests.factories import make_lead, make_template, make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def misaki():
    cache.clear()
    return make_user()


def token_of(client, url):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(url).content.decode()).group(1)


def press(client, url, values, times=2):
    """The same form from as many threads at the same moment; the sorted Locations."""
    ready, answers = threading.Barrier(times), []
    browsers = [Client() for _number in range(times)]
    for browser in browsers:
        browser.cookies = client.cookies.copy()

    def go(browser):
        try:
            ready.wait(10)
            answers.append(browser.post(url, values).headers.get("Location", "none"))
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=(browser,)) for browser in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


def test_a_new_lead(client, misaki):
    client.force_login(misaki)
    form = client.get("/leads/new/").context["form"]
    values = {name: form[name].value() or "" for name in form.fields}
    values |= {"last_name": "髙橋", "email": "yoshio@yamate.example.jp"}
    values["csrfmiddlewaretoken"] = token_of(client, "/leads/new/")
    answers = press(client, "/leads/new/", values)
    lead = Lead.objects.get()
    assert answers == [f"/leads/{lead.pk}/"] * 2
    # The form opened anew is a new wish: a second person with the same address.
    values["csrfmiddlewaretoken"] = token_of(client, "/leads/new/")
    client.post("/leads/new/", values)
    assert Lead.objects.count() == 2


def test_a_mistake_is_not_remembered(client, misaki):
    client.force_login(misaki)
    lead = make_lead()
    url = f"/leads/{lead.pk}/edit/"
    values = {"csrfmiddlewaretoken": token_of(client, url), "email": "no address"}
    for _twice in range(2):
        assert client.post(url, values).status_code == 200


def test_a_copy_and_a_test_mail(client, misaki):
    client.force_login(misaki)
    template = make_template()
    url = f"/mail/templates/{template.pk}/"
    values = {"csrfmiddlewaretoken": token_of(client, url)}
    answers = press(client, f"{url}copy/", values, times=3)
    assert MailTemplate.objects.count() == 2
    assert len(set(answers)) == 1
    values = {"csrfmiddlewaretoken": token_of(client, f"{url}test/"), "addresses": "misaki@example.jp"}
    press(client, f"{url}test/", values)
    assert Delivery.objects.filter(kind="test").count() == 1


def test_without_redis_every_press_is_served(client, misaki, monkeypatch):
    def away(*args, **kwargs):
        raise RedisError("away")

    for name in ("add", "get", "set", "delete"):
        monkeypatch.setattr(type(cache._connections["default"]), name, away)
    client.force_login(misaki)
    template = make_template()
    values = {"csrfmiddlewaretoken": token_of(client, f"/mail/templates/{template.pk}/")}
    for _twice in range(2):
        assert client.post(f"/mail/templates/{template.pk}/copy/", values).status_code == 302
    assert MailTemplate.objects.count() == 3
