#!/usr/bin/env python3
"""Programs that cannot be installed beside others: fetched as Debian packages and only unpacked, once.

Run by itself it fetches them all, as the bootstrap script does.
"""
import pathlib
import subprocess
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "build" / "interop-programs"


class Missing(Exception):
    """A program that this machine lacks: the scenario is skipped, and says so."""


def libreswan():
    """Its package conflicts with strongSwan's; libldns3 is the one library of its own."""
    folder = FOLDER / "libreswan"
    if (folder / "usr/libexec/ipsec/pluto").exists():
        return
    with tempfile.TemporaryDirectory() as packages:
        done = subprocess.run(["apt-get", "-q", "download", "libreswan", "libldns3"], cwd=packages, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        files = sorted(pathlib.Path(packages).glob("*.deb"))
        if done.returncode != 0 or len(files) != 2:
            raise Missing("libreswan cannot be fetched: " + done.stdout.strip()[-200:])
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as unpacked:
            for file in files:
                subprocess.run(["dpkg", "-x", file, pathlib.Path(unpacked) / "new"], check=True)
            (pathlib.Path(unpacked) / "new").rename(folder)


if __name__ == "__main__":
    libreswan()
