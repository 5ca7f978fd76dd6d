"""Whatever is typed behind a page's address is answered in words, never with an error of ours (DESIGN 7)."""

import re

import pytest
from django.utils import timezone

from leads.models import LeadColumn, LeadImport, SavedSearch
from mail.message import take_snapshot
from tests.factories import make_delivery, make_job, make_lead, make_template, make_user
from tests.settings.test_permissions import all_patterns

BIG = "9" * 30
QUERIES = [
    "page=999999&sort=__class__&show=__dict__&who=x&state=x&reason=x&result=x&user=x&role=x",
    f"page={BIG}&sort=-password&job={BIG}&lead={BIG}&template={BIG}&search={BIG}&id={BIG}&campaign={BIG}&user={BIG}",
    "page=-1&sort=%00&q=%00&words=%00&search=%00&template=%00&job=%00&name=%00&email=%00&at=%00&since=%00",
    "page=%F0%9F%98%80&q=%F0%A0%AE%B7%ff%C0%80%ED%A0%80&sort=%ff&job=-1&lead=-1&template=-1&search=-1",
    "since=2026-99-99&until=0000-00-00&from=9999999-01-01&to=x&created_after=2026-02-30&created_before=9999-12-31",
    "since=0001-01-01&until=9999-12-31&q=" + "a" * 3000,
    "a=b&" * 900,
]
HARMLESS = {"logout"}  # and everything below that takes only POST answers 405


@pytest.fixture
def numbers(db):
    """One row behind each kind of id, in any state."""
    template = make_template()
    lead = make_lead()
    job = make_job(template, state="sending", started_at=timezone.now(), snapshot=take_snapshot(template))
    delivery = make_delivery(lead, job=job, state="sent")
    return {
        "job_id": job.pk, "lead_id": lead.pk, "template_id": template.pk, "delivery_id": delivery.pk,
        "import_id": LeadImport.objects.create(mode="add", key="id", file_name="a.csv").pk,
        "column_id": LeadColumn.objects.create(label="趣味", type="text").pk,
        "search_id": SavedSearch.objects.create(name="全員", condition={"match": "all", "blocks": []}, shared=True).pk,
    }  # fmt: skip


def urls(numbers):
    for route, pattern in all_patterns():
        if pattern.name in HARMLESS:
            continue
        mine = re.sub(r"<int:(\w+)>", lambda found: str(numbers.get(found.group(1), 1)), route)
        yield "/" + re.sub(r"<(?:\w+:)?\w+>", "template", mine)
        if "<int:" in route:
            yield "/" + re.sub(r"<(?:\w+:)?\w+>", str(2**63), route)


def test_no_query_breaks_a_page(client, numbers):
    client.force_login(make_user())
    broken = []
    for url in urls(numbers):
        for query in QUERIES:
            response = client.get(f"{url}?{query}")
            if response.streaming:
                response.getvalue()
            if response.status_code >= 500:
                broken.append((url, query))
    assert broken == []
