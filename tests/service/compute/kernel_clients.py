"""What the tests of the Jupyter face share: users, cells run over a kernel's websocket, a real Jupyter server."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from compute_edges import answers, process
from free_ports import free_port
from waiting import wait_until

ALICE = {"Authorization": "token t-alice"}
BOB = {"Authorization": "token t-bob"}


@asynccontextmanager
async def user(headers) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=headers) as session:
        yield session


async def call(session, method, url, *, status, **options):
    async with session.request(method, url, **options) as response:
        text = await response.text()
        assert response.status == status, text
        return json.loads(text) if text else None


async def send_cell(socket: aiohttp.ClientWebSocketResponse, code: str) -> str:
    """Send a cell over the legacy protocol; return the id of its message."""
    name = uuid.uuid4().hex
    header = {"msg_id": name, "msg_type": "execute_request", "session": uuid.uuid4().hex}
    header |= {"username": "", "date": "", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    await socket.send_str(json.dumps(message | {"channel": "shell", "buffers": []}))
    return name


async def execute(socket: aiohttp.ClientWebSocketResponse, code: str, *, seconds: float = 30.0) -> str:
    """Run a cell; return what it printed, warnings among it, and the trace where it failed."""
    cell = await send_cell(socket, code)
    printed: list[str] = []
    async with asyncio.timeout(seconds):
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            said = json.loads(message.data)
            if said["parent_header"].get("msg_id") != cell:
                continue
            if said["msg_type"] == "stream":
                printed.append(said["content"]["text"])
            elif said["msg_type"] == "error":
                printed.append("\n".join(said["content"]["traceback"]))
            elif is_idle(said):
                return "".join(printed)
    raise AssertionError("the websocket ended before the cell did")


def is_idle(said) -> bool:
    """Tell whether a message says that its kernel has done what it was asked."""
    return said["msg_type"] == "status" and said["content"]["execution_state"] == "idle"


@asynccontextmanager
async def jupyter_server(gateway_url: str, folder) -> AsyncIterator[str]:
    """Run a real ``jupyter server --gateway-url``; yield its address."""
    env = os.environ | {
        "JUPYTER_GATEWAY_AUTH_TOKEN": "t-alice",
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "run"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "KERNEL_USERNAME": "not-alice",
    }
    port = free_port()
    command = [
        *(sys.executable, "-m", "jupyter_server", f"--gateway-url={gateway_url}", "--allow-root", "--no-browser"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *("--IdentityProvider.token=local", f"--ServerApp.root_dir={folder}"),
        "--ServerApp.tornado_settings={'websocket_max_message_size': 67108864}",
    ]
    address = f"http://127.0.0.1:{port}"
    with process(command, env=env, log=folder / "jupyter.log"):
        await asyncio.to_thread(wait_until, lambda: answers(address + "/api/status?token=local"), seconds=40)
        yield address
