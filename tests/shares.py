"""Which worker of xdist runs what: a file stays together, so what it prepares for all its tests is prepared once.

(The mark `xdist_group` cannot say so: xdist 3.8 hands it over inside node ids, which pytest 9.2 made unchangeable.)
"""

from typing import Any

from xdist.scheduler import LoadScopeScheduling

# Taken first, in this order, so that nothing long is left over for one worker alone at the end.
LONG = ("tests/browser/", "tests/demo/test_demo.py", "tests/faults/", "tests/concurrency/", "tests/demo/")
ONE_DEMO = "tests/browser/"  # all of its files walk through the same demo


def file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def rank(nodeid: str) -> int:
    return next((number for number, start in enumerate(LONG) if nodeid.startswith(start)), len(LONG))


class FileShares(LoadScopeScheduling):
    def __init__(self, config: Any, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # the order of the collection, not of the number of tests

    def _split_scope(self, nodeid: str) -> str:
        return ONE_DEMO if nodeid.startswith(ONE_DEMO) else file_of(nodeid)
