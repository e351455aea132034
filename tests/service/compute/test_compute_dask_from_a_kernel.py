"""The whole path of a user: a notebook's cell asks for a cluster, without arguments, tokens or addresses."""

import asyncio
import json
import uuid

import aiohttp
import pytest

pytestmark = pytest.mark.service

CELL = """
from dask_gateway import Gateway
async with Gateway(asynchronous=True) as gateway:
    cluster = await gateway.new_cluster()
    (report,) = await gateway.list_clusters()
    client = await cluster.get_client(set_as_default=False)
    await cluster.scale(1)
    print(report.options["edge"], await client.submit(lambda: 6 * 7))
    await client.close()
    await cluster.shutdown()
"""


async def test_a_cell_gets_a_cluster_at_its_kernels_own_edge(
    dask_edges, kernel_edges, serve_dask, serve_kernels
) -> None:
    async with (
        serve_dask(dask_edges) as dask,
        serve_kernels(kernel_edges, dask=dask) as running,
        aiohttp.ClientSession(headers={"Authorization": "token t-alice"}) as session,
    ):
        async with session.post(running.url + "/api/kernels", json={"name": "python3.edge-b"}) as response:
            model = await response.json()
        url = f"{running.url}/api/kernels/{model['id']}"
        async with session.ws_connect(url + "/channels") as socket:
            assert (await execute(socket, CELL)).strip() == "edge-b 42"
        async with session.delete(url) as response:
            assert response.status == 204


async def execute(socket: aiohttp.ClientWebSocketResponse, code: str) -> str:
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "session": uuid.uuid4().hex}
    header |= {"username": "", "date": "", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    await socket.send_str(json.dumps(message | {"channel": "shell", "buffers": []}))
    printed: list[str] = []
    async with asyncio.timeout(90):
        async for frame in socket:
            said = json.loads(frame.data)
            if said["parent_header"].get("msg_id") != header["msg_id"]:
                continue
            if said["msg_type"] == "stream" and said["content"]["name"] == "stdout":
                printed.append(said["content"]["text"])
            elif said["msg_type"] == "error":
                printed.append("\n".join(said["content"]["traceback"]))
            elif said["msg_type"] == "status" and said["content"]["execution_state"] == "idle":
                return "".join(printed)
    raise AssertionError("the websocket ended before the cell did")
