"""Puts the bundled definitions into built packages; everything else is in pyproject.toml.

`prototxt/` and `weights/` lie at the top of the repository, where people look for them. An installed
netcompile carries them as `netcompile/bundled/`, in the same layout; an editable install reads them where
they are."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUNDLED = ("prototxt/*/*.prototxt", "weights/manifest.toml", "weights/shapes-*.caffemodel")


class BuildWithDefinitions(build_py):
    def run(self):
        super().run()
        if self.editable_mode:
            return
        for pattern in BUNDLED:
            for source in sorted(Path().glob(pattern)):
                target = Path(self.build_lib, "netcompile", "bundled", source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)


setup(cmdclass={"build_py": BuildWithDefinitions})
