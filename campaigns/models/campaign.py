from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class CampaignState(models.TextChoices):
    """What the staff decided. What visitors see also depends on the period and the seats: campaigns/status.py."""

    DRAFT = "draft", _("In preparation")
    OPEN = "open", _("Published")
    CLOSED = "closed", _("Applications closed")
    ARCHIVED = "archived", _("Archived")


class Place(models.TextChoices):
    VENUE = "venue", _("At a venue")
    ONLINE = "online", _("Online")
    BOTH = "both", _("Venue and online")


class KnownAddress(models.TextChoices):
    """APP-3: what an application with an address we know does."""

    ADD = "add", _("Adds an application to the lead, whose values stay (additional application)")
    MERGE = "merge", _("Adds an application and takes over the new values (automatic merge)")
    NEW = "new", _("Makes a new lead")


class SessionChoice(models.TextChoices):
    NONE = "none", _("No choice: everybody attends all")
    ONE = "one", _("One of them")
    SEVERAL = "several", _("One or more")


class Campaign(models.Model):
    """キャンペーン(セミナー). Written through campaigns/campaigns.py. Archived, never deleted."""

    name = models.CharField(_("Campaign name"), max_length=200)
    name_en = models.CharField(_("Campaign name (English)"), max_length=200, blank=True, default="")
    # Part of the public address /e/<slug>/: a-z, 0-9 and hyphens.
    slug = models.SlugField(_("Address of the public page"), max_length=60, unique=True)
    state = models.CharField(_("State"), max_length=10, choices=CampaignState, default=CampaignState.DRAFT)
    summary = models.CharField(_("Summary"), max_length=300, blank=True, default="")
    summary_en = models.CharField(_("Summary (English)"), max_length=300, blank=True, default="")
    # Plain text; paragraphs and links are made of it where it is shown.
    description = models.TextField(_("Description"), blank=True, default="")
    description_en = models.TextField(_("Description (English)"), blank=True, default="")
    organiser = models.CharField(_("Organiser"), max_length=200, blank=True, default="")
    contact = models.CharField(
        _("Contact"), max_length=300, blank=True, default=""
    )  # shown on the public page
    starts_at = models.DateTimeField(_("Starts at"), null=True, blank=True)
    ends_at = models.DateTimeField(_("Ends at"), null=True, blank=True)
    place = models.CharField(_("Place"), max_length=10, choices=Place, default=Place.VENUE)
    venue_name = models.CharField(_("Venue"), max_length=200, blank=True, default="")
    venue_address = models.CharField(_("Address of the venue"), max_length=300, blank=True, default="")
    venue_url = models.URLField(_("Map or way to the venue (URL)"), max_length=500, blank=True, default="")
    # Only those who applied see it: on their ticket, on my page and in mails.
    online_url = models.URLField(_("Online URL"), max_length=500, blank=True, default="")
    session_choice = models.CharField(
        _("Choice of sessions"), max_length=10, choices=SessionChoice, default=SessionChoice.NONE
    )
    # ---- applications
    applications_from = models.DateTimeField(_("Applications from"), null=True, blank=True)
    applications_until = models.DateTimeField(_("Applications until"), null=True, blank=True)
    cancel_until = models.DateTimeField(_("Cancelling until"), null=True, blank=True)  # None: until the start
    capacity = models.PositiveIntegerField(_("Capacity"), null=True, blank=True)  # None: no limit
    waiting_list = models.BooleanField(_("Waiting list when full"), default=True)
    known_address = models.CharField(
        _("Application with a known address"), max_length=10, choices=KnownAddress, default=KnownAddress.ADD
    )
    # Provisional registration: an application counts once its address is confirmed by mail.
    confirm_address = models.BooleanField(_("Confirm the address by mail first"), default=False)
    ticket = models.BooleanField(_("Issue admission tickets"), default=True)
    # ---- people
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, verbose_name=_("Campaign administrators"), related_name="campaigns", blank=True
    )  # fmt: skip
    staff_addresses = models.CharField(
        _("Addresses of staff to be told"), max_length=1000, blank=True, default=""
    )  # comma-separated
    copied_from = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-starts_at", "-id"]
        indexes = [models.Index(fields=["state", "-starts_at"], name="campaign_state")]

    def __str__(self) -> str:
        return self.name

    @property
    def at_venue(self) -> bool:
        return self.place in {Place.VENUE, Place.BOTH}

    @property
    def online(self) -> bool:
        return self.place in {Place.ONLINE, Place.BOTH}


class Session(models.Model):
    """A part of a campaign: a talk, a workshop, a day."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="sessions")
    title = models.CharField(_("Title"), max_length=200)
    title_en = models.CharField(_("Title (English)"), max_length=200, blank=True, default="")
    speaker = models.CharField(_("Speaker"), max_length=200, blank=True, default="")
    room = models.CharField(_("Room"), max_length=100, blank=True, default="")
    starts_at = models.DateTimeField(_("Starts at"), null=True, blank=True)
    ends_at = models.DateTimeField(_("Ends at"), null=True, blank=True)
    capacity = models.PositiveIntegerField(_("Capacity"), null=True, blank=True)  # no waiting list of its own
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "starts_at", "id"]

    def __str__(self) -> str:
        return self.title


class ConsentText(models.Model):
    """OPT-10: what applicants agree to, as it stood. A change is a new version; old ones stay for ever."""

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="consent_texts")
    version = models.PositiveIntegerField()
    text = models.TextField(_("Consent text"))
    text_en = models.TextField(_("Consent text (English)"), blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-version"]
        constraints = [models.UniqueConstraint(fields=["campaign", "version"], name="consent_text_once")]

    def __str__(self) -> str:
        return f"v{self.version}"
