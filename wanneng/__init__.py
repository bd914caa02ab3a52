"""The Python client and the command line of wanneng."""

from wanneng.client import (
    AsyncClient,
    Batch,
    Classification,
    Client,
    DayOfUsage,
    GatewayRefused,
    Key,
    LabelSet,
    NewKey,
    RequestError,
    SetLabel,
    Tenant,
)

__all__ = [
    "AsyncClient",
    "Batch",
    "Classification",
    "Client",
    "DayOfUsage",
    "GatewayRefused",
    "Key",
    "LabelSet",
    "NewKey",
    "RequestError",
    "SetLabel",
    "Tenant",
]
