"""A real Kubernetes API server (etcd and kube-apiserver) for tests, on free ports.

The programs are built once, of ``tools/kubernetes``, into the cache folder: ``python tests/kubernetes_api.py``.
A test run does not wait for that: it skips where they are not there, and builds where they are required.
"""

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from free_ports import free_port
from waiting import wait_until

VERSION = "1.34.4"
MODULE = Path(__file__).resolve().parents[1] / "tools" / "kubernetes"
PROGRAMS = {"kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver", "etcd": "go.etcd.io/etcd/server/v3"}
ADMIN_TOKEN = secrets.token_hex(16)
READY_SECONDS = 60.0


def folder() -> Path:
    """Where the programs are kept: named by what they are built of, so that a change builds them again."""
    cache = os.environ.get("LAKEGATE_CACHE")
    root = Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lakegate"
    digest = hashlib.sha256((MODULE / "go.sum").read_bytes()).hexdigest()[:12]
    return root / f"kubernetes-{VERSION}-{digest}"


def missing() -> str:
    """Say why there can be no API server; empty where there can."""
    if all((folder() / name).exists() for name in PROGRAMS):
        return ""
    if shutil.which("go") is None:
        return f"no kube-apiserver in {folder()}, and no Go to build it with"
    return "kube-apiserver was not built yet: run `python tests/kubernetes_api.py` once (some minutes)"


def build() -> float:
    """Build what is missing, one process at a time; return how long it took, in seconds."""
    target = folder()
    target.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, package in PROGRAMS.items():
            if not (target / name).exists():
                _build(package, target / name)
    return time.monotonic() - began


def _build(package: str, target: Path) -> None:
    major, minor, _ = VERSION.split(".")
    told = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    stamps = " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in told.items())
    command = ["nice", "-n", "19", "go", "build", "-trimpath", "-ldflags", f"-s -w {stamps}", "-o", f"{target}.new"]
    environment = {"GOMAXPROCS": "2", "GOFLAGS": "-buildvcs=false -mod=readonly", "CGO_ENABLED": "0"}
    subprocess.run([*command, package], cwd=MODULE, check=True, env=dict(os.environ) | environment)
    Path(f"{target}.new").rename(target)


@dataclass
class KubernetesApi:
    """A running API server. ``kubeconfig`` lets its administrator in."""

    folder: Path
    port: int = field(default_factory=free_port)
    etcd_port: int = field(default_factory=free_port)
    started_seconds: float = 0.0
    _etcd: "subprocess.Popen[bytes] | None" = None
    _server: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.folder / "certificates" / "apiserver.crt"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def prepare(self) -> None:
        """Make the keys by which service accounts are signed, and the administrator's token."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / "service-accounts.key").write_bytes(private)
        (self.folder / "tokens.csv").write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')
        self.kubeconfig.write_text(self.config_for(ADMIN_TOKEN))
        rules = [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}]
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
        (self.folder / "audit.json").write_text(json.dumps(policy))

    def config_for(self, token: str) -> str:
        """The text of a kubeconfig for a token."""
        cluster = {"server": self.url, "certificate-authority": str(self.certificate)}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": {"token": token}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "current-context": "test",
            }
        )

    def start_etcd(self) -> None:
        clients, peers = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{free_port()}"
        flags = {
            "data-dir": str(self.folder / "etcd"),
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
            "unsafe-no-fsync": "true",
        }
        self._etcd = self._run("etcd", flags)

    def start(self) -> None:
        """Start the API server (again), and wait until it is ready."""
        key = str(self.folder / "service-accounts.key")
        began = time.monotonic()
        flags = {
            "etcd-servers": f"http://127.0.0.1:{self.etcd_port}",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": str(self.port),
            "cert-dir": str(self.folder / "certificates"),
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "service-account-issuer": "https://kubernetes.default.svc",
            "token-auth-file": str(self.folder / "tokens.csv"),
            "authorization-mode": "RBAC",
            "service-cluster-ip-range": "10.0.0.0/24",
            "endpoint-reconciler-type": "none",
            # There is no controller that makes the default service accounts.
            "disable-admission-plugins": "ServiceAccount",
            "min-request-timeout": "5",
            "shutdown-delay-duration": "0s",
            "audit-policy-file": str(self.folder / "audit.json"),
            "audit-log-path": str(self.folder / "audit.log"),
        }
        self._server = self._run("kube-apiserver", flags)
        self._wait()
        self.started_seconds = time.monotonic() - began

    def stop(self) -> None:
        """End the API server at once; what it stored stays."""
        _end(self._server)
        self._server = None

    def close(self) -> None:
        self.stop()
        _end(self._etcd)

    def request(self, method: str, path: str, body: Any = None, *, token: str = ADMIN_TOKEN, kind: str = "") -> Any:
        """Make a request; return the decoded answer. Raises ``urllib.error.HTTPError``."""
        context = ssl.create_default_context(cafile=self.certificate)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind or "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, context=context, timeout=20) as answer:  # noqa: S310
            content = answer.read()
        return json.loads(content) if content[:1] == b"{" else content.decode()

    def apply(self, document: dict[str, Any], *, token: str = ADMIN_TOKEN) -> Any:
        """Apply an object server-side, as ``kubectl apply --server-side`` does."""
        kind = "application/apply-patch+yaml"
        where = f"{object_path(document)}?fieldManager=kubectl&force=true"
        return self.request("PATCH", where, document, token=token, kind=kind)

    def token_of(self, namespace: str, account: str) -> str:
        """A token of a service account, as a pod would have it mounted."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        return str(self.request("POST", path, asked)["status"]["token"])

    def audited(self, account: str) -> list[dict[str, Any]]:
        """What a service account (``namespace:name``) asked for so far, as the API server noted it."""
        lines = (self.folder / "audit.log").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.endswith("}")]
        return [each for each in events if each["user"]["username"] == f"system:serviceaccount:{account}"]

    def secret(self, namespace: str, name: str, **values: str) -> None:
        """Store a secret."""
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        meta = {"name": name, "namespace": namespace}
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})

    def _run(self, name: str, flags: dict[str, str]) -> "subprocess.Popen[bytes]":
        command = [str(folder() / name), *(f"--{flag}={value}" for flag, value in flags.items())]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)

    def _wait(self) -> None:
        def is_ready() -> bool:
            if self._server is not None and self._server.poll() is not None:
                raise RuntimeError(f"the API server ended with {self._server.returncode}")
            with contextlib.suppress(OSError, urllib.error.URLError):
                return bool(self.request("GET", "/readyz") == "ok")
            return False

        try:
            wait_until(is_ready, seconds=READY_SECONDS, what="the API server")
        except (RuntimeError, TimeoutError) as error:
            log = (self.folder / "kube-apiserver.log").read_text()
            raise RuntimeError(f"no API server: {error}: {log[-2_000:]}") from error


PLURALS = {"CustomResourceDefinition": "customresourcedefinitions"}
UNNAMESPACED = {
    "Namespace",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleBinding",
    "EdgeSite",
    "GroupQuota",
    "PriorityClass",
}


def object_path(document: dict[str, Any]) -> str:
    """The path of an object."""
    version, kind, meta = document["apiVersion"], document["kind"], document["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    plural = PLURALS.get(kind, kind.lower() + ("es" if kind.endswith("s") else "s"))
    if kind == "NetworkPolicy":
        plural = "networkpolicies"
    elif kind == "Ingress":
        plural = "ingresses"
    place = "" if kind in UNNAMESPACED else f"/namespaces/{meta.get('namespace', 'default')}"
    return f"{root}{place}/{plural}/{meta['name']}"


def _end(process: "subprocess.Popen[bytes] | None") -> None:
    if process is not None:
        process.kill()
        process.wait(30)


@contextlib.contextmanager
def running_kubernetes() -> Iterator[KubernetesApi]:
    """Run an API server of its own while the context lasts."""
    place = Path(tempfile.mkdtemp(prefix="lakegate-kubernetes-", dir="/tmp"))
    api = KubernetesApi(folder=place)
    try:
        api.prepare()
        api.start_etcd()
        api.start()
        yield api
    finally:
        api.close()
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def kubernetes_api() -> Iterator[KubernetesApi]:
    """An API server of this test run; skips where there is none, but builds it where it is required."""
    required = "kubernetes" in os.environ.get("LAKEGATE_REQUIRE", "").split(",")
    reason = missing()
    if reason and required and shutil.which("go") is not None:
        build()
    elif reason and required:
        pytest.fail(reason)
    elif reason:
        pytest.skip(reason)
    with running_kubernetes() as api:
        yield api


if __name__ == "__main__":
    print(f"{folder()}: ready after {build():.0f} s", file=sys.stderr)
