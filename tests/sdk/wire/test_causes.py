"""What errors mean, told from the words and codes of many hosts, with whatever status they come."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deepthrift import errors
from deepthrift._wire.errors.failures import error_in_answer, status_error
from deepthrift.errors import ContextLengthExceeded, InsufficientBalance, StatusError

OVERFLOWS = [
    "This model's maximum context length is 8192 tokens. However, you requested 9001 tokens (8001 in the messages).",
    "This endpoint's maximum context length is 163840 tokens. However, you requested about 180000 tokens.",
    "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
    "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens.",
    "Requested token count exceeds the model's maximum context length of 8192 tokens.",
    "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
    "Input length (9000 tokens) exceeds the maximum allowed length (8191 tokens). Use a shorter input.",
    "the request exceeds the available context size, try increasing it",
    "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
    "Context size has been exceeded.",
    "input is too large to process. increase the physical batch size",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` tokens.",
    "Input validation error: `inputs` must have less than 1024 tokens. Given: 2000",
    "the input length exceeds the context length",
    "prompt too long; exceeded max context length by 120 tokens",
    "Range of input length should be [1, 129024]",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000",
    "Your input exceeds the context window of this model. Please adjust your input and try again.",
    "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
    "Input is too long for requested model.",
    "Invalid request: Your request exceeded model token limit: 131072",
    "length of prompt_tokens (40000) must be less than max_seq_len (32768).",
    "This model's maximum prompt length is 131072 but the request contains 150000 tokens.",
    "Please reduce the length of the messages or completion.",
    "litellm.ContextWindowExceededError: BadRequestError: OpenAIException - too many tokens",
    "输入长度超过模型的最大限制",
]

EMPTY_ACCOUNTS: list[tuple[int, Any]] = [
    (402, {"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}),
    (403, {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None}),
    (403, {"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "not enough balance", "metadata": {}}),
    (403, {"error": {"code": "AccountOverdueError", "message": "The request failed.", "type": "Forbidden"}}),
    (400, {"error": {"code": "Arrearage", "message": "Access denied, please make sure …", "type": "Arrearage"}}),
    (400, {"code": "Arrearage", "message": "Access denied", "request_id": "x"}),
    (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota, please check …"}}),
    (429, {"error": {"type": "exceeded_current_quota_error", "message": "Your account is suspended"}}),
    (429, {"error": {"code": "1113", "message": "您的账户已欠费，请充值后重试。"}}),
    (429, {"error": {"message": "余额不足或无可用资源包,请充值。"}}),
    (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}}),
    (403, {"error": {"code": "insufficient_user_quota", "message": "用户额度不足, 剩余额度: 0.00"}}),
    (403, {"code": "permission-denied", "error": "Your team has used all available credits or reached its limit."}),
    (400, {"error": {"code": "billing_hard_limit_reached", "message": "Billing hard limit has been reached"}}),
    (412, {"error": {"message": "Account is suspended, possibly due to reaching the monthly spending limit"}}),
    (403, {"error": {"status": "PERMISSION_DENIED", "message": "This API method requires billing to be enabled."}}),
    (400, {"error": {"type": "budget_exceeded", "message": "Budget has been exceeded! Current cost: 1.2"}}),
    (500, 'litellm.APIError: DeepseekException - {"error":{"message":"Insufficient Balance"}}'),
    (429, {"error": {"message": "Rate limit: insufficient credits. Add more at …"}}),
]

OTHERS: list[tuple[int, Any, type[StatusError]]] = [
    (403, {"error": {"message": "The load balancer refused the connection"}}, errors.PermissionRefused),
    (400, {"error": {"message": "Unbalanced parentheses in the schema"}}, errors.BadRequest),
    (400, {"error": {"message": "Range of max_tokens should be [1, 8192]"}}, errors.BadRequest),
    (429, {"error": {"message": "Rate limit reached on tokens per min (TPM): Limit 6000"}}, errors.RateLimited),
    (429, {"error": {"message": "Request too large: 9000 tokens per minute (TPM)"}}, errors.RateLimited),
    (429, {"error": {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED"}},
     errors.RateLimited),
    (429, {"error": {"code": "insufficient_quota", "message": "Allocated quota exceeded, see #token-limit"}},
     errors.RateLimited),
    (429, {"error": {"message": "You have reached the rate limit; to raise it, top up your account"}},
     errors.RateLimited),
    (404, {"error": {"message": "The model `credit-balance` does not exist"}}, errors.NotFound),
]  # fmt: skip


@pytest.mark.parametrize("message", OVERFLOWS)
def test_an_overflow_is_told_wherever_it_stands(message: str) -> None:
    shapes: list[Any] = [
        {"error": {"message": message, "type": "BadRequestError", "code": 400}},
        {"object": "error", "message": message, "code": 400},
        {"error": message},
        {"detail": message},
        {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": message}}},
        {"error": {"message": "Provider returned error", "metadata": {"raw": json.dumps({"error": message})}}},
        {"error": {"message": json.dumps({"error": {"message": message}})}},
        message,
    ]
    for shape in shapes:
        for status in (400, 413, 422, 429, 500, 502):
            error = status_error(status, json.dumps(shape).encode(), {}, host="h")
            assert isinstance(error, ContextLengthExceeded), (status, shape)
            assert message[:60] in str(error)
        inside, _ = error_in_answer(shape, host="h")
        assert isinstance(inside, ContextLengthExceeded), shape
    assert isinstance(status_error(400, message.encode(), {}, host="h"), ContextLengthExceeded)


@pytest.mark.parametrize(("status", "body"), EMPTY_ACCOUNTS)
def test_an_empty_account_is_told_whatever_the_status(status: int, body: Any) -> None:
    error = status_error(status, json.dumps(body).encode(), {}, host="h")
    assert type(error) is InsufficientBalance
    assert error.status == status
    assert "top it up" in str(error)
    assert isinstance(error_in_answer(body, host="h")[0], InsufficientBalance)


@pytest.mark.parametrize(("status", "body", "kind"), OTHERS)
def test_other_errors_are_not_taken_for_them(status: int, body: Any, kind: type[StatusError]) -> None:
    assert type(status_error(status, json.dumps(body).encode(), {}, host="h")) is kind


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("What does insufficient balance mean?", "Invalid prompt: What does insufficient balance mean?"),
        (
            "My account has insufficient credits, why",
            "messages[0].content 'My account has insufficient credits' is bad",
        ),
        ("Is my prompt too long? Tell me", "The text Is my prompt too long? Tell me was blocked"),
        ("我的余额不足怎么办", "内容违规: 我的余额不足怎么办"),
    ],
)
def test_words_of_the_prompt_mean_nothing(prompt: str, message: str) -> None:
    sent = json.dumps({"model": "m", "messages": [{"role": "user", "content": prompt}]}).encode()
    error = status_error(400, json.dumps({"error": {"message": message}}).encode(), {}, host="h", sent=sent)
    assert type(error) is errors.BadRequest
    genuine = status_error(403, b'{"message": "Insufficient balance"}', {}, host="h", sent=sent)
    assert type(genuine) is InsufficientBalance


def test_words_in_quotes_mean_nothing_where_the_prompt_is_not_known() -> None:
    body = json.dumps({"error": {"message": 'Field "insufficient balance" is not in the schema'}}).encode()
    assert type(status_error(400, body, {}, host="h")) is errors.BadRequest
