"""Ports on the loopback interface: checked when given, found when not."""

import socket
from contextlib import ExitStack

from app.errors import PortInUse

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Return whether nobody listens on the port."""
    with socket.socket() as probe:
        # a connection that ended a moment ago still occupies its port for those who do not say this
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def require_free(port: int, *, server: str, setting: str) -> int:
    """Return the port, or say who wanted it and what to change."""
    if not is_free(port):
        raise PortInUse(
            f"Port {port} for {server} is in use by another program. Choose another with {setting}."
        )
    return port


def free_ports(count: int) -> tuple[int, ...]:
    """Return different ports that nobody listens on."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return tuple(probe.getsockname()[1] for probe in probes)


def preferred_or_free(preferred: int) -> int:
    """Return the usual port where it is free, another where it is not."""
    return preferred if is_free(preferred) else free_ports(1)[0]
