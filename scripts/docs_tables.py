"""Writes the tables of `docs/` that follow from the code, so that they cannot say something else.

A document has `<!-- table:NAME -->` and `<!-- /table -->` on lines of their own; what stands between them
is made by the function of that name in `TABLES`.
"""

import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer.main
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings
from pydicom.datadict import keyword_for_tag
from pydicom.sr._concepts_dict import concepts
from pydicom.uid import UID
from starlette.routing import Route
from typer.core import TyperArgument, TyperGroup

from app import cli, errors
from app.dicom.attribute_path import AttributePath, dotted, tag_of, vr_of
from app.dicom.qido_grammar import Level
from app.dicom.transfer_syntax import KNOWN, aliases_of
from app.index.levels import COMPUTED, returned
from app.limits import GIB, KIB, MIB, Limits
from app.settings import LocalSettings, Settings
from app.web.capabilities import transactions
from app.web.routes import DICOMWEB, OPERATIONS, VIEWER

ROOT = Path(__file__).resolve().parent.parent
REGION = re.compile(r"(<!-- table:(?P<name>[\w-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
TREE_LINE = re.compile(r"^[\s│├└─]*(?P<name>[A-Z]\w+)(?P<said>[^\n]*)$", re.MULTILINE)
MARKUP = re.compile(r"\\?\[(?:/|[a-z]+)\]")
NOTHING = "\N{EN DASH}"
UNITS = ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))
NEVER_SENT = (errors.LocalStackError, errors.ServerUnreachable, errors.SourceUnreadable)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines
    )


def settings() -> str:
    """Return the settings of a running Coregister, in the groups of the source."""
    return _groups(Settings, without=("limits",))


def local_settings() -> str:
    """Return the settings of the embedded stack."""
    return _settings_table(LocalSettings, LocalSettings.model_fields)


def limits() -> str:
    """Return the limits, in the groups of the source."""
    return _groups(Limits)


def _groups(model: type[BaseSettings], without: Sequence[str] = ()) -> str:
    groups: dict[str, list[str]] = {}
    title = ""
    for line in inspect.getsource(model).splitlines():
        if heading := re.fullmatch(r" {4}# -{4} (.+)", line):
            title = heading[1]
        elif (field := re.match(r" {4}(\w+): ", line)) and field[1] in model.model_fields:
            groups.setdefault(title, []).append(field[1])
    return "\n".join(
        f"### {title[0].upper()}{title[1:]}\n\n"
        + _settings_table(model, {n: model.model_fields[n] for n in names if n not in without})
        for title, names in groups.items()
        if set(names) - set(without)
    )


def _settings_table(model: type[BaseSettings], fields: Mapping[str, FieldInfo]) -> str:
    prefix = model.model_config["env_prefix"]
    return table(
        ("Variable", "Default", "Meaning"),
        (
            (f"`{prefix}{name.upper()}`", _default(name, field), field.description or "")
            for name, field in fields.items()
        ),
    )


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    if value is None or value is PydanticUndefined:
        return NOTHING
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if name.endswith("bytes"):
        for size, unit in UNITS:
            if value % size == 0:
                return f"`{value}` ({value // size} {unit})"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def dicomweb_routes() -> str:
    """Return every path below the DICOMweb base."""
    return _routes(DICOMWEB)


def transaction_rows() -> str:
    """Return what each path takes and sends, as `OPTIONS` on it tells."""
    return table(
        ("Transaction", "Method and path", "PS3.18", "Takes", "Sends", "Parameters"),
        (
            (
                known.name,
                f"`{_methods(route)} {route.path}`",
                _told(route.endpoint)[1].replace(NOTHING, "extension"),
                *(
                    ", ".join(f"`{each}`" for each in several) or NOTHING
                    for several in (known.takes, known.sends, known.parameters)
                ),
            )
            for route in DICOMWEB
            for known in [transactions()[route.endpoint.__name__]]
        ),
    )


def operation_routes() -> str:
    """Return the paths for whoever operates this."""
    return _routes((*OPERATIONS, *VIEWER))


def _routes(served: Iterable[Route]) -> str:
    return table(
        ("Method", "Path", "What", "PS3.18"),
        (
            (_methods(route), f"`{route.path}`", *_told(route.endpoint)) for route in served
        ),
    )  # fmt: skip


def _methods(route: Route) -> str:
    return " ".join(sorted((route.methods or set()) - {"HEAD"}))


def _told(handler: Callable[..., Any]) -> tuple[str, str]:
    """Return what the handler's docstring promises, and the section that it cites."""
    first = (handler.__doc__ or "").splitlines()[0]
    cited = re.search(r" \(PS3\.18 (§[\d.]+)\)", first)
    return (first.replace(cited[0], ""), cited[1]) if cited else (first, NOTHING)


def error_classes() -> str:
    """Return the errors that a client of DICOMweb can be answered with."""
    rows = []
    for name, kind in error_tree():
        if issubclass(kind, NEVER_SENT) or kind in (errors.CoregisterError, errors.ClientGone):
            continue
        reason = f"{kind.failure_reason:04X}H" if name in _with_reason() else NOTHING
        rows.append((f"`{name}`", str(kind.status), reason, _first_line(kind)))
    return table(("Error", "Status", "Failure reason", "Meaning"), rows)


def error_tree() -> Iterator[tuple[str, type[errors.CoregisterError]]]:
    """Yield the classes that the docstring of `app.errors` draws, in its order."""
    for line in TREE_LINE.finditer(_drawing()):
        yield line["name"], getattr(errors, line["name"])


def _drawing() -> str:
    drawn = (errors.__doc__ or "").partition("CoregisterError\n")[2].partition("\n\n")[0]
    return "CoregisterError\n" + drawn


def _with_reason() -> set[str]:
    return {
        line["name"]
        for line in TREE_LINE.finditer(_drawing())
        if re.search(r"\s[0-9A-F]{4}(\s|$)", line["said"])
    }


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").splitlines()[0]


def returned_attributes() -> str:
    """Return what a search answers with at each level unless more is asked for."""
    return table(
        ("Attribute", "Tag", "VR", "Study", "Series", "Instance"),
        (
            (_keywords(path), f"`{dotted(path)}`", vr_of(path[-1]), *_ticks(path))
            for path in sorted({path for level in Level for path in returned(level)})
        ),
    )  # fmt: skip


def _keywords(path: AttributePath) -> str:
    name = ".".join(keyword_for_tag(int(tag, 16)) for tag in path)
    return f"{name} (counted)" if path[0] in COMPUTED else name


def _ticks(path: AttributePath) -> list[str]:
    return ["✓" if path in returned(level) else "" for level in Level]


def transfer_syntaxes() -> str:
    """Return the media type of frames in each transfer syntax."""
    kinds: dict[str, list[str]] = {}
    for syntax in KNOWN.values():
        kinds.setdefault(syntax.media_type, []).append(f"`{syntax.uid}`")
    return table(
        ("Frames as", "Also asked for as", "Transfer syntaxes"),
        (
            (
                f"`{kind}`",
                ", ".join(f"`{name}`" for name in aliases_of(kind)) or NOTHING,
                ", ".join(uids),
            )
            for kind, uids in kinds.items()
        ),
    )


def mapping() -> str:
    """Return the rows of the ImagingStudy table."""
    places = {"study": "ImagingStudy", "series": "ImagingStudy.series"}
    return _mapping(
        (places[level], row) for level, rows in _toml("imaging_study").items() for row in rows
    )


def patient_mapping() -> str:
    """Return the rows of the Patient table."""
    return _mapping(("Patient", row) for row in _toml("patient")["row"])


def _mapping(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    return table(
        ("FHIR element", "DICOM attributes, by preference", "As"),
        (
            (
                f"`{place}.{row['element']}`",
                "<br>".join(_source(source) for source in row["from"]),
                row["as"].replace("_", " ") + (f" `{row['with']}`" if "with" in row else ""),
            )
            for place, row in rows
        ),
    )


def _source(source: str | Sequence[str]) -> str:
    first, *others = [source] if isinstance(source, str) else source
    keyword = first.rpartition(".")[2]
    said = f"{first.replace('.', ' > ')} `{tag_of(keyword)}`"
    return f"{said} with {', '.join(others)}" if others else said


def body_sites() -> str:
    """Return SNOMED CT by BodyPartExamined."""
    return _coded("BodyPartExamined (0018,0015)", "body_sites")


def lateralities() -> str:
    """Return SNOMED CT by Laterality."""
    return _coded("Laterality (0020,0060)", "lateralities")


def _coded(head: str, name: str) -> str:
    return table(
        (head, "SNOMED CT", ""),
        ((f"`{term}`", f"`{code}`", meaning) for term, (code, meaning) in _toml(name).items()),
    )


def gender() -> str:
    """Return the administrative gender for each PatientSex."""
    patient = _toml("patient")
    rows = [(f"`{sex}`", f"`{code}`") for sex, code in patient["gender"].items()]
    rows += [
        ("empty", "no element"),
        ("anything else", f"`{patient['gender_otherwise']['value']}`"),
    ]
    return table(("PatientSex (0010,0040)", "`Patient.gender`"), rows)


def name_representations() -> str:
    """Return the code of each component group of a name."""
    return table(
        ("Component group of PatientName", "`iso21090-EN-representation`"),
        ((group, f"`{code}`") for group, code in _toml("patient")["name_representation"].items()),
    )


def code_systems() -> str:
    """Return the URIs of code systems and naming systems."""
    return table(
        ("Name in `mappings/fhir`", "URI"),
        ((f"`{name}`", f"`{uri}`") for name, uri in _toml("code_systems").items()),
    )


def coding_schemes() -> str:
    """Return the URIs of the coding schemes that codes of objects are in."""
    schemes = _toml("coding_schemes")
    return table(
        ("Coding scheme designator", "URI"),
        (
            (f"`{name}`", f"`{uri}`")
            for group in ("uri", "snomed_rt")
            for name, uri in schemes[group].items()
        ),
    )


def report_objects() -> str:
    """Return the classes of objects that become resources of their own."""
    becomes = {
        "report": "`DiagnosticReport`, `Observation`",
        "dose": "`Observation`",
        "document": "`DocumentReference`, a report of findings also `DiagnosticReport`",
    }
    return table(
        ("SOP Class", "Becomes"),
        (
            (f"{UID(uid).name} `{uid}`", becomes[kind])
            for kind, uids in _toml("reports")["objects"].items()
            for uid in uids
        ),
    )


def report_status() -> str:
    """Return how flags of an object become the status of its resources."""
    return table(
        ("Resource", "Flag", "Value", "Status"),
        (
            (
                f"`{kind}`",
                f"{row['attribute']} `{tag_of(row['attribute'])}`"
                if "attribute" in row
                else "otherwise",
                f"`{row['value']}`" if "value" in row else NOTHING,
                f"`{row['status']}`",
            )
            for kind, rows in _toml("reports")["status"].items()
            for row in rows
        ),
    )


def dose_components() -> str:
    """Return the items of dose reports that become components."""
    named = {
        f"{scheme}:{value}": meaning
        for scheme, concepts_ in concepts.items()
        for codes in concepts_.values()
        for value, (meaning, _) in codes.items()
    }
    listed = _toml("reports")["dose"]["components"]
    return table(("Concept", "Code"), ((named[key], key.replace(":", " ")) for key in listed))


def search_parameters() -> str:
    """Return the search parameters that Coregister installs."""
    folder = ROOT / "mappings" / "fhir" / "search_parameters"
    parameters = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    return table(
        ("Search", "Type", "What it looks at"),
        (
            (f"`{each['base'][0]}?{each['code']}=`", each["type"], each["description"])
            for each in parameters
        ),
    )


def provenance() -> str:
    """Return what a Provenance says of each kind of deed."""
    codes = _toml("provenance")
    return table(
        ("Occasion", "`activity`", "`activity.text`", "`entity.role`"),
        (
            (name, f"`{said['code']}`", said["text"], f"`{codes['role'][name]}`")
            for name, said in codes["activity"].items()
        ),
    )


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "mappings" / "fhir" / f"{name}.toml").read_text("utf-8"))


def commands() -> str:
    """Return every command with its arguments and options."""
    return "\n".join(_command(name, each) for name, each in command_line().commands.items())


def command_line() -> TyperGroup:
    """Return the command line as its parser sees it."""
    group = typer.main.get_command(cli.app)
    if not isinstance(group, TyperGroup):
        raise TypeError("the command line has no commands")
    return group


def _command(name: str, command: Any) -> str:
    rows = [_parameter(each) for each in command.params if not each.hidden]
    text = f"## {name}\n\n{_plain(command.help or '')}\n"
    return f"{text}\n{table(('Argument or option', 'Default', 'Meaning'), rows)}" if rows else text


def _parameter(parameter: Any) -> tuple[str, str, str]:
    if isinstance(parameter, TyperArgument):
        name = f"{parameter.name} …".upper()
    else:
        name = " ".join(parameter.opts)
    default = NOTHING if parameter.default in (None, False) else f"`{parameter.default}`"
    return f"`{name}`", default, _plain(parameter.help or "")


def _plain(text: str) -> str:
    """Return help without its markup; what stands in brackets becomes a sentence."""
    text = re.sub(r"\s*\[dim\]\\?\\?\[default: (.*?)\]?\[/\]", r" Default: \1.", text)
    return " ".join(MARKUP.sub("", text).split())


TABLES: Mapping[str, Callable[[], str]] = {
    "settings": settings,
    "local-settings": local_settings,
    "limits": limits,
    "routes": dicomweb_routes,
    "operations": operation_routes,
    "transactions": transaction_rows,
    "errors": error_classes,
    "returned": returned_attributes,
    "transfer-syntaxes": transfer_syntaxes,
    "mapping": mapping,
    "patient-mapping": patient_mapping,
    "body-sites": body_sites,
    "lateralities": lateralities,
    "coding-schemes": coding_schemes,
    "gender": gender,
    "name-representations": name_representations,
    "code-systems": code_systems,
    "report-objects": report_objects,
    "report-status": report_status,
    "dose-components": dose_components,
    "provenance": provenance,
    "search-parameters": search_parameters,
    "commands": commands,
}


def filled(text: str) -> str:
    """Return a document with its tables made anew."""
    return REGION.sub(lambda found: f"{found[1]}\n{TABLES[found['name']]()}\n{found[3]}", text)


def main(arguments: Sequence[str]) -> int:
    """Write the tables, or with `--check` name the documents that are out of date."""
    stale = 0
    for path in sorted((ROOT / "docs").rglob("*.md")):
        before = path.read_text("utf-8")
        after = filled(before)
        if before != after:
            stale += 1
            sys.stdout.write(f"{path.relative_to(ROOT)} is out of date\n")
            if "--check" not in arguments:
                path.write_text(after, "utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
