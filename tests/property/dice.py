"""What a generator asks for. Hypothesis draws one string of bytes, each answer eats one: failures shrink towards no, few and first.

One draw, because hypothesis makes five of six examples by copying parts of the one before: of single draws nearly all would be alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
SIZE = 1500  # more answers than the largest case takes
THROWS: st.SearchStrategy[bytes] = st.binary(min_size=SIZE, max_size=SIZE)


class Dice:
    """:param throws: drawn from `THROWS`; when they are used up, every answer is the simplest."""

    def __init__(self, throws: bytes) -> None:
        self._throws = iter(throws)

    def _roll(self, sides: int) -> int:
        """From 0 on, for up to 256 sides."""
        return next(self._throws, 0) * sides // 256

    def chance(self, percent: int) -> bool:
        """True in about so many cases of a hundred."""
        return self._roll(100) >= 100 - percent

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + self._roll(high - low + 1)

    def pick(self, items: Sequence[T]) -> T:
        """One of them."""
        return items[self._roll(len(items))] if len(items) > 1 else items[0]

    def some(self, items: Sequence[T], percent: int = 50) -> list[T]:
        """Those for which the dice say yes, in their order."""
        return [item for item in items if self.chance(percent)]

    def shuffled(self, items: Sequence[T], count: int) -> list[T]:
        """So many of them, in any order."""
        left, found = list(items), []
        for _ in range(min(count, len(left))):
            found.append(left.pop(self._roll(len(left))))
        return found
