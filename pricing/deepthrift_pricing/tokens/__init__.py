"""Exact V3.1 token counting: the tokenizer, the chat template and their counts, without a network.

The vocabulary is part of the package and is read on first use; importing this module reads nothing.
"""

from deepthrift_pricing.tokens._counter import TextCounter
from deepthrift_pricing.tokens._prompt import (
    Literals,
    count_messages,
    encode_messages,
    render,
    tools_prompt,
    upper_bound,
)
from deepthrift_pricing.tokens._special import SPECIAL_TOKENS
from deepthrift_pricing.tokens._template import Conversation, Tools, plain_text
from deepthrift_pricing.tokens._text import count_batch, count_text, decode, encode
from deepthrift_pricing.tokens._vocabulary import Vocabulary, vocabulary

__all__ = [
    "Conversation",
    "Literals",
    "SPECIAL_TOKENS",
    "TextCounter",
    "Tools",
    "Vocabulary",
    "count_batch",
    "count_messages",
    "count_text",
    "decode",
    "encode",
    "encode_messages",
    "plain_text",
    "render",
    "tools_prompt",
    "upper_bound",
    "vocabulary",
]
