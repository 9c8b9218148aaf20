"""Whom a request may go to, and with whom it stays: tags, windows, sessions."""

from __future__ import annotations

from behaviours import error
from settings import deployment

TOO_LONG = error(400, "maximum context length", code="context_length_exceeded")


def answered_by(response):
    assert response.status == 200, response
    return response.header("x-spillway-deployment")


def test_tags_choose_the_deployment(gateway, upstream):
    running = gateway(
        deployment(upstream(), id="free", tags=["free"]),
        deployment(upstream(), id="paid", tags=["paid"]),
        deployment(upstream(), id="rest", tags=["default"]),
        router={"enable_tag_filtering": True},
    )
    for _ in range(4):
        assert answered_by(running.chat(tags=["paid"])) == "paid"
        assert answered_by(running.chat(metadata={"tags": ["free"]})) == "free"
        assert answered_by(running.chat(headers={"x-litellm-tags": "x, paid"})) == "paid"
        assert answered_by(running.chat(tags=["nobody"])) == "rest"
        assert answered_by(running.chat()) == "rest"


def test_a_request_whose_tags_nobody_takes_is_refused(gateway, upstream):
    served = upstream()
    running = gateway(deployment(served, tags=["paid"]), router={"enable_tag_filtering": True})
    response = running.chat(tags=["free"])
    assert response.status == 401
    assert response.json()["error"]["param"] == "tags"
    assert "due to tags configuration" in response.json()["error"]["message"]
    assert served.count == 0


def test_a_request_known_not_to_fit_passes_small_models_by(gateway, upstream):
    small, large = upstream(), upstream()
    running = gateway(
        deployment(small, info={"max_input_tokens": 1000}, order=1),
        deployment(large, info={"max_input_tokens": 1_000_000}, order=2),
        router={"enable_pre_call_checks": True},
    )
    assert running.chat(text="x" * 9_000).status == 200
    assert (small.count, large.count) == (0, 1)
    assert running.chat(text="x" * 7_000).status == 200
    assert (small.count, large.count) == (1, 1)


def test_a_request_that_fits_nowhere_is_too_long_before_any_call(gateway, upstream):
    small = upstream()
    running = gateway(
        deployment(small, info={"max_input_tokens": 1000}),
        router={"enable_pre_call_checks": True},
    )
    response = running.chat(text="x" * 9_000)
    assert response.status == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert small.count == 0


def test_the_same_model_is_not_asked_again_about_a_request_that_is_too_long(gateway, upstream):
    small, other = upstream(default=TOO_LONG), upstream()
    running = gateway(
        deployment(small, model="openai/small"),
        deployment(small, "spare", model="openai/small", order=1),
        deployment(other, "spare", model="openai/large", order=2),
        router={"context_window_fallbacks": [{"m": ["spare"]}]},
    )
    assert running.chat().status == 200
    assert (small.count, other.count) == (1, 1)


def test_a_session_stays_with_its_deployment_over_all_workers(gateway, upstream):
    served = [upstream() for _ in range(5)]
    running = gateway(
        *[deployment(one, id=f"d{i}") for i, one in enumerate(served)],
        router={"optional_pre_call_checks": ["session_affinity"]},
        threads=2,
    )
    for session in ("a", "b", "c"):
        first = answered_by(running.chat(headers={"x-litellm-session-id": session}))
        for _ in range(6):
            assert answered_by(running.chat(litellm_session_id=session)) == first


def test_a_long_common_beginning_stays_with_its_deployment(gateway, upstream):
    running = gateway(
        *[deployment(upstream(), id=f"d{i}") for i in range(5)],
        router={"optional_pre_call_checks": ["prompt_caching"]},
    )
    start = "once upon a time " * 400
    first = answered_by(running.chat(text=start))
    for i in range(8):
        assert answered_by(running.chat(text=start + str(i))) == first


def test_a_session_leaves_a_deployment_that_cools(gateway, upstream):
    limited = error(429, headers={"retry-after": "30"})
    first, second = upstream(), upstream()
    running = gateway(
        deployment(first, id="first"),
        deployment(second, id="second"),
        router={"optional_pre_call_checks": ["session_affinity"]},
    )
    home = answered_by(running.chat(litellm_session_id="s"))
    (first if home == "first" else second).always(limited)
    away = "second" if home == "first" else "first"
    for _ in range(4):
        assert answered_by(running.chat(litellm_session_id="s")) == away
