"""The sub-path of a proxy under which a server's own paths are: `WANNENG_ROOT_PATH`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.types import Scope


@dataclass(frozen=True, slots=True)
class RootPath:
    """`prefix` is like `/nlp`; proxies may remove it or not."""

    prefix: str

    def enter(self, scope: Scope) -> None:
        """Make the path of `scope` one of the server's own; the prefix goes into `root_path`."""
        scope["root_path"] = self.prefix
        path: str = scope["path"]
        if path != self.prefix and not path.startswith(f"{self.prefix}/"):
            return
        scope["path"] = path.removeprefix(self.prefix)
        prefix, raw_path = self.prefix.encode(), scope.get("raw_path") or b""
        same = raw_path.startswith(prefix)
        scope["raw_path"] = raw_path.removeprefix(prefix) if same else quote(scope["path"]).encode()

    def check_end(self, scope: Scope) -> None:
        """The links of the page are relative: without the slash at the end they would lead elsewhere."""
        if not scope["path"]:
            raise HTTPException(308, headers={"Location": f"{self.prefix}/"})
