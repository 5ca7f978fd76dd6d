"""検索条件: saved searches, who sees them, and who may change them. Writes SavedSearch."""

from collections.abc import Callable, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from leads.models import SavedSearch
from leads.search import validate_condition
from settings import audit
from settings.models import User

# Sentences about who uses these searches, by search id; apps above register theirs in AppConfig.ready().
Uses = Callable[[Sequence[int]], dict[int, list[str]]]
_USES: list[Uses] = []


def register_uses(uses: Uses) -> None:
    """`uses` answers for a page of searches in a fixed number of queries."""
    if uses not in _USES:
        _USES.append(uses)


# Why a search may not be deleted: something goes by it as it stands. Apps above register theirs in AppConfig.ready().
Obstacle = Callable[[int], list[str]]
_OBSTACLES: list[Obstacle] = []


def register_obstacle(obstacle: Obstacle) -> None:
    if obstacle not in _OBSTACLES:
        _OBSTACLES.append(obstacle)


def obstacles_to_deleting(search_id: int) -> list[str]:
    return [text for obstacle in _OBSTACLES for text in obstacle(search_id)]


def uses_of(search_ids: Sequence[int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for uses in _USES:
        for search_id, sentences in uses(search_ids).items():
            found.setdefault(search_id, []).extend(sentences)
    return found


def visible_searches(user: User, campaign_id: int | None) -> QuerySet[SavedSearch]:
    """Of one mode (APP-1): one's own and those of 全ユーザ使用可. A private one whose owner is gone is seen by privileged
    administrators."""
    visible = Q(owner=user) | Q(shared=True)
    if user.may_administer:
        visible |= Q(owner=None)
    return SavedSearch.objects.filter(visible, campaign_id=campaign_id)


def usable_search(search_id: int, user: User | None, campaign_id: int | None) -> SavedSearch:
    """The search, if this user may use it in this mode (APP-1); `user` None: a command, which may use every one.
    ValidationError otherwise, the same for one of another mode and one that is not there."""
    searches = SavedSearch.objects.filter(campaign_id=campaign_id)
    if user is not None:
        searches = visible_searches(user, campaign_id)
    search = searches.filter(pk=search_id).first()
    if search is None:
        raise ValidationError(
            _(
                "There is no saved search %(id)s in this mode. A search of all campaigns is used in all campaigns, one of a "
                "campaign in that campaign; save it there."
            ),
            params={"id": search_id},
            code="not_usable",
        )
    return search


def may_change(search: SavedSearch, user: User) -> bool:
    """Its owner; shared and ownerless ones also privileged administrators."""
    if not user.may_edit:
        return False
    return search.owner_id == user.pk or (user.may_administer and (search.shared or search.owner_id is None))


def save_search(
    name: str,
    condition: Any,
    *,
    shared: bool,
    user: User,
    campaign_id: int | None = None,
    search: SavedSearch | None = None,
    ip: str | None = None,
) -> SavedSearch:
    """Makes a search in a mode, or changes the given one of that mode. ValidationError (under `name`, or of the condition) when refused."""
    name = " ".join(name.split())
    if not name:
        raise ValidationError({"name": _("Enter a name for the search.")})
    if len(name) > 100:
        raise ValidationError({"name": _("The name can have at most %(limit)s characters.") % {"limit": 100}})
    if search is not None and search.campaign_id != campaign_id:
        raise ValueError("a search stays in its mode")
    clean = validate_condition(condition, campaign_id=campaign_id)
    before = (
        {"name": search.name, "condition": search.condition} if search else {"name": "", "condition": None}
    )
    saved = search or SavedSearch(owner=user, campaign_id=campaign_id)
    saved.name, saved.condition, saved.shared = name, clean, shared
    try:
        with transaction.atomic():
            saved.save()
            audit.record(
                "search.change" if search else "search.create", user=user, target=saved, ip=ip, campaign_id=campaign_id,
                detail={
                    "shared": shared,
                    "changes": {
                        field: [before[field], after] for field, after in (("name", name), ("condition", clean)) if before[field] != after
                    },
                },
            )  # fmt: skip
    except IntegrityError as error:
        raise ValidationError(
            {
                "name": _(
                    "The name “%(name)s” is taken. Names of searches are unique in the whole system; choose another one."
                )
                % {"name": name}
            }
        ) from error
    return saved


def copy_search(search: SavedSearch, *, user: User, ip: str | None = None) -> SavedSearch:
    """A private copy of the user's own in the same mode, under the first free name 「… のコピー」."""
    for number in range(1, 100):
        suffix = _(" (copy)") if number == 1 else _(" (copy %(number)s)") % {"number": number}
        name = search.name[: 100 - len(suffix)] + suffix
        if not SavedSearch.objects.filter(name=name).exists():
            return save_search(
                name, search.condition, shared=False, user=user, campaign_id=search.campaign_id, ip=ip
            )
    raise ValidationError({"name": _("There are too many copies of this search. Rename or delete some.")})


def delete_search(search: SavedSearch, *, user: User, ip: str | None = None) -> None:
    """Jobs keep their own copy of the condition (TGT-8), so nothing that was reserved changes. ValidationError while something
    goes by the search as it stands (step mails)."""
    with transaction.atomic():
        SavedSearch.objects.select_for_update().filter(pk=search.pk).first()
        if reasons := obstacles_to_deleting(search.pk):
            raise ValidationError(reasons, code="in_use")
        audit.record(
            "search.delete",
            user=user,
            target=search,
            detail={"condition": search.condition},
            ip=ip,
            campaign_id=search.campaign_id,
        )
        search.delete()
