"""Who asks for a login link or a new password. The page only notes the address, whoever it belongs to; the tick finds out,
so nobody learns from an answer, or from the time it takes, who is known here."""

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from campaigns.events import LOGIN_URL, PASSWORD_URL, Event, Happening, announce
from campaigns.models import Application, MyPageAccount, MyPageRequest
from campaigns.my_page import links
from leads.address import check_email, normalise_email
from leads.models import Lead, LeadQuerySet
from smp.lib.client_ip import neighbourhood
from smp.lib.rate_limit import too_many

MOST = 5  # leads of one address that are written to, the newest
_AT_ONCE = 200  # requests of one tick
BY_IP = (60, 600)  # times, seconds; a company behind one address
BY_ADDRESS = (3, 600)  # a mailbox is not flooded


def wait_to_ask(address: str, ip: str | None) -> int:
    """Seconds to wait before a mail is asked for again; 0 = at once. Known or not, an address counts the same."""
    from_here = too_many("my-page-ask", neighbourhood(ip), limit=BY_IP[0], seconds=BY_IP[1])
    for_it = too_many(
        "my-page-ask-address", normalise_email(address), limit=BY_ADDRESS[0], seconds=BY_ADDRESS[1]
    )
    return max(from_here, for_it)


def ask(kind: str, address: str, *, language: str, ip: str | None, now: datetime) -> MyPageRequest:
    """`kind`: MyPageRequest.Kind. `address` is well-formed (leads.address.check_email)."""
    check = check_email(address)
    return MyPageRequest.objects.create(
        kind=kind, address=check.address, address_norm=check.norm, language=language, ip=ip, at=now
    )


def handle_requests(now: datetime) -> int:
    """The tick: announces the mails that were asked for. Several at once share the work; each request is done once, and
    with its mails or not at all. The number done."""
    with transaction.atomic():
        due = MyPageRequest.objects.filter(handled_at=None).order_by("pk")
        requests = list(due.select_for_update(skip_locked=True)[:_AT_ONCE])
        for request in requests:
            for lead in reversed(leads_with(request.address_norm).order_by("-pk")[:MOST]):
                announce(_mail(request, lead, now))
        MyPageRequest.objects.filter(pk__in=[one.pk for one in requests]).update(handled_at=now)
    return len(requests)


def leads_with(address_norm: str) -> LeadQuerySet:
    """Whose my page it is: leads with this address (EXC-4) that have applied for something or have logged in before. Who
    only stands in somebody's list has none."""
    if not address_norm:
        return Lead.objects.none()
    applied = Exists(Application.objects.filter(lead=OuterRef("pk")))
    there_before = Exists(MyPageAccount.objects.filter(lead=OuterRef("pk")))
    return Lead.objects.existing().filter(Q(applied) | Q(there_before), email_norm=address_norm)


def _mail(request: MyPageRequest, lead: Lead, now: datetime) -> Happening:
    if request.kind == MyPageRequest.Kind.PASSWORD:
        return Happening(
            Event.MY_PAGE_PASSWORD, lead, now, values={PASSWORD_URL: links.password_url(lead, now=now)}
        )
    return Happening(Event.MY_PAGE_LOGIN, lead, now, values={LOGIN_URL: links.login_url(lead, now=now)})
