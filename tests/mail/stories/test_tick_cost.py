"""The tick looks every two seconds: with nothing to do for magazines it asks a few questions, as many for one as for three."""

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mail.magazines import failures, requests
from mail.magazines.imports import steps
from mail.models import StoryTurn
from mail.stories import starts
from mail.stories.loops import TOKYO
from mail.stories.turns import plan_turns
from tests.mail.magazine_scene import make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 22, 12, tzinfo=TOKYO)
LATER = NOW + timedelta(minutes=10)


def magazine_at_rest(name):
    magazine = make_magazine(name)
    for number in range(2):
        make_story(magazine, "step", wait_days=9)
        make_story(magazine, "loop", next_at=datetime(2026, 12, 15, 10, tzinfo=TOKYO))
        make_reader(magazine, f"{number}.{name}@yamate.example.jp", registered_at=NOW)
    plan_turns(magazine.pk, now=NOW)


@pytest.mark.parametrize(
    ("work", "queries"),
    [
        (starts.start_due, 3),  # halted starts, due turns, running loops
        (starts.plan_new, 1),
        (starts.plan_everybody, 1),
        (failures.count_missed, 1),
        (requests.handle_requests, 1),
        (steps.take_up, 1),
    ],
)
def test_nothing_to_do_is_a_few_queries(work, queries, django_assert_num_queries):
    for name in ("a", "b", "c"):
        magazine_at_rest(name)
        with django_assert_num_queries(queries):
            assert work(LATER) == 0


def test_what_waits_is_looked_up_by_index():
    """As many as wait: the statements of the tick read none of their rows."""
    magazine_at_rest("a")
    assert StoryTurn.objects.filter(state="waiting").count() == 2
    with CaptureQueriesContext(connection) as asked:
        starts.start_due(LATER)
    (due,) = [query["sql"] for query in asked if "mail_storyturn" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {due}")
        plan = " ".join(row[0] for row in cursor.fetchall())
    assert "Index Only Scan using story_turn_due on mail_storyturn" in plan
