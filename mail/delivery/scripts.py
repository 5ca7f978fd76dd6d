"""The Lua scripts of the throttle, on a Redis that may be away: then every answer is None, at once after the first."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any, cast

import redis.asyncio
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

TIMEOUT = 1.0  # seconds for Redis to answer
AWAY = 2.0  # seconds until it is asked again


class Scripts:
    """One per asyncio loop. Nothing here raises for a Redis that is away, paused or full."""

    def __init__(self, url: str) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=8,
            timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._client = redis.asyncio.Redis(connection_pool=pool)
        folder = Path(__file__).parent / "lua"
        before = (folder / "slowed.lua").read_text(encoding="utf-8")
        self._scripts = {
            name: self._client.register_script(before + (folder / f"{name}.lua").read_text(encoding="utf-8"))
            for name in ("admit", "connect", "renew", "complain", "well")
        }
        self._away_until = 0.0

    async def run(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return await self._ask(lambda: cast(Awaitable[Any], self._scripts[name](keys=keys, args=arguments)))

    async def remove(self, key: str, member: str) -> None:
        await self._ask(lambda: cast(Awaitable[Any], self._client.zrem(key, member)))

    async def _ask(self, question: Callable[[], Awaitable[Any]]) -> Any:
        if self._away_until:
            if monotonic() < self._away_until:
                return None
            # One question finds out whether it is back; the others do not wait for it.
            self._away_until = monotonic() + TIMEOUT + AWAY
        try:
            answer = await question()
        except (RedisError, OSError, TimeoutError) as error:
            if not self._away_until:
                logger.warning("Redis is away, the speed limits go on on the slow side: %s", error)
            self._away_until = monotonic() + AWAY
            return None
        if self._away_until:
            logger.warning("Redis is back")
            self._away_until = 0.0
        return answer

    async def close(self) -> None:
        with suppress(RedisError, OSError):
            await self._client.aclose()
            await self._client.connection_pool.disconnect()
