"""EXC-1: why a lead in scope is not mailed. Exactly one reason a row: the first that applies, in this order."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Reason(models.TextChoices):
    DELETED = "deleted", _("The lead was deleted")
    NO_ADDRESS = "no_address", _("No e-mail address")
    MALFORMED_ADDRESS = "malformed_address", _("Malformed e-mail address")
    UNSUBSCRIBED = "unsubscribed", _("Unsubscribed")
    INVALID_ADDRESS = "invalid_address", _("Valid flag is off")
    PROVISIONAL = "provisional", _("Provisional registration")
    # Of magazine mail (MAG-1, MAG-7).
    READER_STOPPED = "reader_stopped", _("Stopped as a reader")
    READER_ERROR_STOPPED = "reader_error_stopped", _("Stopped as a reader by errors")
    DM_PERMISSION = "dm_permission", _("DM permission not among the chosen values")
    ALREADY_SENT = "already_sent", _("This template was already sent")
    FILTER = "filter", _("Does not match the delivery filter")
    DUPLICATE = "duplicate", _("Duplicate address")
    AUTOMATIC_OFF = "automatic_off", _("Automatic mail is switched off")  # NAV-2 「自動送信 OFF」
    # Of step mails (mail/step_mail.py), beside those above.
    CONDITION = "condition", _("Does not match the condition")
    APPLICATION_CANCELLED = "application_cancelled", _("The application was cancelled")
    STEP_DELETED = "step_deleted", _("The step mail was deleted")
    TOO_LATE = "too_late", _("Overdue for too long")
    # After the decision: found at the last moment, or an act of an administrator.
    UNSUBSCRIBED_LATE = "unsubscribed_late", _("Unsubscribed after the start")
    READER_LEFT_LATE = "reader_left_late", _("Left the magazine after the start")
    MERGED_ADDRESS = "merged_address", _("A merge field gave no e-mail address")
    STOPPED = "stopped", _("Stopped by an administrator")
    RESERVATION_DELETED = "reservation_deleted", _("Reservation deleted")


# What the one statement of mail/recipients/ can answer, in the order of EXC-1.
DECIDED_AT_START = (
    Reason.DELETED, Reason.NO_ADDRESS, Reason.MALFORMED_ADDRESS, Reason.UNSUBSCRIBED, Reason.INVALID_ADDRESS,
    Reason.PROVISIONAL, Reason.READER_STOPPED, Reason.READER_ERROR_STOPPED, Reason.DM_PERMISSION, Reason.ALREADY_SENT,
    Reason.FILTER, Reason.DUPLICATE,
)  # fmt: skip

# Of these, what magazine mail never answers, and what it alone knows.
NOT_OF_READERS = (Reason.DELETED, Reason.DM_PERMISSION, Reason.ALREADY_SENT)
OF_READERS = (Reason.READER_STOPPED, Reason.READER_ERROR_STOPPED, Reason.FILTER)

# What mail/automatic.py can answer for one mail by itself, in this order: a business notice asks neither DM許可 nor 配信停止.
DECIDED_AT_ONCE = (
    Reason.DELETED, Reason.NO_ADDRESS, Reason.MALFORMED_ADDRESS, Reason.INVALID_ADDRESS, Reason.PROVISIONAL,
    Reason.AUTOMATIC_OFF,
)  # fmt: skip

# What mail/step_mail.py can answer when a mail is due: before the statement of mail/recipients/ is asked.
DECIDED_AT_STEP = (Reason.DELETED, Reason.TOO_LATE, Reason.APPLICATION_CANCELLED, Reason.CONDITION)

# Who was never addressed; the other reasons came later.
NEVER_ADDRESSED = (
    *DECIDED_AT_START, Reason.AUTOMATIC_OFF, Reason.TOO_LATE, Reason.APPLICATION_CANCELLED, Reason.CONDITION,
)  # fmt: skip
