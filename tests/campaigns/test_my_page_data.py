"""APP-4: a lead's own data, address, password and consent on my page."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from campaigns.models import AddressChange, MyPageAccount
from campaigns.my_page import login
from leads.edit import change_lead
from leads.flags import Way
from leads.models import ConsentRecord
from mail.models import Delivery
from settings.models import AuditEntry
from tests.campaigns.test_my_page_login import log_in
from tests.factories import make_lead

pytestmark = pytest.mark.django_db
NEW = "takahashi@new.example.jp"
PASSWORD = "松風-kaze-1024"


@pytest.fixture(autouse=True)
def fresh(settings):
    cache.clear()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def lead():
    return make_lead(company="山手製作所㈱", note="社内メモ", email_failures=2, dm_permission="unwanted")


@pytest.fixture
def page(client, lead):
    return log_in(client, lead)


def entered(lead, **changes):
    names = ("last_name", "first_name", "company", "language")
    return {name: getattr(lead, name) for name in names} | {"seen": lead.updated_at.isoformat()} | changes


def ask_for(page, told, address=NEW):
    """The path in the mail to the new address."""
    assert page.post("/my/address/", {"email": address}).headers["Location"] == "/my/data/"
    mail = told[-1]
    assert (str(mail.event), mail.address) == ("address_confirm", address)
    return urlsplit(mail.values["確認URL"]).path


def test_own_data(page, lead, told):
    """APP-4: saved, audited, told with what changed; nothing of what staff keep"""
    shown = page.get("/my/data/").content.decode()
    assert "山手製作所㈱" in shown
    assert "社内メモ" not in shown
    data = entered(
        lead, company="新会社😀", note="x", kind="other", email="thief@evil.example", email_valid="0"
    )
    assert page.post("/my/data/", data).headers["Location"] == "/my/data/"
    lead.refresh_from_db()
    assert (lead.company, lead.note, lead.email, lead.email_valid) == (
        "新会社😀",
        "社内メモ",
        "yoshio@yamate.example.jp",
        True,
    )
    (mail,) = told
    assert str(mail.event) == "my_page_changed"
    assert mail.values["変更内容"] == "会社名: 山手製作所㈱ → 新会社😀"
    entry = AuditEntry.objects.get(action="lead.edit")
    assert (entry.user, entry.detail["way"]) == (None, "my_page")
    page.post("/my/data/", entered(lead))
    assert len(told) == 1  # nothing differed


@pytest.mark.parametrize("value", ["x" * 5000, "a\0b"])
def test_what_cannot_be_stored_is_said_beside_the_field(page, lead, told, value):
    """APP-4"""
    response = page.post("/my/data/", entered(lead, company=value))
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert told == []


def test_markup_is_shown_as_text(page, lead):
    """APP-4"""
    page.post("/my/data/", entered(lead, company="<script>alert(1)</script>"))
    assert "<script>alert" not in page.get("/my/data/").content.decode()


def test_somebody_else_saved_meanwhile(page, lead, told):
    """APP-4: nobody's change is lost"""
    old = entered(lead, company="古い画面から")
    change_lead(lead, {"company": "事務局が修正"}, way=Way.ADMIN_EDIT, now=timezone.now())
    for data in (old, old | {"seen": "nonsense"}):
        response = page.post("/my/data/", data)
        assert "事務局が修正" in response.content.decode()
    lead.refresh_from_db()
    assert (lead.company, told) == ("事務局が修正", [])


@pytest.mark.parametrize(
    ("registration", "valid", "failures"), [("full", True, 0), ("provisional", False, 2)]
)
def test_a_new_address(page, lead, told, registration, valid, failures):
    """APP-4, FLAG-3, FLAG-4: it counts once confirmed; only a full registration becomes 有効 with it"""
    lead.registration, lead.email_valid = registration, False
    lead.save()
    other_session = Client()
    other_session.cookies = page.cookies.copy()
    path = ask_for(page, told)
    assert Delivery.objects.get(mail_kind="address_confirm").address == NEW
    scanner = Client()
    assert NEW in scanner.get(path).content.decode()
    lead.refresh_from_db()
    assert lead.email == "yoshio@yamate.example.jp"
    for _click in range(2):
        assert page.post(path).headers["Location"] == path
    lead.refresh_from_db()
    assert (lead.email, lead.email_norm) == (NEW, NEW)
    assert (lead.email_valid, lead.email_failures) == (valid, failures)
    assert "変更しました" in page.get(path).content.decode()
    assert [str(one.event) for one in told] == ["address_confirm", "address_changed"]
    assert told[1].address == "yoshio@yamate.example.jp"
    assert NEW not in told[1].values["変更内容"]
    assert page.get("/my/").status_code == 200  # goes on here
    assert other_session.get("/my/").status_code == 302  # ended there
    assert AuditEntry.objects.get(action="lead.edit").detail["way"] == "my_page"


@pytest.mark.parametrize(
    "typed", ["yoshio@yamate.example.jp", "ＹＯＳＨＩＯ@YAMATE.example.jp ", "", "no", "a\0@b.jp"]
)
def test_the_same_address_or_none(page, lead, told, typed):
    """APP-4, FLAG-6: nothing is reset"""
    lead.email_valid = False
    lead.save()
    response = page.post("/my/address/", {"email": typed})
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    lead.refresh_from_db()
    assert (lead.email_valid, lead.email_failures, told) == (False, 2, [])
    assert not AddressChange.objects.exists()


def test_the_address_became_the_same_meanwhile(page, lead, told):
    """APP-4, FLAG-6: confirming it then resets nothing and tells nobody"""
    path = ask_for(page, told)
    change_lead(lead, {"email": NEW.upper()}, way=Way.ADMIN_EDIT, now=timezone.now())
    lead.refresh_from_db()
    lead.email_valid, lead.email_failures = False, 4
    lead.save()
    page.post(path)
    lead.refresh_from_db()
    assert (lead.email_valid, lead.email_failures) == (False, 4)
    assert [str(one.event) for one in told] == ["address_confirm"]


def test_an_address_somebody_else_has(page, told):
    """APP-4: nobody learns it from the answer"""
    make_lead("taken@new.example.jp")
    answers = []
    for address in ("taken@new.example.jp", "free.@new.example.jp".replace("free.", "freed")):
        response = page.post("/my/address/", {"email": address})
        shown = page.get("/my/data/").content.decode().replace(address, "")
        answers.append((response.status_code, response.headers["Location"], "24時間以内" in shown))
    assert answers[0] == answers[1]
    assert [one.address for one in told] == ["taken@new.example.jp", "freed@new.example.jp"]


def test_links_to_confirm_that_are_over(page, lead, told):
    """APP-4: after a day, after another address was entered, forged"""
    first = ask_for(page, told)
    second = ask_for(page, told, "other@new.example.jp")
    forged = first[:-1] + ("0" if first[-1] != "0" else "1")
    for path in (first, forged, "/my/address/confirm/x"):
        assert page.get(path).status_code == 404
        assert page.post(path).status_code == 404
    with time_machine.travel(timezone.now() + timedelta(hours=25), tick=False):
        assert Client().post(second).status_code == 404
    lead.refresh_from_db()
    assert lead.email == "yoshio@yamate.example.jp"
    assert Client().post(second).status_code == 302


def test_mails_to_strangers_are_limited(page, told):
    """APP-4"""
    for _time in range(3):
        assert page.post("/my/address/", {"email": NEW}).status_code == 302
    assert page.post("/my/address/", {"email": NEW}).status_code == 429
    assert len(told) == 3


def test_a_password_of_ones_own(page, lead, told):
    """APP-4: the first one freely, the next one with the old one; this session goes on, the others end"""
    other = Client()
    other.cookies = page.cookies.copy()
    given = {"new_password": PASSWORD, "again": PASSWORD}
    assert page.post("/my/password/", given).headers["Location"] == "/my/data/"
    assert page.get("/my/").status_code == 200
    assert other.get("/my/").status_code == 302
    second = {"new_password": PASSWORD + "2", "again": PASSWORD + "2"}
    for current in ("", "wrong"):
        assert "errorlist" in page.post("/my/password/", second | {"current": current}).content.decode()
    assert page.post("/my/password/", second | {"current": PASSWORD}).status_code == 302
    account = MyPageAccount.objects.get()
    assert login.fits(account, PASSWORD + "2")
    assert not login.fits(account, PASSWORD)
    assert [str(one.event) for one in told] == ["my_page_changed"] * 2


def test_wanting_mail_or_not(page, lead):
    """OPT-10: each change with its evidence"""
    for wanted in ("wanted", "wanted", "unwanted"):
        assert page.post("/my/mails/", {"dm_permission": wanted}).status_code == 302
        lead.refresh_from_db()
        assert lead.dm_permission == wanted
    rows = ConsentRecord.objects.order_by("pk").values_list("change", "evidence", "source")
    assert list(rows) == [("granted", "my_page", "my page"), ("refused", "my_page", "my page")]
    assert "errorlist" in page.post("/my/mails/", {"dm_permission": "<x>"}).content.decode()


def test_stopping_all_mails_and_taking_it_back(page, lead):
    """OPT-1, OPT-10: only by their own act, in both directions; the first time stays"""
    for path in ("/my/mails/stop/", "/my/mails/again/"):
        assert page.get(path).status_code == 405
    page.post("/my/mails/", {"dm_permission": "wanted"})
    page.post("/my/mails/stop/")
    lead.refresh_from_db()
    first = lead.unsubscribed_at
    assert (first is not None, lead.dm_permission) == (True, "unwanted")
    page.post("/my/mails/stop/")
    page.post("/my/mails/", {"dm_permission": "wanted"})  # the form of an old page
    lead.refresh_from_db()
    assert (lead.unsubscribed_at, lead.dm_permission) == (first, "unwanted")
    assert "配信停止を解除" in page.get("/my/mails/").content.decode()
    for _click in range(2):
        assert page.post("/my/mails/again/").headers["Location"] == "/my/mails/"
    lead.refresh_from_db()
    assert (lead.unsubscribed_at, lead.dm_permission) == (None, "wanted")
    changes = ConsentRecord.objects.order_by("pk").values_list("change", flat=True)
    assert list(changes) == ["granted", "unsubscribed", "granted"]
    entry = AuditEntry.objects.get(action="lead.resubscribe")
    assert (entry.user, entry.detail["changes"]["unsubscribed_at"][1]) == (None, None)


def test_pages_of_ones_own_ask_for_the_login(client):
    """APP-4"""
    for path in ("/my/data/", "/my/address/", "/my/password/", "/my/mails/"):
        assert client.get(path).headers["Location"] == "/my/login/"
        assert client.post(path).headers["Location"] == "/my/login/"
    for path in ("/my/mails/stop/", "/my/mails/again/"):
        assert client.post(path).headers["Location"] == "/my/login/"
