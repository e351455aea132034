import json

import pytest

from gateway.kernels.largest import MOST_BYTES, told_if_too_large


def message(text: str, *, channel: str = "iopub", kind: str = "display_data") -> str:
    header = {"msg_id": "m", "msg_type": kind, "session": "s"}
    return json.dumps(
        {"header": header, "parent_header": {"msg_id": "cell"}, "content": {"x": text}, "channel": channel},
        ensure_ascii=False,
    )


@pytest.mark.parametrize("frame", [message("x"), message("x" * (MOST_BYTES - 1_000)), message("é" * 5_000_000), b"b"])
def test_what_a_client_can_take_passes_as_it_is(frame) -> None:
    assert told_if_too_large(frame) is frame


def test_an_output_that_is_too_large_becomes_a_line_of_the_same_cell() -> None:
    for text in ("x" * 12_000_000, "é" * 6_000_000):
        told = json.loads(told_if_too_large(message(text)))
        assert told["header"]["msg_type"] == "stream"
        assert told["parent_header"] == {"msg_id": "cell"}
        assert told["content"]["name"] == "stderr"
        assert "12.0 MB was left out" in told["content"]["text"]


def test_who_waits_for_a_reply_gets_an_error_in_its_place() -> None:
    told = json.loads(told_if_too_large(message("x" * 12_000_000, channel="shell", kind="inspect_reply")))
    assert (told["header"]["msg_type"], told["channel"]) == ("inspect_reply", "shell")
    assert told["content"]["status"] == "error"


def test_the_echo_of_a_large_cell_keeps_its_number() -> None:
    large = json.loads(message("", kind="execute_input")) | {
        "content": {"code": "x" * 12_000_000, "execution_count": 7}
    }
    told = json.loads(told_if_too_large(json.dumps(large)))
    assert told["header"]["msg_type"] == "execute_input"
    assert told["content"]["execution_count"] == 7
    assert len(told["content"]["code"]) < 200


def test_what_is_no_message_passes() -> None:
    frame = "x" * 12_000_000
    assert told_if_too_large(frame) is frame
