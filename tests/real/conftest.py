"""Every test here needs the real networks and photos; without them it is skipped and says so."""

from functools import cache

import gallery
import pytest


@pytest.fixture(scope="session", autouse=True)
def data():
    if not (gallery.DATA / "README.md").is_file():
        pytest.skip(f"no real networks and photos at {gallery.DATA}: set SIGHTLINE_DATA to their folder")
    return gallery.DATA


@pytest.fixture(scope="session")
def model(data):
    """A function (entry, resize="squash") -> Model; each is loaded once."""
    return cache(lambda entry, resize="squash": gallery.wrapped(entry, resize))


@pytest.fixture(scope="session")
def photos(data):
    """Stem -> path."""
    return gallery.photos()
