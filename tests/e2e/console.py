"""The console in a browser, for tests of its screens: who uses it, how it looks, and what must not be on it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from stores.tenants import SCOPES
from tests.e2e.server import Server
from wanneng import Client

LABELS = ["投诉", "咨询", "建议"]
APPEARANCES = list(product(("zh", "en"), ("light", "dark"), (390, 1_280)))
"""Language, scheme and width in pixels."""

OWN_ELEMENTS = frozenset(
    [
        "a",
        "button",
        "code",
        "dd",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "form",
        "h1",
        "h2",
        "h3",
        "header",
        "input",
        "label",
        "legend",
        "main",
        "meter",
        "nav",
        "noscript",
        "option",
        "output",
        "p",
        "progress",
        "section",
        "select",
        "small",
        "span",
        "summary",
        "details",
        "table",
        "tbody",
        "td",
        "textarea",
        "th",
        "thead",
        "tr",
        "ul",
        "ol",
        "li",
        "svg",
        "g",
        "line",
        "path",
        "rect",
        "text",
        "title",
        "b",
    ]
)
"""Those that our pages make in their bodies; `title` is one of SVG there."""
FOREIGN = """(own) => [...document.body.querySelectorAll("*")].filter((node) => {
  const addresses = ["href", "src", "action", "formaction"].map((name) => node.getAttribute(name) ?? "");
  const isOwnTitle = node.localName !== "title" || node.ownerSVGElement;
  return !own.includes(node.localName) || !isOwnTitle || [...node.attributes].some(({ name }) => /^on/i.test(name))
    || node.hasAttribute("autofocus") || node.hasAttribute("style") && !node.matches(".fill")
    || addresses.some((address) => /^\\s*javascript:/i.test(address));
}).map((node) => node.outerHTML.slice(0, 200))"""


@dataclass(frozen=True)
class Tenant:
    """One of the server's tenants, with a key that may do everything, and names that no other tenant has."""

    id: str
    name: str
    key: str
    set_name: str


def new_tenant(server: Server, name: str, set_name: str) -> Tenant:
    with Client(server.url, admin_key(server)) as admin:
        tenant = admin.tenants.create(name)
        key = admin.tenants.keys.create(tenant.id, scopes=SCOPES).secret
    with Client(server.url, key) as client:
        client.label_sets.put(set_name, LABELS)
    return Tenant(tenant.id, name, key, set_name)


def admin_key(server: Server) -> str:
    return (server.state_dir / "admin.key").read_text(encoding="utf-8").strip()


def sign_in(page: Page, key: str) -> None:
    page.goto("/console#/sign-in")
    page.get_by_label("密钥", exact=True).fill(key)
    page.locator("#screen").get_by_role("button", name="登录").click()


def open_screen(page: Page, address: str, title: str) -> None:
    page.goto(f"/console#/{address}")
    expect(page.locator("#title")).to_have_text(title)


def appear(page: Page, language: str, scheme: str, width: int) -> None:
    """Of a page in Chinese."""
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 900})
    if language == "en":
        page.get_by_role("button", name="English").click()
        expect(page.locator("html")).to_have_attribute("lang", "en")


def violations(page: Page) -> list[tuple[str, str]]:
    """What axe finds, of whatever impact."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found]


def foreign_elements(page: Page) -> list[str]:
    """Elements that our pages never make, or with attributes that they never set: somebody's words as HTML."""
    found: list[str] = page.evaluate(FOREIGN, sorted(OWN_ELEMENTS))
    return found
