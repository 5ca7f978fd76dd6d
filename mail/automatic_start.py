"""What the automatic mails register when the product starts."""

from campaigns.events import happened
from campaigns.notices import register_notices
from mail.application_fields import register_application_fields
from mail.automatic import on_happened
from mail.automatic_kinds import notice_is_on, register_automatic_kinds
from mail.step_waits import on_happened as on_origin


def register() -> None:
    """From MailConfig.ready()."""
    register_application_fields()
    register_automatic_kinds()
    register_notices(notice_is_on)
    happened.connect(on_happened, dispatch_uid="mail.automatic")
    happened.connect(on_origin, dispatch_uid="mail.step_waits")
