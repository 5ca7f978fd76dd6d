"""Templates, jobs and deliveries. One file per noun; import them from here."""

from mail.models.delivery import Delivery, DeliveryEvent
from mail.models.mail_settings import MailSettings
from mail.models.send_job import SendJob, SendJobLead
from mail.models.template import MailTemplate, TemplateAttachment, TemplateSnapshot

__all__ = [
    "Delivery",
    "DeliveryEvent",
    "MailSettings",
    "MailTemplate",
    "SendJob",
    "SendJobLead",
    "TemplateAttachment",
    "TemplateSnapshot",
]
