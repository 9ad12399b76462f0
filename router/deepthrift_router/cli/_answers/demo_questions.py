"""The questions of `deepthrift demo`: a dozen kinds, so that every path of the router is seen."""

from __future__ import annotations

from typing import Final, NamedTuple


class Question(NamedTuple):
    """A question and what kind it is."""

    kind: str
    text: str


QUESTIONS: Final = (
    Question("fact", "What is the capital of France?"),
    Question("arithmetic", "What is 17 + 25? Answer with the number only."),
    Question("translation", "Translate 'good morning' into Spanish."),
    Question("yes or no", "Is 9 greater than 12? Answer yes or no."),
    Question("trick", "A farmer has 17 sheep. All but 9 run away. How many sheep are left?"),
    Question("code", "Write a Python function that returns the square of a number."),
    Question("science", "What is the chemical formula of water?"),
    Question("fact", "How many days are in a week?"),
    Question("logic", "All cats are animals. Tom is a cat. Is Tom an animal? Answer yes or no."),
    Question("one word", "What is the opposite of hot? Answer with one word."),
    Question("literature", "Who wrote Romeo and Juliet? Answer with the name only."),
    Question("counting", "How many prime numbers are there below 10?"),
)
TEMPERATURE: Final = 0.2
"""High enough for a second sample to be free to differ, low enough for sure answers to be given twice."""
