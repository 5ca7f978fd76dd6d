"""Copying a campaign takes along its templates, with their files, and its mail settings (campaigns/copying.py)."""

import uuid
from datetime import datetime

from campaigns.copying import register_copier
from campaigns.models import Campaign
from campaigns.search_copies import copy_of
from mail.models import MailSettings, MailTemplate, StepMail, StepState
from mail.templates import copy_template
from settings.models import User


def copy_mails(old: Campaign, new: Campaign, user: User | None, now: datetime) -> None:
    """Archived templates stay behind; a mail setting that named one starts with the text of the product. What was sent
    with the old templates does not count for the new ones (EXC-2)."""
    copies: dict[int, MailTemplate] = {}
    for template in MailTemplate.objects.filter(campaign=old, archived_at=None).order_by("pk"):
        copies[template.pk] = copy_template(template, campaign_id=new.pk, user=user)
    for row in MailSettings.objects.filter(campaign=old).select_related("template").order_by("pk"):
        if row.template is not None and row.template.campaign_id == old.pk:
            row.template = copies.get(row.template.pk)
        row.pk, row.campaign = None, new
        row._state.adding = True
        row.save()
    _copy_steps(old, new, copies, user)


def _copy_steps(old: Campaign, new: Campaign, templates: dict[int, MailTemplate], user: User | None) -> None:
    """Step mails that were started, as drafts: somebody looks at them before they send. Who waits stays with the old
    campaign. A condition or template that stayed behind has to be chosen anew."""
    states = (StepState.ACTIVE, StepState.STOPPED)
    for step in (
        StepMail.objects.filter(campaign=old, state__in=states).select_related("search").order_by("pk")
    ):
        step.search = copy_of(step.search, new) if step.search else None
        step.template = templates.get(step.template_id or 0)
        step.pk, step.campaign, step.token, step.created_by = None, new, uuid.uuid4(), user
        step.state, step.active_since, step.trouble, step.unwanted_confirmed = (
            StepState.DRAFT,
            None,
            "",
            False,
        )
        step._state.adding = True
        step.save()


def register() -> None:
    register_copier(copy_mails)
