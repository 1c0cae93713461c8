"""Calls of many threads as one: what comes while a call runs is the next call."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Gatherer(Generic[_Item, _Result]):
    """Runs a function of a list for many threads, whose lists it joins while the function is busy.

    The first caller runs the function at once, so one that is alone never waits. Who comes meanwhile waits until that
    run is over; the first of them then runs the function for all who wait, up to `most` items, and so on. No thread is
    started and nothing is kept between calls. If the function raises for a joined list, each list is run by itself, so
    that an error reaches only the caller whose list raises it.

    Parameters
    ----------
    most
        Items in one joined list; a longer list of one caller is run as it is, by itself.
    """

    def __init__(self, *, most: int) -> None:
        self.most = most
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._waiting: deque[_Call[_Item, _Result]] = deque()
        self._running = 0

    def run(
        self, function: Callable[[list[_Item]], list[_Result]], items: Sequence[_Item], *, lanes: int = 1
    ) -> list[_Result]:
        """What the function makes of the items, in order, or raises for them.

        All callers give the same function; what it makes of an item must not depend on the item's neighbours. `lanes`
        is how many runs may be under way at once.
        """
        if self._process != os.getpid():  # forked in the middle of a run, whose thread is not here
            self._begin()
        if len(items) > self.most:
            return function(list(items))
        call: _Call[_Item, _Result] = _Call(list(items))
        with self._lock:
            call.leads = self._running < lanes
            if call.leads:
                self._running += 1
            else:
                self._waiting.append(call)
        if not call.leads:
            self._wait(call)
        if call.leads:
            self._lead(function, call)
        return call.outcome()

    def _wait(self, call: _Call[_Item, _Result]) -> None:
        try:
            call.turn.wait()
        except BaseException:  # Ctrl-C: no leader must wake a caller that has gone
            with self._lock:
                call.answered = True
                if call in self._waiting:
                    self._waiting.remove(call)
                elif call.leads:
                    self._pass_on()
            raise

    def _lead(self, function: Callable[[list[_Item]], list[_Result]], call: _Call[_Item, _Result]) -> None:
        calls = [call]
        try:
            with self._lock:
                room = self.most - len(call.items)
                while self._waiting and len(self._waiting[0].items) <= room:
                    calls.append(self._waiting.popleft())
                    room -= len(calls[-1].items)
            _answer(function, calls)
        finally:
            with self._lock:
                # Left unanswered where this thread was interrupted: they are first in the next run.
                self._waiting.extendleft(each for each in reversed(calls[1:]) if not each.answered)
                self._pass_on()

    def _pass_on(self) -> None:
        """Let the first who waits lead; the caller holds the lock and leads no longer."""
        if self._waiting:
            following = self._waiting.popleft()
            following.leads = True
            following.turn.set()
        else:
            self._running -= 1


class _Call(Generic[_Item, _Result]):
    """What one caller asked for, and what became of it."""

    def __init__(self, items: list[_Item]) -> None:
        self.items = items
        self.turn = threading.Event()
        self.leads = False
        self.answered = False
        self._outcome: list[_Result] | Exception = []

    def answer(self, outcome: list[_Result] | Exception) -> None:
        """Keep the outcome and wake the caller."""
        self._outcome, self.answered = outcome, True
        self.turn.set()

    def outcome(self) -> list[_Result]:
        """The results; raises the error if it is one."""
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def _answer(function: Callable[[list[_Item]], list[_Result]], calls: Sequence[_Call[_Item, _Result]]) -> None:
    try:
        items = [item for call in calls for item in call.items]
        results = function(items)
        if len(results) != len(items):
            raise ValueError(f"there must be one result an item, got {len(results)} for {len(items)}")
    except Exception as error:
        if len(calls) == 1:
            calls[0].answer(error)
            return
        for call in calls:
            _answer(function, [call])
        return
    first = 0
    for call in calls:
        call.answer(results[first : first + len(call.items)])
        first += len(call.items)
