"""「クリックカウントURL指定」, a page of the send wizard: after page 1, by user after the check of the people (TRK-1)."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from mail import send_jobs
from mail.click_count import choose
from mail.forms.click_count import ClickCountForm
from mail.models.send_job import JobState, RecipientRule
from mail.views.wizard import ready_for_confirmation, steps, wizard_run
from settings.permissions import both_modes, needs_edit
from smp.lib.client_ip import client_ip


@both_modes
@needs_edit
@require_http_methods(["GET", "POST"])
def wizard_links(request: HttpRequest, job_id: int) -> HttpResponse:
    job = wizard_run(request, job_id)
    if job.state != JobState.DRAFT:
        return redirect("wizard_done", job.pk)
    first = ready_for_confirmation(job)
    if first not in {None, "wizard_links"}:
        return redirect(first, job.pk)
    if not job.count_clicks or job.template is None:
        return redirect("wizard_confirm", job.pk)
    form = ClickCountForm(
        request.POST or None,
        content={name: getattr(job.template, name) for name in ("form", "text_body", "html_body")},
        counting=job,
        campaign_id=job.campaign_id,
    )
    if request.method == "POST" and form.is_valid():
        try:
            choose(job, **form.choice, user=request.user, ip=client_ip(request))
        except ValidationError as invalid:
            form.add_error(None, invalid)
        except send_jobs.Refused as refused:  # confirmed meanwhile, in another window
            messages.error(request, refused.message)
            return redirect("wizard_done", job.pk)
        else:
            return redirect("wizard_confirm", job.pk)
    return render(
        request,
        "mail/wizard_links.html",
        {
            "job": job,
            "form": form,
            "steps": steps(job, "links"),
            "back": "wizard_leads" if job.rule == RecipientRule.BY_USER else "wizard_condition",
        },
    )
