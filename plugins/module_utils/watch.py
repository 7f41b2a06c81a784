"""End long work from beside it: a thread asks whether it should go on, and cancels what it is waiting for when not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import TracebackType

ASK_EVERY_S = 1.0


class Watch:
    """As a context manager around the work.

    :param check: raises when the work should end; that error comes out of the context, whatever the cancelled work has raised.
    """

    def __init__(self, check: Callable[[], None] | None = None) -> None:
        self._check = check
        self._ended = threading.Event()
        self._cancels: list[Callable[[], None]] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        if self._check is not None:
            self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._error is not None and error is not None:
            raise self._error from error

    @contextlib.contextmanager
    def over(self, cancel: Callable[[], None]) -> Iterator[None]:
        """While something is waited for that can be cancelled.

        :param cancel: ends it; may be called more than once, from another thread.
        """
        self._cancels.append(cancel)
        try:
            yield
        finally:
            self._cancels.remove(cancel)

    def require_wanted(self) -> None:
        """Raise what has ended the work: what it says itself, being cancelled, is no finding."""
        if self._error is not None:
            raise self._error

    def _look(self) -> None:
        assert self._check is not None  # noqa: S101  otherwise this thread is not started
        while not self._ended.wait(ASK_EVERY_S):
            try:
                self._check()
            except Exception as error:
                self._error = error
            if self._error is not None:
                for cancel in list(self._cancels):
                    with contextlib.suppress(Exception):  # it has ended by itself at this moment
                        cancel()
