"""No log line carries patient data, whoever writes it."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app import logs

PATIENT = "Sentinel^Patient"


@pytest.fixture(autouse=True)
def _logging_as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what other tests, or servers that they start, did to logging; and later what these do."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    for name in (
        "uvicorn",
        "uvicorn.error",
        "uvicorn.access",
        "elastic_transport",
        "httpx",
        "stamina",
    ):
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "level", logger.level)
    yield
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_key_that_is_not_on_the_list_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")

    structlog.get_logger().info("stored", instances=3, patient_name=PATIENT, query=PATIENT)

    (line,) = lines(capsys)
    assert line.keys() == {"event", "level", "timestamp", "instances"}


@pytest.mark.parametrize(
    "key", ["path", "url", "query", "uid", "study_instance_uid", "body", "args"]
)
def test_the_list_has_no_key_that_names_a_study_or_patient(key: str) -> None:
    assert key not in logs.ALLOWED


def test_a_stack_has_places_and_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")

    try:
        raise ValueError(PATIENT)  # noqa: TRY301
    except ValueError:
        structlog.get_logger().exception("commit_failed")

    (line,) = lines(capsys)
    assert PATIENT not in json.dumps(line)
    assert line["exception"].startswith("ValueError at ")
    assert "test_logs.py:" in line["exception"]


def test_an_error_of_the_system_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")

    structlog.get_logger().error("failed", exc_info=OSError(28, "No space left", PATIENT))

    (line,) = lines(capsys)
    assert line["exception"].startswith("OSError (ENOSPC)")
    assert PATIENT not in json.dumps(line)


def test_a_library_is_named_and_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    """An HTTP server logs an unexpected error with its message, which may quote a data set."""
    logs.configure("info")
    logger = logging.getLogger("uvicorn.error")

    try:
        raise ValueError(PATIENT)  # noqa: TRY301
    except ValueError:
        logger.exception("Exception in %s", PATIENT)
    logger.error(OSError(98, PATIENT))

    first, second = lines(capsys)
    assert PATIENT not in json.dumps([first, second])
    assert (first["logger"], first["level"]) == ("uvicorn.error", "error")
    assert first["exception"].startswith("ValueError at ")
    assert second["exception"].startswith("OSError (EADDRINUSE)")


async def test_a_task_that_nobody_waited_for_is_not_quoted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info")

    asyncio.get_running_loop().call_exception_handler(
        {"message": f"Task failed: {PATIENT}", "exception": ValueError(PATIENT)}
    )

    (line,) = lines(capsys)
    assert (line["logger"], PATIENT in json.dumps(line)) == ("asyncio", False)


def test_a_level_below_the_setting_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning")

    structlog.get_logger().info("request")

    assert lines(capsys) == []
