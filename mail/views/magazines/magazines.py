"""「メールマガジン一覧」: every magazine with its readers; making a new one, archiving one."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from mail.forms.magazines.magazine import NewMagazineForm
from mail.magazines import magazines as domain
from mail.magazines.overview import open_jobs, overviews
from mail.models import Magazine
from mail.refused import Refused
from mail.views.magazines.inside import magazine_in_use, magazine_of
from settings.permissions import needs_edit, needs_view
from smp.lib.client_ip import client_ip
from smp.lib.once import once


@needs_view
@require_GET
def magazines(request: HttpRequest) -> HttpResponse:
    found = list(Magazine.objects.order_by("name", "pk"))
    archived = [magazine for magazine in found if magazine.archived_at]
    lines = overviews([magazine for magazine in found if not magazine.archived_at])
    return render(request, "mail/magazines/magazines.html", {"lines": lines, "archived": archived})


@needs_view
@require_GET
def magazine(request: HttpRequest, magazine_id: int) -> HttpResponse:
    """The address of a magazine as such: its readers."""
    return redirect("readers", magazine_of(magazine_id).pk)


@needs_edit
@require_http_methods(["GET", "POST"])
@once
def magazine_new(request: HttpRequest) -> HttpResponse:
    """Name and sender; the rest is in 「基本設定」, where one is led to."""
    form = NewMagazineForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            made = domain.save_magazine(
                form.values(), user=request.user, now=timezone.now(), ip=client_ip(request)
            )
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            messages.success(
                request, _("The magazine was made. Check its footer, then invite or import readers.")
            )
            return redirect("magazine_settings", made.pk)
    others = Magazine.objects.filter(archived_at=None).exists()
    return render(request, "mail/magazines/magazine_new.html", {"form": form, "others": others})


@needs_edit
@require_POST
def magazine_restore(request: HttpRequest, magazine_id: int) -> HttpResponse:
    restored = magazine_of(magazine_id)
    if domain.restore(restored, user=request.user, now=timezone.now(), ip=client_ip(request)):
        messages.success(request, _("The magazine is in use again. Its stories are paused as they were."))
    return redirect("readers", restored.pk)


@needs_edit
@require_http_methods(["GET", "POST"])
def magazine_archive(request: HttpRequest, magazine_id: int) -> HttpResponse:
    """A page of its own that says what ends with it."""
    archived = magazine_in_use(magazine_id)
    if request.method == "POST" and request.POST.get("confirmed") == "1":
        try:
            domain.archive(archived, user=request.user, now=timezone.now(), ip=client_ip(request))
        except Refused as refused:
            messages.error(request, refused.message)
            return redirect("magazine_archive", archived.pk)
        messages.success(request, _("The magazine %(name)s was archived.") % {"name": archived.name})
        return redirect("magazines")
    line, jobs = overviews([archived])[0], open_jobs(archived)
    context = {"magazine": archived, "line": line, "open_jobs": jobs, "blocked": line.running or jobs}
    return render(request, "mail/magazines/magazine_archive.html", context)
