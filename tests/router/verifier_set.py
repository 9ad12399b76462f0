"""Short right answers and fluent wrong ones, to try verification on. Nothing is ever fitted on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# question | a short right answer | the same in other words | a wrong answer
_FACTS: Final = """
What is the capital of Australia? | Canberra | The capital of Australia is Canberra. | Sydney
What is the capital of Canada? | Ottawa | Ottawa is the capital of Canada. | Toronto
What is the capital of Turkey? | Ankara | It is Ankara. | Istanbul
What is the capital of Brazil? | Brasília | The capital is Brasília. | Rio de Janeiro
What is the capital of Switzerland? | Bern | The capital of Switzerland is Bern. | Zurich
What is the capital of Morocco? | Rabat | Rabat. | Casablanca
What is the capital of New Zealand? | Wellington | **Wellington** | Auckland
What is the capital of Kazakhstan? | Astana | The capital of Kazakhstan is Astana. | Almaty
What is the capital of Vietnam? | Hanoi | Answer: Hanoi | Ho Chi Minh City
What is the capital of Myanmar? | Naypyidaw | It is Naypyidaw. | Yangon
How many days are in a leap year? | 366 | A leap year has 366 days. | 364
How many continents are there? | 7 | There are seven continents. | 9
How many planets does the solar system have? | 8 | eight | 11
How many sides does a heptagon have? | 7 | A heptagon has 7 sides. | 8
How many sides does a dodecagon have? | 12 | twelve | 10
How many strings does a standard violin have? | 4 | It has four strings. | 6
How many keys does a full-size piano have? | 88 | A full-size piano has 88 keys. | 76
How many players are on a football pitch for one team? | 11 | eleven | 9
How many minutes are in a day? | 1,440 | 1440 minutes | 1,400
How many seconds are in an hour? | 3600 | 3,600 seconds | 6000
How many grams are in two kilograms? | 2000 g | 2,000 grams | 200
How many cards are in a standard deck? | 52 | There are 52 cards in a standard deck. | 54
How many bones does an adult human have? | 206 | An adult human has 206 bones. | 218
How many teeth does an adult human normally have? | 32 | 32 teeth | 28
How many chromosomes does a human cell have? | 46 | 46 chromosomes | 48
What is 17 times 23? | 391 | 17 × 23 = 391\\n\\nAnswer: 391 | 381
What is 144 divided by 12? | 12 | 12.0 | 14
What is 15 % of 240? | 36 | The answer is 36. | 32
What is the square root of 169? | 13 | \\boxed{13} | 17
What is 2 to the power of 10? | 1024 | 1,024 | 1000
What is 7 factorial? | 5040 | 5,040 | 720
What is the sum of the first ten positive integers? | 55 | The sum is 55.\\n\\nFinal answer: 55 | 45
What is three quarters as a decimal? | 0.75 | 3/4 | 0.34
What is 0.2 as a percentage? | 20% | 20 percent | 2%
What is 1000 minus 387? | 613 | 613. | 623
What is the greatest common divisor of 48 and 36? | 12 | The answer is 12. | 6
What is the least common multiple of 4 and 6? | 12 | 12 | 24
What is the next prime after 31? | 37 | The next prime is 37. | 33
What is 25 squared? | 625 | $625$ | 525
What is 1/2 + 1/3? | 5/6 | \\frac{5}{6} | 2/5
Which planet is closest to the sun? | Mercury | Mercury is closest to the sun. | Venus
Which planet is the largest? | Jupiter | The largest planet is Jupiter. | Saturn
Which planet is known as the red planet? | Mars | It is Mars. | Jupiter
Which gas do plants take up for photosynthesis? | Carbon dioxide | carbon dioxide | Nitrogen
Which gas makes up most of the air? | Nitrogen | Most of the air is nitrogen. | Oxygen
What is the chemical symbol of gold? | Au | The chemical symbol of gold is Au. | Gd
What is the chemical symbol of iron? | Fe | It is Fe. | Ir
What is the chemical symbol of sodium? | Na | Na. | So
What is the chemical formula of water? | H2O | The formula is H2O. | HO2
What is the hardest natural mineral? | Diamond | The hardest natural mineral is diamond. | Quartz
Which metal is liquid at room temperature? | Mercury | mercury | Lead
What is the largest ocean? | The Pacific | Pacific | The Atlantic
What is the longest river in South America? | The Amazon | It is the Amazon. | The Paraná
What is the highest mountain above sea level? | Mount Everest | mount everest | K2
What is the largest mammal? | The blue whale | Blue whale | The elephant
What is the fastest land animal? | The cheetah | Cheetah. | The lion
What is the largest desert that is hot? | The Sahara | Sahara | The Gobi
Which country has the most people? | India | It is India. | The United States
Which language is spoken in Brazil? | Portuguese | Portuguese is spoken in Brazil. | Spanish
Which currency is used in Japan? | The yen | Yen | The won
Which currency is used in Switzerland? | The Swiss franc | Swiss franc | The euro
Who wrote Hamlet? | Shakespeare | Hamlet was written by Shakespeare. | Marlowe
Who wrote Don Quixote? | Cervantes | It is Cervantes. | Borges
Who wrote Faust? | Goethe | goethe | Schiller
Who painted the Mona Lisa? | Leonardo da Vinci | Leonardo Da Vinci | Michelangelo
Who painted The Starry Night? | Vincent van Gogh | Vincent van Gogh. | Paul Gauguin
Who composed the opera Carmen? | Bizet | The composer is Bizet.\\n\\nAnswer: Bizet | Verdi
Who formulated the theory of general relativity? | Einstein | It is Einstein. | Newton
Who discovered penicillin? | Alexander Fleming | Alexander Fleming. | Louis Pasteur
Who was the first person on the moon? | Neil Armstrong | The first person on the moon was Neil Armstrong. | Yuri Gagarin
In which year did the Second World War end? | 1945 | It ended in 1945.\\n\\nAnswer: 1945 | 1944
In which year did the Berlin Wall fall? | 1989 | The answer is 1989. | 1991
In which year did people first walk on the moon? | 1969 | 1969. | 1967
In which year did the French Revolution begin? | 1789 | Answer: 1789 | 1799
On which date did the First World War end? | 11 November 1918 | November 11, 1918 | 11 October 1918
On which date is Bastille Day in 2024? | 2024-07-14 | 14 July 2024 | 2024-07-04
Is 91 a prime number? | No | no. | Yes
Is 97 a prime number? | Yes | True | No
Is the Earth larger than Mars? | Yes | **Yes** | No
Is a whale a fish? | No | No. | Yes
Is zero an even number? | Yes | yes | No
Is glass a metal? | No | NO | Yes
Can penguins fly? | No | no | Yes
Does light travel faster than sound? | Yes | Yes. | No
Is a tomato botanically a fruit? | Yes | True | No
Is the sun a star? | Yes | yes. | No
Sort these numbers: 5, 3, 9, 1. | 1, 3, 5, 9 | 1 3 5 9 | 1, 5, 3, 9
List the first five primes. | 2, 3, 5, 7, 11 | 2 3 5 7 11 | 1, 2, 3, 5, 7
Give the numbers from 3 down to 1 as a JSON list. | [3, 2, 1] | [3,2,1] | [1, 2, 3]
Give {a: 1, b: 2} as JSON with sorted keys. | {"a": 1, "b": 2} | {"b": 2, "a": 1} | {"a": 2, "b": 1}
Reverse the word stone. | enots | Enots | etons
What is the plural of mouse, the animal? | mice | Mice. | mouses
What is the opposite of hot? | cold | Cold | warm
What is the past tense of go? | went | The past tense of go is went. | goed
How many letters does the word banana have? | 6 | It has 6 letters. | 7
How do you say thank you in French? | merci | Merci. | gracias
What is the Roman numeral for 9? | IX | ix | VIIII
What is the Roman numeral for 50? | L | L. | C
What is the boiling point of water at sea level in degrees Celsius? | 100 °C | 100 degrees | 90 °C
What is the freezing point of water in degrees Fahrenheit? | 32 | 32 degrees | 0
How long is a marathon in kilometres? | 42.195 km | 42.2 km | 40 km
How many metres are in 1.5 kilometres? | 1500 m | 1.5 km | 150 m
What does a 20 % tip on $50 come to? | $10 | 10 dollars | $12
What is half of one million? | 500,000 | 500 thousand | 50,000
Which is heavier, a kilogram of iron or a pound of iron? | A kilogram of iron | a kilogram of iron | A pound of iron
"""

_FLUENT: Final = (
    "The answer is, without any doubt, {wrong}. It is one of those facts that every encyclopedia agrees on, that "
    "generations of pupils have learned by heart, and that has been confirmed again and again. The answer is {wrong}.",
    "Let us think about this carefully. There are several candidates that come to mind at first, but a closer look "
    "leaves only one of them standing, and it is well documented in the literature.\n\n**Final answer:** {wrong}",
    "Great question! People often get this wrong, yet it is easily settled: we recall the relevant definition, apply "
    "it step by step, and check the result against an independent source.\n\nAnswer: {wrong}",
    "<answer>{wrong}</answer>\n\nThis follows directly from what is generally known, and there is broad agreement on "
    "it among experts in the field, who have written about it at length and in great detail.",
    "To be precise, and with full confidence: by the standard definition, and after weighing every alternative in "
    "turn, the correct answer is {wrong}",
)


@dataclass(frozen=True)
class Case:
    """One question with a short right answer in two wordings and a fluent wrong one."""

    question: str
    right: str
    right_again: str
    wrong: str
    fluent: str


def _cases() -> list[Case]:
    cases = []
    for number, line in enumerate(filter(None, _FACTS.splitlines())):
        question, right, again, wrong = (part.strip().replace("\\n", "\n") for part in line.split(" | "))
        fluent = _FLUENT[number % len(_FLUENT)].format(wrong=wrong)
        cases.append(Case(question, right, again, wrong, fluent))
    return cases


CASES: Final = _cases()
