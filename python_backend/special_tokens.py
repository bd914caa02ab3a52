"""A tokenizer to which the special tokens that are written in a text are text like any other."""

from __future__ import annotations

import re
from collections.abc import Collection

from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import Sequence, Split


def without_special_tokens(tokenizer: Tokenizer, of_pairs: Collection[int]) -> Tokenizer:
    """One with the same vocabulary, and the same ids for any text in which no special token is written.

    Special are the added tokens that the tokenizer calls so, and `of_pairs`, the ids that it puts around texts.
    Other added tokens are words of the vocabulary, and found as before. So is a special token of one
    character, which cannot be split.
    """
    added = sorted(tokenizer.get_added_tokens_decoder().items())
    special = {token.content for _, token in added if token.special}
    special |= {name for name in map(tokenizer.id_to_token, of_pairs) if name}
    plain = Tokenizer(tokenizer.model)
    plain.normalizer = tokenizer.normalizer
    # Not to look for them before the text is split is not enough: `</s>` is a piece of SentencePiece's vocabulary,
    # found in `＜/s＞` too, once that is normalized. So a text is also split behind the first character of each.
    starts = "|".join(f"{re.escape(name[0])}(?={re.escape(name[1:])})" for name in sorted(special))
    splits = [Split(Regex(starts), "merged_with_previous")]
    plain.pre_tokenizer = Sequence([tokenizer.pre_tokenizer, *splits] if tokenizer.pre_tokenizer else splits)
    # In the order of their ids, so that each gets its own.
    for _, token in added:
        token.special = token.content in special
        (plain.add_special_tokens if token.special else plain.add_tokens)([token])
    plain.encode_special_tokens = True
    return plain
