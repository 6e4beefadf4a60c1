"""What dicom2fhir, a converter by others, makes of every file that packages bring, beside what is made here.

Every difference is of a kind that `EXPLAINED` has a reason for; one that it does not know fails the test, and
so does a reason that no file needs any more. How often each was found is a table of docs/fhir/mapping.md, which
the test makes.
"""

import asyncio
import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from dicom2fhir import dicom2fhirbundle
from dicom2fhir.dicom2fhir import from_generator
from pydicom import dcmread

from app.dicom.instance import InstanceRecord
from app.dicom.part10 import read_instance
from app.errors import CoregisterError
from app.fhir.commit_marks import CommitMarks
from app.fhir.device import device_resource
from app.fhir.identifiers import IdentifierSystems
from app.fhir.imaging_study import merge_imaging_study
from app.fhir.patient import patient_key, patient_resource
from app.limits import Limits
from tests.e2e.real_files import RealFile, as_sent, installed_folders, real_files

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fhir" / "mapping.md"
REGION = re.compile(r"(<!-- measured:dicom2fhir -->\n).*?(<!-- /measured -->)", re.DOTALL)
TIME_ZONE = "Europe/Vienna"
CONFIGURATION = {
    "dicom_timezone": TIME_ZONE,
    "id_function": lambda resource_type, *_: resource_type.lower(),
    "generator": {
        "imaging_study": {"add_instances": True},
        "observation": {"add_vital_signs": False},
    },
}
SYSTEMS = IdentifierSystems("urn:p", "urn:i:", "urn:a")
HERE, THERE, BOTH = "only here", "only there", "both, not the same"

Facts = dict[str, Any]
EXPLAINED: Mapping[tuple[str, str], str] = {
    (
        "Device.manufacturer",
        THERE,
    ): "A device that tells neither a serial number nor a UID could be any of its "
    "model: here it is named as a performer of the series, and no Device is made.",
    (
        "Patient.birthDate",
        HERE,
    ): "Its dates cannot be made with the fhir.resources that is current.",
    ("Patient.gender", THERE): "Without a PatientSex it says `unknown`; here nothing is said.",
    ("Patient.name", BOTH): "It takes the DICOM JSON of the name for the name.",
    ("Patient.name", THERE): "The same, where there is no name.",
    (
        "instance.title",
        HERE,
    ): "It has a title for structured reports only; here ImageType is one too.",
    (
        "procedureCode",
        BOTH,
    ): "It takes the coding scheme designator for the system, which has to be a URI, and "
    "leaves the code out.",
    ("reasonCode", HERE): "It looks for reasons in ReferencedRequestSequence alone.",
    (
        "series.bodySite",
        BOTH,
    ): "CHEST is 43799004 in the edition of PS3.16 that it was made from, and 816094009 "
    "in the current one; and what PS3.16 does not list is a code there, here a display.",
    (
        "series.bodySite",
        HERE,
    ): "Here AnatomicRegionSequence and functional groups are read as well.",
    ("series.laterality", BOTH): "Here it is coded in SNOMED CT.",
    (
        "series.started",
        BOTH,
    ): "It knows no TimezoneOffsetFromUTC and cuts fractions of a second off.",
    (
        "series.started",
        HERE,
    ): "Here a date without a time is a date, and the time of acquisition stands in for "
    "that of the series.",
    (
        "started",
        BOTH,
    ): "It knows no TimezoneOffsetFromUTC, cuts fractions of a second off, and takes a time with "
    "colons, as ACR-NEMA wrote it, for midnight.",
}

# what has to be the same all the same, where both have a value
SAME: Mapping[str, Callable[[Any], Any]] = {
    "started": lambda value: value[: len("2000-01-01")],
    "series.started": lambda value: value[: len("2000-01-01T00:00:00")],
    "series.laterality": lambda coding: (coding[2] or coding[1])[0],
    "series.bodySite": lambda coding: coding[2] or coding[1],
    "procedureCode": lambda concepts: [coding[2] for codings in concepts for coding in codings],
    "Patient.name": lambda names: len(names) > 0,
}


@pytest.fixture(autouse=True)
def without_extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave its extensions out: none can be compared, and it cannot make them with today's fhir.resources."""
    _leave_extensions_out(monkeypatch)


def _leave_extensions_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in vars(dicom2fhirbundle).items():
        if name.startswith("extension_"):
            monkeypatch.setattr(module, "create_extension", lambda _: None)


def test_every_difference_has_a_reason() -> None:
    found, compared, failed = _differences()
    counted = Counter((element, kind) for element, kind, *_ in found)
    unexplained = [each for each in found if each[:2] not in EXPLAINED]
    unexplained += [e for e in found if e[1] == BOTH and SAME[e[0]](e[2]) != SAME[e[0]](e[3])]

    assert compared > 200
    assert not unexplained[:20]
    assert set(EXPLAINED) == set(counted)
    _write(counted, compared, failed)


def _write(counted: Mapping[tuple[str, str], int], compared: int, failed: int) -> None:
    rows = [f"{compared} files were compared; {failed} more it gives up on.\n"]
    rows += ["| Element | Which has it | Files | Why |", "| --- | --- | --- | --- |"]
    for (element, kind), why in sorted(EXPLAINED.items()):
        rows.append(f"| `{element}` | {kind} | {counted[element, kind]} | {why} |")
    table = "".join(f"{row}\n" for row in rows)
    text = PAGE.read_text("utf-8")
    now = REGION.sub(lambda found: f"{found[1]}\n{table}\n{found[2]}", text)
    if now != text:
        PAGE.write_text(now, "utf-8")
    assert now == text, f"{PAGE.name} was out of date; it is written anew: look at it"


def _differences() -> tuple[list[tuple[str, str, Any, Any, str]], int, int]:
    """Return what differs, how many files were compared, and how many the other one cannot convert."""
    found = []
    compared = failed = 0
    for file, record, data in _readable():
        theirs = _converted_by_others(data)
        if theirs is None:
            failed += 1
            continue
        compared += 1
        ours = _converted_here(record)
        for element in sorted(ours.keys() | theirs.keys()):
            one, other = ours.get(element), theirs.get(element)
            if one != other:
                kind = HERE if other is None else THERE if one is None else BOTH
                found.append((element, kind, one, other, file.name))
    return found, compared, failed


def _readable() -> Iterator[tuple[RealFile, InstanceRecord, bytes]]:
    for file in real_files(installed_folders()):
        data = as_sent(file.path)
        try:
            yield file, read_instance(data, Limits()), data
        except CoregisterError:
            continue


def _converted_here(record: InstanceRecord) -> Facts:
    study = merge_imaging_study(
        None, [record], patient="Patient/p", endpoints=["Endpoint/e"], limits=Limits(),
        systems=SYSTEMS, time_zone=TIME_ZONE, commit=CommitMarks(()),
    )  # fmt: skip
    key = patient_key(record.attributes, SYSTEMS, record.study_instance_uid)
    patient = patient_resource(record.attributes, key, SYSTEMS)
    return _facts(study, patient, device_resource(record.attributes) or {})


def _converted_by_others(data: bytes) -> Facts | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom thinks of its own test files
        logging.disable(logging.CRITICAL)
        try:
            model = dcmread(io.BytesIO(data), force=True).to_json_dict()

            async def one() -> AsyncGenerator[dict[str, Any], None]:
                yield model

            made = asyncio.run(from_generator(one(), dict(CONFIGURATION)))
            bundle = orjson.loads(made.model_dump_json())
        except Exception:  # noqa: BLE001 - whatever it cannot convert
            return None
        finally:
            logging.disable(logging.NOTSET)
    resources = {each["resource"]["resourceType"]: each["resource"] for each in bundle["entry"]}
    return _facts(resources["ImagingStudy"], resources["Patient"], resources["Device"])


def _facts(study: Any, patient: Any, device: Any) -> Facts:
    """Return what resources say, without what the two word differently on purpose: systems and types of ids."""
    (series,) = study["series"]
    (instance,) = series["instance"]
    facts = {
        "identifier": sorted(i["value"] for i in study["identifier"]),
        **{name: study.get(name) for name in ("status", "description", "started")},
        "modality": [c.get("code") for c in study.get("modality", ())] or None,
        "numberOfInstances": study.get("numberOfInstances"),
        "procedureCode": _concepts(study.get("procedureCode")),
        "reasonCode": _concepts(study.get("reasonCode")),
        "series.modality": series.get("modality", {}).get("code"),
        "series.bodySite": _coding(series.get("bodySite")),
        "series.laterality": _coding(series.get("laterality")),
        **{
            f"series.{name}": series.get(name)
            for name in ("uid", "number", "description", "started")
        },
        **{f"instance.{name}": instance.get(name) for name in ("uid", "number", "title")},
        "instance.sopClass": instance["sopClass"]["code"],
        "Patient.identifier": [i.get("value") for i in patient.get("identifier", ())][:1],
        "Patient.name": _names(patient),
        **{f"Patient.{name}": patient.get(name) for name in ("gender", "birthDate")},
        **{f"Device.{name}": device.get(name) for name in ("manufacturer",)},
    }
    return {name: value for name, value in facts.items() if value not in (None, [], "")}


def _concepts(concepts: Any) -> list[Any]:
    return [
        [_coding(c) for c in each.get("coding", ())] or each.get("text") for each in concepts or ()
    ]


def _coding(coding: Any) -> Any:
    return coding and (coding.get("system"), coding.get("code"), coding.get("display"))


def _names(patient: Any) -> list[Any]:
    names = patient.get("name", ())
    return [
        [
            name.get("family"),
            *name.get("given", ()),
            *name.get("prefix", ()),
            *name.get("suffix", ()),
        ]
        for name in names
    ]
