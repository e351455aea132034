"""Lines over TLS: kept, trusted and read as those without."""

import math
import ssl

import pytest
from lines_servers import OK, Scripted, all_of, served
from self_signed import self_signed

from edges.lines.lines import Lines, Stream


@pytest.fixture
def secured(tmp_path):
    """What a server of localhost needs, and what trusts it."""
    pair = self_signed("localhost")
    file = tmp_path / "pair.pem"
    file.write_text(pair.key + pair.certificate)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=pair.certificate)


async def test_over_tls_a_line_is_kept_and_bodies_pass_both_ways(secured):
    server, trusting = secured
    large = bytes(range(256)) * 5000
    script = Scripted([OK], [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large), large], [OK])

    async def pieces():
        for at in range(0, len(large), 70_000):
            yield memoryview(large)[at : at + 70_000]

    async with served(script.serve, server) as url, Lines(tls=trusting) as lines:
        assert await all_of(lines, url) == b"hello"
        answer = await lines.ask("GET", f"{url}/large", {}, stall=math.inf)
        assert await answer.whole(len(large)) == large
        answer.close()
        answer = await lines.ask("PUT", url, {}, body=Stream(pieces(), len(large)))
        assert await answer.rest(100) == b"hello"
        answer.close()
    assert script.connections == 1
    assert script.requests[-1][1] == large


async def test_over_tls_what_a_server_says_unasked_is_never_taken_for_the_next_answer(secured):
    server, trusting = secured
    script = Scripted([OK + OK.replace(b"hello", b"wrong")], [OK])
    async with served(script.serve, server) as url, Lines(tls=trusting) as lines:
        assert await all_of(lines, url) == b"hello"
        assert await all_of(lines, url) == b"hello"
    assert script.connections == 2


async def test_a_certificate_that_nobody_trusts_or_of_another_name_is_refused(secured):
    server, trusting = secured
    script = Scripted([OK])
    async with served(script.serve, server) as url:
        async with Lines() as lines:
            with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
                await lines.ask("GET", url, {})
        async with Lines(tls=trusting) as lines:
            with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
                await lines.ask("GET", url.replace("localhost", "127.0.0.1"), {})
    assert script.requests == []
