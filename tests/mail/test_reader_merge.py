"""APP-5 for readers: the stricter state stays, failures add up, nobody gets a story twice, and it can be undone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from leads.merge import merge, undo, what_goes_along
from mail.magazines.readers import leave
from mail.models import Reader, ReaderChange, ReaderFailure, StoryTurn
from tests.factories import make_lead
from tests.mail.magazine_scene import make_magazine, make_reader, make_story
from tests.mail.test_reader_failures import assert_true, fails

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return timezone.now()


def merged(survivor, *others, now):
    return merge(survivor.pk, [one.pk for one in others], chosen={}, user=None, now=now)


def test_a_reader_goes_along(now):
    """With state, failures and history; undone, all is theirs again."""
    survivor, other = make_lead("a@yamate.example.jp"), make_lead("b@yamate.example.jp")
    reader = make_reader(make_magazine(), lead=other)
    fails(reader, "refused", times=3)
    assert what_goes_along([survivor.pk, other.pk])[other.pk][-1] == "1件のメールマガジンの読者"
    done = merged(survivor, other, now=now)
    reader.refresh_from_db()
    assert (reader.lead, reader.state, reader.failures_refused) == (survivor, "error_stopped", 3)
    assert_true(reader)
    assert set(ReaderChange.objects.values_list("lead_id", flat=True)) == {survivor.pk}
    undo(done, user=None, now=now)
    reader.refresh_from_db()
    assert (reader.lead, reader.state) == (other, "error_stopped")
    assert_true(reader)
    assert set(ReaderChange.objects.values_list("lead_id", flat=True)) == {other.pk}


@pytest.mark.parametrize(
    ("own", "others", "after"),
    [
        ("deliverable", ["deliverable"], "deliverable"),
        ("deliverable", ["stopped"], "stopped"),
        ("stopped", ["deliverable"], "stopped"),
        ("deliverable", ["error_stopped"], "error_stopped"),
        ("error_stopped", ["stopped"], "stopped"),
        ("deliverable", ["error_stopped", "stopped"], "stopped"),
    ],
)
def test_the_stricter_state(own, others, after, now):
    """MAG-1: of all of them; the survivor's own comes back with the undo."""
    magazine = make_magazine()
    reader = make_reader(magazine, "a@yamate.example.jp", state=own, values={"1": "own"})
    twins = [
        make_reader(magazine, f"b{place}@yamate.example.jp", state=state, values={"1": "x", "2": "y"})
        for place, state in enumerate(others)
    ]
    done = merged(reader.lead, *(one.lead for one in twins), now=now)
    reader.refresh_from_db()
    assert (reader.state, reader.values) == (after, {"1": "own", "2": "y"})
    change = ReaderChange.objects.filter(way="merge", lead=reader.lead)
    assert list(change.values_list("before", "after")) == ([(own, after)] if own != after else [])
    undo(done, user=None, now=now)
    reader.refresh_from_db()
    assert (reader.state, reader.values) == (own, {"1": "own"})
    assert [Reader.objects.get(pk=one.pk).state for one in twins] == others


def test_failures_add_up(now):
    """MAG-3: and each has their own again, those since included."""
    magazine = make_magazine()
    reader, twin = make_reader(magazine, "a@yamate.example.jp"), make_reader(magazine, "b@yamate.example.jp")
    fails(reader, "refused")
    fails(twin, "refused")
    fails(twin, "full")
    done = merged(reader.lead, twin.lead, now=now)
    reader.refresh_from_db()
    assert (reader.failures_refused, reader.failures_full) == (2, 1)
    assert_true(reader)
    fails(reader, "refused")
    assert reader.state == "error_stopped"
    undo(done, user=None, now=now)
    for one in (reader, twin):
        assert_true(one)
    assert (reader.failures_refused, reader.failures_full, twin.failures_refused) == (2, 0, 1)
    assert ReaderFailure.objects.filter(lead=twin.lead).count() == 2


def test_changed_since_the_merge(now):
    """An undo takes back what the merge did, and nothing that came later."""
    magazine = make_magazine()
    reader = make_reader(magazine, "a@yamate.example.jp")
    twin = make_reader(magazine, "b@yamate.example.jp", state="error_stopped", values={"1": "x"})
    done = merged(reader.lead, twin.lead, now=now)
    Reader.objects.filter(pk=reader.pk).update(
        state="stopped", state_at=now + timedelta(hours=1), values={"1": "z"}
    )
    undo(done, user=None, now=now + timedelta(hours=2))
    reader.refresh_from_db()
    assert (reader.state, reader.values) == ("stopped", {"1": "z"})


@pytest.mark.parametrize("leave_does", ["stop", "remove"])
def test_who_left_since_left_for_all(leave_does, now):
    """OPT-7: the person opted out once; two leads afterwards do not bring them back."""
    magazine = make_magazine(leave_does=leave_does)
    reader, twin = make_reader(magazine, "a@yamate.example.jp"), make_reader(magazine, "b@yamate.example.jp")
    done = merged(reader.lead, twin.lead, now=now)
    assert leave(
        magazine, twin.lead, way="one_click", now=now + timedelta(hours=1)
    )  # a link of before the merge
    undo(done, user=None, now=now + timedelta(hours=2))
    assert not Reader.objects.filter(state="deliverable").exists()
    twin.refresh_from_db()
    assert twin.state == "stopped"


def test_no_story_twice(now):
    """MAG-8: what either has had, the survivor has had; one turn waits, the next."""
    magazine = make_magazine()
    first, second, third = (make_story(magazine, "step", wait_days=days) for days in (1, 2, 3))
    reader, twin = make_reader(magazine, "a@yamate.example.jp"), make_reader(magazine, "b@yamate.example.jp")

    def turn(lead, story, state):
        StoryTurn.objects.create(
            story=story, magazine=magazine, lead=lead, state=state, due_at=now, decided_at=now
        )

    turn(reader.lead, first, "waiting")
    turn(twin.lead, first, "decided")
    turn(twin.lead, second, "skipped")
    turn(twin.lead, third, "waiting")
    done = merged(reader.lead, twin.lead, now=now)
    turns = StoryTurn.objects.filter(lead=reader.lead).order_by("story_id").values_list("story_id", "state")
    assert list(turns) == [(first.pk, "decided"), (second.pk, "skipped"), (third.pk, "waiting")]
    assert not StoryTurn.objects.filter(lead=twin.lead).exists()
    undo(done, user=None, now=now)
    assert list(turns.all()) == [(first.pk, "waiting")]
    twins = StoryTurn.objects.filter(lead=twin.lead).order_by("story_id").values_list("story_id", "state")
    assert list(twins) == [(first.pk, "decided"), (second.pk, "skipped"), (third.pk, "waiting")]


def test_several_magazines_and_leads(now):
    """Three leads, two magazines, of which the survivor reads none."""
    survivor = make_lead("a@yamate.example.jp")
    one, two = make_magazine("一"), make_magazine("二")
    leads = [make_lead(f"b{place}@yamate.example.jp") for place in range(2)]
    readers = [make_reader(magazine, lead=lead) for magazine in (one, two) for lead in leads]
    done = merged(survivor, *leads, now=now)
    assert Reader.objects.filter(lead=survivor).count() == 2
    assert Reader.objects.count() == 4
    undo(done, user=None, now=now)
    assert {one.pk: one.lead_id for one in Reader.objects.all()} == {one.pk: one.lead_id for one in readers}
