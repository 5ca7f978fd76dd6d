"""「読者」: a page of a magazine's readers, fast at a million, and their numbers by state.

As the list of leads (leads/lead_list.py): what was narrowed down is counted up to COUNT_LIMIT, paging ends at DEEPEST. By
state alone the index `reader_list` counts exactly. Readers whose lead was deleted stand in no list (they are in no scope).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from leads.lead_list import COUNT_LIMIT, DEEPEST, CountedPaginator, LeadPage, count_ids, simple_search
from leads.models import Lead
from mail.models import FailureGroup, Magazine, Reader, ReaderItem, ReaderState

SORTS = {
    "registered_at": ("registered_at", "id"),
    "kana": ("lead__last_name_kana", "lead__first_name_kana", "id"),
    "company": ("lead__company", "id"),
    "email": ("lead__email_norm", "id"),
}
DEFAULT_SORT = "-registered_at"
GROUPS = tuple(FailureGroup)

ByState = dict[str, int]


def readers_of(magazine: Magazine) -> QuerySet[Reader]:
    """Those that lists show: with a lead that was not deleted."""
    return Reader.objects.filter(magazine=magazine, lead__deleted_at=None)


def counts_by_state(magazine_ids: Iterable[int]) -> dict[int, ByState]:
    """{magazine: {state: readers}} with 0 for states nobody is in. Two statements, however many magazines."""
    counts: dict[int, ByState] = {number: dict.fromkeys(ReaderState.values, 0) for number in magazine_ids}
    rows = Reader.objects.filter(magazine__in=counts).order_by().values_list("magazine_id", "state")
    for magazine_id, state, number in rows.annotate(n=Count("*")):
        counts[magazine_id][state] = number
    # Counted apart, so that the count of all needs the index alone: deleted leads are few.
    gone = rows.filter(lead__in=Lead.objects.filter(deleted_at__isnull=False).values("pk"))
    for magazine_id, state, number in gone.annotate(n=Count("*")):
        counts[magazine_id][state] -= number
    return counts


def text_q(words: str) -> Q:
    """Name, kana, address or company, as 簡易検索 of the leads finds them."""
    return Q(lead__in=simple_search(Lead.objects.all(), words).values("pk"))


def failures_q(group: str, at_least: int) -> Q:
    """MAG-3: cumulative failures of one cause, or of any ("")."""
    found = Q()
    for one in [group] if group else GROUPS:
        found |= Q(**{f"failures_{one}__gte": at_least})
    return found


def find_page(
    readers: QuerySet[Reader],
    *,
    sort: str,
    page: str | int,
    size: int,
    known: int | None = None,
    exact: bool = False,
) -> LeadPage:
    """The readers of one page with their leads. `known`: how many there are, if somebody has counted them already;
    otherwise up to COUNT_LIMIT are counted, unless `exact`. `sort`: a key of SORTS, `-` in front for descending."""
    if sort.removeprefix("-") not in SORTS:
        sort = DEFAULT_SORT
    chosen = readers
    more = False
    if known is None:
        limit = None if exact else COUNT_LIMIT + 1
        total, ids = count_ids(readers.order_by().values("pk")[:limit])
        more = not exact and total > COUNT_LIMIT
        total = COUNT_LIMIT if more else total
        if total < DEEPEST:  # few: sort those; many: an index in the wanted order meets enough of them soon
            chosen = Reader.objects.filter(pk__in=ids)
    else:
        total = known
    page_obj = CountedPaginator(min(total, DEEPEST), size).get_page(page)
    order = [("-" if sort.startswith("-") else "") + name for name in SORTS[sort.removeprefix("-")]]
    start = (page_obj.number - 1) * size
    rows = chosen.select_related("lead").order_by(*order)[start : min(start + size, DEEPEST)]
    page_obj.object_list = list(rows)
    return LeadPage(page_obj, total, more, sort)


def would_stop(magazine: Magazine, thresholds: dict[str, int | None]) -> ByState:
    """MAG-5: by cause, how many deliverable readers the next start would stop under these thresholds. One statement; who
    is over several counts at each."""
    counted = {
        group: Count("pk", filter=Q(**{f"failures_{group}__gte": limit}))
        for group, limit in thresholds.items()
        if limit
    }
    if not counted:
        return {}
    found = readers_of(magazine).filter(state=ReaderState.DELIVERABLE).aggregate(**counted)
    return {group: number for group, number in found.items() if number}


def over_thresholds_q(magazine: Magazine) -> Q:
    """Deliverable readers whom the next start stops (MAG-5, MAG-6)."""
    over = Q(pk__in=[])
    for group in GROUPS:
        if limit := magazine.threshold(group):
            over |= Q(**{f"failures_{group}__gte": limit})
    return Q(state=ReaderState.DELIVERABLE) & over


def export_header(items: Sequence[ReaderItem]) -> list[str]:
    return [
        _("E-mail address"), _("Last name"), _("First name"), _("Last name (kana)"), _("First name (kana)"), _("Company"),
        _("State"), _("In this state since"), _("Registered at"), pgettext("reader", "Way"),
        *(_("Failures: %(cause)s") % {"cause": group.label} for group in GROUPS), *(item.label for item in items), _("Lead ID"),
    ]  # fmt: skip


def export_rows(readers: QuerySet[Reader], items: Sequence[ReaderItem]) -> Iterator[list[Any]]:
    """By a cursor on the server: a million readers need no memory."""
    for reader in readers.select_related("lead").order_by("pk").iterator(chunk_size=2000):
        lead = reader.lead
        yield [
            lead.email, lead.last_name, lead.first_name, lead.last_name_kana, lead.first_name_kana, lead.company,
            reader.get_state_display(), reader.state_at, reader.registered_at, reader.way_words,
            *(reader.failures(group) for group in GROUPS), *(reader.values.get(item.key) for item in items), lead.pk,
        ]  # fmt: skip
