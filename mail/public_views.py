"""Pages for recipients, without a login: the opt-out form, the one-click page, RFC 8058.

GET and HEAD never unsubscribe anybody: scanners and link checkers open every link (OPT-5).
"""

from django import forms
from django.core.exceptions import RequestDataTooBig
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
from mail.models import Delivery, DeliveryEvent
from settings.permissions import public
from smp.lib.client_ip import client_ip, neighbourhood
from smp.lib.rate_limit import too_many

ONE_CLICK = ("List-Unsubscribe", "One-Click")  # RFC 8058 3.2
FORM_VERSION = "opt-out form 1"  # in the consent record: which wording the recipient saw (OPT-10)


class OptOutForm(forms.Form):
    email = forms.CharField(
        label=_("Your e-mail address"),
        max_length=320,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email"}),
        error_messages={"required": _("Enter your e-mail address.")},
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
        else:
            unsubscribe(
                lead,
                evidence=ConsentRecord.Evidence.OPT_OUT_FORM,
                source=FORM_VERSION,
                ip=client_ip(request),
                now=timezone.now(),
            )
            return render(request, "public/opted_out.html")
    return render(request, "public/opt_out.html", {"form": form})


@public
@csrf_exempt  # RFC 8058: mailbox providers post without cookies; the signed URL is the proof
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def one_click(request: HttpRequest, token: str) -> HttpResponse:
    """OPT-5: GET shows a page with a button, POST acts: at once, as often as it comes, without a redirect."""
    link = read_one_click(token)
    if link is None:
        return _no_such_link(request)
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
        _unsubscribe_from(lead, link.delivery_id, request)
    if by_hand:
        return render(request, "public/opted_out.html", {"without_forms": True})
    return HttpResponse("unsubscribed\n", content_type="text/plain")


def _unsubscribe_from(lead: Lead, delivery_id: int, request: HttpRequest) -> None:
    now = timezone.now()
    changed = unsubscribe(
        lead,
        evidence=ConsentRecord.Evidence.ONE_CLICK,
        source=f"mail {delivery_id}",
        ip=client_ip(request),
        now=now,
    )
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
