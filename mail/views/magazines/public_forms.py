"""「フォーム」: where readers register and leave, and how the form comes onto one's own site (MAG-13)."""

from urllib.parse import quote

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_safe

from campaigns.qr_drawing import qr_svg
from mail.forms.magazines.public import ITEM, RegisterForm
from mail.links import empty_mail_address, leave_url, register_url
from mail.views.magazines.inside import magazine_of
from settings.permissions import needs_view


@needs_view
@require_safe
def magazine_forms(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_of(magazine_id)
    register, leave, mailbox = (
        register_url(magazine.pk),
        leave_url(magazine.pk),
        empty_mail_address(magazine.pk),
    )
    form = RegisterForm(magazine)
    items = [{"item": item, "name": ITEM + item.key} for item in form.items]
    snippet = {"url": register, "items": items, "magazine": magazine}
    context = {
        "magazine": magazine,
        "register_url": register,
        "leave_url": leave,
        "mailbox": mailbox,
        "register_qr": qr_svg(register),
        "mailbox_qr": qr_svg(f"mailto:{quote(mailbox, safe='@')}"),
        "form_html": render_to_string("mail/magazines/snippet_form.html", snippet).strip(),
        "frame_html": render_to_string("mail/magazines/snippet_frame.html", snippet).strip(),
    }
    return render(request, "mail/magazines/forms.html", context)
