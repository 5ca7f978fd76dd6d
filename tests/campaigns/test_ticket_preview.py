"""What staff see and send of a ticket, in both modes."""

import pytest
import time_machine

from campaigns.models import Application
from campaigns.tickets import read_ticket
from settings.models import AuditEntry, Role
from tests.campaigns.test_ticket_pages import NOW, token_of
from tests.factories import make_application, make_campaign, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def kenta(client):
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    client.force_login(kenta)
    return kenta


def test_staff_send_a_fresh_url(client, told):
    """TKT-3: without the limit of 24 hours, audited"""
    client.force_login(make_user())
    application = make_application(make_campaign(), code="ABCDEFGH")
    page = f"/campaigns/applications/{application.pk}/ticket/"
    assert "ABCD-EFGH" in client.get(page).content.decode()
    with time_machine.travel(NOW, tick=False):
        for _twice in range(2):
            response = client.post(page + "send/", {"again": _twice})
            assert response["Location"] == page
    assert [happening.asked for happening in told] == [True, True]
    assert read_ticket(token_of(told[0].values["受講票URL"]), now=NOW).application == application
    assert AuditEntry.objects.filter(action="ticket.send", target_id=str(application.pk)).count() == 2
    assert "受講票URLをメールで送信します。" in client.get(page).content.decode()


def test_who_has_no_ticket_is_sent_none(client, told):
    """TKT-1"""
    client.force_login(make_user())
    application = make_application(make_campaign(), state="waiting")
    page = f"/campaigns/applications/{application.pk}/ticket/"
    assert "キャンセル待ち" in client.get(page).content.decode()
    client.post(page + "send/")
    assert told == [] and not AuditEntry.objects.filter(action="ticket.send").exists()


def test_a_campaign_knows_its_own_applications_only(client, kenta, told):
    """APP-1, TKT-3: by whatever id"""
    mine, theirs = make_campaign("担当", members=[kenta]), make_campaign("担当外")
    own, other = make_application(mine), make_application(theirs)
    assert client.get(f"/c/{mine.pk}/campaigns/applications/{own.pk}/ticket/").status_code == 200
    for pk in (other.pk, 999999999):
        path = f"/c/{mine.pk}/campaigns/applications/{pk}/ticket/"
        assert client.get(path).status_code == 404
        assert client.post(path + "send/").status_code == 404
    assert client.get(f"/campaigns/applications/{own.pk}/ticket/").status_code == 403
    assert told == [] and not Application.objects.exclude(reissued_at=None).exists()


def test_a_viewer_sees_and_does_not_send(client, told):
    """SYS-1"""
    client.force_login(make_user("yui", role=Role.VIEWER))
    application = make_application(make_campaign())
    page = client.get(f"/campaigns/applications/{application.pk}/ticket/").content.decode()
    assert "受講票URLを送る" not in page
    assert client.post(f"/campaigns/applications/{application.pk}/ticket/send/").status_code == 403
    assert told == []
