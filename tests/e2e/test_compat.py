"""Other tools' own clients, pointed at the gateway."""

from __future__ import annotations

import numpy as np
import pytest
import tritonclient.http
from huggingface_hub import InferenceClient

from tests.e2e.server import Server

TEXT, LABELS = "这个手机质量太差，要求退款", ["投诉", "咨询", "建议"]


@pytest.fixture
def ours(server: Server) -> dict[str, float]:
    answer = server.classify(text=TEXT, labels=LABELS).json()
    return dict(zip(answer["labels"], answer["scores"], strict=True))


def test_hugging_faces_client_gets_the_same_scores(server: Server, ours: dict[str, float]) -> None:
    client = InferenceClient(model=f"{server.url}/hf/inference", token=key(server))
    elements = client.zero_shot_classification(TEXT, candidate_labels=LABELS)
    assert {element.label: element.score for element in elements} == pytest.approx(ours)


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_gets_the_same_scores(server: Server, ours: dict[str, float], binary: bool) -> None:
    with tritonclient.http.InferenceServerClient(server.url.removeprefix("http://")) as client:
        headers = {"Authorization": f"Bearer {key(server)}"}
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("zero_shot")
        assert client.get_model_metadata("zero_shot")["name"] == "zero_shot"
        inputs = []
        for name, values in (("text", [TEXT]), ("labels", LABELS)):
            tensor = tritonclient.http.InferInput(name, [len(values)], "BYTES")
            tensor.set_data_from_numpy(np.array(values, dtype=object), binary_data=binary)
            inputs.append(tensor)
        outputs = [
            tritonclient.http.InferRequestedOutput(name, binary_data=binary)
            for name in ("ranked_labels", "scores")
        ]
        answer = client.infer("zero_shot", inputs, outputs=outputs, headers=headers)
    labels = [value.decode() if isinstance(value, bytes) else value for value in answer.as_numpy("ranked_labels")]
    assert dict(zip(labels, answer.as_numpy("scores").tolist(), strict=True)) == pytest.approx(ours, abs=1e-6)


def key(server: Server) -> str:
    return (server.state_dir / "local.key").read_text(encoding="utf-8").strip()
