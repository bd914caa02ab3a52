"""The sub-path of a proxy under which a server's own paths are: `WANNENG_ROOT_PATH`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.types import Scope

ROOT_PATH = "wanneng.root_path"
"""Where the scope of a request has the prefix."""


@dataclass(frozen=True, slots=True)
class RootPath:
    """`prefix` is like `/nlp`; proxies may remove it or not."""

    prefix: str

    def enter(self, scope: Scope) -> None:
        """Make the path of `scope` one of the server's own."""
        # Not as ASGI's `root_path`: Starlette's routes would remove it once more, past checks of the path.
        scope[ROOT_PATH] = self.prefix
        path: str = scope["path"]
        if path != self.prefix and not path.startswith(f"{self.prefix}/"):
            return
        scope["path"] = path.removeprefix(self.prefix)
        raw_path: bytes = scope.get("raw_path") or b""
        # With a slash of its own: what begins with `%2F` would go on as part of the control plane's host name.
        same = raw_path.startswith(f"{self.prefix}/".encode())
        scope["raw_path"] = raw_path[len(self.prefix) :] if same else quote(scope["path"]).encode()

    def check_end(self, scope: Scope) -> None:
        """The links of the page are relative: without the slash at the end they would lead elsewhere."""
        if not scope["path"]:
            raise HTTPException(308, headers={"Location": f"{self.prefix}/"})
