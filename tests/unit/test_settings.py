"""Settings are read from the environment, and an unsafe one stops the start."""

import pytest
from pydantic import ValidationError

from app.errors import ConfigurationError
from app.limits import Limits
from app.settings import LocalSettings, Settings


@pytest.fixture(autouse=True)
def _no_settings_of_this_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    for model in (Settings, LocalSettings, Limits):
        for name in model.model_fields:
            monkeypatch.delenv(f"{model.model_config['env_prefix']}{name.upper()}", raising=False)


@pytest.mark.parametrize(
    "host",
    ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "pacs.example.org", "", "127.0.0.1.example.org"],  # noqa: S104
)
def test_an_address_that_others_reach_is_refused_without_a_word_on_authentication(
    host: str,
) -> None:
    with pytest.raises(ConfigurationError, match="COREGISTER_AUTH=none"):
        Settings(host=host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "pacs.example.org"])  # noqa: S104
def test_an_address_that_others_reach_is_taken_when_that_is_said_on_purpose(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREGISTER_AUTH", "none")

    assert Settings(host=host).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_loopback_address_needs_nothing_else(host: str) -> None:
    assert Settings(host=host).auth is None


def test_an_authentication_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt or wished-for kind must not open the door."""
    monkeypatch.setenv("COREGISTER_AUTH", "basic")

    with pytest.raises(ValidationError):
        Settings(host="0.0.0.0")  # noqa: S104


def test_without_settings_only_this_machine_is_served() -> None:
    settings = Settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.dicomweb_url == "http://127.0.0.1:8080/dicom-web"


def test_an_ipv6_address_stands_in_brackets_in_the_url() -> None:
    assert Settings(host="::1", port=81).dicomweb_url == "http://[::1]:81/dicom-web"


def test_the_public_url_wins_and_loses_its_last_slash() -> None:
    settings = Settings(public_url="https://pacs.example.org/dicom-web/")

    assert settings.dicomweb_url == "https://pacs.example.org/dicom-web"


def test_settings_and_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREGISTER_PORT", "9090")
    monkeypatch.setenv("COREGISTER_LIMIT_PARTS", "7")

    settings = Settings()

    assert (settings.port, settings.limits.parts) == (9090, 7)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("COREGISTER_PORT", "65536"),
        ("COREGISTER_PORT", "http"),
        ("COREGISTER_STORE_TIMEOUT_SECONDS", "0"),
        ("COREGISTER_PARSE_THREADS", "0"),
        ("COREGISTER_LOG_LEVEL", "loud"),
        ("COREGISTER_LIMIT_NESTING_DEPTH", "65"),
        ("COREGISTER_LIMIT_PARTS", "many"),
    ],
)
def test_a_value_that_cannot_be_is_refused(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("memory", ["1", "0g", "-1g", "1t", "1g -Dx=y"])
def test_a_heap_size_is_a_number_with_a_unit(memory: str) -> None:
    """It becomes part of a command line."""
    with pytest.raises(ValidationError):
        LocalSettings(elasticsearch_memory=memory)


def test_settings_cannot_be_changed_later() -> None:
    settings = Settings()

    with pytest.raises(ValidationError):
        settings.host = "0.0.0.0"  # type: ignore[misc]  # noqa: S104


@pytest.mark.parametrize("model", [Settings, LocalSettings, Limits])
def test_every_setting_says_what_it_means(model: type[Settings | LocalSettings | Limits]) -> None:
    silent = [
        name
        for name, field in model.model_fields.items()
        if name != "limits" and not (field.description or "").endswith(".")
    ]

    assert silent == []
