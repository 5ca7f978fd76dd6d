"""DATABASE_URL → Django's dictionary. PostgreSQL only: the rules are written in its SQL."""

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from smp.lib.env import ConfigurationError

# A server that vanishes without a word (a cable, a firewall) is noticed within a minute, not after the kernel's quarter
# of an hour: workers hold leases and results meanwhile. libpq's names; seconds, tcp_user_timeout in milliseconds.
LOST_PEER = {
    "connect_timeout": "10", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}  # fmt: skip


def parse_database_url(url: str) -> dict[str, Any]:
    """`postgresql://user:password@host:port/name?sslmode=require`; `?host=/folder` names a socket folder."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"DATABASE_URL: {error}.") from error
    if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise ConfigurationError("DATABASE_URL: expected postgresql://user:password@host:5432/name.")
    options = LOST_PEER | dict(parse_qsl(parts.query))
    return {
        "ENGINE": "smp.lib.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": str(port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }
