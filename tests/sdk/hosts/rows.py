"""One row per host: what goes over the wire in each mode, and how the host answers, as its documentation has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from tests.support.behaviour import ReasoningField, UsageShape
from tests.support.dialect import Dialect

Sent: TypeAlias = Mapping[str, Any]


def _template(**fields: bool) -> Sent:
    return {"chat_template_kwargs": fields}


_TEMPLATE: Final = (_template(thinking=False), _template(thinking=True))
_BOTH: Final = (_template(thinking=False, enable_thinking=False), _template(thinking=True, enable_thinking=True))
_TYPE: Final = ({"thinking": {"type": "disabled"}}, {"thinking": {"type": "enabled"}})
_ENABLE: Final = ({"enable_thinking": False}, {"enable_thinking": True})
_REASONING: Final = ({"reasoning": {"enabled": False}}, {"reasoning": {"enabled": True}})
_EFFORT: Final = ({"reasoning_effort": "none"}, {"reasoning_effort": "high"})
_NOTHING: Final[tuple[Sent, Sent]] = ({}, {})
_ROUTED: Final = {"provider": {"require_parameters": True}}
_V31: Final = "deepseek-ai/DeepSeek-V3.1"


@dataclass(frozen=True)
class Row:
    """What a profile has to say."""

    host: str
    sent: tuple[Sent, Sent]
    """What a request carries beside the usual fields, in standard and in thinking mode."""
    model: tuple[str, str] | str
    dialect: Dialect | None
    """The switch that the loopback server reads; none for hosts without one."""
    reasoning: ReasoningField = "reasoning_content"
    usage: UsageShape = "openai"
    context: int = 131072
    limits: tuple[int | None, int | None] = (None, None)
    url: str | None = None
    """An address that belongs to it."""
    default: Literal["standard", "thinking"] = "standard"
    """The mode that runs when the host is told nothing."""

    @property
    def models(self) -> tuple[str, str]:
        """The model's name in standard and in thinking mode."""
        return (self.model, self.model) if isinstance(self.model, str) else self.model


_OPENROUTER: Final = ({**_REASONING[0], **_ROUTED}, {**_REASONING[1], **_ROUTED})
_V4: Final = (_TYPE[0], {**_TYPE[1], "reasoning_effort": "high"})

ROWS: Final = (
    # self-run
    Row("vllm", _TEMPLATE, _V31, "template-thinking", "reasoning", url="http://gpu-box:8000/v1"),
    Row("sglang", _TEMPLATE, _V31, "template-thinking", usage="sglang", url="http://gpu-box:30000/v1"),
    Row("llama.cpp", _BOTH, "deepseek-v3.1", "template-both", default="thinking", url="http://127.0.0.1:8080/v1"),
    Row(
        "ollama",
        _EFFORT,
        "deepseek-v3.1:671b",
        "effort",
        "reasoning",
        "bare",
        default="thinking",
        url="http://127.0.0.1:11434/v1",
    ),
    Row("lm-studio", _NOTHING, "deepseek-v3.1", None, url="http://localhost:1234/v1"),
    Row("tensorrt-llm", _TEMPLATE, _V31, "template-thinking"),
    Row("openai", _BOTH, "deepseek-v3.1", "template-both", url="https://llm.example/v1"),
    # the official API, then and now
    Row(
        "deepseek",
        _NOTHING,
        ("deepseek-chat", "deepseek-reasoner"),
        "model-name",
        usage="deepseek",
        limits=(8192, 65536),
        url="https://api.deepseek.com/v1",
    ),
    Row(
        "deepseek-v4",
        _V4,
        "deepseek-v4-flash",
        "thinking-type",
        usage="deepseek",
        context=1048576,
        limits=(393216, 393216),
        default="thinking",
    ),
    # hosted
    Row(
        "openrouter",
        _OPENROUTER,
        "deepseek/deepseek-chat-v3.1",
        "reasoning-object",
        "reasoning",
        context=163840,
        limits=(32768, 32768),
        url="https://openrouter.ai/api/v1",
    ),
    Row(
        "deepinfra",
        _REASONING,
        _V31,
        "reasoning-object",
        context=163840,
        url="https://api.deepinfra.com/v1/openai",
    ),
    Row(
        "novita",
        _ENABLE,
        "deepseek/deepseek-v3.1",
        "enable-thinking",
        limits=(32768, 32768),
        default="thinking",
        url="https://api.novita.ai/v3/openai",
    ),
    Row("siliconflow", _ENABLE, _V31, "enable-thinking", context=163840, url="https://api.siliconflow.cn/v1"),
    Row(
        "dashscope",
        _ENABLE,
        "deepseek-v3.1",
        "enable-thinking",
        limits=(65536, 65536),
        url="https://dashscope.aliyuncs.com/compatible-mode/v1",
    ),
    Row("ark", _TYPE, "deepseek-v3-1-250821", "thinking-type", url="https://ark.cn-beijing.volces.com/api/v3"),
    Row(
        "byteplus", _TYPE, "deepseek-v3-1-250821", "thinking-type", url="https://ark.ap-southeast.bytepluses.com/api/v3"
    ),
    Row(
        "tencent",
        _TYPE,
        "deepseek-v3.1",
        "thinking-type",
        limits=(32768, 32768),
        url="https://api.lkeap.cloud.tencent.com/v1",
    ),
    Row("baidu", _TYPE, "deepseek-v3.1-250821", "thinking-type", url="https://qianfan.baidubce.com/v2"),
    Row("huawei", _TYPE, "deepseek-v3.1", "thinking-type", url="https://api.modelarts-maas.com/v2"),
    Row("together", _REASONING, _V31, "reasoning-object", "reasoning", url="https://api.together.xyz/v1"),
    Row(
        "fireworks",
        _EFFORT,
        "accounts/fireworks/models/deepseek-v3p1",
        "effort",
        context=163840,
        url="https://api.fireworks.ai/inference/v1",
    ),
    Row(
        "nvidia",
        _TEMPLATE,
        "deepseek-ai/deepseek-v3.1",
        "template-thinking",
        limits=(8192, 8192),
        url="https://integrate.api.nvidia.com/v1",
    ),
    Row(
        "vertex",
        _NOTHING,
        "deepseek-ai/deepseek-v3.1-maas",
        None,
        context=163840,
        limits=(32768, 32768),
        url="https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1/endpoints/openapi",
    ),
    Row(
        "bedrock",
        ({}, _EFFORT[1]),
        "deepseek.v3.1",
        "effort",
        url="https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1",
    ),
    Row("azure", _NOTHING, "DeepSeek-V3.1", None, url="https://mine.services.ai.azure.com/openai/v1"),
    Row("sambanova", _BOTH, "DeepSeek-V3.1", "template-both", url="https://api.sambanova.ai/v1"),
    Row(
        "baseten",
        _NOTHING,
        _V31,
        None,
        context=163840,
        limits=(131000, 131000),
        url="https://inference.baseten.co/v1",
    ),
    Row("wandb", _NOTHING, _V31, None, "reasoning", context=128000, url="https://api.inference.wandb.ai/v1"),
    Row("chutes", _TEMPLATE, _V31, "template-thinking", context=163840, url="https://llm.chutes.ai/v1"),
    Row(
        "ollama-cloud",
        _EFFORT,
        "deepseek-v3.1:671b",
        "effort",
        "reasoning",
        "bare",
        context=163840,
        default="thinking",
        url="https://ollama.com/v1",
    ),
    Row(
        "nano-gpt",
        _NOTHING,
        (f"{_V31}-Terminus", f"{_V31}-Terminus:thinking"),
        "model-suffix",
        "reasoning",
        context=128000,
        limits=(65536, 65536),
        url="https://nano-gpt.com/api/v1",
    ),
    Row(
        "qiniu",
        _NOTHING,
        ("deepseek/deepseek-v3.1-terminus", "deepseek/deepseek-v3.1-terminus-thinking"),
        "model-suffix",
        context=128000,
        limits=(32000, 32000),
        url="https://api.qnaigc.com/v1",
    ),
    Row(
        "vercel",
        _REASONING,
        "deepseek/deepseek-v3.1",
        "reasoning-object",
        context=128000,
        url="https://ai-gateway.vercel.sh/v1",
    ),
    Row(
        "helicone",
        _NOTHING,
        "deepseek-v3.1-terminus",
        None,
        context=128000,
        limits=(16384, 16384),
        url="https://ai-gateway.helicone.ai/v1",
    ),
    Row(
        "streamlake",
        _ENABLE,
        "deepseek-v3.1",
        "enable-thinking",
        context=98304,
        limits=(32000, 32000),
        url="https://wanqing.streamlakeapi.com/api/gateway/v1/endpoints",
    ),
    Row("replicate", _NOTHING, "deepseek-ai/deepseek-v3.1", None),
)
