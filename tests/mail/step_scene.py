"""A campaign with a step mail in operation, and a step mail of all campaigns, in one call each."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from campaigns.events import Event, Happening, announce
from campaigns.models import Application, Campaign
from leads.models import SavedSearch
from leads.search import EVERYONE
from mail.models import StepMail
from mail.step_mail import create_draft, start
from mail.step_waits import Viewed, viewed
from tests.factories import make_application, make_campaign, make_template

PAGE = "https://www.example.jp/seminar/2026"


def make_search(condition: Any = EVERYONE, campaign: Campaign | None = None, **values: Any) -> SavedSearch:
    values.setdefault("name", f"全員 {SavedSearch.objects.count() + 1}")
    values.setdefault("shared", True)
    return SavedSearch.objects.create(
        condition=condition, campaign_id=campaign.pk if campaign else None, **values
    )


def draft_step(campaign: Campaign | None = None, **values: Any) -> StepMail:
    values.setdefault("name", "お申し込みから3日後")
    values.setdefault("template", make_template(campaign=campaign))
    if "search" not in values:
        values["search"] = make_search(campaign=campaign)
    if campaign is None:
        values.setdefault("url_pattern", "www.example.jp/seminar/*")
    values.setdefault("wait_minutes", 3 * 24 * 60)
    return create_draft(user=None, campaign_id=campaign.pk if campaign else None, **values)


def active_step(campaign: Campaign | None = None, *, since: Any = None, **values: Any) -> StepMail:
    """In operation since a minute ago, so that what happens now counts."""
    step = draft_step(campaign, **values)
    start(step, user=None, now=since or timezone.now() - timedelta(minutes=1))
    return step


def application_step(**values: Any) -> StepMail:
    return active_step(make_campaign(), **values)


def apply(step: StepMail, lead: Any = None, *, event: Event = Event.RECEIVED, **values: Any) -> Application:
    """Somebody applies: written straight to the table and announced, without a mail to them."""
    assert step.campaign is not None
    application = make_application(step.campaign, lead, **values)
    tell(application, event)
    return application


def tell(application: Application, event: Event = Event.RECEIVED) -> None:
    now = timezone.now()
    campaign = application.campaign
    announce(Happening(event, application.lead, now, campaign=campaign, application=application, tell=False))


def look_at(lead: Any, *urls: str, at: Any = None, before_known: bool = False, now: Any = None) -> int:
    """Views of pages by a known lead."""
    now = now or timezone.now()
    views = [
        Viewed(lead.pk, url, at or now, f"{lead.pk}-{number}-{now.timestamp()}", before_known)
        for number, url in enumerate(urls)
    ]
    return viewed(views, now=now)
