"""What stands on a ticket, for the attendee's page and for what the staff see of it."""

from dataclasses import dataclass

from django.utils.safestring import SafeString

from campaigns.models import Application, Session, SessionChoice
from campaigns.places import place_lines
from campaigns.qr_drawing import qr_svg

GROUP = 4


@dataclass(frozen=True)
class Ticket:
    application: Application
    name: str
    company: str
    code: str  # ABCD-EFGH
    qr: SafeString  # the code and nothing else: a scanner types what it reads
    sessions: list[Session]  # those chosen; of a campaign without a choice all of them
    place: list[str]
    online_url: str


def ticket_of(application: Application) -> Ticket:
    campaign = application.campaign
    if campaign.session_choice == SessionChoice.NONE:
        sessions = list(campaign.sessions.all())
    else:
        sessions = list(application.sessions.all())
    return Ticket(
        application=application,
        name=application.lead.full_name,
        company=application.lead.company,
        code=grouped(application.code),
        qr=qr_svg(application.code, level="q"),  # bears a creased or dirty print
        sessions=sessions,
        place=place_lines(campaign),
        online_url=safe_url(campaign.online_url) if campaign.online else "",
    )


def grouped(code: str) -> str:
    return "-".join(code[start : start + GROUP] for start in range(0, len(code), GROUP))


def safe_url(url: str) -> str:
    return url if url.startswith(("https://", "http://")) else ""
