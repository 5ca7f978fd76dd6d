"""What tests of stories need beside tests/mail/magazine_scene.py."""

from typing import Any

from mail.models import SendJob, Story, StoryTurn


def make_start(story: Story, *, now: Any, **values: Any) -> SendJob:
    """A start that is being sent."""
    values = {"state": "sending", "started_at": now, "decided_at": now, "occurrence_at": now} | values
    return SendJob.objects.create(
        rule="by_search",
        magazine=story.magazine,
        story=story,
        template=story.template,
        condition=story.filter,
        purpose="advertising",
        include_sent=True,
        **values,
    )


def waiting(reader: Any) -> Story | None:
    """The story this reader waits for."""
    turn = StoryTurn.objects.filter(lead=reader.lead, magazine=reader.magazine, state="waiting").first()
    return turn.story if turn else None
