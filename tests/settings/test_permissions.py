"""SYS-1: every page checks the role. The walk over all URLs needs no list to be kept, but the public ones are literal."""

import re

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from campaigns.models import Campaign
from settings.models import Role
from smp.lib.mode import BLUE, ORANGE
from tests.factories import make_campaign, make_user

PUBLIC = {
    "login",
    "logout",
    "set_language",
    "health",
    "opt_out",
    "one_click",
    "campaign_page",
    "apply_page",
    "applied_page",
    "confirm_application",
}
PUBLIC |= {"ticket", "ticket_sent", "ticket_calendar"}
PUBLIC |= {"click", "open"}  # links and images of mails (tracking/door.py)
# My page: a login of its own (campaigns/my_page/session.py).
PUBLIC |= {
    "my_page", "my_page_login", "my_page_sent", "my_page_password_login", "my_page_link", "my_page_forgotten",
    "my_page_new_password", "my_page_logout", "my_page_change", "my_page_cancel", "my_page_profile",
    "my_page_address", "my_page_confirm_address", "my_page_password", "my_page_mails", "my_page_stop_mails",
    "my_page_want_mails",
}  # fmt: skip
PUBLIC |= {  # forms of magazines, links of their mails
    "reader_opt_out", "magazine_prove", "magazine_register", "magazine_register_done", "magazine_leave",
    "magazine_leave_done", "magazine_style",
}  # fmt: skip
PUBLIC |= {"track_script", "view_beacon", "my_page_from_mail"}
# The API: no login but a key, which each operation asks for (tests/api).
PUBLIC_API = {
    "api-root", "openapi-json", "openapi-view", "api_nothing_here", "put_visitor", "list_visitors", "get_visitor",
    "post_application", "list_applications", "get_application", "list_jobs", "get_job", "list_deliveries", "get_delivery",
}  # fmt: skip
PUBLIC_DEMO = {
    "demo_site",
    "demo_site_page",
    "inbox",
    "inbox_mail",
    "inbox_mail_html",
    "inbox_mail_source",
    "inbox_one_click",
}
LEVELS = {"may_view", "may_edit", "may_administer", "public"}


def all_patterns(resolver=None, prefix=""):
    for pattern in (resolver or get_resolver()).url_patterns:
        if isinstance(pattern, URLResolver):
            yield from all_patterns(pattern, prefix + str(pattern.pattern))
        elif isinstance(pattern, URLPattern):
            yield prefix + str(pattern.pattern), pattern


def example(route: str) -> str:
    """A URL of the route with ids nobody has: who may not open it is refused before anything is looked up."""
    route = re.sub(r"<uuid:\w+>", "00000000-0000-0000-0000-000000000000", route)
    route = re.sub(r"<int:\w+>", "999999999", route)
    return "/" + re.sub(r"<(?:\w+:)?\w+>", "nothing", route)


def in_its_mode(route: str, pattern: URLPattern, campaign: Campaign | None = None) -> str:
    """Views that exist only inside a campaign are asked there."""
    prefix = f"/c/{campaign.pk if campaign else 999999999}" if modes_of(pattern) == ORANGE else ""
    return prefix + example(route)


def modes_of(pattern: URLPattern):
    return getattr(pattern.callback, "modes", BLUE)


@pytest.fixture
def people(db):
    return {
        "misaki": make_user("misaki", role=Role.PRIVILEGED),
        "kenta": make_user("kenta", role=Role.CAMPAIGN),
        "yui": make_user("yui", role=Role.VIEWER),
    }


def test_every_view_says_who_may_open_it():
    """SYS-1"""
    without = [
        route
        for route, pattern in all_patterns()
        if getattr(pattern.callback, "needs_level", None) not in LEVELS
    ]
    assert without == []


def test_what_is_public_is_listed_here():
    """SYS-1"""
    public = {pattern.name for _route, pattern in all_patterns() if pattern.callback.needs_level == "public"}
    assert public - PUBLIC - PUBLIC_DEMO - PUBLIC_API == set()


def test_every_url_has_a_name():
    assert [route for route, pattern in all_patterns() if not pattern.name] == []


def test_without_a_login_every_page_leads_to_the_login(client, db):
    """SYS-1"""
    for route, pattern in all_patterns():
        if pattern.callback.needs_level == "public":
            continue
        for call in (client.get, client.post):
            response = call(in_its_mode(route, pattern))
            assert response.status_code == 302, route
            assert response["Location"].startswith("/login/?next="), route


def test_yui_the_viewer_is_refused_every_edit_page(client, people):
    """SYS-1: 閲覧者"""
    campaign = make_campaign()
    client.force_login(people["yui"])
    for route, pattern in all_patterns():
        if pattern.callback.needs_level in {"may_edit", "may_administer"}:
            for call in (client.get, client.post):
                response = call(in_its_mode(route, pattern, campaign))
                assert response.status_code == 403, route
                assert "特権管理者に依頼してください" in response.content.decode(), route


def test_kenta_the_campaign_administrator_is_refused_what_holds_for_everybody(client, people):
    """SYS-1: キャンペーン管理者"""
    client.force_login(people["kenta"])
    administer = {
        route: pattern
        for route, pattern in all_patterns()
        if pattern.callback.needs_level == "may_administer"
    }
    assert {pattern.name for pattern in administer.values()} >= {
        "users",
        "edit_user",
        "system_settings",
        "audit_log",
    }
    for route, pattern in administer.items():
        assert client.get(in_its_mode(route, pattern)).status_code == 403, route
        assert client.post(in_its_mode(route, pattern)).status_code == 403, route


def test_misaki_the_privileged_administrator_is_refused_nothing(client, people):
    """SYS-1: 特権管理者"""
    campaign = make_campaign()
    client.force_login(people["misaki"])
    for route, pattern in all_patterns():
        if pattern.callback.needs_level in {"may_view", "may_edit", "may_administer"} and "<" not in route:
            assert client.get(in_its_mode(route, pattern, campaign)).status_code != 403, route


def test_kenta_opens_nothing_of_all_campaigns_but_what_is_for_everybody(client, people):
    """SYS-1, APP-1: the pages of the all-campaign mode show other people's campaigns"""
    client.force_login(people["kenta"])
    for route, pattern in all_patterns():
        if pattern.callback.needs_level == "public" or modes_of(pattern) == ORANGE:
            continue
        if not getattr(pattern.callback, "everyone", False):
            assert client.get(example(route)).status_code == 403, route


def test_a_campaign_is_opened_by_its_own_administrators_only(client, people):
    """SYS-1, APP-1"""
    mine, other = make_campaign("担当", members=[people["kenta"]]), make_campaign("担当外")
    client.force_login(people["kenta"])
    assert client.get(f"/c/{mine.pk}/campaigns/overview/").status_code == 200
    assert client.get(f"/c/{other.pk}/campaigns/overview/").status_code == 403
    assert client.get("/c/999999999/campaigns/overview/").status_code == 403
    client.force_login(people["yui"])
    assert client.get(f"/c/{other.pk}/campaigns/overview/").status_code == 200


def test_a_view_that_does_not_know_campaigns_does_not_exist_inside_one(client, people):
    """APP-1: safe by default"""
    campaign = make_campaign()
    client.force_login(people["misaki"])
    for route, pattern in all_patterns():
        if modes_of(pattern) == BLUE:
            assert client.get(f"/c/{campaign.pk}{example(route)}").status_code == 404, route


def test_pages_of_a_deactivated_user_end_at_once(client, people):
    """SYS-1"""
    client.force_login(people["yui"])
    assert client.get("/profile/").status_code == 200
    people["yui"].is_active = False
    people["yui"].save()
    assert client.get("/profile/").status_code == 302


def test_the_settings_tab_is_not_offered_to_who_may_not_open_it(client, people):
    """SYS-1"""
    client.force_login(people["yui"])
    assert "/settings/system/" not in client.get("/profile/").content.decode()
    client.force_login(people["misaki"])
    assert "/settings/system/" in client.get("/profile/").content.decode()
