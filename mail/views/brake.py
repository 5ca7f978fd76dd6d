"""RATE-2 「送信を続ける」: the button of the notice on the job page."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from mail.delivery.brake import go_on
from mail.views.jobs import confirmed_job
from settings.permissions import both_modes, needs_edit
from smp.lib.client_ip import client_ip


@both_modes
@needs_edit
@require_POST
def job_go_on(request: HttpRequest, job_id: int) -> HttpResponse:
    job = confirmed_job(request, job_id)
    domain = request.POST.get("domain", "").replace("\0", "")[:253]
    if go_on(job, domain, user=request.user, now=timezone.now(), ip=client_ip(request)):
        messages.success(
            request,
            _("Sending to %(domain)s goes on. It is braked again if too many of the next mails fail.")
            % {"domain": domain},
        )
    else:
        messages.info(
            request, _("There is no brake to release: somebody else did it, or the mailing is over.")
        )
    return redirect("job", job.pk)
