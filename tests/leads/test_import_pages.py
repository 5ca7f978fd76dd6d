"""NAV-1 「CSV一括更新」 in the browser's eyes: upload, progress, dry run, commit, and who may (SYS-1, SYS-3, CSV-1)."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from leads.imports import commit_import, stage_import
from leads.imports.steps import upload
from leads.models import Lead, LeadColumn, LeadImport
from leads.tasks import run_import
from settings.models import AuditEntry, Role
from tests.factories import make_application, make_campaign, make_lead, make_user
from tests.leads.importing import bring_in, check

pytestmark = pytest.mark.django_db

FILE = "姓,E-mailアドレス\n佐藤,misaki@example.jp\n鈴木,kenta@@example.jp\n田中,yui@gamil.com\n"


@pytest.fixture
def misaki(client):
    user = make_user()
    client.force_login(user)
    return user


def send(client, content=FILE, **values):
    file = SimpleUploadedFile(
        values.pop("name", "リード.csv"), content.encode() if isinstance(content, str) else content
    )
    return client.post(
        reverse("imports"), {"mode": "add", "key": "id", "evidence": "card", "file": file} | values
    )


def test_from_upload_to_done(client, misaki, django_capture_on_commit_callbacks, monkeypatch):
    kicked = []
    monkeypatch.setattr("leads.views.imports.kick_import", kicked.append)
    with django_capture_on_commit_callbacks(execute=True):
        response = send(client)
    lead_import = LeadImport.objects.get()
    page = reverse("lead_import", args=[lead_import.pk])
    assert (response.status_code, response["Location"], kicked) == (302, page, [lead_import.pk])
    assert (lead_import.file_name, lead_import.evidence, lead_import.created_by) == (
        "リード.csv",
        "card",
        misaki,
    )
    assert 'hx-trigger="every 1s"' in client.get(page).content.decode()
    run_import(lead_import.pk)

    progress = client.get(reverse("import_progress", args=[lead_import.pk]))
    assert progress["HX-Refresh"] == "true"
    html = client.get(page).content.decode()
    assert "kenta@@example.jp" in html
    assert "yui@gmail.com" in client.get(page, {"show": "notes"}).content.decode()

    commit = reverse("import_commit", args=[lead_import.pk])
    assert client.get(commit).status_code == 405
    refused = client.post(commit)
    assert (refused.status_code, Lead.objects.count()) == (422, 0)
    assert client.post(commit, {"skip_wrong": "on"})["Location"] == page
    assert client.post(commit, {"skip_wrong": "on"})["Location"] == page  # a second click
    run_import(lead_import.pk)
    assert list(Lead.objects.order_by("id").values_list("last_name", flat=True)) == ["佐藤", "田中"]
    html = client.get(page, {"show": "new"}).content.decode()
    assert "佐藤" in html
    wrong = client.get(reverse("import_wrong_rows", args=[lead_import.pk]))
    text = b"".join(wrong.streaming_content).decode("utf-8-sig")
    assert "鈴木,kenta@@example.jp,3,E-mailアドレス," in text
    assert AuditEntry.objects.filter(action="lead_import.export_wrong", user=misaki).count() == 1


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"", "a.csv"), (b"PK\x03\x04....", "book.xlsx"), ("謎の列\n1\n", "a.csv"), (b"\x00" * 9, "a\x00b.csv")],
)
def test_refused_files_say_why(client, misaki, content, name):
    response = send(client, content, name=name)
    if response.status_code == 302:
        lead_import = LeadImport.objects.get()
        stage_import(lead_import)
        lead_import.refresh_from_db()
        assert lead_import.state == LeadImport.State.FAILED
        response = client.get(reverse("lead_import", args=[lead_import.pk]))
        assert response.status_code == 200
        assert "note error" in response.content.decode()
    else:
        assert response.status_code == 422
        assert "errorlist" in response.content.decode()


@pytest.mark.parametrize(
    "values", [{"mode": "drop"}, {"key": "x"}, {"evidence": "opt_out_form"}, {"file": ""}]
)
def test_hostile_choices_are_refused(client, misaki, values):
    """OPT-2: nobody's own act can be claimed as the evidence of an import."""
    assert send(client, **values).status_code == 422
    assert LeadImport.objects.count() == 0


def test_the_viewer_may_not_import(client):
    """SYS-1"""
    lead_import = bring_in(FILE, skip_wrong=True)
    client.force_login(make_user("yui", role=Role.VIEWER))
    assert client.get(reverse("imports")).status_code == 403
    assert send(client).status_code == 403
    for name in ("lead_import", "import_progress", "import_wrong_rows"):
        assert client.get(reverse(name, args=[lead_import.pk])).status_code == 403
    for name in ("import_commit", "import_cancel"):
        assert client.post(reverse(name, args=[lead_import.pk])).status_code == 403
    client.logout()
    assert client.get(reverse("imports")).status_code == 302


def test_the_campaign_administrator_imports_inside_the_campaign_only(client):
    """SYS-1, CSV-1"""
    kenta = make_user("kenta", role=Role.CAMPAIGN)
    campaign = make_campaign(members=[kenta])
    client.force_login(kenta)
    assert send(client).status_code == 403
    content = f"リードID,会社名\n{make_application(campaign).lead_id},山手製作所\n"
    file = SimpleUploadedFile("leads.csv", content.encode())
    response = client.post(
        f"/c/{campaign.pk}/leads/imports/", {"key": "id", "evidence": "import", "file": file}
    )
    made = LeadImport.objects.get()
    assert response["Location"] == f"/c/{campaign.pk}/leads/imports/{made.pk}/"
    assert (made.mode, made.campaign_id) == ("update", campaign.pk)


def test_cancel(client, misaki):
    lead_import = check(FILE)
    assert client.post(reverse("import_cancel", args=[lead_import.pk]))["Location"] == reverse("imports")
    lead_import.refresh_from_db()
    assert lead_import.state == LeadImport.State.CANCELLED
    client.post(reverse("import_commit", args=[lead_import.pk]), {"skip_wrong": "on"})
    commit_import(lead_import)
    assert Lead.objects.count() == 0
    assert client.get(reverse("lead_import", args=[lead_import.pk])).status_code == 200


def test_changes_are_shown_old_and_new(client, misaki):
    lead = make_lead(company="旧商事")
    lead_import = check(f"リードID,会社名\n{lead.pk},新商事\n", mode="update")
    html = client.get(reverse("lead_import", args=[lead_import.pk]), {"show": "update"}).content.decode()
    assert "<del>旧商事</del> → 新商事" in html


def test_leads_that_changed_meanwhile_are_said(client, misaki):
    lead = make_lead(company="旧商事")
    lead_import = check(f"リードID,会社名\n{lead.pk},新商事\n", mode="update")
    Lead.objects.filter(pk=lead.pk).update(deleted_at=timezone.now())
    client.post(reverse("import_commit", args=[lead_import.pk]))
    run_import(lead_import.pk)
    lead_import.refresh_from_db()
    assert (lead_import.state, lead_import.changed_since) == ("checked", True)
    html = client.get(reverse("lead_import", args=[lead_import.pk])).content.decode()
    assert 'class="note" role="alert"' in html


def test_progress_survives_a_reload(client, misaki):
    """SYS-3"""
    lead_import = upload(
        [FILE.encode()], file_name="a.csv", mode="add", key="id", evidence="import", user=misaki
    )
    LeadImport.objects.filter(pk=lead_import.pk).update(state="checking", progress=40, rows=100)
    for name in ("lead_import", "import_progress"):
        html = client.get(reverse(name, args=[lead_import.pk])).content.decode()
        assert 'max="100" value="40"' in html


def test_base_file_has_every_header_and_is_understood(client, misaki):
    """CSV-1"""
    LeadColumn.objects.create(label="業種", type="text")
    text = b"".join(client.get(reverse("import_base_file")).streaming_content).decode("utf-8-sig")
    headers = text.strip().split(",")
    assert headers[-1] == "業種"
    assert check(text + ",".join(["", "佐藤", *[""] * (len(headers) - 2)]) + "\n").counts["new"] == 1


@pytest.mark.parametrize("show", ["wrong", "new", "notes", "shared", "unknown", "'--"])
@pytest.mark.parametrize("page", ["1", "999999", "x", "-1"])
def test_every_kind_and_page_opens(client, misaki, show, page):
    make_lead("misaki@example.jp")
    lead_import = check(FILE)
    assert (
        client.get(reverse("lead_import", args=[lead_import.pk]), {"show": show, "page": page}).status_code
        == 200
    )


@pytest.mark.parametrize("show", ["new", "wrong", "notes"])
def test_same_number_of_queries_for_one_row_and_many(client, misaki, django_assert_max_num_queries, show):
    row = (
        "佐藤,a@example.jp\n"
        if show == "new"
        else "佐藤,a@@b\n"
        if show == "wrong"
        else "佐藤,ａ@example.jp\n"
    )
    numbers = []
    for many in (1, 3):
        lead_import = check("姓,E-mailアドレス\n" + row * many)
        with django_assert_max_num_queries(20) as queries:
            client.get(reverse("lead_import", args=[lead_import.pk]), {"show": show})
        numbers.append(len(queries.captured_queries))
    assert numbers[0] == numbers[1]


def test_list_needs_the_same_number_of_queries_for_one_and_three(
    client, misaki, django_assert_max_num_queries
):
    numbers = []
    for _again in range(2):
        check(FILE, user=make_user(f"user{_again}"))
        with django_assert_max_num_queries(20) as queries:
            assert client.get(reverse("imports")).status_code == 200
        numbers.append(len(queries.captured_queries))
    assert numbers[0] == numbers[1]


def test_markup_in_files_is_only_text(client, misaki):
    lead_import = check(
        '姓,"会社名"\n<script>alert(1)</script>,"<img src=x onerror=y>"\n', file_name="<b>x.csv"
    )
    html = client.get(reverse("lead_import", args=[lead_import.pk]), {"show": "new"}).content.decode()
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "<b>x.csv" not in html


def test_new_rows_link_to_the_leads_they_became(client, misaki):
    lead_import = bring_in(FILE, skip_wrong=True)
    html = client.get(reverse("lead_import", args=[lead_import.pk]), {"show": "new"}).content.decode()
    sato, tanaka = Lead.objects.order_by("id")
    places = [
        html.index(text)
        for text in (reverse("lead", args=[sato.pk]), "misaki@", reverse("lead", args=[tanaka.pk]), "yui@")
    ]
    assert places == sorted(places)
