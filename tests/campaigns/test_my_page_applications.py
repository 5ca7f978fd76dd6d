"""APP-4: a lead's applications on my page: looking at, changing and cancelling them, and applying as a known lead."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns.models import Application, ApplicationSession, Session
from leads.models import ConsentRecord, Lead
from tests.campaigns.forms import add_question, campaign_with_form, filled, send
from tests.campaigns.test_my_page_login import log_in
from tests.factories import make_application, make_campaign, make_lead

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh():
    cache.clear()


@pytest.fixture
def lead():
    lead = make_lead(company="山手製作所㈱😀", department="営業部", dm_permission="unwanted")
    make_application(make_campaign("昨年のセミナー", state="closed"), lead, state="cancelled")
    return lead


@pytest.fixture
def page(client, lead):
    """Logged in."""
    return log_in(client, lead)


def test_what_stands_there(page, lead):
    """APP-4: coming, waiting, past, cancelled; the ticket and the online URL of who has a seat"""
    now = timezone.now()
    coming = make_campaign("これから", place="both", online_url="https://meet.example.jp/room")
    waiting = make_campaign("満席の会", place="online", online_url="https://meet.example.jp/secret")
    past = make_campaign("終わった会", starts_at=now - timedelta(days=3), ends_at=now - timedelta(days=3))
    seat = make_application(coming, lead)
    make_application(waiting, lead, state="waiting")
    make_application(past, lead, attended_at=now)
    make_application(make_campaign("未確認の会"), lead, state="provisional")
    text = page.get("/my/").content.decode()
    for words in ("これから", "満席の会", "終わった会", "未確認の会", "昨年のセミナー", "申込済み", "キャンセル待ち",
                  "来場", "キャンセル済み", "https://meet.example.jp/room", seat.code, "/t/", "メールアドレスの確認待ち"):  # fmt: skip
        assert words in text, words
    assert "secret" not in text
    assert text.count("受講票を表示する") == 1
    assert text.count("キャンセルする") == 3
    assert text.count("内容の確認・変更") == 2


def test_the_same_number_of_queries_for_one_and_many(page, lead):
    """APP-4"""
    page.get("/my/")
    counts = []
    for _time in range(2):
        with CaptureQueriesContext(connection) as found:
            page.get("/my/")
        counts.append(len(found))
        for _one in range(3):
            campaign = make_campaign()
            session = Session.objects.create(campaign=campaign, title="講演")
            ApplicationSession.objects.create(application=make_application(campaign, lead), session=session)
    assert counts[0] == counts[1]


def test_cancelling(page, lead, told):
    """APP-4: GET asks, POST cancels, twice is once; the next one moves up"""
    campaign = make_campaign(capacity=1)
    own = make_application(campaign, lead)
    next_one = make_application(campaign, state="waiting")
    path = f"/my/applications/{own.pk}/cancel/"
    assert "キャンセルしない" in page.get(path).content.decode()
    own.refresh_from_db()
    assert own.state == "applied"
    for _click in range(2):
        assert page.post(path).headers["Location"] == "/my/"
    own.refresh_from_db()
    next_one.refresh_from_db()
    assert (own.state, own.cancelled_by, next_one.state) == ("cancelled", "lead", "applied")
    assert [str(one.event) for one in told] == ["cancelled", "moved_up"]


def test_too_late_to_cancel_or_change(page, lead, told):
    """APP-4"""
    over = timezone.now() - timedelta(hours=1)
    own = make_application(make_campaign(cancel_until=over), lead)
    path = f"/my/applications/{own.pk}/cancel/"
    for response in (page.get(path), page.post(path)):
        assert "主催者" in response.content.decode()
    assert page.get(f"/my/applications/{own.pk}/change/").headers["Location"] == "/my/"
    own.refresh_from_db()
    assert (own.state, told) == ("applied", [])
    assert "キャンセルする" not in page.get("/my/").content.decode()


@pytest.mark.parametrize("what", ["cancel", "change"])
def test_somebody_elses_application_is_none(page, what):
    """APP-4: by any id"""
    other = make_application(make_campaign())
    for pk in (other.pk, 0, 999_999_999, 10**30):
        path = f"/my/applications/{pk}/{what}/"
        assert page.get(path).status_code == 404
        assert page.post(path).status_code == 404
    other.refresh_from_db()
    assert other.state == "applied"


def test_changing_answers_sessions_and_data(page, lead, told):
    """APP-4: not the address and not the consent, which have pages of their own"""
    campaign = campaign_with_form(session_choice="several")
    question = add_question(campaign)
    first, second = (Session.objects.create(campaign=campaign, title=title) for title in ("午前", "午後"))
    own = make_application(campaign, lead, answers={question.key: "前の答え"})
    ApplicationSession.objects.create(application=own, session=first)
    path = f"/my/applications/{own.pk}/change/"
    shown = page.get(path).content.decode()
    assert "前の答え" in shown
    assert 'name="email"' not in shown
    assert 'name="dm_permission"' not in shown
    data = {
        "last_name": "髙橋", "first_name": "𠮷男", "company": "新会社", "department": "", f"question_{question.pk}": "新しい答え😀",
        "sessions": [second.pk], "email": "thief@evil.example", "dm_permission": "wanted",
    }  # fmt: skip
    for _click in range(2):
        response = page.post(path, data)
        assert response.headers.get("Location") == "/my/", response.content.decode()
    own.refresh_from_db()
    lead.refresh_from_db()
    assert own.answers == {question.key: "新しい答え😀"}
    assert list(own.sessions.all()) == [second]
    assert (lead.company, lead.department, lead.email, lead.dm_permission) == (
        "新会社",
        "",
        "yoshio@yamate.example.jp",
        "unwanted",
    )
    (mail,) = told
    assert mail.event == "changed"
    assert "新しい答え😀" in mail.values["変更内容"]


def test_a_change_that_cannot_be_stored(page, lead, told):
    """APP-4"""
    campaign = campaign_with_form(session_choice="one")
    full = Session.objects.create(campaign=campaign, title="満席", capacity=0)
    own = make_application(campaign, lead)
    path = f"/my/applications/{own.pk}/change/"
    for data in (
        {"last_name": "", "sessions": full.pk},
        {"last_name": "a\0b", "first_name": "x", "sessions": 999},
    ):
        response = page.post(path, data)
        assert response.status_code == 200
        assert "errorlist" in response.content.decode()
    assert told == []


def test_applying_as_a_known_lead(page, lead, told):
    """APP-4: the public form begins with what is known; the address stays; a rule for strangers does not hold"""
    campaign = campaign_with_form(confirm_address=True, known_address="new")
    shown = page.get("/e/dx/apply/").content.decode()
    assert "山手製作所㈱😀" in shown
    assert "髙橋 𠮷男 様としてログイン中" in shown
    assert "disabled" in shown
    checked = page.post("/e/dx/apply/", filled(campaign, email="thief@evil.example", company="新会社"))
    assert "yoshio@yamate.example.jp" in checked.content.decode()
    assert "thief" not in checked.content.decode().replace('value="thief@evil.example"', "")
    response = send(page, campaign, email="thief@evil.example", company="新会社", dm_permission="wanted")
    assert response.status_code == 302
    application = Application.objects.get(campaign=campaign)
    lead.refresh_from_db()
    assert (application.lead, application.state, application.way) == (lead, "applied", "my_page")
    assert (lead.email, lead.company, lead.dm_permission) == ("yoshio@yamate.example.jp", "新会社", "wanted")
    assert Lead.objects.count() == 1
    assert ConsentRecord.objects.get(change="granted").evidence == "my_page"
    assert [str(one.event) for one in told] == ["received"]


def test_a_stranger_sees_nothing_of_anybody(client, lead):
    """APP-4: the form of who is not logged in is empty"""
    campaign_with_form()
    assert "山手製作所" not in client.get("/e/dx/apply/").content.decode()


def test_again_after_cancelling(page, lead):
    """APP-4"""
    make_application(campaign_with_form(), lead, state="cancelled")
    assert "/e/dx/apply/" in page.get("/my/").content.decode()
