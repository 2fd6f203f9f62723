"""Mutants of nets, read by our parser and by protobuf's: the same verdict and the same message, or a known
reason.

``python -m tests.prototxt.fuzz --count 100000 [--seed N] [--corpus DIR]``
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.mutators.tokens import SPICE, TOKEN
from tests.prototxt.oracle import disagreement, ours, theirs

HERE = Path(__file__).parent


def seeds(corpus: Path | None = None) -> list[str]:
    """Texts to start from: our own cases and, if given, small files of a folder; big ones give their first
    layers."""
    paths = [*sorted((HERE / "valid").glob("*.prototxt")), *sorted((HERE / "invalid").glob("*.prototxt"))]
    if corpus is not None:
        paths += sorted(corpus.rglob("*.prototxt"))
    texts = [p.read_bytes().decode("utf-8", "replace") for p in paths]
    out = []
    for text in texts:
        pieces = re.split(r"(?m)^(?=layers? )", text)
        out += ["".join(pieces[i : i + 3])[:3000] for i in range(0, min(len(pieces), 40), 3)]
    return out


def mutants(texts: list[str], seed: int) -> Iterator[str]:
    """Endless mutants: tokens deleted, doubled, swapped, replaced, spice thrown in, characters changed,
    pieces cut."""
    chance = random.Random(seed)
    while True:
        tokens = TOKEN.findall(chance.choice(texts))
        for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
            at = chance.randrange(len(tokens) + 1)
            kind = chance.randrange(8)
            if kind == 0:
                del tokens[at : at + chance.choice((1, 1, 2, 5))]
            elif kind == 1:
                tokens[at:at] = tokens[at : at + chance.choice((1, 2, 4, 8))]
            elif kind == 2 and len(tokens) > 1:
                other = chance.randrange(len(tokens))
                at = min(at, len(tokens) - 1)
                tokens[at], tokens[other] = tokens[other], tokens[at]
            elif kind in (3, 4):
                tokens[at : at + 1] = [chance.choice(SPICE)]
            elif kind == 5:
                tokens[at:at] = [" ", chance.choice(SPICE), " "]
            elif kind == 6 and at < len(tokens):
                word = list(tokens[at])
                word[chance.randrange(len(word))] = chance.choice("abcXYZ019_-.\"'\\{}<>[]:;,# \n\u00e9")
                tokens[at] = "".join(word)
            elif kind == 7 and at < len(tokens):
                numbers = [i for i, t in enumerate(tokens) if re.fullmatch(r"[\w.+-]+", t) and i and ":" in tokens[:i]]
                if numbers:
                    tokens[chance.choice(numbers)] = chance.choice(SPICE)
        yield "".join(tokens)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--corpus", type=Path)
    chosen = options.parse_args()
    texts = seeds(chosen.corpus)
    known: Counter[str] = Counter()
    unknown = accepted = 0
    start = time.monotonic()
    for number, text in enumerate(mutants(texts, chosen.seed)):
        if number >= chosen.count:
            break
        try:
            found = disagreement(text)
        except Exception as error:  # a crash is what a fuzzer is for
            found = f"? {type(error).__name__}: {error}"
        if found is None:
            continue
        if found.startswith("?"):
            unknown += 1
            print(f"--- mutant {number}\n{text}\n... {found}\n", flush=True)
        else:
            known[found] += 1
    seconds = time.monotonic() - start
    accepted = chosen.count - sum(known.values()) - unknown
    print(f"{chosen.count} mutants of {len(texts)} texts in {seconds:.0f} s: {accepted} agree,")
    print(f"{sum(known.values())} differ for a documented reason {dict(known)}, {unknown} differ for none")
    return 1 if unknown else 0


__all__ = ["disagreement", "mutants", "ours", "seeds", "theirs"]

if __name__ == "__main__":
    raise SystemExit(main())
