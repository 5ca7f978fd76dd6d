"""「障害の取り消し」 of a magazine: a receiver's trouble is chosen, looked at, and taken back once (MAG-3)."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.db.models import Count, Max, Min
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from mail.forms.magazines.outage import OutageForm
from mail.magazines import outage as domain
from mail.models import FailureGroup, Magazine, ReaderFailure
from mail.refused import Refused
from mail.views.magazines.inside import magazine_in_use
from settings.permissions import needs_edit
from smp.lib.client_ip import client_ip
from smp.lib.once import once

LOOKS_BACK = timedelta(days=30)
MOST_DOMAINS = 10
SHOWN = 50


@needs_edit
@require_http_methods(["GET", "POST"])
@once
def outages(request: HttpRequest, magazine_id: int) -> HttpResponse:
    """A POST without `confirmed` only looks: how many failures, and who comes back."""
    magazine = magazine_in_use(magazine_id)
    form = OutageForm(request.POST) if request.method == "POST" else OutageForm(initial=_prefilled(request))
    context: dict[str, Any] = {}
    if form.is_bound and form.is_valid():
        groups = form.cleaned_data["groups"]
        try:
            if request.POST.get("confirmed") == "1":
                return _take_back(request, magazine, form)
            found = domain.affected(magazine, *form.chosen(), groups=groups)
            back = (
                domain.coming_back(magazine, *form.chosen(), groups=groups)[:SHOWN] if found.come_back else []
            )
            context = {"found": found, "back": list(back), "pairs": form.pairs()}
        except Refused as refused:
            form.add_error(refused.code if refused.code in form.fields else None, refused.message)
    past = list(magazine.outages.select_related("user")[:SHOWN])
    return render(
        request,
        "mail/magazines/outages.html",
        context | {
            "magazine": magazine, "form": form, "domains": _failing(magazine), "shown": SHOWN, "days": LOOKS_BACK.days,
            "past": [(one, [FailureGroup(group).label for group in one.groups]) for one in past],
        },
    )  # fmt: skip


def _take_back(request: HttpRequest, magazine: Magazine, form: OutageForm) -> HttpResponse:
    done = domain.take_back(
        magazine, *form.chosen(), groups=form.cleaned_data["groups"], note=form.cleaned_data["note"],
        user=request.user, now=timezone.now(), ip=client_ip(request),
    )  # fmt: skip
    messages.success(
        request,
        _(
            "Taken back: %(failures)s failures do not count any more, %(readers)s readers are deliverable again."
        )
        % {"failures": f"{done.failures_count:,}", "readers": f"{done.readers_back:,}"},
    )
    return redirect("outages", magazine.pk)


def _prefilled(request: HttpRequest) -> dict[str, str]:
    """From the table of failing domains."""
    return {name: request.GET[name][:255] for name in ("domain", "since", "until") if name in request.GET}


def _failing(magazine: Magazine) -> list[dict[str, Any]]:
    """Where most mails failed lately, with the first and the last time."""
    failures = ReaderFailure.objects.filter(
        magazine=magazine, at__gte=timezone.now() - LOOKS_BACK, reset_at=None
    ).order_by()
    counted = failures.values("domain").annotate(
        failures=Count("*"), readers=Count("lead", distinct=True), first=Min("at"), last=Max("at")
    )
    rows = list(counted.order_by("-failures", "domain")[:MOST_DOMAINS])
    for row in rows:  # whole minutes around them, as the form takes them
        row["since"] = f"{timezone.localtime(row['first']):%Y-%m-%dT%H:%M}"
        row["until"] = f"{timezone.localtime(row['last']) + timedelta(minutes=1):%Y-%m-%dT%H:%M}"
    return rows
