"""How a story looks: its state as a word with a colour beside it, and when it starts in words."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mail.models import Story
from mail.models.story import StoryState
from mail.stories.words import timing_text

register = template.Library()

COLOURS = {StoryState.RUNNING: "run", StoryState.PAUSED: "warn"}


@register.simple_tag
def story_state(story: Story) -> SafeString:
    state = StoryState(story.state)
    return format_html('<span class="tag {}">{}</span>', COLOURS.get(state, ""), state.label)


@register.simple_tag
def story_timing(story: Story) -> str:
    return timing_text(story)
