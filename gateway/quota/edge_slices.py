"""What runs at an edge: keeps slices of the quota open while the gateway can be reached, and settles them."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar
from urllib.parse import quote

import aiohttp
import msgspec

from edges.model import Frozen, Json
from gateway.background import beside
from gateway.quota.edge_settings import EdgeQuotaSettings, used_up
from gateway.quota.slices_face import HEADER
from quotas.errors import InvalidAmount, QuotaError
from quotas.escrow import EdgePurse
from quotas.records import Slice

logger = logging.getLogger(__name__)

ROUNDS_PER_SLICE = 6
"""How often a slice is looked after in its life: some tries may fail."""
MAX_ANSWER_BYTES = 1 << 20


class CutOff(Exception):
    """The gateway does not answer, or answers that it cannot."""

    status: ClassVar[int] = 503
    title: ClassVar[str] = "The gateway cannot be reached"


class Refused(Exception):
    """The gateway refuses: there is not so much left, or the slice is none of ours."""

    status: ClassVar[int] = 429
    title: ClassVar[str] = "Nothing can be set aside"


class GatewaySlices:
    """The gateway's slices, as this edge reaches them. ``session`` stays the caller's."""

    def __init__(self, settings: EdgeQuotaSettings, session: aiohttp.ClientSession) -> None:
        self._url = f"{settings.gateway.rstrip('/')}/edges/{quote(settings.edge, safe='')}/slices"
        self._headers = {HEADER: settings.edge_secret.reveal()}
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_seconds)
        self._session = session

    async def open(self, group: str, amounts: Mapping[str, float], *, ttl: float) -> Slice:
        """Open a new slice."""
        body = {"group": group, "amounts": dict(amounts), "ttl": ttl}
        return msgspec.convert(await self._call("PUT", f"/{uuid.uuid4()}", body), Slice)

    async def open_ones(self) -> list[Slice]:
        """List those that are open."""
        return msgspec.convert((await self._call("GET", "", None))["slices"], list[Slice])

    async def renew(self, part: Slice, *, ttl: float) -> Slice:
        """Let one last longer."""
        return msgspec.convert(await self._call("POST", f"/{_own(part)}/renew", {"ttl": ttl}), Slice)

    async def settle(self, slice_id: str, spent: list[Json]) -> None:
        """End one by what was spent."""
        await self._call("POST", f"/{quote(slice_id.rpartition('/')[2], safe='')}/settle", {"spent": spent})

    async def _call(self, method: str, path: str, body: Json | None) -> Json:
        """Ask the gateway.

        Raises:
            CutOff: it does not answer within the time, or fails.
            Refused: it refuses.
        """
        try:
            async with self._session.request(
                method,
                self._url + path,
                json=body,
                headers=self._headers,
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                text = await response.content.read(MAX_ANSWER_BYTES)
                if response.status >= 500 or 300 <= response.status < 400:
                    raise CutOff(f"the gateway answers {response.status}")
                told: Json = msgspec.json.decode(text or b"{}", type=dict)
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            raise CutOff(f"the gateway cannot be reached: {type(error).__name__}") from error
        if response.status >= 400:
            raise Refused(str(told.get("detail", response.status))[:500])
        return told


class Kept(Frozen):
    """One look-around: whether the gateway answered, and what it refused."""

    reached: bool
    refused: tuple[str, ...] = ()


class SliceKeeper:
    """Keeps a slice of each wanted group in the purse. ``clock`` gives epoch seconds.

    What only counts while it is held is renewed; what is used up is let end, is settled by what was really spent, and
    a new slice takes its place. While the gateway cannot be reached nothing changes: what is there lasts to its end.
    """

    def __init__(
        self,
        *,
        purse: EdgePurse,
        gateway: GatewaySlices,
        settings: EdgeQuotaSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._purse = purse
        self._gateway = gateway
        self._settings = settings
        self._clock = clock
        self.last = Kept(reached=False)
        """What the last round came to."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after the slices as long as the context is open."""
        async with beside(self._keep_on(), name="edge slices"):
            yield

    async def _keep_on(self) -> None:
        while True:
            try:
                await self.once()
            except QuotaError as error:  # the purse's own file: the next round tries again
                logger.warning("slices cannot be kept", extra={"error": str(error)})
            await asyncio.sleep(self._settings.slice_seconds / ROUNDS_PER_SLICE)

    async def once(self) -> Kept:
        """Look around once: settle what is over, renew, and open what is missing."""
        refused: list[str] = []
        try:
            await self._drop_unknown()
            for part in self._purse.slices():
                await self._look_after(part, refused)
            for group, amounts in self._settings.wants.items():
                if not any(part.group == group and not self._ending(part) for part in self._purse.slices()):
                    await self._open(group, amounts, refused)
            self.last = Kept(reached=True, refused=tuple(refused))
        except CutOff as error:
            logger.warning("cut off from the gateway", extra={"reason": str(error)})
            self.last = Kept(reached=False, refused=tuple(refused))
        return self.last

    async def _drop_unknown(self) -> None:
        """Take over the slices that are open at the gateway and were not noted here: its answer was lost."""
        known = {part.id for part in self._purse.slices()}
        for part in await self._gateway.open_ones():
            if part.id not in known:
                await self._purse.take(part)

    def _ending(self, part: Slice) -> bool:
        """Whether it is nearly over: two rounds are left at most."""
        return part.expires_at - self._clock() < 2 * self._settings.slice_seconds / ROUNDS_PER_SLICE

    async def _look_after(self, part: Slice, refused: list[str]) -> None:
        amounts = {line.resource: line.amount for line in part.lines}
        wanted = {name: float(amount) for name, amount in self._settings.wants.get(part.group, {}).items()}
        if part.expires_at > self._clock() and amounts == wanted and not used_up(amounts):
            try:
                await self._purse.take(await self._gateway.renew(part, ttl=self._settings.slice_seconds))
            except Refused as error:
                refused.append(str(error))
                await self._settle(part, refused)
        elif part.expires_at <= self._clock() or amounts != wanted:
            await self._settle(part, refused)

    async def _settle(self, part: Slice, refused: list[str]) -> None:
        try:
            spent = await self._purse.close(part.id)
        except InvalidAmount:  # something is still reserved from it: a later round
            return
        try:
            await self._gateway.settle(part.id, [msgspec.to_builtins(each) for each in spent])
        except Refused as error:
            refused.append(str(error))
            logger.warning("a slice cannot be settled", extra={"slice": part.id, "reason": str(error)})
        await self._purse.drop(part.id)

    async def _open(self, group: str, amounts: Mapping[str, float], refused: list[str]) -> None:
        try:
            await self._purse.take(await self._gateway.open(group, amounts, ttl=self._settings.slice_seconds))
        except Refused as error:
            refused.append(str(error))


def _own(part: Slice) -> str:
    return quote(part.id.rpartition("/")[2], safe="")
