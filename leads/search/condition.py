"""The stored condition: JSON of unknown origin → blocks that are safe to compile.

{"match": "all" | "any" | "expression", "expression": "1 AND (2 OR NOT 3)",
 "blocks": [{"item": "lead.prefecture", "operator": "is", "values": ["東京都"]}, …]}
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from leads.search.expression import And, Block, Node, Or, parse_expression
from leads.search.registry import ARITY, IN_DAYS, MAX_VALUES, Item, ItemType, Part, items_for

EVERYONE: dict[str, Any] = {"match": "all", "blocks": []}
MATCHES = ("all", "any", "expression")
MAX_BLOCKS = 30
MAX_VALUE_LENGTH = 1000
MAX_DAYS = 36_500
BIGGEST_INTEGER = 2**63 - 1
# Neither PostgreSQL's text nor its JSON can hold these.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_DATE = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[T\s]+(\d{1,2}):(\d{2})(?::\d{2})?)?")


@dataclass(frozen=True)
class CleanBlock:
    """`values`: text, or for a record item one dictionary {part: [text, …]}; canonical and within all limits."""

    item: Item
    operator: str
    values: list[Any]


@dataclass(frozen=True)
class Condition:
    match: str
    expression: str
    blocks: list[CleanBlock]
    tree: Node | None  # None: everyone

    def as_json(self) -> dict[str, Any]:
        stored: dict[str, Any] = {"match": self.match}
        if self.match == "expression":
            stored["expression"] = self.expression
        stored["blocks"] = [
            {"item": block.item.key, "operator": block.operator, "values": block.values}
            for block in self.blocks
        ]
        return stored


def validate_condition(
    condition: Any, *, campaign_id: int | None = None, more: Mapping[str, Item] | None = None
) -> dict[str, Any]:
    """The condition in canonical form, to be stored; ValidationError names the block and says what is wrong."""
    return read_condition(condition, campaign_id=campaign_id, more=more).as_json()


def read_condition(
    condition: Any, *, campaign_id: int | None = None, more: Mapping[str, Item] | None = None
) -> Condition:
    """Any JSON → a Condition of one mode (APP-1: None = all campaigns; `more`: items known in this place only); ValidationError with one message for every block
    that is wrong or names an item of another mode."""
    if not isinstance(condition, dict):
        raise ValidationError(
            _("The condition must be a JSON object with “match” and “blocks”."), code="not_an_object"
        )
    unknown = set(map(str, condition)) - {"match", "expression", "blocks"}
    if unknown:
        raise ValidationError(
            _("The condition has unknown parts: %(names)s") % {"names": _shown(", ".join(sorted(unknown)))},
            code="unknown_part",
        )
    match = condition.get("match", "all")
    if match not in MATCHES:  # a list or dictionary is never equal to one of them
        raise ValidationError(_("“match” must be all, any or expression."), code="match")
    blocks = condition.get("blocks", [])
    if not isinstance(blocks, list):
        raise ValidationError(_("“blocks” must be a list."), code="blocks")
    if len(blocks) > MAX_BLOCKS:
        raise ValidationError(
            _("At most %(limit)s blocks can be combined.") % {"limit": MAX_BLOCKS}, code="too_many_blocks"
        )
    expression = condition.get("expression", "")
    if not isinstance(expression, str) or _UNSTORABLE.search(expression):
        raise ValidationError(_("“expression” must be text."), code="expression")
    if not blocks and match != "all":
        raise ValidationError(_("Add at least one condition."), code="no_blocks")

    keys = [
        block["item"] for block in blocks if isinstance(block, dict) and isinstance(block.get("item"), str)
    ]
    items = items_for(keys, campaign_id, more) if keys else {}
    clean, problems = [], []
    for number, block in enumerate(blocks, start=1):
        try:
            clean.append(_read_block(block, items))
        except ValidationError as error:
            problems += [
                ValidationError(
                    _("Block %(number)s: %(problem)s") % {"number": number, "problem": text},
                    code=error.code,
                    params={"block": number},
                )
                for text in error.messages
            ]
    tree: Node | None = None
    if match == "expression":
        try:
            tree = parse_expression(expression, len(blocks))
        except ValidationError as error:
            problems.append(error)
    elif blocks:
        numbers = tuple(Block(number) for number in range(1, len(blocks) + 1))
        tree = numbers[0] if len(numbers) == 1 else And(numbers) if match == "all" else Or(numbers)
    if problems:
        raise ValidationError(problems)
    return Condition(match, expression if match == "expression" else "", clean, tree)


def _shown(text: object) -> str:
    """For messages: short, printable."""
    plain = "".join(character if character.isprintable() else "□" for character in str(text))
    return plain[:60] + "…" if len(plain) > 60 else plain


def _read_block(block: Any, items: dict[str, Item]) -> CleanBlock:
    if not isinstance(block, dict):
        raise ValidationError(
            _("a block must be a JSON object with “item”, “operator” and “values”."), code="block"
        )
    unknown = set(map(str, block)) - {"item", "operator", "values"}
    if unknown:
        raise ValidationError(
            _("unknown parts: %(names)s") % {"names": _shown(", ".join(sorted(unknown)))}, code="unknown_part"
        )
    key, operator, values = block.get("item"), block.get("operator"), block.get("values", [])
    if not key:
        raise ValidationError(_("choose an item."), code="no_item")
    item = items.get(key) if isinstance(key, str) else None
    if item is None:
        raise ValidationError(
            _("there is no item “%(item)s” (any more).") % {"item": _shown(key)}, code="unknown_item"
        )
    if not isinstance(operator, str) or operator not in item.allowed():
        raise ValidationError(
            _("“%(item)s” cannot be compared with “%(operator)s”.")
            % {"item": item.label, "operator": _shown(operator)},
            code="unknown_operator",
        )
    if not isinstance(values, list):
        raise ValidationError(_("“values” must be a list."), code="values")
    if item.type == ItemType.RECORD:
        return CleanBlock(item, operator, [_read_record(item, values)])
    return CleanBlock(item, operator, _read_values(item, operator, values))


def _read_values(item: Item, operator: str, values: list[Any]) -> list[str]:
    least, most = ARITY[operator]
    texts = [text for value in values if (text := _text(value))]
    if most == 0:
        return []  # a form may leave old values behind
    if len(texts) < least:
        raise ValidationError(
            _("“%(item)s”: enter a value. (To find empty values use “is empty”.)") % {"item": item.label}
            if least == 1
            else _("“%(item)s”: enter both values.") % {"item": item.label},
            code="value_missing",
        )
    if len(texts) > most:
        raise ValidationError(
            _("“%(item)s”: at most %(limit)s values can be given here.")
            % {"item": item.label, "limit": most},
            code="too_many_values",
        )
    if operator in IN_DAYS:
        return [_days(item.label, text) for text in texts]
    clean = [_value(item, text) for text in texts]
    if most > 2:
        clean = list(dict.fromkeys(clean))
    if operator == "between" and _sorts_after(item.type, clean):
        raise ValidationError(
            _("“%(item)s”: the first value is greater than the second.") % {"item": item.label},
            code="reversed",
        )
    return clean


def _read_record(item: Item, values: list[Any]) -> dict[str, list[str]]:
    if len(values) != 1 or not isinstance(values[0], dict):
        raise ValidationError(
            _("“%(item)s”: one object with its parts is expected.") % {"item": item.label}, code="record"
        )
    parts = {part.key: part for part in item.parts}
    record: dict[str, list[str]] = {}
    for key, given in values[0].items():
        part = parts.get(key) if isinstance(key, str) else None
        if part is None:
            raise ValidationError(
                _("“%(item)s” has no part “%(part)s”.") % {"item": item.label, "part": _shown(key)},
                code="unknown_part",
            )
        if not isinstance(given, list) or len(given) > MAX_VALUES:
            raise ValidationError(
                _("“%(item)s”: the values of “%(part)s” must be a list.")
                % {"item": item.label, "part": part.label},
                code="values",
            )
        texts = [text for value in given if (text := _text(value))]
        if texts:
            record[key] = list(dict.fromkeys(part.check(_value(part, text)) for text in texts))
            if (part.single or part.type == ItemType.DATE) and len(record[key]) > 1:
                raise ValidationError(
                    _("“%(item)s”: at most %(limit)s values can be given here.")
                    % {"item": part.label, "limit": 1},
                    code="too_many_values",
                )
    if not record:
        raise ValidationError(
            _("“%(item)s”: fill in at least one part.") % {"item": item.label}, code="value_missing"
        )
    return record


def _text(value: Any) -> str:
    """A JSON scalar as the text a form would have sent."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValidationError(_("values must be text or numbers."), code="value_type")
    if isinstance(value, int) and value.bit_length() > 128:
        raise ValidationError(_("a number is too large."), code="value_too_large")
    text = str(value)
    if _UNSTORABLE.search(text):
        raise ValidationError(
            _("a value contains a character that cannot be stored (NUL or half of a surrogate pair)."),
            code="unstorable",
        )
    if len(text) > MAX_VALUE_LENGTH:
        raise ValidationError(
            _("a value is longer than %(limit)s characters.") % {"limit": MAX_VALUE_LENGTH},
            code="value_too_long",
        )
    # CHR-6: stored text is NFC, so what is looked for is too.
    return unicodedata.normalize("NFC", text).strip()


def _value(item: Item | Part, text: str) -> str:
    if item.type == ItemType.NUMBER:
        return _number(item.label, text, whole=getattr(item, "integer", True))
    if item.type in {ItemType.DATE, ItemType.DATETIME}:
        return _moment(item.label, text, with_time=item.type == ItemType.DATETIME)
    if item.reference:
        number = unicodedata.normalize("NFKC", text)
        if not re.fullmatch(r"[0-9]{1,18}", number):
            raise ValidationError(
                _("“%(item)s”: “%(value)s” is not an ID.") % {"item": item.label, "value": _shown(text)},
                code="not_an_id",
            )
        return str(int(number))
    enumerated = getattr(item, "closed", True) and item.type in {ItemType.CHOICE, ItemType.BOOL}
    if enumerated and text not in {key for key, _label in item.choices()}:
        raise ValidationError(
            _("“%(item)s”: “%(value)s” is not one of the choices.")
            % {"item": item.label, "value": _shown(text)},
            code="unknown_choice",
        )
    return text


def _number(label: Any, text: str, *, whole: bool) -> str:
    plain = unicodedata.normalize("NFKC", text).replace(",", "").strip()
    try:
        number = (
            Decimal(plain) if len(plain) <= 40 and re.fullmatch(r"[-+]?[0-9]+(\.[0-9]+)?", plain) else None
        )
    except InvalidOperation:
        number = None
    if number is None:
        raise ValidationError(
            _("“%(item)s”: “%(value)s” is not a number.") % {"item": label, "value": _shown(text)},
            code="not_a_number",
        )
    if whole and number != int(number):
        raise ValidationError(
            _("“%(item)s”: “%(value)s” is not a whole number.") % {"item": label, "value": _shown(text)},
            code="not_whole",
        )
    if abs(number) > BIGGEST_INTEGER:
        raise ValidationError(
            _("“%(item)s”: “%(value)s” is too large.") % {"item": label, "value": _shown(text)},
            code="value_too_large",
        )
    return str(int(number)) if number == int(number) else format(number, "f")


def _days(label: Any, text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).strip()
    if not re.fullmatch(r"[0-9]{1,5}", plain) or int(plain) > MAX_DAYS:
        raise ValidationError(
            _("“%(item)s”: the number of days must be a whole number from 0 to %(limit)s.")
            % {"item": label, "limit": MAX_DAYS},
            code="days",
        )
    return str(int(plain))


def _moment(label: Any, text: str, *, with_time: bool) -> str:
    """`2026-11-21`, or with a time `2026-11-21T09:30`; slashes, 年月日 and full-width digits are read too."""
    match = _DATE.fullmatch(unicodedata.normalize("NFKC", text).strip())
    try:
        if match is None:
            raise ValueError
        day = date(*(int(part) for part in match.groups()[:3]))
        clock = time(int(match[4]), int(match[5])) if match[4] else None
        if not 1900 <= day.year <= 2200 or (clock and not with_time):
            raise ValueError
    except ValueError:
        raise ValidationError(
            _("“%(item)s”: “%(value)s” is not a date like 2026-11-21 (from 1900 to 2200).")
            % {"item": label, "value": _shown(text)},
            code="not_a_date",
        ) from None
    return datetime.combine(day, clock).isoformat(timespec="minutes") if clock else day.isoformat()


def _sorts_after(kind: ItemType, values: list[str]) -> bool:
    first, second = values
    if kind == ItemType.NUMBER:
        return Decimal(first) > Decimal(second)
    return first[:10] > second[:10] if len(first) != len(second) else first > second


def interval(text: str) -> tuple[datetime, datetime]:
    """A cleaned date or minute as the local time from which, and before which, it lasts."""
    if len(text) == 10:
        start = datetime.fromisoformat(text)
        return start, start + timedelta(days=1)
    start = datetime.fromisoformat(text)
    return start, start + timedelta(minutes=1)
