"""How an entry of 操作履歴 is read: words for actions, fields and values, and the page of what it is about."""

import json
import re
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, Model
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from settings.audit import (
    ACTIONS,
    DETAIL_CHOICES,
    DETAILS,
    TARGETS,
    Target,
    register_action,
    register_detail,
    register_target,
    said_in_words,
)
from settings.models import ApiKey, AuditEntry, SystemSetting, User
from settings.system_settings import SETTINGS, show_value

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:")
LONGEST = 200  # characters of a value; the log is read, not printed


def register() -> None:
    register_action("user.create", _("User added"))
    register_action("user.edit", _("User edited"))
    register_action("user.password", _("Password changed"))
    register_action("setting.change", _("System setting changed"))
    register_action("api_key.create", _("API key made"))
    register_action("api_key.revoke", _("API key revoked"))
    register_target(Target("apikey", _("API key"), "api_key", ApiKey))
    register_detail("scopes", _("What the key may do"), ApiKey.Scope.choices)
    register_detail("expires_at", _("Valid until"))
    register_action("audit.export", _("Audit log exported"))
    register_target(Target("user", _("User"), "edit_user", User))
    register_target(Target("systemsetting", _("System setting"), "edit_system_setting", SystemSetting))
    register_detail("filter", _("Filter"))
    register_detail("rows", _("Rows"))
    register_detail("password", _("Password"))
    register_detail("source", _("Source"))


def action_label(action: str) -> str:
    return str(ACTIONS.get(action, action))


def target_url(entry: AuditEntry) -> str:
    """The page of the target, or nothing when it has none."""
    target = TARGETS.get(entry.target_type)
    if not target or not target.url_name or not entry.target_id:
        return ""
    try:
        return reverse(target.url_name, args=[entry.target_id])
    except NoReverseMatch:
        return ""


def target_word(entry: AuditEntry) -> str:
    target = TARGETS.get(entry.target_type)
    return str(target.label) if target else entry.target_type


def detail_lines(entry: AuditEntry) -> list[tuple[str, str]]:
    """(word, what happened) for each fact of the entry: fields and choices in the words of the screens."""
    target = TARGETS.get(entry.target_type)
    model = target.model if target else None
    lines = []
    for key, value in entry.detail.items():
        if key == "changes" and isinstance(value, dict):
            lines += [_change(entry, model, name, change) for name, change in value.items()]
        elif key != "at" and value not in ("", None, [], {}):  # "at" is the moment the entry itself shows
            parts = value if isinstance(value, list) else [value]
            words = [_word(model, key, part) for part in parts]
            lines.append((str(DETAILS.get(key, key)), _shown("、".join(words))))
    return lines


def _change(entry: AuditEntry, model: type[Model] | None, name: str, change: Any) -> tuple[str, str]:
    if entry.target_type == "systemsetting" and (setting := SETTINGS.get(name)):
        word = _now("Value")
        shown = (
            [show_value(setting, value) for value in change]
            if isinstance(change, list)
            else [show_value(setting, change)]
        )
    else:
        field = _field(model, name)
        word = str(field.verbose_name) if field and _is_named(field) else str(DETAILS.get(name, name))
        choices = dict(field.flatchoices) if field else {}
        values = change if isinstance(change, list) else [change]
        shown = [
            _shown(choices[value])
            if not isinstance(value, (list, dict)) and value in choices
            else "、".join(_word(model, name, part) for part in value)
            if isinstance(value, list) and value
            else _word(model, name, value)
            for value in values
        ]
    return word, " → ".join(shown[:2])


def _word(model: type[Model] | None, key: str, value: Any) -> str:
    """A value in the words of the screens: a registered choice, the name of a changed field, a moment in Japan's time."""
    words = DETAIL_CHOICES.get(key, {})
    if isinstance(value, (str, bool)) and str(value) in words:
        return str(words[str(value)])
    if isinstance(value, str) and (said := said_in_words(key, value)) != value:
        return _shown(said)
    if key == "changed" and isinstance(value, str) and (field := _field(model, value)):
        return str(field.verbose_name)
    if isinstance(value, str) and _MOMENT.match(value) and (moment := parse_datetime(value)):
        return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"
    return _shown(value)


def _field(model: type[Model] | None, name: str) -> "Field[Any, Any] | None":
    try:
        field = model._meta.get_field(name) if model else None
    except FieldDoesNotExist:
        return None
    return field if isinstance(field, Field) else None


def _is_named(field: "Field[Any, Any]") -> bool:
    """Whether the model gives it words; otherwise Django makes them of its name, in English."""
    return str(field.verbose_name) != field.name.replace("_", " ")


def _shown(value: Any) -> str:
    if value is None or value == "" or value == [] or value == {}:
        return "–"
    if isinstance(value, bool):
        return _now("Yes") if value else _now("No")
    text = (
        value
        if isinstance(value, str)
        else str(value)
        if not isinstance(value, (list, dict))
        else _listed(value)
    )
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _listed(value: list[Any] | dict[str, Any]) -> str:
    if isinstance(value, list) and all(not isinstance(part, (list, dict)) for part in value):
        return "、".join(str(part) for part in value)
    return json.dumps(value, ensure_ascii=False)
