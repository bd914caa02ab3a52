"""Which encoding a file has, and what becomes of bytes that are malformed in it."""

from __future__ import annotations

import codecs

import pytest

from wanneng.errors import CommandError
from wanneng.tables.encodings import decode, is_malformed

TEXT = "编号,评论\n1,这个手机质量太差，要求退款\n2,一般般，物流倒是很快\n3,good enough\n"
ENCODINGS = ["utf-8", "gb18030", "gbk", "utf-16-le", "utf-16-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("lines", [1, 2, 4])
def test_a_file_without_a_mark_is_read_as_what_it_is(encoding: str, lines: int) -> None:
    text = "".join(TEXT.splitlines(keepends=True)[-lines:]) if lines > 1 else "一般般，物流倒是很快\n"
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize(
    ("mark", "encoding", "name"),
    [
        (codecs.BOM_UTF8, "utf-8", "UTF-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16 (LE)"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16 (BE)"),
        (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32-LE"),
    ],
)
def test_a_byte_order_mark_says_it_and_is_no_text(mark: bytes, encoding: str, name: str) -> None:
    decoded = decode(mark + TEXT.encode(encoding))
    assert (decoded.text, decoded.encoding) == (TEXT, f"{name} with a byte order mark")


@pytest.mark.parametrize(
    "text", ["", "\n", "plain ASCII\n", "caf\u00e9 d\u00e9j\u00e0 vu\n", "退款😀\U00020000\n"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_other_texts_are_read_too(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
@pytest.mark.parametrize("bad", [b"\xff", b"\x00", b"\xe8\n"])
def test_a_bad_byte_harms_its_own_line_alone(encoding: str, bad: bytes) -> None:
    lines = [f"第{n}个手机质量太差，要求退款" for n in range(20)]
    content = [line.encode(encoding) for line in lines]
    content[7] += bad
    decoded = decode(b"\n".join(content))
    found = [line for line in decoded.text.split("\n") if line in lines]
    assert found == lines[:7] + lines[8:] or found == lines
    assert is_malformed(decoded.text) == (bad != b"\x00")


def test_a_lone_surrogate_of_utf_16_is_malformed_and_its_neighbours_are_not() -> None:
    decoded = decode(codecs.BOM_UTF16_LE + "好\n".encode("utf-16-le") + b"\x3d\xd8" + "\n坏\n".encode("utf-16-le"))
    first, second, third, _ = decoded.text.split("\n")
    assert [is_malformed(line) for line in (first, second, third)] == [False, True, False]
    assert (first, third) == ("好", "坏")


def test_what_is_no_text_is_refused_with_the_line() -> None:
    with pytest.raises(CommandError, match=r"line 2 is neither UTF-8 nor GB18030.*--encoding"):
        decode(b"GIF89a\n" + bytes(range(128, 256)) * 3 + b"\xff\x80\xff" * 50)


def test_the_user_may_say_what_it_is() -> None:
    assert decode("繁體中文".encode("big5"), "big5").text == "繁體中文"
    for unknown in ("no-such", "base64", "rot13"):
        with pytest.raises(CommandError, match="is not a known text encoding"):
            decode(b"x", unknown)
