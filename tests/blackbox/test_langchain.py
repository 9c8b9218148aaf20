"""LangChain's OpenAI client against the gateway: a plain call, a streamed one, tools, and a
failure."""

from __future__ import annotations

import pytest

from behaviours import error
from error_table import NO_RETRIES
from settings import deployment

langchain_openai = pytest.importorskip("langchain_openai")


@pytest.fixture
def quiet(monkeypatch):
    """No tracing: the tests talk to loopback only."""
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "false")


@pytest.fixture
def chat(gateway, upstream, quiet):
    running = gateway(deployment(upstream()))
    return langchain_openai.ChatOpenAI(
        model="m", base_url=running.base_url, api_key="sk-client", max_retries=0
    )


def test_a_plain_call(chat):
    answer = chat.invoke("good morning")
    assert answer.content == "echo: good morning"
    assert answer.usage_metadata["total_tokens"] == 12


def test_a_streamed_call(chat):
    pieces = [chunk.content for chunk in chat.stream("good morning")]
    assert "".join(pieces) == "echo: good morning" and len(pieces) > 2


def test_tools_are_called(chat):
    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    answer = chat.bind_tools([weather]).invoke("what is the weather?")
    assert answer.tool_calls[0]["name"] == "weather"
    assert answer.tool_calls[0]["args"] == {"city": "Zürich"}


def test_embeddings(gateway, upstream, quiet):
    running = gateway(deployment(upstream()))
    embeddings = langchain_openai.OpenAIEmbeddings(
        model="m", base_url=running.base_url, api_key="k", check_embedding_ctx_length=False
    )
    assert embeddings.embed_query("x") == [0.25, -0.5, 0.0]


def test_a_rate_limit_raises_the_sdks_exception(gateway, upstream, quiet):
    openai = pytest.importorskip("openai")
    running = gateway(deployment(upstream(default=error(429))), router=NO_RETRIES)
    chat = langchain_openai.ChatOpenAI(
        model="m", base_url=running.base_url, api_key="k", max_retries=0
    )
    with pytest.raises(openai.RateLimitError):
        chat.invoke("hello")
