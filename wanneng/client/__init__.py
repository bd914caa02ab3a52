"""The Python client: a few lines from a text to its labels.

with Client("http://127.0.0.1:8080", key) as client:
    print(client.classify("要求退款", ["投诉", "咨询"]).best)
"""

from wanneng.client.audit import AuditRecord, VerifiedChain, verify_chain
from wanneng.client.batches import Batch, BatchResult, File
from wanneng.client.budgets import Budget, Budgets
from wanneng.client.classify import Classification, Tokens
from wanneng.client.clients import AsyncClient, Client
from wanneng.client.keys import Key, NewKey
from wanneng.client.label_sets import Correction, Evaluation, LabelSet, SetLabel
from wanneng.client.me import Me
from wanneng.client.tenants import Tenant
from wanneng.client.usage import DayOfUsage, TotalUsage, Usage, UsageOfLabelSet
from wanneng.errors import AuditLogAltered, GatewayRefused, RequestError

__all__ = [
    "AsyncClient",
    "AuditLogAltered",
    "AuditRecord",
    "Batch",
    "BatchResult",
    "Budget",
    "Budgets",
    "Classification",
    "Client",
    "Correction",
    "DayOfUsage",
    "Evaluation",
    "File",
    "GatewayRefused",
    "Key",
    "LabelSet",
    "Me",
    "NewKey",
    "RequestError",
    "SetLabel",
    "Tenant",
    "Tokens",
    "TotalUsage",
    "Usage",
    "UsageOfLabelSet",
    "VerifiedChain",
    "verify_chain",
]
