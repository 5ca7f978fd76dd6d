"""Importing in tests: a text becomes a file, is checked and committed."""

from django.utils import timezone

from leads.imports import commit_import, stage_import
from leads.imports.steps import request_commit, upload
from leads.models import LeadImport


def check(
    content, *, mode="add", key="id", evidence="import", file_name="leads.csv", user=None, campaign_id=None
):
    data = content.encode() if isinstance(content, str) else content
    lead_import = upload(
        [data], file_name=file_name, mode=mode, key=key, evidence=evidence, user=user, campaign_id=campaign_id
    )
    stage_import(lead_import)
    lead_import.refresh_from_db()
    return lead_import


def commit(lead_import, *, skip_wrong=False, user=None):
    assert request_commit(lead_import, skip_wrong=skip_wrong, user=user, now=timezone.now())
    commit_import(lead_import)
    lead_import.refresh_from_db()
    return lead_import


def bring_in(content, *, skip_wrong=False, user=None, **options):
    lead_import = check(content, user=user, **options)
    assert lead_import.state == LeadImport.State.CHECKED, lead_import.error
    return commit(lead_import, skip_wrong=skip_wrong, user=user)


def counts(lead_import):
    return {name: lead_import.counts[name] for name in ("new", "update", "unchanged", "wrong")}


def problems(lead_import):
    """[(line, header, code)]"""
    headers = [column["header"] for column in lead_import.columns]
    return [
        (row.line, headers[place] if place is not None else None, code)
        for row in lead_import.staged_rows.filter(action="wrong").order_by("line")
        for place, code, _params in [*(row.problems or []), *(row.conflicts or [])]
    ]
