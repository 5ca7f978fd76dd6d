"""The forms of a magazine for everybody (MAG-2, MAG-13, OPT-8): registering, leaving, and the link that proves an address.

They say the same, whoever an address belongs to, and only note what is asked (mail/magazines/requests.py). GET changes
nothing. A form that is posted from another site, which has no stamp of ours, leads to the confirmation page and no further.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from campaigns import form_protection as waits
from campaigns.events import Known, tell_known
from mail.forms.magazines.public import AddressForm, LeaveForm, RegisterForm
from mail.magazines import form_protection as protection
from mail.magazines import requests
from mail.magazines.form_design import design_of, style_sheet
from mail.magazines.form_texts import form_version, texts
from mail.magazines.items import items_of, value_text
from mail.magazines.public_page import (
    address,
    draw,
    form_frame,
    magazine_page,
    may_be_embedded,
    no_such_link,
    open_magazine,
)
from mail.magazines.reader_words import LEAVE_FORM, form_source
from mail.models import Magazine, ReaderRequest, ReaderWay
from mail.refused import Refused
from settings.permissions import public
from smp.lib.client_ip import client_ip

SUGGESTION = "email_suggestion"  # the button that takes over what the address was probably meant to be
BODY_MAX = 64 * 1024  # bytes
STYLE_KEPT = 24 * 3600  # seconds; its address changes with it


@magazine_page
@require_http_methods(["GET", "HEAD", "POST"])
@may_be_embedded
def register(request: HttpRequest, token: str) -> HttpResponse:
    magazine = open_magazine(token)
    if magazine is None:
        return no_such_link(request)
    if not magazine.registration_open:
        return draw(request, magazine, "closed", "done")
    return _Dialogue(request, magazine, token, protection.REGISTER, RegisterForm, _note_registration).answer()


@magazine_page
@require_http_methods(["GET", "HEAD", "POST"])
@may_be_embedded
def leave(request: HttpRequest, token: str) -> HttpResponse:
    magazine = open_magazine(token)
    if magazine is None:
        return no_such_link(request)
    return _Dialogue(request, magazine, token, protection.LEAVE, LeaveForm, _note_leaving).answer()


@magazine_page
@require_safe
@may_be_embedded
def registered(request: HttpRequest, token: str) -> HttpResponse:
    """After the form, the same for everybody."""
    magazine = open_magazine(token)
    if magazine is None:
        return no_such_link(request)
    return draw(request, magazine, "register_sent" if magazine.double_opt_in else "register_accepted", "done")


@magazine_page
@require_safe
@may_be_embedded
def left(request: HttpRequest, token: str) -> HttpResponse:
    magazine = open_magazine(token)
    return no_such_link(request) if magazine is None else draw(request, magazine, "left", "done")


@magazine_page
@require_http_methods(["GET", "HEAD", "POST"])
def prove(request: HttpRequest, token: str) -> HttpResponse:
    """The link of the confirmation mail. GET shows a button: scanners open every link. Whoever has the link has read the
    mail, so this page may say what it is about."""
    now = timezone.now()
    asked = requests.read_request(token, now=now)
    if asked is None:
        return no_such_link(request)
    if request.method == "POST":
        try:
            lead = requests.confirm(asked, ip=client_ip(request), now=now)
        except Refused:  # archived at this very moment
            return no_such_link(request)
        if lead is not None:
            tell_known(request, lead.pk, Known.CONFIRMATION)
        return HttpResponseRedirect(request.get_full_path())
    if asked.confirmed_at is not None:
        return draw(request, asked.magazine, "registered", "done")
    return draw(
        request, asked.magazine, "prove", "prove", address=asked.address,
        entered=_entered(request, asked), stopped=requests.stopped_everything(asked), action=request.get_full_path(),
    )  # fmt: skip


@public
@require_safe
def style(request: HttpRequest, token: str) -> HttpResponse:
    """The magazine's colours: a file of its own, because no page may hold styles (Content-Security-Policy)."""
    magazine = open_magazine(token)
    if magazine is None:
        return HttpResponse(status=404, content_type="text/css")
    response = HttpResponse(style_sheet(design_of(magazine)), content_type="text/css; charset=utf-8")
    response.headers["Cache-Control"] = f"public, max-age={STYLE_KEPT}"
    return response


def _entered(request: HttpRequest, asked: ReaderRequest) -> list[tuple[str, str]]:
    """[(label, text)] of what will be registered: it may have been somebody else who typed it."""
    values = requests.entries_of(asked).values
    names = [(_("Last name"), values.get("last_name", "")), (_("First name"), values.get("first_name", ""))]
    items, language = values.get("items", {}), str(request.LANGUAGE_CODE)
    names += [
        (item.label, value_text(item, items.get(item.key), language))
        for item in items_of(asked.magazine, retired=True)
    ]
    return [(label, text) for label, text in names if text]


# ---- noting what is asked


def _note_registration(request: HttpRequest, magazine: Magazine, form: AddressForm) -> None:
    assert isinstance(form, RegisterForm)
    language = str(request.LANGUAGE_CODE)
    requests.ask(
        magazine, form.cleaned_data["email"], form.values(), way=ReaderWay.FORM, language=language,
        source=form_source(form_version(magazine, language), language), ip=client_ip(request), now=timezone.now(),
    )  # fmt: skip


def _note_leaving(request: HttpRequest, magazine: Magazine, form: AddressForm) -> None:
    requests.ask_to_leave(
        magazine, form.cleaned_data["email"], language=str(request.LANGUAGE_CODE), source=LEAVE_FORM,
        ip=client_ip(request), now=timezone.now(),
    )  # fmt: skip


# ---- form → (confirmation page) → done


class _Dialogue:
    """One form and its confirmation page, which carries the entries along and has them judged again."""

    def __init__(
        self,
        request: HttpRequest,
        magazine: Magazine,
        token: str,
        kind: str,
        form: Callable[..., AddressForm],
        act: Callable[[HttpRequest, Magazine, AddressForm], None],
    ) -> None:
        self.request, self.magazine, self.token, self.kind = request, magazine, token, kind
        self._form, self._act = form, act
        self._stamp = ""

    def answer(self) -> HttpResponse:
        if self.request.method != "POST":
            return self._draw_form(self._form(self.magazine))
        if int(self.request.META.get("CONTENT_LENGTH") or 0) > BODY_MAX:
            return self._draw_form(
                self._form(self.magazine),
                _("That is too much text. Please shorten it, and send it again."),
                413,
            )
        data = self.request.POST.copy()
        stamp = protection.read_stamp(data.get("stamp", ""), self.magazine, self.kind)
        now = timezone.now()
        fresh = stamp is not None and not waits.is_too_old(stamp, now)
        self._stamp = data.get("stamp", "") if fresh else ""
        if SUGGESTION in data:
            data["email"] = str(data[SUGGESTION])
        form = self._form(self.magazine, data)
        again = self._form(self.magazine, initial=data.dict())  # as it was filled in, not judged
        if SUGGESTION in data or data.get("step") == "back":
            return self._draw_form(again)
        if data.get(waits.TRAP):
            return self._draw_form(again, waits.trap_words())
        if stamp is not None and not fresh:
            return self._draw_form(again, waits.too_old_words())
        if stamp is not None and waits.is_too_fast(stamp, now):
            return self._draw_form(again, waits.too_fast_words())
        if not form.is_valid():
            return self._draw_form(form)
        if stamp is None or data.get("step") != "send":
            return self._draw_confirmation(form, data)
        wait = self._wait(form.cleaned_data["email"])
        if wait:
            return self._draw_form(again, protection.wait_words(wait), 429)
        self._act(self.request, self.magazine, form)
        return HttpResponseRedirect(address(self.request, f"magazine_{self.kind}_done", self.token))

    def _wait(self, address: str) -> int:
        ip = client_ip(self.request)
        if self.kind == protection.LEAVE:
            return protection.wait_to_leave(ip)
        return protection.wait_to_register(ip, address, self.magazine)

    def _draw_form(self, form: AddressForm, note: str = "", status: int = 200) -> HttpResponse:
        checked = self.magazine.confirm_page
        context = self._context() | {"form": form, "note": note, "checked": checked}
        context["leave_url"] = address(self.request, "magazine_leave", self.token)
        language = str(self.request.LANGUAGE_CODE)
        context["button"] = texts(self.magazine, self.kind if checked else f"{self.kind}_confirm", language)[
            "button"
        ]
        return draw(self.request, self.magazine, self.kind, self.kind, status, **context)

    def _draw_confirmation(self, form: AddressForm, data: QueryDict) -> HttpResponse:
        entries = [(name, data.get(name, "")) for name in form.fields]
        context = self._context() | {"form": form, "entries": entries, "summary": form.summary()}
        return draw(self.request, self.magazine, f"{self.kind}_confirm", "confirm", **context)

    def _context(self) -> dict[str, Any]:
        action = address(self.request, f"magazine_{self.kind}", self.token)
        return form_frame(self.magazine, self.kind, self._stamp) | {"action": action}
