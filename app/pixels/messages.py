"""How a server and its worker processes talk: each message is its length and a pickled value."""

import pickle
from struct import Struct
from typing import IO, Any

_LENGTH = Struct("<Q")


def packed(value: Any) -> bytes:
    """Return the bytes of a value."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def unpacked(message: bytes) -> Any:
    """Return the value of a message; both ends are this program, run by the same user."""
    return pickle.loads(message)  # noqa: S301


def write_message(stream: IO[bytes], message: bytes) -> None:
    """Write a message. Raises OSError where the other end is gone."""
    stream.write(_LENGTH.pack(len(message)))
    stream.write(message)
    stream.flush()


def read_message(stream: IO[bytes]) -> bytes:
    """Return the next message. Raises EOFError where the other end is gone."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    message = stream.read(length)
    if len(message) < length:
        raise EOFError
    return message
