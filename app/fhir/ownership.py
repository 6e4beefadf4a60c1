"""Who owns what of an ImagingStudy: what others may write stays, what is Coregister's is put back.

Strategy: the version that Coregister last wrote, or looked at and found good, says how the owned elements have
to be; whatever a later version says there by somebody else's hand is damage. Every other element is left as it
is now: notes, codes, extensions, also those within a series or an instance.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.fhir.imaging_study import without_server_meta
from app.fhir.tables import code_system

OWN_EXTENSIONS = "urn:coregister:"  # how the URLs of Coregister's own extensions begin

OWNED = (
    "status", "modality", "started", "numberOfSeries", "numberOfInstances", "endpoint",
)  # fmt: skip
OWNED_OF_SERIES = ("uid", "modality", "started", "numberOfInstances")
OWNED_OF_INSTANCE = ("uid", "sopClass")


def damaged(current: Mapping[str, Any], good: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of owned elements in which a version differs from a good one before it."""
    found = [name for name in OWNED if current.get(name) != good.get(name)]
    if _study_identifiers(current) != _study_identifiers(good):
        found.append("identifier")
    if not _same_series(current.get("series", ()), good.get("series", ())):
        found.append("series")
    if _own_extensions(current) != _own_extensions(good):
        found.append("extension")
    return tuple(found)


def repaired(
    current: Mapping[str, Any], good: Mapping[str, Any], *, subject: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the current version with the owned elements of the good one, and this subject."""
    study = without_server_meta(current)
    _take(study, good, OWNED)
    study["subject"] = dict(subject)
    study["identifier"] = [
        *_study_identifiers(good),
        *(each for each in study.get("identifier", ()) if not _names_study(each)),
    ]
    study["series"] = _mended(
        study.get("series", ()), good.get("series", ()), OWNED_OF_SERIES, deep=True
    )
    _with_own_extensions(study, good)
    return {name: value for name, value in study.items() if value != []}


def subject_of(imaging_study: Mapping[str, Any]) -> str | None:
    """Return the reference of the subject where it is one to a Patient on this server."""
    reference = imaging_study.get("subject", {}).get("reference")
    if not isinstance(reference, str):
        return None
    kind, _, patient_id = reference.partition("/_history/")[0].partition("/")
    return f"Patient/{patient_id}" if kind == "Patient" and patient_id else None


def study_uid_of(identifiers: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the Study Instance UID that identifiers name."""
    for each in identifiers:
        value = each.get("value")
        if _names_study(each) and isinstance(value, str):
            return value.removeprefix("urn:oid:")
    return None


def _names_study(identifier: Mapping[str, Any]) -> bool:
    return identifier.get("system") == code_system("dicom_uid")


def _study_identifiers(study: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in study.get("identifier", ()) if _names_study(each)]


def _same_series(current: Sequence[Mapping[str, Any]], good: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether what is owned of the series is the same, in whatever order they are."""
    by_uid = {each.get("uid"): each for each in current}
    if len(current) != len(good) or by_uid.keys() != {each.get("uid") for each in good}:
        return False
    return all(
        _owned(by_uid[each["uid"]], OWNED_OF_SERIES) == _owned(each, OWNED_OF_SERIES)
        and _same_instances(by_uid[each["uid"]], each)
        for each in good
    )


def _same_instances(current: Mapping[str, Any], good: Mapping[str, Any]) -> bool:
    """Tell whether the lists are the same; a whole one may have been added where there was none."""
    listed, were = current.get("instance", ()), good.get("instance", ())
    if not were:
        return len(listed) in (0, good.get("numberOfInstances"))
    owned = [
        sorted((_owned(i, OWNED_OF_INSTANCE) for i in lists), key=repr) for lists in (listed, were)
    ]
    return owned[0] == owned[1]


def _owned(element: Mapping[str, Any], names: Iterable[str]) -> list[Any]:
    return [*(element.get(name) for name in names), _own_extensions(element)]


def _own_extensions(element: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in element.get("extension", ()) if _is_own(each)]


def _is_own(extension: Mapping[str, Any]) -> bool:
    return str(extension.get("url", "")).startswith(OWN_EXTENSIONS)


def _mended(
    current: Sequence[Mapping[str, Any]],
    good: Sequence[Mapping[str, Any]],
    owned: Sequence[str],
    *,
    deep: bool = False,
) -> list[dict[str, Any]]:
    """Return the elements of the good version, each with what others wrote into the one of its UID."""
    by_uid: dict[str, Mapping[str, Any]] = {}
    for each in current:
        by_uid.setdefault(each.get("uid", ""), each)
    mended = []
    for each in good:
        found = by_uid.get(each.get("uid", ""))
        element = dict(each if found is None else found)
        _take(element, each, owned)
        _with_own_extensions(element, each)
        if deep and not _same_instances(element, each):
            element["instance"] = _mended(
                element.get("instance", ()), each.get("instance", ()), OWNED_OF_INSTANCE
            )
            if not element["instance"]:
                del element["instance"]
        mended.append(element)
    return mended


def _take(element: dict[str, Any], good: Mapping[str, Any], names: Iterable[str]) -> None:
    """Set these elements as they are in the good version; what it has not is removed."""
    for name in names:
        element.pop(name, None)
        if name in good:
            element[name] = good[name]


def _with_own_extensions(element: dict[str, Any], good: Mapping[str, Any]) -> None:
    foreign = [each for each in element.get("extension", ()) if not _is_own(each)]
    element["extension"] = [*foreign, *_own_extensions(good)]
    if not element["extension"]:
        del element["extension"]
