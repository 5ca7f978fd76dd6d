"""管理キャンペーン一覧 and the numbers of campaigns, which are links into their lists of applications."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from campaigns.models import Application, ApplicationState, Campaign, CampaignState, CancelledBy
from campaigns.status import Status, status_of

SORTS = {"name": ("name",), "starts_at": ("starts_at",)}


@dataclass(frozen=True)
class Numbers:
    """Applications of one campaign. `taken` is what has a seat."""

    capacity: int | None
    taken: int = 0
    waiting: int = 0
    provisional: int = 0
    cancelled: int = 0
    attended: int = 0


def numbers_of(campaigns: Iterable[Campaign]) -> dict[int, Numbers]:
    """By id, in one query. The counts stand in the order of the fields of Numbers."""
    capacities = {campaign.pk: campaign.capacity for campaign in campaigns}
    rows = (
        Application.objects.filter(campaign__in=capacities)
        .order_by()
        .values_list("campaign_id")
        .annotate(
            taken=Count("id", filter=Q(state=ApplicationState.APPLIED)),
            waiting=Count("id", filter=Q(state=ApplicationState.WAITING)),
            provisional=Count("id", filter=Q(state=ApplicationState.PROVISIONAL)),
            cancelled=Count("id", filter=Q(state=ApplicationState.CANCELLED)),
            attended=Count("id", filter=Q(attended_at__isnull=False)),
        )
    )
    counted = {pk: numbers for pk, *numbers in rows}
    return {pk: Numbers(capacity, *counted.get(pk, ())) for pk, capacity in capacities.items()}


@dataclass(frozen=True)
class Line:
    campaign: Campaign
    status: Status
    numbers: Numbers


def lines(campaigns: Sequence[Campaign], *, now: datetime) -> list[Line]:
    """What lists show of each campaign; one query."""
    numbers = numbers_of(campaigns)
    return [
        Line(campaign, status_of(campaign, now=now, seats=numbers[campaign.pk]), numbers[campaign.pk])
        for campaign in campaigns
    ]


def words_in_campaign(campaigns: QuerySet[Campaign], text: str) -> QuerySet[Campaign]:
    """Every word must stand in the name, address, venue or organiser; a number is also an ID."""
    for word in text.replace("\0", "").split()[:10]:
        found = Q()
        for field in ("name", "name_en", "slug", "venue_name", "organiser"):
            found |= Q(**{f"{field}__icontains": word})
        number = word.lstrip("#")
        if number.isascii() and number.isdigit() and len(number) < 18:
            found |= Q(pk=int(number))
        campaigns = campaigns.filter(found)
    return campaigns


def in_order(campaigns: QuerySet[Campaign], sort: str) -> QuerySet[Campaign]:
    """By `sort` (a key of SORTS, with "-" downwards), else the newest date first; those without one stand on top."""
    columns = SORTS.get(sort.removeprefix("-"))
    if columns is None:
        return campaigns.order_by(F("starts_at").desc(nulls_first=True), "-pk")
    turned = ["-" + column for column in columns] if sort.startswith("-") else list(columns)
    return campaigns.order_by(*turned, "-pk")


def current_campaigns(campaigns: QuerySet[Campaign], *, now: datetime, limit: int = 5) -> list[Campaign]:
    """Those that run now or come next, the nearest first, and those in preparation without a date."""
    today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    coming = Q(ends_at__gte=now) | Q(ends_at=None, starts_at__gte=today) | Q(starts_at=None)
    rows = campaigns.filter(coming).exclude(state=CampaignState.ARCHIVED)
    return list(rows.order_by(F("starts_at").asc(nulls_last=True), "pk")[:limit])


@dataclass(frozen=True)
class Day:
    day: date
    count: int


def applications_by_day(campaign: Campaign, *, now: datetime, days: int = 14) -> list[Day]:
    """New applications of each of the last days (in Japan), today last; merged ones are not counted twice."""
    today = timezone.localtime(now).date()
    first = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(
        days=days - 1
    )
    rows = (
        campaign.applications.filter(created_at__gte=first)
        .exclude(cancelled_by=CancelledBy.MERGED)
        .order_by()
        .annotate(day=TruncDate("created_at", tzinfo=timezone.get_current_timezone()))
        .values_list("day")
        .annotate(Count("pk"))
    )
    counted = dict(rows)
    wanted = [today - timedelta(days=back) for back in range(days - 1, -1, -1)]
    return [Day(day, counted.get(day, 0)) for day in wanted]
