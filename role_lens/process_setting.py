"""Holds a setting of the whole process at a value, for as long as any thread needs it.

    offline = ProcessSetting(read, write, True)
    with offline.held():
        ...    # other threads may be in such a block too

Threads that each saved and restored the setting would leave it as another one had it.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ProcessSetting(Generic[Value]):
    """A setting of the process, the value that it is held at, and how many hold it."""

    def __init__(
        self, read: Callable[[], Value], write: Callable[[Value], None], value: Value
    ) -> None:
        self._read, self._write, self._value = read, write, value
        self._lock = threading.Lock()
        self._before = value
        self._users = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the setting until the last that needs it has left.

        What somebody else has set in the meantime stays.
        """
        with self._lock:
            found = self._read()
            if self._users == 0:
                self._before = found
            if found != self._value:
                self._write(self._value)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and self._read() == self._value != self._before:
                    self._write(self._before)
