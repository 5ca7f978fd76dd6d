"""What a job asks for, without the job: the dry run before sending and the real decision share it (EXC-6)."""

from dataclasses import dataclass
from typing import Any

from leads.models import DmPermission
from mail.models.send_job import RecipientRule, SendJob
from mail.registered_settings import SKIP_DUPLICATES
from settings.system_settings import get_setting


@dataclass(frozen=True)
class Plan:
    """Everything that decides who is addressed, apart from the leads' own data."""

    rule: str
    template_id: int | None
    purpose: str
    campaign_id: int | None = None  # only its applicants are in scope; None = all campaigns
    condition: dict[str, Any] | None = None  # by search
    lead_ids: tuple[int, ...] = ()  # by user: the ticked leads
    dm_permissions: tuple[str, ...] = (DmPermission.WANTED.value,)
    include_sent: bool = False
    skip_duplicates: bool = True


def plan_of(job: SendJob) -> Plan:
    """The plan of a job as it stands now: its own choices, and EXC-3's system setting of this moment."""
    by_user = job.rule == RecipientRule.BY_USER
    return Plan(
        rule=job.rule,
        template_id=job.template_id,
        purpose=job.template.purpose if job.template else job.purpose,
        campaign_id=job.campaign_id,
        condition=None if by_user else job.condition,
        lead_ids=tuple(job.ticked.order_by("lead_id").values_list("lead_id", flat=True)) if by_user else (),
        dm_permissions=tuple(job.dm_permissions),
        include_sent=job.include_sent,
        skip_duplicates=bool(get_setting(SKIP_DUPLICATES)),
    )
