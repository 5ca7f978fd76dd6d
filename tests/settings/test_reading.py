"""GET changes nothing, on any page (DESIGN §7). The walk over all URLs needs no list to be kept."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leads.models import SavedSearch
from mail.models import DkimKey, JobDomain, SendingDomain
from settings.models import AuditEntry, DomainRule, SourceIp
from tests.factories import make_delivery, make_lead, make_sending_job, make_user
from tests.settings.test_permissions import all_patterns

# Sessions live on, and what was carried out of the system is noted.
EXPECTED = re.compile(r'(?i)^\s*(?:INSERT INTO|UPDATE|DELETE FROM) "(?:django_session|settings_auditentry)"')
WRITES = re.compile(r"(?i)^\s*(?:WITH\b.*\b)?(?:INSERT INTO|UPDATE|DELETE FROM)\b", re.DOTALL)


@pytest.fixture
def ids(db):
    """One of everything, so that pages have something to show."""
    job = make_sending_job("a@x.example.jp", "b@x.example.jp")
    delivery = job.deliveries.order_by("pk").first()
    job.deliveries.filter(pk=delivery.pk).update(state="unknown")
    make_delivery(
        make_lead("c@x.example.jp"), job=job, state="error", code=42452, cause="full", snapshot=job.snapshot
    )
    JobDomain.objects.create(job=job, domain="x.example.jp", failed=200, braked_at=timezone.now())
    domain = SendingDomain.objects.create(name="example.jp")
    key = DkimKey.objects.create(
        domain=domain, selector="a", private_key=b"x", public_key="x", state="waiting"
    )
    user = make_user("misaki")
    return {
        "job_id": job.pk,
        "delivery_id": delivery.pk,
        "template_id": job.template_id,
        "lead_id": delivery.lead_id,
        "domain_id": domain.pk,
        "key_id": key.pk,
        "rule_id": DomainRule.objects.create(name="slow", domains=["x.example.jp"]).pk,
        "source_id": SourceIp.objects.create(address="192.0.2.1").pk,
        "search_id": SavedSearch.objects.create(name="all", condition={}, owner=user).pk,
        "user_id": user.pk,
    }


def test_get_changes_nothing_on_any_page(client, ids):
    client.force_login(make_user("kaori"))
    opened, changed = 0, {}
    for route, pattern in all_patterns():
        names = re.findall(r"<int:(\w+)>", route)
        if (
            pattern.name in {"logout"}
            or not set(names) <= ids.keys()
            or "<" in re.sub(r"<int:\w+>", "", route)
        ):
            continue
        url = "/" + re.sub(r"<int:(\w+)>", lambda found: str(ids[found[1]]), route)
        with CaptureQueriesContext(connection) as queries:
            response = client.get(url)
            if response.streaming:
                b"".join(response.streaming_content)
        opened += response.status_code == 200
        if written := [
            sql["sql"][:200] for sql in queries if WRITES.match(sql["sql"]) and not EXPECTED.match(sql["sql"])
        ]:
            changed[url] = written
    assert changed == {}
    assert opened > 50
    assert [
        action
        for action in AuditEntry.objects.values_list("action", flat=True)
        if not action.endswith(".export")
    ] == []
