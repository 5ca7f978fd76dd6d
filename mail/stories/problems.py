"""What stands between a story and its mails: for its pages, when it is put into operation, and at each start."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from mail.alignment import Alignment
from mail.magazines.filters import check_filter
from mail.models.story import Story, StoryKind, StoryState
from mail.problems import Problem, alignment_problems
from mail.stories import content
from mail.stories.loops import BY_DATE


def story_problems(story: Story, *, now: datetime, aligned: Alignment | None = None) -> list[Problem]:
    """Worst first. An "error" refuses a start: better no mail than a wrong one. Inside a transaction hand over what
    `alignment_of` said before it: asking DNS takes seconds."""
    found: list[Problem] = []
    if story.state == StoryState.DELETED:
        found.append(Problem("story_deleted", _("The story was deleted.")))
    if story.magazine.archived_at:
        found.append(Problem("magazine_archived", _("The magazine was archived. Nothing is sent of it.")))
    for problem in content.problems(story):
        text = f"{problem.label}: {problem.text}"
        found.append(Problem(f"template_{problem.field}", text, problem.severity))
    found += alignment_problems(content.composed(story), aligned, now=now)
    if story.kind == StoryKind.LOOP and story.rule in BY_DATE:
        item = story.date_item
        if item is None or item.retired_at:
            found.append(
                Problem("date_item", _("The date item this story goes by is gone. Choose another one."))
            )
    try:
        check_filter(story.filter, story.magazine_id)
    except ValidationError as error:  # it names something that is gone
        found += [
            Problem("filter", _("Delivery filter: %(problem)s") % {"problem": text})
            for text in error.messages
        ]
    return sorted(found, key=lambda problem: problem.severity != "error")
