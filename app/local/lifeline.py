"""Lets a process notice that the one which started it is gone, however that one ended."""

import os
import threading
from collections.abc import Callable

STDIN = 0


def on_parent_gone(action: Callable[[], None]) -> None:
    """Call `action` in a thread once standard input is closed: the parent holds its other end."""

    def watch() -> None:
        while os.read(STDIN, 1):
            pass  # nothing is ever said on it
        action()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
