"""Pages for recipients, without a login: the opt-out form, the one-click page, RFC 8058.

GET and HEAD never unsubscribe anybody: scanners and link checkers open every link (OPT-5).
"""

from django import forms
from django.core.exceptions import RequestDataTooBig
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.http.multipartparser import MultiPartParserError
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from leads.address import normalise_email
from leads.consent import unsubscribe
from leads.merge import survivor_of
from leads.models import ConsentRecord, Lead
from mail.links import NOBODY, read_one_click, read_opt_out
from mail.magazine_opt_out_views import draw_left, draw_one_click, magazine_of_mail
from mail.magazines.leaving import leave_as_everybody
from mail.magazines.readers import leave
from mail.models import Delivery, DeliveryEvent, Magazine, Reader, ReaderState, ReaderWay
from settings.permissions import public
from smp.lib.client_ip import client_ip, neighbourhood
from smp.lib.rate_limit import too_many

ONE_CLICK = ("List-Unsubscribe", "One-Click")  # RFC 8058 3.2
FORM_VERSION = "opt-out form 1"  # in the consent record: which wording the recipient saw (OPT-10)


class OptOutForm(forms.Form):
    ALL, MAGAZINES = "all", "magazines"

    email = forms.CharField(
        label=_("Your e-mail address"),
        max_length=320,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email"}),
        error_messages={"required": _("Enter your e-mail address.")},
    )
    scope = forms.ChoiceField(  # OPT-7
        label=_("What do you want to stop?"),
        choices=((ALL, _("All our mails")), (MAGAZINES, _("Only mail magazines that I choose"))),
        initial=ALL,
        required=False,  # all
        widget=forms.RadioSelect,
    )


@public
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def opt_out(request: HttpRequest, token: str) -> HttpResponse:
    """OPT-1: the URL of one lead, for ever; only that lead's own address is taken."""
    lead_id = read_opt_out(token)
    if lead_id is None:
        return _no_such_link(request)
    if lead_id == NOBODY:
        return render(request, "public/test_link.html")
    form = OptOutForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and too_many(
        "opt-out", f"{lead_id} {neighbourhood(client_ip(request))}", limit=20, seconds=600
    ):
        form.add_error(None, _("Too many attempts. Wait ten minutes, then try again."))
        return render(request, "public/opt_out.html", {"form": form}, status=429)
    if request.method == "POST" and form.is_valid():
        lead = survivor_of(lead_id)
        # One message for every other address, known to us or not.
        if lead is None or not _same_address(form.cleaned_data["email"], lead, lead_id):
            form.add_error(
                "email",
                _(
                    "This is not the address the link was made for. Enter the address at which you got the mail."
                ),
            )
        elif form.cleaned_data["scope"] == OptOutForm.MAGAZINES:
            return _leave_magazines(request, lead, form)
        else:
            now, ip = timezone.now(), client_ip(request)
            leave_as_everybody(lead, way=ReaderWay.FORM, source=FORM_VERSION, ip=ip, now=now)
            unsubscribe(
                lead, evidence=ConsentRecord.Evidence.OPT_OUT_FORM, source=FORM_VERSION, ip=ip, now=now
            )
            return render(request, "public/opted_out.html")
    return render(request, "public/opt_out.html", {"form": form})


def _leave_magazines(request: HttpRequest, lead: Lead, form: OptOutForm) -> HttpResponse:
    """OPT-7: the magazines this person reads, shown only to who knew the address; those that are ticked are left."""
    read = {str(reader.magazine_id): reader for reader in _reads(lead)}
    ticked = [read[key] for key in request.POST.getlist("magazine") if key in read]
    for reader in ticked:
        leave(
            reader.magazine,
            lead,
            way=ReaderWay.FORM,
            source=FORM_VERSION,
            ip=client_ip(request),
            now=timezone.now(),
        )
    if ticked:
        return render(request, "public/opted_out.html", {"magazines": [one.magazine for one in ticked]})
    page = {
        "form": form,
        "magazines": [one.magazine for one in read.values()],
        "asked": "chosen" in request.POST,
    }
    return render(request, "public/opt_out_magazines.html", page)


def _reads(lead: Lead) -> list[Reader]:
    """One reader a magazine that would still send to this address (EXC-4)."""
    same = Q(lead=lead) | (Q(lead__email_norm=lead.email_norm) if lead.email_norm else Q())
    rows = Reader.objects.filter(same, state=ReaderState.DELIVERABLE, magazine__archived_at=None)
    return list(
        rows.select_related("magazine").order_by("magazine__name", "magazine_id", "-lead_id").distinct()
    )


@public
@csrf_exempt  # RFC 8058: mailbox providers post without cookies; the signed URL is the proof
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def one_click(request: HttpRequest, token: str) -> HttpResponse:
    """OPT-5: GET shows a page with a button, POST acts: at once, as often as it comes, without a redirect."""
    link = read_one_click(token)
    if link is None:
        return _no_such_link(request)
    magazine = magazine_of_mail(link.delivery_id)
    if request.method != "POST" and magazine is not None:
        return draw_one_click(request, magazine, test=link.lead_id == NOBODY)
    if request.method != "POST":
        return render(request, "public/one_click.html", {"test": link.lead_id == NOBODY})
    try:
        asked = request.POST.get(ONE_CLICK[0]) == ONE_CLICK[1]
        by_hand = "page" in request.POST
    except (MultiPartParserError, RequestDataTooBig):
        return HttpResponseBadRequest("bad form data\n", content_type="text/plain")
    if not asked:
        return HttpResponseBadRequest("List-Unsubscribe=One-Click is missing\n", content_type="text/plain")
    lead = survivor_of(link.lead_id) if link.lead_id != NOBODY else None
    if lead is not None:
        _stop(lead, link.delivery_id, magazine, request)
    if by_hand and magazine is not None:
        return draw_left(request, magazine)
    if by_hand:
        return render(request, "public/opted_out.html", {"without_forms": True})
    return HttpResponse("unsubscribed\n", content_type="text/plain")


def _stop(lead: Lead, delivery_id: int, magazine: Magazine | None, request: HttpRequest) -> None:
    """OPT-7: a magazine's mail stops that reader only, any other mail the lead."""
    now, source, ip = timezone.now(), f"mail {delivery_id}", client_ip(request)
    if magazine is not None:
        changed = leave(
            magazine, lead, way=ReaderWay.ONE_CLICK, source=source, ip=ip, delivery_id=delivery_id, now=now
        )
    else:
        leave_as_everybody(lead, way=ReaderWay.ONE_CLICK, source=source, ip=ip, now=now)
        changed = unsubscribe(lead, evidence=ConsentRecord.Evidence.ONE_CLICK, source=source, ip=ip, now=now)
    if changed and Delivery.objects.filter(pk=delivery_id, lead=lead).exists():
        DeliveryEvent.objects.create(delivery_id=delivery_id, at=now, what="unsubscribed")


def _same_address(typed: str, lead: Lead, lead_id: int) -> bool:
    """EXC-4. The link of a merged lead (APP-5) takes that lead's address as well as the survivor's."""
    norm = normalise_email(typed)
    if lead.pk != lead_id and Lead.objects.filter(pk=lead_id, email_norm=norm).exists():
        return bool(norm)
    return bool(norm) and norm == lead.email_norm


def _no_such_link(request: HttpRequest) -> HttpResponse:
    return render(request, "public/no_such_link.html", status=404)
