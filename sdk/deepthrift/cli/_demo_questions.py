"""The questions of `deepthrift demo`: a dozen kinds, so that every path of the router is seen."""

from __future__ import annotations

from typing import Final, NamedTuple


class Question(NamedTuple):
    """A question and what kind it is."""

    kind: str
    text: str


QUESTIONS: Final = (
    Question("fact", "What is the capital of France?"),
    Question("arithmetic", "What is 17 + 25?"),
    Question("translation", "How do you say 'good morning' in Spanish?"),
    Question("fact", "Who wrote Romeo and Juliet?"),
    Question("yes or no", "Is 9 greater than 12? Answer yes or no."),
    Question("trick", "A farmer has 17 sheep. All but 9 run away. How many sheep are left?"),
    Question("format", "List the three primary colours on one line, separated by commas."),
    Question("code", "Write a Python function that returns the square of a number."),
    Question("science", "What is the chemical formula of water?"),
    Question("word problem", "A pen costs 3 dollars and a book costs 8 dollars. What do 2 pens and 1 book cost?"),
    Question("logic", "All cats are animals. Tom is a cat. Is Tom an animal?"),
    Question("counting", "How many prime numbers are there below 30?"),
)
