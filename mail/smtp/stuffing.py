"""A mail's bytes as they go over the wire (RFC 5321 4.5.2)."""


def stuff(data: bytes) -> bytes:
    """The data with dots doubled at the beginning of lines, ending with CRLF, without the final dot.

    Every CR, LF and CRLF becomes CRLF before dots are doubled: a lone CR or LF that another server reads as a line
    end is how a second mail is smuggled in (CVE-2023-51764 and its kin). The bytes of our own mails are normal
    already; for them this is three counts and a search, no loop over lines.
    """
    if not data:
        return b""
    line_ends = data.count(b"\r\n")
    if data.count(b"\n") != line_ends or data.count(b"\r") != line_ends:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    if b"\n." in data:
        data = data.replace(b"\n.", b"\n..")
    if data.startswith(b"."):
        data = b"." + data
    return data if data.endswith(b"\r\n") else data + b"\r\n"
