"""The Java launchers: compiled once for each state of what they are made of."""

from pathlib import Path

import pytest

from app.errors import StartFailed
from app.local.java import Java
from app.local.java_command import java_command
from app.local.launchers import Launcher, compiled


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for docker/ with a launcher `thing`."""
    for file in ("thing/Thing.java", "thing/jars.lock", "lifeline/Lifeline.java"):
        path = tmp_path / "docker" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    monkeypatch.setattr("app.local.launchers.data_path", tmp_path.joinpath)
    return tmp_path / "docker"


@pytest.mark.parametrize("file", ["thing/Thing.java", "thing/jars.lock", "lifeline/Lifeline.java"])
def test_change_of_any_input_means_another_key(docker: Path, file: str) -> None:
    launcher = Launcher("thing", ())
    before = launcher.key
    assert before == launcher.key

    (docker / file).write_text("after")

    assert launcher.key != before


def test_compiler_that_fails_says_why_and_leaves_nothing(docker: Path, tmp_path: Path) -> None:
    assert docker.exists()
    home = tmp_path / "java"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_text("#!/bin/sh\necho 'Thing.java:1: no good'\nexit 1\n")
    (home / "bin" / "java").chmod(0o755)

    with pytest.raises(StartFailed, match="no good"):
        compiled(
            Launcher("thing", ()), java=Java(home, "21"),
            compiler=tmp_path / "ecj.jar", cache=tmp_path / "cache",
        )  # fmt: skip

    assert list((tmp_path / "cache" / "launchers").iterdir()) == []


def test_launcher_that_is_there_is_not_compiled_again(docker: Path, tmp_path: Path) -> None:
    launcher = Launcher("thing", ())
    jar = tmp_path / "cache" / "launchers" / f"thing-{launcher.key}.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"")
    assert docker.exists()

    made = compiled(
        launcher, java=Java(tmp_path / "no-java", "21"),
        compiler=tmp_path / "no-compiler", cache=tmp_path / "cache",
    )  # fmt: skip

    assert made == jar


def test_arguments_with_spaces_quotes_and_backslashes_arrive_as_they_are(tmp_path: Path) -> None:
    """Java unquotes its argument files by these two rules."""
    file = tmp_path / "arguments"

    command = java_command(
        Java(tmp_path, "21"), ["-Da=b c", 'say "hi"', r"back\slash"], file=file
    )  # fmt: skip

    assert command == (str(tmp_path / "bin" / "java"), f"@{file}")
    assert file.read_text().splitlines() == [
        '"-Da=b c"',
        r'"say \"hi\""',
        r'"back\\slash"',
    ]
