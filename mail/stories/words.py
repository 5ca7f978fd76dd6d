"""When a story starts, in words: 「登録から3日後の10:00」「前のストーリーの7日後」「毎月15日 10:00」「誕生日の3日前 9:00」. Pure."""

from datetime import time

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from mail.models import Story
from mail.models.story import LoopRule, StepBase, StoryKind


def timing_text(story: Story) -> str:
    """For a column and a heading; "" of an extra issue. `date_item` loaded for loops by a date of the reader."""
    if story.kind == StoryKind.STEP:
        return step_text(story)
    return loop_text(story) if story.kind == StoryKind.LOOP else ""


def step_text(story: Story) -> str:
    previous = story.base == StepBase.PREVIOUS
    span = span_text(story)
    if story.at_time is not None:
        clock = {"time": clock_text(story.at_time), "span": span}
        if not span:
            if previous:
                return _("The next %(time)s after the previous story") % clock
            return _("The next %(time)s after the registration") % clock
        if previous:
            return _("%(span)s after the previous story, at %(time)s") % clock
        return _("%(span)s after the registration, at %(time)s") % clock
    if not span:
        return _("Right after the previous story") if previous else _("Right after the registration")
    words = {"span": span}
    return (
        _("%(span)s after the previous story") % words
        if previous
        else _("%(span)s after the registration") % words
    )


def span_text(story: Story) -> str:
    """3日 · 1日12時間; "" for no wait."""
    parts = [days_text(story.wait_days)] if story.wait_days else []
    if story.wait_hours and story.at_time is None:
        parts.append(ngettext("%(n)s hour", "%(n)s hours", story.wait_hours) % {"n": story.wait_hours})
    return " ".join(parts)


def days_text(days: int) -> str:
    return ngettext("%(n)s day", "%(n)s days", days) % {"n": days}


def clock_text(at: time) -> str:
    return f"{at.hour}:{at.minute:02}"


def loop_text(story: Story) -> str:
    if story.at_time is None:
        return _("No time of day yet")
    words = {"time": clock_text(story.at_time)}
    if story.rule == LoopRule.MONTHLY:
        return _("Every month on day %(day)s, %(time)s") % (words | {"day": story.day_of_month})
    if story.rule == LoopRule.MONTH_END:
        return _("On the last day of every month, %(time)s") % words
    if story.rule == LoopRule.WEEKLY:
        days = words | {"days": weekdays_text(story)}
        if story.skip_holidays:
            return _("Every week on %(days)s, %(time)s (not on holidays)") % days
        return _("Every week on %(days)s, %(time)s") % days
    words |= {
        "item": story.date_item.label if story.date_item else "–",
        "span": days_text(abs(story.date_offset)),
    }
    if story.rule == LoopRule.YEARLY:
        if story.date_offset < 0:
            return _("Every year %(span)s before “%(item)s”, %(time)s") % words
        if story.date_offset > 0:
            return _("Every year %(span)s after “%(item)s”, %(time)s") % words
        return _("Every year on “%(item)s”, %(time)s") % words
    if story.date_offset < 0:
        return _("%(span)s before “%(item)s”, %(time)s") % words
    if story.date_offset > 0:
        return _("%(span)s after “%(item)s”, %(time)s") % words
    return _("On “%(item)s”, %(time)s") % words


def weekdays_text(story: Story) -> str:
    names = [
        pgettext("weekday", "Mon"), pgettext("weekday", "Tue"), pgettext("weekday", "Wed"), pgettext("weekday", "Thu"),
        pgettext("weekday", "Fri"), pgettext("weekday", "Sat"), pgettext("weekday", "Sun"),
    ]  # fmt: skip
    return "・".join(names[day] for day in sorted(set(story.weekdays)) if 0 <= day <= 6)
