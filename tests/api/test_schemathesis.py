"""API-1: what the description promises is kept, whatever is sent (schemathesis)."""

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.utils import timezone
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from settings.api_keys import make_key
from settings.models import ApiKey
from tests.factories import make_application, make_campaign, make_delivery, make_job, make_lead

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]

schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_keeps_its_promise(case, api_text):
    """API-1"""
    case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {api_text}"})


@pytest.fixture
def api_text(db, monkeypatch):
    """One of everything to be found, and no limit."""
    monkeypatch.setattr("settings.api_door.seconds_to_wait", lambda key: 0)
    # As Django's own test client does: the connection with the test's transaction stays open.
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    lead = make_lead("a@yamate.example.jp")
    make_application(make_campaign(), lead)
    make_delivery(lead, job=make_job(state="done"), state="sent")
    yield make_key("schemathesis", ApiKey.Scope.values, expires_at=None, user=None, now=timezone.now()).text
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)
