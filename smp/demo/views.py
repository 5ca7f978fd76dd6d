"""Pages of the demo inbox, mounted only when SMP_DEMO_INBOX names a folder. What they show is hostile: mails."""

import urllib.error
import urllib.request
from pathlib import Path

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from settings.permissions import needs_view
from smp.demo import inbox as mails

MAILS_PER_PAGE = 50
# Somebody else's HTML: nothing is loaded, nothing runs, nothing is sent, wherever the page is opened.
MAIL_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'self'; sandbox"
# Only when the reader asks for it, as in a mail program: the image that counts opens is the product's own.
WITH_IMAGES = MAIL_POLICY.replace("img-src data:", "img-src data: 'self'")


def _folder() -> Path:
    return Path(settings.DEMO_INBOX_FOLDER)


def _readable_or_404(mail_id: str) -> mails.Readable:
    try:
        return mails.readable(_folder(), mail_id)
    except FileNotFoundError as error:
        raise Http404 from error


@needs_view
@require_GET
def inbox(request: HttpRequest) -> HttpResponse:
    found = mails.newest_first(_folder(), request.GET.get("q", ""))
    page = Paginator(found, MAILS_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "inbox/inbox.html", {"page_obj": page})


@needs_view
@require_GET
def inbox_mail(request: HttpRequest, mail_id: str) -> HttpResponse:
    found = _readable_or_404(mail_id)
    context = {
        "found": found, "signatures": mails.signatures(found.mail.raw), "checked": settings.DNS_SERVER,
        "images": request.GET.get("images") == "yes",
    }  # fmt: skip
    return render(request, "inbox/inbox_mail.html", context)


@needs_view
@require_GET
def inbox_mail_html(request: HttpRequest, mail_id: str) -> HttpResponse:
    response = HttpResponse(_readable_or_404(mail_id).html)
    policy = WITH_IMAGES if request.GET.get("images") == "yes" else MAIL_POLICY
    response["Content-Security-Policy"] = policy
    return response


@needs_view
@require_GET
def inbox_mail_source(request: HttpRequest, mail_id: str) -> HttpResponse:
    response = HttpResponse(_readable_or_404(mail_id).mail.raw, content_type="message/rfc822")
    response["Content-Disposition"] = f'attachment; filename="{mail_id}.eml"'
    return response


@needs_view
@require_POST
def inbox_one_click(request: HttpRequest, mail_id: str) -> HttpResponse:
    """OPT-5: does what a mail service does when its reader clicks "unsubscribe": RFC 8058, without cookies."""
    address = _readable_or_404(mail_id).one_click
    if not address.startswith(f"{settings.BASE_URL}/"):
        messages.error(request, _("This mail has no one-click address of this system."))
        return redirect("inbox_mail", mail_id)
    try:
        with urllib.request.urlopen(address, data=b"List-Unsubscribe=One-Click", timeout=20) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError as error:
        messages.error(request, _("The one-click address did not answer: %(error)s") % {"error": error})
        return redirect("inbox_mail", mail_id)
    if status == 200:
        messages.success(
            request, _("The one-click address was called, as a mail service does. It answered 200.")
        )
    else:
        messages.error(request, _("The one-click address answered %(status)s.") % {"status": status})
    return redirect("inbox_mail", mail_id)
