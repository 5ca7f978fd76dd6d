"""What `manage.py bench NAME` can measure, and the scratch database in which it does.

A bench is a module with
    HELP: str
    add_arguments(parser)                      its own options
    run(options) -> dict[str, figure]          JSON; beside each figure the bare cost of the same work and the ratio
Apps register theirs in AppConfig.ready() by the module's path, so that nothing is imported until it is asked for.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from django.core.management import call_command
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

_MODULES: dict[str, str] = {}


def register_bench(name: str, module: str) -> None:
    """`register_bench("import", "leads.bench_import")`"""
    _MODULES[name] = module


def benches() -> dict[str, ModuleType]:
    """Every registered bench by its name, in alphabetical order."""
    return {name: import_module(module) for name, module in sorted(_MODULES.items())}


@contextmanager
def scratch_database() -> Iterator[str]:
    """A migrated, empty database beside the configured one, which `connection` uses inside the block; dropped
    afterwards, also after an error. Real data is never touched. Yields its name.

    The role needs CREATEDB; without it PostgreSQL's own error says so, and nothing has been changed.
    """
    home = connection.settings_dict["NAME"]
    name = f"smp_bench_{os.getpid()}"
    _outside_of_transactions(f'CREATE DATABASE "{name}"')
    _use(connection, name)
    try:
        call_command("migrate", verbosity=0, interactive=False)
        yield name
    finally:
        _use(connection, home)
        _outside_of_transactions(f'DROP DATABASE "{name}" WITH (FORCE)')


def _use(wrapper: Any, name: str) -> None:
    wrapper.close()
    wrapper.settings_dict["NAME"] = name


def _outside_of_transactions(sql: str) -> None:
    """CREATE and DROP DATABASE on a connection of their own: they cannot run inside a transaction."""
    wrapper: BaseDatabaseWrapper = connections["default"].copy()
    try:
        wrapper.set_autocommit(True)
        with wrapper.cursor() as cursor:
            cursor.execute(sql)
    finally:
        wrapper.close()


def seconds(value: float) -> float:
    return round(value, 3)


def figures_as_text(figures: dict[str, Any], indent: str = "") -> str:
    """One line a figure, groups indented."""
    lines: list[str] = []
    for name, value in figures.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", figures_as_text(value, indent + "  ")]
        else:
            shown = f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else value
            lines.append(f"{indent}{name}: {shown}")
    return "\n".join(lines)
