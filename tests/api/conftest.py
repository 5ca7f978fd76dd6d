from datetime import timedelta

import pytest
from django.utils import timezone

from settings.api_keys import make_key
from settings.models import ApiKey


@pytest.fixture
def api(client, db):
    """Calls with a key that may do everything; api.get(path), api.put(path, body) → (status, JSON)."""
    made = make_key("テスト", ApiKey.Scope.values, expires_at=None, user=None, now=timezone.now())

    class Caller:
        key, text = made

        def __call__(self, method, path, body=None, *, text=None, **headers):
            headers.setdefault("Authorization", f"Bearer {text or self.text}")
            more = {} if body is None else {"data": body, "content_type": "application/json"}
            answer = getattr(client, method)(f"/api/v1{path}", headers=headers, **more)
            return answer.status_code, answer.json()

        def get(self, path, **headers):
            return self("get", path, **headers)

        def put(self, path, body, **headers):
            return self("put", path, body, **headers)

        def post(self, path, body, **headers):
            return self("post", path, body, **headers)

    return Caller()


@pytest.fixture
def tomorrow():
    return timezone.now() + timedelta(days=1)
