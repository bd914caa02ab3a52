"""The Python client and the command line of wanneng."""

from wanneng.client import (
    AsyncClient,
    Batch,
    BatchResult,
    Classification,
    Client,
    DayOfUsage,
    File,
    GatewayRefused,
    Key,
    LabelSet,
    NewKey,
    RequestError,
    SetLabel,
    Tenant,
    Tokens,
)

__all__ = [
    "AsyncClient",
    "Batch",
    "BatchResult",
    "Classification",
    "Client",
    "DayOfUsage",
    "File",
    "GatewayRefused",
    "Key",
    "LabelSet",
    "NewKey",
    "RequestError",
    "SetLabel",
    "Tenant",
    "Tokens",
]
