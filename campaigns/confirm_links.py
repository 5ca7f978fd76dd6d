"""The link that confirms the address of a provisional application (仮登録): /e/confirm/<token>.

It names the application and proves that the mail was read. It does not end by itself: an application that was not
confirmed in time is cancelled (campaigns/applications.py), and its link then says so.
"""

import hashlib
import json
from typing import NamedTuple

from django.conf import settings
from django.utils.translation import gettext as _

from campaigns.answers import answer_rows
from campaigns.application_page import entered_rows
from campaigns.form_items import label_of, questions_of
from campaigns.models import Application
from campaigns.texts import text_in
from leads.models import LeadColumn
from smp.lib.signing import read_id, sign_id

PURPOSE = "confirm application"
CONFIRM_PATH = "/e/confirm/"  # campaigns/public_urls.py. It stands in mails: never change it.


def confirm_url(application: Application) -> str:
    return f"{settings.BASE_URL}{CONFIRM_PATH}{sign_id(PURPOSE, application.pk)}"


def read_confirm_link(token: str) -> Application | None:
    application_id = read_id(PURPOSE, token)
    if application_id is None:
        return None
    return Application.objects.select_related("campaign", "lead").filter(pk=application_id).first()


class ToConfirm(NamedTuple):
    rows: list[tuple[str, str]]  # (label, value in words)
    seen: str  # names just these values


def to_confirm(application: Application, language: str) -> ToConfirm:
    """What the button confirms: whoever reads the mail need not be who filled in the form."""
    columns = {column.key: column for column in LeadColumn.objects.all()}
    shown = [one for one in entered_rows(application, columns) if one.entered]
    rows = [(one.label, one.entered) for one in shown]
    if titles := [text_in(session, "title", language) for session in application.sessions.all()]:
        rows.append((_("Sessions"), "\n".join(titles)))
    questions = questions_of(application.campaign)
    rows += [
        (label_of(item, language), text)
        for item, text in answer_rows(questions, application.answers, language)
    ]
    return ToConfirm(rows, hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:32])
