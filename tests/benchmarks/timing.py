"""Timing in one process: every figure is the median of several runs after a warm-up; ratios are taken within one call."""

import statistics
import time
from collections.abc import Callable


def median_seconds(work: Callable[[], object], runs: int = 7, warm_up: int = 2) -> float:
    """Return the median wall time of a call, in seconds."""
    for _ in range(warm_up):
        work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
