"""The rooms of search, placement, quotas and sign-in."""

from edges.settings import EscrowSettings
from gateway.auth import (
    Attempts,
    AuthFace,
    CodeFlow,
    LoginFace,
    OwnTokensFace,
)
from gateway.house.contributed_room import Contributed
from gateway.house.house import House
from gateway.placement.face import PlacementFace
from gateway.quota.admin_face import QuotaAdminFace
from gateway.quota.face import QuotaFace
from gateway.quota.slices_face import SlicesFace
from gateway.search.aggregation import FederatedAggregation
from gateway.sites import SitesFace
from gateway.stac.aggregation import AggregationFace
from gateway.stac.explain import ExplainFace
from gateway.stac.export import ExportFace
from gateway.stac.face import StacFace
from gateway.stac.harmonised import Harmonised
from gateway.stac.own_collections import OwnCollections


async def add_catalogue(house: House, contributed: Contributed) -> None:
    """Add search, sites, placement, quotas and sign-in."""
    await house.stack.enter_async_context(house.charging.running())
    limits = house.settings.limits
    stac = StacFace(
        federation=house.federation,
        registry=house.registry,
        charging=house.charging,
        limits=limits,
        base=house.base,
        own=OwnCollections(create=contributed.create, tag=contributed.tag, kept=bool(house.settings.contributed.site)),
    )
    house.routes += [
        *stac.routes(),
        *_export_face(house).routes(),
        *_aggregation_face(house).routes(),
        *_explain_face(house).routes(),
        *SitesFace(registry=house.registry, metrics=house.metrics, watched=house.watched, access=house.access).routes(),
        *PlacementFace(placer=house.placer, charging=house.charging, page_items=limits.page_items).routes(),
        *QuotaAdminFace(office=house.ledger).routes(),
        *SlicesFace(ledger=house.ledger, edges=_escrows(house)).routes(),
        *QuotaFace(ledger=house.ledger, public_url=house.base).routes(),
        *AuthFace(authenticator=house.authenticator, cookies=house.cookies, others=[house.oidc]).routes(),
        *OwnTokensFace(authenticator=house.authenticator, most_days=house.settings.auth.own_token_days).routes(),
        *_login_face(house).routes(),
    ]


def _escrows(house: House) -> dict[str, EscrowSettings]:
    return {site.id: site.escrow for site in house.settings.sites if site.escrow is not None}


def _export_face(house: House) -> ExportFace:
    return ExportFace(
        federation=house.federation,
        registry=house.registry,
        charging=house.charging,
        limits=house.settings.limits,
        harmonised=_harmonised(house),
        folder=house.state / "exports",
    )


def _aggregation_face(house: House) -> AggregationFace:
    limits = house.settings.limits
    aggregation = FederatedAggregation(
        federation=house.federation,
        registry=house.registry,
        deadline_seconds=limits.deadline_seconds,
        items=limits.aggregate_items,
    )
    return AggregationFace(
        aggregation=aggregation,
        harmonised=_harmonised(house),
        charging=house.charging,
    )


def _explain_face(house: House) -> ExplainFace:
    return ExplainFace(
        federation=house.federation,
        registry=house.registry,
        charging=house.charging,
        limits=house.settings.limits,
        harmonised=_harmonised(house),
    )


def _harmonised(house: House) -> Harmonised:
    return Harmonised(registry=house.registry, base=house.base, access=house.access)


def _login_face(house: House) -> LoginFace:
    return LoginFace(
        flow=CodeFlow(oidc=house.oidc, session=house.outbound.session, base=house.base),
        authenticator=house.authenticator,
        cookies=house.cookies,
        attempts=Attempts(house.key),
        secure=house.base.startswith("https://"),
    )
