"""Answers to a campaign's questions: their shape in Application.answers, and how they are read.

{"<FormItem.id>": value}; blank answers have no key. By QuestionType: text, long → "text"; number → 3 or 2.5;
date → "2026-11-21"; choice, select, multiple → ["a1", …] (keys of FormItem.choices); agreement → ["yes"].
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from campaigns.form_items import AGREED, WITH_CHOICES, choices_of
from campaigns.models import FormItem, QuestionType
from leads.columns import clean_text, clean_value
from leads.models import LeadColumn

TEXT_MAX, LONG_MAX = 500, 5000

Answer = str | int | float | list[str] | None


def clean_answer(item: FormItem, value: Any) -> Answer:
    """What is stored for what was entered (text, or a list of keys; a single choice may also be its key as text);
    None for blank. ValidationError says what is wrong. Required or not is not judged here."""
    if item.type in WITH_CHOICES or item.type == QuestionType.AGREEMENT:
        return _clean_keys(item, value)
    text = clean_text("" if value is None else str(value), lines=item.type == QuestionType.LONG)
    if item.type == QuestionType.NUMBER:
        return clean_value(LeadColumn(type=LeadColumn.Type.NUMBER), text)
    if item.type == QuestionType.DATE:
        return clean_value(LeadColumn(type=LeadColumn.Type.DATE), value)
    limit = LONG_MAX if item.type == QuestionType.LONG else TEXT_MAX
    if len(text) > limit:
        raise ValidationError(
            _("Enter at most %(limit)s characters."), params={"limit": limit}, code="too_long"
        )
    return text or None


def _clean_keys(item: FormItem, value: Any) -> Answer:
    if item.type == QuestionType.AGREEMENT and isinstance(value, bool):
        value = [AGREED] if value else []
    asked = value if isinstance(value, list | tuple) else [value]
    keys = [str(key) for key in asked if key not in (None, "")]
    offered = [key for key, _label in choices_of(item, "ja")]
    if not set(keys) <= set(offered):
        raise ValidationError(_("Choose one of the choices offered."), code="choice")
    if item.type != QuestionType.MULTIPLE and len(set(keys)) > 1:
        raise ValidationError(_("Choose one only."), code="choice")
    return [key for key in offered if key in keys] or None


def answer_text(item: FormItem, value: Any, language: str = "ja") -> str:
    """An answer in words; choices that are offered no more keep theirs."""
    if value is None:
        return ""
    if isinstance(value, list):
        labels = dict(choices_of(item, language, retired=True))
        return (", " if language == "en" else "、").join(labels.get(str(key), str(key)) for key in value)
    return str(value)


def answer_rows(
    items: Iterable[FormItem], answers: Mapping[str, Any], language: str = "ja"
) -> list[tuple[FormItem, str]]:
    """(question, answer in words) of what was answered, in the order of `items` (campaigns.form_items.questions_of)."""
    return [(item, answer_text(item, answers[item.key], language)) for item in items if item.key in answers]
