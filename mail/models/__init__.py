"""Templates, jobs and deliveries. One file per noun; import them from here."""

from mail.models.brake import JobDomain
from mail.models.delivery import Delivery, DeliveryEvent
from mail.models.mail_settings import MailSettings
from mail.models.returned_mail import ReturnedKind, ReturnedMail, ReturnedNote, ReturnedSource
from mail.models.send_job import SendJob, SendJobLead
from mail.models.sending_domain import DkimKey, SendingDomain
from mail.models.template import MailTemplate, TemplateAttachment, TemplateSnapshot

__all__ = [
    "Delivery",
    "DeliveryEvent",
    "DkimKey",
    "JobDomain",
    "MailSettings",
    "MailTemplate",
    "ReturnedKind",
    "ReturnedMail",
    "ReturnedNote",
    "ReturnedSource",
    "SendJob",
    "SendJobLead",
    "SendingDomain",
    "TemplateAttachment",
    "TemplateSnapshot",
]
