"""TRK-4: the rules in words, for everybody who reads rates."""

import pytest
from django.test import Client
from django.utils.translation import override

from tests.factories import make_campaign, make_user
from tracking.judge import EVIDENCE, RULES_VERSION

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ["privileged", "campaign", "viewer"])
def test_everyone_reads_the_rules_in_their_language(role):
    """TRK-4: every rule's sentence, and what is left out; without asking the database for any of it"""
    client = Client()
    client.force_login(make_user(role=role))
    page = client.get("/tracking/hit-rules/").content.decode()
    with override("ja"):
        assert all(f'<td class="words">{text}</td>' in page for text in EVIDENCE.values())
    assert all(f"<code>{code}</code>" in page for code in EVIDENCE)
    assert "人だけを数えます" in page and f"ルールの版: {RULES_VERSION}" in page


def test_the_rules_are_there_inside_a_campaign_too():
    """TRK-4"""
    client = Client()
    client.force_login(make_user())
    assert client.get(f"/c/{make_campaign().pk}/tracking/hit-rules/").status_code == 200


def test_nobody_else_reads_or_posts():
    """TRK-4"""
    assert Client().get("/tracking/hit-rules/").status_code == 302
    client = Client()
    client.force_login(make_user())
    assert client.post("/tracking/hit-rules/").status_code == 405
