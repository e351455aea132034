"""Reads profiles: the shipped ones by name, an operator's own by path. The only I/O of this package."""

from importlib import resources
from pathlib import Path

import msgspec
import yaml

from edges.profiles.model import Profile
from edges.settings import CatalogueSettings

_MAX_BYTES = 1 << 20
"""A profile is written by hand; more than a MiB is none."""


class ProfileError(ValueError):
    """A profile cannot be used; the message names it and the path inside it."""


def shipped_profiles() -> list[str]:
    """Return the names of the profiles that come with the package."""
    files = resources.files("edges.profiles").iterdir()
    return sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))


def load_profile(name: str) -> Profile:
    """Return a shipped profile by its name, or another by its path (which ends in ``.yaml`` or ``.yml``).

    Raises:
        ProfileError: there is none, it cannot be read, or what it says cannot be used.
    """
    if name.endswith((".yaml", ".yml")):
        return _parsed(_read(Path(name)), name)
    if name not in shipped_profiles():
        known = ", ".join(shipped_profiles())
        raise ProfileError(f"no profile {name!r}; expected the path of a .yaml file, or one of {known}")
    return _parsed((resources.files("edges.profiles") / f"{name}.yaml").read_text(encoding="utf-8"), name)


def profile_of(settings: CatalogueSettings) -> Profile:
    """Return what a site's settings say: its profile, if any, with its own collection ids.

    Raises:
        ProfileError: as :func:`load_profile`.
    """
    profile = load_profile(settings.profile) if settings.profile else Profile(name="")
    return msgspec.structs.replace(profile, collections={**profile.collections, **settings.collections})


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ProfileError(f"profile {path} is larger than {_MAX_BYTES} bytes")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"profile {path} cannot be read: {error}") from error


def _parsed(text: str, name: str) -> Profile:
    try:
        return msgspec.convert(yaml.safe_load(text), Profile)
    except yaml.YAMLError as error:
        raise ProfileError(f"profile {name} is not YAML: {error}") from error
    except msgspec.ValidationError as error:
        raise ProfileError(f"profile {name}: {error}") from error
