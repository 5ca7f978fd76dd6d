"""Who writes readers holds their magazine first (docs/architecture.md: magazine, stories, leads, readers).

Shared by those who write one reader, alone for those who write many (import, bulk deletion): so a list that is checked
against the blacklist stays checked until it is written, however many leave at that moment.
"""

from collections.abc import Iterable

from leads.models import Lead
from mail.models import Magazine

_HOLD = "SELECT * FROM mail_magazine WHERE id = %s FOR SHARE"


def hold(magazine_id: int, *, alone: bool = False) -> Magazine:
    """Until the transaction ends. The magazine as it is now; Magazine.DoesNotExist."""
    if alone:
        return Magazine.objects.select_for_update(no_key=True).get(pk=magazine_id)
    for magazine in Magazine.objects.raw(_HOLD, [magazine_id]):
        return magazine
    raise Magazine.DoesNotExist


def lock_leads(lead_ids: Iterable[int]) -> list[Lead]:
    """By id, until the transaction ends; deleted ones too."""
    rows = Lead.objects.select_for_update(no_key=True).filter(pk__in=list(lead_ids))
    return list(rows.order_by("pk"))
