"""A second real connection, in a thread of its own."""

from concurrent.futures import ThreadPoolExecutor

from django.db import connection


class Other:
    """`run(function)` calls it in a thread with its own connection; leaving closes that connection."""

    def __enter__(self):
        self.pool = ThreadPoolExecutor(1)
        return self

    def run(self, function, *args):
        return self.pool.submit(function, *args).result(30)

    def start(self, function, *args):
        return self.pool.submit(function, *args)

    def __exit__(self, *_error):
        self.pool.submit(lambda: connection.close()).result(10)  # of that thread
        self.pool.shutdown()
