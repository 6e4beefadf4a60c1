"""Ports: different, free, and named when they are not."""

import socket
from collections.abc import Iterator

import pytest

from app.errors import PortInUse
from app.local.ports import Ports, free_ports, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    """Listen on a port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)


@pytest.mark.parametrize(
    ("given", "server", "setting"),
    [
        ("elasticsearch", "Elasticsearch", "--elasticsearch-port"),
        ("fhir", "FHIR", "--fhir-port"),
        ("dicomweb", "DICOMweb", "--port or COREGISTER_PORT"),
    ],
)
def test_taken_port_is_named_with_who_wanted_it_and_what_to_change(
    taken: int, given: str, server: str, setting: str
) -> None:
    wanted = {"elasticsearch": None, "fhir": None, "dicomweb": None, given: taken}

    with pytest.raises(PortInUse, match=rf"Port {taken} for {server} .*{setting}\."):
        Ports.chosen(**wanted)


def test_given_ports_that_are_free_are_kept() -> None:
    elasticsearch, fhir, dicomweb = free_ports(3)

    ports = Ports.chosen(elasticsearch=elasticsearch, fhir=fhir, dicomweb=dicomweb)

    assert ports == Ports(elasticsearch, fhir, dicomweb)


def test_port_given_twice_is_refused_before_two_servers_fight_for_it() -> None:
    (port,) = free_ports(1)

    with pytest.raises(PortInUse, match="both Elasticsearch and DICOMweb"):
        Ports.chosen(elasticsearch=port, fhir=None, dicomweb=port)


def test_usual_port_is_taken_where_it_is_free_and_left_where_it_is_not(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (usual,) = free_ports(1)
    monkeypatch.setattr("app.local.ports.USUAL_ELASTICSEARCH_PORT", taken)
    monkeypatch.setattr("app.local.ports.USUAL_FHIR_PORT", usual)

    ports = Ports.chosen(elasticsearch=None, fhir=None, dicomweb=None)

    assert ports.fhir == usual
    assert ports.elasticsearch != taken


def test_usual_port_is_left_to_the_server_that_it_was_given_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (usual,) = free_ports(1)
    monkeypatch.setattr("app.local.ports.USUAL_FHIR_PORT", usual)

    ports = Ports.chosen(elasticsearch=None, fhir=None, dicomweb=usual)

    assert ports.dicomweb == usual
    assert ports.fhir != usual


def test_port_whose_last_connection_just_ended_counts_as_free() -> None:
    """A server that is started again at once must not be refused its own port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()

    assert is_free(port)
