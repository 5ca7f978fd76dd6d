"""The pages of a lead that is logged in: their data, address, password, and which mails they want."""

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST

from campaigns.form_fields import CHOOSE, DM_CHOICES
from campaigns.my_page import address as addresses
from campaigns.my_page import session
from campaigns.my_page.doors import open_page, own_page
from campaigns.my_page.forms import NewAddressForm, NewPasswordForm, OwnPasswordForm
from campaigns.my_page.links import account_of
from campaigns.my_page.login import fits, set_password, wait_to_try
from campaigns.my_page.profile import ProfileForm, save
from campaigns.my_page.words import wait_words
from leads.consent import resubscribe, set_dm_permission, unsubscribe
from leads.edit import LeadChangedError
from leads.models import ConsentRecord, Lead
from smp.lib.client_ip import client_ip

GET_OR_POST = require_http_methods(["GET", "HEAD", "POST"])
SOURCE = "my page"


@own_page
@GET_OR_POST
def profile(request: HttpRequest, lead: Lead) -> HttpResponse:
    form = ProfileForm(lead, request.POST if request.method == "POST" else None)
    note = ""
    if form.is_valid():
        try:
            _lead, changed = save(
                lead, form.values(), seen_at=form.seen_at, now=timezone.now(), ip=client_ip(request)
            )
        except LeadChangedError as other:
            note = _(
                "Your data was changed elsewhere meanwhile. Here it is as it is now; please enter your changes again."
            )
            form = ProfileForm(other.lead)
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            messages.success(request, _("Your data was saved.") if changed else _("Nothing was changed."))
            return redirect("my_page_profile")
    return render(request, "public/my_page/profile.html", {"lead": lead, "form": form, "note": note})


@own_page
@GET_OR_POST
def address(request: HttpRequest, lead: Lead) -> HttpResponse:
    form = NewAddressForm(request.POST if request.method == "POST" else None, lead=lead)
    note, status = "", 200
    if form.is_valid():
        new = form.cleaned_data["email"]
        if wait := addresses.wait_to_ask(lead, new):
            note, status = wait_words(wait), 429
        else:
            addresses.ask_to_change(lead, new, now=timezone.now(), ip=client_ip(request))
            said = _(
                "We sent a mail to %(address)s. Please open the link in it within 24 hours; until then your address stays "
                "as it is."
            )
            messages.success(request, said % {"address": new})
            return redirect("my_page_profile")
    page = {"lead": lead, "form": form, "note": note}
    return render(request, "public/my_page/address.html", page, status=status)


@open_page
@GET_OR_POST
def confirm_address(request: HttpRequest, token: str) -> HttpResponse:
    """The link in the mail to the new address. GET shows a button: scanners open every link of a mail."""
    now = timezone.now()
    if request.method == "POST":
        was_here = session.lead_of(request)
        confirmed = addresses.confirm_change(token, now=now, ip=client_ip(request))
        if confirmed is None:
            return render(request, "public/my_page/no_link.html", status=404)
        response = redirect("my_page_confirm_address", token)
        if was_here is not None and was_here.pk == confirmed.change.lead_id:
            session.start(request, response, confirmed.account, now=now)  # all other sessions ended
        return response
    change = addresses.read_change(token, now=now)
    if change is None:
        return render(request, "public/my_page/no_link.html", status=404)
    return render(request, "public/my_page/confirm_address.html", {"change": change})


@own_page
@GET_OR_POST
def password(request: HttpRequest, lead: Lead) -> HttpResponse:
    """Who has one says it first; who has none proved by a link of a mail who they are."""
    account = account_of(lead)
    kind = OwnPasswordForm if account.password else NewPasswordForm
    form, note, status = kind(request.POST if request.method == "POST" else None), "", 200
    if form.is_valid():
        now, ip = timezone.now(), client_ip(request)
        if account.password and (wait := wait_to_try(lead.email, ip)):
            note, status = wait_words(wait), 429
        elif account.password and not fits(account, form.cleaned_data["current"]):
            form.add_error("current", _("The current password is not correct."))
        else:
            try:
                account = set_password(lead, form.cleaned_data["new_password"], now=now, ip=ip)
            except ValidationError as problem:
                form.add_error("new_password", problem)
            else:
                messages.success(request, _("Your password was set."))
                response = redirect("my_page_profile")
                session.start(request, response, account, now=now)  # all other sessions ended
                return response
    page = {"lead": lead, "form": form, "note": note, "has_one": bool(account.password)}
    return render(request, "public/my_page/password.html", page, status=status)


class MailsForm(forms.Form):
    dm_permission = forms.ChoiceField(
        label=gettext_lazy("Would you like to receive our information?"),
        choices=DM_CHOICES,
        widget=forms.RadioSelect,
        error_messages=CHOOSE,
    )


@own_page
@GET_OR_POST
def mails(request: HttpRequest, lead: Lead) -> HttpResponse:
    """DM許可, in both directions."""
    given = request.POST if request.method == "POST" else None
    form = MailsForm(given, initial={"dm_permission": lead.dm_permission})
    if form.is_valid():
        try:
            set_dm_permission(
                lead, form.cleaned_data["dm_permission"], evidence=ConsentRecord.Evidence.MY_PAGE, source=SOURCE,
                ip=client_ip(request), now=timezone.now(),
            )  # fmt: skip
        except ValidationError:  # they have unsubscribed meanwhile; the page shows how to take it back
            return redirect("my_page_mails")
        messages.success(request, _("Your choice was saved."))
        return redirect("my_page_mails")
    return render(request, "public/my_page/mails.html", {"lead": lead, "form": form})


@own_page
@require_POST
def stop_mails(request: HttpRequest, lead: Lead) -> HttpResponse:
    """OPT-1: 配信停止, by their own act."""
    unsubscribe(
        lead,
        evidence=ConsentRecord.Evidence.MY_PAGE,
        source=SOURCE,
        ip=client_ip(request),
        now=timezone.now(),
    )
    messages.success(request, _("Our mails were stopped. You can ask for them again here at any time."))
    return redirect("my_page_mails")


@own_page
@require_POST
def want_mails_again(request: HttpRequest, lead: Lead) -> HttpResponse:
    resubscribe(
        lead,
        evidence=ConsentRecord.Evidence.MY_PAGE,
        source=SOURCE,
        ip=client_ip(request),
        now=timezone.now(),
    )
    messages.success(request, _("You will receive our information again."))
    return redirect("my_page_mails")
