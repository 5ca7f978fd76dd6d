"""The sessions of a campaign."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError

from campaigns.models import ApplicationSession, CheckIn, Session
from campaigns.sessions import delete_session, move_session, save_session
from settings.models import AuditEntry
from tests.factories import make_application, make_campaign

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def add(campaign, title="基調講演", **values):
    return save_session(campaign, {"title": title, **values}, user=None, now=NOW)


def test_sessions_are_added_changed_and_moved():
    campaign = make_campaign()
    first, second = add(campaign), add(campaign, "ワークショップ", capacity="20", room="B5")
    assert second.capacity == 20
    save_session(campaign, {"room": "B7"}, session=second, user=None, now=NOW)
    assert AuditEntry.objects.get(action="session.edit").detail["changes"] == {"room": ["B5", "B7"]}
    assert move_session(second, up=True, user=None, now=NOW)
    assert not move_session(second, up=True, user=None, now=NOW)
    assert list(campaign.sessions.all()) == [second, first]


def test_faults_by_field():
    campaign = make_campaign()
    for values, field in (
        ({"title": "  "}, "title"),
        ({"capacity": "-1"}, "capacity"),
        ({"starts_at": NOW, "ends_at": NOW - timedelta(hours=1)}, "ends_at"),
        ({"ends_at": NOW}, "starts_at"),
        ({"speaker": "髙橋\0"}, "speaker"),
    ):
        with pytest.raises(ValidationError) as refused:
            save_session(campaign, {"title": "基調講演", **values}, user=None, now=NOW)
        assert set(refused.value.message_dict) == {field}
    assert not Session.objects.exists()


def test_a_session_of_another_campaign_is_not_changed():
    session = add(make_campaign())
    with pytest.raises(Session.DoesNotExist):
        save_session(make_campaign(), {"title": "別の"}, session=session, user=None, now=NOW)


def test_a_session_that_is_used_stays():
    campaign = make_campaign()
    chosen, attended, unused = add(campaign, "選択"), add(campaign, "来場"), add(campaign, "未使用")
    application = make_application(campaign, state="cancelled")
    ApplicationSession.objects.create(application=application, session=chosen)
    CheckIn.objects.create(application=application, session=attended)
    for session in (chosen, attended):
        with pytest.raises(ValidationError):
            delete_session(session, user=None, now=NOW)
    delete_session(unused, user=None, now=NOW)
    assert set(campaign.sessions.all()) == {chosen, attended}
    assert AuditEntry.objects.get(action="session.delete").target_label == "未使用"
