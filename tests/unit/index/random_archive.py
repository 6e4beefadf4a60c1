"""Random studies, and random queries about them that hit often enough to tell something."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.dicom.instance import InstanceRecord, StoredInstance

NAMES = [
    "Smith^John",
    "SMITH^Jane^^^",
    "Müller^Jürgen",
    "Mueller^J",
    "Łukasz^Ola",
    "O'Brien^Pat",
    "Yamada",
]
TEXTS = ["", "a", "ab", "aB*c", "abc", "b a", "CHEST 1.0", "x=y", 'q"u', "back\\slash", "50 %"]
NUMBERS = [-1.5, -1, 0, 0.25, 1, 2, 10, 100, 512, 1e6, -1e-3]
DATES = ["20200101", "20200131", "20210630", "20211231", "1999"]
TIMES = ["10", "1030", "103015", "103015.5", "235959.999999", "000000"]
DATE_TIMES = ["2020", "202001", "20200101103000", "20200101103000.5+0200", "20191231233000-0500"]
CODES = ["CT", "MR", "SR", "PT"]
CREATORS = ["ACME 1.0", 'ODD "QUOTED".NAME', "OTHER"]
SEQUENCE, INNER = "00400275", "00400008"


def uid(rng: random.Random) -> str:
    """Return a UID."""
    return f"2.25.{rng.getrandbits(100)}"


def instance(rng: random.Random, study: str, series: str, number: int) -> StoredInstance:
    """Return an instance with random attributes."""
    sop = uid(rng)
    sop_class = f"1.2.840.10008.5.1.4.1.1.{rng.randrange(1, 4)}"
    attributes: dict[str, Any] = {
        "00080016": element("UI", sop_class),
        "00080018": element("UI", sop),
        "00080060": element("CS", rng.choice(CODES)),
        "0020000D": element("UI", study),
        "0020000E": element("UI", series),
        "00200013": element("IS", number),
    }
    candidates: dict[str, Any] = {
        "00080020": element("DA", rng.choice(DATES)),
        "00080030": element("TM", rng.choice(TIMES)),
        "0008002A": element("DT", rng.choice(DATE_TIMES)),
        "00080008": element("CS", *rng.sample(["ORIGINAL", "PRIMARY", "AXIAL", "MPR"], 2)),
        "00081030": element("LO", rng.choice(TEXTS)),
        "0008103E": element("LO", rng.choice(TEXTS)),
        "00100010": name(rng),
        "00100020": element("LO", rng.choice(["P1", "P2", "p1"])),
        "00104000": element("LT", rng.choice(TEXTS)),
        "00180050": element("DS", rng.choice(NUMBERS)),
        "00204000": element("LT", rng.choice(["short", "long " * 500])),
        "00280010": element("US", rng.choice([64, 512])),
        "00200032": element("DS", *rng.choices(NUMBERS, k=3)),
        SEQUENCE: sequence(rng, depth=0),
        "00081140": {"vr": "SQ", "Value": [{}]},
    }
    for tag, each in candidates.items():
        if rng.random() < 0.75:
            attributes[tag] = each if rng.random() < 0.9 else {"vr": each["vr"]}
    attributes |= private(rng)
    record = InstanceRecord(
        study, series, sop, sop_class, "1.2.840.10008.1.2.1", dict(sorted(attributes.items()))
    )
    return StoredInstance(
        record, f"{study}/{series}/{sop}", 1, "0" * 64, "1", "2026-01-01T00:00:00Z"
    )


def element(vr: str, *values: Any) -> dict[str, Any]:
    """Return an element of the DICOM JSON Model."""
    return {"vr": vr, "Value": list(values)}


def name(rng: random.Random) -> dict[str, Any]:
    """Return a person name, sometimes in two scripts."""
    groups = {"Alphabetic": rng.choice(NAMES)}
    if rng.random() < 0.2:
        groups["Ideographic"] = "山田^太郎"
    return {"vr": "PN", "Value": [groups]}


def sequence(rng: random.Random, *, depth: int) -> dict[str, Any]:
    """Return a sequence of up to three items, nested once."""
    items = []
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        item: dict[str, Any] = {}
        if rng.random() < 0.8:
            item["00400009"] = element("SH", rng.choice(["A", "B"]))
        if rng.random() < 0.8:
            item["00401001"] = element("SH", rng.choice(["1", "2"]))
        if depth == 0 and rng.random() < 0.6:
            item[INNER] = sequence(rng, depth=1)
        items.append(item)
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def private(rng: random.Random) -> dict[str, Any]:
    """Return private elements of a creator whose block lies anywhere."""
    block = rng.choice(["10", "11", "E0"])
    value = rng.choice(
        [element("LO", rng.choice(TEXTS)), element("DS", 2), element("DA", "20200101"), name(rng)]
    )
    return {f"000900{block}": element("LO", rng.choice(CREATORS)), f"0009{block}01": value}


@dataclass(frozen=True, slots=True)
class Archive:
    """Studies: series: their instances, in the order they were stored."""

    studies: dict[str, dict[str, list[StoredInstance]]] = field(default_factory=dict)

    def instances(self) -> Iterable[StoredInstance]:
        """Yield every instance."""
        for series in self.studies.values():
            for instances in series.values():
                yield from instances


def archive(rng: random.Random, studies: int) -> Archive:
    """Return a random archive."""
    made = Archive()
    for _ in range(studies):
        study = uid(rng)
        series = {uid(rng): rng.randrange(1, 5) for _ in range(rng.randrange(1, 4))}
        made.studies[study] = {
            each: [instance(rng, study, each, number) for number in range(count)]
            for each, count in series.items()
        }
    return made


def latest(instances: Iterable[StoredInstance], tags: Iterable[str]) -> dict[str, Any]:
    """Return the attributes that the latest instance with a value gives."""
    merged: dict[str, Any] = {}
    for stored in instances:
        for tag in tags:
            value = stored.record.attributes.get(tag)
            if value is not None and (tag not in merged or len(value) > 1):
                merged[tag] = value
    return merged


def parameters(rng: random.Random, made: Archive) -> list[tuple[str, str]]:
    """Return the parameters of a random query."""
    creator = rng.choice(CREATORS)
    several = rng.choice(list(made.studies))
    series = rng.choice(list(made.studies[several]))
    pick = rng.choice
    item, inner = f"{SEQUENCE}.", f"{SEQUENCE}.{INNER}."
    keys: list[Mapping[str, str]] = [
        {"00100010": pick(["smith*", "*j*", "MULLER^jurgen", "Smith^John", "*^*", "yamada^*"])},
        {"00100010": pick(["*=山*", "Yamada=山田^太郎", "山田*"])},
        {"00100020": pick(["P1", "p*", "P?", '""', ""])},
        {"00080020": pick(["20200101", "20200101-20201231", "-20200131", "20210101-"])},
        {"00080030": pick(["10", "1030-", "103015", "-1030", "1031-2359"])},
        {"0008002A": pick(["2020", "202001-", "-20200101083000+0000", "2019-2020"])},
        {"0008002A": pick(["20200101100000+0200-20200101120000+0200"])},
        {"00081030": pick([*TEXTS, "a*", "*b*", "?b*", "*\\*", '*"*', "*=*"])},
        {"0008103E": pick([*TEXTS, "*1.0", '""'])},
        {"00080060": pick(["CT", "C?", "CT,MR", "SR\\PT"])},
        {"00080061": pick(["CT", "CT,MR", "CT\\MR", "P*"])},
        {"00201206": pick(["1", "2-", "1-2"])},
        {"00201208": pick(["1-3", "4-"])},
        {"00201209": pick(["1", "2-"])},
        {"00080008": pick(["ORIGINAL", "ORIGINAL\\AXIAL", "*PR*"])},
        {"00180050": pick(["1", "1.0", "0-1", "-1.5-0", "2-", '""'])},
        {"00280010": pick(["64", "100-"])},
        {"00200032": pick(["100", "-1--0.5"])},
        {item + "00400009": pick(["A", "B", "*"]), item + "00401001": pick(["1", "2"])},
        {
            item + "00400009": "A",
            inner + "00400009": pick(["A", "?"]),
            inner + "00401001": pick(["1", "2"]),
        },
        {inner + "00400009": "A", inner + "00401001": "2"},
        {item + "00400009": '""', item + "00401001": "1"},
        {inner + "00401001": "2"},
        {
            "00090010": creator,
            "00091001": pick([*TEXTS, "2", "20200101", "smith*", "*"]),
        },
        {"00090010": creator},
        {"0020000D": "\\".join(rng.sample(list(made.studies), 3))},
        {"0020000E": series},
    ]
    merged: dict[str, str] = {}
    for each in rng.sample(keys, rng.choice([1, 1, 2, 3])):
        merged |= each
    options = [("emptyvaluematching", "true"), ("limit", "1000")]
    if rng.random() < 0.2:
        options.append(("fuzzymatching", "true"))
    if rng.random() < 0.3:
        options.append(("multiplevaluematching", "true"))
    return [*merged.items(), *options]
