"""The format of an API key, `wn_<id>_<secret>`, and whether a given key is the stored one.

The id finds the record; of the key itself only a SHA-256 is stored. A slow hash is not needed: the secret has 192
random bits, which nobody can guess through a fast one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

ID_BYTES, SECRET_BYTES = 6, 24
KEY = re.compile(rf"wn_([0-9a-f]{{{2 * ID_BYTES}}})_[0-9a-f]{{{2 * SECRET_BYTES}}}")
KEY_ID, DIGEST = re.compile(rf"[0-9a-f]{{{2 * ID_BYTES}}}"), re.compile(r"[0-9a-f]{64}")
UNKNOWN_KEY_DIGEST = hashlib.sha256(b"nobody's key").hexdigest()
"""Compared with where there is no record, so that an unknown id takes as long as a wrong secret."""


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """Shown once; afterwards only `id` and `digest` are known."""

    id: str
    key: str

    @property
    def digest(self) -> str:
        return digest_of(self.key)

    def __repr__(self) -> str:
        return f"NewApiKey(id={self.id!r})"


def generate_key() -> NewApiKey:
    key_id = secrets.token_hex(ID_BYTES)
    return NewApiKey(key_id, f"wn_{key_id}_{secrets.token_hex(SECRET_BYTES)}")


def key_id_of(key: str) -> str | None:
    """The id in a well-formed key; None for anything else."""
    match = KEY.fullmatch(key)
    return match[1] if match else None


def digest_of(key: str) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


def matches(key: str, digest: str | None) -> bool:
    """Whether `key` has this digest, in a time that does not tell where they differ."""
    return hmac.compare_digest(digest_of(key), digest or UNKNOWN_KEY_DIGEST) and digest is not None
