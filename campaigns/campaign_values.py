"""What may stand in a campaign and its sessions: typed values in, clean ones out, all faults at once by field."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.utils.translation import gettext_lazy as _

from campaigns.models import Campaign, KnownAddress, Place, SessionChoice
from leads.address import check_email
from leads.columns import clean_text

SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
SLUG_MIN, SLUG_MAX = 3, 60
# Words of our own addresses, and words that a reader would take for one.
RESERVED_SLUGS = frozenset(
    [
        "about",
        "access",
        "admin",
        "api",
        "apply",
        "applied",
        "assets",
        "attend",
        "calendar",
        "campaign",
        "campaigns",
        "cancel",
        "check-in",
        "checkin",
        "complete",
        "completed",
        "confirm",
        "confirmed",
        "contact",
        "consent",
        "done",
        "edit",
        "en",
        "event",
        "events",
        "export",
        "form",
        "health",
        "help",
        "home",
        "ics",
        "inbox",
        "index",
        "info",
        "ja",
        "lead",
        "leads",
        "login",
        "logout",
        "mail",
        "media",
        "my-page",
        "mypage",
        "new",
        "opt-out",
        "page",
        "password",
        "preview",
        "print",
        "privacy",
        "public",
        "qr",
        "register",
        "robots",
        "search",
        "seminar",
        "seminars",
        "session",
        "sessions",
        "settings",
        "sitemap",
        "static",
        "status",
        "support",
        "terms",
        "ticket",
        "tickets",
        "unsubscribe",
        "user",
        "users",
        "waiting",
    ]
)
CAPACITY_MAX = 1_000_000
DESCRIPTION_MAX = 20_000
STAFF_MAX = 20

_web = URLValidator(schemes=["http", "https"])


def clean_slug(text: str) -> str:
    """The last part of /e/<slug>/, from what was typed (full-width and upper case are read too)."""
    slug = unicodedata.normalize("NFKC", text).strip().lower()
    if not SLUG_MIN <= len(slug) <= SLUG_MAX or not SLUG.fullmatch(slug):
        raise ValidationError(
            _(
                "Use %(least)s to %(most)s small letters, digits and single hyphens between them, like dx-seminar-2026."
            ),
            params={"least": SLUG_MIN, "most": SLUG_MAX},
            code="slug",
        )
    if slug in RESERVED_SLUGS:
        raise ValidationError(
            _("“%(slug)s” is used by the system. Choose another address."),
            params={"slug": slug},
            code="reserved",
        )
    return slug


def clean_web_address(text: str) -> str:
    url = clean_text(text)
    if not url:
        return ""
    if len(url) > 500:
        raise ValidationError(
            _("Enter at most %(limit)s characters."), params={"limit": 500}, code="too_long"
        )
    try:
        _web(url)
    except ValidationError:
        raise ValidationError(
            _("Enter an address that begins with https:// or http://."), code="url"
        ) from None
    return url


def clean_staff_addresses(text: str) -> str:
    """Comma-separated, each checked and named when it is wrong; one that stands twice is kept once."""
    addresses: dict[str, str] = {}
    for part in unicodedata.normalize("NFC", text).replace("\n", ",").split(","):
        if not part.strip():
            continue
        check = check_email(part)
        if check.malformed or not check.norm:
            raise ValidationError(
                _("“%(address)s” is not an e-mail address. Separate several with commas."),
                params={"address": part.strip()[:60]},
                code="address",
            )
        addresses.setdefault(check.norm, check.address)
    if len(addresses) > STAFF_MAX:
        raise ValidationError(
            _("At most %(limit)s addresses can be told."), params={"limit": STAFF_MAX}, code="too_many"
        )
    joined = ", ".join(addresses.values())
    if len(joined) > 1000:
        raise ValidationError(
            _("Enter at most %(limit)s characters."), params={"limit": 1000}, code="too_long"
        )
    return joined


def clean_capacity(value: Any) -> int | None:
    """None or "": no limit. 0 is a limit: nobody."""
    if value is None or value == "":
        return None
    try:
        number = int(unicodedata.normalize("NFKC", str(value)).replace(",", ""))
    except ValueError:
        raise ValidationError(
            _("Enter a whole number, or leave it empty for no limit."), code="number"
        ) from None
    if not 0 <= number <= CAPACITY_MAX:
        raise ValidationError(
            _("Enter a number from 0 to %(limit)s, or leave it empty for no limit."),
            params={"limit": f"{CAPACITY_MAX:,}"},
            code="number",
        )
    return number


def _text(limit: int, *, lines: bool = False, required: Any = None) -> Callable[[Any], str]:
    def clean(value: Any) -> str:
        text = clean_text("" if value is None else str(value), lines=lines)
        if required and not text:
            raise ValidationError(required, code="required")
        if len(text) > limit:
            raise ValidationError(
                _("Enter at most %(limit)s characters."), params={"limit": f"{limit:,}"}, code="too_long"
            )
        return text

    return clean


def _one_of(values: list[str]) -> Callable[[Any], str]:
    def clean(value: Any) -> str:
        if value not in values:
            raise ValidationError(_("Choose one of the choices offered."), code="choice")
        return str(value)

    return clean


def _moment(value: Any) -> datetime | None:
    if value is None or value == "":
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ValidationError(_("Enter a date and time like 2026-11-21 14:00."), code="date")
    if not 2000 <= value.year <= 2200:
        raise ValidationError(_("Enter a year from 2000 to 2200."), code="date")
    return value


Cleaners = Mapping[str, Callable[[Any], Any]]

CAMPAIGN: Cleaners = {
    "name": _text(200, required=_("Enter the name of the campaign.")),
    "name_en": _text(200),
    "slug": lambda value: clean_slug(str(value)),
    "summary": _text(300),
    "summary_en": _text(300),
    "description": _text(DESCRIPTION_MAX, lines=True),
    "description_en": _text(DESCRIPTION_MAX, lines=True),
    "organiser": _text(200),
    "contact": _text(300),
    "starts_at": _moment,
    "ends_at": _moment,
    "place": _one_of(Place.values),
    "venue_name": _text(200),
    "venue_address": _text(300),
    "venue_url": lambda value: clean_web_address(str(value or "")),
    "online_url": lambda value: clean_web_address(str(value or "")),
    "session_choice": _one_of(SessionChoice.values),
    "applications_from": _moment,
    "applications_until": _moment,
    "cancel_until": _moment,
    "capacity": clean_capacity,
    "waiting_list": bool,
    "known_address": _one_of(KnownAddress.values),
    "confirm_address": bool,
    "ticket": bool,
    "staff_addresses": lambda value: clean_staff_addresses(str(value or "")),
}

SESSION: Cleaners = {
    "title": _text(200, required=_("Enter the title of the session.")),
    "title_en": _text(200),
    "speaker": _text(200),
    "room": _text(100),
    "starts_at": _moment,
    "ends_at": _moment,
    "capacity": clean_capacity,
}


def clean_values(values: Mapping[str, Any], cleaners: Cleaners) -> dict[str, Any]:
    """ValidationError by field. A name that is none of `cleaners` is a mistake of the caller: ValueError."""
    if unknown := set(values) - set(cleaners):
        raise ValueError(f"unknown values: {sorted(unknown)}")
    cleaned: dict[str, Any] = {}
    problems: dict[str, ValidationError] = {}
    for name, value in values.items():
        try:
            cleaned[name] = cleaners[name](value)
        except ValidationError as problem:
            problems[name] = problem
    if problems:
        raise ValidationError(problems)
    return cleaned


def check_order(campaign: Campaign) -> None:
    """The dates together. ValidationError by field."""
    problems: dict[str, ValidationError] = {}
    _check_span(campaign.starts_at, campaign.ends_at, problems)
    opens, closes = campaign.applications_from, campaign.applications_until
    if opens and closes and closes <= opens:
        problems["applications_until"] = ValidationError(
            _("The end of the applications must be later than their beginning."), code="order"
        )
    last = campaign.ends_at or campaign.starts_at
    if opens and last and opens >= last and "ends_at" not in problems:
        problems["applications_from"] = ValidationError(
            _("Applications would begin when the campaign is over."), code="order"
        )
    if problems:
        raise ValidationError(problems)


def check_session_order(starts_at: datetime | None, ends_at: datetime | None) -> None:
    problems: dict[str, ValidationError] = {}
    _check_span(starts_at, ends_at, problems)
    if problems:
        raise ValidationError(problems)


def _check_span(
    starts_at: datetime | None, ends_at: datetime | None, problems: dict[str, ValidationError]
) -> None:
    if ends_at and not starts_at:
        problems["starts_at"] = ValidationError(_("Enter the start too."), code="required")
    elif starts_at and ends_at and ends_at < starts_at:
        problems["ends_at"] = ValidationError(_("The end must not be earlier than the start."), code="order")
