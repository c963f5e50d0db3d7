"""Fetch pinned packages with the ordinary clients (npm, pip) and check their SHA-256.

A package that has been fetched is kept in the cache directory and needs no network again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

#: Any Python that pip knows will do: the packages are read as archives, never installed.
PIP_TARGET = ["--only-binary=:all:", "--python-version=3.12", "--implementation=cp"]


@dataclass(frozen=True)
class Package:
    """An archive in a registry: `registry` is `npm` or `pypi`, `sha256` is that of the archive."""

    registry: str
    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.registry} {self.name} {self.version}"


def cache_directory() -> Path:
    """`GLOSSATOR_DEMO_DIR`, or `.cache/demo` in the checkout."""
    named = os.environ.get("GLOSSATOR_DEMO_DIR")
    return Path(named) if named else Path(__file__).resolve().parent.parent / ".cache" / "demo"


def log(message: str) -> None:
    """Progress goes to standard error."""
    print(message, file=sys.stderr, flush=True)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_intact(path: Path, sha256: str) -> bool:
    """Whether a file is there with the right content."""
    return path.is_file() and sha256_of(path) == sha256


def check(path: Path, sha256: str, what: str) -> None:
    """Stop if a file is not what was pinned."""
    found = sha256_of(path)
    if found != sha256:
        raise SystemExit(f"error: {what} has SHA-256 {found}, expected {sha256}; it will not be used")


def fetch(package: Package) -> Path:
    """The archive of `package`, downloaded unless the cache has it."""
    directory = cache_directory() / "packages"
    directory.mkdir(parents=True, exist_ok=True)
    suffix = "tgz" if package.registry == "npm" else "whl"
    target = directory / f"{package.name.strip('@').replace('/', '-')}-{package.version}.{suffix}"
    if is_intact(target, package.sha256):
        return target
    log(f"  downloading {package}")
    with tempfile.TemporaryDirectory(dir=directory) as temporary:
        download(package, Path(temporary))
        archives = [path for path in Path(temporary).iterdir() if path.suffix == f".{suffix}"]
        if len(archives) != 1:
            raise SystemExit(f"error: {package}: expected one .{suffix} file, found {len(archives)}")
        check(archives[0], package.sha256, str(package))
        os.replace(archives[0], target)
    return target


def download(package: Package, directory: Path) -> None:
    """Run the registry's client."""
    if package.registry == "npm":
        client = program("npm")
        command = [client, "pack", "--silent", f"{package.name}@{package.version}", "--pack-destination", "."]
    else:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", *PIP_TARGET, "--dest", ".", f"{package.name}=={package.version}"]
    result = subprocess.run(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.stderr.write(result.stderr)
        raise SystemExit(f"error: cannot download {package}: `{' '.join(command)}` failed")


def program(name: str) -> str:
    """The path of a program that must be installed."""
    found = shutil.which(name)
    if not found:
        raise SystemExit(f"error: {name} is not installed; run `make install-build`")
    return found
