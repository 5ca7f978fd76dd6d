"""What a magazine's public pages have in common: no login, no cookie that is needed, the magazine's own texts and colours, and
`?embed=1`, the one place where another site may show them in a frame."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from campaigns.attendee_pages import attendee_page
from campaigns.form_protection import TRAP
from mail.links import magazine_token, read_magazine
from mail.magazines import form_texts
from mail.magazines.form_design import design_of, style_version
from mail.magazines.form_protection import new_stamp
from mail.models import Magazine
from smp.lib.security_headers import POLICY

EMBED = "embed"
EMBEDDED_POLICY = POLICY.replace("frame-ancestors 'self'", "frame-ancestors *")


def magazine_page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Public, in the visitor's language. No CSRF token: there is no login whose rights another site could use, the forms
    have a signed stamp instead (form_protection.py), and in a frame of another site there are no cookies."""
    return attendee_page(csrf_exempt(view))


def may_be_embedded(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Below @magazine_page, for pages that are the same for everybody: any site may show them, with ?embed=1 only."""

    @wraps(view)
    def framed(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if is_embedded(request):
            response.xframe_options_exempt = True
            response.headers["Content-Security-Policy"] = EMBEDDED_POLICY
        return response

    return framed


def is_embedded(request: HttpRequest) -> bool:
    return request.GET.get(EMBED) == "1"


def open_magazine(token: str) -> Magazine | None:
    """The magazine of a public address; None for one that was not made here, and for archived ones."""
    magazine_id = read_magazine(token)
    return None if magazine_id is None else Magazine.objects.filter(pk=magazine_id, archived_at=None).first()


def address(request: HttpRequest, name: str, *args: str) -> str:
    """Another page of the same visit: in its language, and in the frame."""
    query = {"lang": request.LANGUAGE_CODE} | ({EMBED: "1"} if is_embedded(request) else {})
    return f"{reverse(name, args=args)}?{urlencode(query)}"


def frame(magazine: Magazine, page: str, language: str) -> dict[str, Any]:
    """What templates/public/magazine/frame.html needs."""
    design = design_of(magazine)
    style = reverse("magazine_style", args=[magazine_token(magazine.pk)])
    return {
        "magazine": magazine,
        "page": form_texts.texts(magazine, page, language),
        "heading": design.heading or magazine.name,
        "style_url": f"{style}?v={style_version(design)}",
    }


def form_frame(magazine: Magazine, form: str, stamp: str = "") -> dict[str, Any]:
    """What the hidden fields of a form need. The stamp stays with the form through every redraw."""
    return {"stamp": stamp or new_stamp(magazine, form, now=timezone.now()), "trap": TRAP}


def draw(
    request: HttpRequest, magazine: Magazine, page: str, template: str, status: int = 200, **context: Any
) -> HttpResponse:
    """`page`: of form_texts.PAGES; `template`: its file in templates/public/magazine/."""
    context = frame(magazine, page, request.LANGUAGE_CODE) | {"embed": is_embedded(request)} | context
    return render(request, f"public/magazine/{template}.html", context, status=status)


def no_such_link(request: HttpRequest) -> HttpResponse:
    return render(request, "public/no_such_link.html", status=404)
