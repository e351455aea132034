"""The fixtures of compute: real edges for the session, gateways per test."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from compute_edges import (
    RealDaskEdge,
    RealKernelEdge,
    dask_gateway_of,
    kernel_gateway_of,
    make_dask_edge,
)
from free_ports import free_port


@pytest.fixture(scope="session")
def dask_edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RealDaskEdge]]:
    folder = tmp_path_factory.mktemp("dask")
    edges = {name: make_dask_edge(name, folder / name) for name in ("edge-a", "edge-b")}
    with edges["edge-a"].running(), edges["edge-b"].running():
        yield edges


@pytest.fixture
def serve_dask(tmp_path: Path) -> Callable[..., object]:
    """Return :func:`dask_gateway_of` with a state folder of the test's own."""

    def serve(edges: Mapping[str, RealDaskEdge], *, state: Path | None = None, **options: object) -> object:
        return dask_gateway_of(edges, state or tmp_path / "state", **options)

    return serve


@pytest.fixture(scope="session")
def kernel_edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RealKernelEdge]]:
    folder = tmp_path_factory.mktemp("kernels")
    edges = {name: RealKernelEdge(name, folder / name, free_port()) for name in ("edge-a", "edge-b")}
    with edges["edge-a"].running(), edges["edge-b"].running():
        yield edges


@pytest.fixture
def serve_kernels(tmp_path: Path) -> Callable[..., object]:
    """Return :func:`kernel_gateway_of` with a state folder of the test's own."""

    def serve(edges: Mapping[str, RealKernelEdge], *, state: Path | None = None, **options: object) -> object:
        return kernel_gateway_of(edges, state or tmp_path / "state", **options)

    return serve


@pytest.fixture
def lost_kernel_edge(tmp_path: Path) -> RealKernelEdge:
    """Return an edge that the test itself starts, and loses."""
    return RealKernelEdge("edge-c", tmp_path / "edge-c", free_port())
