"""How a step mail looks: its state as a word with a colour beside it, and where its numbers lead."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from mail.models import StepMail, StepState, StepWait
from mail.recipients.reasons import Reason
from mail.step_words import timing_text
from smp.lib.mode import url_in

register = template.Library()

COLOURS = {StepState.ACTIVE: "run", StepState.STOPPED: "warn"}


@register.simple_tag
def step_state(state: str) -> SafeString:
    state = StepState(state)
    return format_html('<span class="tag {}">{}</span>', COLOURS.get(state, ""), state.label)


@register.simple_tag
def step_timing(step: StepMail) -> str:
    return timing_text(step)


@register.simple_tag
def step_url(step: StepMail, name: str) -> str:
    """One of its pages, in the mode it belongs to."""
    return url_in(step.campaign_id, name, step.pk)


@register.simple_tag
def step_deliveries_url(step: StepMail) -> str:
    """Its mails in 「個別メール送信履歴」, to which a state or reason can be added with &."""
    return f"{url_in(step.campaign_id, 'deliveries')}?step={step.pk}"


@register.simple_tag
def wait_reason(wait: StepWait) -> str:
    return str(Reason(wait.reason).label) if wait.reason in Reason.values else wait.reason
