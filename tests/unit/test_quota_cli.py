"""The commands ``quota`` and ``token``, against a real server and a state folder."""

import asyncio
import json
import threading

import pytest
from aiohttp import web
from click.testing import CliRunner
from served_app import served as serving

from edges.settings import Secret
from gateway.auth import AuthFace, SessionCookies, TokenAuthenticator, auth_middleware
from gateway.cli.quota import quota
from gateway.cli.token import token
from gateway.middleware import problems_middleware
from gateway.quota import QuotaFace
from gateway.quota.admin_face import QuotaAdminFace
from gateway.settings import ApiTokenSettings, AuthSettings
from quotas.model import Charge, Line, Policy
from quotas.sqlite import SqliteLedger

ALICE = Charge(group="eo/coast", user="alice")


class Served:
    """A gateway in a thread of its own, as the commands run an event loop of theirs."""

    def __init__(self, state):
        for name in ("alice", "root"):
            (state / name).write_text(f"{name}-secret")
        tokens = (
            ApiTokenSettings(user="alice", token=Secret(file=str(state / "alice")), groups=("eo/coast",)),
            ApiTokenSettings(user="root", token=Secret(file=str(state / "root")), groups=("ops",), admin=True),
        )
        self.state = state
        self.settings = AuthSettings(tokens=tokens)
        self.ready = threading.Event()
        self.thread = threading.Thread(target=asyncio.run, args=(self.main(),))

    async def main(self):
        policies = [
            Policy(name="cores", group="eo", resource="cores", kind="concurrent", amount=10),
            Policy(name="disk", group="eo", resource="storage_bytes", kind="stock", amount=2**40),
            Policy(name="pace", group="eo", resource="requests", kind="rate", amount=10, window_seconds=60),
        ]
        async with SqliteLedger(self.state / "quotas.sqlite", policies) as ledger:
            await self.serve(ledger)

    async def serve(self, ledger):
        for n in range(3):
            await ledger.reserve(f"k{n}", ALICE, [Line(resource="cores", amount=1)], ttl=600, why="a test")
        authenticator = TokenAuthenticator(self.settings, state=self.state)
        cookies = SessionCookies(b"k")
        gate = auth_middleware([authenticator], settings=self.settings, cookies=cookies)
        app = web.Application(middlewares=[problems_middleware, gate])
        app.add_routes(AuthFace(authenticator=authenticator, cookies=cookies).routes())
        app.add_routes(QuotaAdminFace(office=ledger).routes())
        app.add_routes(QuotaFace(ledger=ledger, public_url="http://lake.example").routes())
        self.stopping = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        async with authenticator.running(), serving(app) as self.url:
            self.ready.set()
            await self.stopping.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("state"))
    served.thread.start()
    assert served.ready.wait(20)
    yield served
    served.loop.call_soon_threadsafe(served.stopping.set)
    served.thread.join(20)


def run(command, *arguments, served=None, user="alice"):
    env = {"COLUMNS": "200"}
    if served is not None:
        env |= {"LAKEGATE_URL": served.url, "LAKEGATE_TOKEN": f"{user}-secret"}
    return CliRunner().invoke(command, list(arguments), env=env)


def test_quota_show_tells_where_one_stands(served):
    told = run(quota, "show", served=served)
    assert told.exit_code == 0, told.output
    assert "cores" in told.output
    assert "7 cores" in told.output
    assert "1 TiB" in told.output
    assert "10 requests in 60 s" in told.output
    document = json.loads(run(quota, "show", "eo", "--json", served=served).output)
    assert document["group"] == "eo"
    refused = run(quota, "show", "met", served=served)
    assert (refused.exit_code, "not in group" in refused.output) == (3, True)


def test_quota_check_exits_by_its_answer(served):
    fits = run(quota, "check", "cores=2@edge-a", "storage_bytes=1GiB", served=served)
    assert (fits.exit_code, "eo/coast would pay" in fits.output) == (0, True)
    refused = run(quota, "check", "cores=8", served=served)
    assert (refused.exit_code, "'cores' of group eo" in refused.output) == (3, True)
    document = json.loads(run(quota, "check", "cores=80", "--json", served=served).output)
    assert document["refusal"]["status"] == 422
    for wrong in ("cores", "cores=", "cores=many", "=3"):
        assert run(quota, "check", wrong, served=served).exit_code == 2
    assert run(quota, "check", "gold=1", served=served).exit_code == 3
    assert run(quota, "check", "cores=1", "--group", "met", served=served).exit_code == 3


def test_quota_history_is_shown_by_pages_or_whole(served):
    page = run(quota, "history", "eo/coast", "--limit", "2", served=served)
    assert (page.exit_code, "a test" in page.output, "--after 2" in page.output) == (0, True, True)
    whole = run(quota, "history", "eo/coast", "--limit", "2", "--all", "--json", served=served)
    assert [each["key"] for each in json.loads(whole.output)["entries"]] == ["k0", "k1", "k2"]


def test_history_is_filtered_and_printed_by_lines(served):
    lines = run(quota, "history", "eo/coast", "--limit", "1", "--all", "--ndjson", served=served).output.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["k0", "k1", "k2"]
    nothing = run(quota, "history", "eo/coast", "--event", "commit", served=served)
    assert (nothing.exit_code, "Nothing was charged" in nothing.output) == (0, True)
    assert run(quota, "history", "eo/coast", "--event", "theft", served=served).exit_code == 3


def test_usage_is_told_over_time(served):
    told = run(quota, "usage", "eo/coast", "cores", "--last", "1h", "--step", "1h", served=served)
    assert (told.exit_code, "alice" in told.output) == (0, True), told.output
    series = json.loads(run(quota, "usage", "eo", "cores", "--by", "edge", "--json", served=served).output)["series"]
    assert [each["edge"] for each in series] == ["*"]
    assert run(quota, "usage", "eo", "gold", served=served).exit_code == 3


def test_who_waits_is_told(served):
    waiting = run(quota, "waiting", served=served)
    assert (waiting.exit_code, "Nobody waits" in waiting.output) == (0, True), waiting.output


def test_an_administrator_changes_policies_and_raises_limits(served):
    def ask(*arguments, user="root"):
        return run(quota, *arguments, served=served, user=user)

    new = ("set-policy", "course", "--group", "eo/coast", "--resource", "memory", "--kind", "concurrent")
    made = ask(*new, "--amount", "8Gi", "--applies", "each-user", "--why", "a course")
    assert (made.exit_code, "policy course holds" in made.output) == (0, True), made.output
    assert "8 GiB" in ask("policies", user="alice").output
    assert run(quota, "check", "memory=9Gi", served=served).exit_code == 3
    raised = ask("grant", "course", "eo/coast/~alice", "--amount", "2Gi", "--for", "1d", "--why", "exam", "--json")
    grant = json.loads(raised.output)["id"]
    assert run(quota, "check", "memory=9Gi", served=served).exit_code == 0
    assert grant in ask("grants", user="alice").output
    assert ask("revoke", grant, "--why", "over").exit_code == 0
    assert ask("revoke", grant, "--why", "over").exit_code == 3
    assert ask("delete-policy", "course", "--why", "over").exit_code == 0
    assert ask("delete-policy", "course", "--why", "over", user="alice").exit_code == 3
    monthly = ("--kind", "window", "--month", "--amount", "6TB", "--why", "as elsewhere")
    assert ask("set-policy", "m", "--group", "*", "--resource", "egress_bytes", *monthly).exit_code == 0
    assert "a month" in ask("policies").output
    assert ask("set-policy", "m", "--group", "*", "--resource", "cores", *monthly[:-2]).exit_code == 2


def test_tokens_are_managed_through_the_gateway(served):
    made = run(
        token, "create", "--user", "bob", "--group", "eo", "--expires", "30d", "--json", served=served, user="root"
    )
    assert made.exit_code == 0, made.output
    document = json.loads(made.output)
    listed = run(token, "list", served=served, user="root")
    assert document["id"] in listed.output
    assert document["token"] not in listed.output
    assert run(token, "revoke", document["id"], served=served, user="root").exit_code == 0
    assert run(token, "revoke", document["id"], served=served, user="root").exit_code == 3
    assert run(token, "list", served=served).exit_code == 3


def test_tokens_are_managed_in_the_state_folder(tmp_path):
    here = ("--state", str(tmp_path))
    made = run(token, "create", "--user", "bob", "--group", "eo", "--scope", "read", *here)
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("lg_")
    assert "expires: never" in made.stderr
    (listed,) = json.loads(run(token, "list", "--json", *here).output)["tokens"]
    assert (listed["user"], listed["groups"], listed["scopes"]) == ("bob", ["eo"], ["read"])
    assert run(token, "revoke", listed["id"], *here).exit_code == 0
    assert run(token, "revoke", listed["id"], *here).exit_code == 3
    assert "read" in run(token, "list", *here).output


def test_wrong_options_are_told(tmp_path):
    here = ("--state", str(tmp_path))
    assert run(token, "create", "--user", "bob", "--expires", "soon", *here).exit_code == 2
    assert run(token, "create", "--user", "bob", "--group", "a//b", *here).exit_code == 2
    assert run(token, "list", "--state", str(tmp_path / "none")).exit_code == 2
    (tmp_path / "tokens.sqlite").write_text("no database" * 100)
    assert run(token, "list", *here).exit_code == 1


def test_no_gateway_is_an_exit_code_of_its_own():
    answer = run(quota, "show", "--url", "http://127.0.0.1:9")
    assert answer.exit_code == 4
