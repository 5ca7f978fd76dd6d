"""TRK-3: when the recipients opened and clicked for the first time: the first two days by the hour, all by the day."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils import timezone

from tracking.report_sql import all_rows

HOURS = 48
DAYS = 62  # more of them are shown by the month

# The first open and the first click of each 正常 mail, so that the sums are the numbers of the report.
_TIMES = """
WITH firsts AS (
    SELECT delivery_id, min(at) FILTER (WHERE kind = 'open') AS opened, min(at) FILTER (WHERE kind = 'click') AS clicked
    FROM tracking_mailhit WHERE {column} = %(id)s AND verdict = 'person' GROUP BY delivery_id
)
SELECT one.kind, CASE WHEN one.first < %(hours_until)s THEN date_trunc('hour', one.first, %(zone)s)
                      ELSE date_trunc('day', one.first, %(zone)s) END AS since, count(*)
FROM firsts JOIN mail_delivery d ON d.id = firsts.delivery_id AND d.{column} = %(id)s AND d.state = 'sent'
CROSS JOIN LATERAL (VALUES ('open', opened), ('click', clicked)) AS one(kind, first)
WHERE one.first IS NOT NULL GROUP BY 1, 2
"""


@dataclass(frozen=True)
class Bucket:
    since: datetime  # in Japan's time
    until: datetime
    opened: int
    clicked: int

    @property
    def span(self) -> str:
        """For an address: the mails behind it (tracking/views/report_mails.py)."""
        return f"since={self.since:%Y-%m-%dT%H}&until={self.until:%Y-%m-%dT%H}"


@dataclass(frozen=True)
class Times:
    hours: list[Bucket]  # none without a start
    days: list[Bucket]
    months: bool  # whether `days` are months


def times_of(column: str, scope_id: int, *, start: datetime | None, now: datetime) -> Times:
    """One statement. `column`: as in tracking.reports.Scope."""
    first_hour = timezone.localtime(start).replace(minute=0, second=0, microsecond=0) if start else None
    hours_until = (
        first_hour + timedelta(hours=HOURS) if first_hour else datetime(1970, 1, 1, tzinfo=now.tzinfo)
    )
    opened: dict[datetime, int] = {}
    clicked: dict[datetime, int] = {}
    values = {"id": scope_id, "hours_until": hours_until, "zone": str(timezone.get_default_timezone())}
    for kind, since, count in all_rows(_TIMES.format(column=column), values):
        (opened if kind == "open" else clicked)[timezone.localtime(since)] = count
    everything = sorted({*opened, *clicked})
    return Times(
        _hours(first_hour, opened, clicked, until=min(timezone.localtime(now), hours_until))
        if first_hour
        else [],
        *_days(everything, opened, clicked, first=first_hour),
    )


def _hours(
    first: datetime, opened: dict[datetime, int], clicked: dict[datetime, int], *, until: datetime
) -> list[Bucket]:
    found, since = [], first
    while since < until:
        after = since + timedelta(hours=1)
        found.append(Bucket(since, after, opened.get(since, 0), clicked.get(since, 0)))
        since = after
    return found


def _days(
    moments: list[datetime],
    opened: dict[datetime, int],
    clicked: dict[datetime, int],
    *,
    first: datetime | None,
) -> tuple[list[Bucket], bool]:
    """From the start (or the first hit) to the last hit, empty days too."""
    if not moments:
        return [], False
    day, last = (min(first, moments[0]) if first else moments[0]).date(), moments[-1].date()
    months = (last - day).days >= DAYS
    if months:
        day = day.replace(day=1)
    sums: dict[date, list[int]] = {}
    for moment in moments:
        one = sums.setdefault(moment.date().replace(day=1) if months else moment.date(), [0, 0])
        one[0] += opened.get(moment, 0)
        one[1] += clicked.get(moment, 0)
    found = []
    while day <= last:
        after = (
            (day.replace(day=28) + timedelta(days=4)).replace(day=1) if months else day + timedelta(days=1)
        )
        found.append(Bucket(_midnight(day), _midnight(after), *sums.get(day, (0, 0))))
        day = after
    return found, months


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_default_timezone())
