from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext, pgettext_lazy

from leads.models import ConsentRecord, Lead


class LeaveDoes(models.TextChoices):
    """MAG-2: what a reader's own leaving does."""

    STOP = "stop", _("Set the reader to stopped")
    REMOVE = "remove", _("Remove the reader from the list")


class FailureGroup(models.TextChoices):
    """MAG-4: the causes that have a threshold of their own. mail/magazines/failures.py says which Cause belongs where."""

    NO_MAILBOX = "no_mailbox", _("No such mailbox")
    REFUSED = "refused", _("Refused (spam, policy)")
    FULL = "full", _("Mailbox full")
    TEMPORARY = "temporary", _("Server trouble or temporary")
    OTHER = "other", _("Other")


def threshold(default: int) -> "models.PositiveSmallIntegerField[int | None, int | None]":
    return models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        default=default,
        validators=[MinValueValidator(1), MaxValueValidator(99)],
    )


class Magazine(models.Model):
    """メールマガジン (MAG). mail/magazines/magazines.py changes it. Archived, never deleted: its history stays."""

    name = models.CharField(_("Magazine name"), max_length=100)
    description = models.CharField(_("What it is about"), max_length=300, blank=True, default="")
    # ---- 基本設定: the sender and what stands below each mail; taken at each start
    from_name = models.CharField(_("Sender name"), max_length=100, blank=True, default="")
    from_address = models.CharField(_("Sender e-mail address"), max_length=320)
    reply_to = models.CharField(_("Reply-To"), max_length=1000, blank=True, default="")
    errors_to = models.CharField(_("Errors to"), max_length=320, blank=True, default="")
    footer_text = models.TextField(_("Footer (text)"), blank=True, default="")
    footer_html = models.TextField(_("Footer (HTML)"), blank=True, default="")
    # ---- leaving and coming back
    leave_does = models.CharField(
        _("When a reader leaves"), max_length=8, choices=LeaveDoes, default=LeaveDoes.STOP
    )
    blacklist = models.BooleanField(_("Blacklist"), default=True)  # MAG-9
    # ---- 詳細設定 → エラーメール・配信停止 (MAG-3, MAG-4): cumulative failures; None = never
    stop_no_mailbox = threshold(1)
    stop_refused = threshold(3)
    stop_full = threshold(5)
    stop_temporary = threshold(5)
    stop_other = threshold(5)
    # ---- forms (MAG-13, OPT-8)
    registration_open = models.BooleanField(_("Accept registrations"), default=True)
    double_opt_in = models.BooleanField(_("Double opt-in"), default=True)
    confirm_page = models.BooleanField(_("Show a confirmation page"), default=True)
    empty_mail = models.BooleanField(_("Registration by empty mail"), default=False)
    # 「デフォルト表示設定」: {page: {part: text}}, only what differs from mail/magazines/form_texts.py; {"accent": "#…"} …
    texts = models.JSONField(default=dict, blank=True)
    design = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(default=timezone.now)  # as a form saw it: two administrators at once
    archived_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    def threshold(self, group: str) -> int | None:
        """MAG-4: so many failures of the group stop a reader; None: never."""
        value: int | None = getattr(self, f"stop_{group}")
        return value


class ReaderState(models.TextChoices):
    """MAG-1. Only 配信可能 is mailed."""

    DELIVERABLE = "deliverable", _("Deliverable")
    STOPPED = "stopped", pgettext_lazy("reader", "Delivery stopped")
    ERROR_STOPPED = "error_stopped", _("Stopped by errors")


class ReaderWay(models.TextChoices):
    """How somebody became a reader, or changed as one."""

    FORM = "form", pgettext_lazy("reader", "Form")
    EMPTY_MAIL = "empty_mail", _("Empty mail")
    ONE_CLICK = "one_click", _("One-click opt-out")
    COMPLAINT = "complaint", pgettext_lazy("reader", "Complaint")
    IMPORT = "import", pgettext_lazy("reader", "Import")
    IMPORT_UNDO = "import_undo", _("Import taken back")
    BULK = "bulk", _("Bulk deletion")
    ADMIN = "admin", pgettext_lazy("reader", "Edited by an administrator")
    FAILURE = "failure", _("A failed delivery")
    START = "start", _("Judged at the start of a delivery")
    OUTAGE = "outage", _("An outage was taken back")
    MERGE = "merge", pgettext_lazy("reader", "Merged leads")


OWN_WAYS = frozenset({ReaderWay.FORM, ReaderWay.EMPTY_MAIL, ReaderWay.ONE_CLICK, ReaderWay.COMPLAINT})


class Reader(models.Model):
    """読者 = magazine × lead, with its own state and failures (MAG-1). Written by mail/magazines/readers.py, failures.py
    and imports/ only. A reader that is removed has no row; its history (ReaderChange) and the blacklist stay."""

    # No index of its own: three below begin with the magazine.
    magazine = models.ForeignKey(Magazine, on_delete=models.PROTECT, related_name="readers", db_index=False)
    lead = models.ForeignKey(Lead, on_delete=models.PROTECT, related_name="readers", db_constraint=False)
    state = models.CharField(
        _("State"),
        max_length=14,
        choices=ReaderState,
        default=ReaderState.DELIVERABLE,
        db_default="deliverable",
    )
    state_at = models.DateTimeField(default=timezone.now)  # since when
    registered_at = models.DateTimeField(
        _("Registered at"), default=timezone.now
    )  # step stories count from it
    way = models.CharField(max_length=12, choices=ReaderWay)
    values = models.JSONField(
        default=dict, blank=True, db_default={}
    )  # {"<ReaderItem.id>": text | number | "2026-11-22"}
    # MAG-3: 累積. Each failed mail counts once (ReaderFailure); "reset" and outages that were taken back lower them.
    failures_no_mailbox = models.PositiveIntegerField(default=0, db_default=0)
    failures_refused = models.PositiveIntegerField(default=0, db_default=0)
    failures_full = models.PositiveIntegerField(default=0, db_default=0)
    failures_temporary = models.PositiveIntegerField(default=0, db_default=0)
    failures_other = models.PositiveIntegerField(default=0, db_default=0)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["magazine", "lead"], name="reader_once_per_magazine")]
        indexes = [
            models.Index(fields=["magazine", "state", "-id"], name="reader_list"),
            models.Index(fields=["magazine", "-registered_at", "-id"], name="reader_registered"),
            # the few that errors stopped, for the home page
            models.Index(
                fields=["state_at"], condition=Q(state=ReaderState.ERROR_STOPPED), name="reader_error_stopped"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.lead}"

    @property
    def way_words(self) -> str:
        """How they registered."""
        if self.way == ReaderWay.ADMIN:
            return pgettext("reader", "Registered by an administrator")
        return str(ReaderWay(self.way).label)

    @property
    def all_failures(self) -> int:
        return sum(self.failures(group) for group in FailureGroup)

    def failures(self, group: str) -> int:
        value: int = getattr(self, f"failures_{group}")
        return value


class ReaderChange(models.Model):
    """One line of a reader's history, with its cause and evidence (MAG-3, OPT-10). Never changed, never deleted; it
    outlives the reader, so it names magazine and lead."""

    class What(models.TextChoices):
        REGISTERED = "registered", pgettext_lazy("reader", "Registered")
        STATE = "state", _("State changed")
        EDITED = "edited", pgettext_lazy("reader", "Values changed")
        FAILURES_RESET = "failures_reset", _("Failures reset")
        REMOVED = "removed", _("Removed from the list")
        REFUSED = "refused", _("Registration refused (blacklist)")

    magazine = models.ForeignKey(Magazine, on_delete=models.PROTECT, related_name="+", db_index=False)
    lead = models.ForeignKey(
        Lead, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    at = models.DateTimeField(default=timezone.now)
    what = models.CharField(max_length=16, choices=What)
    way = models.CharField(max_length=12, choices=ReaderWay)
    before = models.CharField(max_length=14, blank=True, default="")  # ReaderState, "" = was no reader
    after = models.CharField(max_length=14, blank=True, default="")
    group = models.CharField(max_length=12, choices=FailureGroup, blank=True, default="")  # of an error stop
    # {"failures": 3, "threshold": 3} of an error stop, {"changes": {item: [old, new]}} of values, …
    detail = models.JSONField(default=dict, blank=True, db_default={})
    job_id = models.BigIntegerField(null=True)  # MAG-5: the delivery at whose start it was
    delivery_id = models.BigIntegerField(null=True)  # the mail that failed, or that was left by
    import_id = models.BigIntegerField(null=True)
    evidence = models.CharField(
        max_length=12, choices=ConsentRecord.Evidence, blank=True, default="", db_default=""
    )
    source = models.CharField(
        max_length=300, blank=True, default="", db_default=""
    )  # form version, file name …
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, db_constraint=False, db_index=False
    )
    ip = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["magazine", "lead", "-at"], name="reader_change"),
            models.Index(fields=["job_id"], condition=Q(job_id__isnull=False), name="reader_change_job"),
        ]


class ReaderFailure(models.Model):
    """A failed magazine mail, counted once however often it is told (MAG-3)."""

    delivery_id = models.BigIntegerField(unique=True)
    magazine = models.ForeignKey(Magazine, on_delete=models.PROTECT, related_name="+")
    lead = models.ForeignKey(
        Lead, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    group = models.CharField(max_length=12, choices=FailureGroup)
    cause = models.CharField(max_length=12)
    domain = models.CharField(max_length=255)  # of the address, as A-labels
    at = models.DateTimeField()  # when it was sent, or refused
    # No longer counted: reset by an administrator, or part of an outage that was taken back.
    reset_at = models.DateTimeField(null=True)
    outage = models.ForeignKey("Outage", null=True, on_delete=models.PROTECT, related_name="failures")

    class Meta:
        indexes = [
            models.Index(fields=["magazine", "lead"], name="reader_failure_reader"),
            models.Index(fields=["magazine", "domain", "at"], name="reader_failure_domain"),
        ]


class Outage(models.Model):
    """A receiver's trouble that was taken back: its failures do not count, and who was stopped by them came back."""

    magazine = models.ForeignKey(Magazine, on_delete=models.PROTECT, related_name="outages")
    domain = models.CharField(max_length=255)
    since = models.DateTimeField()
    until = models.DateTimeField()
    groups = models.JSONField(default=list)  # FailureGroup values that were taken back
    note = models.CharField(max_length=300, blank=True, default="")
    failures_count = models.PositiveIntegerField(default=0)
    readers_back = models.PositiveIntegerField(default=0)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at"]


class BlacklistedAddress(models.Model):
    """MAG-9: an address that left this magazine, as a keyed hash (mail/magazines/blacklist.py)."""

    magazine = models.ForeignKey(
        Magazine, on_delete=models.PROTECT, related_name="blacklisted", db_index=False
    )
    address_hash = models.BinaryField(max_length=32)
    own_act = models.BooleanField()  # the reader left; otherwise an administrator stopped or removed them
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["magazine", "address_hash"], name="blacklisted_once")]


class ReaderItem(models.Model):
    """自由項目 of a magazine. Its values stand in Reader.values under str(id). Retired, never deleted."""

    class Type(models.TextChoices):
        TEXT = "text", _("Text")
        NUMBER = "number", _("Number")
        DATE = "date", _("Date")
        CHOICE = "choice", _("Choice")

    magazine = models.ForeignKey(Magazine, on_delete=models.PROTECT, related_name="items")
    label = models.CharField(_("Label"), max_length=60)
    type = models.CharField(_("Type"), max_length=10, choices=Type)
    choices = models.JSONField(_("Choices"), default=list, blank=True)  # ["製造", "小売"]
    on_form = models.BooleanField(_("Asked on the registration form"), default=True)
    required = models.BooleanField(_("Required"), default=False)
    position = models.PositiveIntegerField(_("Position"), default=0)
    retired_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["magazine", "label"], condition=Q(retired_at=None), name="reader_item_label"
            )
        ]

    def __str__(self) -> str:
        return self.label

    @property
    def key(self) -> str:
        """The key in Reader.values."""
        return str(self.pk)


class ReaderRequest(models.Model):
    """Somebody asked to become a reader and has not proved the address yet (MAG-13, double opt-in), or to leave by the
    form. The page, or the intake, only notes it; the tick does the work, so that nobody learns who is known here."""

    magazine = models.ForeignKey(Magazine, on_delete=models.PROTECT, related_name="requests")
    way = models.CharField(max_length=12, choices=ReaderWay)  # form, empty_mail
    leaves = models.BooleanField(default=False, db_default=False)  # asked on the form for leaving (MAG-2)
    address = models.CharField(max_length=320)
    address_norm = models.CharField(max_length=320, db_collation="C")
    mailbox = models.CharField(
        max_length=320, db_collation="C", default="", db_default=""
    )  # leads.address.mailbox_of
    values = models.JSONField(default=dict)  # {"last_name": …, "items": {…}}
    language = models.CharField(max_length=2, default="ja")
    ip = models.GenericIPAddressField(null=True)
    source = models.CharField(max_length=300, blank=True, default="")
    at = models.DateTimeField(default=timezone.now)
    handled_at = models.DateTimeField(null=True)  # its mail was written, or none was due
    delivery_id = models.BigIntegerField(null=True)
    expires_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(handled_at=None), name="reader_request_open"),
            models.Index(fields=["magazine", "address_norm"], name="reader_request_address"),
            models.Index(fields=["mailbox", "handled_at"], name="reader_request_mailbox"),
            models.Index(fields=["expires_at"], name="reader_request_expires"),
        ]


class ReaderImport(models.Model):
    """A file of readers on its way in (MAG-9, MAG-10). mail/magazines/imports/ takes it through its states."""

    class State(models.TextChoices):
        UPLOADED = "uploaded", pgettext_lazy("import", "Uploaded")
        CHECKING = "checking", pgettext_lazy("import", "Checking")
        CHECKED = "checked", pgettext_lazy("import", "Checked")
        COMMITTING = "committing", pgettext_lazy("import", "Importing")
        DONE = "done", pgettext_lazy("import", "Imported")
        FAILED = "failed", pgettext_lazy("import", "Failed")
        CANCELLED = "cancelled", pgettext_lazy("import", "Cancelled")
        UNDOING = "undoing", pgettext_lazy("import", "Taking back")
        UNDONE = "undone", pgettext_lazy("import", "Taken back")

    RUNNING = (State.UPLOADED, State.CHECKING, State.COMMITTING, State.UNDOING)

    magazine = models.ForeignKey(Magazine, on_delete=models.PROTECT, related_name="imports")
    state = models.CharField(max_length=12, choices=State, default=State.UPLOADED)
    file_name = models.CharField(max_length=255)
    content = models.BinaryField()  # as uploaded; cleared 30 days after the end
    encoding = models.CharField(max_length=20, blank=True, default="")
    columns = models.JSONField(default=list)
    blacklist = models.BooleanField()  # the magazine's setting when it was checked
    evidence = models.CharField(max_length=12, choices=ConsentRecord.Evidence)  # OPT-10
    rows = models.PositiveIntegerField(default=0)
    progress = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict)  # {ReaderImportRow.Group: n, …}, see imports/judge.py and undo.py
    error = models.JSONField(null=True)  # why the whole file was refused: {"code": …, "params": {…}}
    changed_since = models.BooleanField(
        default=False
    )  # the commit found other groups than the check had shown
    heartbeat_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    committed_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(
        null=True
    )  # done, failed or cancelled: the file is kept 30 days from here
    undone_at = models.DateTimeField(null=True)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["state"],
                condition=Q(state__in=["uploaded", "checking", "committing", "undoing"]),
                name="reader_import_open",
            )
        ]

    def __str__(self) -> str:
        return self.file_name


class ReaderImportRow(models.Model):
    """One row of the file: which of MAG-10's groups it is in, and what it changed (for the undo)."""

    class Group(models.TextChoices):
        NEW = "new", pgettext_lazy("import row", "New")
        UPDATED = "updated", pgettext_lazy("import row", "Updated")
        TURNED = "turned", _("Turned from stopped to deliverable")
        REFUSED = "refused", _("Refused by the blacklist")
        MALFORMED = "malformed", _("Malformed")
        UNCHANGED = "unchanged", _("Nothing to change")

    # No check and no index of its own: rows come by COPY, and each costs a part of an import's speed. Each row is written three
    # times (staged, judged, numbered): its pages have room for that (migration 0016).
    reader_import = models.ForeignKey(
        ReaderImport, on_delete=models.CASCADE, related_name="lines", db_index=False, db_constraint=False
    )
    line = models.PositiveIntegerField()  # as a spreadsheet numbers it, 1 = the header
    group = models.CharField(max_length=10, choices=Group, blank=True, default="")
    address = models.CharField(max_length=320, blank=True, default="")
    address_norm = models.CharField(max_length=320, blank=True, default="", db_collation="C")
    # {"lead": {field: text}, "items": {"<ReaderItem.id>": value or null}, "registered_at": ISO, "search": text}
    values = models.JSONField(default=dict)
    problems = models.JSONField(null=True)  # found while reading: [[column, code, params], …]
    notes = models.JSONField(null=True)  # what was made of a cell while reading, the same shape
    reasons = models.JSONField(null=True)  # found by comparing with the readers of the moment, the same shape
    lead_id = models.BigIntegerField(null=True)
    lead_made = models.BooleanField(default=False, db_default=False)
    # {"reader": bool, "state", "state_at", "values", "own_act": of its blacklist entry, null = was on none}
    before = models.JSONField(null=True)

    class Meta:
        ordering = ["line"]
        constraints = [models.UniqueConstraint(fields=["reader_import", "line"], name="reader_import_line")]
        indexes = [
            models.Index(fields=["reader_import", "group", "line"], name="reader_import_group"),
        ]
