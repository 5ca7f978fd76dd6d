"""Templates, jobs and deliveries. One file per noun; import them from here."""

from mail.models.brake import JobDomain
from mail.models.counting import CountedUrl
from mail.models.delivery import Delivery, DeliveryEvent
from mail.models.magazine import (
    BlacklistedAddress,
    FailureGroup,
    LeaveDoes,
    Magazine,
    Outage,
    Reader,
    ReaderChange,
    ReaderFailure,
    ReaderImport,
    ReaderImportRow,
    ReaderItem,
    ReaderRequest,
    ReaderState,
    ReaderWay,
)
from mail.models.mail_settings import MailSettings
from mail.models.returned_mail import ReturnedKind, ReturnedMail, ReturnedNote, ReturnedSource
from mail.models.send_job import SendJob, SendJobLead
from mail.models.sending_domain import DkimKey, SendingDomain
from mail.models.step_mail import StepMail, StepOrigin, StepState, StepWait, WaitState
from mail.models.story import LoopRule, SkipWhy, StepBase, Story, StoryKind, StoryState, StoryTurn, TurnState
from mail.models.template import MailTemplate, TemplateAttachment, TemplateSnapshot

__all__ = [
    "BlacklistedAddress",
    "CountedUrl",
    "Delivery",
    "DeliveryEvent",
    "DkimKey",
    "FailureGroup",
    "JobDomain",
    "LeaveDoes",
    "LoopRule",
    "Magazine",
    "MailSettings",
    "MailTemplate",
    "Outage",
    "Reader",
    "ReaderChange",
    "ReaderFailure",
    "ReaderImport",
    "ReaderImportRow",
    "ReaderItem",
    "ReaderRequest",
    "ReaderState",
    "ReaderWay",
    "ReturnedKind",
    "ReturnedMail",
    "ReturnedNote",
    "ReturnedSource",
    "SendJob",
    "SendJobLead",
    "SendingDomain",
    "SkipWhy",
    "StepBase",
    "StepMail",
    "StepOrigin",
    "StepState",
    "StepWait",
    "Story",
    "StoryKind",
    "StoryState",
    "StoryTurn",
    "TemplateAttachment",
    "TemplateSnapshot",
    "TurnState",
    "WaitState",
]
