"""TKT-4: reading the code out of pictures, friendly and hostile."""

import io
import struct
import zlib

import pytest
import segno
from PIL import Image

from campaigns import qr_reading
from campaigns.qr_reading import NoPicture, read_code


def picture(text="ABCDEFGH", *, scale=8, size=None, angle=0, form="PNG", mode="L"):
    """A photo of a ticket: the code on grey, turned."""
    out = io.BytesIO()
    segno.make_qr(text, error="q").save(out, kind="png", scale=scale, border=4)
    code = Image.open(out).convert("L").rotate(angle, expand=True, fillcolor=255)
    photo = Image.new("L", size or (code.width + 80, code.height + 120), 200)
    photo.paste(code, (40, 60))
    out = io.BytesIO()
    photo.convert(mode).save(out, form)
    return out.getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {}, {"form": "JPEG", "mode": "RGB"}, {"form": "WEBP", "mode": "RGB"}, {"mode": "RGBA"}, {"mode": "P"}, {"mode": "1"},
        {"angle": 90}, {"angle": 17}, {"form": "JPEG", "size": (3000, 4000), "scale": 40},
    ],
)  # fmt: skip
def test_the_code_is_read(options):
    """TKT-4"""
    assert read_code(picture(**options)) == "ABCDEFGH"


def test_a_transparent_picture():
    """TKT-4: black modules on nothing"""
    out = io.BytesIO()
    segno.make_qr("ABCDEFGH", error="q").save(out, kind="png", scale=8, border=4, light=None)
    assert read_code(out.getvalue()) == "ABCDEFGH"


def test_a_photo_with_a_second_picture_behind_it():
    """TKT-4: MPO, what many phones call JPEG"""
    first, out = Image.open(io.BytesIO(picture(mode="RGB"))), io.BytesIO()
    first.save(out, "MPO", save_all=True, append_images=[Image.new("RGB", (3000, 3000))])
    assert read_code(out.getvalue()) == "ABCDEFGH"


def test_a_picture_without_a_code():
    """TKT-4"""
    out = io.BytesIO()
    Image.new("RGB", (640, 480), "white").save(out, "JPEG")
    assert read_code(out.getvalue()) is None


def test_a_code_may_hold_anything():
    """TKT-4: what it means is judged by check_in"""
    assert read_code(picture("https://evil.example/<script>")) == "https://evil.example/<script>"


def bomb(width, height):
    """A PNG of a few hundred bytes that unpacks to width × height."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(b"\0" * 1000)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif():
    out = io.BytesIO()
    Image.new("L", (10, 10)).save(out, "GIF")
    return out.getvalue()


HOSTILE = {
    "nothing": b"",
    "text": b"<svg onload=alert(1)>" * 10,
    "bomb": bomb(60_000, 60_000),
    "wide bomb": bomb(2_000_000, 2),
    "cut short": bomb(100, 100),
    "half a picture": picture()[:200],
    "half a photo": picture(form="JPEG", mode="RGB")[:900],
    "another format": gif(),
    "TIFF": b"II*\0" + b"\xff" * 500,
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n",
    "only a header": b"\xff\xd8\xff\xe0" + b"\0" * 1000,
    "too many bytes": b"\xff\xd8\xff" + b"\0" * (qr_reading.LARGEST + 1),
    "zeros": b"\0" * 5000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_is_refused(name):
    """TKT-4"""
    with pytest.raises(NoPicture):
        read_code(HOSTILE[name])


def test_pictures_are_searched_small(monkeypatch):
    """TKT-4: however many pixels, the search has few"""
    searched = []
    monkeypatch.setattr(qr_reading.zxingcpp, "read_barcodes", lambda grey, **_: searched.append(grey) or [])
    read_code(picture(form="JPEG", mode="RGB", size=(4000, 3000)))
    assert [(grey.mode, grey.size) for grey in searched] == [("L", (1600, 1200))]
