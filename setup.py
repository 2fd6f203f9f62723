"""Puts the bundled definitions, and what the demo runs on, into built packages; all else is in pyproject.toml.

`prototxt/` and `weights/` lie at the top of the repository, where people look for them, and the demo's pictures among
the tests, which they are for too. An installed netcompile carries them as `netcompile/bundled/`, in the same layout;
an editable install reads them where they are."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUNDLED = (
    "prototxt/*/*.prototxt",
    "weights/manifest.toml",
    "weights/shapes-*.caffemodel",
    "tests/data/shapes*/**/*",
)


class BuildWithDefinitions(build_py):
    def run(self):
        super().run()
        if self.editable_mode:
            return
        for pattern in BUNDLED:
            for source in sorted(path for path in Path().glob(pattern) if path.is_file()):
                target = Path(self.build_lib, "netcompile", "bundled", source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithDefinitions})
