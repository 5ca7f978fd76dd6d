"""Campaigns: making, changing, copying, their state and who administers them. The only module that writes Campaign.

Sessions are written by sessions.py, the form by form_items.py, the consent text by consent_texts.py. Everything is
audited in its own transaction, and the campaign's row is locked first (docs/architecture.md: the order of locks).
"""

import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from campaigns.campaign_values import CAMPAIGN, RESERVED_SLUGS, SLUG_MAX, SLUG_MIN, check_order, clean_values
from campaigns.copying import run_copiers
from campaigns.form_items import copy_items, ensure_default_items
from campaigns.models import Campaign, CampaignState, ConsentText, ItemSource, Session, SessionChoice
from campaigns.seats import Seats, lock_campaign
from campaigns.status import is_over
from campaigns.waiting_list import move_up
from settings import audit
from settings.models import Role, User

FIELDS = tuple(CAMPAIGN)
NOT_COPIED = frozenset({"name", "name_en", "slug"})

# Which states can be reached from which; `refusals` names what stands in the way.
MOVES: dict[str, tuple[str, ...]] = {
    CampaignState.DRAFT: (CampaignState.OPEN, CampaignState.ARCHIVED),
    CampaignState.OPEN: (CampaignState.CLOSED, CampaignState.DRAFT, CampaignState.ARCHIVED),
    CampaignState.CLOSED: (CampaignState.OPEN, CampaignState.ARCHIVED),
    CampaignState.ARCHIVED: (CampaignState.CLOSED,),
}


class CampaignChanged(Exception):
    """Somebody else saved the campaign since the form was drawn; str() says so in the active language."""


def save_campaign(
    values: Mapping[str, Any],
    *,
    campaign: Campaign | None = None,
    user: User | None,
    now: datetime,
    ip: str | None = None,
    seen_at: datetime | None = None,
) -> Campaign:
    """Makes a campaign (state draft, with the form a new one starts with), or changes the given one. `values`: names of
    FIELDS, typed; what is left out keeps its value. A new one without a slug gets one. ValidationError by field, all
    faults at once; CampaignChanged when `seen_at` (its `updated_at` as the form was drawn) is not the newest.

    Fewer seats than are taken is allowed: nobody loses one. More seats move the waiting list up in the same transaction.
    """
    given = dict(values)
    if campaign is None and not given.get("slug"):
        given["slug"] = free_slug(str(given.get("name", "")), now)
    if campaign is None:
        given.setdefault("name", "")
    cleaned = clean_values(given, CAMPAIGN)
    with transaction.atomic():
        if campaign is None:
            saved = Campaign(created_by=user, created_at=now)
        else:
            saved = lock_campaign(campaign.pk)
            if seen_at is not None and saved.updated_at != seen_at:
                raise CampaignChanged(
                    _(
                        "Somebody else saved this campaign meanwhile. Your entries are still here: compare, then save again."
                    )
                )
        before = {name: getattr(saved, name) for name in cleaned}
        for name, value in cleaned.items():
            setattr(saved, name, value)
        check_order(saved)
        changes = _changes(before, cleaned)
        if campaign is not None and not changes:
            return saved
        saved.updated_at = now
        _save(saved)
        if campaign is None:
            ensure_default_items(saved)
        audit.record(
            "campaign.edit" if campaign else "campaign.create",
            user=user, target=saved, ip=ip, detail={"at": now.isoformat(), "changes": changes},
        )  # fmt: skip
        if campaign is not None and "capacity" in changes:
            move_up(saved, now=now)
    return saved


def overbooked(capacity: int | None, seats: Seats) -> int:
    """How many have a seat beyond the capacity: it was lowered, and nobody loses one."""
    return 0 if capacity is None else max(0, seats.taken - capacity)


def _save(campaign: Campaign) -> None:
    try:
        with transaction.atomic():
            campaign.save()
    except IntegrityError as error:
        if "slug" not in str(error):
            raise
        raise ValidationError(
            {
                "slug": ValidationError(
                    _("Another campaign has the address “%(slug)s”. Choose another one."),
                    params={"slug": campaign.slug},
                    code="unique",
                )
            }
        ) from error


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {
        name: [_plain(before[name]), _plain(value)] for name, value in after.items() if before[name] != value
    }


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def free_slug(name: str, now: datetime) -> str:
    """An address nobody has: from the name's Latin letters, or seminar-<month>-<four characters>."""
    stem = slugify(name, allow_unicode=False)[: SLUG_MAX - 8].strip("-_").replace("_", "-")
    if len(stem) < SLUG_MIN or stem in RESERVED_SLUGS or not stem.strip("-0123456789"):
        stem = f"seminar-{timezone.localtime(now):%Y%m}-{_letters(4)}"
    slug = stem
    while Campaign.objects.filter(slug=slug).exists():
        slug = f"{stem}-{_letters(4)}"
    return slug


def _letters(count: int) -> str:
    return "".join(secrets.choice("abcdefghjkmnpqrstuvwxyz23456789") for _place in range(count))


# ---- states
def refusals(campaign: Campaign, state: str, *, now: datetime) -> list[str]:
    """Why the campaign cannot be put into this state now, each with what to do; empty when it can."""
    if state not in MOVES.get(campaign.state, ()):
        return [_("This step is not possible from the present state.")]
    reasons = []
    if state == CampaignState.OPEN:
        if campaign.starts_at is None:
            reasons.append(_("Enter the start of the campaign first."))
        elif is_over(campaign, now):
            reasons.append(_("The campaign is over. Correct its dates first."))
        items = campaign.form_items.filter(source=ItemSource.LEAD, field="email", retired_at=None)
        if not items.exists():
            reasons.append(_("Put the e-mail address on the form first."))
        if campaign.session_choice != SessionChoice.NONE and not campaign.sessions.exists():
            reasons.append(_("Add the sessions to choose from, or let everybody attend all."))
    elif state == CampaignState.DRAFT and campaign.applications.exists():
        reasons.append(_("People have applied already. Close the applications instead."))
    elif (
        state == CampaignState.ARCHIVED
        and campaign.state == CampaignState.OPEN
        and not is_over(campaign, now)
    ):
        reasons.append(_("Close the applications first."))
    return reasons


def change_state(
    campaign: Campaign, state: str, *, user: User | None, now: datetime, ip: str | None = None
) -> Campaign:
    """ValidationError with every reason when refused. Doing it twice does nothing the second time."""
    with transaction.atomic():
        locked = lock_campaign(campaign.pk)
        if locked.state == state:
            return locked
        if reasons := refusals(locked, state, now=now):
            raise ValidationError([ValidationError(reason, code="refused") for reason in reasons])
        before, locked.state, locked.updated_at = locked.state, state, now
        locked.save(update_fields=["state", "updated_at"])
        audit.record(
            "campaign.state", user=user, target=locked, ip=ip,
            detail={"at": now.isoformat(), "changes": {"state": [before, state]}},
        )  # fmt: skip
    return locked


# ---- people
def possible_members() -> QuerySet[User]:
    """キャンペーン管理者 who can log in; the others see every campaign anyway or change none (SYS-1)."""
    return User.objects.filter(role=Role.CAMPAIGN, is_active=True).order_by("name", "username")


def set_members(
    campaign: Campaign, members: Iterable[User], *, user: User | None, now: datetime, ip: str | None = None
) -> bool:
    """Assigns キャンペーン管理者. False when nothing changed; ValidationError for people of another role."""
    wanted = {member.pk: member for member in members}
    if any(member.role != Role.CAMPAIGN or not member.is_active for member in wanted.values()):
        raise ValidationError({"members": _("Only campaign administrators can be assigned.")})
    with transaction.atomic():
        locked = lock_campaign(campaign.pk)
        # Of those who have another role now, the assignment sleeps; it is not taken away by the way.
        before = {member.pk: member for member in locked.members.filter(role=Role.CAMPAIGN, is_active=True)}
        if set(before) == set(wanted):
            return False
        locked.members.remove(*(set(before) - set(wanted)))
        locked.members.add(*(set(wanted) - set(before)))
        names = [[str(member) for member in people.values()] for people in (before, wanted)]
        audit.record(
            "campaign.members", user=user, target=locked, ip=ip,
            detail={"at": now.isoformat(), "changes": {"members": names}},
        )  # fmt: skip
    return True


# ---- copying
def copy_campaign(campaign: Campaign, *, user: User | None, now: datetime, ip: str | None = None) -> Campaign:
    """A new campaign in preparation: settings, dates (unchanged, to be corrected by whoever copies), sessions, form,
    consent text, administrators, and what other apps have for a campaign (copying.py). No applications."""
    with transaction.atomic():
        # Locked, so that form, sessions and searches are copied as they stand together.
        original = lock_campaign(campaign.pk)
        name = (_("%(name)s (copy)") % {"name": original.name[:180]})[:200]
        copy = Campaign(
            **{field: getattr(original, field) for field in FIELDS if field not in NOT_COPIED},
            name=name,
            slug=_slug_of_copy(original.slug),
            copied_from=original,
            created_by=user,
            created_at=now,
            updated_at=now,
        )
        copy.save()
        copy.members.set(original.members.all())
        copy_items(original, copy)
        Session.objects.bulk_create(
            Session(
                campaign=copy, title=session.title, title_en=session.title_en, speaker=session.speaker,
                room=session.room, starts_at=session.starts_at, ends_at=session.ends_at, capacity=session.capacity,
                position=place,
            )
            for place, session in enumerate(original.sessions.all(), start=1)
        )  # fmt: skip
        consent = original.consent_texts.order_by("-version").first()
        if consent is not None and consent.text:
            ConsentText.objects.create(
                campaign=copy, version=1, text=consent.text, text_en=consent.text_en, created_by=user, created_at=now
            )  # fmt: skip
        run_copiers(original, copy, user, now)
        audit.record(
            "campaign.copy", user=user, target=copy, ip=ip,
            detail={"at": now.isoformat(), "copied_from": f"{original} (#{original.pk})"},
        )  # fmt: skip
    return copy


def _slug_of_copy(slug: str) -> str:
    stem = slug[: SLUG_MAX - 8].strip("-")
    for number in range(2, 100):
        if not Campaign.objects.filter(slug=f"{stem}-{number}").exists():
            return f"{stem}-{number}"
    return f"{stem}-{_letters(6)}"
