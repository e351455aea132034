"""What is wrong with a configuration beyond the types of its values: found before anything is started."""

from collections.abc import Iterator
from pathlib import Path

from edges.catalogues.eodag_hub_provider import check_provider
from edges.compute.claims import check_secret
from edges.profiles.load import profile_of
from gateway.auth import TokenAuthenticator
from gateway.secrets import unreadable_secrets
from gateway.settings import Settings
from quotas.binding import PolicySet


def flaws(settings: Settings) -> list[str]:
    """Return one line for each secret that cannot be read; where all can, one for each value that cannot be used."""
    return unreadable_secrets(settings) or list(_unusable(settings))


def _unusable(settings: Settings) -> Iterator[str]:
    try:
        TokenAuthenticator(settings.auth, state=Path(settings.server.state))
    except ValueError as error:
        yield f"$.auth.tokens: {error}"
    try:
        PolicySet(settings.quotas.policies)
    except ValueError as error:
        yield f"$.quotas.policies: {error}"
    for index, site in enumerate(settings.sites):
        try:
            profile_of(site.catalogue)
        except ValueError as error:
            yield f"$.sites[{index}].catalogue.profile: {error}"
        if site.catalogue.eodag is not None:
            try:
                check_provider(site.catalogue.eodag)
            except ValueError as error:
                yield f"$.sites[{index}].catalogue.eodag.{error}"
        if site.dask is not None:
            try:
                check_secret(site.dask.secret.reveal())
            except ValueError as error:
                yield f"$.sites[{index}].dask.secret: {error}"
