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
    "Muller^Juergen",
    "O'Brien^Pat",
    "Yamada^Tarou",
    "やまだ^たろう",
    "Иванов^Иван",
    "Strauß^Åse",
    "Maier^Jo",
]
TEXTS = ["", "a", "ab", "aB*c", "abc", "b a", "CHEST 1.0", "x=y", 'q"u', "50 %", "Größe", "頭部"]
LONG_TEXTS = [*TEXTS, "back\\slash"]  # in a text of one value a backslash is itself
NUMBERS = [-1.5, -1, 0, 0.25, 1, 2, 10, 100, 512, 1e6, -1e-3]
DATES = ["20200101", "20200131", "20210630", "20211231", "1999"]
TIMES = ["10", "1030", "103015", "103015.5", "235959.999999", "000000"]
DATE_TIMES = ["2020", "202001", "20200101103000", "20200101103000.5+0200", "20191231233000-0500"]
CODES = ["CT", "MR", "SR", "PT"]
CREATORS = ["ACME 1.0", 'ODD "QUOTED".NAME', "OTHER"]
NOT_VALID = ["20201399", "soon"]
SEQUENCE, INNER, INNERMOST = "00400275", "00400008", "0040A043"
NAME_CODE, VALUE_CODE = "00081032", "0040A168"  # sequences of one item each


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
        "00080020": element("DA", rng.choice([*DATES, *NOT_VALID[:1]])),
        "00080021": element("DA", rng.choice(DATES)),
        "00080031": element("TM", rng.choice(TIMES)),
        "00080022": element("DA", rng.choice([*DATES, *NOT_VALID])),
        "00080032": element("TM", rng.choice([*TIMES, *NOT_VALID])),
        "00101000": element("LO", *rng.choices(["P1", "P2", "p1", "a b"], k=2)),
        "00101001": {"vr": "PN", "Value": name(rng)["Value"] + name(rng)["Value"]},
        "00280009": element("AT", rng.choice(["00181063", "0018106A"])),
        "00189073": element("FD", rng.choice([*NUMBERS, "NaN", "inf"])),
        "00081195": element("UI", rng.choice(["1.2", "1.3"])),
        "00109999": rng.choice([element("LO", rng.choice(TEXTS)), element("DA", "20200131")]),
        "00080030": element("TM", rng.choice(TIMES)),
        "0008002A": element("DT", rng.choice(DATE_TIMES)),
        "00080008": element("CS", *rng.sample(["ORIGINAL", "PRIMARY", "AXIAL", "MPR"], 2)),
        "00081030": element("LO", rng.choice(TEXTS)),
        "0008103E": element("LO", rng.choice(TEXTS)),
        "00100010": name(rng),
        "00100020": element("LO", rng.choice(["P1", "P2", "p1"])),
        "00104000": element("LT", rng.choice(LONG_TEXTS)),
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
    """Return a sequence of up to three items, nested twice."""
    items = []
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        item: dict[str, Any] = {}
        if rng.random() < 0.8:
            item["00400009"] = element("SH", rng.choice(["A", "B"]))
        if rng.random() < 0.8:
            item["00401001"] = element("SH", *rng.choices(["1", "2"], k=rng.choice([1, 1, 2])))
        if rng.random() < 0.3:
            item["00081050"] = name(rng)
        if rng.random() < 0.5:
            item["00400002"] = element("DA", rng.choice(DATES))
            item["00400003"] = element("TM", rng.choice(TIMES))
        if rng.random() < 0.3:
            item |= private(rng)
        item |= {tag: code(rng) for tag in (NAME_CODE, VALUE_CODE) if rng.random() < 0.5}
        deeper = (INNER, INNERMOST)[depth : depth + 1]
        for tag in deeper:
            if rng.random() < 0.6:
                item[tag] = sequence(rng, depth=depth + 1)
        items.append(dict(sorted(item.items())))
    return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}


def code(rng: random.Random) -> dict[str, Any]:
    """Return a code sequence."""
    value, scheme = element("SH", rng.choice(["X", "Y"])), element("SH", rng.choice(["S1", "S2"]))
    return {"vr": "SQ", "Value": [{"00080100": value, "00080102": scheme}]}


def private(rng: random.Random) -> dict[str, Any]:
    """Return private elements of a creator whose block lies anywhere."""
    block = rng.choice(["10", "11", "E0"])
    value = rng.choice(
        [
            element("LO", rng.choice(TEXTS)),
            element("DS", 2),
            element("DA", "20200101"),
            element("TM", "1030"),
            element("UI", "1.2.3"),
            name(rng),
        ]
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
    several = rng.choice(list(made.studies))
    uids = {
        "0020000D": "\\".join(rng.choices(list(made.studies), k=3)),
        "0020000E": rng.choice(list(made.studies[several])),
    }
    options = [("emptyvaluematching", "true"), ("limit", "1000")]
    counts = counted_keys(rng) + [{tag: uid} for tag, uid in uids.items()]
    merged = together(rng.sample([*keys(rng), *counts], rng.choice([1, 1, 2, 3])))
    return list((dict(options + flags(rng)) | merged).items())


def together(groups: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return groups of keys as one query; of two that name an attribute, the first."""
    merged: dict[str, str] = {}
    for each in groups:
        if not {name for name in each if name[0] == "0"} & merged.keys():
            merged |= each
    return merged


def flags(rng: random.Random) -> list[tuple[str, str]]:
    """Return what a query may turn on."""
    found = []
    if rng.random() < 0.3:
        found.append(("fuzzymatching", "true"))
    if rng.random() < 0.3:
        found.append(("multiplevaluematching", "true"))
    return found


def counted_keys(rng: random.Random) -> list[Mapping[str, str]]:
    """Return keys of what is counted."""
    pick = rng.choice
    return [
        {"00080061": pick(["CT", "CT,MR", "CT\\MR", "P*"])},
        {"00201206": pick(["1", "2-", "1-2"])},
        {"00201208": pick(["1-3", "4-"])},
        {"00201209": pick(["1", "2-"])},
    ]


def keys(rng: random.Random) -> list[Mapping[str, str]]:
    """Return keys of attributes, some of which belong together."""
    pick, creator = rng.choice, rng.choice(CREATORS)
    item, inner = f"{SEQUENCE}.", f"{SEQUENCE}.{INNER}."
    innermost = f"{inner}{INNERMOST}."
    names = ["smith*", "*j*", "MULLER^jurgen", "Smith^John", "*^*", "yamada^*", "=", "?mith^*"]
    similar = [
        "mueller",
        "jurgen mull",
        "yamada tar",
        "Smyth",
        "Meyer",
        "strauss",
        "ivan*",
        "*mit*",
    ]
    private_texts = [
        *TEXTS,
        "2",
        "1-3",
        "20200101",
        "2020-2021",
        "10",
        "10-11",
        "smith*",
        "*",
        "1.2.3",
    ]
    return [
        {"00100010": pick(names)},
        {"00100010": pick(["*=山*", "Yamada^Tarou=山田^太郎", "山田*"])},
        {"00100010": pick(similar), "fuzzymatching": "true"},
        {"00101001": pick([*similar, "Smith^John\\Yamada", "Müller^Jürgen"])},
        {"00100020": pick(["P1", "p*", "P?", '""', "", "P1\\P2"])},
        {"00101000": pick(["P1\\P2", "p1", "P2\\a b", "*b", '""'])},
        {"00080020": pick(["20200101", "20200101-20201231", "-20200131", "20210101-", '""'])},
        {"00080030": pick(["10", "1030-", "103015", "-1030", "1031-2359"])},
        {"00080020": "20200101-20200131", "00080030": pick(["1030-1029", "10-11", "103015.5-10"])},
        {"00080020": pick(["20200131-", "20200101-"]), "00080030": pick(["103015-", "11-"])},
        {"00080020": pick(["-20200131", "-20200101"]), "00080030": pick(["-1030", "-103014"])},
        {"00080021": "20200101-20211231", "00080031": pick(["10-1030", "103016-12"])},
        {"00080022": "20200131-20200131", "00080032": pick(["10-1030", "1031-12"])},
        {"0008002A": pick(["2020", "202001-", "-20200101083000+0000", "2019-2020"])},
        {"0008002A": pick(["20200101100000+0200-20200101120000+0200"])},
        {"00081030": pick([*TEXTS, "a*", "*b*", "?b*", '*"*', "*=*", "??", "頭?", "*ö*"])},
        {"00104000": pick(["*\\*", "back\\slash", "b*"])},
        {"0008103E": pick([*TEXTS, "*1.0", '""'])},
        {"00080060": pick(["CT", "C?", "CT,MR", "SR\\PT"])},
        {"00080008": pick(["ORIGINAL", "ORIGINAL\\AXIAL", "*PR*"])},
        {"00180050": pick(["1", "1.0", "0-1", "-1.5-0", "2-", '""', "-+1", "-1"])},
        {"00189073": pick(["0-", "-+0", "1e6", "-1.5--1"])},
        {"00280010": pick(["64", "100-"])},
        {"00280009": pick(["00181063", "0018106a"])},
        {"00081195": pick(["1.2", "1.2,1.4", "1.3\\1.2"])},
        {"00109999": pick(["a", "a*", "20200131", "2020-2021", "20200101-20200201"])},
        {"00200032": pick(["100", "-1--0.5"])},
        {item + "00400009": pick(["A", "B", "*"]), item + "00401001": pick(["1", "2"])},
        {item + "00401001": "1\\2", "multiplevaluematching": "true"},
        {item + "00081050": pick(similar), item + "00400009": pick(["A", "?"])},
        {item + "00081050": pick([*names, *similar])},
        {item + "00400002": "20200101-20210630", item + "00400003": pick(["1030-10", "10-11"])},
        {
            item + "00400009": "A",
            inner + "00400009": pick(["A", "?"]),
            inner + "00401001": pick(["1", "2"]),
        },
        {inner + "00400009": "A", inner + "00401001": "2"},
        {innermost + "00400009": "A", innermost + "00401001": pick(["1", "2"])},
        {
            f"{item}{NAME_CODE}.00080100": "X",
            f"{item}{NAME_CODE}.00080102": pick(["S1", "S2"]),
            f"{item}{VALUE_CODE}.00080100": pick(["X", "Y"]),
            f"{item}{VALUE_CODE}.00080102": "S1",
        },
        {item + "00400009": "A", f"{item}{VALUE_CODE}.00080100": pick(["X", '""'])},
        {item + "00400009": '""', item + "00401001": "1"},
        {inner + "00400009": '""'},
        {inner + "00401001": "2"},
        {"00090010": creator, "00091001": pick(private_texts)},
        {item + "00090010": creator, item + "00091001": pick(private_texts)},
        {"00090010": creator},
    ]
