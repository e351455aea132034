import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from free_ports import free_port
from lakegate_command import TOKEN, House, item, serving, written


@contextmanager
def served_gateway(folder: Path, sites: list[Any]) -> Iterator[str]:
    """Serve a gateway by its command; gives its address."""
    folder.mkdir()
    (folder / "token").write_text(TOKEN)
    content = {
        "server": {"port": free_port(), "state": str(folder / "state")},
        "auth": {"tokens": [{"user": "alice", "token": {"file": str(folder / "token")}, "groups": ["root/eo"]}]},
        "sites": sites,
        "limits": {"probe_seconds": 3600},
    }
    file = written(folder / "gateway.yaml", content)
    with serving("serve", "--config", str(file), log=folder / "log") as served:
        told = served.line()
        assert "listens at" in told, (folder / "log").read_text()
        yield told.split()[-1]


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    items = folder / "items.ndjson"
    items.write_text("\n".join(json.dumps(item(f"i{n:02}", "c", n + 1, **{"eo:cloud_cover": n})) for n in range(25)))
    with serving("site", "serve", "--items", str(items), "--port", "0", "--json", log=folder / "site.log") as site:
        alive = {"id": "alive", "kind": "edge", "catalogue": {"url": json.loads(site.line())["url"]}}
        dead = {"id": "dead", "kind": "hub", "catalogue": {"url": "http://127.0.0.1:9", "timeout_seconds": 2}}
        with (
            served_gateway(folder / "whole", [alive]) as whole,
            served_gateway(folder / "partial", [alive, dead]) as partial,
        ):
            yield House(whole, partial)
