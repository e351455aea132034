"""A browser that follows redirects and fills in the provider's forms, as a person would."""

import html
import re
from urllib.parse import urljoin

import aiohttp

STEPS = 20


class Browser:
    """Keeps cookies, follows redirects, and signs in where it is asked to."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session
        self.visited: list[str] = []

    async def open(self, url: str, *, user: str = "alice") -> tuple[int, str, str]:
        """Go to a page, through whatever lies before it; return status, address and text."""
        method, form = "GET", {}
        for _ in range(STEPS):
            self.visited.append(url)
            async with self.session.request(method, url, data=form or None, allow_redirects=False) as response:
                text = await response.text()
                status, location = response.status, response.headers.get("Location")
            method, form = "GET", {}
            if location is not None and status in (301, 302, 303, 307):
                url = urljoin(url, location)
            elif (asked := _form(text, user)) is not None:
                action, form = asked
                url, method = urljoin(url, action), "POST"
            else:
                return status, url, text
        raise AssertionError(f"no end of pages: {self.visited}")


def _form(text: str, user: str) -> tuple[str, dict[str, str]] | None:
    found = re.search(r'<form[^>]*action="([^"]*)"', text)
    if found is None:
        return None
    form = {
        name: html.unescape(value) for name, value in re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', text)
    }
    if form.get("prompt") == "login":
        form |= {"login": user, "password": "any"}
    return html.unescape(found[1]), form
