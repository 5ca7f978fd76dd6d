"""設定 › トラッキング設定: the sites whose pages carry the script (WEB-1)."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _

from settings.permissions import needs_administer
from settings.system_settings import SETTINGS, get_setting, show_value
from smp.lib.client_ip import client_ip
from smp.lib.once import once
from tracking.forms.sites import SiteForm
from tracking.models import PageView, TrackedSite
from tracking.retention import ANONYMOUS_DAYS, KNOWN_DAYS
from tracking.sites import OWN, TRACK_OWN_PAGES, save_site, stop_or_go_on, tag_of

NEWEST = 10_000  # views
SETTING_KEYS = (TRACK_OWN_PAGES, KNOWN_DAYS, ANONYMOUS_DAYS)


@needs_administer
def tracked_sites(request: HttpRequest) -> HttpResponse:
    sites = list(TrackedSite.objects.exclude(key=OWN))
    # One look at the newest views instead of one a site: what matters is whether anything comes.
    last = _last_views()
    lines = [{"site": site, "last": last.get(site.pk)} for site in sites]
    values = [(SETTINGS[key], show_value(SETTINGS[key], get_setting(key))) for key in SETTING_KEYS]
    own = TrackedSite.objects.filter(key=OWN).first()
    page = {"lines": lines, "settings": values, "own_last": last.get(own.pk) if own else None}
    return render(request, "tracking/sites.html", page)


@needs_administer
@once
def tracked_site_new(request: HttpRequest) -> HttpResponse:
    form = SiteForm(request.POST or None, initial={"subdomains": True, "consent_required": True})
    if request.method == "POST" and form.is_valid():
        try:
            site = save_site(None, form.cleaned_data, user=request.user, ip=client_ip(request))
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            messages.success(request, _("The site was added. Paste the tag into its pages now."))
            return redirect("tracked_site", site.pk)
    return render(request, "tracking/site_new.html", {"form": form})


@needs_administer
def tracked_site(request: HttpRequest, pk: int) -> HttpResponse:
    site = get_object_or_404(TrackedSite.objects.exclude(key=OWN), pk=pk)
    form = SiteForm(request.POST or None, instance=TrackedSite.objects.get(pk=pk))
    if request.method == "POST" and form.is_valid():
        try:
            save_site(site, form.cleaned_data, user=request.user, ip=client_ip(request))
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            messages.success(request, _("Saved. The script of the site follows within an hour."))
            return redirect("tracked_site", site.pk)
    page: dict[str, Any] = {
        "site": site,
        "form": form,
        "tag": tag_of(site),
        "last": _last_views().get(site.pk),
    }
    return render(request, "tracking/site.html", page)


@needs_administer
def tracked_site_stop(request: HttpRequest, pk: int) -> HttpResponse:
    """Stops counting, with a question; or goes on. The question names what is wanted: pressed twice, or by two, it does not
    turn around."""
    site = get_object_or_404(TrackedSite.objects.exclude(key=OWN), pk=pk)
    wanted = request.POST.get("active", "")
    if request.method == "POST" and request.POST.get("confirmed") == "1" and wanted in ("0", "1"):
        active = wanted == "1"
        if stop_or_go_on(site, active, user=request.user, ip=client_ip(request)):
            done = (
                _("Views of “%(site)s” are counted again.")
                if active
                else _("Views of “%(site)s” are not counted any more.")
            )
            messages.success(request, done % {"site": site})
        return redirect("tracked_site", site.pk)
    hidden = [("active", "0" if site.active else "1")]
    return render(request, "tracking/site_stop.html", {"site": site, "hidden": hidden})


def _last_views() -> dict[int, Any]:
    """{site id: time of its newest view}, among the NEWEST of all."""
    # The border as a number: compared with a subquery, PostgreSQL would read the whole table.
    border = PageView.objects.order_by("-pk").values_list("pk", flat=True)[NEWEST : NEWEST + 1]
    found = PageView.objects.filter(pk__gt=next(iter(border), 0)).order_by().values_list("site_id")
    return dict(found.annotate(last=Max("at")))
