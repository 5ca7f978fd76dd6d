"""MAG-8: the days of loop stories, exactly. Nothing here asks the database."""

from datetime import UTC, date, datetime, time, timedelta

import jpholiday
import pytest
import time_machine
from django.utils import timezone

from mail.models import Story
from mail.stories.loops import TOKYO, days_of_readers, next_day_of, next_occurrence, starts_on

YEARS = [2027, 2028]  # a common year and a leap year


def loop(rule, **values):
    return Story(kind="loop", rule=rule, at_time=values.pop("at_time", time(10)), **values)


def at(*when):
    return datetime(*when, tzinfo=TOKYO)


def days_of(year):
    return [date(year, 1, 1) + timedelta(days=number) for number in range(366 if year % 4 == 0 else 365)]


def occurrences(story, after, number):
    found = []
    for _ in range(number):
        after = next_occurrence(story, after)
        found.append(after)
    return found


# ---- by the calendar


def test_every_15th():
    story = loop("monthly", day_of_month=15)
    found = occurrences(story, at(2026, 11, 15, 9, 59), 3)
    assert found == [at(2026, 11, 15, 10), at(2026, 12, 15, 10), at(2027, 1, 15, 10)]
    assert {one.tzinfo for one in found} == {TOKYO}


def test_the_start_itself_is_not_after_itself():
    story = loop("monthly", day_of_month=15)
    assert next_occurrence(story, at(2026, 11, 15, 10)) == at(2026, 12, 15, 10)
    assert next_occurrence(story, at(2026, 11, 15, 10) - timedelta(microseconds=1)) == at(2026, 11, 15, 10)


def test_the_day_is_that_of_tokyo():
    story = loop("monthly", day_of_month=1, at_time=time(0, 30))
    assert next_occurrence(story, datetime(2026, 11, 30, 15, 29, tzinfo=UTC)) == at(2026, 12, 1, 0, 30)
    assert next_occurrence(story, datetime(2026, 11, 30, 15, 30, tzinfo=UTC)) == at(2027, 1, 1, 0, 30)


@pytest.mark.parametrize("year", YEARS)
@pytest.mark.parametrize("day", [1, 28, 29, 30, 31])
def test_a_month_without_that_day_has_its_last_one(year, day):
    """Twelve starts a year, whatever the day."""
    story = loop("monthly", day_of_month=day)
    found = [one for one in days_of(year) if starts_on(story, one)]
    assert [one.month for one in found] == list(range(1, 13))
    for one in found:
        assert one.day == day or (one.day < day and (one + timedelta(days=1)).day == 1)


@pytest.mark.parametrize("year", YEARS)
def test_month_end_is_the_last_day_of_each_month(year):
    found = [one for one in days_of(year) if starts_on(loop("month_end"), one)]
    assert found == [one for one in days_of(year) if (one + timedelta(days=1)).day == 1]
    assert len(found) == 12
    assert date(year, 2, 29 if year == 2028 else 28) in found


@pytest.mark.parametrize("year", YEARS)
def test_weekdays_without_holidays(year):
    """0 is Monday. Substitute holidays (振替休日) count too."""
    story = loop("weekly", weekdays=[0, 4], skip_holidays=True)
    for day in days_of(year):
        assert starts_on(story, day) == (day.weekday() in (0, 4) and not jpholiday.is_holiday(day))


def test_known_holidays_are_left_out():
    story = loop("weekly", weekdays=[0, 1, 2, 3, 4], skip_holidays=True)
    # Tuesday 3 November 2026 文化の日; 5 May 2027 Wednesday; Monday 22 March 2027 is the substitute of 21 March
    assert next_occurrence(story, at(2026, 11, 2, 12)) == at(2026, 11, 4, 10)
    assert next_occurrence(story, at(2027, 3, 19, 12)) == at(2027, 3, 23, 10)
    assert next_occurrence(loop("weekly", weekdays=[1]), at(2026, 11, 2, 12)) == at(2026, 11, 3, 10)


@pytest.mark.parametrize(
    "story",
    [
        loop("weekly", weekdays=[]),
        loop("monthly", day_of_month=None),
        loop("monthly", day_of_month=15, at_time=None),
        loop("", at_time=time(10)),
        Story(kind="step", rule="month_end", at_time=time(10)),
    ],
)
def test_without_a_day_there_is_no_next(story):
    assert next_occurrence(story, at(2026, 11, 22)) is None


def test_the_end_of_time_is_no_mistake():
    assert next_occurrence(loop("month_end"), at(9999, 12, 31, 12)) is None


# ---- by a date of the reader


@pytest.mark.parametrize("rule", ["yearly", "on_date"])
def test_loops_by_a_date_start_every_day(rule):
    story = loop(rule)
    assert occurrences(story, at(2028, 2, 28, 10), 2) == [at(2028, 2, 29, 10), at(2028, 3, 1, 10)]
    assert all(starts_on(story, day) for day in days_of(2028))


@pytest.mark.parametrize("offset", [0, -3, 1, 45, -366])
@pytest.mark.parametrize("year", YEARS)
def test_each_birthday_has_exactly_one_start_a_year(year, offset):
    """Every month-day there is, 29 February too, is meant by exactly one of the anniversaries of a year."""
    story = loop("yearly", date_offset=offset)
    times: dict[tuple[int, int], int] = {}
    for anniversary in days_of(year):
        for month_day in days_of_readers(story, anniversary + timedelta(days=offset)).month_days:
            times[month_day] = times.get(month_day, 0) + 1
    assert times == {(day.month, day.day): 1 for day in days_of(2028)}


def test_29_february_is_meant_on_the_28th_of_a_common_year_only():
    story = loop("yearly")
    born = date(1996, 2, 29)
    assert days_of_readers(story, date(2027, 2, 28)).meant(born)
    assert not days_of_readers(story, date(2027, 3, 1)).meant(born)
    assert not days_of_readers(story, date(2028, 2, 28)).meant(born)
    assert days_of_readers(story, date(2028, 2, 29)).meant(born)
    assert days_of_readers(story, date(2100, 2, 28)).meant(born)  # 2100 is no leap year
    assert days_of_readers(story, date(2027, 2, 28)).as_text() == ("02-28", "02-29")


def test_an_offset_goes_over_the_end_of_the_year():
    assert days_of_readers(loop("yearly", date_offset=-3), date(2026, 12, 30)).as_text() == ("01-02",)
    assert days_of_readers(loop("yearly", date_offset=3), date(2027, 1, 2)).as_text() == ("12-30",)
    assert days_of_readers(loop("on_date", date_offset=-3), date(2026, 12, 30)).exact == date(2027, 1, 2)
    # three days before 29 February, in a common year and in a leap year
    assert days_of_readers(loop("yearly", date_offset=-3), date(2027, 2, 25)).as_text() == ("02-28", "02-29")
    assert days_of_readers(loop("yearly", date_offset=-3), date(2028, 2, 26)).as_text() == ("02-29",)


def test_on_date_means_that_very_day():
    days = days_of_readers(loop("on_date"), date(2026, 11, 22))
    assert days.meant(date(2026, 11, 22)) and not days.meant(date(2025, 11, 22))
    assert days.as_text() == ("2026-11-22",)


def test_the_calendar_is_nobodys_day():
    assert days_of_readers(loop("month_end"), date(2026, 11, 30)).as_text() == ()


@pytest.mark.parametrize("offset", [0, -3, 45])
def test_the_next_start_of_a_reader_is_one_that_means_them(offset):
    """`next_day_of` and `days_of_readers` say the same, for every birthday of a leap year."""
    story = loop("yearly", date_offset=offset)
    for year in YEARS:
        for birthday in days_of(1996):
            found = next_day_of(story, birthday, at(year, 2, 27, 10))
            assert at(year, 2, 27, 10) < found <= at(year + 1, 2, 28, 10)
            assert days_of_readers(story, found.date()).meant(birthday)


def test_the_one_start_of_a_date_is_over_or_comes():
    story = loop("on_date", date_offset=-1)
    assert next_day_of(story, date(2026, 12, 1), at(2026, 11, 30, 9)) == at(2026, 11, 30, 10)
    assert next_day_of(story, date(2026, 12, 1), at(2026, 11, 30, 10)) is None
    assert next_day_of(loop("month_end"), date(2026, 12, 1), at(2026, 11, 30)) is None


def test_a_clock_that_jumps_gives_the_same_days():
    """Whatever the clock said before: what is next follows from now alone."""
    story = loop("month_end")
    with time_machine.travel(0, tick=False) as clock:
        for jump, expected in [
            (at(2028, 2, 28, 12), at(2028, 2, 29, 10)),
            (at(2031, 1, 31, 9), at(2031, 1, 31, 10)),  # three years forwards
            (at(2028, 2, 28, 12), at(2028, 2, 29, 10)),  # and back
            (at(2028, 2, 29, 10), at(2028, 3, 31, 10)),
        ]:
            clock.move_to(jump)
            assert next_occurrence(story, timezone.now()) == expected
