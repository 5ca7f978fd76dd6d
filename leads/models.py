"""People: leads, their own columns, their consent, saved searches, imports."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from settings.audit import said_in_words


class LeadKind(models.TextChoices):
    VISITOR = "visitor", _("Visitor")
    STAFF = "staff", _("Staff")
    SPEAKER = "speaker", _("Speaker")


class Registration(models.TextChoices):
    FULL = "full", _("Full registration")
    PROVISIONAL = "provisional", _("Provisional registration")


class DmPermission(models.TextChoices):
    WANTED = "wanted", _("Wanted")
    UNWANTED = "unwanted", _("Not wanted")


class LeadQuerySet(models.QuerySet["Lead"]):
    def existing(self) -> "LeadQuerySet":
        """Without deleted leads. Every list, search and job starts here."""
        return self.filter(deleted_at=None)


class Lead(models.Model):
    """リード(申込者). E-mail is stored as entered (EXC-4); `email_norm` is what equality means.

    Written through leads/edit.py, leads/imports/ and leads/consent.py, so that FLAG, OPT and the audit hold.
    """

    kind = models.CharField(_("Kind"), max_length=10, choices=LeadKind, default=LeadKind.VISITOR)
    last_name = models.CharField(_("Last name"), max_length=100, blank=True, default="")
    first_name = models.CharField(_("First name"), max_length=100, blank=True, default="")
    last_name_kana = models.CharField(_("Last name (kana)"), max_length=100, blank=True, default="")
    first_name_kana = models.CharField(_("First name (kana)"), max_length=100, blank=True, default="")
    email = models.CharField(_("E-mail address"), max_length=320, blank=True, default="")
    email_norm = models.CharField(max_length=320, blank=True, default="", editable=False, db_collation="C")
    # True when no mail could ever be addressed (leads/address.py); kept beside the address so that deciding
    # who is mailed (EXC-1) stays one SQL statement.
    email_malformed = models.BooleanField(default=False, editable=False)
    # Since when this address is the lead's: failures before it do not count (FLAG-1, FLAG-3).
    email_since = models.DateTimeField(default=timezone.now, editable=False)
    company = models.CharField(_("Company"), max_length=200, blank=True, default="")
    department = models.CharField(_("Department"), max_length=200, blank=True, default="")
    job_title = models.CharField(_("Job title"), max_length=200, blank=True, default="")
    postal_code = models.CharField(_("Postal code"), max_length=20, blank=True, default="")
    prefecture = models.CharField(_("Prefecture"), max_length=20, blank=True, default="")
    address = models.CharField(_("Address"), max_length=300, blank=True, default="")
    phone = models.CharField(_("Phone"), max_length=50, blank=True, default="")
    note = models.TextField(_("Note"), blank=True, default="")
    language = models.CharField(
        _("Language"), max_length=2, choices=[("ja", "日本語"), ("en", "English")], default="ja"
    )
    registration = models.CharField(
        _("Registration status"), max_length=12, choices=Registration, default=Registration.FULL
    )
    dm_permission = models.CharField(
        _("DM permission"), max_length=10, choices=DmPermission, default=DmPermission.WANTED
    )
    unsubscribed_at = models.DateTimeField(_("Unsubscribed at"), null=True, blank=True, editable=False)
    email_valid = models.BooleanField(_("Valid flag of the e-mail address"), default=True)
    email_failures = models.PositiveIntegerField(_("Failed deliveries in a row"), default=0, editable=False)
    extra = models.JSONField(default=dict, blank=True)  # {"<LeadColumn.id>": "text" | number | "2026-11-21"}
    created_at = models.DateTimeField(_("Registered at"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(_("Updated at"), default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    # APP-5: the lead this one was merged into; such a lead counts as deleted (leads/merge.py).
    merged_into = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        editable=False,
        db_index=False,
        db_constraint=False,
    )
    # Folded for 簡易検索 by a trigger (leads/search_text.py); only an import gives it on INSERT.
    search_text = models.TextField(db_collation="C", default="", db_default="", editable=False)

    objects = LeadQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["email_norm", "-id"], name="lead_email_norm"),
            models.Index(fields=["-created_at"], name="lead_created"),
            models.Index(fields=["company"], name="lead_company"),
            models.Index(fields=["last_name_kana", "first_name_kana", "id"], name="lead_kana"),
            # What lists and counts ask for and few leads are: answered from the index alone, and cheap to keep.
            models.Index(fields=["id"], condition=Q(deleted_at=None, email_valid=False), name="lead_invalid"),
            models.Index(
                fields=["id"],
                condition=Q(deleted_at=None, dm_permission=DmPermission.UNWANTED),
                name="lead_unwanted",
            ),
            models.Index(
                fields=["id"],
                condition=Q(deleted_at=None, registration=Registration.PROVISIONAL),
                name="lead_provisional",
            ),
            models.Index(
                fields=["unsubscribed_at", "id"],
                condition=Q(deleted_at=None, unsubscribed_at__isnull=False),
                name="lead_unsubscribed",
            ),
            models.Index(fields=["deleted_at"], condition=Q(deleted_at__isnull=False), name="lead_deleted"),
        ]
        constraints = [
            # OPT-1: who has unsubscribed never counts as wanting mail.
            models.CheckConstraint(
                condition=Q(unsubscribed_at=None) | Q(dm_permission=DmPermission.UNWANTED),
                name="lead_unsubscribed_is_unwanted",
            ),
        ]

    def __str__(self) -> str:
        return self.full_name or self.email or f"#{self.pk}"

    @property
    def full_name(self) -> str:
        return f"{self.last_name} {self.first_name}".strip()


class LeadColumn(models.Model):
    """リード項目: a column the users added. Its values stand in Lead.extra under str(id)."""

    class Type(models.TextChoices):
        TEXT = "text", _("Text")
        NUMBER = "number", _("Number")
        DATE = "date", _("Date")
        CHOICE = "choice", _("Choice")

    label = models.CharField(_("Label"), max_length=60, unique=True)
    type = models.CharField(_("Type"), max_length=10, choices=Type)
    choices = models.JSONField(_("Choices"), default=list, blank=True)  # ["製造", "小売"]
    position = models.PositiveIntegerField(_("Position"), default=0)

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.label

    @property
    def key(self) -> str:
        """The key in Lead.extra."""
        return str(self.pk)


class ConsentRecord(models.Model):
    """OPT-10: one line of a lead's consent history. Never changed, never deleted with the lead's values."""

    class Change(models.TextChoices):
        GRANTED = "granted", _("Wants mail")
        REFUSED = "refused", _("Does not want mail")
        UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
        LIFTED = "lifted", _("Unsubscription taken back")  # without wanting the wizard's mail

    class Evidence(models.TextChoices):
        FORM = "form", pgettext_lazy("evidence", "Form")
        IMPORT = "import", _("Import")
        CARD = "card", _("Business card")
        PUBLIC = "public", _("Publicly listed")
        TRADE = "trade", _("Trade relation")
        ADMIN = "admin", _("Changed by an administrator")
        OPT_OUT_FORM = "opt_out_form", _("Opt-out page")
        ONE_CLICK = "one_click", _("One-click opt-out")
        COMPLAINT = "complaint", _("Complaint")
        MY_PAGE = "my_page", _("My page")
        MERGE = "merge", pgettext_lazy("evidence", "Merged leads")

    # No constraints and no further indexes in the database: leads and users are never really deleted, and checking each
    # row cost an import as much as writing the leads.
    lead = models.ForeignKey(
        Lead, on_delete=models.PROTECT, related_name="consent_records", db_constraint=False, db_index=False
    )
    at = models.DateTimeField(default=timezone.now)
    change = models.CharField(max_length=12, choices=Change)
    evidence = models.CharField(max_length=12, choices=Evidence)
    source = models.CharField(max_length=300, blank=True, default="")  # file name, form version, delivery …
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, db_constraint=False, db_index=False
    )
    ip = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["lead", "-at"], name="consent_lead")]

    @property
    def source_words(self) -> str:
        return said_in_words("source", self.source)


class SavedSearch(models.Model):
    """検索条件: a stored condition tree (leads/search/), private or 全ユーザ使用可."""

    name = models.CharField(_("Name"), max_length=100)
    condition = models.JSONField()
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="searches"
    )
    # The campaign whose mode it was saved in, None = all campaigns. Usable in that mode only. An id and no foreign key:
    # campaigns stand above leads.
    campaign_id = models.BigIntegerField(null=True, db_index=True)
    shared = models.BooleanField(_("All users may use it"), default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["name"], name="saved_search_name_unique")]

    def __str__(self) -> str:
        return self.name


class LeadImport(models.Model):
    """One CSV file on its way in: uploaded → checking → checked → committing → done (or failed, cancelled).

    A state changes by a conditional UPDATE whose row count is looked at (leads/imports/steps.py).
    """

    class Mode(models.TextChoices):
        ADD = "add", _("Add as new leads")
        UPDATE = "update", _("Overwrite existing leads")
        APPLY = "apply", _("Apply for a campaign")  # CSV一括申込

    class Key(models.TextChoices):
        ID = "id", _("Lead ID")
        EMAIL = "email", _("E-mail address")

    class State(models.TextChoices):
        UPLOADED = "uploaded", _("Waiting")
        CHECKING = "checking", _("Checking")
        CHECKED = "checked", _("Checked")
        COMMITTING = "committing", _("Importing")
        DONE = "done", _("Done")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    RUNNING = (State.UPLOADED, State.CHECKING, State.COMMITTING)

    mode = models.CharField(max_length=10, choices=Mode)
    key = models.CharField(max_length=10, choices=Key, default=Key.ID)
    evidence = models.CharField(
        max_length=12, choices=ConsentRecord.Evidence, default=ConsentRecord.Evidence.IMPORT
    )
    campaign_id = models.BigIntegerField(
        null=True
    )  # the mode it was started in; of Mode.APPLY what is applied for
    tell = models.BooleanField(default=False)  # of Mode.APPLY: the mails of an application go out
    file_name = models.CharField(max_length=255)
    file_size = models.PositiveBigIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State, default=State.UPLOADED)
    encoding = models.CharField(max_length=10, blank=True, default="")  # as recognised: utf-8, cp932, utf-16
    # The header, one entry a cell: {"header": as in the file, "target": a field's name, "extra:<id>" or "" (ignored)}
    columns = models.JSONField(default=list)
    progress = models.PositiveIntegerField(default=0)  # rows handled in the current step
    rows = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict)  # {"new": n, "update": n, "unchanged": n, "wrong": n, "notes": n}
    error = models.JSONField(
        null=True
    )  # why the whole file was refused: {"code": …, "params": {…}}, shown in either language
    skip_wrong = models.BooleanField(default=False)  # 「誤りのある行を除いて取り込む」 was chosen
    changed_since = models.BooleanField(
        default=False
    )  # the commit found other counts than the check had shown
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    created_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField(null=True)  # a step without a beat for a minute is taken up again
    committed_at = models.DateTimeField(
        null=True
    )  # the moment all rows were written with: created_at of the new leads
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.file_name


class LeadImportChunk(models.Model):
    """A megabyte of an uploaded file: in the database, because web and worker may be on different hosts."""

    lead_import = models.ForeignKey(
        LeadImport, on_delete=models.CASCADE, related_name="chunks", db_index=False
    )
    number = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["lead_import", "number"], name="import_chunk_unique")]


class LeadImportRow(models.Model):
    """One staged line, written by COPY and judged by set-based SQL (leads/imports/).

    One index and no foreign key check: every further one costs about a tenth of an import's speed.
    """

    class Action(models.TextChoices):
        NEW = "new", _("New")
        UPDATE = "update", _("Updated")
        UNCHANGED = "unchanged", _("Unchanged")
        WRONG = "wrong", _("Wrong")

    pk = models.CompositePrimaryKey("lead_import_id", "line")
    lead_import = models.ForeignKey(
        LeadImport, on_delete=models.CASCADE, related_name="staged_rows", db_index=False, db_constraint=False
    )
    line = models.PositiveIntegerField()  # the row as a spreadsheet numbers it, 1 = the header
    cells = ArrayField(models.TextField(), default=list)  # cleaned values, one for each column with a target
    email_norm = models.CharField(max_length=320, blank=True, default="", db_collation="C")
    search_text = models.TextField(default="", db_collation="C")  # Lead.search_text of a new lead
    lead_id = models.BigIntegerField(null=True)  # the lead an update goes to
    action = models.CharField(max_length=10, choices=Action, blank=True, default="")
    problems = models.JSONField(null=True)  # found while reading: [[column or null, code, params], …]
    conflicts = models.JSONField(null=True)  # found by comparing with the leads of the moment, the same shape
    notes = models.JSONField(null=True)  # CHR-4: what was normalised or looks like a typo, the same shape


class LeadMerge(models.Model):
    """APP-5: one merge, with all that is needed to undo it for 30 days (leads/merge.py)."""

    survivor = models.ForeignKey(Lead, on_delete=models.PROTECT, related_name="merges")
    merged_ids = ArrayField(models.BigIntegerField())
    automatic = models.BooleanField(default=False)
    at = models.DateTimeField(default=timezone.now)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    # The survivor's values before and after: what was changed since is not undone. {"before": {…}, "after": {…}}
    values = models.JSONField(default=dict)
    # What each app moved, as its mover answered: {"mail.deliveries": …, "campaigns.applications": …}
    moved = models.JSONField(default=dict)
    undone_at = models.DateTimeField(null=True)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["survivor", "-id"], name="lead_merge_survivor")]
