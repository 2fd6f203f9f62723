"""``python -m tests.fuzz.guided [TARGET…]``: mutants of files, kept where they reach new lines or say new things.

Each kind of file (`tests/fuzz/targets`) has seeds, a way to change them that knows their grammar, and the commands that
read them. Every command must end with 0, 1, 2 or 3, within a second of processor time and a bound of memory, with
places that are in the file, and without control characters. Workers are processes of their own: one that dies is a
finding too. What is found is made small and written to a folder, with the command that repeats it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path
from random import Random

from tests.fuzz.bench import bench
from tests.fuzz.targets import names, target
from tests.fuzz.worker import Found, Job, State, in_slot, slot, work

BEGIN = 300  # kept mutants that another run begins with
HANGS = 120.0  # seconds after which a worker is killed
FORK = multiprocessing.get_context("fork")


class Watched:
    """A worker and what has come of it; one that ends early is followed by another."""

    def __init__(self, job: Job, kept: list[bytes], known: set[str]) -> None:
        self.job, self.kept, self.known = job, kept, known
        self.state = State(job.first, 0, 0)
        self.slot = slot()
        self.start()

    def start(self) -> None:
        self.pipe, theirs = FORK.Pipe(duplex=False)
        arguments = (self.job, self.slot, theirs, tuple(self.kept), frozenset(self.known))
        self.process = FORK.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def ended(self) -> Found | None:
        """Called where the pipe is at its end: go on with the next mutant; the finding, if the worker died."""
        self.process.join()
        self.pipe.close()
        _, number, data = in_slot(self.slot)
        code = self.process.exitcode
        found = None
        following = self.state.number
        if code:
            name = f"died-{-code}" if code < 0 else f"raised-{code}"
            found = Found(number, f"{name}-{self.job.target}", f"the worker ended with {code}", "", data)
            following = max(following, number + 1)
        self.job = replace(self.job, first=following)
        if following < self.job.end and (number != -1 or not code):
            self.start()
        else:
            self.job = replace(self.job, first=self.job.end)
        return found

    @property
    def done(self) -> bool:
        return self.job.first >= self.job.end

    def hangs(self) -> bool:
        began, _, _ = in_slot(self.slot)
        return began > 0 and time.monotonic() - began > HANGS


def fuzz(name: str, jobs: Sequence[Job], seconds: float, out: Path, keep: Path | None) -> int:
    """Fuzz one target; the number of findings."""
    files = sorted((keep / name).glob("*")) if keep is not None else []
    files = Random(jobs[0].seed).sample(files, min(len(files), BEGIN))  # more would take minutes to run anew
    kept = [path.read_bytes() for path in files]
    known: set[str] = set()
    start = time.monotonic()
    workers = [Watched(job, list(kept), known) for job in jobs]
    said, count = start, 0
    while not all(worker.done for worker in workers):
        alive = {worker.pipe: worker for worker in workers if not worker.done}
        for pipe in wait(list(alive), 1.0):
            worker = alive[pipe]  # type: ignore[index]
            try:
                got = worker.pipe.recv()
            except EOFError:
                got = worker.ended()
            if isinstance(got, State):
                worker.state = got
            elif isinstance(got, bytes):
                worker.kept.append(got)
                if keep is not None:
                    _write(keep / name, f"{len(worker.kept):06}-{worker.job.seed}", got)
            elif isinstance(got, Found) and got.key not in known:
                known.add(got.key)
                count += 1
                print(f"\n{name}: {tell(name, got, out)}\n", flush=True)
        for worker in workers:
            if not worker.done and worker.hangs():
                worker.process.kill()
        now = time.monotonic()
        late = seconds > 0 and now - start > seconds
        if now - said > 10 or late or all(worker.done for worker in workers):
            said = now
            print(progress(name, workers, now - start, count), flush=True)
        if late:
            for worker in workers:
                worker.process.kill()
            break
    return count


def progress(name: str, workers: Sequence[Watched], took: float, count: int) -> str:
    """How far it is, in a line."""
    ran = sum(worker.state.number for worker in workers)
    reached = max(worker.state.lines for worker in workers)
    corpus = max(worker.state.corpus for worker in workers)
    rate = ran / max(took, 1e-9)
    return f"{name}: {ran} mutants, {rate:.0f}/s, {reached} lines, {corpus} kept, {count} findings, {took:.0f} s"


def tell(name: str, found: Found, out: Path) -> str:
    """Write a finding's file and what is wrong with it; what is printed."""
    suffix = "".join(Path(target(name).file).suffixes)
    stem = re.sub(r"[^\w.-]", "_", found.key)[:80]
    path = _write(out / name, f"{stem}{suffix}", found.data)
    again = f"python -m tests.fuzz.guided {name} --replay {path}"
    text = f"{found.key}\nmutant {found.number}, {found.row}\nagain: {again}\n{found.what}\n"
    path.with_name(f"{stem}.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    return text.encode("utf-8", "backslashreplace").decode()[:3000]


def _write(folder: Path, name: str, data: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(data)
    return path


def preload(chosen: Sequence[str]) -> None:
    """Import before the workers part what takes seconds; one thread of computing, since a fork has no others."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    for name in chosen:
        target(name)


def replay(name: str, path: Path, slow: float) -> list[str]:
    """What is wrong with one file, over every command of its target."""
    kind, data = target(name), path.read_bytes()
    with bench(kind, slow) as place:
        found = [complaint for row in kind.rows for _, complaint in place.examine(data, [row]).complaints]
    return [f"{complaint.key}: {complaint.what}" for complaint in found]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(names())}; default: all")
    parser.add_argument("--count", type=int, default=0, help="mutants of each target")
    parser.add_argument("--seconds", type=float, default=0, help="for each target (60, without --count)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes")
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="use N of the seeds only")
    parser.add_argument("--slow", type=float, default=1.0, metavar="S", help="seconds that a command may take (1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where findings are written; default: a new folder")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where mutants that reach new lines are kept")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the commands of the target over this file")
    options = parser.parse_args()
    chosen = options.targets or names()
    if unknown := [name for name in chosen if name not in names()]:
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(names())}")
    if options.replay is not None:
        found = replay(chosen[0], options.replay, options.slow)
        print("\n".join(found) or "nothing is wrong")
        return 1 if found else 0
    seconds = options.seconds or (0.0 if options.count else 60.0)
    end = options.count or 10**9
    out = options.out or Path(tempfile.mkdtemp(prefix="netcompile-fuzz-"))
    count = 0
    if len(chosen) > 1:
        preload(chosen)
    for name in chosen:
        share = -(-end // options.jobs)
        jobs = [Job(name, options.seed + i, 0, share, options.slow, options.seeds) for i in range(options.jobs)]
        count += fuzz(name, jobs, seconds, out.absolute(), options.keep)
    print(f"{count} findings" + (f", written to {out}" if count else ""))
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
