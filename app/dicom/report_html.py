"""A report as a page: readable without any script, every value escaped (PS3.18 §8.7.4)."""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape

from pydicom.config import IGNORE
from pydicom.uid import UID

from app.dicom.structured_report import Code, ContentItem, Reference, Report
from app.dicom.uid import is_uid

_STYLE = """
body{font:16px/1.5 system-ui,"Segoe UI",sans-serif;color:#1c2733;background:#eef1f4;margin:0;padding:2rem 1rem}
main{max-width:52rem;margin:auto;background:#fff;padding:2rem 2.5rem;border-radius:8px;
box-shadow:0 1px 4px #0003;overflow-wrap:anywhere}
h1{font-size:1.6rem;margin:0 0 1rem;line-height:1.25}
h2,h3,h4,h5,h6{margin:1.4rem 0 .4rem;line-height:1.3}
h2{font-size:1.25rem;border-bottom:1px solid #cfd8e0;padding-bottom:.2rem}
h3{font-size:1.1rem}h4,h5,h6{font-size:1rem;color:#3d4d5c}
header dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;margin:0 0 1rem;
padding:.8rem 1rem;background:#f4f7f9;border-radius:6px}
header dt{color:#5a6b7b}header dd{margin:0}
section section{margin-left:1rem}
.item{margin:.3rem 0}.item>.item,.item>section{margin-left:1.4rem}
.name{color:#5a6b7b}.name::after{content:":"}
.value{white-space:pre-wrap}.num{font-weight:600;font-variant-numeric:tabular-nums}
.how{color:#8493a1;font-style:italic;font-size:.85em}
code{color:#8493a1;font-size:.75em;white-space:nowrap}
a{color:#0b62a8}
@media print{body{background:#fff;padding:0}main{box-shadow:none}}
"""
# the page may use its own style and nothing else, wherever it is shown
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; sandbox; style-src "
    f"'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
)
_DEEPEST_HEADING = 6
_HOW = {
    "INFERRED FROM": "inferred from",
    "SELECTED FROM": "selected from",
    "HAS PROPERTIES": "",
    "HAS OBS CONTEXT": "context",
    "HAS ACQ CONTEXT": "acquisition",
    "HAS CONCEPT MOD": "modifier",
}


def report_html(report: Report, base_url: str, charset: str = "utf-8") -> bytes:
    """Return the page; links to instances begin with `base_url`. Raises LookupError for no such charset."""
    rows = "".join(
        f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in report.header
    )
    body = "".join(_children(report.root, 2, base_url))
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="{charset}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<header><h1>{escape(report.title)}</h1><dl>{rows}</dl></header>\n{body}</main></body></html>\n"
    )
    return page.encode(charset, "xmlcharrefreplace")


def _children(item: ContentItem, level: int, base_url: str) -> Iterator[str]:
    for child in item.children:
        yield from _item(child, level, base_url)


def _item(item: ContentItem, level: int, base_url: str) -> Iterator[str]:
    if item.value_type == "CONTAINER":
        yield "<section>"
        if item.name is not None:
            heading = f"h{min(level, _DEEPEST_HEADING)}"
            yield f"<{heading}>{_concept(item.name)}</{heading}>\n"
        yield from _children(item, level + 1, base_url)
        yield "</section>\n"
        return
    yield '<div class="item">'
    how = _HOW.get(item.relationship, "")
    if how:
        yield f'<span class="how">{how}</span> '
    if item.name is not None:
        yield f'<span class="name">{_concept(item.name)}</span> '
    yield _value(item)
    yield ", ".join(_reference(each, base_url) for each in item.references)
    yield from _children(item, level + 1, base_url)
    yield "</div>\n"


def _value(item: ContentItem) -> str:
    if not item.value:
        return ""
    text = escape(item.value)
    if item.value_type == "NUM":  # whose code is the unit, which stands in the value already
        unit = "" if item.code is None else escape(item.code.meaning)
        return f'<span class="value num" title="{unit}">{text}</span>'
    code = "" if item.code is None else f" {_code(item.code)}"
    return f'<span class="value">{text}</span>{code}'


def _concept(name: Code) -> str:
    return f'<span title="{escape(_spelled(name))}">{escape(name.meaning)}</span>'


def _code(code: Code) -> str:
    return f'<code title="{escape(code.meaning)}">{escape(_spelled(code))}</code>'


def _spelled(code: Code) -> str:
    return f"{code.scheme} {code.value}".strip()


def _reference(reference: Reference, base_url: str) -> str:
    name = escape(reference_name(reference))
    uids = (
        reference.study_instance_uid,
        reference.series_instance_uid,
        reference.sop_instance_uid,
    )
    if not all(uid is not None and is_uid(uid) for uid in uids):
        return f"<span>{name}</span> <code>{escape(reference.sop_instance_uid)}</code>"
    study, series, instance = uids
    frames = f"/frames/{','.join(map(str, reference.frames))}" if reference.frames else ""
    url = f"{base_url}/studies/{study}/series/{series}/instances/{instance}{frames}/rendered"
    return f'<a href="{escape(url)}" rel="noreferrer">{name}</a>'


def reference_name(reference: Reference) -> str:
    """Return what kind of instance is referred to, and which frames of it."""
    name = UID(reference.sop_class_uid, IGNORE).name if reference.sop_class_uid else "Instance"
    if not reference.frames:
        return name.removesuffix(" Storage")
    frames = (
        f", frame{'s' if len(reference.frames) > 1 else ''} {', '.join(map(str, reference.frames))}"
    )
    return name.removesuffix(" Storage") + frames
