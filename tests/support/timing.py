"""The processor time of a call, for tests that compare two of them."""

import gc
import time
from collections.abc import Callable


def fastest(call: Callable[[], object], times: int = 7) -> float:
    """Return the least seconds of processor time that `call` takes of `times` tries.

    The garbage of earlier tests is collected first and no collection runs inside, so that a large
    heap of the test process does not count.
    """
    gc.collect()
    gc.disable()
    try:
        return min(_seconds(call) for _ in range(times))
    finally:
        gc.enable()


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
