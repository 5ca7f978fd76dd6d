"""Why an application is refused, in both languages: what is wrong and what to do."""

from collections.abc import Mapping
from datetime import datetime

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from campaigns.models import ApplicationWay, Campaign, CampaignState
from campaigns.status import has_passed, is_over

TEXTS: Mapping[str, str | Promise] = {
    "not_open": _("This campaign takes no applications."),
    "not_yet": _("Applications have not opened yet. Please come back later."),
    "closed": _("Applications are closed."),
    "archived": _("This campaign is archived. Take it out of the archive first."),
    "full": _("All seats are taken."),
    "session_full": _("The session you chose is full. Choose another one."),
    "session_unknown": _("One of the sessions does not belong to this campaign. Open the page anew and choose again."),
    "session_missing": _("Choose a session."),
    "session_one": _("Choose one session only."),
    "question_unknown": _("One of the answers belongs to no question of this campaign. Open the page anew and answer again."),
    "choice_unknown": _("One of the choices does not exist. Open the page anew and choose again."),
    "lead_gone": _("This lead has been deleted."),
    "cancelled": _("This application was cancelled. Please apply again."),
    "unconfirmed": _("The address was not confirmed in time, so the application was cancelled. Please apply again."),
    "changed": _("The form was sent again with other entries. Please look at them, and press the button again."),
    "cancel_over": _("Cancelling is no longer possible. Please contact the organiser."),
    "token": _("This form was sent for another campaign. Open the page anew and apply again."),
}  # fmt: skip

# Ways of the public: they keep to the period. Staff, files and the API may register before and after it.
PUBLIC = frozenset({ApplicationWay.FORM, ApplicationWay.MY_PAGE})


class ApplicationRefused(Exception):
    """`code` is a key of TEXTS; `text` says it in the active language."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    @property
    def text(self) -> str:
        return str(TEXTS[self.code])


def check_open(campaign: Campaign, *, way: str, now: datetime) -> None:
    """ApplicationRefused when this way may not apply now. Seats are not looked at."""
    if way not in PUBLIC:
        if campaign.state == CampaignState.ARCHIVED:
            raise ApplicationRefused("archived")
        return
    if campaign.state in {CampaignState.DRAFT, CampaignState.ARCHIVED}:
        raise ApplicationRefused("not_open")
    if (
        campaign.state == CampaignState.CLOSED
        or has_passed(campaign.applications_until, now)
        or is_over(campaign, now)
    ):
        raise ApplicationRefused("closed")
    if campaign.applications_from is not None and now < campaign.applications_from:
        raise ApplicationRefused("not_yet")
