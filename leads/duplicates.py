"""重複チェック: leads that may be one person, for the merge (APP-5)."""

from dataclasses import dataclass

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Count, Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from leads.merge import MOST
from leads.models import Lead, LeadQuerySet


@dataclass(frozen=True)
class Kind:
    label: str | Promise
    fields: tuple[str, ...]


# The address is compared as EXC-4 says; the others exactly as they stand.
KINDS = {
    "email": Kind(_("Same e-mail address"), ("email_norm",)),
    "name_company": Kind(_("Same name and company"), ("last_name", "first_name", "company")),
    "name_phone": Kind(_("Same name and phone"), ("last_name", "first_name", "phone")),
    "kana": Kind(_("Same kana"), ("last_name_kana", "first_name_kana")),
}


def find_duplicates(leads: LeadQuerySet, by: str, *, limit: int) -> list[list[Lead]]:
    """Groups of two or more, those with the newest lead first; of a big group the ten newest. Two queries."""
    fields = KINDS[by].fields
    empty = Q()
    for name in fields:
        empty |= Q(**{name: ""})
    groups = (
        leads.exclude(empty)
        .order_by()
        .values(*fields)
        .annotate(count=Count("pk"), ids=ArrayAgg("pk", order_by="-pk"))
        .filter(count__gt=1)
    )
    found = sorted((row["ids"] for row in groups.order_by("-count")[: limit * 20]), key=lambda ids: -ids[0])
    chosen = [ids[:MOST] for ids in found[:limit]]
    by_id = Lead.objects.in_bulk([pk for ids in chosen for pk in ids])
    return [[by_id[pk] for pk in sorted(ids)] for ids in chosen]
