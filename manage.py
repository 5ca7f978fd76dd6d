#!/usr/bin/env python
"""The door for operators: `manage.py help` lists the commands, docs/operating.md explains them."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smp.settings")
    if not (os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE")) or not (
        os.environ.get("REDIS_URL") or os.environ.get("REDIS_URL_FILE")
    ):
        from smp.embedded import start_missing_servers

        start_missing_servers()
    from django.core.management import execute_from_command_line

    from smp.lib.env import ConfigurationError

    try:
        execute_from_command_line(sys.argv)
    except ConfigurationError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
