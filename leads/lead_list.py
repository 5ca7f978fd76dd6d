"""A page of a list of leads, fast at a million: one scan finds how many match, and who if they are few.

Counting everything exactly would read the whole table on every page, so it stops at COUNT_LIMIT (the screen then says
「10,000件以上」 and counts on demand), and paging stops at DEEPEST rows: nobody reads on there, one narrows down.
"""

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Q, QuerySet

from leads.address import normalise_email
from leads.list_columns import list_columns, with_columns
from leads.models import Lead, LeadQuerySet
from leads.search_text import fold, search_terms

COUNT_LIMIT = 10_000
DEEPEST = 10_000
PAGE_SIZES = (50, 100, 200)

# Each has an index that gives its order (models.Lead.Meta); `id` makes it definite.
SORTS = {
    "id": ("id",),
    "kana": ("last_name_kana", "first_name_kana", "id"),
    "company": ("company", "id"),
    "email": ("email_norm", "id"),
    "created_at": ("created_at", "id"),
}
DEFAULT_SORT = "-id"


class CountedPaginator(Paginator):  # type: ignore[type-arg]
    """A paginator that is told its count."""

    def __init__(self, count: int, size: int) -> None:
        super().__init__([], size)
        self.count = count  # shadows the cached property


@dataclass(frozen=True)
class LeadPage:
    page_obj: Any  # django.core.paginator.Page of the leads shown
    total: int
    more: bool  # there are more than `total`
    sort: str

    @property
    def cut(self) -> bool:
        """Some of them cannot be paged to."""
        return self.more or self.total > DEEPEST


def simple_search(leads: QuerySet[Lead], typed: str) -> QuerySet[Lead]:
    """簡易検索: every word must occur in name, kana, address or company; a number is also an id, and what looks like
    an address is first looked for as one (EXC-4)."""
    terms = search_terms(typed)
    if not terms:
        return leads
    found = Q()
    for term in terms:
        found &= Q(search_text__contains=term)
    alone = fold(typed).strip().removeprefix("#")
    if alone.isdecimal() and alone.isascii() and len(alone) < 19:
        found |= Q(pk=int(alone))
    if "@" in alone:
        found |= Q(email_norm=normalise_email(typed.replace("\0", "")))
    return leads.filter(found)


def find_page(
    leads: LeadQuerySet,
    *,
    sort: str,
    page: str | int,
    size: int,
    exact: bool = False,
    campaign_id: int | None = None,
) -> LeadPage:
    """The leads of one page in two statements. `sort` is a key of SORTS, `-` in front for descending (anything else:
    newest first); `page` is as typed, out of range goes to the nearest; `exact` counts to the end. Inside a campaign the
    leads carry its columns (list_columns.py) and can be sorted by them."""
    sorts = SORTS | {column.key: (column.alias, "id") for column in list_columns(campaign_id)}
    if sort.removeprefix("-") not in sorts:
        sort = DEFAULT_SORT
    limit = None if exact else COUNT_LIMIT + 1
    total, ids = count_ids(leads.order_by().values("pk")[:limit])
    more = not exact and total > COUNT_LIMIT
    total = COUNT_LIMIT if more else total
    page_obj = CountedPaginator(min(total, DEEPEST), size).get_page(page)
    order = [("-" if sort.startswith("-") else "") + name for name in sorts[sort.removeprefix("-")]]
    # Few were found: sort those. Many were found: an index in the wanted order meets enough of them soon.
    chosen = Lead.objects.filter(pk__in=ids) if total < DEEPEST else leads
    start = (page_obj.number - 1) * size
    chosen = with_columns(chosen, campaign_id)
    page_obj.object_list = list(chosen.order_by(*order)[start : min(start + size, DEEPEST)])
    return LeadPage(page_obj, total, more, sort)


def count_ids(ids: QuerySet[Any, Any]) -> tuple[int, list[int]]:
    """How many there are, and the ids of the first DEEPEST."""
    try:
        inner, parameters = ids.query.sql_with_params()
    except EmptyResultSet:  # .none(): Django knows without asking
        return 0, []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), (array_agg(found.id))[1:{DEEPEST}] FROM ({inner}) AS found(id)", parameters
        )
        total, found = cursor.fetchone()
    return int(total), found or []
