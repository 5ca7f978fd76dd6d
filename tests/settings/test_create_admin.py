import io

import pytest
from django.core.management import CommandError, call_command

from settings.models import AuditEntry, Role, User
from tests.factories import PASSWORD, make_user


def create(monkeypatch, password, username="admin"):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    call_command("create_admin", username, name="佐藤 美咲", stdout=io.StringIO())


def test_first_administrator_can_log_in(db, monkeypatch, client):
    """SYS-1: a privileged administrator, and the audit log says so."""
    create(monkeypatch, PASSWORD)
    user = User.objects.get()
    assert (user.username, user.name, user.role) == ("admin", "佐藤 美咲", Role.PRIVILEGED)
    assert user.check_password(PASSWORD)
    assert AuditEntry.objects.get().action == "user.create"


@pytest.mark.parametrize("password", ["", "short", "12345678901"])
def test_weak_password_is_refused(db, monkeypatch, password):
    with pytest.raises(CommandError):
        create(monkeypatch, password)
    assert not User.objects.exists()


@pytest.mark.parametrize("username", ["MISAKI", "with space", "<script>"])
def test_taken_or_odd_username_is_refused(db, monkeypatch, username):
    make_user("misaki")
    with pytest.raises(CommandError):
        create(monkeypatch, PASSWORD, username)
    assert User.objects.count() == 1
