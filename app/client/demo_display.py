"""What the demo shows: studies side by side, what was refused, and commands to try next.

No patient's name and no date is printed, though the files are public test data.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from app.client.answer import meaning
from app.client.compare import PATIENT_ID, StudySeen, differences, values
from app.client.demo_set import DemoFile
from app.client.stow import Outcome

UID_HEAD, UID_TAIL = 6, 9  # characters of a UID that a table shows


@dataclass(frozen=True, slots=True)
class Sent:
    """A demo file and what became of it."""

    file: DemoFile
    outcome: Outcome

    @property
    def as_expected(self) -> bool:
        """Return whether it was stored, or refused for the reason that it must be refused for."""
        refusal = self.outcome.refusal
        if self.file.failure_reason is None or refusal is None:
            return self.file.failure_reason is None and refusal is None
        return refusal.reason == self.file.failure_reason


def print_studies(console: Console, sent: Sequence[Sent], seen: Sequence[StudySeen]) -> None:
    """Print one row a study, both sides in it, and then in words what does not agree."""
    files = _files_of_studies(sent)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))  # fits into 80 columns
    table.add_column("study", no_wrap=True)
    table.add_column("files", overflow="ellipsis", no_wrap=True, max_width=18)
    for side in ("QIDO", "FHIR"):
        table.add_column(side, no_wrap=True)
        table.add_column("series", justify="right")
        table.add_column("inst.", justify="right")
    table.add_column("")
    for study in seen:
        names = [file.name for file in files[study.study_instance_uid]]
        agree = "[red]✗[/]" if differences(study) else "[green]✓[/]"
        table.add_row(_short(study.study_instance_uid), _and_more(names), *_cells(study), agree)
    console.print(table)
    for study in seen:
        for difference in differences(study):
            console.print(f"[red]✗[/] {study.study_instance_uid}: {difference}", highlight=False)


def print_sent(console: Console, sent: Sequence[Sent], *, agree: bool) -> None:
    """Print how many files were stored, what was refused as it must be, and any surprise."""
    stored = [each for each in sent if each.outcome.stored]
    size = sum(each.file.prepared.source.size for each in stored) / 1e6
    studies = len(_files_of_studies(sent))
    agreement = ": both sides agree, and every file comes back byte for byte" if agree else ""
    console.print(
        f"\n{len(stored)} files ({size:.1f} MB) of {studies} studies stored{agreement}.",
        highlight=False,
        soft_wrap=True,
    )
    refused = [each for each in sent if each.outcome.refusal is not None and each.as_expected]
    if refused:
        console.print(f"{len(refused)} files were sent to be refused, and were:", highlight=False)
    for each in refused:
        line = f"  {each.file.name}: {each.outcome.refusal}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for each in (one for one in sent if not one.as_expected):
        reason = each.file.failure_reason
        expected = "stored" if reason is None else f"refused: {reason:04X} {meaning(reason)}"
        became = "stored" if each.outcome.refusal is None else f"refused: {each.outcome.refusal}"
        line = f"✗ {each.file.name} should have been {expected}, but was {became}"
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)


def print_commands(
    console: Console,
    *,
    base_url: str,
    fhir_url: str,
    sent: Sequence[Sent],
    seen: Sequence[StudySeen],
) -> None:
    """Print the addresses and three commands that work as they stand."""
    console.print(f"\nDICOMweb  {base_url}\nFHIR      {fhir_url}", highlight=False)
    for title, command in commands(base_url=base_url, fhir_url=fhir_url, sent=sent, seen=seen):
        console.print(f"\n{title}:", highlight=False)
        # not wrapped: a broken line could not be copied
        console.print(f"  {command}", soft_wrap=True, highlight=False, markup=False)


def commands(
    *, base_url: str, fhir_url: str, sent: Sequence[Sent], seen: Sequence[StudySeen]
) -> list[tuple[str, str]]:
    """Return a QIDO, a FHIR search and a WADO about the patient who has most studies."""
    patients = Counter(
        str(patient_id)
        for study in seen
        for row in study.rows
        for patient_id in values(row, PATIENT_ID)
    )
    if not patients:
        return []
    patient_id = patients.most_common(1)[0][0]
    study = next(s for s in seen if any(patient_id in values(row, PATIENT_ID) for row in s.rows))
    file = _files_of_studies(sent)[study.study_instance_uid][0]
    token = quote(f"urn:dicom:uid|urn:oid:{study.study_instance_uid}", safe=":")
    instance = (
        f"{base_url}/studies/{file.study_instance_uid}/series/{file.series_instance_uid}"
        f"/instances/{file.sop_instance_uid}"
    )
    as_stored = "-H 'Accept: application/dicom; transfer-syntax=*'"
    return [
        (
            "The studies of a patient (QIDO)",
            f"curl -s '{base_url}/studies?PatientID={quote(patient_id)}'",
        ),
        (
            "One of them as an ImagingStudy (FHIR)",
            f"curl -s '{fhir_url}/ImagingStudy?identifier={token}'",
        ),
        (
            "An instance of it, as it was sent (WADO)",
            f"curl -s {as_stored} -o instance.dcm '{instance}'",
        ),
    ]


def _files_of_studies(sent: Sequence[Sent]) -> dict[str, list[DemoFile]]:
    files: dict[str, list[DemoFile]] = {}
    for each in sent:
        if each.outcome.stored:
            files.setdefault(each.file.study_instance_uid, []).append(each.file)
    return files


def _cells(study: StudySeen) -> list[str]:
    cells: list[str] = []
    for counts in (study.qido, study.fhir):
        if counts is None:
            cells += ["?", "?", "?"]
        else:
            modalities = "/".join(sorted(counts.modalities))
            cells += [modalities, str(counts.series), str(counts.instances)]
    return cells


def _short(uid: str) -> str:
    return uid if len(uid) <= UID_HEAD + UID_TAIL else f"{uid[:UID_HEAD]}…{uid[-UID_TAIL:]}"


def _and_more(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} +{len(names) - 1}"
