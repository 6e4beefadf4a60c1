"""The numbers of orders in an ImagingStudy: identifiers of the study, and references to the orders.

They are added to what stands there, and never taken out: a study may fulfil several orders. What others
wrote comes first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.fhir.authorship import forget
from app.fhir.tables import code_system

Element = Mapping[str, Any]  # an Identifier, or a Reference that has one


def with_accessions(
    present: Sequence[Element], named: Sequence[Element], most: int
) -> list[Element]:
    """Return identifiers, or references to orders, with those that objects name, each once.

    Of those that were made here no more than `most` are kept.
    """
    there = {_key(each) for each in present}
    added = [each for each in named if _key(each) not in there]
    if not added:
        return list(present)
    ours = {_key(each): each for each in (*present, *added) if each in added or made_here(each)}
    theirs = [each for each in present if not made_here(each)]
    return [*theirs, *(ours[key] for key in sorted(ours)[:most])]


def revived(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study whose objects were all deleted, without what was made from them.

    What is stored again under its UID may be of another order, and of another patient.
    """
    made = dict(study)
    made.pop("started", None)
    for element in ("identifier", "basedOn"):
        made[element] = [each for each in made.get(element, ()) if not made_here(each)]
        if not made[element]:
            del made[element]
    forget(made)
    return made


def made_here(element: Element) -> bool:
    """Tell whether an identifier is of a type that no others give: two codes or a text."""
    kind = element.get("identifier", element).get("type")
    if not isinstance(kind, Mapping):  # a reference without an identifier, whose type is a word
        return False
    pairs = {(c.get("system"), c.get("code")) for c in kind.get("coding", ())}
    return pairs == _accession_number() or kind.get("text") == "Study ID"


def _accession_number() -> set[tuple[str, str]]:
    return {(code_system("identifier_type"), "ACSN"), (code_system("dicom"), "121022")}


def _key(element: Element) -> tuple[str, str]:
    identifier = element.get("identifier", element)
    return identifier.get("system", ""), identifier.get("value", "")
