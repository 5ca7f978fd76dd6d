"""Magazines: their 基本設定, archive and restore. The only module that writes Magazine, but for `texts` and `design`
(「デフォルト表示設定」, mail/magazines/form_texts.py checks them), which go through `save_magazine` too."""

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.html import escape
from django.utils.translation import gettext as _

from leads.address import check_email
from mail.address_fields import AddressFieldError, check_address_field
from mail.magazines.locks import hold
from mail.merge_fields import OPT_OUT
from mail.merging import normalise_newlines
from mail.models import FailureGroup, Magazine, SendJob, Story, StoryKind, StoryState
from mail.models.send_job import FINISHED, JobState
from mail.refused import Refused
from mail.templates import legal_footer
from settings import audit
from settings.models import User

THRESHOLDS = tuple(f"stop_{group.value}" for group in FailureGroup)
FIELDS = (
    "name", "description", "from_name", "from_address", "reply_to", "errors_to", "footer_text", "footer_html",
    "leave_does", "blacklist", *THRESHOLDS, "registration_open", "double_opt_in", "confirm_page", "empty_mail", "texts",
    "design",
)  # fmt: skip
_LONG = ("footer_text", "footer_html", "texts", "design")  # the audit log says that they changed, not to what


def usable() -> QuerySet[Magazine]:
    return Magazine.objects.filter(archived_at=None)


def starter_footer() -> tuple[str, str]:
    """LAW-1: (text, HTML) below each mail of a new magazine: sender, address, contact from the system settings, and how to
    leave. Without an organisation in the settings only the last; the check of a story's mail names what is missing."""
    url = f"{{{{ {OPT_OUT} }}}}"
    text = (legal_footer() or f"--\n配信停止はこちら: {url}").strip()
    html = escape(text).replace("\n", "<br>\n").replace(url, f'<a href="{url}">{url}</a>')
    return f"{text}\n", f"<p>{html}</p>\n"


def new_magazine() -> Magazine:
    """Unsaved, with the defaults of MAG-4 and the footer of LAW-1."""
    text, html = starter_footer()
    return Magazine(footer_text=text, footer_html=html)


def save_magazine(
    values: Mapping[str, Any],
    *,
    magazine: Magazine | None = None,
    user: User | None,
    now: datetime,
    ip: str | None = None,
    seen_at: datetime | None = None,
) -> Magazine:
    """Makes a magazine, or changes what `values` (names of FIELDS) hold. `seen_at`: updated_at of what the person had before
    their eyes. Settings hold at once: thresholds are judged at the next failure and the next start (MAG-5).
    ValidationError by field; Refused("changed")."""
    if unknown := set(values) - set(FIELDS):
        raise ValueError(f"{sorted(unknown)} cannot be written")
    with transaction.atomic():
        current = new_magazine() if magazine is None else hold(magazine.pk, alone=True)
        if magazine is not None and seen_at is not None and current.updated_at != seen_at:
            raise Refused(
                "changed",
                _(
                    "Somebody saved this magazine meanwhile. Compare with the present settings, then save again."
                ),
            )
        before = {name: getattr(current, name) for name in FIELDS}
        for name, value in _cleaned(values).items():
            setattr(current, name, value)
        _check(current)
        changed = {
            name: [old, getattr(current, name)]
            for name, old in before.items()
            if old != getattr(current, name)
        }
        if magazine is not None and not changed:
            return current
        current.updated_at = now
        if magazine is None:
            current.created_by = user
        current.save()
        shown = {name: change for name, change in changed.items() if name not in _LONG}
        detail: dict[str, Any] = {"at": now.isoformat()}
        if magazine is not None:
            detail |= {"changes": shown, "changed": [name for name in changed if name in _LONG]}
        action = "magazine.create" if magazine is None else "magazine.change"
        audit.record(action, user=user, target=current, detail=detail, ip=ip)
    return current


def archive(magazine: Magazine, *, user: User | None, now: datetime, ip: str | None = None) -> bool:
    """Out of the lists, with all its history; nothing is sent and nobody registers, opting out still works.
    False when it was archived before; Refused("running") while stories run or a delivery is under way or reserved."""
    with transaction.atomic():
        current = hold(magazine.pk, alone=True)
        if current.archived_at is not None:
            return False
        if _is_running(current):
            raise Refused(
                "running",
                _(
                    "Stories of this magazine run, or a delivery is reserved or under way. Pause or stop them first."
                ),
            )
        Magazine.objects.filter(pk=current.pk).update(archived_at=now, updated_at=now)
        audit.record("magazine.archive", user=user, target=current, detail={"at": now.isoformat()}, ip=ip)
    magazine.archived_at = magazine.updated_at = now
    return True


def restore(magazine: Magazine, *, user: User | None, now: datetime, ip: str | None = None) -> bool:
    with transaction.atomic():
        if not Magazine.objects.filter(pk=magazine.pk, archived_at__isnull=False).update(
            archived_at=None, updated_at=now
        ):
            return False
        audit.record("magazine.restore", user=user, target=magazine, detail={"at": now.isoformat()}, ip=ip)
    magazine.archived_at, magazine.updated_at = None, now
    return True


def _is_running(magazine: Magazine) -> bool:
    series = Story.objects.filter(magazine=magazine, kind__in=[StoryKind.STEP, StoryKind.LOOP])
    jobs = SendJob.objects.filter(magazine=magazine).exclude(state__in=[*FINISHED, JobState.DRAFT])
    return series.filter(state=StoryState.RUNNING).exists() or jobs.exists()


def _cleaned(values: Mapping[str, Any]) -> dict[str, Any]:
    """As they are stored: NFC (CHR-6), no NUL, one kind of line ends; single lines without any."""
    cleaned: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, str):
            value = normalise_newlines(unicodedata.normalize("NFC", value).replace("\0", ""))
            if not name.startswith("footer_"):
                value = " ".join(value.split())
        cleaned[name] = value
    return cleaned


def _check(magazine: Magazine) -> None:
    problems: dict[str, Any] = {}
    try:
        others = {field.name for field in Magazine._meta.fields} - set(FIELDS)
        magazine.clean_fields(exclude=others)  # thresholds 1 to 99 or empty, lengths, choices
    except ValidationError as error:
        problems = dict(error.error_dict)
    for name, several in (("from_address", False), ("reply_to", True), ("errors_to", False)):
        text = getattr(magazine, name)
        if not text or name in problems:
            continue
        if name == "from_address":
            check = check_email(text)
            if check.malformed:
                problems[name] = ValidationError(check.text, code=check.code)
            else:
                magazine.from_address = check.address
            continue
        try:
            check_address_field(text, several=several, names=())
        except AddressFieldError as error:
            problems[name] = ValidationError(str(error), code="address")
    if problems:
        raise ValidationError(problems)
