"""A gateway over HTTP, with a model that is a fake, asked through its own API and through the compatible ones."""

from __future__ import annotations

import asyncio

from tests.fakes.gateway import gateway_app
from tests.fakes.server import serving
from wanneng.evaluation.gateway_target import GatewayTarget
from wanneng.evaluation.peer_target import PeerTarget
from wanneng.evaluation.targets import Question, Target

TEXTS = ["我要投诉手机", "咨询一下", "建议改进"] * 20
QUESTION = Question({"a": "投诉", "b": "咨询", "c": "建议"}, "{}")


async def test_every_api_of_a_gateway_gives_the_same_predictions() -> None:
    async with serving(gateway_app()) as url:
        paths = {"huggingface": ("/hf/inference", "/hf/pipeline"), "tei": ("",), "kserve": ("",)}
        targets: list[Target] = [GatewayTarget(url, None, fresh=True)]
        targets += [PeerTarget(api, url + path) for api, found in paths.items() for path in found]
        for question in (QUESTION, Question(QUESTION.wordings, "{}", multi_label=True)):
            expected = None
            for target in targets:
                answers = await asyncio.to_thread(target.ask, question, TEXTS, lambda: None)
                expected = expected or answers.predictions
                assert list(answers.predictions) == list(expected), target.name
            assert [prediction.label for prediction in expected or ()] == ["a", "b", "c"] * 20


async def test_a_text_that_the_gateway_refuses_loses_no_other() -> None:
    async with serving(gateway_app(max_text_characters=10)) as url:
        target = GatewayTarget(url, None)
        answers = await asyncio.to_thread(target.ask, QUESTION, ["投诉", "投诉" * 10, "咨询"], lambda: None)
    assert [prediction.label for prediction in answers.predictions] == ["a", None, "b"]
    assert "at most 10 are allowed" in (answers.predictions[1].error or "")
