"""TKT-4: the check-in at the door. Who came is known by the code on the ticket, or by L and the lead's id.

Phones send a scan again when they do not know whether it arrived; `scan` makes it one. Two phones that scan the same person
at the same moment wait for each other at the application's row.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.db.models import Count, Q
from django.utils.translation import gettext_lazy as _

from campaigns.models import Application, ApplicationState, Campaign, CheckIn, Session, SessionChoice
from campaigns.ticket_code import LONGEST_INPUT, clean_code
from leads.models import Lead
from settings import audit
from settings.models import User

OLDEST = timedelta(days=2)  # how long a phone may have been without a network
_LEAD = re.compile(r"L(\d{1,18})")  # no L stands in a code


class Result(models.TextChoices):
    OK = "ok", _("Checked in")
    ALREADY = "already", _("Checked in already")
    UNKNOWN = "unknown", _("Not a registered user")
    NOT_APPLIED = "not_applied", _("Not registered in advance")
    MALFORMED = "malformed", _("The ID is not in the right form")
    EMPTY = "empty", _("Please enter something")
    NO_SESSION = "no_session", _("The chosen session does not exist")


@dataclass(frozen=True)
class CheckedIn:
    """`application` is one of this campaign, or None: nobody learns the names of other campaigns here."""

    result: Result
    application: Application | None = None
    check_in: CheckIn | None = None


@dataclass(frozen=True)
class Turnout:
    attended: int
    applied: int


def check_in(
    campaign: Campaign,
    text: str,
    *,
    scan: UUID,
    at: datetime,
    user: User | None,
    now: datetime,
    session: Session | None = None,
) -> CheckedIn:
    """`at`: when the phone read it, by the phone's clock. `session`: at the door of that session, judged apart."""
    if session is not None and session.campaign_id != campaign.pk:
        return CheckedIn(Result.NO_SESSION)
    if done := _done(campaign, scan):
        return done
    if not text.strip():
        return CheckedIn(Result.EMPTY)
    found = _find(campaign, text)
    if found.application is None or found.result != Result.OK:
        return found
    with transaction.atomic():
        application = _lock(found.application.pk)
        if application.state != ApplicationState.APPLIED or not _takes_part(application, session):
            return CheckedIn(Result.NOT_APPLIED, application)
        before = CheckIn.objects.filter(application=application, session=session, undone_at=None)
        if earlier := before.order_by("at").first():
            # Sent twice at the same moment: the second one waited for the first, and is the same scan.
            result = Result.OK if earlier.scan == scan else Result.ALREADY
            return CheckedIn(result, application, earlier)
        return _write(application, session, scan=scan, at=bounded(at, now=now), user=user, now=now)


def undo(made: CheckIn, *, user: User | None, now: datetime, ip: str | None = None) -> bool:
    """Takes a check-in back; False when it was taken back already."""
    with transaction.atomic():
        application = _lock(made.application_id)
        if not CheckIn.objects.filter(pk=made.pk, undone_at=None).update(undone_at=now):
            return False
        _remember_first(application)
        audit.record("check_in.undo", user=user, target=application, ip=ip)
        return True


def bounded(at: datetime, *, now: datetime) -> datetime:
    """A clock that is fast or two days off tells nothing: then the moment of the arrival counts."""
    return at if now - OLDEST <= at <= now else now


def count(campaign: Campaign, session: Session | None = None) -> Turnout:
    """Who came, of those who hold a seat."""
    came = Q(attended_at__isnull=False)
    expected = Application.objects.filter(campaign=campaign, state=ApplicationState.APPLIED)
    if session is not None:
        came = Q(check_ins__session=session, check_ins__undone_at=None)
        if campaign.session_choice != SessionChoice.NONE:
            expected = expected.filter(chosen__session=session)
    numbers = expected.aggregate(
        applied=Count("pk", distinct=True), attended=Count("pk", filter=came, distinct=True)
    )
    return Turnout(numbers["attended"], numbers["applied"])


def latest(campaign: Campaign, limit: int = 10) -> list[CheckIn]:
    """The newest check-ins that stand."""
    made = CheckIn.objects.filter(application__campaign=campaign, undone_at=None)
    return list(made.select_related("application__lead", "session").order_by("-received_at", "-pk")[:limit])


def _done(campaign: Campaign, scan: UUID) -> CheckedIn | None:
    """What a scan that arrived before has done. One of another campaign is none of ours."""
    made = (
        CheckIn.objects.filter(scan=scan).select_related("application__lead", "application__campaign").first()
    )
    if made is None:
        return None
    if made.application.campaign_id != campaign.pk:
        return CheckedIn(Result.MALFORMED)
    return CheckedIn(Result.OK, made.application, made)


def _find(campaign: Campaign, text: str) -> CheckedIn:
    """Whose code or lead id it is. OK: this application; only its locked row says whether it may come in."""
    code = clean_code(text)
    lead_id = None if code else _lead_id(text)
    if code is None and lead_id is None:
        return CheckedIn(Result.MALFORMED)
    own: Application | None = None
    if code is not None:
        holder = Application.objects.filter(code=code).select_related("lead", "campaign").first()
        if holder is None:
            return CheckedIn(Result.UNKNOWN)
        if holder.campaign_id != campaign.pk:
            return CheckedIn(Result.NOT_APPLIED)
        if holder.state == ApplicationState.APPLIED:
            return CheckedIn(Result.OK, holder)
        # An old ticket of somebody who cancelled and applied again, or whose applications were merged.
        own, lead_id = holder, holder.lead.merged_into_id or holder.lead_id
    elif lead_id is not None and not Lead.objects.filter(pk=lead_id).exists():
        return CheckedIn(Result.UNKNOWN)
    applied = Application.objects.filter(campaign=campaign, lead=lead_id).select_related("lead", "campaign")
    standing = applied.filter(state=ApplicationState.APPLIED).first()
    if standing is not None:
        return CheckedIn(Result.OK, standing)
    return CheckedIn(Result.NOT_APPLIED, own or applied.first())


def _lead_id(text: str) -> int | None:
    if len(text) > LONGEST_INPUT:
        return None
    match = _LEAD.fullmatch(unicodedata.normalize("NFKC", text).strip().upper())
    return int(match.group(1)) if match else None


def _lock(application_id: int) -> Application:
    rows = Application.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("lead", "campaign").get(pk=application_id)


def _takes_part(application: Application, session: Session | None) -> bool:
    if session is None or application.campaign.session_choice == SessionChoice.NONE:
        return True
    return application.chosen.filter(session=session).exists()


def _write(
    application: Application,
    session: Session | None,
    *,
    scan: UUID,
    at: datetime,
    user: User | None,
    now: datetime,
) -> CheckedIn:
    try:
        with transaction.atomic():
            made = CheckIn.objects.create(
                application=application, session=session, scan=scan, at=at, received_at=now, user=user
            )
    except IntegrityError:
        # The same scan came for somebody else at the same moment: no phone of ours does that.
        return CheckedIn(Result.MALFORMED)
    _remember_first(application)
    return CheckedIn(Result.OK, application, made)


def _remember_first(application: Application) -> None:
    first = application.check_ins.filter(undone_at=None).order_by("at").first()
    application.attended_at = first.at if first else None
    application.save(update_fields=["attended_at"])
