"""設定 › ユーザ (SYS-1)."""

import threading

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client

from settings.models import AuditEntry, Role, User
from settings.users import save_user
from tests.factories import make_user

NEW = {
    "username": "yui",
    "name": "田中 結衣",
    "email": "",
    "role": "viewer",
    "language": "ja",
    "password": "a-long-passphrase",
}


@pytest.fixture
def misaki(client, db):
    user = make_user()
    client.force_login(user)
    return user


def form_of(user, **changes):
    values = {name: getattr(user, name) for name in ("username", "name", "email", "role", "language")}
    if user.is_active:
        values["is_active"] = "on"
    return {name: value for name, value in (values | {"password": ""} | changes).items() if value is not None}


def test_misaki_adds_yui(client, misaki):
    response = client.post("/settings/users/add/", NEW)
    assert response.status_code == 302
    yui = User.objects.get(username="yui")
    assert (yui.name, yui.role, yui.is_active) == ("田中 結衣", Role.VIEWER, True)
    assert yui.check_password("a-long-passphrase")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.user, entry.target_id) == ("user.create", misaki, str(yui.pk))
    assert "passphrase" not in str(entry.detail)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", ""),
        ("username", "misaki"),
        ("username", "a b"),
        ("username", "y\0"),
        ("name", ""),
        ("role", "root"),
        ("password", ""),
        ("password", "short"),
        ("password", "1234567890123"),
    ],
)
def test_what_cannot_be_is_said_beside_the_field(client, misaki, field, value):
    response = client.post("/settings/users/add/", NEW | {field: value})
    assert response.status_code == 200
    assert field in response.context["form"].errors
    assert f'id="id_{field}_error"' in response.content.decode()
    assert User.objects.count() == 1


@pytest.mark.parametrize("changes", [{"role": "viewer"}, {"role": "campaign"}, {"is_active": None}])
def test_last_administrator_stays(client, misaki, changes):
    """SYS-1: nobody can lock everybody out."""
    response = client.post(f"/settings/users/{misaki.pk}/", form_of(misaki, **changes))
    assert response.status_code == 200
    assert "最後" in response.content.decode()
    misaki.refresh_from_db()
    assert (misaki.role, misaki.is_active) == (Role.PRIVILEGED, True)
    assert not AuditEntry.objects.exists()


def test_a_deactivated_administrator_does_not_count(client, misaki):
    """SYS-1"""
    make_user("kenta", is_active=False)
    assert client.post(f"/settings/users/{misaki.pk}/", form_of(misaki, role="viewer")).status_code == 200
    make_user("yui")
    assert client.post(f"/settings/users/{misaki.pk}/", form_of(misaki, role="viewer")).status_code == 302


def test_new_password_ends_the_sessions_of_that_user(client, misaki):
    """DESIGN 7"""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    theirs = Client()
    theirs.force_login(kenta)
    client.post(f"/settings/users/{kenta.pk}/", form_of(kenta))
    assert theirs.get("/profile/").status_code == 200
    client.post(f"/settings/users/{kenta.pk}/", form_of(kenta, password="a-new-long-passphrase"))
    assert theirs.get("/profile/").status_code == 302
    assert AuditEntry.objects.get().detail == {"changes": {}, "password": True}


def test_own_new_password_keeps_this_session(client, misaki):
    client.post(f"/settings/users/{misaki.pk}/", form_of(misaki, password="a-new-long-passphrase"))
    assert client.get("/profile/").status_code == 200


def test_list_takes_the_same_queries_for_one_and_three(client, misaki, django_assert_num_queries):
    client.get("/settings/users/")
    with django_assert_num_queries(5):
        client.get("/settings/users/")
    make_user("kenta")
    make_user("yui")
    with django_assert_num_queries(5):
        client.get("/settings/users/?sort=-role")


def test_unknown_user_is_not_found(client, misaki):
    assert client.get("/settings/users/999999/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_two_administrators_who_demote_each_other_at_once():
    """SYS-1: one of them wins, the other is told."""
    misaki, kenta = make_user("misaki"), make_user("kenta")
    start, answers = threading.Barrier(2), []

    def demote(by_pk, pk):
        try:
            by, user = User.objects.get(pk=by_pk), User.objects.get(pk=pk)
            start.wait(10)
            save_user(user, {"role": Role.VIEWER}, by=by)
            answers.append("saved")
        except ValidationError as error:
            answers.append(next(iter(error.error_dict)))
        finally:
            connection.close()

    threads = [
        threading.Thread(target=demote, args=pair) for pair in ((misaki.pk, kenta.pk), (kenta.pk, misaki.pk))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(answers) == ["role", "saved"]
    assert User.objects.filter(role=Role.PRIVILEGED).count() == 1
