"""Ports on the loopback interface: checked when given, found when not."""

import socket
from collections.abc import Container
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from app.errors import PortInUse

LOOPBACK = "127.0.0.1"
USUAL_ELASTICSEARCH_PORT = 9200
USUAL_FHIR_PORT = 8081


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the services of a stack listen."""

    elasticsearch: int
    fhir: int
    dicomweb: int | None = None  # without one, Coregister itself is not run

    @classmethod
    def free(cls) -> Self:
        """Return ports for the two servers behind that nobody listens on."""
        return cls(*free_ports(2))

    @classmethod
    def chosen(cls, *, elasticsearch: int | None, fhir: int | None, dicomweb: int | None) -> Self:
        """Return the given ports, which must be free, and the usual or free ones for the others."""
        wanted = {"Elasticsearch": elasticsearch, "FHIR": fhir, "DICOMweb": dicomweb}
        settings = {"DICOMweb": "--port or COREGISTER_PORT"}
        given: dict[int, str] = {}
        for server, port in wanted.items():
            if port is None:
                continue
            if port in given:
                raise PortInUse(f"Port {port} is given to both {given[port]} and {server}.")
            setting = settings.get(server, f"--{server.lower()}-port")
            given[require_free(port, server=server, setting=setting)] = server
        return cls(
            elasticsearch=elasticsearch or _usual_or_free(USUAL_ELASTICSEARCH_PORT, given),
            fhir=fhir or _usual_or_free(USUAL_FHIR_PORT, given),
            dicomweb=dicomweb,
        )


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


def _usual_or_free(usual: int, given: Container[int]) -> int:
    return usual if usual not in given and is_free(usual) else free_ports(1)[0]
