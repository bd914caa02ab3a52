"""Decodes a file: by its byte order mark, or else as UTF-8, UTF-16 or GB18030, whichever the bytes are.

Malformed bytes become lone surrogates, so that they fail only the line that contains them.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from wanneng.errors import CommandError

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""UTF-32 comes before UTF-16, because its mark begins with that of UTF-16."""
NAMES = {"utf-8": "UTF-8", "utf-16-le": "UTF-16 (LE)", "utf-16-be": "UTF-16 (BE)", "gb18030": "GB18030"}
SAMPLE_BYTES = 1_000_000
"""How much of a large file is used to detect its encoding; every line is checked later."""
MAX_ZERO_SHARE_OF_UTF_8 = 0.2
"""The share of zero bytes; it is a half in ASCII text as UTF-16."""
MIN_ZERO_SHARE_OF_UTF_16 = 1 / 400
"""The share of zero bytes in Chinese text as UTF-16, where each line end has one."""
MIN_USUAL_SHARE_OF_UTF_16 = 0.9
USUAL = re.compile(
    "[\\t\\n\\r -~\u00a0-\u00ff\u2010-\u2027\u2030-\u203b"
    "\u3000-\u30ff\u4e00-\u9fff\uff00-\uffef\U00010000-\U0003ffff]"
)
"""Characters common in Chinese text. Text in another encoding read as UTF-16 has less than half of them."""
MIN_SEQUENCES = 2
"""Valid UTF-8 sequences for each malformed byte; GBK has one in five by chance."""
MAX_MALFORMED_SHARE = 0.1
"""The share of bytes beyond ASCII; a file with more is in none of these encodings."""
MAX_CONTROL_SHARE = 0.005
"""The share of bytes that are control characters; a tenth of an archive's are."""
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
ESCAPED = re.compile("[\ud800-\udfff]")
UTF_8_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
ERRORS = "wanneng.malformed"


@dataclass(frozen=True, slots=True)
class Decoded:
    text: str
    encoding: str
    """For people."""


def decode(content: bytes, encoding: str | None = None) -> Decoded:
    """Without its byte order mark. `encoding`: the file's, where the user says; `CommandError` if it is none."""
    if encoding is not None:
        try:
            name = codecs.lookup(encoding).name
            return Decoded(content.decode(name, ERRORS).removeprefix("\ufeff"), NAMES.get(name, encoding))
        except (LookupError, UnicodeError):
            raise CommandError(
                f"{encoding!r} is not a known text encoding; use utf-8, gb18030 or utf-16"
            ) from None
    for mark, name in MARKS:
        if content.startswith(mark):
            text = content[len(mark) :].decode(name, ERRORS)
            return Decoded(text, f"{NAMES.get(name, name.upper())} with a byte order mark")
    name = _guess(content)
    return Decoded(content.decode(name, ERRORS), NAMES[name])


def is_malformed(text: str) -> bool:
    """Whether a part of it was malformed in its file."""
    return not text.isascii() and ESCAPED.search(text) is not None


def _guess(content: bytes) -> str:
    if _is_utf_8(content):
        return "utf-8"
    wide = _wide(content)
    if wide is not None:
        return wide
    sample = content[:SAMPLE_BYTES]
    if len(CONTROL.findall(sample)) > max(1, len(sample) * MAX_CONTROL_SHARE):
        raise CommandError(
            "it is not text, or in an encoding that is not detected: give its encoding with --encoding, or save "
            "it as .csv"
        )
    text = content.decode("gb18030", ERRORS)
    malformed = [found.start() for found in ESCAPED.finditer(text)]
    beyond_ascii = sum(map(len, re.findall(rb"[\x80-\xff]+", content)))
    if len(malformed) > max(1, beyond_ascii * MAX_MALFORMED_SHARE):
        line = text.count("\n", 0, malformed[0]) + 1
        raise CommandError(
            f"line {line} is neither UTF-8 nor GB18030, nor is the file UTF-16; give its encoding with --encoding"
        )
    return "gb18030"


def _is_utf_8(content: bytes) -> bool:
    """With few malformed bytes, if any."""
    if content.count(0) > len(content) * MAX_ZERO_SHARE_OF_UTF_8:
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        rest, sequences = UTF_8_SEQUENCE.subn(b"", content[:SAMPLE_BYTES])
        return sequences >= MIN_SEQUENCES * len(re.findall(rb"[\x80-\xff]", rest)) and sequences > 0
    return True


def _wide(content: bytes) -> str | None:
    """The UTF-16 of a file without a mark; None: it is none."""
    sample = content[:SAMPLE_BYTES]
    if sample.count(0) < max(1, len(sample) * MIN_ZERO_SHARE_OF_UTF_16):
        return None
    usual = {name: _usual_share(sample.decode(name, ERRORS)) for name in ("utf-16-le", "utf-16-be")}
    name = max(usual, key=lambda candidate: usual[candidate])
    return name if usual[name] >= MIN_USUAL_SHARE_OF_UTF_16 else None


def _usual_share(text: str) -> float:
    return len(USUAL.findall(text)) / len(text)


def _escape_malformed(error: UnicodeError) -> tuple[str, int]:
    """Of UTF-16 and UTF-32 what stands there; of others one byte, since the next may begin a good character."""
    assert isinstance(error, UnicodeDecodeError)
    wide = error.encoding.startswith("utf-16") or error.encoding.startswith("utf-32")
    end = error.end if wide else error.start + 1
    return chr(0xDC00 + error.object[error.start]), end


codecs.register_error(ERRORS, _escape_malformed)
