"""Days as people read them, in both languages, whatever the process's locale."""

from datetime import date, datetime, time, timedelta

from django.utils import timezone

_WEEKDAYS = {"ja": "月火水木金土日", "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def day_in(day: date, language: str, *, year: bool = True) -> str:
    """2026年11月24日(火) · Tue 24 Nov 2026; without the year 11月24日(火) · Tue 24 Nov. A datetime's day is Japan's."""
    if isinstance(day, datetime):
        day = timezone.localtime(day)
    if language == "en":
        words = f"{_WEEKDAYS['en'][day.weekday()]} {day.day} {_MONTHS[day.month - 1]}"
        return f"{words} {day.year}" if year else words
    words = f"{day.month}月{day.day}日({_WEEKDAYS['ja'][day.weekday()]})"
    return f"{day.year}年{words}" if year else words


def start_of(day: date) -> datetime:
    """Midnight in Japan."""
    return timezone.make_aware(datetime.combine(day, time()))


def end_of(day: date) -> datetime:
    """The midnight after it: what is before it is of that day or earlier. Of the last day there is, its last moment."""
    if day == date.max:
        return timezone.make_aware(datetime.combine(day, time.max))
    return start_of(day + timedelta(days=1))
