"""Templates, jobs and deliveries. One file per noun; import them from here."""

from mail.models.brake import JobDomain
from mail.models.counting import CountedUrl
from mail.models.delivery import Delivery, DeliveryEvent
from mail.models.mail_settings import MailSettings
from mail.models.returned_mail import ReturnedKind, ReturnedMail, ReturnedNote, ReturnedSource
from mail.models.send_job import SendJob, SendJobLead
from mail.models.sending_domain import DkimKey, SendingDomain
from mail.models.step_mail import StepMail, StepOrigin, StepState, StepWait, WaitState
from mail.models.template import MailTemplate, TemplateAttachment, TemplateSnapshot

__all__ = [
    "CountedUrl",
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
    "StepMail",
    "StepOrigin",
    "StepState",
    "StepWait",
    "TemplateAttachment",
    "TemplateSnapshot",
    "WaitState",
]
