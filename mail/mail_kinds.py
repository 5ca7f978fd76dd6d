"""NAV-2 「メール設定」: the kinds of mail that have defaults of their own, per mode (APP-1). mail/automatic_kinds.py registers
those that are sent by themselves."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mail.models.mail_settings import MailSettings
from mail.models.template import MailTemplate, Purpose
from settings import audit
from settings.models import User
from smp.lib.mode import ALL, BOTH, CAMPAIGN

Text = str | Promise
SENDERS = ("from_address", "from_name", "cc", "bcc", "reply_to", "errors_to")
FIELDS = ("enabled", *SENDERS)
# What a mail with a text of its own takes from the kind `template`: not its CC and BCC, which are meant for mailings.
_SENDER = ("from_address", "from_name", "reply_to", "errors_to")
TEMPLATE_KIND = "template"


@dataclass(frozen=True)
class MailKind:
    """`automatic`: sent by itself. `switchable`: it can be switched off. `staff`: it goes to the campaign's staff.
    `options`: what only this kind has, with the values it starts from (MailSettings.options)."""

    key: str
    label: Text
    help: Text = ""
    automatic: bool = False
    switchable: bool = True
    staff: bool = False
    position: int = 50
    modes: Collection[str] = BOTH
    options: Mapping[str, Any] = field(default_factory=dict)


_KINDS: dict[str, MailKind] = {}


def register_mail_kind(kind: MailKind) -> None:
    _KINDS[kind.key] = kind


def mail_kinds(campaign_id: int | None = None) -> list[MailKind]:
    """The kinds of a mode, in their order."""
    mode = ALL if campaign_id is None else CAMPAIGN
    return sorted((kind for kind in _KINDS.values() if mode in kind.modes), key=lambda kind: kind.position)


def mail_kind(key: str, campaign_id: int | None = None) -> MailKind | None:
    """The kind of that key, if the mode has it."""
    kind = _KINDS.get(key)
    return kind if kind and (ALL if campaign_id is None else CAMPAIGN) in kind.modes else None


def mail_kind_of(key: str) -> MailKind | None:
    """Whatever the mode."""
    return _KINDS.get(key)


def kind_label(key: str) -> str:
    """Its name for people; a kind that is registered no more is told by its key."""
    return str(_KINDS[key].label) if key in _KINDS else key


def automatic_kinds() -> list[MailKind]:
    return sorted((kind for kind in _KINDS.values() if kind.automatic), key=lambda kind: kind.position)


def settings_of(key: str, campaign_id: int | None = None) -> MailSettings:
    """The stored settings of a kind in a mode, or an unsaved row with the initial ones: ON, and inside a campaign the
    senders of the all-campaign mode, until the campaign has its own. An automatic mail's fields stay empty instead: what
    holds for it, field by field, says `in_force`."""
    rows = MailSettings.objects.filter(Q(campaign=campaign_id) | Q(campaign=None), kind=key)
    stored = {row.campaign_id: row for row in rows.select_related("template")}
    if campaign_id in stored:
        return stored[campaign_id]
    initial = MailSettings(kind=key, campaign_id=campaign_id)
    if general := stored.get(None):
        initial.enabled = general.enabled
        if not _KINDS[key].automatic:
            for name in SENDERS:
                setattr(initial, name, getattr(general, name))
    return initial


def save_settings(
    kind: MailKind,
    values: dict[str, object],
    *,
    user: User | None,
    campaign_id: int | None = None,
    ip: str | None = None,
) -> MailSettings:
    """Stores checked values; a kind that cannot be switched off is always ON."""
    if not (kind.automatic and kind.switchable):
        values = values | {"enabled": True}
    with transaction.atomic():
        before = settings_of(kind.key, campaign_id)
        changed = [name for name, value in values.items() if getattr(before, name) != value]
        stored, _created = MailSettings.objects.update_or_create(  # type: ignore[misc]  # its stubs know no NULL
            kind=kind.key, campaign_id=campaign_id, defaults=values
        )
        if changed:
            audit.record(
                "mail_settings.change",
                user=user,
                target=stored,
                target_label=str(kind.label),
                detail={"kind": kind.key, "changed": changed} | _switch(changed, values),
                ip=ip,
            )
    return stored


def _switch(changed: list[str], values: Mapping[str, object]) -> dict[str, str]:
    return {"switched": "ON" if values["enabled"] else "OFF"} if "enabled" in changed else {}


# ---- what holds ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InForce:
    """What holds for one kind of automatic mail in one campaign (or in all): its own settings, then those of the
    all-campaign mode, field by field; the sender at last from the templates' defaults.

    `template` is None where the text that comes with the product is sent. `refused`: the template that was chosen but
    cannot be used any more (archived, or advertising by now): the text of the product is sent instead.
    `own_sender`: what was set where the template was chosen, or nearer; it goes before the template's own fields.
    """

    kind: MailKind
    enabled: bool
    template: MailTemplate | None
    refused: MailTemplate | None
    sender: dict[str, str]
    own_sender: dict[str, str]
    options: dict[str, Any]


def in_force(
    keys: Iterable[str], campaign_ids: Iterable[int | None]
) -> dict[tuple[str, int | None], InForce]:
    """For every key and campaign (None: the all-campaign mode). One query."""
    keys, campaigns = list(keys), set(campaign_ids)
    rows = MailSettings.objects.filter(
        Q(campaign=None) | Q(campaign__in=[campaign for campaign in campaigns if campaign]),
        kind__in=[*keys, TEMPLATE_KIND],
    ).select_related("template")
    stored = {(row.kind, row.campaign_id): row for row in rows}
    found = {}
    for key in keys:
        for campaign in campaigns:
            own = [row for row in (stored.get((key, campaign)), stored.get((key, None))) if row]
            general = [
                row
                for row in (stored.get((TEMPLATE_KIND, campaign)), stored.get((TEMPLATE_KIND, None)))
                if row
            ]
            found[key, campaign] = _in_force(_KINDS[key], own, general)
    return found


def _in_force(kind: MailKind, own: list[MailSettings], general: list[MailSettings]) -> InForce:
    """`own`: the rows of the kind, the nearest first; `general`: those of the templates."""
    enabled = own[0].enabled if own and kind.switchable else True
    chosen = next((row.template for row in own if row.template), None)
    nearer = next((number for number, row in enumerate(own) if row.template), 0)
    usable = chosen if chosen and is_usable(chosen) else None
    sender = {name: _first(name, [*own, *(general if name in _SENDER else ())]) for name in SENDERS}
    if not _first("from_name", own) and _first("from_address", own):
        sender["from_name"] = ""  # the name of another sender does not belong to this address
    options = dict(kind.options)
    for row in reversed(own):
        options |= {name: value for name, value in row.options.items() if name in kind.options}
    return InForce(
        kind, enabled, usable, None if usable else chosen, sender,
        {name: _first(name, own[: nearer + 1]) for name in SENDERS}, options,
    )  # fmt: skip


def kinds_sent_with(template: MailTemplate) -> list[str]:
    """The names of the automatic mails this template was chosen for."""
    kinds = MailSettings.objects.filter(template=template).order_by("kind").values_list("kind", flat=True)
    return [kind_label(kind) for kind in dict.fromkeys(kinds)]


def is_usable(template: MailTemplate) -> bool:
    """Only business notices are sent by themselves, whoever they go to (OPT-4)."""
    return template.purpose == Purpose.NOTICE and template.archived_at is None


def _first(name: str, rows: Iterable[MailSettings]) -> str:
    return next((value for row in rows if (value := getattr(row, name))), "")


register_mail_kind(
    MailKind(
        TEMPLATE_KIND,
        _("Templates for the send wizard"),
        _("New templates start from these values. Templates that exist already keep theirs."),
        position=10,
    )
)
