"""A server of asyncio in a thread of its own, for the demo and the tests: `with Server(...) as server:`."""

import asyncio
import contextlib
import threading
from typing import Self


class InThread:
    """Derived classes say how they begin to listen and how they stop; both run on the loop."""

    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    async def begin(self) -> None:
        """Returns when the port answers. OSError when it is taken."""
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def start(self) -> None:
        """Returns when the port answers. OSError when it is taken."""
        ready = threading.Event()
        failure: list[BaseException] = []

        async def run() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            try:
                await self.begin()
            except OSError as error:
                failure.append(error)
                return
            finally:
                ready.set()
            await self._stop.wait()
            self.end()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self._thread = threading.Thread(
            target=lambda: asyncio.run(run()), daemon=True, name=type(self).__name__
        )
        self._thread.start()
        ready.wait()
        if failure:
            raise failure[0]

    def stop(self) -> None:
        if self._loop and self._thread and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop ended by itself in between
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
