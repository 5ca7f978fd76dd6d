"""WEB-1: the script as it is served, and where our own pages carry it."""

import re

import pytest

from settings.system_settings import set_setting
from tests.factories import make_application, make_campaign, make_user
from tests.tracking.views_support import make_site, new_visitor
from tracking.models import TrackedSite
from tracking.sites import TRACK_OWN_PAGES, forget_sites, tag_of
from tracking.templatetags.own_pages import page_path

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh():
    forget_sites()
    yield
    forget_sites()


def settings_in(answer):
    return re.search(r"\}\)\((.*)\);\s*$", answer.content.decode())[1]


def test_the_script_knows_its_site(client, settings):
    """WEB-1: consent is what the setting says, baked in"""
    site = make_site("yamate.example.jp:8443", consent_required=False)
    assert tag_of(site) == f'<script async src="{settings.BASE_URL}/t.js?site={site.key}"></script>'
    answer = client.get(f"/t.js?site={site.key}")
    assert answer["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer["Cache-Control"] == "public, max-age=3600, stale-while-revalidate=86400"
    assert not answer.cookies and "Vary" not in answer
    known = settings_in(answer)
    assert (
        '"domain": "yamate.example.jp"' in known and '"consent": false' in known and '"own": false' in known
    )
    assert client.get(f"/t.js?site={site.key}", headers={"if-none-match": answer["ETag"]}).status_code == 304
    TrackedSite.objects.update(consent_required=True)
    forget_sites()
    again = client.get(f"/t.js?site={site.key}", headers={"if-none-match": answer["ETag"]})
    assert again.status_code == 200 and '"consent": true' in settings_in(again)


@pytest.mark.parametrize("key", ["", "nothing", "</script>", "\0", "a" * 500])
def test_without_a_site_in_use_it_does_nothing(client, key):
    """WEB-1: and it never breaks the page"""
    assert settings_in(client.get("/t.js", {"site": key})) == "null"


def test_our_pages_carry_it_only_where_they_are_counted(client):
    """WEB-1: without the setting there is no cookie, no script, no question"""
    campaign = make_campaign(slug="dx")
    assert "t.js" not in client.get("/e/dx/").content.decode()
    set_setting(TRACK_OWN_PAGES, True, user=None)
    forget_sites()
    page = client.get("/e/dx/").content.decode()
    assert '<script async src="/t.js?site=own" data-page="/e/dx/"></script>' in page
    assert "data-consent-notice hidden" in page and "許可しない" in page
    for path in ("/e/dx/apply/", "/e/dx/applied/", "/my/login/"):
        assert "t.js?site=own" in client.get(path).content.decode(), path
    assert '"views": true' in settings_in(client.get("/t.js?site=own"))
    client.force_login(make_user())
    assert "t.js" not in client.get("/e/dx/").content.decode()  # staff look at their page
    assert campaign.slug == "dx"


def test_an_id_that_a_site_hands_over_is_kept_also_where_nothing_is_counted(client):
    """WEB-1: the application that follows makes the site's visitor known"""
    make_campaign(slug="dx")
    page = client.get(f"/e/dx/?smp_v={new_visitor()}-abc").content.decode()
    assert "t.js?site=own" in page and "data-consent-notice" not in page
    known = settings_in(client.get("/t.js?site=own"))
    assert '"views": false' in known and '"consent": true' in known


def test_pages_behind_somebodys_link_are_reported_without_the_link(client):
    """WEB-1: the token of a ticket, a confirmation, a login never leaves the page"""
    assert page_path("/t/abc.def", "t/<str:token>") == "/t/"
    assert page_path("/my/in/abc", "my/in/<str:token>") == "/my/in/"
    assert page_path("/my/applications/3/change/", "my/applications/<int:pk>/change/") == "/my/applications/"
    assert page_path("/e/dx/apply/", "e/<slug:slug>/apply/") == "/e/dx/apply/"
    from campaigns.tickets import ticket_url

    set_setting(TRACK_OWN_PAGES, True, user=None)
    application = make_application(make_campaign())
    from django.utils import timezone

    path = ticket_url(application, now=timezone.now()).partition("//")[2].partition("/")[2]
    shown = client.get("/" + path)
    assert shown.status_code == 200 and 'data-page="/t/"' in shown.content.decode()


def test_the_opt_out_page_never_carries_it(client):
    """WEB-1, OPT-1"""
    from mail.links import opt_out_url
    from tests.factories import make_lead

    set_setting(TRACK_OWN_PAGES, True, user=None)
    path = opt_out_url(make_lead().pk).partition("//")[2].partition("/")[2]
    assert "t.js" not in client.get("/" + path).content.decode()
