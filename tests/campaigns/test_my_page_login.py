"""APP-4: logging in to my page, by a link and by a password, and what strangers learn from it: nothing."""

import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from campaigns.models import MyPageAccount, MyPageRequest
from campaigns.my_page import links, login, requests, session
from mail.models import Delivery
from mail.tasks import tick
from settings.models import AuditEntry
from tests.factories import make_application, make_campaign, make_lead

pytestmark = pytest.mark.django_db
ADDRESS = "yoshio@yamate.example.jp"
PASSWORD = "松風-kaze-1024"


@pytest.fixture(autouse=True)
def fresh(settings):
    """Nothing was tried before; real hashes are slow by design."""
    cache.clear()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    login._nobodys.cache_clear()
    yield
    login._nobodys.cache_clear()


@pytest.fixture
def lead():
    lead = make_lead(ADDRESS)
    make_application(make_campaign(), lead)
    return lead


def ask(client, address=ADDRESS, path="/my/login/"):
    return client.post(path, {"email": address})


def path_of(url):
    return urlsplit(url).path


def log_in(client, lead):
    """By a link, as the mail has it."""
    response = client.post(path_of(links.login_url(lead, now=timezone.now())))
    assert response.headers["Location"] == "/my/"
    return client


def test_by_link(client, lead, told):
    """APP-4: the address is asked for, the tick writes the mail, the link shows a button, the button logs in"""
    assert ask(client).headers["Location"] == "/my/login/sent/"
    assert told == []  # the page only notes it
    tick()
    (mail,) = told
    assert (mail.event, mail.lead) == ("my_page_login", lead)
    row = Delivery.objects.get(mail_kind="my_page_login")
    assert (row.address, row.state) == (ADDRESS, "queued")
    path = path_of(mail.values["ログインURL"])
    assert path.startswith("/my/in/")
    for _scanner in range(3):
        assert "マイページを開く" in client.get(path).content.decode()
    assert session.COOKIE not in client.cookies
    response = client.post(path)
    assert response.headers["Location"] == "/my/"
    assert "製造業DXセミナー 2026" in client.get("/my/").content.decode()
    tick()
    assert len(told) == 1  # once


def test_not_logged_in(client, lead):
    """APP-4"""
    for path in ("/my/", "/my/applications/1/cancel/", "/my/applications/1/change/"):
        assert client.get(path).headers["Location"] == "/my/login/"


def test_a_link_is_used_once_and_for_half_an_hour(client, lead):
    """APP-4"""
    now = timezone.now()
    path = path_of(links.login_url(lead, now=now))
    for moment, status in (
        (timedelta(minutes=29), 200),
        (timedelta(minutes=31), 404),
        (-timedelta(seconds=5), 404),
    ):
        with time_machine.travel(now + moment, tick=False):
            assert client.get(path).status_code == status
    with time_machine.travel(now + timedelta(minutes=31), tick=False):
        assert client.post(path).status_code == 404
    assert client.post(path).status_code == 302
    for again in (client, Client()):
        assert again.get(path).status_code == 404
        response = again.post(path)
        assert response.status_code == 404
        assert session.COOKIE not in response.cookies


def test_an_earlier_link_is_over_once_another_one_was_used(client, lead):
    """APP-4"""
    first, second = (
        path_of(links.login_url(lead, now=timezone.now() - timedelta(seconds=ago))) for ago in (20, 10)
    )
    assert client.post(second).status_code == 302
    assert client.post(first).status_code == 404


@pytest.mark.parametrize("token", ["x", "1-1-1.abc", "a" * 5000, "%00", "髙橋", "-.-", "1-1.x"])
def test_forged_links(client, lead, token):
    """APP-4"""
    for path in (f"/my/in/{token}", f"/my/password/new/{token}"):
        assert client.get(path).status_code == 404
        assert client.post(path).status_code == 404


def test_a_link_is_for_one_purpose_and_one_lead(client, lead):
    """APP-4"""
    token = links.login_url(lead, now=timezone.now()).rpartition("/")[2]
    assert client.get(f"/my/password/new/{token}").status_code == 404
    other = make_lead("other@yamate.example.jp")
    changed = re.sub(rf"^{lead.pk}-", f"{other.pk}-", token)
    assert changed != token
    assert client.post(f"/my/in/{changed}").status_code == 404
    client.cookies[session.COOKIE] = f"{other.pk}-1-{int(timezone.now().timestamp())}.forged"
    assert client.get("/my/").headers["Location"] == "/my/login/"


def queries(client, path, data):
    with CaptureQueriesContext(
        connection,
    ) as found:
        response = client.post(path, data)
    return response, len(found)


@pytest.mark.parametrize("path", ["/my/login/", "/my/password/forgotten/"])
def test_who_asks_learns_nothing(lead, path):
    """APP-4: the same answer and the same work for a known and an unknown address"""
    answers = []
    for address in (ADDRESS, "nobody@yamate.example.jp"):
        client = Client()
        response, count = queries(client, path, {"email": address})
        page = client.get(response.headers["Location"])
        answers.append(
            (response.status_code, response.headers["Location"], response.content, page.content, count)
        )
    assert answers[0] == answers[1]


def test_a_wrong_password_and_an_unknown_address_are_the_same(lead, monkeypatch):
    """APP-4: also in the number of hashes"""
    login.set_password(lead, PASSWORD, now=timezone.now(), ip=None)
    make_lead("unused@yamate.example.jp")
    hashed = []
    real = login.check_password
    monkeypatch.setattr(login, "check_password", lambda *given: hashed.append(1) or real(*given))
    answers = []
    for address in (ADDRESS, "unused@yamate.example.jp", "nobody@yamate.example.jp"):
        hashed.clear()
        response, count = queries(Client(), "/my/login/password/", {"email": address, "password": "wrong"})
        page = re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "", response.content.decode())
        answers.append((response.status_code, page.replace(address, ""), count, len(hashed)))
    assert answers[0] == answers[1] == answers[2]
    assert "正しくありません" in answers[0][1]


def test_mails_go_only_to_whose_my_page_it_is(client, told):
    """APP-4: applied, or logged in before; deleted ones not; at most five"""
    listed_only = make_lead(ADDRESS)
    deleted = make_lead(ADDRESS, deleted_at=timezone.now())
    make_application(make_campaign(), deleted)
    there_before = make_lead("YOSHIO@yamate.example.jp")
    MyPageAccount.objects.create(lead=there_before)
    applied = [make_lead(ADDRESS) for _one in range(6)]
    for one in applied:
        make_application(make_campaign(), one)
    ask(client, "ＹＯＳＨＩＯ@yamate.example.jp")
    assert requests.handle_requests(timezone.now()) == 1
    assert requests.handle_requests(timezone.now()) == 0
    assert [one.lead for one in told] == applied[1:]
    assert listed_only not in [one.lead for one in told]
    told.clear()
    for one in applied:
        one.deleted_at = timezone.now()
        one.save()
    ask(client)
    requests.handle_requests(timezone.now())
    assert [one.lead for one in told] == [there_before]


def test_asking_is_limited(client, lead):
    """APP-4: a mailbox is not flooded, whoever it belongs to"""
    for address in (ADDRESS, "nobody@yamate.example.jp"):
        for _time in range(3):
            assert ask(client, address).status_code == 302
        response = ask(client, address)
        assert response.status_code == 429
        assert "分後" in response.content.decode()
    assert MyPageRequest.objects.count() == 6


def test_guessing_passwords_is_limited(lead):
    """APP-4: also the right one is refused then"""
    login.set_password(lead, PASSWORD, now=timezone.now(), ip=None)
    for number in range(10):
        given = {"email": ADDRESS, "password": f"guess-{number}"}
        assert Client().post("/my/login/password/", given).status_code == 200
    response = Client().post("/my/login/password/", {"email": ADDRESS, "password": PASSWORD})
    assert response.status_code == 429
    assert session.COOKIE not in response.cookies


@pytest.mark.parametrize("typed", ["", "yoshio", "a@b\0c.jp", "@", "x" * 2000, "<b>@yamate.example.jp"])
def test_what_is_no_address_is_said_at_once(client, typed):
    """APP-4: it depends on what was typed alone"""
    response = ask(client, typed)
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert not MyPageRequest.objects.exists()


def test_password_by_mail(client, lead, told):
    """APP-4: forgotten or never had: a link, a new password, and in"""
    ask(client, path="/my/password/forgotten/")
    tick()
    path = path_of(told[0].values["パスワード設定URL"])
    assert told[0].event == "my_page_password"
    assert client.get(path).status_code == 200
    for first, second, words in (
        (PASSWORD, "other", "一致しません"),
        ("short", "short", "10"),
        ("yoshio@yamate", "yoshio@yamate", "似"),
        ("1234567890123", "1234567890123", "数字"),
    ):
        response = client.post(path, {"new_password": first, "again": second})
        assert response.status_code == 200
        assert words in response.content.decode(), words
    response = client.post(path, {"new_password": PASSWORD, "again": PASSWORD})
    assert response.headers["Location"] == "/my/"
    assert client.get("/my/").status_code == 200
    assert client.post(path, {"new_password": PASSWORD, "again": PASSWORD}).status_code == 404
    assert [one.event for one in told[1:]] == ["my_page_changed"]
    assert AuditEntry.objects.get(action="my_page.password").target_id == str(lead.pk)
    by_password = Client()
    given = {"email": ADDRESS.upper(), "password": PASSWORD}
    assert by_password.post("/my/login/password/", given).headers["Location"] == "/my/"
    assert by_password.get("/my/").status_code == 200
    assert PASSWORD not in MyPageAccount.objects.get().password


def test_of_several_leads_with_an_address_the_password_decides(client, lead):
    """APP-4"""
    other = make_lead(ADDRESS, last_name="山田", first_name="花子")
    make_application(make_campaign("花子のセミナー"), other)
    login.set_password(lead, PASSWORD, now=timezone.now(), ip=None)
    login.set_password(other, PASSWORD + "2", now=timezone.now(), ip=None)
    client.post("/my/login/password/", {"email": ADDRESS, "password": PASSWORD + "2"})
    page = client.get("/my/").content.decode()
    assert "花子のセミナー" in page
    assert "製造業DXセミナー 2026" not in page


def test_a_new_password_ends_the_sessions(lead):
    """APP-4: and every link that is out"""
    here, there = log_in(Client(), lead), Client()
    account = MyPageAccount.objects.get()
    link = path_of(links.login_url(lead, now=timezone.now()))
    there.cookies = here.cookies.copy()
    assert there.get("/my/").status_code == 200
    login.set_password(lead, PASSWORD, now=timezone.now(), ip=None)
    assert MyPageAccount.objects.get().version == account.version + 1
    for client in (here, there):
        assert client.get("/my/").headers["Location"] == "/my/login/"
    assert here.post(link).status_code == 404


def test_a_session_ends_by_itself_by_logging_out_and_with_the_lead(lead):
    """APP-4"""
    client = log_in(Client(), lead)
    with time_machine.travel(timezone.now() + timedelta(hours=13), tick=False):
        assert client.get("/my/").status_code == 302
    assert client.get("/my/").status_code == 200
    assert client.get("/my/logout/").status_code == 405
    assert client.post("/my/logout/").headers["Location"] == "/my/login/"
    assert client.get("/my/").status_code == 302
    client = log_in(Client(), lead)
    lead.deleted_at = timezone.now()
    lead.save()
    assert client.get("/my/").status_code == 302


def test_the_cookie_and_the_pages_are_private(client, lead):
    """APP-4: no other site, no script and no cache gets hold of them; the administrators' login is another one"""
    response = client.post(path_of(links.login_url(lead, now=timezone.now())))
    cookie = response.cookies[session.COOKIE]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    for path in ("/my/", "/my/login/sent/", "/my/login/password/"):
        page = client.get(path)
        assert "no-store" in page.headers["Cache-Control"]
        assert "noindex" in page.headers["X-Robots-Tag"]
    assert client.get("/leads/").status_code == 302


def test_every_form_needs_its_csrf_token(lead):
    """APP-4"""
    client = Client(enforce_csrf_checks=True)
    for path in (
        "/my/login/",
        "/my/login/password/",
        "/my/logout/",
        path_of(links.login_url(lead, now=timezone.now())),
    ):
        assert client.post(path, {"email": ADDRESS}).status_code == 403


def test_in_english(client, lead):
    """APP-4"""
    page = client.get("/my/login/?lang=en").content.decode()
    assert 'lang="en"' in page
    assert "Send me the login link" in page


def test_a_request_that_fails_is_done_again(lead, monkeypatch):
    """APP-4: a mistake loses no mail, and stops nothing else of the tick"""
    requests.ask("login", ADDRESS, language="ja", ip=None, now=timezone.now())

    def broken(*_happenings):
        raise RuntimeError

    monkeypatch.setattr(requests, "announce", broken)
    tick()
    assert MyPageRequest.objects.filter(handled_at=None).count() == 1
    monkeypatch.undo()
    tick()
    assert isinstance(MyPageRequest.objects.get().handled_at, datetime)
    assert Delivery.objects.filter(mail_kind="my_page_login").count() == 1
