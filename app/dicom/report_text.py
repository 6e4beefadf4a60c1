"""A report as plain text (PS3.18 §8.7.4)."""

from collections.abc import Iterator

from app.dicom.report_html import reference_name
from app.dicom.structured_report import ContentItem, Report

_INDENT = "  "


def report_text(report: Report, charset: str = "utf-8") -> bytes:
    """Return the text, a content item a line. Raises LookupError for no such charset."""
    width = max((len(label) for label, _ in report.header), default=0) + 2
    lines = [report.title, "=" * len(report.title), ""]
    lines += [f"{label + ':':<{width}}{text}" for label, text in report.header]
    lines += ["", *(line for child in report.root.children for line in _lines(child, 0))]
    return ("\n".join(lines) + "\n").encode(charset, "replace")


def _lines(item: ContentItem, depth: int) -> Iterator[str]:
    indent = _INDENT * depth
    name = "" if item.name is None else item.name.meaning
    referred = [f"{reference_name(each)} {each.sop_instance_uid}" for each in item.references]
    value = ", ".join(filter(None, [item.value, *referred]))
    value = value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", f"\n{indent}{_INDENT}")
    line = ": ".join(filter(None, [name, value]))
    if line:
        yield indent + line
    for child in item.children:
        yield from _lines(child, depth + 1)
