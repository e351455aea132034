"""GPUs are asked for, granted, reserved and kept to: of clusters and of kernels."""

import pytest

from edges.errors import InvalidInput
from edges.model import ClusterCap
from edges.site.dask_authenticator import CappedUser, WorkerGpus, capped_options
from gateway.dask.gpus import gpu_fields, read_gpus, with_gpus
from gateway.dask.model import ClusterRoute, Room
from gateway.dask.options import own_fields, read_wish
from gateway.dask.waiting import granted_cap
from gateway.kernels.gpus import gpus_of
from gateway.kernels.model import KernelRecord
from gateway.kernels.specs import merge_specs
from gateway.placement.seam import Taken
from quotas.model import Charge, Lease, Line

WORKERS = [{"field": "worker_gpus", "default": 0, "spec": {"type": "int", "min": 0, "max": 2}}]


def test_the_option_is_shown_where_an_edge_has_gpus_only() -> None:
    assert gpu_fields(0) == []
    (field,) = own_fields(["a"], most_gpus=8)[-1:]
    assert (field["field"], field["spec"]) == ("gpus", {"type": "int", "min": 0, "max": 8})
    assert "gpus" not in {field["field"] for field in own_fields(["a"])}


@pytest.mark.parametrize("wrong", [-1, 9, 1.5, True, "2", [1]])
def test_a_wrong_number_of_gpus_names_what_would_be_right(wrong) -> None:
    with pytest.raises(InvalidInput, match="from 0 to 8"):
        read_gpus(wrong, 8)


def test_gpus_where_no_edge_has_any_are_refused_in_words() -> None:
    with pytest.raises(InvalidInput, match="no edge has GPUs"):
        read_wish({"gpus": 1}, ["a"])


def test_workers_take_one_each_unless_they_are_told_otherwise() -> None:
    assert with_gpus({}, 4, edge="a", offered=WORKERS) == {"worker_gpus": 1}
    assert with_gpus({"worker_gpus": 2}, 4, edge="a", offered=WORKERS) == {"worker_gpus": 2}
    assert with_gpus({"worker_gpus": 0}, 0, edge="a", offered=WORKERS) == {"worker_gpus": 0}


def test_workers_with_gpus_in_a_cluster_without_are_refused() -> None:
    with pytest.raises(InvalidInput, match="worker_gpus is 1"):
        with_gpus({"worker_gpus": 1}, 0, edge="a", offered=WORKERS)
    with pytest.raises(InvalidInput, match="edge a offers no workers with GPUs"):
        with_gpus({}, 1, edge="a", offered=[])


def route(gpus: float) -> ClusterRoute:
    cap = ClusterCap(cores=1, memory=1, gpus=gpus)
    return ClusterRoute(id="c", user="u", groups=(), charging_group="g", edge="a", cap=cap, lease="c", created_at=0)


def test_a_clusters_gpus_are_reserved_and_what_was_granted_is_its_cap() -> None:
    assert Line(resource="gpus", amount=4, edge="a") in route(4).lines
    assert all(line.resource != "gpus" for line in route(0).lines)
    lease = Lease(
        key="c",
        charge=Charge(group="g", user="u"),
        lines=(Line(resource="gpus", amount=2, edge="a"),),
        fence=1,
        expires_at=1,
    )
    assert granted_cap(lease, route(4).cap).gpus == 2


def test_an_edge_has_room_for_so_many_gpus_and_for_none_where_none_were_told() -> None:
    assert Room(gpus=4).fits([Taken(gpus=2)], Taken(gpus=2))
    assert not Room(gpus=4).fits([Taken(gpus=3)], Taken(gpus=2))
    assert not Room().fits([], Taken(gpus=1))
    assert Room().fits([], Taken(cores=1))


def configured(each: int, cap: float, gpus: WorkerGpus) -> dict:
    options = capped_options(worker_cores=1, worker_memory_gib=1, gpus=gpus)
    user = CappedUser("alice", (), ClusterCap(cores=8, memory=1 << 30, gpus=cap))
    return options.get_configuration(options.parse_options({"worker_gpus": each}), user)


def test_an_edge_lets_a_cluster_have_no_more_workers_than_its_claim_has_gpus_for() -> None:
    assert configured(2, 5, WorkerGpus(most=2))["cluster_max_workers"] == 2
    assert "cluster_max_workers" not in configured(0, 5, WorkerGpus(most=2))
    with pytest.raises(ValueError, match="granted 1 GPUs"):
        configured(2, 1, WorkerGpus(most=2))


def test_workers_without_gpus_see_none_and_keep_their_environment() -> None:
    seen = configured(0, 0, WorkerGpus(most=2, environment={"AWS_S3_ENDPOINT": "s3"}))["environment"]
    assert seen == {"AWS_S3_ENDPOINT": "s3", "CUDA_VISIBLE_DEVICES": ""}


def test_on_kubernetes_gpus_are_a_resource_of_the_container() -> None:
    given = configured(1, 2, WorkerGpus(most=2, resource="nvidia.com/gpu"))
    assert given["worker_extra_container_config"] == {"resources": {"limits": {"nvidia.com/gpu": 1}}}
    assert "environment" not in configured(0, 2, WorkerGpus(most=2, resource="nvidia.com/gpu"))


def kernelspec(gpus: object) -> dict:
    return {"name": "torch", "spec": {"metadata": {"lakegate": {"gpus": gpus}}}}


@pytest.mark.parametrize(
    ("told", "asked", "expected"),
    [
        (2, {}, 2),
        (2, {"KERNEL_GPUS": "1"}, 2),
        (0, {"KERNEL_GPUS": "1", "KERNEL_GPUS_LIMIT": "4"}, 4),
        ("2", {}, 0),
        (-1, {}, 0),
        (10_000, {}, 0),
        (True, {}, 0),
    ],
)
def test_a_kernel_takes_what_its_spec_or_its_variables_say(told, asked, expected) -> None:
    assert gpus_of(kernelspec(told), asked) == expected


@pytest.mark.parametrize("wrong", ["-1", "1.5", "", "a", "65", "٣"])
def test_a_wrong_variable_is_named(wrong) -> None:
    with pytest.raises(InvalidInput, match=r"env\.KERNEL_GPUS"):
        gpus_of(kernelspec(0), {"KERNEL_GPUS": wrong})


def test_a_kernels_gpus_are_reserved_and_shown() -> None:
    record = KernelRecord(
        id="r", user="u", charging_group="g", edge="a", spec="torch", lease="k", created_at=0.0, gpus=2.0
    )
    assert Line(resource="gpus", amount=2, edge="a") in record.lines
    merged = merge_specs({"a": {"default": "torch", "kernelspecs": {"torch": kernelspec(2)}}})
    assert merged["kernelspecs"]["torch.a"]["spec"]["metadata"]["lakegate"] == {"edge": "a", "gpus": 2}
