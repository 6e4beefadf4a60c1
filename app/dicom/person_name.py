"""Person names in the forms in which they are compared (PS3.4 §C.2.2.2.1, §C.2.2.2.1.1).

Strategy: three forms, each wider than the one before.
- `folded_name`: without case and accents. What matching literally, and by wildcards, goes by.
- `spellings`: each word in Latin letters, whatever script it was in, and the same however its umlauts and long
  vowels are spelled: Müller, Mueller and Muller are `muller`, やまだ and Yamada are `yamada`.
- `sound`: what a spelling sounds like in English (Metaphone): Meyer and Maier, Smith and Smyth.

A spelling leaves letters out by what stands before them, so the beginning of a word is spelled as the
beginning of its spelling: prefixes can be compared.
"""

import re
import unicodedata

from anyascii import anyascii
from jellyfish import metaphone

_BETWEEN_WORDS = re.compile(r"[\s^=.,*?\-]+")
_NO_LETTER = re.compile(r"[^a-z0-9]+")
# the second letter of ae oe ue (umlauts), ou (a long o in Japanese) and of a doubled vowel
_SPELLED_OUT = re.compile(r"(?<=[aou])e|(?<=o)[ou]|(?<=a)a|(?<=e)e|(?<=i)i|(?<=u)u")
_LONG_VOWEL_MARK = "\u30fc"  # of Japanese syllables
_INNER_Y = re.compile(r"(?<=.)y")
_AGAIN = re.compile(r"(.)\1+")
_SHORTEST_HEARD = 3  # letters of a spelling, and below it
_SHORTEST_SOUND = 2  # of its sound: shorter ones are shared by too many names
# letters that Unicode does not decompose into a base letter and an accent
_UNDECOMPOSED = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ð": "d",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        "\u0131": "i",
        "ħ": "h",
    }
)


def folded(text: str) -> str:
    """Return text without case and accents."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text).casefold().translate(_UNDECOMPOSED)
    letters = unicodedata.normalize("NFKD", plain)
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def folded_name(group: str) -> str:
    """Return one component group of a person name, folded, without empty components at its end."""
    components = [" ".join(component.split()) for component in folded(group).split("^")]
    return "^".join(components).rstrip("^")


def spellings(text: str) -> list[str]:
    """Return the words of a name or of a pattern, each in the one spelling that its variants share."""
    if not text.isascii():
        text = anyascii(unicodedata.normalize("NFKC", text).replace(_LONG_VOWEL_MARK, ""))
    words = (_NO_LETTER.sub("", word) for word in _BETWEEN_WORDS.split(text.lower()))
    return [_SPELLED_OUT.sub("", word) for word in words if word]


def sound(spelling: str) -> str | None:
    """Return what a spelling sounds like, or None where it is too short to tell names apart."""
    if len(spelling) < _SHORTEST_HEARD:
        return None
    heard: str = _AGAIN.sub(r"\1", metaphone(_INNER_Y.sub("i", spelling)))
    return heard if len(heard) >= _SHORTEST_SOUND else None
