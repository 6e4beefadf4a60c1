import pytest

from app.errors import ConfigurationError
from app.settings import Settings


@pytest.mark.parametrize("time_zone", ["Nowhere/Land", "../../etc/passwd", "", "Europe"])
def test_a_time_zone_that_is_none_is_refused_at_the_start(time_zone: str) -> None:
    with pytest.raises(ConfigurationError):
        Settings(time_zone=time_zone)


def test_a_time_zone_is_taken() -> None:
    assert Settings(time_zone="Europe/Vienna").time_zone == "Europe/Vienna"
