"""複合検索: whose reader a lead is, and what it was sent (EXC-5, MAG-1)."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from leads.search import describe_condition, leads_matching
from mail.models import SendJob
from tests.factories import make_campaign, make_delivery, make_lead
from tests.mail.magazine_scene import make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def block(item, operator, *values):
    return {"match": "all", "blocks": [{"item": item, "operator": operator, "values": list(values)}]}


def found(condition):
    return sorted(lead.email.partition("@")[0] for lead in leads_matching(condition, now=NOW))


def test_readers_by_magazine_and_state():
    one, other = make_magazine("A"), make_magazine("B")
    make_reader(one, "can@x.example.jp")
    both = make_reader(one, "stopped@x.example.jp", state="stopped")
    make_reader(other, lead=both.lead)
    make_lead("none@x.example.jp")
    stopped = block(
        "magazine.reader", "is", {"magazine": [str(one.pk)], "state": ["stopped", "error_stopped"]}
    )
    assert found(stopped) == ["stopped"]
    assert found(block("magazine.reader", "is", {"magazine": [str(one.pk)]})) == ["can", "stopped"]
    assert found(block("magazine.reader", "is_not", {"magazine": [str(one.pk)]})) == ["stopped"]
    assert found({"match": "expression", "expression": "NOT 1", **{"blocks": [*block("magazine.reader", "is", {"state": ["deliverable"]})["blocks"]]}}) == ["none"]  # fmt: skip
    assert "A" in describe_condition(stopped) and "配信停止" in describe_condition(stopped)


def test_readers_by_the_time_of_registering():
    magazine = make_magazine()
    make_reader(magazine, "new@x.example.jp", registered_at=NOW - timedelta(days=2))
    make_reader(magazine, "old@x.example.jp", registered_at=NOW - timedelta(days=90))
    assert found(block("magazine.registered_at", "within_days", "7")) == ["new"]


def test_what_was_sent_of_a_story():
    magazine = make_magazine()
    story, other = make_story(magazine), make_story(magazine)
    job = SendJob.objects.create(
        rule="by_search", magazine=magazine, story=story, template=story.template, state="done"
    )
    got, not_sent = make_reader(magazine, "got@x.example.jp"), make_reader(magazine, "not@x.example.jp")
    make_delivery(got.lead, job=job, kind="magazine", state="sent")
    make_delivery(not_sent.lead, job=job, kind="magazine", state="excluded", reason="filter")
    assert found(block("magazine.story", "is", str(story.pk))) == ["got"]
    assert found(block("magazine.story", "is", str(other.pk))) == []
    assert found(block("magazine.story", "empty")) == ["not"]
    assert story.name in describe_condition(block("magazine.story", "is", str(story.pk)))


def test_inside_a_campaign_nobody_asks_for_magazines():
    condition = block("magazine.reader", "is", {"state": ["deliverable"]})
    with pytest.raises(ValidationError):
        list(leads_matching(condition, now=NOW, campaign_id=make_campaign().pk))
