#!/usr/bin/env python3
"""installers/linux/bootstrap.sh where it must refuse: bootstrap_test.py BOOTSTRAP

Each case has a PATH of its own whose dpkg-query calls some packages missing; an apt-get that is called says so and
fails the case. Exit status 1 if one failed."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

TOOLS = "bash dirname tr cat env sed grep"
MISSING = ("libpcap-dev", "cmake", "xl2tpd")
QUERY = "case ${@: -1} in " + "|".join(MISSING) + ") exit 1 ;; esac\nprintf 'ii '"
APT = "echo apt-get was called >&2; exit 1"

failures = 0


def check(name, good, detail):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}: {detail}")


def world(folder, **programs):
    """A PATH with the everyday tools and these programs."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=folder))
    for tool in TOOLS.split():
        os.symlink(shutil.which(tool), folder / tool)
    for name, body in programs.items():
        program = folder / name.replace("_", "-")
        program.write_text("#!/bin/bash\n" + body + "\n")
        program.chmod(0o755)
    return folder


def run(script, path, *words):
    return subprocess.run(["bash", script, *words], text=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL,
                          env={"PATH": str(path), "HOME": "/nowhere"})


def refused(name, done, *wanted, absent=("apt-get was called",)):
    lines = (done.stdout + done.stderr).splitlines()
    good = done.returncode == 2 and len(lines) == 1 and all(w in lines[0] for w in wanted)
    check(name, good and not any(a in lines[0] for a in absent), lines)


def main():
    script = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        anybody, root = "echo 1000", "echo 0"
        person = world(folder, dpkg_query=QUERY, apt_get=APT, id=anybody)
        refused("run, not root, no sudo", run(script, person, "run"), "only root", ": cmake libpcap-dev", absent=("xl2tpd", "apt-get was"))
        refused("test, not root, no sudo", run(script, person, "test"), "only root", ": cmake libpcap-dev xl2tpd")
        refused("run, sudo refuses", run(script, world(folder, dpkg_query=QUERY, apt_get=APT, id=anybody, sudo="exit 1"), "run"),
                "only root", ": cmake libpcap-dev")
        refused("run, root, no apt-get", run(script, world(folder, dpkg_query=QUERY, id=root), "run"), "no apt-get", ": cmake libpcap-dev")
        refused("run, no Debian", run(script, world(folder, id=root), "run"), "no Debian", "libbpf-dev")
        done = run(script, person, "packages")
        check("packages", done.returncode == 0 and done.stdout.split() == ["cmake", "libpcap-dev", "xl2tpd"], done.stdout.split())
        done = run(script, world(folder, dpkg_query="printf 'ii '", id=anybody), "packages")
        check("packages, none missing", (done.returncode, done.stdout, done.stderr) == (0, "", ""), done)
        done = run(script, person, "--help")
        verbs = ("bootstrap.sh run", "bootstrap.sh test", "bootstrap.sh packages", "bootstrap.sh --help")
        check("--help", done.returncode == 0 and all(verb in done.stdout for verb in verbs) and done.stderr == "", verbs)
        for words in (("frob",), ("run", "--bogus"), ("run", "--for"), ("run", "--for", "0s"), ("run", "--for=soon"),
                      ("test", "it"), ("packages", "all")):
            refused(" ".join(words), run(script, person, *words), "bootstrap.sh: ")
        # With everything there, neither root nor apt-get is asked for: the build is what comes next.
        done = run(script, world(folder, dpkg_query="printf 'ii '", id=anybody, cmake="echo building; exit 3"), "run")
        check("run, everything there", done.returncode == 3, (done.returncode, done.stderr))
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
