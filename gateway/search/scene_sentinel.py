"""Scenes of the Sentinels, by ESA's product names and by what providers keep of them. Pure.

Sources: Sentinel-1 Product Specification (S1-RS-MDA-52-7441) §3.4.1, Sentinel-2 Product Specification Document
(S2-PDGS-TAS-DI-PSD) §2, Sentinel-3 PDGS File Naming Convention (EUM/LEO-SEN3/SPE/10/0070), Sentinel-5P PDGS
(S5P-PDGS) naming. A datatake of Sentinel-2 may be cut into several datastrips, whose parts of one tile complement
each other: without the datastrip's start an observation is not known.
"""

import re

from gateway.search.scene import Facts, Scene, Span, compact_time, from_moment, named

_TIME = r"\d{8}T\d{6}"
_S1 = re.compile(
    rf"(S1[A-D])_([A-Z0-9]{{2}})_([A-Z0-9_]{{4}})_(\d[A-Z]{{3}})_({_TIME})_({_TIME})_(\d{{6}})_([0-9A-F]{{6}})"
    r"(?:_([0-9A-F]{4}))?(_COG)?"
)
_S2 = re.compile(rf"(S2[A-D])_MSI(L1C|L2A)_({_TIME})_(?:N\d{{4}}_)?(?:R\d{{3}})_T(\d\d[A-Z]{{3}})_({_TIME})")
_S2_DATATAKE = re.compile(rf"G(S2[A-D])_({_TIME})_\d+_N[\d.]+")
_S2_DATASTRIP = re.compile(rf".*_S({_TIME})_N[\d.]+")
_S2_BY_STRIP = re.compile(rf"(S2[A-D])_T(\d\d[A-Z]{{3}})_({_TIME})_(L1C|L2A)")
_S2_TILE = re.compile(r"(?:MGRS-|T)?(\d{1,2}[A-Z]{3})")
_S2_LEVELS = {"S2MSI1C": "L1C", "S2MSI2A": "L2A", "S2MSI2Ap": "L2A"}
_S3 = re.compile(
    rf"(S3[A-D])_([A-Z]{{2}}_\d_[A-Z0-9_]{{6}})_({_TIME})_({_TIME})_({_TIME})_([A-Z0-9_]{{17}})"
    r"_([A-Z0-9]{3})_[A-Z]_(NR|ST|NT)_\d{3}"
)
_S3_SHORT = re.compile(rf"(S3[A-D])_([A-Z]{{2}}_\d_[A-Z0-9]+)_+({_TIME})_({_TIME})_([A-Z0-9_]+)")
_S5P = re.compile(rf"S5P_([A-Z]{{4}})_(L\d[A-Z0-9_]{{8}})_({_TIME})_({_TIME})_(\d{{5}})_(\d\d)_(\d{{6}})_({_TIME})")


def sentinel_1(facts: Facts) -> Scene | None:
    """Read a Sentinel-1 product: its last four digits tell productions apart; some tell them in addresses only."""
    found = named(_S1, facts, facts.told.s1_product)
    if found is None:
        return None
    observation = ("s1", *found.groups()[:8])
    unique = found[9] or _code_in_assets(found[0], facts.assets)
    return _scene(observation, unique, from_moment(found[5], before=60, after=60))


def _code_in_assets(name: str, assets: bytes) -> str | None:
    pattern = rb"%b_([0-9A-F]{4})(?![0-9A-Za-z])" % re.escape(name.encode())
    codes = {found[1].decode() for found in re.finditer(pattern, assets)}
    return codes.pop() if len(codes) == 1 else None


def sentinel_2(facts: Facts) -> Scene | None:
    """Read a Sentinel-2 tile: by its product's name, else by the identifiers of datatake, tile and level."""
    told = facts.told
    found = named(_S2, facts, told.product_uri, told.product_id, told.product_title)
    if found is not None:
        platform, level, datatake, tile, produced = found.groups()
    else:
        parts = _s2_parts(facts)
        if parts is None:
            return None
        platform, level, datatake, tile, produced = parts
    kind = next((kind for kind in (told.s2_type, told.product_type) if isinstance(kind, str)), None)
    if kind is not None and _S2_LEVELS.get(kind) != level:
        return None  # derived from the product whose name it keeps
    scene = ("s2", platform, level, datatake, tile)
    strip = _datastrip(facts, platform, tile, level)
    around = from_moment(datatake, before=10, after=120)
    if around is None:
        return None
    return Scene(
        observation=(*scene, strip) if strip is not None else None,
        product=(*scene, produced) if produced is not None else None,
        around=around,
    )


def _s2_parts(facts: Facts) -> tuple[str, str, str, str, str | None] | None:
    told = facts.told
    datatake = _fullmatch(_S2_DATATAKE, told.s2_datatake, told.eopf_datatake)
    tile = _fullmatch(_S2_TILE, told.mgrs_tile, told.grid_code)
    kind = next((kind for kind in (told.s2_type, told.product_type) if isinstance(kind, str)), "")
    if datatake is None or tile is None or kind not in _S2_LEVELS:
        return None
    return datatake[1], _S2_LEVELS[kind], datatake[2], tile[1].zfill(5), compact_time(told.s2_generated)


def _datastrip(facts: Facts, platform: str, tile: str, level: str) -> str | None:
    """Return when the datastrip's sensing began; some providers tell it in the item's id only."""
    found = _fullmatch(_S2_DATASTRIP, facts.told.s2_datastrip, facts.told.eopf_datastrip)
    if found is not None:
        return found[1]
    short = _S2_BY_STRIP.fullmatch(facts.id)
    return short[3] if short is not None and (short[1], short[2], short[4]) == (platform, tile, level) else None


def _fullmatch(pattern: re.Pattern[str], *values: object) -> re.Match[str] | None:
    return next((match for value in values if isinstance(value, str) and (match := pattern.fullmatch(value))), None)


def sentinel_3(facts: Facts) -> Scene | None:
    """Read a Sentinel-3 product: near real time, short time critical and non time critical are productions of one."""
    found = named(_S3, facts)
    if found is None and (short := named(_S3_SHORT, facts)) is not None:
        wanted = _s3_observation(short[1], short[2], short[3], short[5])
        told = {name.decode() for name in re.findall(rb"S3[A-D]_[A-Z0-9_]{90}", facts.assets)}
        whole = {match[0]: match for name in told if (match := _S3.match(name)) is not None}
        fitting = [match for match in whole.values() if _s3_observation(*match.group(1, 2, 3, 6)) == wanted]
        found = fitting[0] if len(fitting) == 1 else None
        if found is None:
            return _scene(wanted, None, from_moment(short[3], before=60, after=180))
    if found is None:
        return None
    observation = _s3_observation(*found.group(1, 2, 3, 6))
    return _scene(observation, f"{found[5]}-{found[8]}", from_moment(found[3], before=60, after=180))


def _s3_observation(platform: str, kind: str, start: str, instance: str) -> tuple[str, ...]:
    return ("s3", platform, kind.rstrip("_"), start, instance.rstrip("_"))


def sentinel_5p(facts: Facts) -> Scene | None:
    """Read a Sentinel-5P product: near real time, offline and reprocessed are productions of one."""
    found = named(_S5P, facts)
    if found is None:
        return None
    mode, kind, start, end, orbit, *production = found.groups()
    observation = ("s5p", kind.rstrip("_"), start, end, orbit)
    return _scene(observation, "-".join([mode, *production]), from_moment(start, before=60, after=180))


def _scene(observation: tuple[str, ...], production: str | None, around: Span | None) -> Scene | None:
    if around is None:
        return None
    return Scene(
        observation=observation,
        product=(*observation, production) if production is not None else None,
        around=around,
    )
