"""Applications (APP-3, APP-6): applying, confirming the address, changing and cancelling. The one writer for the form, staff,
my page and the API; files are written by campaigns/csv_applications.py under the same rules.

    provisional ─confirm→ applied | waiting        applied, waiting: by apply, at once
    waiting ─move up→ applied                      any of them ─cancel→ cancelled, for good

Each function is one transaction that holds the campaign's lock (campaigns/seats.py), and announces what people are told.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from campaigns.application_audit import record_audit
from campaigns.application_changes import change
from campaigns.cancelling import cancel, cancel_unconfirmed
from campaigns.confirm_links import confirm_url
from campaigns.entry import Entry, check_answers, chosen_sessions, entered_values
from campaigns.events import CONFIRM_URL, Event, Happening, announce
from campaigns.known_address import Origin, find_known, make_lead, write_to_known, write_unconfirmed
from campaigns.models import (
    Application,
    ApplicationSession,
    ApplicationState,
    ApplicationWay,
    Campaign,
    CampaignState,
    CancelledBy,
    ConsentText,
    Session,
)
from campaigns.refusals import ApplicationRefused, check_open
from campaigns.seats import Seats, lock_application, lock_campaign, lock_leads, seats, seats_of
from campaigns.status import is_over
from campaigns.waiting_list import move_up, move_up_one, seat_or_wait
from leads.address import normalise_email
from leads.edit import TEXT_FIELDS
from leads.models import Lead, LeadColumn, Registration
from settings.models import User
from smp.lib.deadlocks import again_after_deadlock
from smp.lib.rate_limit import too_many

__all__ = [
    "ApplicationRefused",
    "Applied",
    "Entry",
    "Outcome",
    "Seats",
    "apply",
    "cancel",
    "cancel_unconfirmed",
    "change",
    "confirm",
    "move_up",
    "move_up_one",
    "seats",
    "seats_of",
]

TELL_AGAIN = timedelta(minutes=10)


class Outcome(StrEnum):
    APPLIED = "applied"
    WAITING = "waiting"
    PROVISIONAL = "provisional"
    REPEATED = "repeated"  # the same form again
    ALREADY = "already"  # this lead has a live application; a public page must not let it show


@dataclass(frozen=True)
class Applied:
    application: Application
    outcome: Outcome


@again_after_deadlock
def apply(
    campaign: Campaign,
    entry: Entry,
    *,
    way: str,
    now: datetime,
    token: UUID,
    lead: Lead | None = None,
    user: User | None = None,
    ip: str | None = None,
    user_agent: str = "",
    consent_text: ConsentText | None = None,
    tell: bool = True,
) -> Applied:
    """One application. `way`: campaigns.models.ApplicationWay. `token`: of the form as it was drawn; sent again it is the
    same application. `lead`: who applies, when that is known otherwise (my page, chosen by staff). `tell` False: no mails.

    ApplicationRefused says why not; ValidationError (by field) what cannot be stored, as leads.edit says it.
    """
    values = entered_values(entry.values)
    try:
        with transaction.atomic():
            return _Applying(
                campaign=lock_campaign(campaign.pk), entry=entry, values=values, way=way, now=now, token=token, user=user,
                ip=ip, user_agent=user_agent, consent_text=consent_text, tell=tell,
            ).apply(lead)  # fmt: skip
    except IntegrityError:
        # The same form at the same moment for another campaign, whose lock this one did not wait for.
        if Application.objects.filter(token=token).exists():
            raise ApplicationRefused("token") from None
        raise


@dataclass
class _Applying:
    """One call of `apply`, under the campaign's lock."""

    campaign: Campaign
    entry: Entry
    values: dict[str, Any]
    way: str
    now: datetime
    token: UUID
    user: User | None
    ip: str | None
    user_agent: str
    consent_text: ConsentText | None
    tell: bool

    def apply(self, identified: Lead | None) -> Applied:
        again = Application.objects.filter(token=self.token).select_related("lead").first()
        if again is not None:
            if again.campaign_id != self.campaign.pk:
                raise ApplicationRefused("token")
            return Applied(again, Outcome.REPEATED)
        check_open(self.campaign, way=self.way, now=self.now)
        answers = check_answers(self.campaign, self.entry.answers)
        sessions = chosen_sessions(self.campaign, self.entry.session_ids, way=self.way)
        # Before anybody looks who it is: a full campaign says so to everybody, whether they are known or not.
        state = seat_or_wait(self.campaign, sessions, now=self.now)
        asks = self.campaign.confirm_address and self.way == ApplicationWay.FORM and identified is None
        if asks:
            state = ApplicationState.PROVISIONAL
        lead = self._known(identified)
        if lead is not None:
            live = Application.objects.filter(campaign=self.campaign, lead=lead).exclude(
                state=ApplicationState.CANCELLED
            )
            if (application := live.first()) is not None:
                application.campaign, application.lead = self.campaign, lead
                if asks and application.state == ApplicationState.PROVISIONAL:
                    self._enter_anew(application, answers, sessions)
                self._tell_again(application)
                return Applied(application, Outcome.ALREADY)
        lead = self._written(lead, identified=identified is not None, confirmed=not asks)
        application = self._create(lead, state, answers, sessions)
        if self.way == ApplicationWay.PROXY:
            record_audit(
                "application.create", application, user=self.user, ip=self.ip, now=self.now, state=state
            )
        announce(_received(application, now=self.now, tell=self.tell))
        return Applied(application, Outcome(state.value))

    def _known(self, identified: Lead | None) -> Lead | None:
        if identified is None:
            return find_known(self.campaign.known_address, self.values)
        lead = lock_leads([identified.pk]).get(identified.pk)
        if lead is None or lead.deleted_at is not None:
            raise ApplicationRefused("lead_gone")
        return lead

    def _written(self, lead: Lead | None, *, identified: bool, confirmed: bool) -> Lead:
        """The lead with what was entered, as far as APP-3 lets it."""
        rule = "" if identified else self.campaign.known_address
        proved = identified or self.way != ApplicationWay.FORM
        if lead is None:
            return make_lead(self.values, self._origin(rule), confirmed=confirmed)
        if not confirmed:
            return lead
        return write_to_known(lead, self.values, self._origin(rule), proved=proved)

    def _origin(self, rule: str) -> Origin:
        return Origin(
            self.campaign,
            rule,
            self.way,
            self.now,
            consent_text=self.consent_text,
            user=self.user,
            ip=self.ip,
            stated=self.entry.evidence,
        )

    def _create(
        self, lead: Lead, state: ApplicationState, answers: dict[str, Any], sessions: list[Session]
    ) -> Application:
        application = Application.objects.create(
            campaign=self.campaign, lead=lead, state=state, way=self.way, token=self.token, entered=self.values,
            answers=answers, language=self.entry.language, consent_text=self.consent_text, ip=self.ip,
            user_agent=self.user_agent.replace("\0", "")[:300], created_by=self.user, created_at=self.now,
            applied_at=self.now if state == ApplicationState.APPLIED else None,
            waiting_since=self.now if state == ApplicationState.WAITING else None,
        )  # fmt: skip
        ApplicationSession.objects.bulk_create(
            ApplicationSession(application=application, session=session) for session in sessions
        )
        return application

    def _enter_anew(self, application: Application, answers: dict[str, Any], sessions: list[Session]) -> None:
        """Nobody has confirmed it yet: what was entered last counts, and the page of the link shows it. With another
        address nothing changes: the link that is out proves the first one only."""
        first, now = application.entered, self.values
        if normalise_email(str(first.get("email") or "")) != normalise_email(str(now.get("email") or "")):
            return
        lead = application.lead
        if lead.created_at == application.created_at and lead.registration == Registration.PROVISIONAL:
            blank = {name: "" for name in first if name in TEXT_FIELDS}
            origin = self._origin(self.campaign.known_address)
            application.lead = write_unconfirmed(lead, blank | now, origin)
        application.entered, application.answers, application.language = now, answers, self.entry.language
        application.consent_text, application.ip = self.consent_text, self.ip
        application.user_agent = self.user_agent.replace("\0", "")[:300]
        application.save(update_fields=["entered", "answers", "language", "consent_text", "ip", "user_agent"])
        application.sessions.set(sessions)

    def _tell_again(self, application: Application) -> None:
        """Who applies twice is told again, as if it were the first time; once in ten minutes, so that nobody floods
        somebody else's mailbox."""
        seconds = int(TELL_AGAIN.total_seconds())
        if self.tell and not too_many("apply-again", str(application.pk), limit=1, seconds=seconds):
            announce(_received(application, now=self.now))


@again_after_deadlock
def confirm(application: Application, *, now: datetime, tell: bool = True) -> Application:
    """The link of the CONFIRM mail was followed and the button pressed: the registration is full, what waited is written to
    the lead, and the seat is decided. Again: nothing more. ApplicationRefused when it was cancelled, or no seat is left
    (it stays unconfirmed then, until its time is over). `tell` False: no mail."""
    with transaction.atomic():
        campaign, current = lock_application(application)
        if current.state == ApplicationState.CANCELLED:
            late = current.cancelled_by == CancelledBy.UNCONFIRMED
            raise ApplicationRefused("unconfirmed" if late else "cancelled")
        if current.state != ApplicationState.PROVISIONAL:
            return current
        if current.lead.deleted_at is not None:
            raise ApplicationRefused("cancelled")
        if campaign.state in {CampaignState.DRAFT, CampaignState.ARCHIVED} or is_over(campaign, now):
            raise ApplicationRefused("closed")
        state = seat_or_wait(campaign, list(current.sessions.all()), now=now)
        current.lead = _confirmed_lead(current, now=now)
        current.state, current.confirmed_at = state, now
        if state == ApplicationState.APPLIED:
            current.applied_at = now
        else:
            current.waiting_since = now
        current.save(update_fields=["state", "confirmed_at", "applied_at", "waiting_since"])
        announce(_received(current, now=now, tell=tell))
    return current


def _confirmed_lead(application: Application, *, now: datetime) -> Lead:
    """A lead made by this very application has its values already; what staff changed since stays."""
    lead, campaign = application.lead, application.campaign
    values = {} if lead.created_at == application.created_at else dict(application.entered)
    if extra := values.get("extra"):
        there = {
            column.key for column in LeadColumn.objects.all()
        }  # a column may have been deleted meanwhile
        values["extra"] = {key: value for key, value in extra.items() if key in there}
    origin = Origin(
        campaign,
        campaign.known_address,
        application.way,
        now,
        consent_text=application.consent_text,
        ip=application.ip,
    )
    return write_to_known(lead, values, origin, proved=True, registration=Registration.FULL)


def _received(application: Application, *, now: datetime, tell: bool = True) -> Happening:
    """What an applicant is told, by where the application stands."""
    values: dict[str, str] = {}
    event = {ApplicationState.APPLIED: Event.RECEIVED, ApplicationState.WAITING: Event.WAITING}.get(
        ApplicationState(application.state), Event.CONFIRM
    )
    address = ""
    if event == Event.CONFIRM:
        values[CONFIRM_URL] = confirm_url(application)
        address = str(application.entered.get("email") or "")  # the address that is to be confirmed
    return Happening(
        event, application.lead, now, campaign=application.campaign, application=application, values=values, address=address,
        tell=tell,
    )  # fmt: skip
