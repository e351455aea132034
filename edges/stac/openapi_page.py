"""An OpenAPI description as a page for a person. Pure."""

import html

from edges.model import Json

_STYLE = "body{font-family:sans-serif;margin:2em;max-width:60em}td{padding:.2em 1em .2em 0}"


def openapi_page(document: Json) -> str:
    """Return the operations of a description, which is beside the page as ``api``; nothing is loaded from elsewhere."""
    rows = "".join(
        f"<tr><td><code>{method.upper()}</code></td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(operation['summary'])}</td></tr>"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    title = html.escape(document["info"]["title"])
    description = html.escape(document["info"].get("description", ""))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title} API</title><style>{_STYLE}</style>'
        f'<h1>{title} API</h1><p>{description} <a href="api">OpenAPI document</a></p><table>{rows}</table></html>'
    )
