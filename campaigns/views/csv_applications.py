"""「CSV一括申込」: the upload. What becomes of the file is shown by leads' page of an import, inside the campaign."""

from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from campaigns.access import campaigns_of
from campaigns.forms.csv_applications import CsvApplicationForm
from leads.imports import steps
from leads.imports.steps import MOST_MEGABYTES
from leads.models import LeadImport
from leads.tasks import kick_import
from settings.permissions import both_modes, needs_edit
from settings.system_settings import rows_per_page
from smp.lib.mode import campaign_of, url_in
from smp.lib.once import once


@both_modes
@needs_edit
@once
def csv_applications(request: HttpRequest) -> HttpResponse:
    """The upload form, and the files so far: of this campaign, or of all."""
    form = CsvApplicationForm(
        request.POST or None, request.FILES or None, user=request.user, campaign=request.campaign
    )
    if request.method == "POST" and form.is_valid():
        chosen, campaign = form.cleaned_data, form.chosen_campaign
        try:
            lead_import = steps.upload(
                chosen["file"].chunks(1 << 20), file_name=chosen["file"].name, mode=LeadImport.Mode.APPLY,
                key=LeadImport.Key.ID, evidence=chosen["evidence"], user=request.user, campaign_id=campaign.pk,
                tell=chosen["tell"],
            )  # fmt: skip
        except ValidationError as error:
            form.add_error("file", error)
        else:
            transaction.on_commit(lambda: kick_import(lead_import.pk))
            return redirect(url_in(campaign.pk, "lead_import", lead_import.pk))
    past = LeadImport.objects.filter(mode=LeadImport.Mode.APPLY).select_related("created_by")
    if (campaign_id := campaign_of(request)) is not None:
        past = past.filter(campaign_id=campaign_id)
    page = Paginator(past, rows_per_page()).get_page(request.GET.get("page"))
    names = dict(
        campaigns_of(request.user).filter(pk__in={one.campaign_id for one in page}).values_list("pk", "name")
    )
    for one in page:
        one.campaign_name = names.get(one.campaign_id, "")
    context = {"form": form, "page_obj": page, "limit": MOST_MEGABYTES}
    return render(request, "campaigns/csv_applications.html", context, status=422 if form.is_bound else 200)
