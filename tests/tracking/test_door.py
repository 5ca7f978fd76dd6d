"""Counted links and pixels (TRK-6): one redirect to what is stored, nothing else, and the hit is safe before the answer."""

import pytest
from django.conf import settings as django_settings
from django.db import InterfaceError, OperationalError
from django.urls import reverse

from mail import click_target
from mail.links import NOBODY, click_url, open_url
from mail.models import CountedUrl
from smp.lib.signing import sign_id
from tests.tracking.test_spool import in_stream
from tracking import door

pytestmark = pytest.mark.django_db

TARGET = "https://www.example.jp/seminar?from=mail#part2"


@pytest.fixture(autouse=True)
def no_old_targets():
    click_target.forget_urls()


def make_url(url=TARGET):
    return CountedUrl.objects.create(url=url, digest=f"{CountedUrl.objects.count():064}", name="プログラム")


def path(url):
    return url.removeprefix(django_settings.BASE_URL)


def test_trk_6_a_click_leads_to_the_stored_url_with_one_redirect(client):
    """TRK-6, WEB-1: at once, without a cookie, and nothing on the way may keep the answer."""
    url = make_url()
    answer = client.get(path(click_url(5, url.pk)), HTTP_USER_AGENT="Mozilla/5.0", REMOTE_ADDR="192.0.2.7")
    assert (answer.status_code, answer["Location"], answer.content) == (302, TARGET, b"")
    assert answer["Cache-Control"] == "no-store, private"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert not answer.cookies and "Vary" not in answer.headers
    [kept] = in_stream()
    assert (kept.kind, kept.ip, kept.agent) == ("click", "192.0.2.7", "Mozilla/5.0")
    assert kept.ids == {"delivery_id": 5, "url_id": url.pk}


def test_an_open_is_the_image_of_one_pixel(client):
    answer = client.get(path(open_url(5)))
    assert (answer.status_code, answer["Content-Type"], len(answer.content)) == (200, "image/gif", 43)
    assert answer["Cache-Control"] == "no-store, private" and not answer.cookies
    [kept] = in_stream()
    assert (kept.kind, kept.ids) == ("open", {"delivery_id": 5})


def test_trk_4_head_is_answered_alike_and_kept_with_its_method(client):
    url = make_url()
    for address in (click_url(5, url.pk), open_url(5)):
        answer = client.head(path(address))
        assert answer.content == b""
        assert answer.status_code == client.get(path(address)).status_code
    assert [kept.hints.get("method") for kept in in_stream()] == ["HEAD", None, "HEAD", None]


@pytest.mark.parametrize("method", ["post", "put", "delete", "options"])
def test_other_methods_are_refused_and_not_kept(client, method):
    url = make_url()
    assert getattr(client, method)(path(click_url(5, url.pk))).status_code == 405
    assert getattr(client, method)(path(open_url(5))).status_code == 405
    assert in_stream() == []


def altered():
    link, image = path(click_url(5, 7)), path(open_url(5))
    yield from (link[:-1] + ("0" if link[-1] != "0" else "1"), link[:-4], link.replace("/l/", "/o/") + ".gif")
    yield from (
        image.replace("/o/", "/l/"),
        "/l/" + "a" * 5000,
        "/o/" + "a" * 5000 + ".gif",
        "/l/%00",
        "/l/x%0d%0aX:y",
    )
    yield from (
        "/l//evil.example",
        "/l/https://evil.example",
        f"/l/{sign_id('opt-out', 5)}",
        "/l/",
        "/o/.gif",
        "/l/é",
    )


@pytest.mark.parametrize("address", list(altered()))
def test_trk_6_altered_links_lead_nowhere_and_keep_nothing(client, address):
    answer = client.get(address)
    assert answer.status_code == 404 and "Location" not in answer.headers
    assert in_stream() == []


def test_an_altered_link_gets_a_calm_page_in_both_languages(client):
    client.cookies["language"] = "ja"
    japanese = client.get(reverse("click", args=["x"])).content.decode()
    client.cookies["language"] = "en"
    english = client.get(reverse("open", args=["x"])).content.decode()
    assert "The link is not complete" in english and "The link is not complete" not in japanese


@pytest.mark.parametrize(
    "stored",
    [
        "javascript:alert(1)",
        "//evil.example/",
        "data:text/html,x",
        "ftp://www.example.jp/",
        "https://",
        "\x01https://x",
        "/mail/",
    ],
)
def test_trk_6_a_stored_url_that_is_none_leads_nowhere(client, stored):
    """Whoever wrote into the table: only http and https go out."""
    assert client.get(path(click_url(5, make_url(stored).pk))).status_code == 404
    assert in_stream() == []


@pytest.mark.parametrize(
    ("stored", "location"),
    [
        ("https://www.example.jp/a\r\nSet-Cookie: x=1", None),
        (
            "https://例え.jp/資料?名=髙橋",
            "https://xn--r8jz45g.jp/%E8%B3%87%E6%96%99?%E5%90%8D=%E9%AB%99%E6%A9%8B",
        ),
    ],
)
def test_a_target_cannot_write_headers(client, stored, location):
    answer = client.get(path(click_url(5, make_url(stored).pk)))
    assert answer.get("Location") == location or (
        location is None and "\n" not in answer.get("Location", "") and not answer.cookies
    )


def test_an_unknown_url_is_no_link(client):
    assert client.get(path(click_url(5, 999999))).status_code == 404
    assert in_stream() == []


def test_archived_urls_keep_working(client):
    """TRK-6: whatever became of the URL, the mail or the template."""
    url = make_url()
    CountedUrl.objects.update(archived_at="2026-11-22T00:00:00Z")
    assert client.get(path(click_url(5, url.pk)))["Location"] == TARGET


def test_links_of_test_mails_lead_on_and_count_for_nobody(client):
    url = make_url()
    assert client.get(path(click_url(NOBODY, url.pk))).status_code == 302
    assert client.get(path(open_url(NOBODY))).status_code == 200
    assert in_stream() == []


def test_hooks_may_add_to_the_target_and_cannot_keep_a_person_from_arriving(client, monkeypatch, caplog):
    def breaks(target, delivery_id, *, at):
        raise RuntimeError("a bug")

    monkeypatch.setattr(
        door, "TARGET_HOOKS", [breaks, lambda target, delivery_id, *, at: f"{target}&{delivery_id}"]
    )
    assert client.get(path(click_url(5, make_url().pk)))["Location"] == TARGET + "&5"
    assert "a target goes out as it is stored" in caplog.text


def test_a_person_arrives_though_nothing_keeps_the_hit(client, settings, tmp_path, caplog):
    """Said in the log and counted; the redirect happens."""
    (tmp_path / "file").write_text("")
    settings.SPOOL_FOLDER, settings.REDIS_URL = str(tmp_path / "file"), "redis://127.0.0.1:1/0"
    assert client.get(path(click_url(5, make_url().pk)))["Location"] == TARGET
    assert "could not be kept" in caplog.text


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_is_said_and_tried_again_later(error, client, monkeypatch):
    def away(delivery_id, url_id):
        raise error("the connection is closed")

    monkeypatch.setattr(door, "target", away)
    answer = client.get(path(click_url(5, 7)))
    assert (answer.status_code, answer["Retry-After"], answer["Cache-Control"]) == (
        503,
        "30",
        "no-store, private",
    )
    assert "ご利用いただけません" in answer.content.decode()


def test_behind_a_proxy_the_last_address_counts(client, settings):
    settings.BEHIND_PROXY = True
    client.get(path(open_url(5)), HTTP_X_FORWARDED_FOR="203.0.113.9, 198.51.100.7", REMOTE_ADDR="10.0.0.1")
    assert in_stream()[0].ip == "198.51.100.7"


def test_a_hostile_agent_is_cleaned_and_cut(client):
    client.get(path(open_url(5)), HTTP_USER_AGENT="<script>\x00\x1b[31m" + "x" * 5000)
    [kept] = in_stream()
    assert len(kept.agent) == 400 and "\x00" not in kept.agent and "\x1b" not in kept.agent


def test_no_session_and_no_query_for_an_open(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        client.get(path(open_url(5)))
    url = make_url()
    client.get(path(click_url(5, url.pk)))
    with django_assert_num_queries(0):
        client.get(path(click_url(6, url.pk)))


def test_other_pages_pass(client):
    assert client.get("/login/").status_code == 200
    assert in_stream() == []
