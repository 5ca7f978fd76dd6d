"""How a job's state looks: always a word, the colour only beside it."""

from datetime import timedelta

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mail.models.send_job import JobState

register = template.Library()

COLOURS = {
    JobState.RESOLVING: "run",
    JobState.SENDING: "run",
    JobState.PAUSED: "warn",
    JobState.HALTED: "bad",
    JobState.DONE: "ok",
    JobState.STOPPED: "bad",
}


@register.simple_tag
def job_state(state: str) -> SafeString:
    state = JobState(state)
    return format_html('<span class="tag {}">{}</span>', COLOURS.get(state, ""), state.label)


@register.filter
def rough_time(left: timedelta) -> str:
    """An estimate in words: no seconds of false precision."""
    minutes = -(-int(left.total_seconds()) // 60)
    if minutes <= 1:
        return _("less than a minute")
    if minutes < 90:
        return ngettext("about %(n)s minute", "about %(n)s minutes", minutes) % {"n": minutes}
    hours = round(minutes / 60)
    return ngettext("about %(n)s hour", "about %(n)s hours", hours) % {"n": hours}
