import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from campaigns.models.campaign import Campaign, ConsentText, Session
from campaigns.ticket_code import random_code
from leads.models import Lead


class ApplicationState(models.TextChoices):
    """campaigns/applications.py holds every allowed change of state."""

    PROVISIONAL = "provisional", _("Address not confirmed")  # holds no seat yet
    APPLIED = "applied", pgettext_lazy("application", "Applied")  # 申込: has a seat
    WAITING = "waiting", _("On the waiting list")
    CANCELLED = "cancelled", pgettext_lazy("application", "Cancelled")  # キャンセル


LIVE = (ApplicationState.PROVISIONAL, ApplicationState.APPLIED, ApplicationState.WAITING)


class ApplicationWay(models.TextChoices):
    FORM = "form", pgettext_lazy("application", "Application form")
    PROXY = "proxy", _("Registered by staff")  # 代理登録
    CSV = "csv", _("CSV bulk application")
    API = "api", _("API")
    MY_PAGE = "my_page", _("My page")


class CancelledBy(models.TextChoices):
    LEAD = "lead", _("The applicant")
    STAFF = "staff", _("Staff")
    UNCONFIRMED = "unconfirmed", _("Address not confirmed in time")
    MERGED = "merged", _("Merged with another application")


class Application(models.Model):
    """申込: one lead's registration for one campaign. At most one live one per lead and campaign."""

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="applications")
    lead = models.ForeignKey(Lead, on_delete=models.PROTECT, related_name="applications")
    state = models.CharField(max_length=12, choices=ApplicationState)
    way = models.CharField(max_length=10, choices=ApplicationWay)
    # The form as it was drawn once: sent twice, it is one application.
    token = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    code = models.CharField(max_length=12, unique=True, default=random_code, editable=False)  # on the ticket
    # What was entered, {"last_name": …, "extra": {…}, …}: also what did not go into the lead (APP-3 "add"),
    # and what waits for the address to be confirmed.
    entered = models.JSONField(default=dict)
    answers = models.JSONField(default=dict)  # {"<FormItem.id>": "text" | number | "2026-11-21" | ["key", …]}
    language = models.CharField(max_length=2, default="ja")
    consent_text = models.ForeignKey(ConsentText, null=True, on_delete=models.PROTECT, related_name="+")
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=300, blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )  # proxy registration
    created_at = models.DateTimeField(default=timezone.now)
    # The order of the waiting list; when the seat was got (at once, or moved up); when it was given back.
    waiting_since = models.DateTimeField(null=True)
    applied_at = models.DateTimeField(null=True)
    moved_up_at = models.DateTimeField(null=True)
    confirmed_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)
    cancelled_by = models.CharField(max_length=12, choices=CancelledBy, blank=True, default="")
    # The first check-in (TKT-4); every scan is a CheckIn.
    attended_at = models.DateTimeField(null=True)
    reissued_at = models.DateTimeField(null=True)  # TKT-3: the last mail with a fresh ticket URL
    reminded_at = models.DateTimeField(null=True)
    sessions = models.ManyToManyField(Session, through="ApplicationSession", related_name="applications")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "lead"], condition=~Q(state="cancelled"), name="application_once"
            ),
        ]
        indexes = [
            models.Index(fields=["campaign", "state", "waiting_since", "id"], name="application_seats"),
            models.Index(fields=["lead", "-id"], name="application_lead"),
            models.Index(fields=["campaign", "-id"], name="application_newest"),
            models.Index(
                fields=["created_at"], condition=Q(state="provisional"), name="application_unconfirmed"
            ),
            # Who is not reminded yet: asked every two seconds once a reminder is due (mail/reminders.py).
            models.Index(
                fields=["campaign", "id"],
                condition=Q(state="applied", reminded_at=None),
                name="application_unreminded",
            ),
        ]

    def __str__(self) -> str:
        return self.code


class ApplicationSession(models.Model):
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="chosen")
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="chosen")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["application", "session"], name="application_session_once")
        ]


class CheckIn(models.Model):
    """TKT-4: one scan at the door. `scan` is made by the phone, so that sending it twice (bad network) is one."""

    application = models.ForeignKey(Application, on_delete=models.PROTECT, related_name="check_ins")
    session = models.ForeignKey(Session, null=True, on_delete=models.PROTECT)
    scan = models.UUIDField(unique=True, default=uuid.uuid4)
    at = models.DateTimeField(default=timezone.now)  # by the phone's clock, never in the future
    received_at = models.DateTimeField(default=timezone.now)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    undone_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["application", "at"], name="check_in_application")]
