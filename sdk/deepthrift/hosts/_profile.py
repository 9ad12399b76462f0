"""A host as data: everything the client has to know about an endpoint, in one declarative object."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PositiveInt, ValidationError, model_validator

from deepthrift._types.errors import ConfigurationError
from deepthrift.hosts import _catalog
from deepthrift.hosts._answers import AnswerForm
from deepthrift.hosts._dialects import Dialect, Switch, switch_for
from deepthrift.hosts._efforts import Efforts, efforts_for
from deepthrift.hosts._service import ServerTool, ServiceTier
from deepthrift_pricing import Mode
from deepthrift_pricing.shared.files import read_text

Feature: TypeAlias = Literal[
    "forced_tool_choice",
    "json_object",
    "json_schema",
    "logprobs",
    "prefix",
    "seed",
    "strict_tools",
    "temperature",
    "tools",
    "top_p",
]
"""Something a mode of a host can or cannot do. Without `strict_tools`, a tool's `strict` is not sent."""

Tokenizer: TypeAlias = Literal["auto", "bytes", "engine", "v3.1"]
"""How prompts are counted. `v3.1`: exactly, here. `engine`: by the server's own tokenizer. `bytes`: by an upper bound.
`auto`: as `v3.1` when the model's name says V3.1, else as `bytes`."""

PrefixForm: TypeAlias = Literal["continue_final_message", "last_message", "message", "prompt", "reasoning_content"]
"""How a request says that its last message is to be continued.

`message`: by `prefix` in that message, whose content begins the answer, or in thinking mode the reasoning.
`reasoning_content`: the same, with the reasoning in a field of its own. `continue_final_message`: by two fields of the
body, as vLLM has them. `last_message`: not at all: the server goes on from any answer at the end. Where it repeats what
it was given, that is cut off. `prompt`: the whole prompt is rendered here and completed as plain text, by servers with
`exact_prompts`; with tools, a schema or a budget of reasoning, which only chats have, as `message`.
"""

ReasoningField: TypeAlias = Literal["reasoning", "reasoning_content"]
"""The field of a message in which a host sends the reasoning back."""

CachedTokens: TypeAlias = Literal["none", "prompt_cache_hit_tokens", "prompt_tokens_details", "unknown"]
"""Where the usage says how many prompt tokens came from the cache. Every shape is read, whatever a profile says."""

Unverified: TypeAlias = Literal["address", "cached_tokens", "features", "limits", "reasoning", "switch"]
"""A part of a profile that no source states outright and nobody has tried against the live endpoint."""

ErrorStatus: TypeAlias = Annotated[int, Field(ge=300, le=599)]
"""An HTTP status that says that a request failed."""

_V31 = re.compile(r"deepseek.*(v3[._p-]?1|chat|reasoner)", re.IGNORECASE)


class ModeRules(BaseModel):
    """What holds for one mode of a host."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    switch: Switch | None = None
    """What switches this mode on, where it differs from the dialect's usual form."""
    max_tokens_default: PositiveInt | None = None
    """Completion tokens that the host allows when the request does not say; `None` is the rest of the context."""
    max_tokens_limit: PositiveInt | None = None
    """The most completion tokens that the host accepts, reasoning included."""
    send_default: bool = False
    """Whether `max_tokens_default` has to be sent, because the host itself has no such default."""
    features: frozenset[Feature] = frozenset()
    ignored: tuple[str, ...] = ()
    """Options that the host accepts in this mode and gives no effect."""


class Completions(BaseModel):
    """How a host completes plain text, and fills in what is missing in its middle."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    fim: Literal["none", "suffix", "tokens"] = "none"
    """How the text after the gap is sent: not at all, as `suffix`, or with V3.1's own tokens inside the prompt."""
    max_tokens_default: PositiveInt = 512
    """Completion tokens when the call does not say; it is sent, because servers stop after 16 without it."""
    max_tokens_limit: PositiveInt | None = None


class TwoPass(BaseModel):
    """Thinking for a model that was not trained to: first notes, then the answer in a fresh turn."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    budget: PositiveInt = 96
    """The most tokens of the first pass, when the call does not limit them further."""
    think: str
    """The first pass's question; `{question}` stands for the user's."""
    answer: str
    """The second pass's question; `{notes}` stands for what the first pass said."""

    def thinking_prompt(self, question: str) -> str:
        """What to ask in the first pass."""
        return _fill(self.think, {"question": question})

    def answer_prompt(self, question: str, notes: str) -> str:
        """What to ask in the second pass."""
        return _fill(self.answer, {"question": question, "notes": notes})


def _fill(template: str, values: dict[str, str]) -> str:
    """`template` with its placeholders replaced once: braces inside the values stay as they are."""
    return re.sub(r"\{(question|notes)\}", lambda match: values.get(match[1], match[0]), template)


class BatchRules(BaseModel):
    """How a host takes whole batches, in the form of OpenAI's files and batches."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    tier: str = "batch"
    """The service tier at which the price book holds what is answered in a batch."""
    upload: str = "/files"
    """Where the file of requests goes, below the base URL."""
    purpose: str = "batch"
    """What the host calls the purpose of such a file."""
    endpoint: str = "/v1/chat/completions"
    """What the host calls the place of chats, in the file and when the batch is made."""
    window: str = "24h"
    """The time in which the host promises to be done."""
    max_rows: PositiveInt = 50_000
    max_megabytes: PositiveInt = 200


class HostProfile(BaseModel):
    """How one kind of endpoint wants to be spoken to.

    Profiles are TOML files. `HostProfile.named("vllm")` is one of the built-in ones, `HostProfile.load("mine.toml")`
    one of yours; every field but `name` has a default that suits an OpenAI-compatible server of V3.1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """The host as prices, budgets and the ledger know it; two profiles of one host share it."""
    title: str = ""
    source: str = ""
    """Where these facts were read."""
    checked: date | None = None
    """When they were last compared with their source."""
    note: str = ""
    """What to know before using it: its status, what it is started with, what is doubtful."""
    unverified: tuple[Unverified, ...] = ()
    """Which parts of the profile to try before relying on them; `deepthrift doctor --probe URL` does."""

    base_url: str | None = Field(default=None, repr=False)
    """Where to call when the client is given no URL."""
    url_hosts: tuple[str, ...] = ()
    """Host names that belong to this host: whole, endings such as `.deepseek.com`, or patterns with `*`."""
    ports: tuple[int, ...] = ()
    """Ports of plain HTTP servers that usually run this host's software."""
    api_key_env: str | None = None
    """The environment variable that holds the key of `url_hosts`; it is sent nowhere else."""

    model: str | None = None
    """The model when the client is given none."""
    models: tuple[str, ...] = ()
    """The host's names for V3.1, or for what the profile is for; among profiles of one address they tell which."""
    dialect: Dialect = "ctk_both"
    standard: ModeRules = Field(default_factory=ModeRules)
    thinking: ModeRules = Field(default_factory=ModeRules)
    ladder: tuple[str, ...] = ()
    """The tiers of a router on this host, the cheapest first, such as `("standard", "thinking:low", "thinking:max")`.
    Empty: standard and thinking mode."""
    two_pass: TwoPass | None = None
    completions: Completions | None = None
    """How plain text is completed at `/completions`, or `None` where the host does not."""
    batch: BatchRules | None = None
    """How the host takes whole batches; `None` where it does not, or does not say how."""
    service_tiers: dict[str, ServiceTier] = {}
    """The service tiers that a call may ask for by `service_tier`, and how each is asked for."""
    server_tools: dict[str, ServerTool] = {}
    """The tools that the host runs itself, by the `type` that names them in `tools`."""
    context: PositiveInt = 131072
    """Tokens of prompt and completion together."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    over_limit: Literal["refuse", "clamp"] = "refuse"
    """What happens to a `max_tokens` above the host's limit: a clear error, or the limit and a warning."""

    tokenizer: Tokenizer = "auto"
    exact_prompts: bool = False
    """Whether the server is known to render every prompt just as it is counted here, with its tools, and to read text
    that looks like a special token as that token."""
    extra_tokens_per_message: int = Field(default=0, ge=0)
    """Tokens by which the host's own rendering of a message may be longer than V3.1's."""
    default_system: str | None = None
    """A system message for conversations that have none."""
    history: Literal["strip", "keep"] = "strip"
    """Whether reasoning in earlier turns is stripped before sending, or sent back."""
    prefix_form: PrefixForm = "message"
    beta_path: str | None = None
    """Where strict tools, prefixes and completions go, in place of the base URL's `/v1`; `None` is where all goes."""
    merge_roles: bool = False
    """Whether successive messages of one role are joined, for hosts that refuse them."""

    reasoning_fields: tuple[ReasoningField, ...] = ("reasoning_content", "reasoning")
    """Where reasoning comes back, in order of trust; only the first that is there is read."""
    continues_in_text: bool = False
    """Whether reasoning that goes on from a begun answer comes back at the head of the text, ended by `</think>`."""
    schema_field: str | None = None
    """The field that takes a JSON schema as a grammar for the answer, such as `guided_json`, where the host reads one
    there and not in `response_format`."""
    reasoning_budget_field: str | None = None
    """The field of a request's body that limits the tokens of its reasoning, or `None` where the host has no limit."""
    efforts: tuple[Efforts, ...] = ()
    """The levels of thinking, by model; the first table that names a model holds for it. Without one, a model thinks or
    it doesn't."""
    reasoning_in_text: bool = False
    """Whether reasoning comes back at the head of the text, ended by `</think>`."""
    embeddings: bool = False
    """Whether the host turns texts into vectors at `/embeddings`."""
    cached_tokens: CachedTokens = "unknown"
    answers: AnswerForm = Field(default_factory=AnswerForm)
    """How answers look on the wire, where the host's documentation shows more than the usual fields."""
    stream_usage: bool = True
    """Whether `stream_options.include_usage` is sent."""
    samples: bool = False
    """Whether one request can bring several answers, told by `n`."""
    free_statuses: tuple[ErrorStatus, ...] = ()
    """Error statuses with which this host is known to bill nothing, on top of those that are free everywhere: 429, 503
    and 529, most of 4xx, redirects, and Cloudflare's 521, 523, 525 and 526. An attempt that ends in any other status
    stays booked at its worst case, as `unknown`."""
    billed_statuses: tuple[ErrorStatus, ...] = ()
    """Error statuses with which this host may bill, although they are free elsewhere."""
    balance_path: str | None = None
    """Where the host tells the account's balance, below the base URL without its `/v1`."""

    defaults: dict[str, JsonValue] = {}
    """Fields of the request's body that hold unless the call says otherwise, such as a temperature."""
    body: dict[str, JsonValue] = {}
    """Fields merged into every request's body."""
    headers: dict[str, str] = {}

    @model_validator(mode="after")
    def _statuses(self) -> Self:
        if both := set(self.free_statuses) & set(self.billed_statuses):
            raise ValueError(f"free_statuses and billed_statuses both have {sorted(both)}; keep each in one of them")
        return self

    def rules(self, mode: Mode) -> ModeRules:
        """What holds for `mode`."""
        return self.thinking if mode == "thinking" else self.standard

    def switch(self, mode: Mode) -> Switch:
        """What a request carries to run `mode`."""
        return self.rules(mode).switch or switch_for(self.dialect, mode)

    def model_for(self, mode: Mode, model: str) -> str:
        """The name under which the host runs `model` in `mode`."""
        switch = self.switch(mode)
        return (switch.model or model) + switch.model_suffix

    def efforts_for(self, model: str) -> Efforts | None:
        """The levels of thinking that `model` has here, or `None`."""
        return efforts_for(self.efforts, model)

    def counts_as_v31(self, model: str) -> bool:
        """Whether prompts for `model` can be counted here with V3.1's own tokenizer."""
        return self.tokenizer == "v3.1" or (self.tokenizer == "auto" and _V31.search(model) is not None)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The built-in profiles."""
        return _catalog.names()

    @classmethod
    def named(cls, name: str) -> HostProfile:
        """A built-in profile.

        Raises:
            ConfigurationError: There is none of that name.
        """
        found = _BUILTIN.get(name)
        if found is None:
            if name not in _catalog.names():
                known = ", ".join(_catalog.names())
                raise ConfigurationError(
                    f"{name!r} is not a known host; use one of {known}, or HostProfile.load('your-host.toml')"
                )
            found = _BUILTIN[name] = cls.parse(_catalog.text(name), origin=f"{name}.toml")
        return found

    @classmethod
    def load(cls, path: str | Path) -> HostProfile:
        """A profile from a TOML file.

        Raises:
            ConfigurationError: The file cannot be read, is not TOML, or has a field that is wrong.
        """
        try:
            text = read_text(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the host profile {str(path)!r} cannot be read: {error}") from error
        return cls.parse(text, origin=str(path))

    @classmethod
    def parse(cls, text: str, *, origin: str = "<text>") -> HostProfile:
        """A profile from TOML text; `origin` names it in errors.

        Raises:
            ConfigurationError: The text is not TOML, or has a field that is wrong.
        """
        import tomllib

        try:
            return cls.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"the host profile {origin!r} is not TOML: {error}") from error
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise ConfigurationError(f"the host profile {origin!r} is wrong: {wrong}") from error

    @classmethod
    def for_url(cls, url: str, *, model: str | None = None) -> HostProfile:
        """The profile that a URL belongs to: by host name, then by port, else the generic `openai` one.

        Where two profiles share an address, `model` tells which.
        """
        return cls.named(_catalog.name_for(url, model))

    def owns(self, url: str) -> bool:
        """Whether `url` is one of this host's own addresses."""
        return _catalog.owned(url, self.url_hosts)


_BUILTIN: dict[str, HostProfile] = {}
"""The built-in profiles that were asked for so far."""
