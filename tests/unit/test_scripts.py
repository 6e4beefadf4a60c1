"""The scripts can be run by whoever has just cloned the repository."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [
    path
    for path in [*sorted((ROOT / "scripts").iterdir()), ROOT / ".ci/run"]
    if path.is_file() and path.read_text("utf-8").startswith("#!/usr/bin/env bash")
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_can_be_executed_and_parsed(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_names_the_lock_file_of_its_environment(script: Path) -> None:
    """A sourced file without arguments sees those of its caller: `--check` is no lock file."""
    sourced = re.findall(
        r"^source scripts/environment(.*)$", script.read_text("utf-8"), re.MULTILINE
    )

    assert [lock for lock in sourced if not lock or not (ROOT / lock.strip()).is_file()] == []


def test_options_of_up_reach_the_command(tmp_path: Path) -> None:
    """With an environment that is up to date, and a command that says what it was given."""
    copied = ("requirements.lock", "pyproject.toml", "scripts/up", "scripts/environment")
    for name in copied:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    commands = tmp_path / ".venv/bin"
    commands.mkdir(parents=True)
    for name in ("python", "coregister"):
        (commands / name).write_text('#!/bin/sh\necho "$(basename "$0") $*"\n')
        (commands / name).chmod(0o755)

    said = subprocess.run(
        ["bash", "scripts/up", "--check", "--data", "folder"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert said.stderr == ""
    assert said.stdout.splitlines()[-1] == "coregister up --check --data folder"
