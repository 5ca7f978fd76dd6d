"""Condition → one QuerySet of leads: one SQL statement, no joins, usable as a CTE by mail/recipients."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q

from leads.models import LeadQuerySet
from leads.scope import leads_in
from leads.search.condition import Condition, read_condition
from leads.search.expression import And, Block, Node, Not
from leads.search.registry import Item


def leads_matching(condition: Any, *, now: datetime, campaign_id: int | None = None) -> LeadQuerySet:
    """The existing leads that match, each once, unordered; of a campaign its applicants (APP-1). `now` is what relative
    dates count from.

    ValidationError when the condition is wrong or names an item that is gone: better no mail than a wrong one.
    `.values("id").query.sql_with_params()` never raises for the result.
    """
    read = read_condition(condition, campaign_id=campaign_id)
    leads = leads_in(campaign_id)
    return leads if read.tree is None else leads.filter(_compile(read.tree, read, now))


def condition_q(condition: Any, *, now: datetime, more: Mapping[str, Item] | None = None) -> Q:
    """The condition on Lead by itself: true or false for every lead, never NULL. For the all-campaign mode, with `more`
    items of the place where it is asked. ValidationError as leads_matching."""
    read = read_condition(condition, more=more)
    return Q() if read.tree is None else _compile(read.tree, read, now)


def _compile(node: Node, condition: Condition, now: datetime) -> Q:
    if isinstance(node, Block):
        block = condition.blocks[node.number - 1]
        return block.item.q(block.operator, block.values, now)
    if isinstance(node, Not):
        return ~_compile(node.inner, condition, now)
    parts = [_compile(part, condition, now) for part in node.parts]
    q = parts[0]
    for part in parts[1:]:
        q = q & part if isinstance(node, And) else q | part
    return q
