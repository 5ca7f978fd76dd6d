"""Opt-out pages: OPT-1, OPT-5, OPT-6's sentence, OPT-10's evidence."""

import pytest
from django.test import Client
from django.utils import timezone

from leads.models import ConsentRecord, Lead
from mail import links
from tests.factories import make_delivery, make_lead

pytestmark = pytest.mark.django_db


def path_of(url):
    return "/" + url.split("/", 3)[3]


@pytest.fixture(autouse=True)
def empty_cache(settings):
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    from django.core.cache import cache

    cache.clear()


@pytest.fixture
def browser():
    return Client(enforce_csrf_checks=True)


@pytest.fixture
def lead():
    return make_lead("Yoshio@Yamate.example.jp")


def post_form(browser, url, address):
    page = browser.get(url)
    token = page.context["csrf_token"]
    return browser.post(url, {"email": address, "csrfmiddlewaretoken": str(token)})


def test_opt_1_the_form_stops_mails_to_its_lead(browser, lead):
    """OPT-1, EXC-4: the lead's own address, however it is typed. OPT-10: with its evidence."""
    url = path_of(links.opt_out_url(lead.pk))
    page = browser.get(url)
    assert page.status_code == 200
    assert "引き渡し済みのメールは" in page.content.decode()  # OPT-6
    done = post_form(browser, url, "　ｙｏｓｈｉｏ@YAMATE.example.jp ")
    assert done.status_code == 200
    assert "配信を停止しました" in done.content.decode()
    lead.refresh_from_db()
    assert lead.unsubscribed_at is not None
    assert lead.dm_permission == "unwanted"
    record = ConsentRecord.objects.get()
    assert (record.change, record.evidence, record.source, record.ip) == (
        "unsubscribed", "opt_out_form", "opt-out form 1", "127.0.0.1",
    )  # fmt: skip
    first = lead.unsubscribed_at
    assert (
        post_form(browser, url, "yoshio@yamate.example.jp").status_code == 200
    )  # again: nothing new, no error
    lead.refresh_from_db()
    assert lead.unsubscribed_at == first
    assert ConsentRecord.objects.count() == 1


def test_opt_1_another_address_is_refused_the_same_way_known_or_not(browser, lead):
    """OPT-1: the URL belongs to one lead; the answer tells nobody who is in the database."""
    make_lead("hanako@yamate.example.jp")
    url = path_of(links.opt_out_url(lead.pk))
    answers = []
    for address in ("hanako@yamate.example.jp", "nobody@nowhere.example", "no address", "髙" * 300):
        answer = post_form(browser, url, address)
        text = answer.content.decode().replace(str(answer.context["csrf_token"]), "")
        assert "このリンクの宛先のメールアドレスではありません" in text, address
        answers.append(len(answer.context["form"].errors["email"]))
    assert answers == [1] * 4
    assert post_form(browser, url, "x\0y@z.example").status_code == 200
    assert not Lead.objects.exclude(unsubscribed_at=None).exists()


def test_opt_5_get_and_head_never_unsubscribe(browser, lead):
    """OPT-5: scanners open links."""
    for url in (links.opt_out_url(lead.pk), links.one_click_url(lead.pk, 7)):
        assert browser.get(path_of(url)).status_code == 200
        assert browser.head(path_of(url)).status_code == 200
        assert (
            browser.get(path_of(url), {"List-Unsubscribe": "One-Click", "email": lead.email}).status_code
            == 200
        )
    lead.refresh_from_db()
    assert lead.unsubscribed_at is None


@pytest.mark.parametrize("encoding", ["multipart", "urlencoded"])
def test_opt_5_rfc_8058(browser, lead, encoding):
    """OPT-5: no login, no CSRF token, no cookie, no redirect, 200 however often."""
    delivery = make_delivery(lead, state="sent", sent_at=timezone.now())
    url = path_of(links.one_click_url(lead.pk, delivery.pk))
    for _time in range(30):
        if encoding == "multipart":
            answer = browser.post(url, {"List-Unsubscribe": "One-Click"})
        else:
            answer = browser.post(
                url, "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded"
            )
        assert (answer.status_code, dict(answer.cookies)) == (200, {})
    lead.refresh_from_db()
    assert lead.unsubscribed_at is not None
    record = ConsentRecord.objects.get()
    assert (record.evidence, record.source) == ("one_click", f"mail {delivery.pk}")
    assert [event.what for event in delivery.events.all()] == ["unsubscribed"]


def test_one_click_by_hand(browser, lead):
    """OPT-5: the page of the one-click URL has a button, which needs neither cookie nor JavaScript."""
    url = path_of(links.one_click_url(lead.pk, 7))
    page = browser.get(url).content.decode()
    assert "まだ何も変更されていません" in page
    done = browser.post(url, {"List-Unsubscribe": "One-Click", "page": "1"})
    assert "配信を停止しました" in done.content.decode()
    assert dict(done.cookies) == {}
    lead.refresh_from_db()
    assert lead.unsubscribed_at is not None


def test_wrong_tokens_and_bodies(browser, lead):
    good = path_of(links.one_click_url(lead.pk, 7))
    for url in (
        "/u/x",
        "/u1/x",
        "/u1/" + "v" * 500,
        good.replace(".7", ".8"),
        "/u/" + good[4:],
        "/u1/%00.%00.1",
        "/u/髙",
    ):
        assert browser.get(url).status_code == 404, url
        assert browser.post(url, {"List-Unsubscribe": "One-Click"}).status_code in {403, 404}, url
    assert browser.post(good, {}).status_code == 400
    assert browser.post(good, {"List-Unsubscribe": "Two-Clicks"}).status_code == 400
    assert browser.post(good, b"--broken", content_type="multipart/form-data").status_code == 400
    lead.refresh_from_db()
    assert lead.unsubscribed_at is None


def test_links_of_test_mails_and_of_deleted_leads(browser, lead):
    assert browser.get(path_of(links.opt_out_url(0))).status_code == 200
    assert (
        browser.post(path_of(links.one_click_url(0, 1)), {"List-Unsubscribe": "One-Click"}).status_code == 200
    )
    assert not Lead.objects.exclude(unsubscribed_at=None).exists()
    Lead.objects.update(deleted_at=timezone.now())
    assert (
        browser.post(path_of(links.one_click_url(lead.pk, 1)), {"List-Unsubscribe": "One-Click"}).status_code
        == 200
    )
    assert post_form(browser, path_of(links.opt_out_url(lead.pk)), lead.email).status_code == 200
    lead.refresh_from_db()
    assert lead.unsubscribed_at is not None


def test_guessing_addresses_is_slowed_down(browser, lead):
    url = path_of(links.opt_out_url(lead.pk))
    codes = [post_form(browser, url, f"guess{number}@x.example").status_code for number in range(21)]
    assert codes == [200] * 20 + [429]
    assert post_form(browser, url, lead.email).status_code == 429
    lead.refresh_from_db()
    assert lead.unsubscribed_at is None


def test_without_the_cache_the_limit_is_stricter(browser, lead, settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
        }
    }
    url = path_of(links.opt_out_url(lead.pk))
    codes = [post_form(browser, url, f"guess{number}@x.example").status_code for number in range(6)]
    assert codes == [200] * 5 + [429]


def test_pages_in_english(browser, lead):
    browser.cookies["language"] = "en"
    page = browser.get(path_of(links.opt_out_url(lead.pk))).content.decode()
    assert "Stop mails" in page
    assert 'lang="en"' in page
