"""Which days a loop story starts on, and whose day a start means (MAG-8). Pure: dates of Asia/Tokyo, nothing is read or written.

next_occurrence(story, now)               # the first start after now
days_of_readers(story, day).meant(birthday)   # whether a start on this day is this reader's
"""

import calendar
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import jpholiday

from mail.models.story import LoopRule, Story, StoryKind

TOKYO = ZoneInfo("Asia/Tokyo")
BY_DATE = frozenset(
    {LoopRule.YEARLY, LoopRule.ON_DATE}
)  # these start every day, for the readers whose day it is
# Every day of two years and more: no month, week or row of holidays is longer. A rule without any day ends there.
_LOOK_AHEAD = 800


@dataclass(frozen=True)
class ReaderDays:
    """Whose day it is. ON_DATE: `exact`, the one date. YEARLY: `month_days`, the months and days, of whatever year."""

    exact: date | None = None
    month_days: frozenset[tuple[int, int]] = frozenset()

    def meant(self, day: date) -> bool:
        """Whether a reader with this date is meant."""
        return day == self.exact or (day.month, day.day) in self.month_days

    def as_text(self) -> tuple[str, ...]:
        """For SQL, sorted: how ISO 8601 writes the date ("2026-11-22"), or its ends ("02-28", "02-29")."""
        if self.exact is not None:
            return (self.exact.isoformat(),)
        return tuple(f"{month:02}-{day:02}" for month, day in sorted(self.month_days))


def next_occurrence(story: Story, after: datetime) -> datetime | None:
    """The first start later than `after`, in Asia/Tokyo; None when there is none: no loop, no time of day, no weekday chosen."""
    if story.kind != StoryKind.LOOP or story.at_time is None:
        return None
    local = after.astimezone(TOKYO)
    for ahead in range(_LOOK_AHEAD):
        try:
            day = local.date() + timedelta(days=ahead)
        except OverflowError:  # after 31 December 9999
            return None
        at = moment(day, story.at_time)
        if at > after and starts_on(story, day):
            return at
    return None


def moment(day: date, at_time: time) -> datetime:
    """This time of this day in Asia/Tokyo. Seconds are not part of it."""
    return datetime.combine(day, at_time.replace(second=0, microsecond=0), TOKYO)


def ready_at(base: datetime, at_time: time | None, *, days: int = 0, hours: int = 0) -> datetime:
    """When a wait from `base` is over (MAG-8; turns.sql says the same for many). With a time of day, calendar days of
    Asia/Tokyo count, and no hours: 3 days at 10:00 from the 1st, 15:00, is the 4th, 10:00. Never before `base`: 0 days at a time
    that is past is the next day."""
    if at_time is None:
        return base + timedelta(days=days, hours=hours)
    planned = moment(base.astimezone(TOKYO).date() + timedelta(days=days), at_time)
    return planned if planned >= base else planned + timedelta(days=1)


def starts_on(story: Story, day: date) -> bool:
    """Whether the loop story starts on this day. One by a date of the reader starts every day."""
    if story.rule == LoopRule.MONTHLY:
        wanted = story.day_of_month
        return wanted is not None and day.day == min(wanted, _length_of_month(day))
    if story.rule == LoopRule.MONTH_END:
        return day.day == _length_of_month(day)
    if story.rule == LoopRule.WEEKLY:
        return day.weekday() in story.weekdays and not (story.skip_holidays and jpholiday.is_holiday(day))
    return story.rule in BY_DATE


def _length_of_month(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def days_of_readers(story: Story, day: date) -> ReaderDays:
    """Which dates of readers a start on `day` means: those whose day comes `date_offset` days away from it (-3: the mail goes
    three days before). Who was born on 29 February is meant on the 28th in a common year. Nobody's for loops by the calendar."""
    theirs = day - timedelta(days=story.date_offset)
    if story.rule == LoopRule.ON_DATE:
        return ReaderDays(exact=theirs)
    if story.rule != LoopRule.YEARLY:
        return ReaderDays()
    days = {(theirs.month, theirs.day)}
    if days == {(2, 28)} and not calendar.isleap(theirs.year):
        days.add((2, 29))
    return ReaderDays(month_days=frozenset(days))


def next_day_of(story: Story, theirs: date, after: datetime) -> datetime | None:
    """The first start later than `after` that means a reader with this date; None when it is over or never comes."""
    if story.rule not in BY_DATE or story.at_time is None:
        return None
    if story.rule == LoopRule.ON_DATE:
        candidates = [theirs]
    else:
        year = (after.astimezone(TOKYO).date() - timedelta(days=story.date_offset)).year
        candidates = [_anniversary(theirs, year + ahead) for ahead in (-1, 0, 1, 2)]
    for candidate in candidates:
        at = moment(candidate + timedelta(days=story.date_offset), story.at_time)
        if at > after:
            return at
    return None


def _anniversary(theirs: date, year: int) -> date:
    if (theirs.month, theirs.day) == (2, 29) and not calendar.isleap(year):
        return date(year, 2, 28)
    return theirs.replace(year=year)
