#!/usr/bin/env python3
"""What a router leaves on its host, and what it says when it cannot run: host_test.py UNDERPASSD UNDERPASSCTL

Crashes, full and read-only disks, damaged databases, the service's few privileges and wrong input. One line
per check; exit status 1 if one failed, 77 if the machine cannot run it."""
import argparse
import contextlib
import json
import signal
import sqlite3
import subprocess
import sys

from lab import WAN_HOST, Lab, need, stop, wait_for

failures = 0
# The capabilities of installers/linux/underpassd.service, and no others.
SERVICE = ["setpriv", "--bounding-set=-all,+net_admin,+net_raw,+net_bind_service,+bpf,+perfmon",
           "--inh-caps=-all,+net_admin,+net_raw,+net_bind_service,+bpf,+perfmon"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def check(name, good, detail=""):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}{': ' + str(detail) if detail != '' else ''}", flush=True)


class Host:
    def __init__(self, lab, daemon, ctl):
        self.lab, self.daemon, self.ctl = lab, daemon, ctl
        self.state = lab.folder / "state"
        self.before = lab.host_state()

    def command(self, *more, state=None, internal="int0", external="ext0", prefix=()):
        usual = {"--internal": internal, "--external": external, "--state": str(state or self.state),
                 "--control": str(self.lab.folder / "control")}
        words = [word for option, value in usual.items() if option not in more for word in (option, value)]
        return self.lab.inside("rt", [*prefix, self.daemon, *words, *more])

    def start(self, **how):
        """A running router and where its sentences go."""
        said = open(self.lab.folder / "said", "w+")
        process = subprocess.Popen(self.command(**how), text=True, stdout=subprocess.PIPE, stderr=said)
        self.lab.processes.append(process)
        process.said = lambda: (said.seek(0), said.read().strip().splitlines())[1]
        if "ready" not in process.stdout.readline():
            raise RuntimeError("the router did not start: " + str(process.said()))
        return process

    def crash(self, **how):
        stop(self.start(**how), signal.SIGKILL)

    def ask(self, *words, prefix=()):
        return subprocess.run(self.lab.inside("rt", [*prefix, self.ctl, *words]), text=True,
                              capture_output=True, timeout=60)

    def restore(self, prefix=(), state=None):
        return self.ask("--json", "restore", "--state", str(state or self.state), prefix=prefix)

    def unchanged(self):
        return self.lab.host_state() == self.before

    def works(self):
        return self.lab.pings("lan", WAN_HOST)[0]

    def refused(self, name, *more, **how):
        done = subprocess.run(self.command(*more, **how), text=True, capture_output=True, timeout=60)
        lines = (done.stderr + done.stdout).strip().splitlines()
        check(f"refused, {name}", done.returncode == 2 and len(lines) == 1, lines)


def crashes(host):
    journal = host.state / "host_journal"
    host.crash()
    check("a crash leaves the guard and the journal",
          "underpass_ex" in host.lab.host_state() and journal.exists())
    done = host.restore()
    check("restore names the cards", sorted(json.loads(done.stdout)["restored"]) == ["ext0", "int0"], done.stdout.split())
    check("and leaves the host as it was", host.unchanged() and not journal.exists())
    done = host.ask("restore", "--state", str(host.state))
    check("restore of nothing", (done.returncode, done.stdout) == (0, "Nothing was left behind.\n"), done.stdout)

    host.crash()
    journal.unlink()
    check("restore without a journal", host.restore().returncode == 0 and host.unchanged())

    host.crash()
    host.refused("another card after a crash", external="nope0")
    check("a start that fails takes the crashed run's changes back", host.unchanged())

    host.crash()
    stop(host.start())
    check("the next start and end do, too", host.unchanged() and not journal.exists())

    host.crash()
    host.lab.sh("rt", "tc filter add dev ext0 egress pref 9 bpf bytecode '1,6 0 0 0'")
    host.restore()
    left = host.lab.sh("rt", "tc filter show dev ext0 egress; tc filter show dev ext0 ingress")
    check("restore leaves somebody else's filter", "pref 9" in left and "underpass" not in left)
    host.lab.sh("rt", "tc qdisc del dev ext0 clsact")
    check("host as it was", host.unchanged())

    listed = host.ask("host", "list", "--state", str(host.state), "--control", "/tmp/upnobody")
    check("host list with nothing held", listed.stdout.startswith("Nothing is held"), listed.stdout.strip())
    host.crash()
    told = json.loads(host.ask("--json", "host", "list", "--state", str(host.state)).stdout)
    check("host list tells what a crash has left", (told["running"], sorted({row["interface"] for row in told["settings"]}))
          == (False, ["ext0", "int0"]), [f'{row["interface"]} {row["kind"]}' for row in told["settings"]])
    done = host.ask("host", "restore", "--state", str(host.state))
    check("host restore takes it back", done.returncode == 0 and host.unchanged(), done.stdout.strip())

    running = host.start()
    done = host.ask("restore", "--state", str(host.state))
    check("restore refuses what a running router holds", done.returncode == 1 and "must end first" in done.stderr,
          done.stderr.strip())
    host.restore(state=host.lab.folder / "other")
    check("and leaves it alone", "underpass_ex" in host.lab.host_state() and host.works())
    done = host.ask("restore", "--state", str(host.state), prefix=NOBODY)
    check("nor does it for anybody", "underpass_ex" in host.lab.host_state(), (done.stdout + done.stderr).strip())
    stop(running)
    host.crash()
    done = host.ask("restore", "--state", str(host.state), prefix=NOBODY)
    check("without the right to, restore says so", done.returncode == 1 and len(done.stderr.splitlines()) == 1,
          done.stderr.strip())
    host.restore()


def held(host):
    """What the service says it holds is what tc shows, and goes when it is told to."""
    control = ["--control", str(host.lab.folder / "control")]
    running = host.start()
    told = json.loads(host.ask("--json", *control, "host", "list").stdout)
    kinds = sorted(f'{row["interface"]} {row["kind"]}' for row in told["settings"])
    check("host list names all that is held", told["running"] and kinds == sorted(
        f"{card} {kind}" for card in ("int0", "ext0") for kind in ("card", "qdisc", "filter", "traffic")), kinds)
    shown = host.lab.sh("rt", "tc filter show dev ext0 ingress")
    filters = [row["detail"] for row in told["settings"] if row["kind"] == "filter" and row["interface"] == "ext0"]
    check("and what tc shows", all(word in shown for word in filters[0].replace("ingress ", "").split()), filters)
    check("all of it is there", all(row["there"] for row in told["settings"]))
    people = host.ask(*control, "host", "list").stdout
    check("in words", "clsact" in people and "never changed" in people, people.splitlines()[-1])

    host.lab.sh("rt", "tc filter del dev ext0 ingress")
    told = json.loads(host.ask("--json", *control, "host", "list").stdout)
    gone = [f'{row["interface"]} {row["kind"]}' for row in told["settings"] if not row["there"]]
    check("what somebody took away is said", gone == ["ext0 filter"], gone)

    done = host.ask(*control, "host", "restore")
    check("host restore asks first and says what stops", done.returncode == 1 and "Sharing stops" in done.stderr
          and running.poll() is None, done.stderr.strip())
    done = host.ask(*control, "host", "restore", "--yes", prefix=NOBODY)
    check("not by anybody", done.returncode == 1 and running.poll() is None, done.stderr.strip())
    done = host.ask(*control, "host", "restore", "--yes")
    check("host restore --yes answers when it is done", done.returncode == 0 and host.unchanged(), done.stdout.strip())
    check("and the router has ended without an error", running.wait(60) == 0, running.said())


def few_privileges(host):
    process = host.start(prefix=SERVICE)
    check("with the service's capabilities only", host.works())
    check("SIGTERM ends it cleanly", stop(process) == 0)
    check("and takes the guard away", host.unchanged())
    host.crash(prefix=SERVICE)
    check("restore with them after a crash", host.restore(prefix=SERVICE).returncode == 0 and host.unchanged())


@contextlib.contextmanager
def disk(host, size, options=""):
    """A file system of its own; what it holds is gone afterwards."""
    where = host.lab.folder / "disk"
    where.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def fill(where):
    with contextlib.suppress(OSError), open(where / "filler", "wb", 0) as out:
        while True:
            out.write(bytes(4096))


def disks(host):
    for name, size, used in (("full disk, nothing kept yet", "16k", False), ("full disk that holds databases", "1m", True)):
        with disk(host, size) as where:
            if used:
                stop(host.start(state=where))
            fill(where)
            process = host.start(state=where)
            check(f"{name}: the router runs", host.works(), process.said())
            check(f"{name}: it says why", any("full" in line or "No space" in line for line in process.said()))
            stop(process, signal.SIGKILL)
            check(f"{name}: restore after a crash", host.restore(state=where).returncode == 0 and host.unchanged())
    with disk(host, "1m") as where:
        stop(host.start(state=where))
        subprocess.run(["mount", "-o", "remount,ro", str(where)], check=True)
        process = host.start(state=where)
        check("read-only disk: the router runs and says so", host.works() and process.said() != [], process.said())
        stop(process)
        check("read-only disk: the host is as it was", host.unchanged())


def databases(host):
    for name, damage in (("damaged", lambda path: path.write_bytes(b"no database" * 1000)),
                         ("newer", lambda path: newer(path)), ("a folder instead", lambda path: folder(path))):
        for base in ("rules.db", "history.db"):
            state = host.lab.folder / f"{name}-{base}".replace(" ", "-")
            stop(host.start(state=state))
            damage(state / base)
            process = host.start(state=state)
            said = process.said()
            check(f"{base} {name}: one sentence, and the router runs",
                  len(said) == 1 and base in said[0] and host.works(), said)
            stop(process)


def newer(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def folder(path):
    for old in path.parent.glob(path.name + "*"):
        old.unlink()
    path.mkdir()


def wrong_input(host):
    lab = host.lab
    lab.sh("rt", "ip link add bare type veth peer name bare2 && ip link set bare up")
    lab.folder.chmod(0o755)
    locked = lab.folder / "locked"
    locked.mkdir(mode=0o700)
    file = lab.folder / "file"
    file.write_text("")
    host.refused("unknown interface", external="nope0")
    host.refused("no name", external="")
    host.refused("same interface twice", external="int0")
    host.refused("no address", internal="bare")
    host.refused("loopback", internal="lo")
    host.refused("no privilege", prefix=NOBODY)
    host.refused("no privilege, folder that cannot be written", state=locked, prefix=NOBODY)
    host.refused("no privilege, folder that cannot be made", state=locked / "below", prefix=NOBODY)
    host.refused("state folder that is a file", state=file)
    host.refused("state without a name", "--state", "")
    host.refused("unknown option", "--frobnicate")
    host.refused("a word too many", "please")
    host.refused("sessions that are no number", "--sessions", "many")
    host.refused("too few sessions", "--sessions", "5")
    host.refused("too many sessions", "--sessions", "99999999")
    host.refused("control socket without a folder", "--control", "/proc/none/socket")
    host.refused("control socket that cannot be made", "--control", "/proc/socket")
    host.refused("control socket at a file of somebody", "--control", str(file))
    host.refused("control socket at a relative path", "--control", "here")
    host.refused("control socket's path too long", "--control", "/tmp/" + "x" * 120)
    running = host.start()
    host.refused("interface already held", state=lab.folder / "second")
    host.refused("interface already held, same folder")
    check("the holder does not mind", host.works())
    stop(running)
    lab.sh("rt", "ip link del bare")
    check("refusing changes nothing", host.unchanged())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("underpassd")
    arguments.add_argument("underpassctl")
    options = arguments.parse_args()
    need("ip", "tc", "ping", "nft", "setpriv", "mount", "umount")
    with Lab("uphost") as lab:
        host = Host(lab, options.underpassd, options.underpassctl)
        crashes(host)
        held(host)
        few_privileges(host)
        disks(host)
        databases(host)
        wrong_input(host)
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
