"""The code on a ticket out of a picture, for phones whose browser cannot read codes itself.

Pictures come from outside: their size is looked at before anything is unpacked, three formats are read and no other, and
what is searched has at most LONGEST_SIDE pixels a side, so that no picture takes more than a moment.
"""

import io

import zxingcpp
from PIL import Image

LARGEST = 12 * 1024 * 1024  # bytes; a phone's photo has 2 to 6 MB
LONGEST_SIDE = 1600
# A JPEG is unpacked at a fraction of its size; the others whole. MPO is the JPEG of many phones, with a second picture behind
# the first, which is not looked at.
MOST_PIXELS = {"JPEG": 64_000_000, "MPO": 64_000_000, "PNG": 16_000_000, "WEBP": 16_000_000}
READ = ("JPEG", "PNG", "WEBP")


class NoPicture(Exception):
    """It is no picture, none of the three formats, or too large."""


def read_code(data: bytes) -> str | None:
    """What the first QR code in the picture holds; None when there is none. Raises NoPicture."""
    if not data or len(data) > LARGEST:
        raise NoPicture
    picture = _small_and_grey(data)
    found = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)  # type: ignore[arg-type]
    texts = [one.text for one in found if one.valid and one.text]
    return texts[0] if texts else None


def _small_and_grey(data: bytes) -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=READ) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS[picture.format or ""] or max(width, height) > 50 * min(
                width, height
            ):
                raise NoPicture
            picture.draft("L", (LONGEST_SIDE, LONGEST_SIDE))  # of a JPEG only
            # A transparent picture is drawn on white, like on the screen it was taken from.
            if picture.has_transparency_data:
                coloured = picture.convert("RGBA")
                ground = Image.new("RGBA", coloured.size, "white")
                grey = Image.alpha_composite(ground, coloured).convert("L")
            else:
                grey = picture.convert("L")
    except NoPicture:
        raise
    except (
        Exception
    ) as error:  # what Pillow raises on a broken file is anything: OSError, SyntaxError, struct.error …
        raise NoPicture from error
    grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return grey
