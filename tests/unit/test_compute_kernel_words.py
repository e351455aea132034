import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edges.compute.model import KernelModel
from edges.errors import InvalidInput
from gateway.kernels.buffers import needs_text, without_buffers
from gateway.kernels.environment import KernelLogin, kernel_environment, read_environment, wished_collections
from gateway.kernels.model import KernelRecord
from gateway.kernels.specs import merge_specs, split_name


def spec(name: str, display: str = "Python 3") -> dict:
    return {
        "name": name,
        "spec": {"display_name": display, "language": "python", "argv": [], "metadata": {"debugger": True}},
        "resources": {"logo-64x64": f"/base/kernelspecs/{name}/logo-64x64.png", "evil": "//evil.example/.."},
    }


OFFERS = {
    "edge-a": {"default": "python3", "kernelspecs": {"python3": spec("python3")}},
    "edge-b": {"default": "ir", "kernelspecs": {"ir": spec("ir", "R"), "python3": spec("python3"), "bad": 3}},
}


def test_specs_carry_their_edge_in_name_display_name_and_metadata() -> None:
    merged = merge_specs(OFFERS)
    assert merged["default"] == "python3"
    assert set(merged["kernelspecs"]) == {"python3", "ir", "python3.edge-a", "python3.edge-b", "ir.edge-b"}
    entry = merged["kernelspecs"]["python3.edge-b"]
    assert entry["name"] == "python3.edge-b"
    assert entry["spec"]["display_name"] == "Python 3 @ edge-b"
    assert entry["spec"]["metadata"] == {"debugger": True, "lakegate": {"edge": "edge-b"}}
    assert entry["resources"] == {"logo-64x64": "/kernelspecs/python3.edge-b/logo-64x64.png"}
    assert merged["kernelspecs"]["ir"]["resources"] == {"logo-64x64": "/kernelspecs/ir.edge-b/logo-64x64.png"}


def test_no_edge_no_specs() -> None:
    assert merge_specs({}) == {"default": "", "kernelspecs": {}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python3.edge-a", ("python3", "edge-a")),
        ("python3.11.edge-a", ("python3.11", "edge-a")),
        ("python3.11", ("python3.11", None)),
        (".edge-a", (".edge-a", None)),
        ("", ("", None)),
    ],
)
def test_the_edge_is_the_last_part_of_a_name(name, expected) -> None:
    assert split_name(name, ["edge-a"]) == expected


def test_a_kernels_name_is_ours_and_its_folder_is_dropped() -> None:
    env = kernel_environment(
        {
            "KERNEL_USERNAME": "root",
            "KERNEL_ID": "x",
            "KERNEL_WORKING_DIR": "/",
            "KERNEL_X": "1",
            "DASK_GATEWAY__ADDRESS": "e",
        },
        kernel_id="id",
        user="alice",
        edge="edge-a",
        login=KernelLogin(url="http://gateway", token="secret"),
    )
    assert env["KERNEL_USERNAME"] == "alice"
    assert env["KERNEL_ID"] == "id"
    assert env["KERNEL_X"] == "1"
    assert env["DASK_GATEWAY__ADDRESS"] == "http://gateway"
    assert env["DASK_GATEWAY__AUTH__KWARGS__PASSWORD"] == "secret"
    assert "KERNEL_WORKING_DIR" not in env


@pytest.mark.parametrize(
    "value", [3, ["a"], {"A": 1}, {"A": "x" * 5000}, {f"A{i}": "" for i in range(65)}, {"A B": ""}, {"A": "\0"}]
)
def test_a_wrong_environment_is_refused(value) -> None:
    with pytest.raises(InvalidInput, match="env"):
        read_environment(value)


def test_a_wish_for_data_comes_by_a_variable() -> None:
    assert wished_collections({"KERNEL_COLLECTIONS": "s2, s1"}) == ("s2", "s1")
    assert wished_collections(read_environment(None)) == ()


def binary(message: dict, *buffers: bytes) -> bytes:
    parts = [json.dumps(message).encode(), *buffers]
    offsets = [4 * (len(parts) + 1)]
    for part in parts[:-1]:
        offsets.append(offsets[-1] + len(part))
    return struct.pack(f"!{len(parts) + 1}I", len(parts), *offsets) + b"".join(parts)


@given(st.lists(st.binary(max_size=50), max_size=4))
def test_the_json_part_is_taken_out_of_a_binary_frame(buffers) -> None:
    message = {"header": {"msg_type": "comm_msg"}, "content": {"é": 1}}
    text = without_buffers(binary(message, *buffers))
    assert isinstance(text, str)
    assert json.loads(text) == message


@given(st.binary(max_size=200))
def test_no_bytes_break_the_taking_out(frame) -> None:
    without_buffers(frame)


def test_only_tornado_without_a_subprotocol_needs_text() -> None:
    assert needs_text(user_agent="Tornado/6.6.1", subprotocols="")
    assert not needs_text(user_agent="Tornado/6.6.1", subprotocols="v1.kernel.websocket.jupyter.org")
    assert not needs_text(user_agent="Mozilla/5.0", subprotocols="")
    assert without_buffers("text") == "text"


def test_a_silent_edges_kernel_is_unknown_with_an_instant_that_jupyter_can_read() -> None:
    record = KernelRecord(
        id="r", user="u", charging_group="g", edge="a", spec="python3", lease="k", created_at=0.0, kernel_id="k"
    )
    assert record.shown(None) == {
        "id": "k",
        "name": "python3.a",
        "last_activity": "1970-01-01T00:00:00.000000Z",
        "execution_state": "unknown",
        "connections": 0,
    }
    odd = KernelModel(id="k", name="python3", last_activity="yesterday", execution_state="idle", connections=2)
    assert record.shown(odd)["last_activity"] == "1970-01-01T00:00:00.000000Z"
    assert record.shown(odd)["connections"] == 2
