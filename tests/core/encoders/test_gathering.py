"""Many callers at once: who comes while the model is busy is part of the next call, with the bits of a call alone."""

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiny_models
from tiny_models import one_torch_thread  # noqa: F401

from latelens.encoders.gathering import Gatherer

WAIT = 60  # seconds until a test that hangs fails


class Busy:
    """Doubles numbers, and keeps its first run under way until it is let go."""

    def __init__(self):
        self.runs, self.began, self.go = [], threading.Event(), threading.Event()

    def __call__(self, items):
        self.runs.append(list(items))
        if len(self.runs) == 1:
            self.began.set()
            assert self.go.wait(WAIT)
        if "bad" in items:
            raise ValueError("a bad item")
        return [2 * item for item in items]


def until(condition):
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.001)


def meanwhile(gatherer, function, lists, *, first=(0,)):
    """What each list gets, or what it raises, when all come, one after the other, while a first call runs."""

    def call(items):
        try:
            return gatherer.run(function, items)
        except BaseException as error:
            return error

    with ThreadPoolExecutor(len(lists) + 1) as pool:
        futures = [pool.submit(call, list(first))]
        assert function.began.wait(WAIT)
        for count, items in enumerate(lists, start=1):
            futures.append(pool.submit(call, items))
            until(lambda count=count: len(gatherer._waiting) == count)
        function.go.set()
        return [future.result(WAIT) for future in futures]


def test_a_caller_that_is_alone_runs_at_once_in_its_own_thread():
    threads = []
    gatherer = Gatherer(most=4)
    for _ in range(2):
        assert gatherer.run(lambda items: threads.append(threading.current_thread()) or items, [1, 2]) == [1, 2]
    assert threads == [threading.current_thread()] * 2


def test_calls_that_come_meanwhile_are_one_run_and_each_gets_its_own():
    busy = Busy()
    assert meanwhile(Gatherer(most=9), busy, [[1], [2, 3], [4]]) == [[0], [2], [4, 6], [8]]
    assert busy.runs == [[0], [1, 2, 3, 4]]


def test_a_joined_list_holds_so_many_items_and_the_order_of_coming_stays():
    busy = Busy()
    assert meanwhile(Gatherer(most=3), busy, [[1, 2], [3, 4], [5]]) == [[0], [2, 4], [6, 8], [10]]
    assert busy.runs == [[0], [1, 2], [3, 4, 5]]


def test_a_longer_list_waits_for_nobody():
    busy, gatherer = Busy(), Gatherer(most=2)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gatherer.run, busy, [0])
        assert busy.began.wait(WAIT)
        assert gatherer.run(busy, [1, 2, 3]) == [2, 4, 6]
        busy.go.set()
        assert first.result(WAIT) == [0]


def test_an_error_reaches_only_its_caller():
    busy = Busy()
    first, one, bad, other = meanwhile(Gatherer(most=9), busy, [[1], ["bad"], [3]])
    assert (first, one, other) == ([0], [2], [6])
    assert isinstance(bad, ValueError)
    assert busy.runs == [[0], [1, "bad", 3], [1], ["bad"], [3]]


def test_a_function_that_loses_an_item_is_an_error():
    with pytest.raises(ValueError, match="one result an item, got 1 for 2"):
        Gatherer(most=4).run(lambda items: items[:1], [1, 2])


def test_who_waits_for_an_interrupted_leader_is_answered_by_the_next():
    class Interrupted(Busy):
        def __call__(self, items):
            found = super().__call__(items)
            if len(self.runs) == 2:
                raise KeyboardInterrupt
            return found

    gatherer = Gatherer(most=9)
    first, leader, *others = meanwhile(gatherer, Interrupted(), [[1], [2], [3]])
    assert isinstance(leader, KeyboardInterrupt)
    assert (first, others) == ([0], [[4], [6]])
    assert gatherer._running == 0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer that interrupts")
def test_nobody_waits_for_a_caller_that_was_interrupted():
    busy, gatherer = Busy(), Gatherer(most=9)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gatherer.run, busy, [0])
        assert busy.began.wait(WAIT)
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(KeyboardInterrupt):
                gatherer.run(busy, [1])
        finally:
            signal.signal(signal.SIGALRM, before)
        busy.go.set()
        assert first.result(WAIT) == [0]
    assert gatherer.run(busy, [2]) == [4]
    assert busy.runs == [[0], [2]]


async def test_a_coroutine_that_is_cancelled_disturbs_nobody():
    busy, gatherer = Busy(), Gatherer(most=9)
    tasks = [asyncio.create_task(asyncio.to_thread(gatherer.run, busy, [0]))]
    assert await asyncio.to_thread(busy.began.wait, WAIT)
    tasks += [asyncio.create_task(asyncio.to_thread(gatherer.run, busy, [i])) for i in (1, 2)]
    await asyncio.to_thread(until, lambda: len(gatherer._waiting) == 2)
    tasks[1].cancel()
    busy.go.set()
    first, cancelled, other = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, other) == ([0], [4])
    assert isinstance(cancelled, asyncio.CancelledError)
    assert gatherer.run(busy, [3]) == [6]


def test_two_lanes_are_two_runs_at_once():
    both, gatherer = threading.Barrier(2), Gatherer(most=9)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(gatherer.run, lambda items: [both.wait(WAIT)] and items, [i], lanes=2) for i in range(2)]
        assert [call.result(WAIT) for call in calls] == [[0], [1]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_process_forked_in_the_middle_of_a_run_waits_for_nobody():
    busy, gatherer = Busy(), Gatherer(most=9)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(gatherer.run, busy, [0])
        assert busy.began.wait(WAIT)
        child = os.fork()
        if not child:
            signal.alarm(WAIT)  # ends the child, should it wait for a thread that is not there
            os._exit(0 if gatherer.run(busy, [1]) == [2] else 1)
        assert os.waitpid(child, 0)[1] == 0
        busy.go.set()
        assert first.result(WAIT) == [0]


# --- encoders ---


@pytest.fixture
def counted(monkeypatch):
    """An encoder, how many queries each of its forward passes had, and what keeps the first of them under way."""
    encoder = tiny_models.encoder(tiny_models.ANY)
    forward, passes, began, go = encoder._forward, [], threading.Event(), threading.Event()

    def counting(slices, starts, task, width):
        passes.append(len(slices))
        began.set()
        assert go.wait(WAIT)
        return forward(slices, starts, task, width)

    monkeypatch.setattr(encoder, "_forward", counting)
    monkeypatch.setattr(encoder, "_lanes", lambda: 1)
    return encoder, passes, began, go


QUERIES = ["Who eats grass?", "When does the museum open in winter?", "Why?", "Where do swallows go?", "Who?", "What?"]


def test_queries_of_six_threads_are_one_pass_with_the_bits_of_each_alone(counted):
    encoder, passes, began, go = counted
    go.set()
    alone = [encoder.encode_queries([query])[0] for query in QUERIES]
    assert passes == [1] * 6
    passes.clear(), began.clear(), go.clear()
    with ThreadPoolExecutor(7) as pool:
        first = pool.submit(encoder.encode_queries, ["The first."])
        assert began.wait(WAIT)
        others = [pool.submit(encoder.encode_queries, [query]) for query in QUERIES]
        until(lambda: len(encoder._gatherer._waiting) == 6)
        go.set()
        first.result(WAIT)
        found = [each.result(WAIT)[0] for each in others]
    assert sum(passes) == 7
    assert len(passes) <= 4  # by widths of eight tokens; without gathering there are seven
    for one, other in zip(found, alone, strict=True):
        assert (one.text, one.tokens) == (other.text, other.tokens)
        assert (one.spans == other.spans).all()
        assert (one.vectors == other.vectors).all()
