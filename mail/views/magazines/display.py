"""「デフォルト表示設定」 (OPT-8): what the public pages of a magazine say and how they look, each with a preview."""

import copy
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from mail.forms.magazines.display import DesignForm, TextsForm
from mail.magazines import form_texts
from mail.magazines.form_design import clean, design_of, save_design, style_sheet
from mail.magazines.form_texts import FormPage, page_of, save_texts, unclear
from mail.magazines.preview import preview
from mail.models import Magazine
from mail.views.magazines.inside import magazine_in_use, magazine_of
from settings.permissions import needs_edit, needs_view
from smp.lib.client_ip import client_ip

# As sandboxed as the page of a stranger: it neither sends forms nor runs anything.
PREVIEW_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox"
)


@needs_view
@require_http_methods(["GET", "HEAD"])
def magazine_display(request: HttpRequest, magazine_id: int) -> HttpResponse:
    """The pages, with what differs from the standard, and (`?page=`) one of them to look at."""
    return _overview(request, magazine_of(magazine_id))


def _overview(request: HttpRequest, magazine: Magazine, form: DesignForm | None = None) -> HttpResponse:
    odd = {page.key for page, _language in unclear(magazine)}
    rows = [
        {"page": page, "own": page.key in magazine.texts, "unclear": page.key in odd}
        for page in form_texts.PAGES
    ]
    shown = page_of(request.GET.get("page", "")) or form_texts.PAGES[0]
    context = {"magazine": magazine, "rows": rows, "form": form or DesignForm(magazine), "shown": shown}
    return render(request, "mail/magazines/display.html", context)


@needs_edit
@require_POST
def magazine_design(request: HttpRequest, magazine_id: int) -> HttpResponse:
    magazine = magazine_in_use(magazine_id)
    form = DesignForm(magazine, request.POST)
    if form.is_valid():
        values = {} if "standard" in request.POST else form.values()
        try:
            save_design(magazine, values, user=request.user, now=timezone.now(), ip=client_ip(request))
        except ValidationError as problem:
            form.add_error(None, problem)
        else:
            messages.success(request, _("Saved."))
            return redirect("magazine_display", magazine.pk)
    return _overview(request, magazine, form)


@needs_edit
@require_http_methods(["GET", "HEAD", "POST"])
def magazine_texts(request: HttpRequest, magazine_id: int, page: str) -> HttpResponse:
    """The texts of one page. Saved empty they are the standard ones again."""
    magazine, shown = magazine_in_use(magazine_id), _page(page)
    form = TextsForm(magazine, shown, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        values = {} if "standard" in request.POST else form.texts()
        try:
            saved = save_texts(
                magazine, page, values, user=request.user, now=timezone.now(), ip=client_ip(request)
            )
        except ValidationError as problem:
            form.add_error(None, problem)
        else:
            messages.success(request, _("Saved."))
            for one, language in unclear(saved):
                if one.key == page:
                    messages.warning(request, _unclear_words(language))
            return redirect("magazine_texts", magazine.pk, page)
    context = {"magazine": magazine, "page": shown, "form": form, "own": page in magazine.texts}
    context["warnings"] = [_unclear_words(language) for one, language in unclear(magazine) if one.key == page]
    return render(request, "mail/magazines/display_texts.html", context)


@needs_view
@require_http_methods(["GET", "HEAD", "POST"])
def magazine_preview(request: HttpRequest, magazine_id: int, page: str) -> HttpResponse:
    """One public page as it is, or (POST) as it would be with what stands in the form; nothing is stored."""
    magazine, shown = copy.copy(magazine_of(magazine_id)), _page(page)
    design = design_of(magazine)
    if request.method == "POST":
        texts, look = TextsForm(magazine, shown, request.POST), DesignForm(magazine, request.POST)
        try:
            if "design" in request.POST and look.is_valid():
                design = clean(look.values())
            elif texts.is_valid():
                magazine.texts = magazine.texts | {page: form_texts.clean(page, texts.texts())}
        except ValidationError as problem:
            return _framed(HttpResponse(_plain(problem), content_type="text/plain; charset=utf-8"))
    language = "en" if (request.POST.get("lang") or request.GET.get("lang")) == "en" else "ja"
    with translation.override(language):
        html = preview(request, magazine, page, language, style=style_sheet(design), heading=design.heading)
    return _framed(HttpResponse(html))


def _framed(response: HttpResponse) -> HttpResponse:
    response.headers["Content-Security-Policy"] = PREVIEW_POLICY
    return response


def _page(key: str) -> FormPage:
    page = page_of(key)
    if page is None:
        raise Http404
    return page


def _plain(problem: ValidationError) -> str:
    return "\n".join(problem.messages)


def _unclear_words(language: str) -> str:
    said: dict[str, Any] = {"language": "English" if language == "en" else "日本語"}
    return (
        _(
            "The %(language)s text no longer says that it is not done yet. Readers may think it is, and complain about the "
            "next mail."
        )
        % said
    )
