"""Login, language, password: SYS-1, SYS-4, DESIGN 7."""

import pytest
from django.core.cache import cache
from django.test import Client

from settings.models import AuditEntry, User
from tests.factories import PASSWORD, make_user


@pytest.fixture(autouse=True)
def fresh(db):
    cache.clear()


def log_in(client, username, password=PASSWORD, **extra):
    return client.post("/login/", {"username": username, "password": password}, **extra)


def test_misaki_logs_in_and_out(client):
    make_user()
    assert log_in(client, "misaki").status_code == 302
    assert client.get("/profile/").status_code == 200
    assert client.get("/logout/").status_code == 405  # GET changes nothing
    assert client.get("/profile/").status_code == 200
    assert client.post("/logout/").status_code == 302
    assert client.get("/profile/").status_code == 302


def test_known_and_unknown_users_get_the_same_answer(client):
    """DESIGN 7: nobody learns who has an account."""
    make_user()
    make_user("yui", is_active=False)

    def answer(username, password):
        html = log_in(Client(), username, password).content.decode()
        return html[html.index('class="errorlist') :].split("</ul>")[0]

    unknown = answer("nobody", "wrong-password")
    assert "ログインIDまたはパスワードが違います" in unknown
    assert answer("misaki", "wrong-password") == unknown
    assert answer("yui", PASSWORD) == unknown


@pytest.mark.parametrize("username", ["mis\0aki", "' OR 1=1 --", "髙﨑𠮷①㈱😀", "a" * 5000])
def test_hostile_names_are_just_wrong(client, username):
    response = log_in(client, username)
    assert response.status_code == 200


@pytest.mark.parametrize("username", ["misaki", "nobody"])
def test_guessing_is_stopped_for_known_and_unknown_alike(client, username):
    make_user()
    for _attempt in range(7):
        assert log_in(client, username, "wrong-password").status_code == 200
    response = log_in(client, username, "wrong-password")
    assert response.status_code == 429
    assert "15分間" in response.content.decode()
    assert (
        log_in(client, username).status_code == 429
    )  # the right password does not help before the time is over


def test_next_never_leads_away(client):
    """DESIGN 7: no open redirect."""
    make_user()
    response = client.post(
        "/login/?next=//evil.example/",
        {"username": "misaki", "password": PASSWORD, "next": "//evil.example/"},
    )
    assert response["Location"] == "/"
    assert client.post("/language/", {"language": "en", "next": "https://evil.example/"})["Location"] == "/"


def test_password_change_ends_the_other_sessions():
    """DESIGN 7"""
    make_user()
    here, elsewhere = Client(), Client()
    log_in(here, "misaki")
    log_in(elsewhere, "misaki")
    new = "another-long-passphrase"
    wrong = here.post("/profile/password/", {"old_password": "x", "new_password1": new, "new_password2": new})
    assert wrong.status_code == 200
    assert elsewhere.get("/profile/").status_code == 200
    changed = here.post(
        "/profile/password/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    )
    assert changed.status_code == 302
    assert here.get("/profile/").status_code == 200
    assert elsewhere.get("/profile/").status_code == 302
    assert AuditEntry.objects.get().action == "user.password"


def test_language_is_the_users_from_the_login_on(client):
    """SYS-4"""
    make_user(language="en")
    assert "ログイン" in client.get("/login/").content.decode()
    log_in(client, "misaki")
    assert '<html lang="en"' in client.get("/profile/").content.decode()
    client.post("/language/", {"language": "ja", "next": "/profile/"})
    assert '<html lang="ja"' in client.get("/profile/").content.decode()
    assert User.objects.get().language == "ja"


def test_language_before_the_login(client):
    """SYS-4"""
    response = client.post("/language/", {"language": "en", "next": "/login/"})
    assert response["Location"] == "/login/"
    assert '<html lang="en"' in client.get("/login/").content.decode()
    client.post("/language/", {"language": "xx", "next": "/login/"})
    assert '<html lang="en"' in client.get("/login/").content.decode()


def test_profile_refuses_what_is_no_name(client):
    client.force_login(make_user())
    for name in ("", "a\0b", "x" * 101):
        response = client.post("/profile/", {"name": name, "email": "misaki@example.jp", "language": "ja"})
        assert response.status_code == 200
        assert "errorlist" in response.content.decode()
    client.post("/profile/", {"name": "髙﨑 𠮷美", "email": "", "language": "ja"})
    assert User.objects.get().name == "髙﨑 𠮷美"


def test_client_ip_behind_a_proxy(rf, settings):
    """The last entry is our proxy's; what comes before it was written by the client."""
    from smp.lib.client_ip import client_ip

    request = rf.get("/", REMOTE_ADDR="10.0.0.2", HTTP_X_FORWARDED_FOR="1.2.3.4, 203.0.113.9")
    settings.BEHIND_PROXY = False
    assert client_ip(request) == "10.0.0.2"
    settings.BEHIND_PROXY = True
    assert client_ip(request) == "203.0.113.9"
    assert client_ip(rf.get("/", REMOTE_ADDR="", HTTP_X_FORWARDED_FOR="nonsense")) is None


def test_expired_form_says_what_to_do():
    """DESIGN 7"""
    response = Client(enforce_csrf_checks=True).post("/login/", {"username": "misaki", "password": "x"})
    assert response.status_code == 403
    assert "有効期限" in response.content.decode()
