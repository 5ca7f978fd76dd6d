"""Logging in to my page and out of it. What these pages say of an address is the same, whoever it belongs to."""

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from campaigns.events import Known, tell_known
from campaigns.models import MyPageAccount, MyPageRequest
from campaigns.my_page import session
from campaigns.my_page.doors import open_page
from campaigns.my_page.forms import AddressForm, NewPasswordForm, PasswordLoginForm
from campaigns.my_page.links import read_login, read_password
from campaigns.my_page.login import (
    log_in_by_link,
    log_in_by_password,
    set_password_by_link,
    wait_to_try,
)
from campaigns.my_page.requests import ask, wait_to_ask
from campaigns.my_page.words import wait_words
from smp.lib.client_ip import client_ip

GET_OR_POST = require_http_methods(["GET", "HEAD", "POST"])


@open_page
@GET_OR_POST
def login(request: HttpRequest) -> HttpResponse:
    """Asks for a login link."""
    form = AddressForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _ask(request, form, MyPageRequest.Kind.LOGIN, _draw_login)
    if request.method != "POST" and session.lead_of(request):
        return redirect("my_page")
    return _draw_login(request, form)


@open_page
@GET_OR_POST
def forgotten_password(request: HttpRequest) -> HttpResponse:
    """Asks for a link to choose a new password: also who never had one."""
    form = AddressForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        return _ask(request, form, MyPageRequest.Kind.PASSWORD, _draw_forgotten)
    return _draw_forgotten(request, form)


@open_page
@require_safe
def link_sent(request: HttpRequest) -> HttpResponse:
    return render(request, "public/my_page/sent.html")


@open_page
@GET_OR_POST
def password_login(request: HttpRequest) -> HttpResponse:
    form = PasswordLoginForm(request.POST or None)
    if request.method != "POST" or not form.is_valid():
        return render(request, "public/my_page/password_login.html", {"form": form})
    address, now = form.cleaned_data["email"], timezone.now()
    note, status = _("The e-mail address or the password is not correct."), 200
    if wait := wait_to_try(address, client_ip(request)):
        note, status = wait_words(wait), 429
    elif account := log_in_by_password(address, form.cleaned_data["password"], now=now):
        return _enter(request, account)
    return render(request, "public/my_page/password_login.html", {"form": form, "note": note}, status=status)


@open_page
@GET_OR_POST
def link(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows a button: scanners open every link of a mail."""
    now = timezone.now()
    if request.method == "POST":
        account = log_in_by_link(token, now=now)
        return _enter(request, account) if account else _no_link(request)
    found = read_login(token, now=now)
    return (
        render(request, "public/my_page/link.html", {"lead": found.account.lead})
        if found
        else _no_link(request)
    )


@open_page
@GET_OR_POST
def new_password(request: HttpRequest, token: str) -> HttpResponse:
    """The link of a mail: a new password, and then in."""
    now = timezone.now()
    if read_password(token, now=now) is None:
        return _no_link(request)
    form = NewPasswordForm(request.POST or None)
    if form.is_valid():
        try:
            account = set_password_by_link(
                token, form.cleaned_data["new_password"], now=now, ip=client_ip(request)
            )
        except ValidationError as problem:
            form.add_error("new_password", problem)
        else:
            if account is None:
                return _no_link(request)
            messages.success(request, _("Your password was set."))
            return _enter(request, account)
    return render(request, "public/my_page/new_password.html", {"form": form})


@open_page
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    messages.success(request, _("You are logged out."))
    response = redirect("my_page_login")
    session.end(response)
    return response


def _ask(
    request: HttpRequest, form: AddressForm, kind: str, draw: Callable[..., HttpResponse]
) -> HttpResponse:
    address, ip = form.cleaned_data["email"], client_ip(request)
    if wait := wait_to_ask(address, ip):
        return draw(request, form, wait_words(wait), 429)
    ask(kind, address, language=request.LANGUAGE_CODE, ip=ip, now=timezone.now())
    return redirect("my_page_sent")


def _draw_login(request: HttpRequest, form: AddressForm, note: str = "", status: int = 200) -> HttpResponse:
    return render(request, "public/my_page/login.html", {"form": form, "note": note}, status=status)


def _draw_forgotten(
    request: HttpRequest, form: AddressForm, note: str = "", status: int = 200
) -> HttpResponse:
    return render(request, "public/my_page/forgotten.html", {"form": form, "note": note}, status=status)


def _enter(request: HttpRequest, account: MyPageAccount) -> HttpResponse:
    response = redirect("my_page")
    session.start(request, response, account, now=timezone.now())
    tell_known(request, account.lead_id, Known.MY_PAGE_LOGIN)
    return response


def _no_link(request: HttpRequest) -> HttpResponse:
    return render(request, "public/my_page/no_link.html", status=404)
