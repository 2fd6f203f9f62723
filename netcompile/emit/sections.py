"""Where a long method goes on to the net's next stage, by the net's own names: conv1_1, pool1, conv2_1 …"""

from __future__ import annotations

from collections.abc import Sequence

from netcompile.emit.block_names import tokens

FEWEST = 3  # statements of a section
SECTIONS = 3  # a method with fewer is short enough


def sections(names: Sequence[str]) -> dict[int, str]:
    """For each statement that begins a stage the stage's name; `names` are those of the statements' layers.

    Stages are told by the first number of a name, as it grows; a stage of a statement or two is none.

    >>> names = [f"conv{stage}_{layer}" for stage in (1, 2, 3) for layer in (1, 2, 3)]
    >>> sections([*names, "fc4", "score"])
    {0: 'conv1', 3: 'conv2', 6: 'conv3'}
    """
    starts: list[tuple[int, str]] = []
    last = -1
    for index, name in enumerate(names):
        words = tokens(name)
        at = next((place for place, word in enumerate(words) if word.isdecimal()), None)
        if at is not None and len(words[at]) < 4 and int(words[at]) > last:
            last = int(words[at])
            starts.append((index, "".join(words[: at + 1])))
    ends = (*(index for index, _ in starts), len(names))
    found = {index: title for place, (index, title) in enumerate(starts) if ends[place + 1] - index >= FEWEST}
    return found if len(found) >= SECTIONS else {}
