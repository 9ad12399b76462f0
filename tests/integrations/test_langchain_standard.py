"""LangChain's own conformance tests of chat models, on a client and on a router, against a real server on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from deepthrift import Client
from deepthrift.integrations.langchain import ChatDeepthrift
from deepthrift_router import ModeRouter
from tests.support.bill_server import BillServer
from tests.support.doors import settings
from tests.support.obliging import oblige

SHARED: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def _endpoint() -> Iterator[None]:
    with BillServer(oblige) as server, Client(**settings(server)) as client:
        SHARED.update(client=client, router=ModeRouter(client))
        yield
    SHARED.clear()


class Shape:
    """What V3.1 can do: text in and text out, tools, objects, one model for each client."""

    source: ClassVar[str] = "client"

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatDeepthrift

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"client": SHARED[self.source]}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        return False

    @property
    def supported_usage_metadata_details(self) -> Any:
        return {kind: ["reasoning_output", "cache_read_input"] for kind in ("invoke", "stream")}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._asked(stream, {"mode": "thinking"} if self.source == "client" else {})

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        return self._asked(stream, {})

    def _asked(self, stream: bool, options: dict[str, Any]) -> AIMessage:
        model = ChatDeepthrift(**self.chat_model_params, **options)
        if not stream:
            return model.invoke("Hello")
        full: AIMessageChunk | None = None
        for chunk in model.stream("Hello"):
            assert isinstance(chunk, AIMessageChunk)
            full = chunk if full is None else full + chunk
        assert full is not None
        return full


class TestUnit(Shape, ChatModelUnitTests):
    pass


class TestOnAClient(Shape, ChatModelIntegrationTests):
    pass


@pytest.mark.slow  # the same tests again
class TestOnARouter(Shape, ChatModelIntegrationTests):
    source = "router"
