"""What the end of a phrase, a backchannel and an echo look like in text.

A recogniser's text tells whether somebody has finished: "and", "um" and half a phone number want
more, "please." does not.  And it tells whether somebody wanted the floor at all: "uh-huh" says go
on.

Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


class Ending(enum.Enum):
    """How a text ends."""

    COMPLETE = "complete"
    PLAIN = "plain"
    HESITATION = "hesitation"
    NUMBER = "number"


@dataclass(frozen=True)
class Language:
    """Words of one language, normalized as by :func:`words`.

    Attributes:
        backchannels: what a listener says without wanting the floor.
        hesitations: what a phrase never ends with, whatever the recogniser's punctuation.
        dangling: what only a question ends with.
        closings: what usually is all there is to say.
        digits: names of digits, and what people say between them.
        halts: words by which one breaks in, however badly they were understood.
    """

    backchannels: frozenset[str]
    hesitations: frozenset[str]
    dangling: frozenset[str] = frozenset()
    closings: frozenset[str] = frozenset()
    digits: frozenset[str] = frozenset()
    halts: frozenset[str] = frozenset()


def _language(**lists: str) -> Language:
    return Language(**{name: frozenset(re.split(r"\s*,\s*", text)) for name, text in lists.items()})


LANGUAGES = {
    "en": _language(
        backchannels="uhhuh, mmhmm, mhm, mm, mmm, hm, hmm, uh, um, ah, oh, aha, yeah, yep, yup, "
        "ok, okay, right, sure, i see, got it, alright, all right, cool, great, go on",
        hesitations="um, uh, er, erm, hmm, and, or, but, because, so, if, like, the, a, an, my, "
        "your, maybe, well, let me see, let me think, you know, i mean, i think, it is, its, "
        "can you tell me, could you tell me, my name is, the name is, my number is, wondering, "
        "wondering it, id like, would like, going to, have to, want to, need to, whether, very",
        dangling="to, for, with, of, at, in, on, from, is, are, that, i, we, about, by, than, was, "
        "were, be, been, can, could, would, will, should, want, need, until, between, into, this, "
        "these, our, their, his, her, how much, how many, which, there by",
        closings="yes, no, thanks, thank you, please, goodbye, bye, thats all, nothing else, "
        "thats right, correct, no thanks, yes please",
        digits="zero, oh, one, two, three, four, five, six, seven, eight, nine, double, triple",
        halts="stop, wait, no, hold, sorry, hello, please, help, what, actually",
    ),
    "de": _language(
        backchannels="mhm, hm, hmm, mm, aha, ah, oh, äh, ähm, ja, jaja, jo, ok, okay, genau, gut, "
        "stimmt, klar, verstehe, ach so, alles klar, richtig",
        hesitations="äh, ähm, hm, und, oder, aber, weil, also, wenn, der, die, das, ein, eine, "
        "einen, mein, meine, vielleicht, moment, dass, sozusagen",
        dangling="für, mit, von, um, an, in, auf, aus, zu, ist, ich, wir, bei, am, im",
        closings="ja, nein, danke, bitte, tschüss, auf wiederhören, das wars, ja bitte, "
        "nein danke, das ist alles",
        digits="null, eins, ein, zwei, zwo, drei, vier, fünf, sechs, sieben, acht, neun",
        halts="stopp, stop, halt, warten, nein, moment, entschuldigung, hallo, bitte, hilfe, was",
    ),
    "fr": _language(
        backchannels="mhm, hm, hmm, mm, ah, oh, euh, ouais, ok, okay, daccord, dac, bien, voilà, "
        "je vois, bien sûr, exactement",
        hesitations="euh, heu, hm, et, ou, mais, parce que, donc, si, le, la, les, un, une, des, "
        "mon, ma, alors, peut être, ben, attendez",
        dangling="pour, avec, de, à, en, sur, dans, que, est, je, nous, du",
        closings="oui, non, merci, au revoir, cest tout, sil vous plaît, non merci, oui merci",
        digits="zéro, un, deux, trois, quatre, cinq, six, sept, huit, neuf",
        halts="stop, arrêtez, attendez, non, pardon, excusez, allô, quoi",
    ),
    "es": _language(
        backchannels="mhm, hm, hmm, mm, ah, ajá, oh, eh, ok, okay, vale, claro, ya, bien, "
        "entiendo, ya veo, de acuerdo, exacto",
        hesitations="eh, este, em, hm, y, o, pero, porque, entonces, si, el, la, los, las, un, "
        "una, mi, pues, quizás, a ver",
        dangling="para, con, de, a, en, por, que, es, yo, del, al",
        closings="sí, no, gracias, adiós, por favor, eso es todo, nada más, no gracias",
        digits="cero, uno, dos, tres, cuatro, cinco, seis, siete, ocho, nueve",
        halts="para, pare, espere, espera, no, perdón, disculpe, hola, ayuda, qué",
    ),
    "it": _language(
        backchannels="mhm, hm, hmm, mm, ah, oh, eh, ok, okay, va bene, certo, capisco, giusto, "
        "esatto, già, bene",
        hesitations="eh, ehm, mm, e, o, ma, perché, quindi, se, il, lo, la, i, gli, le, un, una, "
        "mio, mia, allora, forse, cioè",
        dangling="per, con, di, a, da, in, su, che, è, io, del, al",
        closings="sì, no, grazie, arrivederci, per favore, è tutto, no grazie, sì grazie",
        digits="zero, uno, due, tre, quattro, cinque, sei, sette, otto, nove",
        halts="stop, fermo, basta, aspetti, no, scusi, pronto, aiuto, cosa",
    ),
    "pt": _language(
        backchannels="mhm, hm, hmm, mm, ah, oh, aham, ok, okay, tá, certo, claro, entendi, sei, "
        "isso, tá bom, está bem",
        hesitations="é, eh, hm, e, ou, mas, porque, então, se, o, a, os, as, um, uma, meu, minha, "
        "tipo, talvez, deixa eu ver",
        dangling="para, com, de, em, por, que, eu, do, da, no, na",
        closings="sim, não, obrigado, obrigada, tchau, por favor, é só isso, não obrigado",
        digits="zero, um, dois, três, quatro, cinco, seis, meia, sete, oito, nove",
        halts="pare, espere, espera, não, desculpe, alô, ajuda, quê",
    ),
    "nl": _language(
        backchannels="mhm, hm, hmm, mm, ah, oh, eh, aha, ja, oké, ok, okay, goed, precies, "
        "snap ik, klopt, prima",
        hesitations="eh, ehm, hm, en, of, maar, omdat, dus, als, de, het, een, mijn, misschien, "
        "nou",
        dangling="voor, met, van, aan, in, op, uit, naar, is, ik, wij, om, dat",
        closings="ja, nee, bedankt, dank je, alstublieft, dag, dat was het, nee bedankt",
        digits="nul, een, één, twee, drie, vier, vijf, zes, zeven, acht, negen",
        halts="stop, wacht, nee, sorry, hallo, help, wat",
    ),
}
"""By the first part of the language tag."""

_NO_WORDS = Language(frozenset(), frozenset())

# A number read out digit by digit is complete with ten or more: phone and card numbers.  Fewer
# than three are an amount or a time.
FEWEST_DIGITS, ENOUGH_DIGITS = 3, 10

# Words.  A shorter text may repeat the agent by choice ("soup" after "soup or salad?").
FEWEST_ECHOED = 3

# Part of the words of a text that the agent must have said in the same order; and the same of a
# text whose sound was an echo's: from a speakerphone a recogniser gets every other word wrong.
ECHOED, ECHOED_FAINTLY = 0.75, 0.5

_APOSTROPHE = re.compile("['\u2018\u2019-]")
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Get the words of a text in lower case, without punctuation: ``Uh-huh.`` is ``uhhuh``."""
    return _WORD.findall(_APOSTROPHE.sub("", text.lower()))


def language_of(tag: str) -> Language:
    """Get what is known of a language by its tag, ``"en-US"``; nothing of an unknown one."""
    return LANGUAGES.get(tag.replace("_", "-").split("-")[0].lower(), _NO_WORDS)


def is_backchannel(text: str, language: Language) -> bool:
    """Tell whether a text says no more than that its speaker is listening."""
    rest = words(text)
    while rest:
        for length in (3, 2, 1):
            if " ".join(rest[:length]) in language.backchannels and len(rest) >= length:
                del rest[:length]
                break
        else:
            return False
    return True


def ending(text: str, language: Language) -> Ending:
    """Tell from the end of a text whether more is to be expected."""
    said = words(text)
    if FEWEST_DIGITS <= _digits_at_end(said, language) < ENOUGH_DIGITS:
        return Ending.NUMBER
    mark = text.rstrip(" \"')\u2019\u201d\u00bb")[-1:]
    if _ends_with(said, language.hesitations):
        return Ending.HESITATION
    if mark in {"?", "!", "？", "！"}:  # noqa: RUF001 - the full-width ones of East Asia
        return Ending.COMPLETE
    if mark in {",", "…", "-", "–", "—", ":", ";", "、", "，"} or text.endswith(".."):  # noqa: RUF001
        return Ending.HESITATION
    if _ends_with(said, language.dangling):
        return Ending.HESITATION
    # A full stop says little: recognisers put one behind whatever is followed by a pause.
    return Ending.COMPLETE if _ends_with(said, language.closings) else Ending.PLAIN


def is_echo(text: str, said: Sequence[str], *, faint: bool = False) -> bool:
    """Tell whether a text is what the agent says, come back from the caller's loudspeaker.

    Args:
        text: what was recognised.
        said: the words of what the agent says.
        faint: whether its sound was an echo's, too: then one or two words are enough, and half of
            them.
    """
    heard = words(text)
    if not heard or (len(heard) < FEWEST_ECHOED and not faint):
        return False
    # An interim may end in the middle of a word: "by the wind", of "by the window".
    whole = next((word for word in said if word.startswith(heard[-1])), heard[-1])
    matcher = SequenceMatcher(None, said, [*heard[:-1], whole], autojunk=False)
    matched = sum(block.size for block in matcher.get_matching_blocks())
    return matched >= (ECHOED_FAINTLY if faint else ECHOED) * len(heard)


def _ends_with(said: Sequence[str], phrases: frozenset[str]) -> bool:
    return any(
        " ".join(said[-length:]) in phrases for length in (1, 2, 3, 4) if len(said) >= length
    )


def _digits_at_end(said: Sequence[str], language: Language) -> int:
    count = 0
    for word in reversed(said):
        if word.isdecimal():
            count += len(word)
        elif word in language.digits:
            count += 1
        else:
            break
    return count
