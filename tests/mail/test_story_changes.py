"""The pages of changes of stories: each says what happens to how many readers, asks where there is a choice, and acts once (MAG-8)."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from mail.models import Story, StoryTurn
from mail.stories.turns import plan_turns
from tests.factories import make_user
from tests.mail.magazine_scene import make_magazine, make_reader, make_story
from tests.mail.test_story_pages import html_of, loop_of, step_of, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def magazine(client):
    client.force_login(make_user("misaki"))
    return make_magazine()


def change(magazine, story, what):
    return url("story_change", magazine, story.pk, what)


def state_of(story):
    return Story.objects.values_list("state", flat=True).get(pk=story.pk)


def readers(magazine, number, *, days_ago=0):
    at = timezone.now() - timedelta(days=days_ago)
    return [make_reader(magazine, registered_at=at) for _number in range(number)]


def test_starting_says_who_waits_and_looking_changes_nothing(client, magazine):
    readers(magazine, 3)
    story = make_story(magazine, "step", state="draft", wait_days=3)
    page = html_of(client.get(change(magazine, story, "start")))
    assert "3人がこのストーリーを待つことになります" in page
    assert (state_of(story), StoryTurn.objects.count()) == ("draft", 0)
    client.post(change(magazine, story, "start"))
    assert (state_of(story), StoryTurn.objects.filter(state="waiting").count()) == ("running", 3)
    client.post(change(magazine, story, "start"))  # pressed twice
    assert StoryTurn.objects.count() == 3


def test_pausing_and_going_on_with_a_choice_about_who_is_overdue(client, magazine):
    readers(magazine, 2, days_ago=5)
    story = make_story(magazine, "step", wait_days=1)
    plan_turns(magazine.pk, now=timezone.now() - timedelta(days=4, hours=12))
    page = html_of(client.get(change(magazine, story, "pause")))
    assert "2人がこのストーリーを待っています" in page
    client.post(change(magazine, story, "pause"))
    assert state_of(story) == "paused"
    page = html_of(client.get(change(magazine, story, "go_on")))
    assert "停止中に時刻を過ぎた2人に配信する" in page and 'value="skip"' in page
    client.post(change(magazine, story, "go_on"), {"choice": "skip"})
    assert state_of(story) == "running"
    assert set(StoryTurn.objects.values_list("state", "why")) == {("skipped", "overdue")}


def test_deleting_says_who_is_concerned(client, magazine):
    readers(magazine, 1)
    story = make_story(magazine, "step")
    plan_turns(magazine.pk, now=timezone.now())
    assert "1人には配信されず" in html_of(client.get(change(magazine, story, "delete")))
    response = client.post(change(magazine, story, "delete"))
    assert response["Location"] == url("story_steps", magazine)
    assert state_of(story) == "deleted"
    assert client.get(change(magazine, story, "delete")).status_code == 404


def test_moving_changes_the_order_after_a_page_that_says_so(client, magazine):
    first, second = make_story(magazine, "step", name="一"), make_story(magazine, "step", name="二")
    client.get(change(magazine, second, "up"))
    assert list(Story.objects.order_by("position")) == [first, second]
    client.post(change(magazine, second, "up"))
    assert list(Story.objects.order_by("position")) == [second, first]
    client.post(change(magazine, second, "down"))
    assert list(Story.objects.order_by("position")) == [first, second]


def test_a_loop_says_its_next_start(client, magazine):
    story = make_story(magazine, "loop", state="draft")
    assert "次の配信は" in html_of(client.get(change(magazine, story, "start")))
    client.post(change(magazine, story, "start"))
    assert Story.objects.get().next_at is not None
    client.post(change(magazine, story, "pause"))
    assert (state_of(story), Story.objects.get().next_at) == ("paused", None)


def test_a_story_with_problems_is_not_started(client):
    client.force_login(make_user("misaki"))
    magazine = make_magazine(footer_text="")
    story = make_story(magazine, "step", state="draft", template_values={"text_body": "本文"})
    client.get(change(magazine, story, "start"))
    client.post(change(magazine, story, "start"))
    assert state_of(story) == "draft"


def test_other_times_of_a_running_story_are_shown_before_they_hold(client, magazine):
    readers(magazine, 2)
    story = make_story(magazine, "step", wait_days=1)
    plan_turns(magazine.pk, now=timezone.now())
    page = url("story_timing", magazine, story.pk)
    shown = html_of(client.post(page, step_of(wait_days="30")))
    assert "2人は、次のメールがこれまでより遅くなります" in shown and 'name="wait_days" value="30"' in shown
    assert Story.objects.get().wait_days == 1
    client.post(page, step_of(wait_days="30") | {"confirmed": "1"})
    assert Story.objects.get().wait_days == 30


def test_other_times_of_a_draft_are_saved_at_once(client, magazine):
    story = make_story(magazine, "loop", state="draft")
    client.post(url("story_timing", magazine, story.pk), loop_of(rule="weekly", weekdays=["4"]))
    story.refresh_from_db()
    assert (story.rule, story.weekdays, story.day_of_month) == ("weekly", [4], None)


def test_unknown_changes_and_other_magazines_are_not_found(client, magazine):
    other = make_story(make_magazine("別の"), "step")
    own, extra = make_story(magazine, "step"), make_story(magazine)
    for page in (
        change(magazine, other, "pause"),
        change(magazine, own, "explode"),
        change(magazine, extra, "up"),
        url("story_timing", magazine, other.pk),
        url("story_timing", magazine, extra.pk),
        reverse("story_turns", args=[magazine.pk, other.pk]),
    ):
        assert client.get(page).status_code == 404, page


def test_viewers_change_nothing(client, magazine):
    story = make_story(magazine, "step")
    client.force_login(make_user("viewer", role="viewer"))
    assert client.post(change(magazine, story, "pause")).status_code == 403
    assert state_of(story) == "running"
