"""The pages behind the links of a magazine's mail: opt-out (OPT-7) and one-click (OPT-5). GET never acts."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from leads.consent import unsubscribe
from leads.merge import survivor_of
from leads.models import ConsentRecord
from mail.forms.magazines.public import ScopeForm
from mail.links import NOBODY, read_reader_opt_out
from mail.magazines.leaving import leave_as_everybody
from mail.magazines.public_page import draw, magazine_page, no_such_link
from mail.magazines.reader_words import OPT_OUT_PAGE
from mail.magazines.readers import leave
from mail.models import Delivery, Magazine, ReaderWay
from smp.lib.client_ip import client_ip


@magazine_page
@require_http_methods(["GET", "HEAD", "POST"])
def reader_opt_out(request: HttpRequest, token: str) -> HttpResponse:
    """OPT-7: 「このメールマガジンだけ」, or 「すべてのお知らせ」. The signed link is the proof, as with one-click; the page names nobody."""
    link = read_reader_opt_out(token)
    magazine = Magazine.objects.filter(pk=link.magazine_id).first() if link else None
    if link is None or magazine is None:
        return no_such_link(request)
    form = ScopeForm(
        {"scope": request.POST.get("scope", ScopeForm.MAGAZINE)} if request.method == "POST" else None
    )
    if request.method != "POST" or not form.is_valid():
        test = link.lead_id == NOBODY
        action = request.get_full_path()
        return draw(request, magazine, "opt_out", "opt_out", form=form, test=test, action=action)
    lead = survivor_of(link.lead_id) if link.lead_id != NOBODY else None
    everything = form.cleaned_data["scope"] == ScopeForm.ALL
    if lead is not None:
        now, ip = timezone.now(), client_ip(request)
        leave(magazine, lead, way=ReaderWay.FORM, source=OPT_OUT_PAGE, ip=ip, now=now)
        if everything:
            leave_as_everybody(lead, way=ReaderWay.FORM, source=OPT_OUT_PAGE, ip=ip, now=now)
            unsubscribe(
                lead, evidence=ConsentRecord.Evidence.OPT_OUT_FORM, source=OPT_OUT_PAGE, ip=ip, now=now
            )
    return draw_left(request, magazine, everything=everything)


def draw_one_click(request: HttpRequest, magazine: Magazine, *, test: bool) -> HttpResponse:
    """GET of the one-click address of a magazine's mail: a page with a button."""
    return draw(request, magazine, "one_click", "opt_out", test=test, action=request.get_full_path())


def draw_left(request: HttpRequest, magazine: Magazine, *, everything: bool = False) -> HttpResponse:
    said = _("We will send you no more mails.") if everything else ""
    return draw(request, magazine, "left", "done", said=said)


def magazine_of_mail(delivery_id: int) -> Magazine | None:
    """The magazine a mail belongs to, also when it was sent once more to one person; None for every other mail."""
    mail = Delivery.objects.filter(pk=delivery_id).values_list(
        "job__magazine_id", "snapshot__content__magazine"
    )
    ids = [found for row in mail for found in row if isinstance(found, int)]
    return Magazine.objects.filter(pk=ids[0]).first() if ids else None
