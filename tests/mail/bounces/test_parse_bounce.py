"""`manage.py parse_bounce FILE…`: any mail file, without a database."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.mail.bounces.mails import BOUNCES, DELAYED, NO_BOUNCES


def run(*files, **options):
    out, err = StringIO(), StringIO()
    try:
        call_command("parse_bounce", *map(str, files), stdout=out, stderr=err, **options)
        error = None
    except CommandError as raised:
        error = raised
    return out.getvalue(), err.getvalue(), error


def test_recipients_reason_and_hardness_in_words(tmp_path):
    (tmp_path / "a.eml").write_bytes(BOUNCES["postfix"][0])
    out, _err, error = run(tmp_path / "a.eml")
    assert error is None
    assert out.splitlines() == [
        f"{tmp_path}/a.eml: エラー通知",
        "    taro@example.jp: 宛先がありません (ハード) 5.1.1 550 5.1.1 <taro@example.jp>: Recipient address rejected: "
        "User unknown in local recipient table",
    ]


def test_one_json_object(tmp_path):
    (tmp_path / "a.eml").write_bytes(BOUNCES["exim quota"][0])
    (tmp_path / "b.eml").write_bytes(NO_BOUNCES["exchange oof"][1])
    (tmp_path / "c.eml").write_bytes(DELAYED["postfix delay"])
    out, _err, error = run(tmp_path / "a.eml", tmp_path / "b.eml", tmp_path / "c.eml", json=True)
    assert error is None
    first, second, third = json.loads(out)["files"]
    assert (first["bounce"], first["kind"]) == (True, "failure")
    (one,) = first["recipients"]
    assert (one["address"], one["reason"], one["hard"]) == ("taro@example.jp", "full", False)
    assert (second["bounce"], second["kind"], second["recipients"]) == (False, "auto_reply", [])
    assert (third["bounce"], third["kind"], third["recipients"][0]["action"]) == (True, "delayed", "delayed")


@pytest.mark.parametrize(("name", "words"), [
    ("exchange oof", "自動返信"), ("success", "配信の通知"), ("arf abuse", "苦情の通知"), ("mdn", "開封通知"),
    ("person answers", "エラー通知ではありません"),
])  # fmt: skip
def test_what_it_was_instead(tmp_path, name, words):
    (tmp_path / "a.eml").write_bytes(NO_BOUNCES[name][1])
    out, _err, _error = run(tmp_path / "a.eml")
    assert words in out


def test_a_file_that_cannot_be_read_is_said_and_the_others_go_on(tmp_path):
    (tmp_path / "b.eml").write_bytes(BOUNCES["qmail"][0])
    out, err, error = run(tmp_path / "missing", tmp_path, tmp_path / "b.eml")
    assert out.startswith(f"{tmp_path}/b.eml: エラー通知\n    taro@example.jp")
    assert [line.partition(":")[0] for line in err.splitlines()] == [f"{tmp_path}/missing", str(tmp_path)]
    assert error is not None
    assert error.returncode == 1


def test_an_mbox_holds_many(tmp_path):
    separator = b"From MAILER-DAEMON Sun Nov 22 10:00:00 2026\n"
    mails = [BOUNCES["postfix"][0], NO_BOUNCES["vacation(1)"][1], BOUNCES["qmail"][0]]
    (tmp_path / "box").write_bytes(b"\n\n".join(separator + raw for raw in mails))
    out, _err, _error = run(tmp_path / "box", json=True)
    assert [(each["mail"], each["kind"]) for each in json.loads(out)["files"]] == [
        (1, "failure"),
        (2, "auto_reply"),
        (3, "failure"),
    ]


def test_an_empty_file_is_no_bounce(tmp_path):
    (tmp_path / "a.eml").write_bytes(b"")
    out, _err, error = run(tmp_path / "a.eml")
    assert (out, error) == (f"{tmp_path}/a.eml: エラー通知ではありません\n", None)
