"""API-1: keys with scopes and an end, rate limits, errors of the door; reading jobs and deliveries."""

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from settings.api_keys import authenticate, make_key, revoke_key
from settings.models import ApiKey, SystemSetting
from tests.factories import make_delivery, make_job, make_lead, make_user

pytestmark = pytest.mark.django_db


def test_only_the_hash_is_kept():
    """API-1"""
    now = timezone.now()
    key, text = make_key("連携", ["leads:read"], expires_at=None, user=None, now=now)
    stored = ApiKey.objects.get()
    assert text not in str(stored.__dict__) and text.startswith(f"smp_{key.prefix}_")
    assert authenticate(text, now=now) == stored
    for wrong in (
        "",
        "smp_",
        text[:-1],
        text + "0",
        text.upper(),
        f"smp_{key.prefix}_",
        "smp_ffffffff_" + "0" * 40,
        "é",
    ):
        assert authenticate(wrong, now=now) is None


def test_an_end_and_a_revocation(api, tomorrow):
    """API-1"""
    now = timezone.now()
    key, text = make_key("連携", ["leads:read"], expires_at=tomorrow, user=None, now=now)
    assert authenticate(text, now=tomorrow - timedelta(seconds=1)) == key
    assert authenticate(text, now=tomorrow) is None
    assert api("get", "/leads", text=text)[0] == 200
    assert revoke_key(key, user=None, now=now) and not revoke_key(key, user=None, now=now)
    status, answer = api("get", "/leads", text=text)
    assert (status, answer["errors"][0]["code"]) == (401, "wrong_key")


def test_scopes(api):
    """API-1"""
    _key, text = make_key("読むだけ", ["leads:read"], expires_at=None, user=None, now=timezone.now())
    assert api("get", "/leads", text=text)[0] == 200
    for method, path in (
        ("put", "/visitor"),
        ("get", "/jobs"),
        ("get", "/applications"),
        ("post", "/applications"),
    ):
        status, answer = api(method, path, {} if method != "get" else None, text=text)
        assert (status, answer["errors"][0]["code"]) == (403, "missing_scope"), path


def test_too_many_requests(api):
    """API-1: 429 and how long to wait"""
    cache.clear()
    SystemSetting.objects.create(key="api_requests_per_minute", value=2)
    answers = [api.get("/leads")[0] for _request in range(4)]
    assert answers.count(429) >= 1 and answers[0] == 200


def test_without_a_key_and_at_a_wrong_address(client):
    """API-1: JSON in every case"""
    for path in ("/api/v1/leads", "/api/v1/nothing", "/api/v2/leads"):
        answer = client.get(path)
        assert answer.status_code in {401, 404}
        assert answer.json()["errors"][0]["code"] in {"wrong_key", "not_found"}
    assert client.get("/api/v1/leads")["WWW-Authenticate"].startswith("Bearer")


def test_a_body_that_is_no_json(api, client):
    """API-1"""
    headers = {"Authorization": f"Bearer {api.text}"}
    answer = client.put("/api/v1/visitor", data="{", content_type="application/json", headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "bad_request")


def test_jobs_and_deliveries(api):
    """API-1, TGT-12"""
    job = make_job(state="done")
    make_job(state="draft")
    sent = make_delivery(make_lead("a@yamate.example.jp"), job=job, state="sent")
    left = make_delivery(make_lead("b@yamate.example.jp"), job=job, state="excluded", reason="unsubscribed")
    assert [one["id"] for one in api.get("/jobs")[1]["items"]] == [job.pk]
    shown = api.get(f"/jobs/{job.pk}")[1]
    assert (shown["in_scope"], shown["by_state"], shown["by_reason"]) == (
        2, {"sent": 1, "excluded": 1}, {"unsubscribed": 1},
    )  # fmt: skip

    def ids(query):
        return [row["id"] for row in api.get(f"/deliveries?{query}")[1]["items"]]

    assert ids(f"job={job.pk}") == [sent.pk, left.pk]
    assert ids("reason=unsubscribed") == [left.pk]
    assert ids(f"lead={sent.lead_id}&state=sent") == [sent.pk]
    assert api.get(f"/deliveries/{left.pk}")[1]["reason"] == "unsubscribed"
    assert api.get("/deliveries/999999999")[0] == api.get("/jobs/999999999")[0] == 404


def test_the_description_and_its_page(client):
    """API-1: the OpenAPI description is served, and its page loads nothing from elsewhere"""
    description = client.get("/api/v1/openapi.json").json()
    names = {
        operation["operationId"] for path in description["paths"].values() for operation in path.values()
    }
    assert {"visitor.put", "application.post", "visitor.list", "job.list", "delivery.list"} <= names
    page = client.get("/api/v1/docs").content.decode()
    assert "/api/v1/openapi.json" in page and "https://" not in page


def test_misaki_makes_a_key_sees_it_once_and_revokes_it(client):
    """API-1: 設定 › APIキー"""
    cache.clear()
    misaki, other = make_user("misaki"), make_user("aoi")
    client.force_login(misaki)
    response = client.post(
        "/settings/api-keys/new/", {"name": "Webサイト", "scopes": ["leads:read"], "lasts": "90"}
    )
    key = ApiKey.objects.get()
    assert response["Location"] == f"/settings/api-keys/{key.pk}/"
    assert 89 <= (key.expires_at - timezone.now()).days <= 90
    text = re.search(
        r"smp_[0-9a-f]+_[0-9a-f]{40}", client.get(f"/settings/api-keys/{key.pk}/").content.decode()
    )
    assert text and authenticate(text.group(0), now=timezone.now()) == key
    client.force_login(other)
    assert text.group(0) not in client.get(f"/settings/api-keys/{key.pk}/").content.decode()
    assert text.group(0) not in client.get("/settings/api-keys/").content.decode()
    client.get(f"/settings/api-keys/{key.pk}/revoke/")
    key.refresh_from_db()
    assert key.revoked_at is None
    client.post(f"/settings/api-keys/{key.pk}/revoke/", {"confirmed": "1"})
    assert authenticate(text.group(0), now=timezone.now()) is None
    log = client.get("/settings/audit/").content.decode()
    assert "APIキーを無効化" in log and text.group(0) not in log


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"name": ""}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"lasts": "day"}, "until"),
        ({"lasts": "day", "until": "2020-01-01"}, "expires_at"),
    ],
    ids=["name", "none", "unknown", "no-day", "past"],
)
def test_what_a_key_needs(client, wrong, field):
    """API-1"""
    client.force_login(make_user("misaki"))
    right = {"name": "Webサイト", "scopes": ["leads:read"], "lasts": ""}
    page = client.post("/settings/api-keys/new/", right | wrong)
    assert page.status_code == 200 and page.context["form"].errors
    assert not ApiKey.objects.exists()
