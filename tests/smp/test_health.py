from unittest import mock

from django.db import OperationalError
from django.test import override_settings


def test_answers_without_a_login_and_without_tls(client, db):
    with override_settings(SECURE_SSL_REDIRECT=True):
        response = client.get("/health/")
    assert (response.status_code, response.content) == (200, b"ok\n")
    assert "no-store" in response["Cache-Control"]


def test_says_when_the_database_is_away(client):
    with mock.patch("smp.health.connection.cursor", side_effect=OperationalError("gone")):
        response = client.get("/health/")
    assert (response.status_code, response.content) == (503, b"database\n")


def test_only_reads(client, db):
    assert client.post("/health/").status_code == 405
