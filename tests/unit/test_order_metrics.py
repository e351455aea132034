"""Orders of data and HOOK orders as metrics: counted by site and state, in few series."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from gateway.hook.model import HookOrder, Product
from gateway.order_metrics import DataOrderMetrics, HookOrderMetrics
from gateway.orders.model import Staging


def staging(number: int, site: str, status: str) -> Staging:
    return Staging(
        id=str(number),
        site=site,
        collection=f"collection-{number}",
        parameters={},
        made_at=0.0,
        changed_at=0.0,
        due_at=0.0,
        ends_at=1.0,
        status=status,  # type: ignore[arg-type]
    )


def lines(add: Callable[[CollectorRegistry], object]) -> list[str]:
    registry = CollectorRegistry()
    add(registry)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]


def test_orders_of_data_are_counted_by_site_and_state():
    made = [staging(1, "hub", "shipping"), staging(2, "hub", "shipping"), staging(3, "gone", "failed")]
    found = lines(lambda registry: DataOrderMetrics(registry, sites=["hub", "idle"], stagings=made))
    assert 'lakegate_data_orders{site="hub",state="shipping"} 2.0' in found
    assert 'lakegate_data_orders{site="idle",state="failed"} 0.0' in found
    assert not [line for line in found if "gone" in line]


def test_the_series_of_orders_do_not_grow_with_orders():
    made = [staging(number, "hub", "ordered") for number in range(500)]
    assert len(lines(lambda registry: DataOrderMetrics(registry, sites=["hub"], stagings=made))) == 5


def test_hook_orders_are_counted_by_state():
    order = HookOrder(
        id="1",
        kind="batch",
        name="n",
        user="u",
        group="g",
        created=0.0,
        collection="c",
        target="edge-a",
        temporary=False,
        products=(Product(number=2, reference="S2A"),),
    )
    found = lines(lambda registry: HookOrderMetrics(registry, orders=[order]))
    assert 'lakegate_hook_orders{state="queued"} 1.0' in found
    assert 'lakegate_hook_orders{state="failed"} 0.0' in found
