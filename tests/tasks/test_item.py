"""What counts as a right answer, and what does not."""

import pytest

from brodmann.tasks import Item, check

SUM = Item("addition", "23 + 45 =", "68", 2, "number")
BIG = Item("addition", "1000 + 234 =", "1234", 4, "number")
MINUS = Item("subtraction", "3 - 8 =", "-5", 1, "number")
LIST = Item("sorting", "sort 41 17 83 ->", "17 41 83", 3, "numbers")
WORDS = Item("reversal", "reverse sun cat tree ->", "tree cat sun", 3, "words")
CLOSE = Item("brackets", "close ( [ ] {", "} )", 2, "brackets", accepted=("( [ ] { } )",))
WORD = Item("analogies", "man : woman = king :", "queen", 1, "word")
TWO = Item("capital", "Capital of India:", "New Delhi", 1, "word")
EXACT = Item("x", "?", "Yes.", 1, "text", accepted=("Yep",))


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (SUM, "68"), (SUM, " 68\n12 + 3 = 15"), (SUM, "\n\n  68"), (SUM, "68."), (SUM, "68.0"), (SUM, "068"),
        (SUM, "23 + 45 = 68"), (SUM, "The answer is 68, I think."), (SUM, "68 is the answer"), (SUM, "**68**"),
        (SUM, "= 68 and then 70"), (SUM, "Answer: 68"), (BIG, "1,234"), (BIG, "1234!"), (MINUS, "-5"), (MINUS, "−5"),
        (MINUS, "3 - 8 = -5"), (LIST, "17 41 83"), (LIST, "[17, 41, 83]"), (LIST, "17,41,83."),
        (LIST, "sort 41 17 83 -> 17 41 83"), (LIST, "The sorted list is 17, 41 and 83"), (WORDS, "tree cat sun"),
        (WORDS, "Tree, cat, and sun."), (WORDS, "sun cat tree -> tree cat sun"), (CLOSE, "})"), (CLOSE, "} )"),
        (CLOSE, "( [ ] { } )"), (CLOSE, "close ( [ ] { -> } )"), (WORD, "queen"), (WORD, "The Queen."),
        (WORD, '"queen", of course'), (WORD, "man : woman = king : queen"), (TWO, "New Delhi"), (TWO, "new delhi, yes"),
        (EXACT, " Yes.\n"), (EXACT, "Yep"),
    ],
)  # fmt: skip
def test_right_answers_are_seen(item, text):
    assert check(text, item)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (SUM, ""), (SUM, "\n"), (SUM, "86"), (SUM, "168"), (SUM, "680"), (SUM, "6 8"), (SUM, "68.5"), (SUM, "-68"),
        (SUM, "sixty-eight"), (SUM, "86\n68"), (SUM, "67 or 68"), (SUM, "68x"), (BIG, "1.234"), (BIG, "12,34"),
        (MINUS, "5"), (LIST, "17 41"), (LIST, "17 41 83 90"), (LIST, "41 17 83"), (LIST, "17 41 8.3"),
        (LIST, "sort 41 17 83"), (WORDS, "tree cat"), (WORDS, "tree cat sun moon"), (WORDS, "tree big cat sun"),
        (CLOSE, ") }"), (CLOSE, "}"), (CLOSE, "} ) )"), (CLOSE, "none"), (WORD, "queens"), (WORD, "king"),
        (WORD, "not queen"), (TWO, "New"), (TWO, "Delhi"), (EXACT, "yes."), (EXACT, "Yes. It is"),
    ],
)  # fmt: skip
def test_wrong_answers_are_not(item, text):
    assert not check(text, item)


def test_an_item_knows_its_gold_choice_and_its_solved_text():
    item = Item("t", "1 + 1 =", "2", 1, "number", choices=("3", "2"), joint="")
    assert item.gold == 1
    assert item.solved == "1 + 1 =2"
