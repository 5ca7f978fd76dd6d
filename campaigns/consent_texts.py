"""OPT-10: what applicants agree to. A change is a new version; old ones stay, and applications point at theirs."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from campaigns.models import Campaign, ConsentText
from leads.columns import clean_text
from settings import audit
from settings.models import User

TEXT_MAX = 20_000


def current_consent_text(campaign: Campaign) -> ConsentText | None:
    """The newest version; None where there is none, or where the newest is empty (consent is asked for no more)."""
    newest = campaign.consent_texts.order_by("-version").first()
    return newest if newest is not None and newest.text else None


def set_consent_text(
    campaign: Campaign, text: str, text_en: str = "", *, user: User | None, now: datetime
) -> ConsentText | None:
    """Writes a new version if it differs from the newest, and returns what holds now. An empty text ends the asking.
    ValidationError by field."""
    cleaned: dict[str, str] = {}
    problems: dict[str, ValidationError] = {}
    for name, value in (("text", text), ("text_en", text_en)):
        try:
            cleaned[name] = clean_text(value, lines=True)
        except ValidationError as problem:
            problems[name] = problem
            continue
        if len(cleaned[name]) > TEXT_MAX:
            problems[name] = ValidationError(
                _("Enter at most %(limit)s characters."), params={"limit": TEXT_MAX}, code="too_long"
            )
    if not problems and cleaned["text_en"] and not cleaned["text"]:
        problems["text"] = ValidationError(_("Enter the Japanese text too."), code="required")
    if problems:
        raise ValidationError(problems)
    with transaction.atomic():
        Campaign.objects.select_for_update(no_key=True).only("pk").get(pk=campaign.pk)
        newest = campaign.consent_texts.order_by("-version").first()
        before = {"text": newest.text, "text_en": newest.text_en} if newest else {"text": "", "text_en": ""}
        if before != cleaned:
            version = newest.version + 1 if newest else 1
            created = ConsentText.objects.create(
                campaign=campaign, version=version, created_by=user, created_at=now, **cleaned
            )
            audit.record(
                "consent_text.create",
                user=user,
                target=created,
                target_label=f"{campaign} v{version}",
                detail={
                    "at": now.isoformat(),
                    "changes": {k: [before[k], v] for k, v in cleaned.items() if before[k] != v},
                },
            )
    return current_consent_text(campaign)
