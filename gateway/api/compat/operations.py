"""The operations of all compatible APIs."""

from __future__ import annotations

from gateway.api.classifications import Classifications
from gateway.api.compat.huggingface import HuggingFaceEndpoints
from gateway.api.compat.kserve import KserveEndpoints
from gateway.api.compat.openai import OpenAIEndpoints
from gateway.api.compat.rerank import RerankEndpoints
from gateway.api.compat.tei import TeiEndpoints
from gateway.api.compat.vllm import VllmEndpoints
from gateway.api.compat.xinference import XinferenceEndpoints
from gateway.tenancy.label_sets import LabelSetCache
from gateway.triton.load_balancer import LoadBalancer
from web.operations import Operation


def compatible_operations(
    classifications: Classifications, label_sets: LabelSetCache, load_balancer: LoadBalancer
) -> list[Operation]:
    return [
        *HuggingFaceEndpoints(classifications).operations(),
        *TeiEndpoints(classifications).operations(),
        *RerankEndpoints(classifications).operations(),
        *VllmEndpoints(classifications).operations(),
        *OpenAIEndpoints(classifications, label_sets, load_balancer).operations(),
        *XinferenceEndpoints(classifications).operations(),
        *KserveEndpoints(classifications, load_balancer).operations(),
    ]
