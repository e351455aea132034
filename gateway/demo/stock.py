"""Stocks the sites: makes the scenes, uploads them to the edges' S3 servers, and writes each site's items.

A program of its own (``python -m gateway.demo.stock WORLD``), so that the leading process stays light.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from edges.model import Json
from gateway.demo.scenes import SCENES, located, write_scene
from gateway.demo.world import COLLECTION, EDGES, HUB, HUB_COLLECTION, World, load_world

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def bucket_client(world: World, edge: str) -> "S3Client":
    """Return a plain boto3 client of an edge's S3 server."""
    keys = world.keys[edge]
    return boto3.client(
        "s3",
        endpoint_url=world.s3_url(edge),
        region_name="us-east-1",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def stock(world: World, say: Callable[[str], None]) -> None:
    """Make and distribute all scenes."""
    made = world.path / HUB / "files"
    items = {scene: write_scene(scene, made) for scene in SCENES}
    say(f"made {len(items)} scenes of {len(next(iter(items.values()))['assets'])} bands as cloud-optimised GeoTIFFs")
    for edge in EDGES:
        held = [item for scene, item in items.items() if edge in scene.holders]
        _upload(world, edge, held, made)
        _write(world, edge, [located(item, COLLECTION, f"s3://{edge}/scenes") for item in held])
        say(f"{edge}: uploaded {sum(len(item['assets']) for item in held)} objects of {len(held)} scenes")
    at_hub = [item for scene, item in items.items() if HUB in scene.holders]
    address = f"http://127.0.0.1:{world.hub.files}"
    _write(world, HUB, [located(item, HUB_COLLECTION, address) for item in at_hub])
    _keep_only(made, at_hub)
    say(f"{HUB}: {len(at_hub)} scenes, to be downloaded by HTTP")


def _upload(world: World, edge: str, items: list[Json], made: Path) -> None:
    client = bucket_client(world, edge)
    client.create_bucket(Bucket=edge)
    for item in items:
        for asset in item["assets"].values():
            content = (made / asset["href"]).read_bytes()
            client.put_object(Bucket=edge, Key=f"scenes/{asset['href']}", Body=content, ContentType=asset["type"])


def _write(world: World, site: str, items: list[Json]) -> None:
    path = world.items_file(site)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")


def _keep_only(made: Path, items: list[Json]) -> None:
    """Leave in the hub's folder what the hub has, so that nothing else can be had there."""
    kept = {asset["href"] for item in items for asset in item["assets"].values()}
    for path in made.iterdir():
        if path.name not in kept:
            path.unlink()


if __name__ == "__main__":
    stock(load_world(Path(sys.argv[1])), lambda text: print(text, flush=True))  # noqa: T201 - this program's output
