"""The program of a worker process: reads a task, runs it, writes what came of it, until nobody asks."""

import os
import signal
import sys
from typing import Any

from app.errors import CoregisterError, Undecodable
from app.pixels.messages import packed, read_message, unpacked, write_message

_STDOUT, _STDERR = 1, 2


def serve() -> None:
    """Serve the tasks that come on standard input."""
    memory_bytes, seconds = int(sys.argv[2]), int(sys.argv[3])
    replies = os.fdopen(os.dup(_STDOUT), "wb")
    os.dup2(_STDERR, _STDOUT)  # what a codec prints must not get between the messages
    _limit(memory_bytes)
    while True:
        try:
            message = read_message(sys.stdin.buffer)
        except EOFError:
            return  # the server is gone
        reply = _answer(message, seconds)
        try:
            write_message(replies, reply)
        except BrokenPipeError:
            os._exit(0)  # the server is gone; leaving in order would try to write again


def _limit(memory_bytes: int) -> None:
    """Let the process have so much memory and no core dump, which would hold patient data."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(message: bytes, seconds: int) -> bytes:
    """Return the reply: whether the task has a result, and that or its error."""
    _alarm(seconds)
    try:
        task, args, kwargs = unpacked(message)
        return packed((True, task(*args, **kwargs)))
    except CoregisterError as error:
        return packed((False, error))
    except MemoryError:
        return _undecodable("The pixel data need more memory than the limit pixel_memory_bytes.")
    except Exception as error:  # noqa: BLE001 - whatever a codec does with strange bytes
        return _undecodable(f"The pixel data cannot be worked on ({type(error).__name__}).")
    finally:
        _alarm(0)


def _undecodable(message: str) -> bytes:
    reply: tuple[bool, Any] = (False, Undecodable(message))
    return packed(reply)


def _alarm(seconds: int) -> None:
    """Have the system end this process after so many seconds, wherever it is then; 0 is never."""
    if sys.platform != "win32":
        signal.alarm(seconds)
