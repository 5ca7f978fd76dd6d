"""複合検索: a stored condition tree → one QuerySet of leads. What can be searched is in registry.py."""

from leads.search.condition import EVERYONE, validate_condition
from leads.search.describe import describe_condition, describe_conditions
from leads.search.matching import condition_q, leads_matching
from leads.search.registry import Item, ItemType, Part, register_item, register_lookup, register_provider

__all__ = [
    "EVERYONE",
    "Item",
    "ItemType",
    "Part",
    "condition_q",
    "describe_condition",
    "describe_conditions",
    "leads_matching",
    "register_item",
    "register_lookup",
    "register_provider",
    "validate_condition",
]
