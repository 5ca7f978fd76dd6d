"""The link that confirms the address of a provisional application (仮登録): /e/confirm/<token>.

It names the application and proves that the mail was read. It does not end by itself: an application that was not
confirmed in time is cancelled (campaigns/applications.py), and its link then says so.
"""

from django.conf import settings

from campaigns.models import Application
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
