"""Reading configuration from the environment, strictly: a wrong value stops the start with a clear sentence.

Every name may also be given as NAME_FILE, a path whose content is the value (Docker and Kubernetes secrets).
"""

import os
from pathlib import Path


class ConfigurationError(Exception):
    """A setting is missing or cannot be read; the message names it and says what is expected."""


def env_str(name: str, default: str | None = None) -> str:
    """The value of NAME, or the content of the file NAME_FILE, or the default."""
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigurationError(f"{name}_FILE: cannot read {path}: {error}") from error
    value = os.environ.get(name, "").strip()
    if value:
        return value
    if default is None:
        raise ConfigurationError(f"{name} is not set; see .env.example for what it means.")
    return default


def env_bool(name: str, default: bool) -> bool:
    value = env_str(name, "1" if default else "0").lower()
    if value not in {"0", "1", "false", "true", "no", "yes"}:
        raise ConfigurationError(f"{name}={value!r}: expected 0 or 1.")
    return value in {"1", "true", "yes"}


def env_int(name: str, default: int) -> int:
    value = env_str(name, str(default))
    try:
        return int(value)
    except ValueError as error:
        raise ConfigurationError(f"{name}={value!r}: expected a whole number.") from error


def env_list(name: str, default: str = "") -> list[str]:
    return [part.strip() for part in env_str(name, default).split(",") if part.strip()]
