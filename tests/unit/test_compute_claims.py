import time

import jwt
import pytest

from edges.compute.claims import ClaimRefused, ClaimSigner, check_secret, read_claim
from edges.compute.dask_gateway import comm_address
from edges.model import ClusterCap, EdgeUser
from edges.site.dask_config import DaskEdge, render_dask_config, write_dask_edge
from edges.site.kernel_gateway import kernel_gateway_command, kernel_gateway_environment

SECRET = "s" * 32
USER = EdgeUser(name="alice", groups=("eo/team",))
CAP = ClusterCap(cores=2.5, memory=1 << 30)


def claims(**changes) -> dict:
    now = int(time.time())
    values = {"iss": "lakegate", "aud": "edge-a", "sub": "alice", "groups": [], "iat": now, "exp": now + 60}
    return {key: value for key, value in (values | changes).items() if value is not None}


def test_a_claim_comes_back_as_it_was_signed() -> None:
    for cap in (CAP, ClusterCap(cores=1, memory=1, gpus=4)):
        token = ClaimSigner(secret=SECRET, audience="edge-a").sign(USER, cap)
        claim = read_claim(token, key=SECRET.encode(), audience="edge-a")
        assert (claim.user, claim.cap) == (USER, cap)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        jwt.encode(claims(), "t" * 32, algorithm="HS256"),
        jwt.encode(claims(), None, algorithm="none"),
        jwt.encode(claims(), SECRET * 2, algorithm="HS512"),
        jwt.encode(claims(aud="edge-b"), SECRET, algorithm="HS256"),
        jwt.encode(claims(aud=["edge-a", "edge-b"]), SECRET, algorithm="HS256"),
        jwt.encode(claims(iss="other"), SECRET, algorithm="HS256"),
        jwt.encode(claims(exp=int(time.time()) - 30), SECRET, algorithm="HS256"),
        jwt.encode(claims(exp=None), SECRET, algorithm="HS256"),
        jwt.encode(claims(exp=int(time.time()) + 3600), SECRET, algorithm="HS256"),
        jwt.encode(claims(iat=int(time.time()) + 3600, exp=int(time.time()) + 3630), SECRET, algorithm="HS256"),
        jwt.encode(claims(sub=""), SECRET, algorithm="HS256"),
        jwt.encode(claims(groups="eo"), SECRET, algorithm="HS256"),
        jwt.encode(claims(cap={"cores": 0, "memory": 1}), SECRET, algorithm="HS256"),
        jwt.encode(claims(cap=[1]), SECRET, algorithm="HS256"),
        jwt.encode(claims(cap={"cores": 1, "memory": 1, "gpus": -1}), SECRET, algorithm="HS256"),
        jwt.encode(claims(cap={"cores": 1, "memory": 1, "gpus": True}), SECRET, algorithm="HS256"),
    ],
)
def test_forged_old_or_foreign_claims_are_refused(token) -> None:
    with pytest.raises(ClaimRefused):
        read_claim(token, key=SECRET.encode(), audience="edge-a")


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="5 bytes; expected at least 32"):
        check_secret("short")


@pytest.mark.parametrize(
    ("url", "proxy", "expected"),
    [
        ("http://edge:8000", None, ("edge", 8000)),
        ("https://edge/dask", None, ("edge", 443)),
        ("http://edge:8000", "comm.edge:8786", ("comm.edge", 8786)),
    ],
)
def test_comms_go_to_the_proxy_address_or_where_the_url_points(url, proxy, expected) -> None:
    assert comm_address(url, proxy) == expected


def test_a_comm_address_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="no host and port"):
        comm_address("http://edge:8000", "edge")


def edge(tmp_path, **changes) -> DaskEdge:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    values = {"edge": "edge-a", "address": "127.0.0.1:1", "proxy_address": "127.0.0.1:2", "secret_file": str(secret)}
    return DaskEdge(**(values | changes))


def test_the_edges_configuration_is_literals_only_and_keeps_its_key(tmp_path) -> None:
    hostile = edge(tmp_path, edge="x'\nimport os #", environment={"AWS_S3_ENDPOINT": "h:1'); boom("})
    path = write_dask_edge(hostile, tmp_path / "dask")
    text = path.read_text()
    compile(text, str(path), "exec")
    assert "\nimport os" not in text
    assert "c.ClusterConfig.scheduler_cmd = ['" in text
    assert "stop_clusters_on_shutdown = False" in text
    key = (tmp_path / "dask" / "db.key").read_text()
    write_dask_edge(hostile, tmp_path / "dask")
    assert (tmp_path / "dask" / "db.key").read_text() == key
    assert (tmp_path / "dask" / "db.key").stat().st_mode & 0o077 == 0


def test_in_process_clusters_are_not_kept_over_a_restart(tmp_path) -> None:
    text = render_dask_config(edge(tmp_path, backend="in-process"), tmp_path, dask="/bin/dask")
    assert "sqlite:///:memory:" in text
    assert "stop_clusters_on_shutdown = True" in text
    assert "cluster_status_period = 86400.0" in text
    assert "status_period" not in render_dask_config(edge(tmp_path), tmp_path, dask="/bin/dask")


def test_a_scheduler_that_is_busy_for_minutes_is_not_taken_for_dead(tmp_path) -> None:
    text = render_dask_config(edge(tmp_path, heartbeat_seconds=5), tmp_path, dask="/bin/dask")
    assert "c.DBBackendBase.cluster_heartbeat_timeout = 180.0" in text


@pytest.mark.parametrize(
    "changes", [{"idle_seconds": 0}, {"address": "host"}, {"proxy_address": ":x"}, {"busy_seconds": 30}]
)
def test_an_edge_that_would_leak_clusters_or_has_no_address_is_refused(tmp_path, changes) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        edge(tmp_path, **changes)


def test_the_kernel_gateways_token_is_in_no_command_line() -> None:
    assert "secret" not in " ".join(kernel_gateway_command(host="127.0.0.1", port=1))
    env = kernel_gateway_environment(token="secret")
    assert env["KG_AUTH_TOKEN"] == "secret"
    assert "DASK_GATEWAY__ADDRESS" in env["KG_ENV_WHITELIST"]
    with pytest.raises(ValueError, match="needs a token"):
        kernel_gateway_environment(token="")
