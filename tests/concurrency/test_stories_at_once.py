"""MAG-8 with several processes: one start of a story, one change of a series, every turn decided once, nothing lost when cut off."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from mail.job_start import run
from mail.models import Delivery, SendJob, Story, StoryTurn
from mail.refused import Refused
from mail.stories import starts, turns
from mail.stories.starts import reserve, start_due
from mail.stories.stories import delete, move, pause, start_running
from mail.stories.turns import plan_turns
from settings.models import AuditEntry
from tests.concurrency.test_resolve_race import in_threads
from tests.mail.magazine_scene import make_magazine, make_reader, make_story

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def magazine():
    return make_magazine()


def due_story(magazine, now, readers=20, **values):
    story = make_story(magazine, "step", **({"wait_days": 0} | values))
    for _number in range(readers):
        make_reader(magazine, registered_at=now - timedelta(hours=1))
    plan_turns(magazine.pk, now=now - timedelta(minutes=50))
    return story


def test_two_ticks_make_one_start(magazine, now):
    """Of a step story and of a loop."""
    story = due_story(magazine, now)
    loop = make_story(magazine, "loop", rule="weekly", weekdays=[0, 1, 2, 3, 4, 5, 6], next_at=now)
    in_threads(*[lambda: start_due(now)] * 4)
    start_due(now)
    assert SendJob.objects.filter(story=story).count() == 1
    assert SendJob.objects.filter(story=loop).count() == 1


def test_a_start_and_another_tick(magazine, now):
    """The whole way twice at once: every reader has one decision and one turn of each story."""
    story = due_story(magazine, now)
    following = make_story(magazine, "step", base="previous", wait_days=1)
    start_due(now)
    job = SendJob.objects.get()
    in_threads(*[lambda: run(job.pk, now=now)] * 2, *[lambda: start_due(now)] * 2)
    assert SendJob.objects.count() == 1
    assert Delivery.objects.filter(job=job).count() == 20
    assert StoryTurn.objects.filter(story=story, state="decided").count() == 20
    assert StoryTurn.objects.filter(story=following, state="waiting").count() == 20


def test_two_administrators_change_a_series_once(magazine, now):
    first, second = due_story(magazine, now), make_story(magazine, "step")
    results = in_threads(*[lambda: pause(first, user=None, now=now)] * 3)
    assert sorted(results) == [False, False, True]
    draft = make_story(magazine, "step", state="draft")
    assert sorted(in_threads(*[lambda: start_running(draft, user=None, now=now)] * 3)) == [False, False, True]
    in_threads(
        lambda: move(first, 2, user=None, now=now),
        lambda: move(second, 3, user=None, now=now),
        lambda: delete(draft, user=None, now=now),
        lambda: plan_turns(
            magazine.pk, lead_ids=list(StoryTurn.objects.values_list("lead_id", flat=True)), now=now
        ),
    )
    positions = Story.objects.exclude(state="deleted").order_by("position").values_list("position", flat=True)
    assert len(positions) == len(set(positions)) == 2
    assert StoryTurn.objects.filter(state="waiting").count() == 20
    assert not StoryTurn.objects.filter(state="waiting", story=draft).exists()
    assert AuditEntry.objects.filter(action="story.pause").count() == 1


def test_readers_register_while_a_story_is_deleted(magazine, now):
    """Nobody waits for a story that is no more."""
    story = due_story(magazine, now, readers=3)
    other = make_story(magazine, "step")
    new = [make_reader(magazine, registered_at=now) for _number in range(10)]
    in_threads(
        lambda: delete(story, user=None, now=now),
        *[
            lambda reader=reader: plan_turns(magazine.pk, lead_ids=[reader.lead_id], now=now)
            for reader in new[:4]
        ],
    )
    plan_turns(magazine.pk, lead_ids=[reader.lead_id for reader in new], now=now)
    assert set(StoryTurn.objects.filter(state="waiting").values_list("story", flat=True)) == {other.pk}
    assert StoryTurn.objects.filter(state="waiting").count() == 13


def test_a_story_is_paused_while_it_starts(magazine, now):
    """Either the start came before, and is sent; or after, and nobody is decided: never half."""
    story = due_story(magazine, now)
    start_due(now)
    job = SendJob.objects.get()
    in_threads(lambda: run(job.pk, now=now), lambda: pause(story, user=None, now=now))
    decided = Delivery.objects.filter(job=job).count()
    assert decided in (0, 20)
    assert StoryTurn.objects.filter(state="decided").count() == decided
    assert StoryTurn.objects.filter(state="waiting").count() == 20 - decided
    start_due(now + timedelta(minutes=10))
    assert SendJob.objects.count() == 1


def test_two_administrators_reserve_one_issue(magazine, now):
    """RSV-5: with the same confirmation, and with one each."""
    at = now + timedelta(days=3)
    story, token = make_story(magazine, "extra", state="draft"), uuid.uuid4()
    jobs = in_threads(*[lambda: reserve(story, at, user=None, now=now, token=token).pk] * 3)
    assert len(set(jobs)) == 1
    other = make_story(magazine, "extra", state="draft")

    def own_token():
        try:
            return reserve(other, at, user=None, now=now, token=uuid.uuid4()).pk
        except Refused as refused:
            return refused.code

    assert sorted(map(str, in_threads(*[own_token] * 3)))[1:] == ["already", "already"]
    assert SendJob.objects.filter(story=other).count() == 1


def test_cut_off_while_a_start_is_made_or_decided(magazine, now, monkeypatch):
    """A process that dies before its commit leaves everything as it was; the next tick does it."""
    due_story(magazine, now)

    def dies(*args, **values):
        raise SystemExit

    real = starts.make_start
    monkeypatch.setattr(starts, "make_start", lambda *args, **values: (real(*args, **values), dies()))
    with pytest.raises(SystemExit):
        start_due(now)
    assert not SendJob.objects.exists()
    monkeypatch.setattr(starts, "make_start", real)
    assert start_due(now) == 1
    job = SendJob.objects.get()
    plan = turns._plan
    monkeypatch.setattr(turns, "_plan", dies)
    with pytest.raises(SystemExit):
        run(job.pk, now=now)
    assert not Delivery.objects.exists()
    assert StoryTurn.objects.filter(state="waiting").count() == 20
    monkeypatch.setattr(turns, "_plan", plan)
    assert run(job.pk, now=now)
    assert Delivery.objects.filter(job=job).count() == StoryTurn.objects.filter(state="decided").count() == 20
