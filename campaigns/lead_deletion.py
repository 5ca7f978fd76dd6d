"""When a lead with applications may be deleted (leads.edit.register_obstacle).

- Nobody deletes a person whose application lives: it would keep a seat without anybody in it. Cancel it first.
- A campaign administrator deletes only whom their campaign brought: a person with an application elsewhere, or who was
  a lead before applying, belongs to the others too (SYS-1).
"""

from django.db.models import Min
from django.utils.translation import gettext as _

from campaigns.models import LIVE, Application
from leads.edit import register_obstacle
from leads.models import Lead
from settings.models import User


def register() -> None:
    """From AppConfig.ready()."""
    register_obstacle(live_application)
    register_obstacle(known_elsewhere)


def live_application(lead: Lead, user: User | None, campaign_id: int | None) -> str | None:
    live = Application.objects.filter(lead=lead, state__in=LIVE)
    # Whoever may not open the other campaign is told by known_elsewhere, without its name.
    if user is not None and user.only_own_campaigns and campaign_id is not None:
        live = live.filter(campaign_id=campaign_id)
    if not live.exists():
        return None
    return _("This person has an application. Cancel it first, so that the seat is free again.")


def known_elsewhere(lead: Lead, user: User | None, campaign_id: int | None) -> str | None:
    if user is None or not user.only_own_campaigns or campaign_id is None:
        return None
    applications = Application.objects.filter(lead=lead)
    first = applications.filter(campaign_id=campaign_id).aggregate(first=Min("created_at"))["first"]
    elsewhere = applications.exclude(campaign_id=campaign_id).exists()
    if not elsewhere and first is not None and lead.created_at >= first:
        return None
    return _(
        "This person is known outside of this campaign too, so only a privileged administrator can delete the lead."
    )
