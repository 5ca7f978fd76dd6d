"""WEB-1: what the script says of a view is taken from the pages of its site only."""

import pytest

from settings.system_settings import set_setting
from tests.tracking.views_support import AGENT, SITE, make_site, new_visitor, send_view, store
from tracking import beacon
from tracking.models import PageView, TrackedSite, Visitor
from tracking.sites import TRACK_OWN_PAGES, forget_sites

pytestmark = pytest.mark.django_db


@pytest.fixture
def site():
    yield make_site()
    forget_sites()


def test_a_view_is_answered_with_nothing_and_stored(client, site):
    """WEB-1"""
    visitor = new_visitor()
    answer = send_view(client, site.key, visitor, r="https://search.example/?q=1", t="セミナー\r\n案内")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer["Access-Control-Allow-Origin"] == "*" and not answer.cookies
    assert store() == 1
    view = PageView.objects.get()
    assert (view.url, view.title, view.referrer) == (
        f"{SITE}/seminar",
        "セミナー 案内",
        "https://search.example/?q=1",
    )
    assert (view.site, view.lead_id, view.verdict, view.agent) == (site, None, "person", AGENT)
    assert view.visitor.uid.hex == visitor and view.visitor.lead_id is None


@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("https://evil.example", "https://evil.example/"),
        (SITE, "https://evil.example/"),
        ("https://yamate.example.jp.evil.example", "https://yamate.example.jp.evil.example/"),
        ("https://notyamate.example.jp", "https://notyamate.example.jp/"),
        ("https://www.yamate.example.jp:8443", "https://www.yamate.example.jp:8443/"),
        ("null", f"{SITE}/"),
        ("", f"{SITE}/"),
        (SITE, "javascript:alert(1)"),
    ],
)
def test_what_does_not_come_from_a_page_of_the_site_is_not_kept(client, site, origin, url):
    """WEB-1"""
    assert send_view(client, site.key, new_visitor(), url, origin=origin).status_code == 204
    assert store() == 0


def test_subdomains_ports_and_international_names_are_the_sites_own(client):
    """WEB-1"""
    whole, alone = (
        make_site("例え.jp".encode("idna").decode(), name="a"),
        make_site("shop.example:8443", subdomains=False, name="b"),
    )
    for site, origin in (
        (whole, "https://xn--r8jz45g.jp"),
        (whole, "https://a.b.xn--r8jz45g.jp"),
        (alone, "https://shop.example:8443"),
    ):
        send_view(client, site.key, new_visitor(), f"{origin}/a", origin=origin)
    assert store() == 3
    send_view(
        client, alone.key, new_visitor(), "https://a.shop.example:8443/", origin="https://a.shop.example:8443"
    )
    send_view(client, alone.key, new_visitor(), "https://shop.example/", origin="https://shop.example")
    assert store() == 0


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"1", b"null", b"\xff\xfe", b'{"k": 1}', b"[" * 2000, b'{"k": "' + b"a" * 5000 + b'"}', b'{"k":null,"v":{}}',
    ],
)  # fmt: skip
def test_what_is_not_the_scripts_is_answered_the_same(client, site, body):
    """WEB-1"""
    answer = client.post("/w/", body, content_type="text/plain", headers={"origin": SITE})
    assert (answer.status_code, store()) == (204, 0)


def test_an_id_that_the_script_did_not_make_is_nobodys(client, site):
    for visitor in ("", "x" * 32, "A" * 32, "0" * 31, "' OR 1=1"):
        send_view(client, site.key, visitor)
    assert (store(), Visitor.objects.count()) == (0, 0)


def test_a_stopped_site_and_an_unknown_key_count_nothing(client, site):
    send_view(client, "nothing", new_visitor())
    TrackedSite.objects.update(active=False)
    forget_sites()
    send_view(client, site.key, new_visitor())
    assert store() == 0


def test_other_methods_are_refused(client):
    for call in (client.get, client.put, client.delete):
        assert call("/w/").status_code == 405


def test_a_flood_from_one_address_is_not_kept(client, site, monkeypatch):
    monkeypatch.setattr(beacon, "VIEWS_A_MINUTE", 2)
    monkeypatch.setattr(beacon, "too_many", lambda what, who, *, limit, seconds: 60)
    assert send_view(client, site.key, new_visitor()).status_code == 204
    assert store() == 0


def test_our_own_pages_count_only_with_the_setting(client, settings):
    """WEB-1"""
    settings.BASE_URL = "http://testserver"
    forget_sites()
    own = {"url": "http://testserver/e/seminar/", "origin": "http://testserver"}
    send_view(client, "own", new_visitor(), **own)
    assert store() == 0
    set_setting(TRACK_OWN_PAGES, True, user=None)
    forget_sites()
    send_view(client, "own", new_visitor(), **own)
    send_view(client, "own", new_visitor(), "https://evil.example/", origin="https://evil.example")
    assert store() == 1
    site = PageView.objects.get().site
    assert (site.domain, site.key, site.name) == ("testserver", "own", "自社の申込ページ・マイページ")
    forget_sites()


def test_the_referrer_never_shows_a_link_of_our_own(client, site, settings):
    """WEB-1: the address before may be somebody's own link"""
    send_view(client, site.key, new_visitor(), r=f"{settings.BASE_URL}/t/abc.def")
    assert store() == 1 and PageView.objects.get().referrer == ""


def test_kept_twice_stored_once(client, site):
    """WEB-1"""
    from django.utils import timezone

    from tracking.hits import VIEW, Hit, new_uid
    from tracking.page_views import store_views

    now = timezone.now()
    ids = {"site": site.key, "visitor": new_visitor(), "url": f"{SITE}/a", "title": "", "referrer": ""}
    hit = Hit(new_uid(now), VIEW, now, "192.0.2.1", AGENT, {}, ids)
    store_views([hit, Hit(new_uid(now), VIEW, now, None, "", {}, ids)], now)
    store_views([hit], now)
    assert PageView.objects.count() == 2 and Visitor.objects.count() == 1
    assert set(PageView.objects.values_list("verdict", flat=True)) == {
        "person",
        "machine",
    }  # TRK-4: without a name


def test_a_batch_takes_as_many_queries_as_one_view(client, site, django_assert_max_num_queries):
    from django.utils import timezone

    from tracking.hits import VIEW, Hit, new_uid
    from tracking.page_views import store_views

    now = timezone.now()

    def hits(count):
        ids = {"site": site.key, "url": f"{SITE}/a", "title": "", "referrer": ""}
        return [
            Hit(new_uid(now), VIEW, now, None, AGENT, {}, ids | {"visitor": new_visitor()})
            for _n in range(count)
        ]

    with django_assert_max_num_queries(8):
        store_views(hits(300), now)
    assert PageView.objects.count() == 300
