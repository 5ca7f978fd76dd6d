"""The options that `send` and `preview_recipients` share, and how they become a draft."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from campaigns.models import Campaign
from leads.models import DmPermission
from leads.scope import leads_in
from leads.search import leads_matching
from leads.searches import usable_search
from mail.models import MailTemplate, SendJob
from mail.models.send_job import RecipientRule
from mail.send_jobs import Refused, create_draft


def add_recipient_options(parser: CommandParser, *, required: bool = True) -> None:
    parser.add_argument("--template", type=int, required=required, metavar="ID", help="the template to send")
    parser.add_argument(
        "--campaign",
        type=int,
        metavar="ID",
        help="inside this campaign: its templates, searches and applicants",
    )
    rule = parser.add_mutually_exclusive_group(required=required)
    rule.add_argument(
        "--search", type=int, metavar="ID", help="by search: a saved search, run again at the start"
    )
    rule.add_argument("--leads", metavar="1,2,3", help="by user: these leads (at most 500)")
    parser.add_argument(
        "--dm", default="wanted", metavar="wanted,unwanted", help="values of DM permission to include"
    )
    parser.add_argument(
        "--include-sent", action="store_true", help="also leads that were sent this template before"
    )
    parser.add_argument("--at", metavar="ISO8601", help="reserve for this time instead of sending at once")


def moment_from(text: str | None) -> datetime | None:
    """ISO 8601; without a zone it is the product's own (Asia/Tokyo). CommandError when it cannot be read."""
    if text is None:
        return None
    try:
        value = parse_datetime(text)
    except ValueError:
        value = None
    if value is None:
        raise CommandError(
            _("--at: write the time as 2026-11-24T10:00 (ISO 8601), not “%(text)s”.") % {"text": text}
        )
    return timezone.make_aware(value) if timezone.is_naive(value) else value


def draft_from(options: dict[str, Any]) -> SendJob:
    """A draft job of the options; CommandError with a sentence when something does not exist."""
    campaign = options["campaign"]
    if campaign is not None and not Campaign.objects.filter(pk=campaign).exists():
        raise CommandError(_("There is no campaign %(id)s.") % {"id": campaign})
    template = MailTemplate.objects.filter(pk=options["template"]).first()
    if template is None:
        raise CommandError(_("There is no template %(id)s.") % {"id": options["template"]})
    permissions = [part.strip() for part in options["dm"].split(",") if part.strip()]
    if not permissions or set(permissions) - set(DmPermission.values):
        raise CommandError(_("--dm takes wanted, unwanted or wanted,unwanted."))
    values: dict[str, Any] = {
        "dm_permissions": sorted(set(permissions), reverse=True),
        # Typing the value is the confirmation of OPT-4; it is written to the audit log like the wizard's.
        "unwanted_confirmed": DmPermission.UNWANTED in permissions,
        "include_sent": options["include_sent"],
        "scheduled_at": moment_from(options["at"]),
    }
    try:
        if options["search"] is not None:
            search = usable_search(options["search"], None, campaign)
            leads_matching(search.condition, now=timezone.now(), campaign_id=campaign)
            return create_draft(
                user=None, rule=RecipientRule.BY_SEARCH, template=template, search=search, campaign_id=campaign, **values
            )  # fmt: skip
        try:
            ids = {int(part) for part in options["leads"].split(",") if part.strip()}
        except ValueError as error:
            raise CommandError(_("--leads takes lead ids separated by commas.")) from error
        existing = set(leads_in(campaign).filter(id__in=ids).values_list("id", flat=True))
        if missing := sorted(ids - existing):
            shown = ", ".join(map(str, missing))
            if campaign is not None:
                raise CommandError(
                    _("There are no applicants of campaign %(campaign)s with these ids: %(ids)s")
                    % {"campaign": campaign, "ids": shown}
                )
            raise CommandError(_("There are no leads with these ids: %(ids)s") % {"ids": shown})
        with transaction.atomic():
            return create_draft(
                user=None, rule=RecipientRule.BY_USER, template=template, lead_ids=ids, campaign_id=campaign, **values
            )  # fmt: skip
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    except Refused as error:
        raise CommandError(error.message) from error
