"""What a key looks like, and whether a given one is the stored one. Pure; knows no tenant and no store.

`wn_<id>_<secret>`: the id finds the record, and only a SHA-256 of the whole key is stored. No slow hash: the
secret has 192 random bits, which nobody can guess through a fast one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

ID_BYTES, SECRET_BYTES = 6, 24
FORM = re.compile(rf"wn_([0-9a-f]{{{2 * ID_BYTES}}})_[0-9a-f]{{{2 * SECRET_BYTES}}}")
KEY_ID, DIGEST = re.compile(rf"[0-9a-f]{{{2 * ID_BYTES}}}"), re.compile(r"[0-9a-f]{64}")
NOBODYS_DIGEST = hashlib.sha256(b"nobody's key").hexdigest()
"""Compared with where there is no record, so that an unknown id costs what a wrong secret costs."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """Shown once; afterwards only `id` and `digest` are known."""

    id: str
    key: str

    @property
    def digest(self) -> str:
        return digest_of(self.key)

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r})"


def make_key() -> NewKey:
    key_id = secrets.token_hex(ID_BYTES)
    return NewKey(key_id, f"wn_{key_id}_{secrets.token_hex(SECRET_BYTES)}")


def key_id_of(key: str) -> str | None:
    """The id in a key of the right form; None for anything else."""
    found = FORM.fullmatch(key)
    return found[1] if found else None


def digest_of(key: str) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_key(key: str, digest: str | None) -> bool:
    """Whether `key` has this digest, in a time that does not tell where they differ."""
    return hmac.compare_digest(digest_of(key), digest or NOBODYS_DIGEST) and digest is not None
