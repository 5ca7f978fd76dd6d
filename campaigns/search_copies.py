"""Copying a campaign takes along its saved searches: under names of their own, with keys and sessions of the copy."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q

from campaigns.copying import register_copier
from campaigns.form_items import items_of
from campaigns.models import Campaign
from leads.models import SavedSearch
from leads.searches import save_search
from settings.models import User

NAME_MAX = 100


def copy_searches(old: Campaign, new: Campaign, user: User | None, now: datetime) -> None:
    """Those of 全ユーザ使用可 and the copier's own; they belong to the copier. One that asks for a question that is on
    the form no more stays behind: in the copy nobody can answer it."""
    if user is None:
        return  # nobody would own them
    keys, sessions = _keys(old, new), _sessions(old, new)
    searches = SavedSearch.objects.filter(Q(shared=True) | Q(owner=user), campaign_id=old.pk)
    for search in searches.order_by("pk"):
        condition = rewritten(search.condition, keys, sessions, f"campaign.{old.pk}.session")
        try:
            with transaction.atomic():
                save_search(
                    _free_name(search.name, new),
                    condition,
                    shared=search.shared,
                    user=user,
                    campaign_id=new.pk,
                )
        except ValidationError:
            continue


def copy_of(search: SavedSearch, new: Campaign) -> SavedSearch | None:
    """What a search of the copied campaign became in the copy; None when it stayed behind."""
    return SavedSearch.objects.filter(campaign_id=new.pk, name=_copied_name(search.name, new, 1)).first()


def _copied_name(name: str, new: Campaign, number: int) -> str:
    suffix = f" #{new.pk}" if number == 1 else f" #{new.pk}-{number}"
    return name[: NAME_MAX - len(suffix)] + suffix


def _keys(old: Campaign, new: Campaign) -> dict[str, str]:
    keys = {
        f"campaign.{old.pk}.{name}": f"campaign.{new.pk}.{name}"
        for name in ("state", "attended", "applied_at", "way", "session")
    }
    for before, after in zip(items_of(old), items_of(new), strict=True):
        keys[f"campaign.{old.pk}.question.{before.pk}"] = f"campaign.{new.pk}.question.{after.pk}"
    return keys


def _sessions(old: Campaign, new: Campaign) -> dict[str, str]:
    pairs = zip(old.sessions.all(), new.sessions.all(), strict=True)
    return {str(before.pk): str(after.pk) for before, after in pairs}


def rewritten(
    condition: Mapping[str, Any], keys: Mapping[str, str], sessions: Mapping[str, str], session_key: str
) -> dict[str, Any]:
    """A copy of the condition with the keys, and the ids of sessions, of the new campaign."""
    blocks = []
    for block in condition.get("blocks", []):
        values = block.get("values", [])
        if block.get("item") == session_key:
            values = [sessions.get(str(value), str(value)) for value in values]
        blocks.append({**block, "item": keys.get(block.get("item"), block.get("item")), "values": values})
    return {**condition, "blocks": blocks}


def _free_name(name: str, new: Campaign) -> str:
    """Names are unique in the whole product."""
    for number in range(1, 100):
        wanted = _copied_name(name, new, number)
        if not SavedSearch.objects.filter(name=wanted).exists():
            return wanted
    return name[:NAME_MAX]


def register() -> None:
    register_copier(copy_searches)
