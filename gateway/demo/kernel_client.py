"""A Jupyter client of a few lines, speaking the protocol as its specification says (Jupyter messaging 5.3)."""

import asyncio
import uuid
from datetime import UTC, datetime

import aiohttp

from edges.model import Json

_CELL_SECONDS = 60.0


async def run_cell(url: str, token: str, spec: str, code: str) -> str:
    """Start a kernel, run one cell, end the kernel; return what the cell printed.

    Raises:
        RuntimeError: the gateway refuses, or the cell raised.
        TimeoutError: the cell did not end in time.
    """
    headers = {"Authorization": f"token {token}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=_CELL_SECONDS)) as session:
        async with session.post(f"{url}/api/kernels", json={"name": spec}) as response:
            kernel = await response.json()
            if response.status != 201:
                raise RuntimeError(f"no kernel {spec}: {kernel}")
        try:
            async with asyncio.timeout(_CELL_SECONDS):
                return await _executed(session, f"{url}/api/kernels/{kernel['id']}/channels", code)
        finally:
            async with session.delete(f"{url}/api/kernels/{kernel['id']}"):
                pass


async def _executed(session: aiohttp.ClientSession, url: str, code: str) -> str:
    session_id = uuid.uuid4().hex
    printed: list[str] = []
    async with session.ws_connect(f"{url}?session_id={session_id}", max_msg_size=0) as socket:
        request = _execute_request(session_id, code)
        await socket.send_json(request)
        async for frame in socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                continue
            message = frame.json()
            if message.get("parent_header", {}).get("msg_id") != request["header"]["msg_id"]:
                continue
            content, kind = message["content"], message["header"]["msg_type"]
            if kind == "stream":
                printed.append(content["text"])
            elif kind == "error":
                raise RuntimeError(f"{content['ename']}: {content['evalue']}")
            elif kind == "status" and content["execution_state"] == "idle":
                return "".join(printed)
    raise RuntimeError("the kernel's connection was closed before the cell ended")


def _execute_request(session_id: str, code: str) -> Json:
    return {
        "channel": "shell",
        "header": {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": session_id,
            "username": "",
            "date": datetime.now(UTC).isoformat(),
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False, "store_history": False, "allow_stdin": False},
        "buffers": [],
    }
