"""What blocks, their layers and their uses are called: names of the net, taken apart.

In every use of a block the names of its layers share what tells this use from the others: ``2a`` in ``res2a_branch2a``
and ``bn2a_branch2a``. With what stands before it that is the use's name, ``res2a``; what remains is the layer's name
within the block, ``branch2a`` and ``bn_branch2a``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_TOKENS = re.compile(r"[A-Za-z]+|\d+|[^A-Za-z\d]+")
_SEPARATORS = "/_-.:@ "


@dataclass(frozen=True, slots=True)
class BlockNames:
    """The names of a block's uses, and of its layers; "" for a layer whose name says nothing beside the use's."""

    uses: tuple[str, ...]
    layers: tuple[str, ...]


@lru_cache(maxsize=1 << 14)
def tokens(name: str) -> list[str]:
    """A name's words, numbers, and what separates them."""
    return _TOKENS.findall(name)


def belong_together(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the names of several uses of a block share, in each use, what tells it from the others.

    >>> belong_together([["fire2/squeeze", "fire2/expand"], ["fire3/squeeze", "fire3/expand"]])
    True
    >>> belong_together([["conv1", "conv2"], ["conv3", "conv4"]])
    False
    """
    middles = {_taken_apart(column).middles for column in zip(*rows, strict=True)}
    return len(middles) == 1 and all(next(iter(middles)))


def block_names(rows: Sequence[Sequence[str]], lasting: Sequence[bool]) -> BlockNames:
    """Names for the uses of a block, whose layers have these names in each; `lasting` layers have attributes.

    >>> block_names([["fire2/squeeze", "fire2/relu"], ["fire3/squeeze", "fire3/relu"]], [True, False])
    BlockNames(uses=('fire2', 'fire3'), layers=('squeeze', 'relu'))
    >>> block_names([["conv1", "bn1"], ["conv2", "bn2"]], [True, True])
    BlockNames(uses=('conv1', 'conv2'), layers=('', 'bn'))
    """
    parts = [_taken_apart(column) for column in zip(*rows, strict=True)]
    votes = Counter(part.middles for part, counts in zip(parts, lasting, strict=True) if counts and all(part.middles))
    if not votes:
        votes = Counter(part.middles for part in parts if all(part.middles))
    if not votes:
        return BlockNames(tuple(row[0] if row else "" for row in rows), tuple(part.rest for part in parts))
    middles = votes.most_common(1)[0][0]
    fronts = Counter(
        part.front for part, counts in zip(parts, lasting, strict=True) if part.middles == middles and counts
    ) or Counter(part.front for part in parts if part.middles == middles)
    front = fronts.most_common(1)[0][0]
    more = _stem_of([p.back for p, counts in zip(parts, lasting, strict=True) if counts and p.middles == middles])
    layers = []
    for part in parts:
        if part.middles == middles and part.back.startswith(more):
            part = _Parts(part.front, middles, part.back.removeprefix(more))
        own = part.middles == middles and part.front == front
        layers.append((part.back if own else part.rest).strip(_SEPARATORS))
    return BlockNames(tuple((front + middle + more).strip(_SEPARATORS) for middle in middles), tuple(layers))


def _stem_of(backs: Sequence[str]) -> str:
    """What all begin with up to a separator: ``a`` of ``a_branch1`` and ``a_branch2``."""
    shared = _shared([tokens(back) for back in backs]) if len(backs) > 1 else []
    ends = [index for index, word in enumerate(shared) if word[0] in _SEPARATORS]
    return "".join(shared[: ends[-1]]) if ends else ""


@dataclass(frozen=True, slots=True)
class _Parts:
    """Names with a common beginning and end, and what stands between."""

    front: str
    middles: tuple[str, ...]
    back: str

    @property
    def rest(self) -> str:
        front, back = self.front.rstrip(_SEPARATORS), self.back.lstrip(_SEPARATORS)
        return f"{front}_{back}" if front and back else front or back


@lru_cache(maxsize=4096)
def _taken_apart(names: tuple[str, ...]) -> _Parts:
    split = [tokens(name) for name in names]
    shortest = min(map(len, split))
    front = len(_shared(split))
    back = min(len(_shared([words[::-1] for words in split])), shortest - front)
    end = [len(words) - back for words in split]
    middles = tuple("".join(words[front:last]) for words, last in zip(split, end, strict=True))
    return _Parts("".join(split[0][:front]), middles, "".join(split[0][end[0] :]))


def stage(name: str) -> str:
    """The part of a use's name that says which stage of the net it is in; "" where it says none.

    >>> stage("res4b22"), stage("conv2_1"), stage("inception_a1"), stage("conv5")
    ('res4', 'conv2', '', '')
    """
    words = tokens(name)
    first = next((index for index, word in enumerate(words) if word.isdecimal()), len(words))
    return "".join(words[: first + 1]) if first + 1 < len(words) else ""


def row_name(uses: Sequence[str], others: Sequence[str]) -> str:
    """The name of several uses in a row: what they share, if none of the `others` begins with it, or first to last.

    >>> row_name(["res2a", "res2b"], ["res3a"]), row_name(["res3b", "res3c"], ["res3a"])
    ('res2', 'res3b_to_res3c')
    """
    shared = _shared([tokens(name) for name in uses])
    stem = "".join(shared).strip(_SEPARATORS)
    alone = not any(tokens(name)[: len(shared)] == shared for name in others)
    if alone and any(c.isalpha() for c in stem):
        return stem
    return uses[0] if len(uses) == 1 else f"{uses[0]}_to_{uses[-1]}"


def _shared(rows: Sequence[list[str]]) -> list[str]:
    """The words that all begin with."""
    found = []
    for words in zip(*rows, strict=False):
        if len(set(words)) > 1:
            break
        found.append(words[0])
    return found
