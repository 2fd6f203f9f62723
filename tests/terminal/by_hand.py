"""All payloads in all places through all commands: python -m tests.terminal.by_hand [FIRST TURN] [BEYOND THE LAST]"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.terminal.commands import heavy, light, texts
from tests.terminal.payloads import PAYLOADS, write_files
from tests.terminal.pty_run import hidden, run


def main(first: int, beyond: int) -> int:
    bad = count = 0
    codes: dict[int, int] = {}
    for turn in range(first, beyond):
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="netcompile-terminal-") as name:
            os.chdir(name)
            s = write_files(Path(name), turn)
            for line in (*light(s), *heavy(s)):
                found = run(line, columns=60 if turn % 3 == 0 else 200)
                count += 1
                codes[found.code] = codes.get(found.code, 0) + 1
                wrong = found.steering()
                if wrong or found.code == 70:
                    bad += 1
                    print(f"turn {turn}: {line}: exit {found.code}: {wrong[:3]}", flush=True)
                    if found.code == 70:
                        print(found.out.decode()[-1500:])
            for path in texts(Path(name)):
                wrong = hidden(path.read_text(encoding="utf-8"))
                bad += bool(wrong)
                if wrong:
                    print(f"turn {turn}: {path.name!r}: {wrong[:3]}", flush=True)
            os.chdir("/")
        print(f"turn {turn}: {time.monotonic() - started:.1f} s", flush=True)
    print(f"{count} commands, {bad} bad; exit codes {codes}")
    return bool(bad)


if __name__ == "__main__":
    numbers = [int(text) for text in sys.argv[1:]] or [0, len(PAYLOADS)]
    raise SystemExit(main(*numbers))
