"""Cancelling applications, by people and when an address was not confirmed in time (campaigns/applications.py)."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from campaigns.application_audit import record_audit
from campaigns.events import Event, Happening, announce
from campaigns.models import Application, ApplicationState, CancelledBy
from campaigns.refusals import ApplicationRefused
from campaigns.seats import lock_application
from campaigns.status import may_still_cancel
from campaigns.waiting_list import move_up
from settings.models import User
from settings.system_settings import Setting, get_setting, register_setting
from smp.lib.deadlocks import again_after_deadlock

UNCONFIRMED_HOURS = "unconfirmed_hours"
_AT_ONCE = 500  # unconfirmed applications that one tick ends


def register_application_settings() -> None:
    """From AppConfig.ready()."""
    register_setting(
        Setting(
            UNCONFIRMED_HOURS,
            _("Hours within which the address of an application must be confirmed"),
            int,
            24,
            minimum=1,
            maximum=168,
            section=_("Applications"),
            help=_(
                "For campaigns that have the address confirmed by mail. After that the application is cancelled."
            ),
        )
    )


@again_after_deadlock
def cancel(
    application: Application,
    *,
    by: str,
    now: datetime,
    user: User | None = None,
    ip: str | None = None,
    tell: bool = True,
) -> Application:
    """Gives the seat back, and to who has waited longest. `by`: CancelledBy. Cancelled before: nothing happens. An applicant
    is refused (cancel_over) after Campaign.cancel_until, without one after the start."""
    with transaction.atomic():
        campaign, current = lock_application(application)
        if current.state == ApplicationState.CANCELLED:
            return current
        if by == CancelledBy.LEAD and not may_still_cancel(campaign, now):
            raise ApplicationRefused("cancel_over")
        before = current.state
        current.state, current.cancelled_at, current.cancelled_by = ApplicationState.CANCELLED, now, by
        current.save(update_fields=["state", "cancelled_at", "cancelled_by"])
        if by == CancelledBy.STAFF:
            record_audit("application.cancel", current, user=user, ip=ip, now=now, state=before)
        if tell and by in {CancelledBy.LEAD, CancelledBy.STAFF}:
            announce(Happening(Event.CANCELLED, current.lead, now, campaign=campaign, application=current))
        if before == ApplicationState.APPLIED:
            move_up(campaign, now=now)
    return current


def cancel_unconfirmed(now: datetime) -> int:
    """The tick: ends applications whose address was not confirmed in time. They held no seat, so nobody moves up, and
    nobody is told: the address may be a stranger's. The number ended."""
    before = now - timedelta(hours=get_setting(UNCONFIRMED_HOURS))
    late = Application.objects.filter(state=ApplicationState.PROVISIONAL, created_at__lt=before)
    with transaction.atomic():
        ids = list(
            late.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True)[:_AT_ONCE]
        )
        return Application.objects.filter(pk__in=ids).update(
            state=ApplicationState.CANCELLED, cancelled_at=now, cancelled_by=CancelledBy.UNCONFIRMED
        )
