"""「この読者は次の記事の配信対象になりますか?」 for one story and one lead, for commands: the coming start if there is one, else the last."""

from datetime import datetime

from django.utils.translation import gettext as _

from leads.models import Lead
from mail.models.delivery import Delivery
from mail.models.magazine import Reader
from mail.models.story import Story, StoryState
from mail.recipients.explain import Explanation, explain_delivery
from mail.recipients.explain_magazines import membership_lines, turn_lines
from mail.stories.upcoming import upcoming


def explain_story(story: Story, lead: Lead, *, now: datetime) -> Explanation:
    """When the story comes next, whether it goes to this lead, and why; as things are now. What was decided last is evidence."""
    reader = Reader.objects.select_related("magazine").filter(magazine=story.magazine_id, lead=lead).first()
    lines = membership_lines(story.magazine, lead)
    if reader is None:
        return Explanation(
            "none", "no_reader", _("Not in question: the lead is no reader of “%(magazine)s”.") % {"magazine": story.magazine}, lines
        )  # fmt: skip
    last = _last_decision(story, lead)
    lines += [last.sentence] if last else []
    coming = next((one for one in upcoming(reader, now=now) if one.story.pk == story.pk), None)
    if coming is not None:
        return Explanation("none", coming.reason or "would_be_addressed", coming.sentence, lines)
    if last is not None:
        return last
    sentence = _("Nothing is planned: no start of this story is to come for this reader.")
    if story.state in {StoryState.DRAFT, StoryState.DELETED}:
        words = {"state": story.get_state_display()}
        sentence = _("Nothing is planned: the state of the story is “%(state)s”.") % words
    return Explanation("none", "nothing_planned", sentence, [*lines, *turn_lines(story, lead)])


def _last_decision(story: Story, lead: Lead) -> Explanation | None:
    rows = Delivery.objects.filter(lead=lead, job__story=story).select_related("job")
    row = rows.order_by("-pk").first()
    return explain_delivery(row) if row else None
