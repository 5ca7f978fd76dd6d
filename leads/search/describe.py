"""Condition → one sentence people can read, in the current language; stays readable when rows it names are gone."""

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from leads.search.expression import And, Block, Node, Not, parse_expression
from leads.search.registry import Item, ItemType, Part, askable, items_anywhere, items_for

# What a screen offers; the item stands before it.
OPERATOR_LABELS: dict[str, Promise] = {
    "contains": gettext_lazy("contains"),
    "not_contains": gettext_lazy("does not contain"),
    "is": gettext_lazy("is one of"),
    "is_not": gettext_lazy("is none of"),
    "starts_with": gettext_lazy("starts with"),
    "lt": gettext_lazy("less than / before"),
    "le": gettext_lazy("at most / until"),
    "gt": gettext_lazy("greater than / after"),
    "ge": gettext_lazy("at least / from"),
    "between": gettext_lazy("between"),
    "today": gettext_lazy("today"),
    "within_days": gettext_lazy("within the last N days"),
    "next_days": gettext_lazy("within the next N days"),
    "days_ago": gettext_lazy("N days ago or earlier"),
    "days_ago_exactly": gettext_lazy("exactly N days ago"),
    "in_days": gettext_lazy("in N days or later"),
    "in_days_exactly": gettext_lazy("in exactly N days"),
    "last_month": gettext_lazy("last month"),
    "this_month": gettext_lazy("this month"),
    "next_month": gettext_lazy("next month"),
    "anniversary": gettext_lazy("today's month and day, of any year"),
    "month_of_year": gettext_lazy("this month, of any year"),
    "empty": gettext_lazy("is empty"),
    "not_empty": gettext_lazy("is not empty"),
}
MANY_LABELS: dict[str, Promise] = {
    "is": gettext_lazy("has one of"),
    "is_not": gettext_lazy("has some other (does not match)"),
}
_SENTENCES: dict[str, Promise] = {
    "contains": gettext_lazy("“%(item)s” contains %(values)s"),
    "not_contains": gettext_lazy("“%(item)s” does not contain %(values)s"),
    "is": gettext_lazy("“%(item)s” is %(values)s"),
    "is_not": gettext_lazy("“%(item)s” is not %(values)s"),
    "starts_with": gettext_lazy("“%(item)s” starts with %(values)s"),
    "lt": gettext_lazy("“%(item)s” < %(values)s"),
    "le": gettext_lazy("“%(item)s” ≤ %(values)s"),
    "gt": gettext_lazy("“%(item)s” > %(values)s"),
    "ge": gettext_lazy("“%(item)s” ≥ %(values)s"),
    "between": gettext_lazy("“%(item)s” is from %(first)s to %(second)s"),
    "today": gettext_lazy("“%(item)s” is today"),
    "within_days": gettext_lazy("“%(item)s” is within the last %(days)s days"),
    "next_days": gettext_lazy("“%(item)s” is within the next %(days)s days"),
    "days_ago": gettext_lazy("“%(item)s” is %(days)s days ago or earlier"),
    "days_ago_exactly": gettext_lazy("“%(item)s” is exactly %(days)s days ago"),
    "in_days": gettext_lazy("“%(item)s” is in %(days)s days or later"),
    "in_days_exactly": gettext_lazy("“%(item)s” is in exactly %(days)s days"),
    "last_month": gettext_lazy("“%(item)s” is in last month"),
    "this_month": gettext_lazy("“%(item)s” is in this month"),
    "next_month": gettext_lazy("“%(item)s” is in next month"),
    "anniversary": gettext_lazy("“%(item)s” has its anniversary today"),
    "month_of_year": gettext_lazy("“%(item)s” is in this month, of any year"),
    "empty": gettext_lazy("“%(item)s” is empty"),
    "not_empty": gettext_lazy("“%(item)s” is not empty"),
}
_MANY_SENTENCES: dict[str, Promise] = {
    **_SENTENCES,
    "is": gettext_lazy("has %(values)s under “%(item)s”"),
    "is_not": gettext_lazy("has something other than %(values)s under “%(item)s”"),
}
SHOWN_VALUES = 8


def operator_label(item: Item, operator: str) -> Promise:
    return MANY_LABELS.get(operator, OPERATOR_LABELS[operator]) if item.many else OPERATOR_LABELS[operator]


def describe_condition(condition: Any, *, inside: int | None = None) -> str:
    """Never raises: a part that cannot be read is named as such. `inside`: a campaign's id, whose pages name only what
    can be searched there; None knows the items of every mode."""
    return describe_conditions([condition], inside=inside)[0]


def describe_conditions(conditions: Iterable[Any], *, inside: int | None = None) -> list[str]:
    """One sentence each. The names of all templates, jobs, columns … are fetched together: as many queries for one
    condition as for a page of them."""
    wanted = list(conditions)
    blocks = [block for condition in wanted for block in _blocks(condition)]
    keys = {block["item"] for block in blocks}
    items = items_anywhere(keys) if inside is None else items_for(keys, inside)
    names = _names(blocks, items)
    return [_sentence(condition, items, names) for condition in wanted]


Names = dict[tuple[str, str], dict[str, Any]]  # (item, part or "") → {value: its name}


def _blocks(condition: Any) -> list[dict[str, Any]]:
    if not isinstance(condition, dict) or not isinstance(condition.get("blocks"), list):
        return []
    return [
        block
        for block in condition["blocks"]
        if isinstance(block, dict) and isinstance(block.get("item"), str)
    ]


def _texts(values: Any) -> list[str]:
    return (
        [str(value) for value in values if isinstance(value, (str, int, float))]
        if isinstance(values, list)
        else []
    )


def _record(values: Any) -> dict[str, Any]:
    return values[0] if isinstance(values, list) and values and isinstance(values[0], dict) else {}


def _names(blocks: list[dict[str, Any]], items: dict[str, Item]) -> Names:
    used: dict[tuple[str, str], list[str]] = {}
    for block in blocks:
        item = items.get(block["item"])
        if item is None:
            continue
        if item.type == ItemType.RECORD:
            for part in item.parts:
                used.setdefault((item.key, part.key), []).extend(
                    _texts(_record(block.get("values")).get(part.key))
                )
        else:
            used.setdefault((item.key, ""), []).extend(_texts(block.get("values")))
    names: Names = {}
    for (key, part_key), values in used.items():
        source: Item | Part = items[key]
        if part_key:
            source = next(part for part in items[key].parts if part.key == part_key)
        if not values:
            names[key, part_key] = {}
        elif source.labels is not None:
            names[key, part_key] = dict(source.labels(askable(source, values)))
        elif not source.reference:
            names[key, part_key] = dict(source.choices())
        else:
            names[key, part_key] = {}
    return names


def _named(source: Item | Part, values: list[str], names: dict[str, Any]) -> str:
    shown = []
    for value in values[:SHOWN_VALUES]:
        if value in names:
            shown.append(_("“%(value)s”") % {"value": names[value]})
        elif source.reference:
            shown.append(_("(deleted: #%(id)s)") % {"id": value[:20]})
        elif source.type in {ItemType.NUMBER, ItemType.DATE}:
            shown.append(value)
        elif source.type == ItemType.DATETIME:
            shown.append(value.replace("T", " "))
        else:
            shown.append(_("“%(value)s”") % {"value": value})
    if len(values) > SHOWN_VALUES:
        shown.append(_("%(count)s more") % {"count": len(values) - SHOWN_VALUES})
    return _(" or ").join(shown)


def _block_sentence(block: Any, items: dict[str, Item], names: Names) -> str:
    key = block.get("item") if isinstance(block, dict) else None
    item = items.get(key) if isinstance(key, str) else None
    if item is None or not isinstance(key, str):
        return _("(an item that does not exist any more: %(item)s)") % {"item": str(key)[:40]}
    operator, values = block.get("operator"), block.get("values")
    if not isinstance(operator, str) or operator not in item.allowed():
        return _("(unreadable condition on “%(item)s”)") % {"item": item.label}
    if item.type == ItemType.RECORD:
        record = _record(values)
        said = _(", ").join(
            _("%(part)s %(values)s")
            % {"part": part.label, "values": _named(part, texts, names.get((item.key, part.key), {}))}
            for part in item.parts
            if (texts := _texts(record.get(part.key)))
        )
        template = _MANY_SENTENCES[operator]
        return str(template) % {"item": item.label, "values": _("(%(parts)s)") % {"parts": said}}
    texts = _texts(values)
    known = names.get((item.key, ""), {})
    sentence = str((_MANY_SENTENCES if item.many else _SENTENCES)[operator])
    pair = [*texts, "", ""]
    return sentence % {
        "item": item.label,
        "values": _named(item, texts, known),
        "days": texts[0] if texts else "",
        "first": pair[0].replace("T", " "),
        "second": pair[1].replace("T", " "),
    }


def _sentence(condition: Any, items: dict[str, Item], names: Names) -> str:
    if not isinstance(condition, dict) or not isinstance(condition.get("blocks", []), list):
        return _("(unreadable condition)")
    blocks = condition.get("blocks", [])
    if not blocks:
        return _("Everyone")
    said = [_block_sentence(block, items, names) for block in blocks]
    match = condition.get("match", "all")
    if match == "expression":
        try:
            tree = parse_expression(str(condition.get("expression", "")), len(blocks))
        except ValidationError:
            return _("(unreadable expression)") + " " + _(", ").join(said)
        return _say(tree, said, outermost=True)
    joint = _(" or, ") if match == "any" else _(" and, ")
    return joint.join(said)


def _say(node: Node, said: list[str], *, outermost: bool = False) -> str:
    if isinstance(node, Block):
        return said[node.number - 1]
    if isinstance(node, Not):
        return _("not (%(inner)s)") % {"inner": _say(node.inner, said, outermost=True)}
    joint = _(" and, ") if isinstance(node, And) else _(" or, ")
    text = joint.join(_say(part, said) for part in node.parts)
    return text if outermost else _("(%(parts)s)") % {"parts": text}
