"""「システム設定一覧」: every system setting with its type, default, texts and check. Read with `get_setting`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from settings.models import SystemSetting

Text = str | Promise


@dataclass(frozen=True)
class Setting:
    """One system setting. `type` is bool, int, str or "text" (several lines)."""

    key: str
    label: Text
    type: type | str
    default: Any
    help: Text = ""
    warning: Text = ""  # shown on the page and asked again before saving
    minimum: int | None = None
    maximum: int | None = None
    check: Callable[[Any], None] | None = None  # raises ValidationError


SETTINGS: dict[str, Setting] = {}


def register_setting(setting: Setting) -> None:
    """Called from AppConfig.ready() of the app whose rule the setting belongs to."""
    SETTINGS[setting.key] = setting


def get_setting(key: str) -> Any:
    """The stored value, or the default. KeyError for an unknown key."""
    setting = SETTINGS[key]
    row = SystemSetting.objects.filter(key=key).values_list("value", flat=True).first()
    return setting.default if row is None else row


def validate_setting(setting: Setting, value: Any) -> None:
    """Raises ValidationError with what is wrong and what to do."""
    if setting.minimum is not None and value < setting.minimum:
        raise ValidationError(_("Enter a value of %(minimum)s or more."), params={"minimum": setting.minimum})
    if setting.maximum is not None and value > setting.maximum:
        raise ValidationError(_("Enter a value of %(maximum)s or less."), params={"maximum": setting.maximum})
    if setting.check:
        setting.check(value)
