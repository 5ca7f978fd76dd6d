"""トラッキング設定 and アクセス履歴."""

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from settings.models import AuditEntry, Role
from settings.system_settings import set_setting
from tests.factories import make_lead, make_user
from tests.tracking.views_support import AGENT, SITE, make_site, new_visitor
from tracking.hits import VIEW, Hit, new_uid
from tracking.identify import identify
from tracking.models import Identification, PageView, TrackedSite, Visitor
from tracking.page_views import store_views
from tracking.retention import ANONYMOUS_DAYS, KNOWN_DAYS, forget_old
from tracking.sites import forget_sites

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(autouse=True)
def fresh():
    forget_sites()
    yield
    forget_sites()


@pytest.fixture
def misaki(client):
    client.force_login(make_user())
    return client


def view(site, visitor=None, path="/seminar/dx", at=NOW, agent=AGENT, title="DXセミナー"):
    ids = {
        "site": site.key,
        "visitor": visitor or new_visitor(),
        "url": SITE + path,
        "title": title,
        "referrer": "",
    }
    store_views([Hit(new_uid(at), VIEW, at, "192.0.2.1", agent, {}, ids)], at)


def text(answer):
    return answer.content.decode()


# ---- sites


def test_a_site_is_added_changed_stopped_and_each_is_audited(misaki):
    """WEB-1, SYS-2"""
    answer = misaki.post(
        "/tracking/sites/new/",
        {"name": "山手製作所", "domain": "https://山手.jp/products?a=1", "subdomains": "on"},
    )
    site = TrackedSite.objects.get()
    assert answer["Location"] == f"/tracking/sites/{site.pk}/"
    assert (site.domain, site.subdomains, site.consent_required) == ("xn--rht09k.jp", True, False)
    page = text(misaki.get(answer["Location"]))
    assert f"/t.js?site={site.key}&quot;&gt;&lt;/script&gt;" in page and "まだありません。" in page
    misaki.post(
        answer["Location"], {"name": "山手", "domain": "yamate.example.jp:8443", "consent_required": "on"}
    )
    site.refresh_from_db()
    assert (site.name, site.domain, site.subdomains, site.consent_required) == (
        "山手",
        "yamate.example.jp:8443",
        False,
        True,
    )
    assert "smpTrack.consent(true)" in text(misaki.get(answer["Location"]))
    assert "停止しますか" in text(misaki.get(f"{answer['Location']}stop/"))
    site.refresh_from_db()
    assert site.active
    misaki.post(f"{answer['Location']}stop/", {"confirmed": "1", "active": "0"})
    site.refresh_from_db()
    assert not site.active
    actions = list(
        AuditEntry.objects.filter(action__startswith="tracked_site")
        .order_by("pk")
        .values_list("action", flat=True)
    )
    assert actions == ["tracked_site.create", "tracked_site.edit", "tracked_site.edit"]
    log = text(misaki.get("/settings/audit/"))
    assert "トラッキング対象サイトの変更" in log and "サブドメインも対象にする" in log


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "  ",
        "a b",
        "javascript:alert(1)",
        "https://",
        "user@evil.example",
        "例え。。jp/",
        "a" * 260,
        "x:99999",
    ],
)
def test_what_is_no_domain_is_refused(misaki, domain):
    answer = misaki.post("/tracking/sites/new/", {"name": "a", "domain": domain})
    assert (answer.status_code == 200 and "errorlist" in text(answer)) or "error" in text(answer)
    assert not TrackedSite.objects.exists()


def test_a_domain_is_there_once_and_never_our_own(misaki, settings):
    make_site()
    assert "このドメインは登録済みです。" in text(
        misaki.post("/tracking/sites/new/", {"name": "a", "domain": "YAMATE.example.jp"})
    )
    settings.BASE_URL = "https://smp.example.jp"
    assert "自社の申込ページ・マイページでの計測" in text(
        misaki.post("/tracking/sites/new/", {"name": "a", "domain": "smp.example.jp"})
    )
    assert TrackedSite.objects.count() == 1


def test_the_page_says_when_the_last_view_came(misaki):
    """WEB-1: whether the tag works"""
    site = make_site()
    view(site, at=NOW)
    page = text(misaki.get("/tracking/sites/"))
    assert f"/tracking/views/?site={site.pk}" in page
    assert "自社の申込ページ・マイページでの計測" in page and "トラッキングデータの保存期間" in page


def test_stopping_twice_stops(misaki):
    """A double click, or two administrators with the same question before them."""
    site = make_site()
    page = text(misaki.get(f"/tracking/sites/{site.pk}/stop/"))
    assert '<input type="hidden" name="active" value="0">' in page
    for active, result in (("0", False), ("0", False), ("1", True), ("1", True), ("", True), ("x", True)):
        misaki.post(f"/tracking/sites/{site.pk}/stop/", {"confirmed": "1", "active": active})
        assert TrackedSite.objects.get().active is result


def test_only_privileged_administrators_set_it_up(client):
    """SYS-1"""
    for role in (Role.CAMPAIGN, Role.VIEWER):
        client.force_login(make_user(role, role=role))
        assert client.get("/tracking/sites/").status_code == 403
        assert client.post("/tracking/sites/new/", {"name": "a", "domain": "a.jp"}).status_code == 403


# ---- the list


def test_the_list_shows_whose_views_they_are(misaki):
    """WEB-1, WEB-2"""
    site, lead, visitor = make_site(), make_lead(), new_visitor()
    view(site, visitor, "/seminar/%E8%A3%BD", at=NOW - timedelta(hours=1), title="<b>製造")
    identify(UUID(visitor), lead.pk, how="application", at=NOW)
    view(site, path="/about", title="")
    page = text(misaki.get("/tracking/views/"))
    assert f'href="/leads/{lead.pk}/"' in page and "匿名" in page and "に紐づけ" in page
    assert "&lt;b&gt;製造" in page and "/seminar/製" in page and "2</b> 件" in page


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", {"/seminar/dx", "/about"}),
        ("who=known", {"/seminar/dx"}),
        ("who=anonymous", {"/about"}),
        ("url=www.yamate.example.jp/seminar/*", {"/seminar/dx"}),
        ("machines=yes", {"/seminar/dx", "/about", "/scanned"}),
        ("first_day=2000-01-01&last_day=2000-01-02", set()),
        ("first_day=9999-12-31&last_day=9999-12-31", set()),
        ("lead=999999", set()),
    ],
)
def test_the_list_is_narrowed_down(misaki, query, shown):
    """WEB-1, TRK-4"""
    site, visitor = make_site(), new_visitor()
    identify(UUID(visitor), make_lead().pk, how="application", at=NOW - timedelta(hours=1))
    view(site, visitor)
    view(site, path="/about")
    view(site, path="/scanned", agent="curl/8.0")
    page = text(misaki.get(f"/tracking/views/?{query}"))
    assert {path for path in ("/seminar/dx", "/about", "/scanned") if SITE + path in page} == shown
    rows = b"".join(misaki.post(f"/tracking/views/csv/?{query}").streaming_content).decode()
    assert {path for path in ("/seminar/dx", "/about", "/scanned") if SITE + path in rows} == shown


@pytest.mark.parametrize(
    "query", ["url=*", "url=%00", "lead=x", "lead=99999999999999999999", "before=0", "site=x", "first_day=x"]
)
def test_conditions_that_mean_nothing_are_named(misaki, query):
    assert misaki.get(f"/tracking/views/?{query}").status_code == 422
    assert misaki.post(f"/tracking/views/csv/?{query}").status_code == 422


def test_the_list_takes_the_same_queries_for_one_and_three(misaki, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    site = make_site()
    counts = []
    for number in range(3):
        visitor = new_visitor()
        identify(
            UUID(visitor), make_lead(f"{number}@x.example.jp").pk, how="click", at=NOW - timedelta(hours=1)
        )
        view(site, visitor)
        with CaptureQueriesContext(
            connection,
        ) as seen:
            misaki.get("/tracking/views/")
        counts.append(len(seen))
    assert counts[1] == counts[2]


def test_it_goes_on_to_older_views(misaki):
    set_setting("page_size", 10, user=None)
    site = make_site()
    for number in range(12):
        view(site, path=f"/page-{number:02}")
    first = misaki.get("/tracking/views/")
    assert "/page-11" in text(first) and "/page-01" not in text(first)
    older = misaki.get(f"/tracking/views/?before={first.context['page'].older}")
    assert "/page-01" in text(older) and "/page-02" not in text(older)


def test_campaign_administrators_do_not_see_it(client):
    """SYS-1, APP-1: views belong to no campaign"""
    client.force_login(make_user("kenta", role=Role.CAMPAIGN))
    assert client.get("/tracking/views/").status_code == 403
    client.force_login(make_user("yui", role=Role.VIEWER))
    assert client.get("/tracking/views/").status_code == 200


# ---- forgetting


def test_old_views_are_forgotten_as_the_settings_say():
    """WEB-1: 保存期間, known and anonymous"""
    site, lead = make_site(), make_lead()
    known, anonymous, active = new_visitor(), new_visitor(), new_visitor()
    identify(UUID(known), lead.pk, how="application", at=NOW - timedelta(days=800))
    view(site, known, at=NOW - timedelta(days=800))
    view(site, known, at=NOW - timedelta(days=700))
    view(site, anonymous, at=NOW - timedelta(days=200))
    view(site, active, at=NOW - timedelta(days=200))
    view(site, active, at=NOW - timedelta(days=1))
    assert forget_old(NOW) == 3
    assert {one.uid.hex for one in Visitor.objects.all()} == {known, active}
    assert PageView.objects.count() == 2 and Identification.objects.count() == 1
    set_setting(KNOWN_DAYS, 30, user=None)
    set_setting(ANONYMOUS_DAYS, 0, user=None)
    assert forget_old(NOW) == 1
    assert {one.uid.hex for one in Visitor.objects.all()} == {active} and not Identification.objects.exists()


def test_forgetting_goes_in_small_steps(monkeypatch):
    from tracking import retention

    monkeypatch.setattr(retention, "BATCH", 2)
    monkeypatch.setattr(retention, "BATCHES", 2)
    site = make_site()
    for _number in range(5):
        view(site, at=NOW - timedelta(days=200))
    assert [forget_old(NOW), forget_old(NOW), forget_old(NOW)] == [4, 1, 0]
    assert not Visitor.objects.exists()


def test_origin_of_a_step_mail_says_how_often_its_page_was_viewed_and_whether_the_script_is_there(misaki):
    """STEP-3: on the page 「ステップメール配信」."""
    site = make_site()
    for _twice in range(2):
        view(site)
    view(site, at=NOW - timedelta(days=31))
    view(site, agent="Mozilla/5.0 (compatible; Googlebot/2.1)")
    view(site, path="/price")
    seen = misaki.get(
        "/tracking/views/of-pattern/?url_pattern=www.yamate.example.jp/seminar/*"
    ).content.decode()
    assert "2回" in seen and "トラッキング対象サイトに含まれていません" not in seen
    assert "/tracking/views/?url=www.yamate.example.jp%2Fseminar%2F%2A" in seen
    elsewhere = misaki.get("/tracking/views/of-pattern/?url_pattern=www.elsewhere.example/*").content.decode()
    assert "0回" in elsewhere and "トラッキング対象サイトに含まれていません" in elsewhere
    for wrong in ("", "*", "javascript:alert(1)", "\0"):
        answer = misaki.get("/tracking/views/of-pattern/", {"url_pattern": wrong})
        assert answer.status_code == 200 and not answer.content.strip()
