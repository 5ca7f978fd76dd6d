"""The pages of 「CSV一括申込」, in a campaign and in all of them (CSV-1, APP-1, SYS-1)."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from campaigns.models import Application
from leads.imports import commit_import, stage_import
from leads.models import LeadImport
from settings.models import Role
from smp.lib.mode import url_in
from tests.campaigns.test_csv_applications import THREE, check
from tests.factories import make_campaign, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def by_hand(monkeypatch):
    """No worker: the test does its steps."""
    monkeypatch.setattr("campaigns.views.csv_applications.kick_import", lambda _pk: None)
    monkeypatch.setattr("leads.views.imports.kick_import", lambda _pk: None)


@pytest.fixture
def misaki(client):
    user = make_user()
    client.force_login(user)
    return user


def values(**changed):
    return {"evidence": "card", "file": SimpleUploadedFile("applicants.csv", THREE.encode())} | changed


def step(work):
    lead_import = LeadImport.objects.get()
    work(lead_import)
    return lead_import


def test_from_the_file_to_the_list(client, misaki):
    campaign = make_campaign(capacity=2)
    response = client.post(url_in(campaign.pk, "csv_applications"), values())
    lead_import = step(stage_import)
    page = url_in(campaign.pk, "lead_import", lead_import.pk)
    assert response["Location"] == page
    assert (lead_import.mode, lead_import.campaign_id, lead_import.tell) == ("apply", campaign.pk, False)
    text = client.get(page + "?show=waiting").content.decode()
    assert "満席のため、キャンセル待ちになります。" in text and "メールは送りません" in text
    client.post(url_in(campaign.pk, "import_commit", lead_import.pk))
    step(commit_import)
    text = client.get(page).content.decode()
    assert "3件の申込を登録しました。" in text and url_in(campaign.pk, "applications") in text
    assert Application.objects.filter(campaign=campaign).count() == 3
    assert "applicants.csv" in client.get(url_in(campaign.pk, "csv_applications")).content.decode()


def test_in_blue_the_campaign_is_chosen(client, misaki):
    campaign, archived = make_campaign(), make_campaign(state="archived")
    url = reverse("csv_applications")
    assert client.post(url, values(campaign=archived.pk)).status_code == 422
    assert client.post(url, values()).status_code == 422
    response = client.post(url, values(campaign=campaign.pk, tell="on"))
    lead_import = LeadImport.objects.get()
    assert response["Location"] == url_in(campaign.pk, "lead_import", lead_import.pk)
    assert lead_import.tell
    assert campaign.name in client.get(url).content.decode()


def test_cancelled(client, misaki):
    campaign = make_campaign()
    lead_import = check(campaign, THREE)
    response = client.post(url_in(campaign.pk, "import_cancel", lead_import.pk))
    assert response["Location"] == url_in(campaign.pk, "csv_applications")


def test_an_empty_file_is_said(client, misaki):
    response = client.post(
        url_in(make_campaign().pk, "csv_applications"), values(file=SimpleUploadedFile("a.csv", b""))
    )
    assert response.status_code == 422 and response.context["form"].errors["file"]


class TestWhoMay:
    NAMES = ("lead_import", "import_progress", "import_wrong_rows")

    def test_app_1_a_file_belongs_to_its_campaign(self, client, misaki):
        mine, other = make_campaign(), make_campaign()
        lead_import = check(mine, THREE)
        for campaign_id in (other.pk, None):
            for name in self.NAMES:
                assert client.get(url_in(campaign_id, name, lead_import.pk)).status_code == 404
            for name in ("import_commit", "import_cancel"):
                assert client.post(url_in(campaign_id, name, lead_import.pk)).status_code == 404
        lead_import.refresh_from_db()
        assert lead_import.state == "checked"
        assert "applicants.csv" not in client.get(url_in(other.pk, "csv_applications")).content.decode()

    def test_sys_1_campaign_administrators_in_theirs_only(self, client):
        kenta = make_user("kenta", role=Role.CAMPAIGN)
        client.force_login(kenta)
        mine, other = make_campaign(members=[kenta]), make_campaign()
        assert client.get(url_in(mine.pk, "csv_applications")).status_code == 200
        assert client.get(url_in(other.pk, "csv_applications")).status_code == 403
        assert client.get(reverse("csv_applications")).status_code == 403

    def test_sys_1_viewers_import_nothing(self, client):
        client.force_login(make_user("yui", role=Role.VIEWER))
        assert client.post(url_in(make_campaign().pk, "csv_applications"), values()).status_code == 403


def test_the_same_number_of_queries_for_one_and_three(client, misaki, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    url = reverse("csv_applications")
    check(make_campaign(), THREE)
    client.get(url)
    with CaptureQueriesContext(connection) as one:
        client.get(url)
    check(make_campaign(), THREE)
    check(make_campaign(), THREE)
    with django_assert_num_queries(len(one)):
        client.get(url)
