"""TKT-2, TKT-3, TEST-5: from an expired ticket URL to the mail with a fresh one, and back to the ticket."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection
from django.test import Client

from campaigns.tickets import BETWEEN_MAILS, ticket_url
from mail.delivery.claim import claim
from mail.delivery.compose import Composer
from mail.models import Delivery, MailSettings
from mail.models.delivery import DeliveryKind
from mail.test_send import send_test
from tests.campaigns.test_ticket_pages import CHROME, NOT_YOURS, NOW, path_of
from tests.concurrency.test_tickets_at_once import all_at_once
from tests.factories import make_application, make_campaign, make_lead, make_template

EXPIRED = NOW + BETWEEN_MAILS * 8


@pytest.fixture
def person():
    return Client(headers={"user-agent": CHROME})


def make_scene():
    return make_application(
        make_campaign("製造業DXセミナー"), make_lead("yoshio@yamate.example.jp"), code="ABCDEFGH"
    )


def the_mail():
    """The newest delivery as the engine makes it: (Subject, text)."""
    row = Delivery.objects.latest("pk")
    Delivery.objects.update(next_at=datetime(2020, 1, 1, tzinfo=UTC))  # due by the database's clock, too
    made = {one.row.pk: one for one in Composer().make(claim(None, 100))}[row.pk]
    mail = message_from_bytes(made.mail.data, policy=policy.default)
    return mail["Subject"], mail.get_body(("plain",)).get_content()


def url_in(text):
    return re.search(r"http://127\.0\.0\.1:8000(/t/\S+)", text).group(1)


@pytest.mark.django_db
def test_an_expired_url_brings_a_mail_whose_url_opens_the_ticket(person):
    """TKT-2"""
    application = make_scene()
    with time_machine.travel(EXPIRED, tick=False):
        person.get(path_of(application, NOW))
        row = Delivery.objects.get()
        assert (row.kind, row.mail_kind, row.lead, row.campaign_id) == (
            DeliveryKind.AUTOMATIC,
            "ticket_reissued",
            application.lead,
            application.campaign_id,
        )
        subject, text = the_mail()
        assert subject == "受講票アクセスURL再発行のお知らせ"
        assert "2026-12-01 10:00" in text
        assert "ABCD-EFGH" in person.get(url_in(text)).content.decode()


@pytest.mark.django_db
def test_off_in_the_campaigns_mail_settings(person):
    """TKT-2, NAV-2: nothing goes by itself; the button of a person does"""
    application = make_scene()
    MailSettings.objects.create(kind="ticket_reissued", campaign=application.campaign, enabled=False)
    with time_machine.travel(EXPIRED, tick=False):
        page = person.get(path_of(application, NOW)).content.decode()
        assert "受講票URLを再送する" in page
        assert not Delivery.objects.exists()
        person.post(path_of(application, NOW))
        assert Delivery.objects.get().state == "queued"
        assert "ABCD-EFGH" in person.get(url_in(the_mail()[1])).content.decode()


@pytest.mark.django_db
def test_a_day_of_restored_tabs_is_one_mail(person):
    """TKT-3"""
    application = make_scene()
    for hours in (0, 1, 9, 23.99):
        with time_machine.travel(EXPIRED + BETWEEN_MAILS * hours / 24, tick=False):
            person.get(path_of(application, NOW))
            person.post(path_of(application, NOW))
    assert Delivery.objects.count() == 1
    with time_machine.travel(EXPIRED + BETWEEN_MAILS, tick=False):
        person.get(path_of(application, NOW))
    assert Delivery.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_twenty_browsers_at_once_are_one_mail():
    """TKT-3: with the mail's row in the same transaction"""
    path = path_of(make_scene(), NOW)

    def go(number):
        try:
            browser = Client(headers={"user-agent": CHROME})
            return (browser.post if number % 2 else browser.get)(path).status_code
        finally:
            connection.close()

    with time_machine.travel(EXPIRED, tick=False):
        answers = all_at_once(go, 20)
    assert sorted(answers) == [200] * 10 + [302] * 10
    assert Delivery.objects.count() == 1


@pytest.mark.django_db
def test_the_url_in_a_test_mail_is_a_dummy(person):
    """TEST-5"""
    cache.clear()
    application = make_scene()
    template = make_template(
        text_body="受講票: {{ 受講票URL }}", campaign=application.campaign, purpose="business"
    )
    send_test(template, addresses=["misaki@example.jp"], user=None, now=NOW)
    text = the_mail()[1]
    assert url_in(text) == "/t/test"
    assert NOT_YOURS in person.get(url_in(text)).content.decode()
    assert ticket_url(application, now=NOW) not in text
