"""「システム設定一覧」: every system setting with its type, default, texts and check. Read with `get_setting`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from settings import audit
from settings.models import SystemSetting, User
from smp.lib.finder import Result, normalise

Text = str | Promise

CHANGED_MEANWHILE = _(
    "Somebody else changed this setting meanwhile; it is now: %(value)s. Check it and save again."
)


@dataclass(frozen=True)
class Setting:
    """One system setting. `type` is bool, int, str or "text" (several lines)."""

    key: str
    label: Text
    type: type | str
    default: Any
    help: Text = ""
    warning: Text = ""  # shown on the page and asked again before saving
    minimum: int | None = None  # of a number
    maximum: int | None = None  # of a number, or the length of a text
    section: Text = ""  # heading in the list
    choices: Sequence[tuple[str, Text]] = ()  # of a str: the values there are, with their words

    def __str__(self) -> str:
        return str(self.label)


SETTINGS: dict[str, Setting] = {}


def register_setting(setting: Setting) -> None:
    """Called from AppConfig.ready() of the app whose rule the setting belongs to."""
    SETTINGS[setting.key] = setting


def get_setting(key: str) -> Any:
    """The stored value, or the default. KeyError for an unknown key."""
    setting = SETTINGS[key]
    row = SystemSetting.objects.filter(key=key).values_list("value", flat=True).first()
    return setting.default if row is None else row


def rows_per_page() -> int:
    """How many rows each list shows before it goes on to the next page."""
    return int(get_setting("page_size"))


def set_setting(
    key: str, value: Any, *, user: User | None, expected: Any = None, ip: str | None = None
) -> bool:
    """Stores a value of the setting's type, audited. False when it was that value already.

    `expected` is what the user saw; when two change it at once the second is told (ValidationError).
    ValidationError as well for a value out of bounds; KeyError for an unknown key.
    """
    setting = SETTINGS[key]
    value = clean_value(setting, value)
    with transaction.atomic():
        # The row must exist before it can be locked: two first changes at once would both insert.
        SystemSetting.objects.bulk_create(
            [SystemSetting(key=key, value=setting.default)], ignore_conflicts=True
        )
        row = SystemSetting.objects.select_for_update().get(key=key)
        before = row.value
        if expected is not None and before != expected:
            raise ValidationError(
                CHANGED_MEANWHILE, code="changed_meanwhile", params={"value": show_value(setting, before)}
            )
        if before == value:
            return False
        row.value = value
        row.updated_by = user
        row.save(update_fields=["value", "updated_by", "updated_at"])
        audit.record(
            "setting.change",
            user=user,
            target=row,
            target_label=str(setting),
            detail={"changes": {key: [before, value]}},
            ip=ip,
        )
    return True


def clean_value(setting: Setting, value: Any) -> Any:
    """The value in the setting's own type, checked. ValidationError when it is no such value."""
    if setting.type is bool:
        if not isinstance(value, bool):
            raise ValidationError(_("Choose enabled (1) or disabled (0)."), code="invalid")
    elif setting.type is int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValidationError(_("Enter a whole number."), code="invalid")
    else:
        if not isinstance(value, str) or "\0" in value:
            raise ValidationError(_("Enter a text."), code="invalid")
        value = value.replace("\r\n", "\n").strip()
        if setting.type is str and "\n" in value:
            raise ValidationError(_("Enter a text of one line."), code="invalid")
    validate_setting(setting, value)
    return value


def validate_setting(setting: Setting, value: Any) -> None:
    """Raises ValidationError with what is wrong and what to do."""
    if setting.choices and value not in dict(setting.choices):
        raise ValidationError(_("Choose one of the values offered."), code="invalid")
    if setting.type is int:
        if setting.minimum is not None and value < setting.minimum:
            raise ValidationError(
                _("Enter a value of %(minimum)s or more."), params={"minimum": setting.minimum}
            )
        if setting.maximum is not None and value > setting.maximum:
            raise ValidationError(
                _("Enter a value of %(maximum)s or less."), params={"maximum": setting.maximum}
            )
    elif setting.maximum is not None and isinstance(value, str) and len(value) > setting.maximum:
        raise ValidationError(
            _("Enter at most %(maximum)s characters (now %(length)s)."),
            params={"maximum": setting.maximum, "length": len(value)},
        )


def show_value(setting: Setting, value: Any) -> str:
    """As the list shows it: 有効 (1), 無効 (0), the number, the text, or a dash."""
    if setting.type is bool:
        return _now("Enabled (1)") if value else _now("Disabled (0)")
    if setting.choices:
        return str(dict(setting.choices).get(value, value))
    return str(value) if value not in ("", None) else "–"


@dataclass(frozen=True)
class Line:
    """One line of 「システム設定一覧」."""

    setting: Setting
    shown: str
    default: str
    changed: bool  # differs from the default
    row: SystemSetting | None  # the last change


def settings_by_section() -> list[tuple[str, list[Line]]]:
    """Every setting under its section's heading, in one query."""
    rows = {row.key: row for row in SystemSetting.objects.select_related("updated_by")}
    sections: dict[str, list[Line]] = {}
    for setting in SETTINGS.values():
        row = rows.get(setting.key)
        value = row.value if row else setting.default
        line = Line(
            setting,
            show_value(setting, value),
            show_value(setting, setting.default),
            value != setting.default,
            row,
        )
        sections.setdefault(str(setting.section), []).append(line)
    # What has no heading of its own comes last, under "Other".
    return sorted(sections.items(), key=lambda section: section[0] == "")


def find_settings(user: object, text: str, campaign_id: int | None = None) -> list[Result]:
    """NAV-3: settings by a part of their label."""
    wanted = normalise(text)
    return [
        Result(str(setting), reverse("edit_system_setting", args=[setting.key]), str(setting.section))
        for setting in SETTINGS.values()
        if wanted and wanted in normalise(str(setting.label))
    ]
