"""A mail's bytes as they go over the wire (RFC 5321 4.5.2)."""

import re

_LONE_CR = re.compile(rb"\r(?!\n)")
_DOT = re.compile(rb"\n\.")


def stuff(data: bytes) -> bytes:
    """The data with dots doubled at the beginning of lines, ending with CRLF, without the final dot.

    Every CR, LF and CRLF becomes CRLF before dots are doubled: a lone CR or LF that another server reads as a line
    end is how a second mail is smuggled in (CVE-2023-51764 and its kin). The bytes of our own mails are normal
    already; for them this is four quick searches, no loop over lines.
    """
    if not data:
        return b""
    if data.count(b"\n") != data.count(b"\r") or _LONE_CR.search(data):
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    if _DOT.search(data):
        data = data.replace(b"\n.", b"\n..")
    if data.startswith(b"."):
        data = b"." + data
    return data if data.endswith(b"\r\n") else data + b"\r\n"
