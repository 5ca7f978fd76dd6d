"""A worker that is asked to stop tells its children, which get no signal of their own: one byte of shared memory, made
before they are forked (smp/celery.py)."""

import mmap

_flag = mmap.mmap(-1, 1)


def stop() -> None:
    _flag[0] = 1


def stopping() -> bool:
    return _flag[0] == 1
