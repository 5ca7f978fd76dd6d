"""NAV-1, APP-1, SYS-1: the campaigns in the administration."""

from datetime import timedelta

import pytest
from django.utils import timezone

from campaigns.campaign_list import applications_by_day
from campaigns.campaigns import save_campaign
from campaigns.models import ApplicationSession, Campaign
from settings.models import Role
from tests.factories import make_application, make_campaign, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def misaki(client):
    client.force_login(make_user())
    return client


def html_of(client, path, **data):
    response = client.get(path, data)
    assert response.status_code == 200, path
    return response.content.decode()


def test_the_list_links_into_the_campaigns(misaki):
    """NAV-1: 「管理開始」, and every number is a link into the campaign's list."""
    campaign = make_campaign(capacity=2)
    make_application(campaign, attended_at=timezone.now())
    make_application(campaign, state="waiting")
    html = html_of(misaki, "/campaigns/")
    assert f'href="/c/{campaign.pk}/campaigns/overview/">管理開始' in html
    for state in ("applied", "waiting", "attended"):
        assert f'href="/c/{campaign.pk}/campaigns/applications/?state={state}">1</a>' in html


def test_as_many_queries_for_one_campaign_as_for_three(misaki):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    counts = []
    for _campaign in range(3):
        make_application(make_campaign(capacity=3))
        with CaptureQueriesContext(connection) as queries:
            html_of(misaki, "/campaigns/")
        counts.append(len(queries))
    assert counts[0] == counts[2]


def test_a_campaign_administrator_sees_their_own_and_makes_none(client):
    """SYS-1"""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    own, other = make_campaign("自分のセミナー", members=[kenta]), make_campaign("別のセミナー")
    client.force_login(kenta)
    html = html_of(client, "/campaigns/")
    assert "自分のセミナー" in html and "別のセミナー" not in html and "/campaigns/new/" not in html
    assert client.get(f"/campaigns/{own.pk}/").url == f"/c/{own.pk}/campaigns/overview/"
    assert client.get(f"/campaigns/{other.pk}/").status_code == 404
    assert client.post(f"/campaigns/{own.pk}/copy/").status_code == 403
    assert client.get("/campaigns/new/").status_code == 403
    assert client.get(f"/c/{own.pk}/campaigns/members/").status_code == 403
    for name in ("overview", "settings", "state", "sessions", "sessions/new"):
        assert client.get(f"/c/{other.pk}/campaigns/{name}/").status_code == 403, name
    assert Campaign.objects.count() == 2


def test_the_list_is_narrowed_and_sorted(misaki):
    """NAV-1"""
    now = timezone.now()
    first = make_campaign("あ展示会", starts_at=now, ends_at=now + timedelta(days=1), venue_name="幕張メッセ")
    second = make_campaign("い講座", state="draft")
    make_campaign("う過去", state="archived")
    assert "う過去" not in html_of(misaki, "/campaigns/")
    assert "う過去" in html_of(misaki, "/campaigns/", state="archived")
    assert "い講座" not in html_of(misaki, "/campaigns/", q="幕張")
    assert "い講座" not in html_of(misaki, "/campaigns/", q=f"#{first.pk}")
    html = html_of(misaki, "/campaigns/", sort="-name")
    assert html.index(second.name) < html.index(first.name)
    for nonsense in ("\0", "%", "'", "x" * 300, "-nothing"):
        html_of(misaki, "/campaigns/", q=nonsense, sort=nonsense, page=nonsense, state=nonsense)


def test_an_empty_list_says_what_to_do(misaki, client):
    assert "キャンペーンはまだありません" in html_of(misaki, "/campaigns/")
    client.force_login(make_user("kenta", role=Role.CAMPAIGN))
    assert "特権管理者が担当を設定すると" in html_of(client, "/campaigns/")


def fields(response):
    """What a browser would send back of the drawn form."""
    form = response.context["form"]
    data = {}
    for bound in form:
        value = bound.value()
        if value is True:
            data[bound.html_name] = "on"
        elif value not in (None, False):
            data[bound.html_name] = (
                bound.field.widget.format_value(value)
                if hasattr(bound.field.widget, "format_value")
                else value
            )
    return {
        name: (value[0] if isinstance(value, list) else value)
        for name, value in data.items()
        if value is not None
    }


def test_a_campaign_is_made_changed_and_published(misaki):
    """APP-1"""
    made = misaki.post(
        "/campaigns/new/",
        fields(misaki.get("/campaigns/new/")) | {"name": "髙橋のセミナー", "slug": "dx-2026"},
    )
    campaign = Campaign.objects.get()
    assert made.url == f"/c/{campaign.pk}/campaigns/overview/"
    inside = f"/c/{campaign.pk}/campaigns/"
    html = html_of(misaki, inside + "overview/")
    assert (
        "http://testserver/e/dx-2026/" in html
        and "<svg" in html
        and "先に開催の開始日時を入力してください" in html
    )
    refused = misaki.post(inside + "state/", {"state": "open"}, follow=True).content.decode()
    assert "先に開催の開始日時を入力してください" in refused
    start = timezone.localtime() + timedelta(days=9)
    data = fields(misaki.get(inside + "settings/"))
    wrong = misaki.post(
        inside + "settings/",
        data | {"starts_at": f"{start:%Y-%m-%dT%H:%M}", "ends_at": "2001-01-01T10:00", "slug": "confirm"},
    )
    assert (
        "終了は、開始と同じか後に" not in wrong.content.decode()
        and "システムが使用しています" in wrong.content.decode()
    )
    saved = misaki.post(
        inside + "settings/", data | {"starts_at": f"{start:%Y-%m-%dT%H:%M}", "capacity": "２０"}
    )
    assert saved.status_code == 302
    campaign.refresh_from_db()
    assert campaign.capacity == 20 and campaign.waiting_list and campaign.starts_at.minute == start.minute
    stale = misaki.post(inside + "settings/", data | {"capacity": "30"})
    assert "ほかの人が、このキャンペーンを先に保存しました" in stale.content.decode()
    misaki.post(inside + "state/", {"state": "open"})
    campaign.refresh_from_db()
    assert (campaign.state, campaign.capacity) == ("open", 20)


def test_lowering_the_capacity_warns_and_raising_it_moves_up(misaki):
    """APP-6"""
    campaign = make_campaign(capacity=2)
    seated = [make_application(campaign) for _seat in range(2)]
    waiting = make_application(campaign, state="waiting")
    path = f"/c/{campaign.pk}/campaigns/settings/"
    answer = misaki.post(path, fields(misaki.get(path)) | {"capacity": "1"}, follow=True)
    assert "申込が定員を1名超えています" in answer.content.decode()
    for application in seated:
        application.refresh_from_db()
        assert application.state == "applied"
    campaign.refresh_from_db()
    save_campaign({"capacity": 3}, campaign=campaign, user=None, now=timezone.now())
    waiting.refresh_from_db()
    assert waiting.state == "applied"


def test_a_copy_opens_its_settings(misaki):
    campaign = make_campaign()
    answer = misaki.post(f"/campaigns/{campaign.pk}/copy/")
    copy = Campaign.objects.exclude(pk=campaign.pk).get()
    assert answer.url == f"/c/{copy.pk}/campaigns/settings/"


def test_people_in_charge(misaki):
    """SYS-1"""
    kenta, campaign = make_user("kenta", role=Role.CAMPAIGN), make_campaign()
    yui = make_user("yui", role=Role.VIEWER)
    path = f"/c/{campaign.pk}/campaigns/members/"
    misaki.post(path, {"members": [kenta.pk, yui.pk]})
    assert not campaign.members.exists()
    misaki.post(path, {"members": [kenta.pk]})
    assert list(campaign.members.all()) == [kenta]


def test_sessions_are_those_of_the_campaign(misaki):
    """NAV-1: an ID of another campaign is not found, whatever is asked."""
    campaign, other = make_campaign(), make_campaign("別のセミナー")
    inside = f"/c/{campaign.pk}/campaigns/sessions/"
    misaki.post(inside + "new/", {"title": "基調講演", "capacity": "5"})
    misaki.post(inside + "new/", {"title": "ワークショップ"})
    first, second = campaign.sessions.all()
    misaki.post(f"{inside}{second.pk}/move/", {"direction": "up"})
    assert list(campaign.sessions.all()) == [second, first]
    ApplicationSession.objects.create(application=make_application(campaign), session=first)
    html = html_of(misaki, inside)
    assert f'state=applied&amp;session={first.pk}">1</a> / 5' in html
    foreign = other.sessions.create(title="別の")
    for call, path in ((misaki.get, ""), (misaki.post, ""), (misaki.post, "move/"), (misaki.post, "delete/")):
        assert call(f"{inside}{foreign.pk}/{path}").status_code == 404
    misaki.post(f"{inside}{first.pk}/delete/")
    misaki.post(f"{inside}{second.pk}/delete/")
    assert list(campaign.sessions.all()) == [first]


def test_applications_of_the_last_days_are_counted_in_japan():
    campaign, now = make_campaign(), timezone.now()
    for days in (0, 3, 3, 13, 15):
        make_application(campaign, created_at=now - timedelta(days=days))
    make_application(campaign, state="cancelled", cancelled_by="merged", created_at=now)
    days = applications_by_day(campaign, now=now)
    assert len(days) == 14 and sum(day.count for day in days) == 4
    assert [days[-1].count, days[-4].count, days[0].count] == [1, 2, 1]


def test_a_viewer_sees_the_overview_without_buttons(client):
    """SYS-1"""
    campaign = make_campaign()
    client.force_login(make_user("yui", role=Role.VIEWER))
    html = html_of(client, f"/c/{campaign.pk}/campaigns/overview/")
    assert "/campaigns/state/" not in html and "公開する</button>" not in html
    assert client.post(f"/c/{campaign.pk}/campaigns/state/", {"state": "closed"}).status_code == 403


def test_the_search_box_finds_own_campaigns_in_both_modes(client):
    """NAV-3, SYS-1"""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    own, _other = make_campaign("製造業DX", slug="dx-spring", members=[kenta]), make_campaign("製造業AI")
    client.force_login(kenta)
    for prefix in ("", f"/c/{own.pk}"):
        for words in ("製造業", "dx-spring", f"#{own.pk}"):
            html = html_of(client, f"{prefix}/search/", q=words)
            assert f'href="/c/{own.pk}/campaigns/overview/"' in html and "製造業AI" not in html


def test_the_home_page_shows_the_campaigns_of_now_and_next(client):
    """APP-1, SYS-1"""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    client.force_login(kenta)
    assert "開催中・これからのキャンペーンはありません" in html_of(client, "/")
    own = make_campaign("自分のセミナー", members=[kenta])
    make_campaign("別のセミナー")
    make_campaign(
        "過去",
        members=[kenta],
        starts_at=timezone.now() - timedelta(days=9),
        ends_at=timezone.now() - timedelta(days=8),
    )
    make_application(own)
    html = html_of(client, "/")
    assert f'href="/c/{own.pk}/campaigns/overview/">自分のセミナー' in html
    assert "別のセミナー" not in html and "過去" not in html
    inside = html_of(client, f"/c/{own.pk}/")
    assert f'href="/c/{own.pk}/campaigns/applications/?state=applied"><b>1</b>' in inside
