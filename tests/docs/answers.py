"""The endpoint that examples talk to: a real server on loopback with an answer for each question they ask."""

from __future__ import annotations

from tests.support.bill_server import Answer, Received

ENDPOINT = "http://localhost:8000/v1"
"""The address that examples are written with; the tests put the loopback server's in its place."""

ANSWERS = {
    "capital of france": Answer("The capital of France is Paris.", "France's capital city is Paris."),
    "primes": Answer("There are 168 primes below 1,000.", "Counting them with a sieve gives 168."),
    "warmer": Answer("Rome, by 7 degrees."),
    "receipt": Answer('{"shop": "Stationer", "lines": [{"what": "pen", "price": "2.50"}]}', "One pen at 2.50."),
    "does not fit": Answer('{"shop": "Stationer", "sum": "2.50"}'),
    "invoice": Answer('{"number": "INV-7", "total": "12.50"}', "Two books and a pen: 10.00 and 2.50."),
}
ROUTES = {
    "/completions": lambda _: {
        "model": "deepseek-ai/DeepSeek-V3.1",
        "choices": [{"index": 0, "text": "    return a + b\n", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 21, "completion_tokens": 6, "total_tokens": 27},
    },
    "/user/balance": lambda _: {
        "is_available": True,
        "balance_infos": [{"currency": "USD", "total_balance": "11.50", "granted_balance": "1.50"}],
    },
}
"""What further paths answer."""
HASTY = {"invoice": Answer("The invoice INV-7 comes to 12.50.")}
"""What the standard mode says instead."""
CALLS = {"warmer": Answer("", tool_calls=[("temperature", '{"city": "Paris"}'), ("temperature", '{"city": "Rome"}')])}
"""What is said first when there are tools."""
FALLBACK = Answer("Yes.", "Nothing speaks against it.")


def answer(request: Received) -> Answer:
    """The answer to a request's last question, in the mode that it asks for."""
    question = request.question.lower()
    if request.body.get("tools") and request.messages[-1]["role"] == "user":
        return next((found for phrase, found in CALLS.items() if phrase in question), FALLBACK)
    known = ANSWERS if request.mode_ran == "thinking" else {**ANSWERS, **HASTY}
    return next((found for phrase, found in known.items() if phrase in question), FALLBACK)
