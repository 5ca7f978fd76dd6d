"""A hit is safe once `keep` returns: in a file of this host and in Redis, and either one is enough."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import RequestFactory

from tracking import journal, spool, stream
from tracking.hits import Hit, clean, from_bytes, hit_of, new_uid, to_bytes

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def hit(**values):
    values = {
        "uid": new_uid(NOW),
        "kind": "click",
        "at": NOW,
        "ids": {"delivery_id": 5, "url_id": 7},
    } | values
    return Hit(**values)


def in_stream():
    return [from_bytes(data) for _entry, data in stream.after("0-0", count=1000)]


def on_disk(settings):
    return sorted(Path(settings.SPOOL_FOLDER).glob("*.hits"))


@pytest.fixture
def no_redis(settings):
    """An address where nobody listens."""
    settings.REDIS_URL = "redis://127.0.0.1:1/0"


def test_a_hit_survives_its_bytes():
    one = hit(ip="2001:db8::1", agent="髙﨑𠮷①㈱😀", hints={"method": "HEAD"})
    assert from_bytes(to_bytes(one)) == one
    assert b"\n" not in to_bytes(hit(agent="a\nb\r\n"))


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[1]", b"null", b"\xff\xfe", b"[" * 5000, b'["x","click",0,null,"",{},{}]',
     b'["018f0000000070008000000000000000",1,0,null,"",{},{}]',
     b'["018f0000000070008000000000000000","click",1e99,null,"",{},{}]',
     b'["018f0000000070008000000000000000","click",0,null,"",[],{}]'],
)  # fmt: skip
def test_other_bytes_are_no_hit(data):
    with pytest.raises(ValueError):
        from_bytes(data)


def test_what_is_kept_of_a_request():
    """TRK-4: agent, network and how it was asked; nothing a stranger writes reaches the table uncleaned."""
    request = RequestFactory().head(
        "/l/x", HTTP_USER_AGENT="Mozilla\x00\r\n 髙橋".encode().decode("latin-1"), HTTP_SEC_PURPOSE="prefetch;prerender",
        HTTP_SEC_FETCH_DEST="document", HTTP_ACCEPT="*/*" * 200, REMOTE_ADDR="192.0.2.7",
    )  # fmt: skip
    kept = hit_of(request, "click", now=NOW, delivery_id=5, url_id=7)
    assert (kept.kind, kept.at, kept.ip, kept.agent) == ("click", NOW, "192.0.2.7", "Mozilla  髙橋")
    assert kept.hints == {
        "method": "HEAD", "purpose": "prefetch", "dest": "document", "accept": ("*/*" * 200)[:100],
    }  # fmt: skip
    assert kept.ids == {"delivery_id": 5, "url_id": 7}
    assert len(clean("あ" * 5000, 400)) == 400
    assert clean("\ud800x\u2028", 10) == "x"


def test_uids_are_version_7_and_differ():
    first, second = new_uid(NOW), new_uid(NOW)
    assert first != second and first.version == 7
    assert first.hex[:12] == second.hex[:12]


def test_a_hit_is_in_the_file_and_in_redis(settings):
    one = hit()
    spool.keep(one)
    assert in_stream() == [one]
    assert on_disk(settings)[0].read_bytes() == to_bytes(one) + b"\n"


def test_stored_hits_leave_no_file(settings):
    spool.keep(hit())
    spool.close_file()
    while spool.settle() and stream.look().length:
        assert len(on_disk(settings)) == 1  # open in the stream: the file stays
        if on_disk(settings)[0].name.split(".")[2] != "open":
            stream.stored([entry for entry, _data in stream.after("0-0", count=10)])
    spool.settle()
    assert on_disk(settings) == []


def test_without_redis_the_file_holds_it_and_redis_gets_it_later(settings, no_redis):
    one, url = hit(), settings.REDIS_URL
    spool.keep(one)
    with pytest.raises(stream.AWAY_ERRORS):
        spool.settle()
    spool.close_file()
    settings.REDIS_URL = os.environ["REDIS_URL"]
    assert url != settings.REDIS_URL
    spool.settle()
    assert in_stream() == [one]


@pytest.mark.parametrize("lost", ["flushed", "restarted"])
def test_hits_that_redis_lost_are_sent_again(settings, monkeypatch, lost):
    """FLUSHALL, or a Redis that starts anew with nothing, or with what it had minutes ago."""
    one = hit()
    spool.keep(one)
    spool.close_file()
    spool.settle()
    stream.client().delete(stream.KEY)
    if lost == "flushed":
        stream.client().delete(stream.LIFE_KEY)
    else:
        look = stream.look
        monkeypatch.setattr(stream, "look", lambda: other_life(look()))
    spool.settle()
    assert in_stream() == [one]


def test_a_disk_that_became_read_only_does_not_fill_redis(settings, no_redis, monkeypatch):
    """What could not be noted on the disk is remembered: sent once, not every second. After the next loss again."""
    spool.keep(hit())
    spool.close_file()
    settings.REDIS_URL = os.environ["REDIS_URL"]

    def refused(*_names):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as disk:
        disk.setattr(journal.os, "rename", refused)
        with pytest.raises(OSError, match="Read-only"):
            spool.settle()
        for _second in range(3):
            assert spool.settle() == 1
        assert len(in_stream()) == 1
        stream.client().delete(stream.KEY, stream.LIFE_KEY)
        with pytest.raises(OSError, match="Read-only"):
            spool.settle()
        assert len(in_stream()) == 1
    spool.forget_process_state()
    spool.settle()
    assert on_disk(settings)[0].name.endswith(f".{in_stream_ids()[-1]}.hits")


def in_stream_ids():
    return [entry for entry, _data in stream.after("0-0", count=1000)]


def test_other_files_in_the_folder_are_left_alone(settings):
    """A copy somebody made holds nothing up."""
    spool.keep(hit())
    for name in ("a.b.c.hits", "x.hits", "1-ab.none.copy.hits", "notes.txt"):
        (Path(settings.SPOOL_FOLDER) / name).write_text("?")
    spool.close_file()
    assert spool.settle() == 1


def other_life(seen):
    return stream.Look("of another server", seen.oldest, seen.newest, seen.length)


def test_a_half_written_line_was_never_answered(settings):
    one = hit()
    spool.keep(one)
    spool.close_file()
    stream.client().delete(stream.KEY, stream.LIFE_KEY)
    [path] = on_disk(settings)
    with path.open("ab") as file:
        file.write(to_bytes(hit())[:40])
    spool.settle()
    assert in_stream() == [one]


def test_a_file_that_is_being_written_is_left_alone(settings):
    spool.keep(hit())
    [path] = on_disk(settings)
    with journal.closed(path) as file:
        assert file is None
    spool.close_file()
    with journal.closed(path) as file, journal.closed(path) as second:
        assert file is not None and second is None


def test_without_a_disk_redis_alone_is_enough(settings):
    Path(settings.SPOOL_FOLDER).write_text("a file where the folder should be")
    one = hit()
    spool.keep(one)
    assert in_stream() == [one]


def test_a_full_disk_ends_the_file(settings, monkeypatch):
    first, second = hit(), hit()
    spool.keep(first)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:20]))
    spool.keep(second)
    monkeypatch.undo()
    assert in_stream() == [first, second]
    [path] = on_disk(settings)
    with journal.closed(path) as file:
        assert file.lines() == [to_bytes(first)]


def test_without_both_it_is_counted_and_said(settings, no_redis, caplog):
    Path(settings.SPOOL_FOLDER).write_text("a file where the folder should be")
    with pytest.raises(spool.NotKept):
        spool.keep(hit())
    assert "could not be kept" in caplog.text
    settings.REDIS_URL = os.environ["REDIS_URL"]
    spool.tell_lost()
    assert stream.client().get(spool.LOST_KEY) == b"1"


def test_after_a_failure_redis_is_not_asked_for_a_while(settings, no_redis):
    assert stream.add(b"x") is False
    settings.REDIS_URL = os.environ["REDIS_URL"]
    assert stream.add(b"x") is False
    assert stream.look().length == 0
    stream.forget_failure()
    assert stream.add(b"x") is True
