"""The public page of a campaign, and the page that confirms an address (APP-2)."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone, translation

from campaigns.confirm_links import CONFIRM_PATH, PURPOSE, confirm_url, read_confirm_link
from campaigns.models import Application, CancelledBy
from campaigns.texts import paragraphs
from campaigns.timetable import period_in
from leads.models import Lead
from settings.models import Role
from smp.lib.signing import sign_id
from tests.campaigns.forms import campaign_with_form, send
from tests.factories import make_application, make_campaign, make_lead, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_limits_from_other_tests():
    cache.clear()


def text(response):
    return response.content.decode()


def test_what_a_visitor_sees(client):
    """APP-2"""
    campaign = campaign_with_form(
        summary="現場から始めるデジタル化",
        description="一段落目\n\n詳しくは https://seminar.example.jp/dx を。",
        contact="info@seminar.example.jp",
        starts_at=datetime(2030, 11, 26, 1, 0, tzinfo=UTC),
        ends_at=datetime(2030, 11, 26, 3, 0, tzinfo=UTC),
        online_url="https://meet.example.jp/secret",
        place="both",
    )
    campaign.sessions.create(title="基調講演", speaker="山田 太郎", starts_at=campaign.starts_at)
    shown = text(client.get("/e/dx/"))
    for words in (
        "製造業DXセミナー 2026", "現場から始めるデジタル化", "2030年11月26日(火) 10:00–12:00", "東京国際フォーラム ホールB5", "基調講演",
        "山田 太郎", "受付中", "山手セミナー事務局", "info@seminar.example.jp", '<a href="https://seminar.example.jp/dx"',
        'property="og:title" content="製造業DXセミナー 2026"', 'name="description" content="現場から始めるデジタル化"',
    ):  # fmt: skip
        assert words in shown, words
    assert 'href="/e/dx/apply/">申込</a>' in shown
    assert "noindex" not in shown
    assert "meet.example.jp" not in shown  # only those who applied are told
    assert "SMP" not in shown


@pytest.mark.parametrize(
    ("values", "label", "may_apply"),
    [
        ({}, "受付中", True),
        ({"applications_from": timedelta(days=1)}, "受付前", False),
        ({"applications_until": timedelta(days=-1)}, "受付終了", False),
        ({"state": "closed"}, "受付終了", False),
        ({"starts_at": timedelta(days=-3), "ends_at": timedelta(days=-2)}, "終了", False),
        ({"capacity": 3}, "残りわずか", True),
        ({"capacity": 2}, "満席(キャンセル待ち受付中)", True),
        ({"capacity": 2, "waiting_list": False}, "満席", False),
    ],
)
def test_the_state_of_the_seats_and_whether_one_may_apply(client, values, label, may_apply):
    """APP-2, APP-6"""
    now = timezone.now()
    values = {name: now + v if isinstance(v, timedelta) else v for name, v in values.items()}
    campaign = campaign_with_form(**values)
    make_application(campaign), make_application(campaign)
    shown = text(client.get("/e/dx/"))
    assert f">{label}</span>" in shown
    assert ('href="/e/dx/apply/"' in shown) == may_apply
    form = client.get("/e/dx/apply/")
    assert ('name="last_name"' in text(form)) == may_apply
    if not may_apply:
        response = send(client, campaign)
        assert f">{label}</span>" in text(response)
        assert Application.objects.count() == 2


@pytest.mark.parametrize("state", ["draft", "archived"])
def test_a_campaign_in_preparation_exists_for_its_staff_only(client, state):
    """SYS-1, APP-2"""
    campaign = campaign_with_form(state=state)
    paths = ("/e/dx/", "/e/dx/apply/", "/e/dx/applied/")
    assert [client.get(path).status_code for path in paths] == [404, 404, 404]
    assert send(client, campaign).status_code == 404
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    client.force_login(kenta)
    assert client.get("/e/dx/").status_code == 404
    campaign.members.add(kenta)
    shown = client.get("/e/dx/")
    assert shown.status_code == 200
    assert "担当者にだけ表示されています" in text(shown)
    assert "noindex" in text(shown)
    assert send(client, campaign).status_code == 200
    assert Application.objects.count() == 0


def test_a_campaign_that_does_not_exist_looks_like_one_in_preparation(client):
    campaign_with_form(state="draft")
    known, unknown = client.get("/e/dx/"), client.get("/e/dy/")
    assert (known.status_code, text(known)) == (unknown.status_code, text(unknown))


def test_english_falls_back_to_japanese(client):
    """SYS-4"""
    campaign_with_form(summary="現場から始めるデジタル化", description="説明", description_en="About it")
    shown = text(client.get("/e/dx/?lang=en"))
    for words in (
        "Manufacturing DX Seminar 2026",
        "現場から始めるデジタル化",
        "About it",
        "Applications open",
    ):
        assert words in shown
    assert "製造業DXセミナー" not in shown


@pytest.mark.parametrize("query", ["?lang=fr", "?lang=%00", "?lang=" + "x" * 5000, "?lang=en&lang=ja"])
def test_any_language_may_be_asked_for(client, query):
    campaign_with_form()
    response = client.get(f"/e/dx/{query}")
    assert response.status_code == 200
    assert response.headers["Content-Language"] == "ja"


def test_hostile_texts_are_shown_as_text(client):
    campaign_with_form(
        name="<script>alert(1)</script>",
        description='<img src=x onerror=1> javascript:alert(1) https://a.example/"onmouseover=x',
        organiser='"><b>',
        contact="<i>",
    )
    shown = text(client.get("/e/dx/"))
    for tag in ("<script>alert", "<img src=x", 'href="javascript', '"onmouseover', "<b>", "<i>"):
        assert tag not in shown


@pytest.mark.parametrize(
    ("plain", "html"),
    [
        ("", ""),
        ("一\n二\n\n\n三", "<p>一<br>二</p><p>三</p>"),
        ("(https://a.example/x)。", '<p>(<a href="https://a.example/x" rel="noopener nofollow">https://a.example/x</a>)。</p>'),
        ("https://a.example/?a=1&b=2.", '<p><a href="https://a.example/?a=1&amp;b=2" rel="noopener nofollow">https://a.example/?a=1&amp;b=2</a>.</p>'),
        ("ftp://x <b>", "<p>ftp://x &lt;b&gt;</p>"),
    ],
)  # fmt: skip
def test_plain_text_becomes_paragraphs_with_links(plain, html):
    assert paragraphs(plain) == html


def test_dates_as_they_are_said():
    start = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
    campaign = make_campaign(starts_at=start, ends_at=start + timedelta(days=1))
    assert period_in(campaign, "ja") == "2026年11月24日(火) 10:00 – 11月25日(水) 10:00"
    assert period_in(campaign, "en") == "Tue 24 Nov 2026 10:00 – Wed 25 Nov 10:00"
    campaign.ends_at = None
    assert period_in(campaign, "ja") == "2026年11月24日(火) 10:00〜"
    campaign.starts_at = None
    assert period_in(campaign, "ja") == ""


# ---- the link that confirms an address
def provisional(**values):
    campaign = campaign_with_form(confirm_address=True, **values)
    lead = make_lead(registration="provisional")
    return make_application(campaign, lead, state="provisional", entered={"email": lead.email})


def test_opening_the_link_confirms_nothing_pressing_the_button_does(client):
    """APP-3: scanners open every link of a mail"""
    application = provisional()
    url = confirm_url(application)
    path = url[url.index(CONFIRM_PATH) :]
    for call in (client.get, client.head, client.get):
        assert call(path).status_code == 200
    application.refresh_from_db()
    assert application.state == "provisional"
    assert "まだ確認は完了していません" in text(client.get(path))

    pressed = client.post(path)
    assert (pressed.status_code, pressed["Location"]) == (302, path)
    application.refresh_from_db()
    assert application.state == "applied"
    assert Lead.objects.get().registration == "full"
    assert "お席を確保しています" in text(client.get(path))
    assert client.post(path).status_code == 200  # once more: nothing more
    assert "お席を確保しています" in text(client.get(path))


def test_the_waiting_list_is_told_to_who_proved_the_address(client):
    """APP-6"""
    application = provisional(capacity=1)
    make_application(application.campaign)
    path = f"{CONFIRM_PATH}{sign_id(PURPOSE, application.pk)}"
    assert client.post(path).status_code == 302
    assert "現在キャンセル待ちです" in text(client.get(path))


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (CancelledBy.UNCONFIRMED, "期限までにアドレスが確認されなかった"),
        (CancelledBy.LEAD, "キャンセルされています"),
        (CancelledBy.STAFF, "キャンセルされています"),
    ],
)
def test_what_is_over_is_said_kindly(client, by, words):
    application = provisional()
    Application.objects.filter(pk=application.pk).update(state="cancelled", cancelled_by=by)
    path = f"{CONFIRM_PATH}{sign_id(PURPOSE, application.pk)}"
    for response in (client.get(path), client.post(path)):
        assert response.status_code == 200
        assert words in text(response)
        assert 'href="/e/dx/"' in text(response)


def test_no_seat_left_without_a_waiting_list(client):
    """APP-6"""
    application = provisional(capacity=1, waiting_list=False)
    make_application(application.campaign)
    response = client.post(f"{CONFIRM_PATH}{sign_id(PURPOSE, application.pk)}")
    assert response.status_code == 200
    assert 'role="alert"' in text(response)
    application.refresh_from_db()
    assert application.state == "provisional"


@pytest.mark.parametrize("token", ["x", "0.0", "髙", "1." + "0" * 16, "%00", "a" * 300])
def test_links_that_were_not_made_here_are_no_links(client, token):
    provisional()
    assert client.get(f"{CONFIRM_PATH}{token}").status_code == 404
    assert client.post(f"{CONFIRM_PATH}{token}").status_code == 404


def test_a_link_for_another_purpose_confirms_nothing(client):
    application = provisional()
    assert read_confirm_link(sign_id("ticket", application.pk)) is None
    assert read_confirm_link(sign_id(PURPOSE, application.pk)) == application
    with translation.override("en"):
        assert "Confirm" in text(client.get(f"{CONFIRM_PATH}{sign_id(PURPOSE, application.pk)}?lang=en"))


def test_whoever_confirms_sees_what_they_confirm(client):
    """APP-3: somebody else may have filled in the form with this address, and again while the page is open"""
    application = provisional()
    lead = application.lead
    entered = {"email": lead.email, "last_name": "<b>鈴木", "phone": "03-1111"}
    Application.objects.filter(pk=application.pk).update(entered=entered)
    path = f"{CONFIRM_PATH}{sign_id(PURPOSE, application.pk)}"
    page = client.get(path).content.decode()
    assert "&lt;b&gt;鈴木" in page and "03-1111" in page
    seen = re.search(r'name="seen" value="(\w+)"', page)[1]
    Application.objects.filter(pk=application.pk).update(entered=entered | {"phone": "03-2222"})
    page = text(client.post(path, {"seen": seen}))
    assert "別の内容で送り直されています" in page and "03-2222" in page
    application.refresh_from_db()
    assert application.state == "provisional"
    seen = re.search(r'name="seen" value="(\w+)"', client.get(path).content.decode())[1]
    assert client.post(path, {"seen": seen}).status_code == 302
