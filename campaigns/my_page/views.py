"""The pages of a lead that is logged in: their applications."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_safe

from campaigns import applications as domain
from campaigns.models import Application, ApplicationState, ApplicationWay, CancelledBy
from campaigns.my_page.change_form import OwnChangeForm
from campaigns.my_page.doors import own_page
from campaigns.my_page.overview import application_of, may_cancel, may_change, overview
from campaigns.timetable import period_in
from leads.models import Lead
from smp.lib.client_ip import client_ip

GET_OR_POST = require_http_methods(["GET", "HEAD", "POST"])


@own_page
@require_safe
def my_page(request: HttpRequest, lead: Lead) -> HttpResponse:
    groups = overview(lead, language=request.LANGUAGE_CODE, now=timezone.now())
    return render(request, "public/my_page/applications.html", {"lead": lead, "groups": groups})


@own_page
@GET_OR_POST
def cancel(request: HttpRequest, lead: Lead, pk: int) -> HttpResponse:
    application, now = _own(lead, pk), timezone.now()
    if application.state == ApplicationState.CANCELLED:
        messages.info(request, _("This application is cancelled already."))
        return redirect("my_page")
    refusal = ""
    if request.method == "POST":
        try:
            domain.cancel(application, by=CancelledBy.LEAD, now=now, ip=client_ip(request))
        except domain.ApplicationRefused as refused:
            refusal = refused.text
        else:
            messages.success(request, _("Your application was cancelled."))
            return redirect("my_page")
    elif not may_cancel(application, now=now):
        refusal = domain.ApplicationRefused("cancel_over").text
    return render(request, "public/my_page/cancel.html", _page(request, lead, application, refusal=refusal))


@own_page
@GET_OR_POST
def change(request: HttpRequest, lead: Lead, pk: int) -> HttpResponse:
    application, now = _own(lead, pk), timezone.now()
    if not may_change(application, now=now):
        messages.error(request, _("This application can no longer be changed. Please contact the organiser."))
        return redirect("my_page")
    form = OwnChangeForm(
        application, request.POST if request.method == "POST" else None, language=request.LANGUAGE_CODE
    )
    refusal = ""
    if form.is_valid():
        try:
            domain.change(
                application, form.entry(), way=ApplicationWay.MY_PAGE, now=now, ip=client_ip(request)
            )
        except domain.ApplicationRefused as refused:
            refusal = refused.text
        except ValidationError as problem:
            form.add_problems(problem)
        else:
            messages.success(request, _("Your application was saved."))
            return redirect("my_page")
    page = _page(request, lead, application, refusal=refusal, form=form)
    return render(request, "public/my_page/change.html", page)


def _own(lead: Lead, pk: int) -> Application:
    """Somebody else's application is none."""
    application = application_of(lead, pk)
    if application is None:
        raise Http404
    return application


def _page(request: HttpRequest, lead: Lead, application: Application, **more: object) -> dict[str, object]:
    period = period_in(application.campaign, request.LANGUAGE_CODE)
    return {
        "lead": lead,
        "application": application,
        "campaign": application.campaign,
        "period": period,
        **more,
    }
