# SPDX-License-Identifier: Apache-2.0
"""Suggest the right word for a misspelled one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

SIMILAR = 0.6
"""Similarity of two words, from 0 to 1, that is enough for a suggestion."""

ALMOST_EQUAL = 0.8
"""Similarity of two words that is enough to call one a misspelling of the other."""

MAX_WORD_CHARS = 64
"""Length of a compared word; the time to compare two grows with the square of their length."""

MAX_CANDIDATES = 4096
"""Number of candidates that are compared."""


def nearest(word: str, candidates: Iterable[str], similarity: float = SIMILAR) -> str | None:
    """Return the candidate that is most similar to a word; ``None`` if none is similar enough.

    If none is, it is the first one that the word abbreviates: ``lr`` is ``learning_rate``.
    """
    if len(word) > MAX_WORD_CHARS:
        return None
    import difflib  # noqa: PLC0415 - only for mistakes

    some = islice((each for each in candidates if len(each) <= MAX_WORD_CHARS), MAX_CANDIDATES)
    compared = list(some)
    matches = difflib.get_close_matches(word, compared, 1, similarity)
    abbreviated = (each for each in compared if word and _initials(each) == word)
    return matches[0] if matches else next(abbreviated, None)


def _initials(name: str) -> str:
    """Return the first letters of a name of several words; empty if it has one word."""
    words = [word for word in name.replace("-", "_").split("_") if word]
    return "".join(word[0] for word in words) if len(words) > 1 else ""


def did_you_mean(word: object, candidates: Iterable[str], similarity: float = SIMILAR) -> str:
    """Return the end of a message about an unknown word.

    Returns:
        `` (did you mean 'port'?)``, or an empty text if no candidate is similar.
    """
    suggestion = nearest(str(word), candidates, similarity)
    return f" (did you mean '{suggestion}'?)" if suggestion else ""
