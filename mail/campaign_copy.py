"""Copying a campaign takes along its templates, with their files, and its mail settings (campaigns/copying.py)."""

from datetime import datetime

from campaigns.copying import register_copier
from campaigns.models import Campaign
from mail.models import MailSettings, MailTemplate
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


def register() -> None:
    register_copier(copy_mails)
