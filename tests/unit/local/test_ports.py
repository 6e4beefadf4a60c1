"""Ports: different, free, and named when they are not."""

import socket
from collections.abc import Iterator

import pytest

from app.errors import PortInUse
from app.local.ports import free_ports, is_free, preferred_or_free, require_free


@pytest.fixture
def taken() -> Iterator[int]:
    """Listen on a port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)


def test_taken_port_is_named_with_who_wanted_it_and_what_to_change(taken: int) -> None:
    with pytest.raises(PortInUse, match=rf"Port {taken} for DICOMweb.*--port"):
        require_free(taken, server="DICOMweb", setting="--port")


def test_given_port_that_is_free_is_kept() -> None:
    (port,) = free_ports(1)

    assert require_free(port, server="FHIR", setting="--fhir-port") == port


def test_usual_port_is_taken_where_it_is_free_and_left_where_it_is_not(taken: int) -> None:
    (free,) = free_ports(1)

    assert preferred_or_free(free) == free
    assert preferred_or_free(taken) != taken


def test_port_whose_last_connection_just_ended_counts_as_free() -> None:
    """A server that is started again at once must not be refused its own port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()

    assert is_free(port)
