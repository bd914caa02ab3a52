"""The variables of the environment that wanneng knows; another one that looks like them is refused as misspelt.

`web/variables.py` and `wanneng/variables.py` are the same: the servers and the command line share no package.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

PREFIX = "WANNENG_"

NAMES = """
ADDRESS ADMIN_KEY AUDIT_RETENTION_DAYS BATCH_LINES_AT_ONCE BATCH_RETENTION_DAYS BODY_TIMEOUT_S
BUDGET_WEBHOOK_LINK_LOCAL BUDGET_WEBHOOK_SECRET BUDGET_WEBHOOK_URL CACHED_PAIR_COST
CACHE_BYTES
CACHE_TTL_S CASES COMPARISON_SAMPLE CONTROL_PLANE_HOST CONTROL_PLANE_INTERNAL_PORT CONTROL_PLANE_PORT
CONTROL_PLANE_URL CURRENCY DATABASE_URL DEADLINE_S DRAIN_S ENGINE ENGINES ENGINE_THREADS
FORWARD_TIMEOUT_S GATEWAY_METRICS_URL GATEWAY_URL
HEADER_TIMEOUT_S HOST IMAGES INTERNAL_KEY INTERNAL_PORT KEEP_ALIVE_S KEY KEY_CACHE_TTL_S LENGTH_BUCKETS
LOG_FILES LOG_FILE_BYTES LOG_FORMAT MAX_AUTH_FAILURES_PER_S MAX_BATCH_LINES MAX_BATCH_OUTPUT_BYTES
MAX_BODY_BYTES MAX_CALLS_PER_REQUEST MAX_CONNECTIONS MAX_CONNECTIONS_PER_ADDRESS MAX_FILE_BYTES
MAX_FORWARDED_REQUESTS MAX_HEADERS MAX_HEADER_BYTES MAX_LABELS MAX_LABEL_CHARACTERS MAX_LABEL_SET_VERSIONS
MAX_PAIRS MAX_PAIRS_PER_CALL MAX_QUEUE_DELAY_S MAX_TEMPLATE_CHARACTERS MAX_TENANT_FILE_BYTES
MAX_TENANT_LABEL_SET_BYTES MAX_TEXTS MAX_TEXT_CHARACTERS MAX_TOKENS MAX_TOKENS_IN_FLIGHT MAX_TOKENS_PER_CALL
MAX_UNFINISHED_BYTES MAX_UNSENT_BYTES MIN_TOKENS MODEL_CONFIG_NAME NO_SKIPS
OIDC_CLAIM OIDC_CLIENT_ID OIDC_CLIENT_SECRET OIDC_ISSUER OIDC_REDIRECT_URLS OIDC_ROLES OIDC_SCOPES
OIDC_SESSION_S OTLP_ENDPOINT PAIRS_PER_MINUTE PEER_KEY
PORT PRICE_PER_MILLION_TOKENS REDIS_TIMEOUT_S
REDIS_URL REQUESTS_PER_MINUTE REQUIRE_KEY ROOT_PATH SAME_USER SCREENSHOTS START_TIMEOUT_S STATE_DIR
TENANTS_FILE TENANT_NAMES_IN_METRICS TENANT_PAIRS_IN_FLIGHT TOKENS_PER_MINUTE TOKENS_PER_REPLICA
TRITON_GRPC_PORT TRITON_HOST
TRITON_HTTP_PORT TRITON_METRICS_PORT TRITON_URL TRUSTED_NETWORK UPLOAD_TIMEOUT_S URL VERSION WORKERS
WORKER_PORT
"""
"""Without the prefix, of every process: one environment often serves several. A test compares."""
KNOWN = frozenset(NAMES.split())
SERVICE_LINK = re.compile(r"(?:^|_)(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_\w+)$")
"""What Kubernetes sets for a Service whose name begins with `wanneng`; also `_PORT`, with a URL."""


def unknown_variables(variables: Mapping[str, str]) -> list[str]:
    """Those of `variables` that no process of wanneng reads, although they look like its own."""
    return [name for name in sorted(variables) if _is_unknown(name, variables[name])]


def sentence(name: str) -> str:
    """What to say about an unknown variable; without its value, which may be a secret."""
    close = difflib.get_close_matches(name.removeprefix(PREFIX), KNOWN, n=1, cutoff=0.75)
    meant = f"is {PREFIX}{close[0]} meant?" if close else "docs/configuration.md lists the settings;"
    return f"{name} is no setting of wanneng: {meant} otherwise unset it"


def _is_unknown(name: str, value: str) -> bool:
    own = name.removeprefix(PREFIX)
    if not name.startswith(PREFIX) or own in KNOWN:
        return False
    return not SERVICE_LINK.search(own) and not (own.endswith("PORT") and "://" in value)
