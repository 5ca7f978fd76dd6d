"""What the database broke off because two transactions waited for each other is done again.

The order of locks (docs/architecture.md) keeps most of them from happening. Who moves up from a waiting list, or which leads
an application is found to belong to, is known only under a lock; then the order cannot always be kept.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.db import OperationalError, connection

TRIES = 5
DEADLOCK = "40P01"  # PostgreSQL, appendix A: deadlock_detected

Function = TypeVar("Function", bound=Callable[..., Any])


def again_after_deadlock(function: Function) -> Function:
    """For functions that are one transaction. Inside of somebody else's the error goes on: only the whole can be repeated."""

    @wraps(function)
    def repeated(*args: Any, **kwargs: Any) -> Any:
        if connection.in_atomic_block:
            return function(*args, **kwargs)
        for _try in range(TRIES - 1):
            try:
                return function(*args, **kwargs)
            except OperationalError as error:
                if getattr(error.__cause__, "pgcode", None) != DEADLOCK:
                    raise
        return function(*args, **kwargs)

    return repeated  # type: ignore[return-value]
