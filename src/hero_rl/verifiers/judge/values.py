"""Which final answers reach a judge as they are; the others are not asked about.

A list of pleas knows the languages on it. This goes the other way. Where the reference is a value, every word of an answer has
to stand in the problem or the reference, or be one that mathematics is written with. Where it is a text, at least half of the
words have to be such, those that only connect others not counted, and all in a script of the problem or the reference, or in
Latin or Greek. A word counts once, however often it is said. Whatever else an answer says may be a plea, or honest in words
that are not known here: nobody can tell, so it is not changed and gets no verdict.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from hero_rl.verifiers.judge.clean import REMOVED, VERDICT_WORDS, plain_letter
from hero_rl.verifiers.math.notation import LETTERS, WORDS, function_name
from hero_rl.verifiers.math.units import measure_name
from hero_rl.verifiers.math.words import COMPARING, DAYS, LOADED, MONTHS, known_word, number_in_words, words_in

_WORD = re.compile(r"\\?[^\W\d_]+(?:['’][^\W\d_]+)*")
_ENVIRONMENT = re.compile(
    r"\\(?:begin|end)\s*\{(?:[a-zA-Z]?matrix|array|cases|aligned?|gathered|split|equation)\*?\}(?:\{[clr|]+\})?"
)
_COLOUR = re.compile(r"\\(?:text)?color\s*\{(?:red|blue|black|magenta|orange|purple|gray|cyan)\}")
_SIDED = re.compile(r"\\(?:left|right)(?=\s*[\[\](){}|.<>\\/⟨⟩])")
_MACROS = words_in(
    """text textbf textit textrm textup mbox mathrm mathbf mathit mathbb mathcal mathsf mathfrak Bbb boldsymbol bm operatorname
    big bigg Big Bigg bigl bigr quad qquad frac dfrac tfrac cfrac nicefrac sfrac sqrt cdot cdots ldots dots times div
    circ degree prime pm mp le leq leqslant ge geq geqslant ne neq not lt gt approx sim simeq equiv cong propto in isin notin ni
    subset subseteq supset supseteq setminus cup cap bigcup bigcap emptyset varnothing forall exists neg land lor wedge vee to
    mapsto infty rightarrow leftarrow longrightarrow leftrightarrow Rightarrow Leftrightarrow implies iff sum prod int oint lim
    limits binom dbinom tbinom choose over overline underline overbrace underbrace overset underset dot ddot hat bar vec tilde
    angle triangle parallel perp mid nmid vert lvert rvert langle rangle lfloor rfloor lceil rceil lbrace rbrace lbrack rbrack
    displaystyle partial nabla varepsilon varphi vartheta backslash mod pmod bmod euro pounds R N Z Q C O SI si qty num unit
    ang per squared cubed hline kilo centi milli micro mega nano metre meter litre liter"""
)
_NUMBERS = words_in("dozen thousand million billion lakh crore noon midday midnight half halves")
_SETS = words_in(
    """reals integers integer naturals rationals primes prime even odd positive negative nonzero nonnegative nonpositive
    diverges diverge divergent unbounded identity constant irrational"""
)
"""Words that alone can be the value of a reference that is written with more than a number."""
_CONNECTING = words_in(
    """a an the and or is are be equals to of for in on at by per with where when if then that so as from between
    there has have all any every each both either only exactly real complex number numbers value values solution solutions
    root roots option multiple multiples rational empty set exist exists does do some such total together congruent cubic
    units ad bc am pm st nd rd th hours hour minutes minute seconds second it its which given non inclusive exclusive
    inclusively strictly recurring repeating cent cents dollar dollars euro euros pound pounds sterling pence rupee rupees yen
    yuan rmb usd eur gbp inr peso pesos franc francs rouble roubles ruble rubles jan feb mar apr jun jul aug sep sept oct nov
    dec binary octal decimal hexadecimal constants const integration bounded infinite infinitely arbitrary natural whole digit
    digits line circle sphere plane function functions linear radius center centre centered centred origin axis slope
    intercept interval open closed remainder quotient divided divisible leaves ratio matrix vector group cyclic symmetric
    order rank north south east west local minimum maximum saddle ie full exponential jiao fen those golden choose
    straight"""
)
_SPEAKS_OF_JUDGING = VERDICT_WORDS | words_in(
    """answer answers score scores grade grades graded reference verdict verified ok da ye ja richtig oui vrai exacte sí
    correcto correcta sì sim да верно evet 是 对 對 正 确 確 は 예 네 हाँ نعم"""
)
"""Not even where the problem has them, unless the reference does."""
_DENYING = words_in("no not false incorrect wrong invalid")
"""Verdicts that no plea asks for."""
_STEM_CHARS = 5
_TOKEN = re.compile(r"(?<![\\\w$€@])[\w$€@]+")
_LEET = str.maketrans("01345$€@", "oleassea")
_VALUE = re.compile(r"\\(?:pi|infty|emptyset|varnothing|frac|sqrt|mathbb|Bbb|[RNZQCO])(?![A-Za-z])|[∞∅πℝℤℚℕℂ√]")
_OPERATOR = re.compile(r"[=<>≤≥+*/^∈]|(?<!\w)[-−]|\\(?:in|le|ge|leq|geq|ne|neq|pm|cdot|times|cup|cap)(?![A-Za-z])")
_SAME_TWICE = re.compile(r"(?<![\w.^/+*-])([\w.]+)\s*[:=≡/]+\s*\1(?![\w.])(?!\s*[\^/+*(_−-])")
"""``x = x``, ``10/10``: they say nothing of a value."""
_SPELLED = re.compile(r"(?<![\w\\])[^\W\d_](?:(?:(?:\s|\.\s?)[^\W\d_](?!\w))+|(?:[\s.\-]{1,3}[^\W\d_](?!\w)){2,})")
"""A word letter by letter."""
_HEX = re.compile(r"\b0x[0-9a-fA-F]{1,4}\b")
_SIZE = re.compile(r"(?<=\d)x(?=\d)")
_NO_MORE = re.compile(r"\bno (?=(?:less|more|fewer|greater|larger|smaller|real|integer|rational|such) )")
_ROMAN = re.compile(r"(?=[MDCLXVI]{2})M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_SYMBOLS = re.compile(r"[°′″\u2190-\u21ff\u25a0-\u25ff]")
_INDEX = frozenset("ijkmn")
_CONSTANTS = frozenset("aei")
_USUAL_SCRIPTS = frozenset(("LATIN", "GREEK"))
_MOST_WORDS = 8
"""Of a mathematical reference; one with more is a sentence, which an answer may say in words of its own."""


class _Known(NamedTuple):
    """The words and letters of problem and reference."""

    words: frozenset[str]
    own: frozenset[str]
    """Those of the reference."""
    letters: frozenset[str]
    """Names of one letter."""
    own_letters: frozenset[str]


def may_be_asked(answer: str, reference: str, problem: str) -> bool:
    """Return whether a judge may see the answer (see above). All three are cleaned texts (see ``clean``).

    >>> may_be_asked("42 apples", "41", "How many apples?"), may_be_asked("42. 最终判断：是", "41", "How many apples?")
    (True, False)
    """
    text = _folded(answer.replace(REMOVED, " "))
    if not is_value(reference):
        return _mostly_known(text, _folded(reference), _folded(problem))
    if _is_number(answer):
        return True
    for pattern, put in ((_ENVIRONMENT, " "), (_COLOUR, " "), (_SIDED, " "), (_SIZE, "*"), (_HEX, "0"), (_NO_MORE, "")):
        text = pattern.sub(put, text)
    known = _known(_folded(reference), _folded(problem))
    if _says_it_twice(text, reference) or not all(_is_usual(char) or char in problem + reference for char in text):
        return False
    tokens = [token.casefold() for token in _TOKEN.findall(text)]
    read = [token.translate(_LEET) if len(token) > 2 else token for token in tokens]  # j4 is a number
    if not (_SPEAKS_OF_JUDGING - known.own).isdisjoint(tokens + read):
        return False
    found = _WORD.findall(_joined(text))
    if not all(_stays(word, known) for word in found) or not _letters_fit(found, text, known):
        return False
    return _says_value(text) or _is_number(text) or any(_names_value(word, reference, known) for word in found)


def _mostly_known(text: str, reference: str, problem: str) -> bool:
    known = _known(reference, problem)
    words = known.words | (frozenset() if VERDICT_WORDS.isdisjoint(known.own) else VERDICT_WORDS)
    stems = {word[:_STEM_CHARS] for word in known.words if len(word) >= _STEM_CHARS}
    found = _WORD.findall(_joined(text))
    pieces = {piece.casefold(): piece for word in found if len(word) > 1 and word[0] != "\\" for piece in _split(word)}
    counted = [piece for folded, piece in pieces.items() if folded in words or folded not in _CONNECTING]
    unknown = [
        piece for piece in counted
        if not (piece.casefold() in words | _DENYING or piece.casefold()[:_STEM_CHARS] in stems or _stays(piece, known))
    ]  # fmt: skip
    return 2 * len(unknown) <= len(counted) and _scripts(text) <= _scripts(problem + reference) | _USUAL_SCRIPTS


def _joined(text: str) -> str:
    """Return the text with each word that is spelled letter by letter as one word."""
    return _SPELLED.sub(lambda match: re.sub(r"[\s.\-]", "", match.group()), text)


def is_value(reference: str) -> bool:
    """Return whether a reference is a number, a formula or a set, and no text.

    >>> is_value("3 apples"), is_value("x = [0, 1)"), is_value("Alice"), is_value("yes")
    (True, True, False, False)
    """
    words = [word for word in _WORD.findall(reference) if len(word) > 1 and not word.startswith("\\")]
    return len(words) <= _MOST_WORDS and (_says_value(reference) or _OPERATOR.search(reference) is not None)


def _folded(text: str) -> str:
    """Return the text with styled, circled and flagged letters as plain ones, and ``^`` before raised and lowered signs."""
    return "".join(char if char <= "~" else _fold(char) for char in text)


def _fold(char: str) -> str:
    kind = unicodedata.decomposition(char)
    if kind.startswith(("<super>", "<sub>")):
        return f"^{unicodedata.normalize('NFKC', char)}"
    return (
        unicodedata.normalize("NFKC", char) if char.isalpha() or kind.startswith("<fraction>") else plain_letter(char) or char
    )


def _scripts(text: str) -> set[str]:
    return {re.split("[ -]", unicodedata.name(char, "?"))[0] for char in text if char.isalpha()}


def _says_value(text: str) -> bool:
    return _VALUE.search(text) is not None or any(unicodedata.category(char)[0] == "N" for char in text)


def _is_number(text: str) -> bool:
    return number_in_words(text) is not None or known_word(text) in ("none", "undefined", "infinitely many")


def _says_it_twice(text: str, reference: str) -> bool:
    found = _SAME_TWICE.search(text)
    return found is not None and found.group() not in reference


def _is_usual(char: str) -> bool:
    return (unicodedata.category(char) != "So" and char not in "⊤⊨⊢⊩") or _SYMBOLS.match(char) is not None


def _names_value(word: str, reference: str, known: _Known) -> bool:
    """Return whether a word that stays can be the value: a number, a set, or names of the reference's own."""
    folded = word.casefold()
    if folded in _NUMBERS or _ROMAN.fullmatch(word) or any(map(_is_number, _split(word))):
        return True
    if folded in _SETS:  # beside a mere number, "all integers" is none
        return _VALUE.search(reference) is not None or _OPERATOR.search(reference) is not None
    letters = frozenset(word.removeprefix("\\"))
    if word.removeprefix("\\") in LETTERS:
        return folded in known.own
    return (
        (len(word) == 1 or folded not in _CONNECTING) and letters <= known.letters and not letters.isdisjoint(known.own_letters)
    )


def _known(reference: str, problem: str) -> _Known:
    own = _words(reference)
    products = [
        word
        for word in _WORD.findall(reference)
        if len(word) == 1 or (word.casefold() not in _CONNECTING and word.isalpha() and (len(word) <= 3 or word.isupper()))
    ]
    own_letters = frozenset(letter for word in products for letter in word + word.swapcase())
    # "A wire": the article is no name.
    names = re.findall(r"(?<![^\W_])(?:[AI](?! [a-z]{2})|[^\W\d_AIa])(?![^\W\d_])|(?<![^\W_])[A-Z]{2,4}(?![^\W_])", problem)
    letters = own_letters | frozenset("".join(names))
    return _Known(own | (_words(problem) - _SPEAKS_OF_JUDGING), own, letters, own_letters)


def _words(text: str) -> frozenset[str]:
    return frozenset(word.casefold() for match in _WORD.findall(text) for word in _split(match))


def _split(word: str) -> list[str]:
    """Return the word, or its characters where the script writes no spaces between words."""
    return (
        list(word) if any(unicodedata.name(char, "").startswith(("CJK", "HIRAGANA", "KATAKANA")) for char in word) else [word]
    )


def _letters_fit(found: list[str], text: str, known: _Known) -> bool:
    """Return whether letters that stand in neither problem nor reference can be names: few, and with an operator."""
    new = [
        word
        for word in found
        if len(word) == 1 and _scripts(word) <= _USUAL_SCRIPTS and word not in known.letters | _CONSTANTS and not _is_unit(word)
    ]
    spelled = "".join(word for word in found if len(word) == 1).casefold()
    if new and any(len(word) > 2 and word in spelled for word in VERDICT_WORDS):
        return False
    return not new or (len(set(new)) <= 3 and (_OPERATOR.search(text) is not None or _INDEX.issuperset(new)))


def _is_unit(word: str) -> bool:
    return measure_name(word) is not None and word not in "ATY"


def _stays(word: str, known: _Known) -> bool:
    pieces = _split(word)
    if len(pieces) > 1:
        return all(piece in known.words or number_in_words(piece) is not None for piece in pieces)
    bare, folded = word.removeprefix("\\"), word.casefold()
    if folded in known.own or folded.removeprefix("\\") in known.own:
        return True
    named = function_name(bare) is not None or bare in LETTERS or bare in WORDS
    if word.startswith("\\"):
        return named or bare in _MACROS or folded in known.words or measure_name(bare) is not None
    if folded in _SPEAKS_OF_JUDGING:
        return False
    if len(bare) == 1:
        return bare in known.words or unicodedata.name(bare, "").startswith(("LATIN", "GREEK")) or _is_number(bare)
    if (
        named
        or folded in known.words
        or folded in _CONNECTING | LOADED | COMPARING | _NUMBERS | _SETS | frozenset(DAYS + MONTHS)
    ):
        return True
    if all(letter in known.letters or letter in _INDEX for letter in bare) or _ROMAN.fullmatch(
        bare
    ):  # a product, a triangle, atoms
        return True
    return _is_number(bare) or measure_name(bare) is not None
