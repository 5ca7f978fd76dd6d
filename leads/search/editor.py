"""The form of 複合検索 ↔ a condition: what to draw for each block, and how its fields are read back.

Fields: match, expression, blocks (how many), and per block n: item-n, operator-n, values-n (repeated, or one line
each in a text area), values-n-<part> for a record. Everything works as plain form posts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils.translation import gettext as _

from leads.search.condition import EVERYONE, MATCHES, MAX_BLOCKS
from leads.search.describe import operator_label
from leads.search.registry import ARITY, IN_DAYS, Choices, Item, ItemType, Part, Text, all_items, askable

EMPTY_BLOCK: dict[str, Any] = {"item": "", "operator": "", "values": []}
SELECT_FROM = 12  # more choices than this are drawn in a box that scrolls


@dataclass
class Input:
    """One field: `kind` is none, lines, text, days, date, datetime, checks or select."""

    name: str
    kind: str
    label: Text = ""
    values: list[str] = field(default_factory=list)
    choices: list[tuple[str, Text, bool]] = field(default_factory=list)  # value, label, chosen

    @property
    def text(self) -> str:
        return "\n".join(self.values)

    @property
    def long(self) -> bool:
        return len(self.choices) > SELECT_FROM


@dataclass
class BlockView:
    index: int
    item: Item | None
    item_key: str
    operators: Sequence[tuple[str, Text, bool]]
    inputs: list[Input]
    errors: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        return self.index + 1


@dataclass
class Editor:
    match: str
    expression: str
    blocks: list[BlockView]
    groups: list[tuple[str, list[Item]]]
    errors: list[str] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.blocks) >= MAX_BLOCKS


def raw_condition(
    data: QueryDict, *, campaign_id: int | None = None, more: Mapping[str, Item] | None = None
) -> dict[str, Any]:
    """The posted fields as a condition that nobody has checked yet."""
    try:
        count = min(max(int(data.get("blocks", "1")), 0), MAX_BLOCKS)
    except ValueError:
        count = 1
    match = data.get("match", "all")
    items = all_items(campaign_id) | dict(more or {})
    return {
        "match": match if match in MATCHES else "all",
        "expression": data.get("expression", ""),
        "blocks": [_raw_block(data, index, items) for index in range(count)],
    }


def _raw_block(data: QueryDict, index: int, items: dict[str, Item]) -> dict[str, Any]:
    key = data.get(f"item-{index}", "")
    operator = data.get(f"operator-{index}", "")
    item = items.get(key)
    if item is None:
        return {"item": key, "operator": operator, "values": []}
    if operator not in item.allowed():
        return {"item": key, "operator": item.allowed()[0], "values": []}
    if item.type == ItemType.RECORD:
        parts = {part.key: _lines(data.getlist(f"values-{index}-{part.key}")) for part in item.parts}
        return {
            "item": key,
            "operator": operator,
            "values": [{part: values for part, values in parts.items() if values}],
        }
    values = data.getlist(f"values-{index}")
    if _kind(item, operator) == "lines":
        values = _lines(values)
    return {"item": key, "operator": operator, "values": [value for value in values if value.strip()]}


def _lines(values: list[str]) -> list[str]:
    return [line.strip() for value in values for line in value.splitlines() if line.strip()]


def to_search(condition: dict[str, Any]) -> dict[str, Any]:
    """Without the blocks nobody filled in; with an expression their numbers count, so they stay."""
    if condition["match"] == "expression":
        return condition
    blocks = [block for block in condition["blocks"] if block["item"]]
    return {"match": condition["match"], "blocks": blocks} if blocks else dict(EVERYONE)


def editor_for(
    condition: Any,
    error: ValidationError | None = None,
    *,
    campaign_id: int | None = None,
    more: Mapping[str, Item] | None = None,
) -> Editor:
    """What to draw for a condition that may be unfinished or wrong. `more`: items that are offered in this place only, first."""
    shape = condition if isinstance(condition, dict) else {}
    blocks = shape.get("blocks")
    blocks = [block for block in blocks if isinstance(block, dict)] if isinstance(blocks, list) else []
    items = dict(more or {}) | all_items(campaign_id)
    groups: dict[str, list[Item]] = {}
    for item in items.values():
        groups.setdefault(str(item.group), []).append(item)
    by_block: dict[int, list[str]] = {}
    general: list[str] = []
    for part in error.error_list if error else []:
        number = (part.params or {}).get("block") if isinstance(part.params, dict) else None
        (by_block.setdefault(number, []) if number else general).extend(part.messages)
    views = [_block_view(index, block, items) for index, block in enumerate(blocks or [EMPTY_BLOCK])]
    for view in views:
        view.errors = by_block.get(view.number, [])
    match = shape.get("match", "all")
    return Editor(
        match=match if match in MATCHES else "all",
        expression=str(shape.get("expression", "")),
        blocks=views,
        groups=list(groups.items()),
        errors=general,
    )


def _block_view(index: int, block: dict[str, Any], items: dict[str, Item]) -> BlockView:
    key = block.get("item")
    item = items.get(key) if isinstance(key, str) else None
    if item is None:
        return BlockView(index, None, str(key or ""), [], [])
    operator = block.get("operator")
    if operator not in item.allowed():
        operator = item.allowed()[0]
    values = block.get("values")
    values = values if isinstance(values, list) else []
    operators: list[tuple[str, Text, bool]] = [
        (name, operator_label(item, name), name == operator) for name in item.allowed()
    ]
    if item.type == ItemType.RECORD:
        record = values[0] if values and isinstance(values[0], dict) else {}
        inputs = [
            _input(f"values-{index}-{part.key}", part, _strings(record.get(part.key)), part.label)
            for part in item.parts
        ]
        return BlockView(index, item, item.key, operators, inputs)
    kind = _kind(item, operator)
    if kind == "none":
        return BlockView(index, item, item.key, operators, [])
    if kind in {"checks", "select"}:
        return BlockView(
            index,
            item,
            item.key,
            operators,
            [_input(f"values-{index}", item, _strings(values), _("Value"), kind)],
        )
    texts = _strings(values)
    if kind == "lines":
        return BlockView(
            index, item, item.key, operators, [Input(f"values-{index}", kind, _("Value"), texts)]
        )
    wanted = 2 if operator == "between" else max(1, len(texts)) if ARITY[operator][1] > 2 else 1
    texts = (texts + ["", ""])[:wanted]
    labels = [_("From (value)"), _("To (value)")] if operator == "between" else [_("Value")] * wanted
    return BlockView(
        index, item, item.key, operators,
        [Input(f"values-{index}", kind, label, [text]) for label, text in zip(labels, texts, strict=True)],
    )  # fmt: skip


def _strings(values: Any) -> list[str]:
    return (
        [str(value) for value in values if isinstance(value, (str, int, float))]
        if isinstance(values, list)
        else []
    )


def _kind(item: Item, operator: str) -> str:
    if ARITY[operator] == (0, 0):
        return "none"
    if operator in IN_DAYS:
        return "days"
    if item.type == ItemType.DATE:
        return "date"
    if item.type == ItemType.DATETIME:
        return "datetime"
    if item.type == ItemType.BOOL:
        return "select"
    if item.type == ItemType.CHOICE and operator in {"is", "is_not"}:
        return "checks"
    if item.type == ItemType.NUMBER and operator not in {"is", "is_not"}:
        return "text"
    return "lines"


def _input(name: str, source: Item | Part, values: list[str], label: Text, kind: str = "") -> Input:
    if source.type in {ItemType.NUMBER, ItemType.TEXT}:
        return Input(name, "text" if getattr(source, "single", False) else "lines", label, values)
    if source.type == ItemType.DATE:
        return Input(name, "date", label, values)
    choices: Choices = source.choices()
    known = {key for key, _label in choices}
    missing = [value for value in values if value not in known]
    labels: Callable[..., dict[str, Text]] = source.labels or (lambda _values: {})
    named = labels(askable(source, missing)) if missing else {}
    drawn = [(key, text, key in values) for key, text in choices]
    # Older than the newest ones offered, or deleted since: still shown, still ticked.
    drawn += [
        (key, named.get(key, _("(deleted: #%(id)s)") % {"id": key[:20]} if source.reference else key), True)
        for key in missing
    ]
    return Input(name, kind or "checks", label, values, drawn)
