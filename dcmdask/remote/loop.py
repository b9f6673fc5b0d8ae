"""Take coroutines; run them in one thread of this process, for whoever waits and for many at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

Result = TypeVar("Result")


@cache
def loop() -> asyncio.AbstractEventLoop:
    """Give the loop, which runs from the first time it is asked for."""
    made = asyncio.new_event_loop()
    threading.Thread(target=made.run_forever, daemon=True, name="dcmdask-remote").start()
    return made


def begin(coroutine: Coroutine[Any, Any, Result]) -> Future[Result]:
    """Begin a coroutine; give what will be its result."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop())
