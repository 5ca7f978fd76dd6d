"""APP-1: what of mail/ belongs to a mode. Every view, card, finder and panel narrows by one of these two.

`campaign_id` is that of the mode (smp.lib.mode.campaign_of), None for all campaigns.
"""

from typing import TypeVar

from django.db.models import Model, QuerySet

from mail.models.template import MailTemplate

Row = TypeVar("Row", bound=Model)


def usable_in(campaign_id: int | None, rows: QuerySet[Row]) -> QuerySet[Row]:
    """What is made to be used (templates, searches, wizard runs): the mode's own, and nothing of another one."""
    if rows.model is MailTemplate:  # the content of a magazine's story is nobody else's
        rows = rows.filter(magazine=None)
    return rows.filter(campaign_id=campaign_id)


def shown_in(campaign_id: int | None, rows: QuerySet[Row]) -> QuerySet[Row]:
    """History (confirmed jobs, deliveries): of one campaign its own, in the all-campaign mode everything."""
    return rows if campaign_id is None else rows.filter(campaign_id=campaign_id)
