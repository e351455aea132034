"""Orders and products as HOOK tells them: names, types and contexts are those of the service's own answers. Pure."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from edges.model import Json
from gateway.hook.model import HookOrder, Option, Product, Status
from gateway.hook.workflows import DATA_HARVEST, DISPLAY_NAME, VERSION, WORKFLOW_ID
from harvest.model import Estimate

WORKFLOWS = "$metadata#Workflows/$entity"
PRODUCTION_ORDERS = "$metadata#ProductionOrder/$entity"
PRODUCTION_ORDER = "$metadata#OData.CSC.Order"
BATCH_ORDER = "#metadata/Odata.CSC.BatchOrder"
PRODUCTS = "#metadata/OData.CSC.BatchorderItem"

BATCH_NAMES = (
    "Id", "Name", "Status", "SubmissionDate", "EstimatedDate", "Priority", "WorkflowName", "WorkflowId",
    "WorkflowDisplayName", "WorkflowVersion", "KeycloakUUID", "NotificationEndpoint", "NotificationEpUsername",
    "NotificationStatus",
)  # fmt: skip
PRODUCTION_NAMES = (
    "Id", "Name", "Status", "StatusMessage", "SubmissionDate", "EstimatedDate", "InputProductReference/Reference",
    "WorkflowName", "WorkflowId", "Priority", "NotificationEndpoint", "NotificationEpUsername", "NotificationStatus",
)  # fmt: skip
PRODUCT_NAMES = (
    "Id", "BatchOrderId", "InputProductReference", "SubmissionDate", "Status", "StatusMessage", "ProcessedName",
    "ProcessedSize", "OutputUUID", "CompletedDate", "DownloadLink", "NotificationStatus",
)  # fmt: skip

MASK = "********"
"""What stands for a secret that came: it is told nowhere, sealed or not."""

_SAID: dict[Status, str] = {
    "queued": "queued",
    "in_progress": "in progress",
    "completed": "requested output product is available",
    "cancelled": "cancelled",
}
_SILENT = {"NotificationEndpoint": None, "NotificationEpUsername": None, "NotificationStatus": None}
_PEOPLE = uuid.UUID("6f1c1f0e-6b0e-5c55-9d0a-0d2a3f6f6c11")


def batch_document(order: HookOrder) -> Json:
    """Return an order as a BatchOrder; its Id is a number."""
    return {
        "Id": order.number,
        "Name": order.name,
        "Status": order.status,
        "SubmissionDate": instant(order.created),
        "EstimatedDate": None,
        "Priority": 1 if order.priority is None else order.priority,
        "WorkflowName": DATA_HARVEST,
        "WorkflowId": WORKFLOW_ID,
        "WorkflowDisplayName": DISPLAY_NAME,
        "WorkflowVersion": VERSION,
        "KeycloakUUID": str(uuid.uuid5(_PEOPLE, order.user)),
        "WorkflowOptions": [_option(each) for each in order.options],
        **_SILENT,
    }


def production_document(order: HookOrder) -> Json:
    """Return an order as a ProductionOrder; its Id is a text, and secrets are left out."""
    return {
        "Id": order.id,
        "Status": order.status,
        "StatusMessage": message(order),
        "SubmissionDate": instant(order.created),
        "Name": order.name,
        "EstimatedDate": None,
        "InputProductReference": {
            "Reference": ",".join(product.reference for product in order.products),
            "ContentDate": None,
        },
        "WorkflowOptions": [_option(each) for each in order.options if not each.secret],
        "WorkflowName": DATA_HARVEST,
        "WorkflowId": WORKFLOW_ID,
        "Priority": 1 if order.priority is None else order.priority,
        **_SILENT,
    }


def product_document(order: HookOrder, product: Product, link: str | None) -> Json:
    """Return one product of an order; ``link`` is where it can be downloaded without a token."""
    there = product.status == "completed"
    return {
        "Id": product.number,
        "BatchOrderId": order.number,
        "InputProductReference": product.reference,
        "SubmissionDate": instant(order.created),
        "Status": product.status,
        "StatusMessage": product.message,
        "ProcessedName": product.reference if there else None,
        "ProcessedSize": product.size if there else None,
        "OutputUUID": None,
        "CompletedDate": None if product.completed is None else instant(product.completed),
        "DownloadLink": link,
        "NotificationStatus": None,
    }


def message(order: HookOrder) -> str:
    """Say how an order stands; of one that failed, why."""
    status = order.status
    if status == "failed":
        failed = [product for product in order.products if product.status == "failed"]
        rest = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return f"{failed[0].reference}: {failed[0].message}{rest}" if len(order.products) > 1 else failed[0].message
    waiting = [product.message for product in order.products if product.status == status]
    return waiting[0] if status == "queued" and waiting else _SAID[status]


def absence(order: HookOrder, product: Product) -> str:
    """Say why there is no archive of a product."""
    if order.bucket is not None:
        return f"the product is in your own bucket, below s3://{order.bucket.bucket}/{order.bucket.folder}"
    if not order.temporary:
        return "the product is in your group's bucket"
    if product.status != "completed":
        return f"the product is {product.status.replace('_', ' ')}: {product.message}"
    return "the product is not there any more: temporary copies stay for some days only"


def estimate_document(estimates: Sequence[Estimate]) -> Json:
    """Return what an order would cost; ``tokens`` is what some clients look at: products."""
    refused = [each.refusal.sentence() for each in estimates if each.refusal is not None]
    seconds = [each.seconds for each in estimates]
    return {
        "@odata.context": "#metadata/OData.CSC.Estimate",
        "tokens": len(estimates),
        "value": {
            "Products": len(estimates),
            "ProductsFound": sum(each.items > 0 for each in estimates),
            "Files": sum(each.objects for each in estimates),
            "Size": sum(each.bytes for each in estimates),
            "FilesOfUnknownSize": sum(each.unknown for each in estimates),
            "Seconds": None if None in seconds else sum(each for each in seconds if each is not None),
            "Allowed": not refused,
            "StatusMessage": refused[0] if refused else None,
        },
    }


def instant(at: float) -> str:
    """Return an instant (epoch seconds) as OData writes it.

    >>> instant(1715689998.113)
    '2024-05-14T12:33:18.113Z'
    """
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _option(option: Option) -> Json:
    return {"Name": option.name, "Value": MASK if option.secret else option.value}
