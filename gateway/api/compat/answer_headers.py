"""Response headers for what a compatible API's own format cannot say."""

from __future__ import annotations

from urllib.parse import quote

from gateway.classification.work import Outcome, PairOutcome

MODEL = "X-Wanneng-Model"
"""Name and version, as `name@version`; percent-encoded beyond ASCII."""
TOKENS = "X-Wanneng-Tokens"
"""The tokens of all pairs."""
TRUNCATED = "X-Wanneng-Truncated"
"""`true` if the token limit cut a text or a label; otherwise absent."""
UNKNOWN = "X-Wanneng-Unknown"
"""`true` if the model does not know all tokens of a text or a label; otherwise absent."""
PLAIN = "/:@._-+"


def answer_headers(outcome: Outcome | PairOutcome) -> dict[str, str]:
    engine = outcome.values.engine
    headers = {MODEL: quote(f"{engine.name}@{engine.id}", PLAIN), TOKENS: str(outcome.usage.total_tokens)}
    if any(result.truncated for result in outcome.results):
        headers[TRUNCATED] = "true"
    if any(result.has_unknown for result in outcome.results):
        headers[UNKNOWN] = "true"
    return headers
