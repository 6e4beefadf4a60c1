import xml.etree.ElementTree as ET

import pytest

from app.web.capabilities import transactions, wadl
from app.web.routes import CAPABILITIES, DICOMWEB

NAMESPACE = "{http://wadl.dev.java.net/2009/02}"


def test_every_handler_of_a_path_has_a_transaction_and_none_is_left_over() -> None:
    assert {route.endpoint.__name__ for route in DICOMWEB} == set(transactions())


def test_every_path_answers_options() -> None:
    assert {route.path for route in CAPABILITIES} == {"/", *(route.path for route in DICOMWEB)}


def test_the_description_names_every_method_of_every_path_with_its_media_types() -> None:
    root = ET.fromstring(wadl("http://pacs.test/dicom-web", DICOMWEB))  # noqa: S314  our own
    (resources,) = root
    assert resources.get("base") == "http://pacs.test/dicom-web/"
    described = {
        (resource.get("path"), method.get("name"), method.get("id"))
        for resource in resources
        for method in resource.iter(f"{NAMESPACE}method")
    }
    assert described == {
        (route.path.lstrip("/"), method, transactions()[route.endpoint.__name__].name)
        for route in DICOMWEB
        for method in (route.methods or set()) - {"HEAD"}
    }
    frames = next(r for r in resources if (r.get("path") or "").endswith("frames/{frames}"))
    template = [p.get("name") for p in frames if p.tag == f"{NAMESPACE}param"]
    assert template == ["study", "series", "instance", "frames"]
    sent = [each.get("mediaType") for each in frames.iter(f"{NAMESPACE}representation")]
    assert 'multipart/related; type="image/jls"' in sent


@pytest.mark.parametrize("name", sorted(transactions()))
def test_a_transaction_names_what_clients_see(name: str) -> None:
    transaction = transactions()[name]
    assert transaction.name.isidentifier()
    assert all("/" in each for each in (*transaction.takes, *transaction.sends))
