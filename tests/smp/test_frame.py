"""The frame of every page."""

import re

import pytest

from tests.factories import make_user
from tests.settings.test_permissions import all_patterns


@pytest.fixture
def misaki(client, db):
    user = make_user()
    client.force_login(user)
    return client


def test_login_page_needs_nobody(client, db):
    response = client.get("/login/")
    assert response.status_code == 200
    assert 'class="btn main"' in response.content.decode()


def test_no_inline_script_or_style(misaki):
    """DESIGN 10: the policy forbids them, so no page may hold them."""
    routes = [
        "/" + route
        for route, pattern in all_patterns()
        if "<" not in route and pattern.callback.needs_level != "public"
    ]
    assert len(routes) > 15
    for url in [*routes, "/login/", "/nowhere/"]:
        response = misaki.get(url)
        if response.streaming or not response["Content-Type"].startswith("text/html"):
            continue
        html = response.content.decode()
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?![^>]*src=)", html), url


def test_frame_names_the_user_and_has_a_way_past_the_menu(misaki):
    html = misaki.get("/").content.decode()
    assert "佐藤 美咲" in html
    assert '<a class="skip" href="#main">' in html
    assert 'id="main"' in html


def test_unknown_page_is_in_the_look(misaki):
    response = misaki.get("/nowhere/")
    assert response.status_code == 404
    assert 'class="alone' in response.content.decode()
