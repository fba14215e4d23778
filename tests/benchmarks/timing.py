"""Timing in one process: every figure is a median after a warm-up, and a ratio is taken between neighbors in time."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_RUNS = 200
# A call that takes longer than this many seconds is timed once: its spread is small beside it.
LONG = 5.0


@dataclass(frozen=True)
class Timing:
    """What repeated calls took (median), how many there were, and what the last one returned."""

    seconds: float
    runs: int
    result: object


def first_call(work: Callable[[], object]) -> float:
    """Make the first call, with whatever it compiles and loads; return its seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(
    work: Callable[..., object], before_each: Callable[[], object] | None = None, budget: float = 2.0
) -> Timing:
    """Time a call that has been made before: at least three times (once if it is long), and as often as the budget allows.

    Args:
        work: what is timed; gets what ``before_each`` returned, if that is given.
        before_each: called before each call, outside of the clock.
        budget: seconds to spend on the timed calls.
    """
    times: list[float] = []
    fewest = 1
    while len(times) < fewest or (sum(times) < budget and len(times) < MOST_RUNS):
        made = [before_each()] if before_each else []
        start = time.perf_counter()
        result = work(*made)
        times.append(time.perf_counter() - start)
        fewest = 1 if times[0] > LONG else 3
    return Timing(statistics.median(times), len(times), result)


@dataclass(frozen=True)
class Beside:
    """A rival's timing, and ours before and after it."""

    rival: Timing
    before: Timing
    after: Timing

    @property
    def ours(self) -> float:
        """Our seconds beside the rival: the mean of before and after."""
        return (self.before.seconds + self.after.seconds) / 2


def beside(ours: Callable[[], Timing], rival: Callable[[], Timing]) -> Beside:
    """Measure ours right before and right after a rival.

    The speed of a shared machine drifts by tens of per cent within a minute; only neighbors in time can be compared.
    """
    before = ours()
    timing = rival()
    return Beside(timing, before, ours())
