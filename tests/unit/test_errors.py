"""The tree drawn in the docstring of `app.errors` is the tree of the classes."""

import re
from dataclasses import dataclass

import pytest

from app import errors
from app.errors import BadInstance, CoregisterError

LINE = re.compile(
    r"^ {4}(?P<indent>(?:[│ ] {3})*(?:[├└]── )?)(?P<name>\w+)"
    r"(?: +(?P<status>\d{3}))?(?: +(?P<reason>[0-9A-F]{4}))?(?: +(?P<said>.*))?$"
)


@dataclass(frozen=True, slots=True)
class Drawn:
    name: str
    parent: str | None
    status: int | None
    reason: int | None


def drawn() -> list[Drawn]:
    """Read the tree out of the docstring."""
    text = (errors.__doc__ or "").split("    CoregisterError\n")[1].split("\n\n")[0]
    path: list[str] = []
    tree = []
    for line in ("    CoregisterError", *text.splitlines()):
        found = LINE.match(line)
        assert found is not None, line
        del path[len(found["indent"]) // 4 :]
        status, reason = found["status"], found["reason"]
        tree.append(
            Drawn(
                found["name"],
                path[-1] if path else None,
                int(status) if status else None,
                int(reason, 16) if reason else None,
            )
        )
        path.append(found["name"])
    return tree


def classes() -> dict[str, type[CoregisterError]]:
    return {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, CoregisterError)
    }


def test_the_tree_has_every_class_once() -> None:
    names = [each.name for each in drawn()]

    assert sorted(names) == sorted(classes())


@pytest.mark.parametrize("each", drawn(), ids=lambda each: each.name)
def test_a_class_stands_where_it_is_drawn_with_its_status_and_reason(each: Drawn) -> None:
    kind = classes()[each.name]

    assert each.parent in (None, kind.__bases__[0].__name__)
    assert each.status in (None, kind.status)
    assert each.reason in (None, kind.failure_reason)


def test_a_class_drawn_without_a_status_is_never_an_answer() -> None:
    silent = {each.name for each in drawn() if each.status is None}

    assert silent == {
        "CoregisterError", "LocalStackError", "DownloadFailed", "NoRoom", "NoJava", "PortInUse",
        "AlreadyUp", "StartFailed", "ServerUnreachable", "SourceUnreadable",
    }  # fmt: skip


@pytest.mark.parametrize("kind", classes().values(), ids=lambda kind: kind.__name__)
def test_a_failure_reason_is_one_of_the_standard(kind: type[CoregisterError]) -> None:
    """PS3.18 Annex I.2, PS3.4 Annex B.2.3: A7xx, A9xx, Cxxx, and single codes; no warning (Bxxx)."""
    reason = kind.failure_reason

    assert reason in (0x0110, 0x0111, 0x0120, 0x0122) or reason >> 8 in (0xA7, 0xA9) or (
        reason >> 12 == 0xC
    )  # fmt: skip


def test_an_error_keeps_its_words_and_when_to_ask_again() -> None:
    error = errors.Busy("Too many.", retry_after=5)

    assert (error.message, error.retry_after, str(error)) == ("Too many.", 5, "Too many.")


def test_a_refused_instance_names_the_offending_attributes() -> None:
    assert BadInstance("No UID.", attributes=("00080018",)).attributes == ("00080018",)
