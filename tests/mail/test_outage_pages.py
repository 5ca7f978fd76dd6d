"""「障害の取り消し」: looked at first, taken back once."""

from datetime import datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from mail.models import Outage, Reader, ReaderChange, ReaderFailure
from settings.models import Role
from tests.factories import make_user
from tests.mail.magazine_scene import make_magazine, make_reader

pytestmark = pytest.mark.django_db

DOMAIN = "docomo.ne.jp"


@pytest.fixture
def misaki(client):
    user = make_user("misaki")
    client.force_login(user)
    return user


@pytest.fixture
def at():
    """When the receiver was in trouble: yesterday at 10:00 in Japan."""
    return timezone.localtime().replace(hour=10, minute=0, second=0, microsecond=0) - timedelta(days=1)


@pytest.fixture
def magazine(misaki):
    return make_magazine()


def stopped(magazine, name, at: datetime, *, state="error_stopped", group="temporary", failures=5) -> Reader:
    """A reader whose failures all happened at that moment, and who was stopped by them."""
    reader = make_reader(
        magazine, f"{name}@{DOMAIN}", state=state, **{f"failures_{group}": failures}, state_at=at
    )
    for number in range(failures):
        ReaderFailure.objects.create(
            delivery_id=reader.pk * 100 + number, magazine=magazine, lead=reader.lead, group=group, cause="temporary",
            domain=DOMAIN, at=at,
        )  # fmt: skip
    ReaderChange.objects.create(
        magazine=magazine, lead=reader.lead, what="state", way="failure", before="deliverable", after="error_stopped",
        group=group, detail={"failures": failures, "threshold": 5}, at=at,
    )  # fmt: skip
    return reader


def page(magazine):
    return reverse("outages", args=[magazine.pk])


def chosen(at, **values):
    return {
        "domain": DOMAIN, "since": f"{at:%Y-%m-%dT%H:%M}", "until": f"{at + timedelta(hours=1):%Y-%m-%dT%H:%M}",
        "groups": ["refused", "full", "temporary", "other"], "note": "障害発表",
    } | values  # fmt: skip


def test_the_failing_domains_lead_to_the_form(client, magazine, at):
    stopped(magazine, "a", at)
    response = client.get(page(magazine))
    row = response.context["domains"][0]
    assert (row["domain"], row["failures"], row["readers"]) == (DOMAIN, 5, 1)
    filled = client.get(page(magazine), {"domain": DOMAIN, "since": row["since"], "until": row["until"]})
    found = client.post(page(magazine), chosen(at, since=row["since"], until=row["until"]))
    assert filled.context["form"]["domain"].value() == DOMAIN
    assert found.context["found"].failures == 5


def test_looking_says_who_comes_back_and_changes_nothing(client, magazine, at):
    """MAG-3."""
    stopped(magazine, "a", at)
    stopped(magazine, "left", at, state="stopped")
    other = stopped(make_magazine("別誌"), "b", at)
    response = client.post(page(magazine), chosen(at))
    found = response.context["found"]
    assert (found.failures, found.readers, found.come_back) == (10, 2, 1)
    assert [reader.lead.email for reader in response.context["back"]] == [f"a@{DOMAIN}"]
    assert other.lead.email not in response.content.decode()
    assert not Outage.objects.exists()
    assert Reader.objects.filter(state="deliverable").count() == 0


def test_taking_back_once(client, magazine, at, misaki):
    """MAG-3: who was stopped by it is deliverable again; a second time there is nothing to take back."""
    reader, left = stopped(magazine, "a", at), stopped(magazine, "left", at, state="stopped")
    response = client.post(page(magazine), chosen(at, confirmed="1"), follow=True)
    html = response.content.decode()
    assert "読者1人を配信可能に戻しました" in html
    reader.refresh_from_db()
    left.refresh_from_db()
    assert (reader.state, reader.failures_temporary, left.state) == ("deliverable", 0, "stopped")
    assert "障害発表" in html.split('id="past"')[1]
    again = client.post(page(magazine), chosen(at, confirmed="1", note="もう一度"))
    assert again.context["form"].non_field_errors()
    assert Outage.objects.get().user == misaki


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"domain": ""}, "domain"),
        ({"domain": "<b>\x00"}, "domain"),
        ({"groups": []}, "groups"),
        ({"since": "きのう"}, "since"),
        ({"until": "2020-01-01T00:00"}, "until"),
    ],
)
def test_errors_stand_beside_the_field(client, magazine, at, values, field):
    response = client.post(page(magazine), chosen(at, **values))
    assert response.status_code == 200
    assert field in response.context["form"].errors
    assert "<b>" not in response.content.decode().split('id="id_domain"')[0][-200:]


def test_looking_at_the_page_writes_nothing_and_needs_the_right_to_edit(client, magazine, at):
    client.get(page(magazine), {"domain": DOMAIN, "confirmed": "1"})
    assert not Outage.objects.exists()
    client.force_login(make_user("yui", role=Role.VIEWER))
    assert client.get(page(magazine)).status_code == 403
    assert client.post(page(magazine), chosen(at, confirmed="1")).status_code == 403
