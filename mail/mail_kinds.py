"""NAV-2 「メール設定」: the kinds of mail that have defaults of their own. Later apps register theirs (tickets, my page)."""

from dataclasses import dataclass

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mail.models.mail_settings import MailSettings
from settings import audit
from settings.models import User

Text = str | Promise
FIELDS = ("enabled", "from_address", "from_name", "cc", "bcc", "reply_to", "errors_to")


@dataclass(frozen=True)
class MailKind:
    """`automatic`: sent by itself, so that it can be switched off."""

    key: str
    label: Text
    help: Text = ""
    automatic: bool = False
    position: int = 50


_KINDS: dict[str, MailKind] = {}


def register_mail_kind(kind: MailKind) -> None:
    _KINDS[kind.key] = kind


def mail_kinds() -> list[MailKind]:
    return sorted(_KINDS.values(), key=lambda kind: kind.position)


def mail_kind(key: str) -> MailKind | None:
    return _KINDS.get(key)


def settings_of(key: str) -> MailSettings:
    """The stored defaults of a kind, or an unsaved row with the initial ones (ON, everything empty)."""
    return MailSettings.objects.filter(kind=key).first() or MailSettings(kind=key)


def save_settings(
    kind: MailKind, values: dict[str, object], *, user: User | None, ip: str | None = None
) -> MailSettings:
    """Stores checked values; a kind that is not automatic is always ON."""
    if not kind.automatic:
        values = values | {"enabled": True}
    with transaction.atomic():
        before = settings_of(kind.key)
        changed = [field for field in FIELDS if field in values and getattr(before, field) != values[field]]
        stored, _created = MailSettings.objects.update_or_create(kind=kind.key, defaults=values)
        if changed:
            audit.record(
                "mail_settings.change",
                user=user,
                target=stored,
                detail={"kind": kind.key, "changed": changed},
                ip=ip,
            )
    return stored


register_mail_kind(
    MailKind(
        "template",
        _("Templates for the send wizard"),
        _("New templates start from these values. Templates that exist already keep theirs."),
        position=10,
    )
)
