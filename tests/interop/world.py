"""A small Internet of network namespaces: two clients behind a router under test, one server outside.

        c1 .11 --+                                    +-- s1 203.0.113.10
        c2 .12 --+-- lan (bridge) -- [rt] -- wan (bridge)
     guests g1 .21, g2 .22                            +-- guest gs 203.0.113.30
        192.168.9.0/24, router .1        router 203.0.113.2, gateway .1

With the server inside, it is .30 there, and 203.0.113.30 is its own address at the router (1:1).

Guests are User-Mode Linux machines with the host's own files as their root: for PPP, L2TP and ESP, which
need a kernel that has them. Everything is removed at the end; only processes started here are ended.
"""
import base64
from concurrent.futures import ThreadPoolExecutor
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import echo
import programs

LAN = "192.168.9."
ROUTER_LAN, ROUTER_WAN, GATEWAY = LAN + "1", "203.0.113.2", "203.0.113.1"
SERVER, GUEST_SERVER = "203.0.113.10", "203.0.113.30"
INSIDE_SERVER = LAN + "30"
HERE = pathlib.Path(__file__).resolve().parent


class Failed(Exception):
    """What was expected did not happen: the scenario's verdict, not a broken test."""


# How long a tunnel and its data are waited for, at most: shorter where failing is what is expected.
patience = 600


def limit(seconds):
    return min(seconds, patience)


def together(function, items):
    """Side by side; the results, or the first exception."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(function, items))


def until(seconds, what, test, pause=0.3):
    end = time.monotonic() + seconds
    while True:
        try:
            if test():
                return
        except (subprocess.SubprocessError, OSError):
            pass
        if time.monotonic() > end:
            raise Failed(what)
        time.sleep(pause)


class Node:
    """A network namespace with mount and process namespaces of its own, so that programs that insist on
    one place below /run can be started several times."""

    def __init__(self, world, name):
        self.name = f"{world.prefix}-{name}"
        self.folder = world.folder
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.holder = subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "-m", "-p", "-f", "--kill-child", "--mount-proc",
             "sh", "-c", "mount --make-rprivate /; mount -t tmpfs tmpfs /run; mkdir -p /run/lock /run/wireguard "
             "/run/netns; ip link set lo up; sysctl -qw net.ipv6.conf.all.disable_ipv6=1 "
             "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0; touch /run/.up; exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        children = pathlib.Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children")
        self.pid = None

        def is_up():
            found = children.read_text().split()
            if found and os.path.exists(f"/proc/{found[0]}/root/run/.up"):
                self.pid = found[0]
            return self.pid is not None
        until(60, f"namespace {name} did not start", is_up, 0.02)

    def inside(self, command):
        return ["nsenter", "-t", self.pid, "-n", "-m", "-p", "--", *command]

    def sh(self, command, timeout=60, check=True):
        done = subprocess.run(self.inside(["sh", "-c", command]), stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False)
        if check and done.returncode != 0:
            raise Failed(f"{self.name}: {command}: {done.stdout.strip()[-300:]}")
        return done.stdout

    def start(self, tag, command):
        log = open(self.folder / f"{self.name}-{tag}.log", "w")
        return subprocess.Popen(self.inside(["sh", "-c", "exec " + command]), stdin=subprocess.DEVNULL,
                                stdout=log, stderr=log)

    def echo(self, address, octets, timeout):
        return self.sh(f"/usr/bin/python3 {HERE}/echo.py {address} {octets}", timeout, check=False)

    def log(self, tag):
        return (self.folder / f"{self.name}-{tag}.log").read_text(errors="replace")

    def close(self):
        self.holder.kill()
        self.holder.wait()
        subprocess.run(["ip", "netns", "del", self.name], stderr=subprocess.DEVNULL, check=False)


class Guest:
    """A User-Mode Linux machine on one of the two bridges, driven over its console."""

    def __init__(self, world, name, side, address):
        self.name = name
        bridge = world.nodes[side]
        gateway = ROUTER_LAN if side == "lan" else GATEWAY
        self.tap = f"t{name}"
        bridge.sh(f"ip tuntap add {self.tap} mode tap && ip link set {self.tap} master br0 up")
        digits = [int(part) for part in address.split(".")]
        mac = "02:00:%02x:%02x:%02x:%02x" % tuple(digits)
        self.machine = subprocess.Popen(
            bridge.inside(["/usr/bin/linux.uml", "mem=96M", "rootfstype=hostfs", "root=/dev/root", "rootflags=/", "ro",
                           "quiet", "ipv6.disable=1", "con=null", "con0=fd:0,fd:1", f"uml_dir={world.folder}/",
                           f"umid={name}", f"vec0:transport=tap,ifname={self.tap},depth=64,gro=0,mac={mac}",
                           f"guest=address={address},gateway={gateway},programs={programs.FOLDER}", f"init={HERE}/guest_init.py"]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            errors="replace", start_new_session=True)
        self.next = 1
        self.answers = {}
        self.ready = threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()
        self.wait(0, 180)

    def listen(self):
        for line in self.machine.stdout:
            start = line.find('{"id"')
            if start < 0:
                continue
            try:
                reply = json.loads(line[start:])
            except ValueError:
                continue
            with self.ready:
                self.answers[reply["id"]] = reply
                self.ready.notify_all()

    def wait(self, number, timeout):
        with self.ready:
            if not self.ready.wait_for(lambda: number in self.answers, timeout):
                raise Failed(f"guest {self.name} did not answer in {timeout} s")
            return self.answers.pop(number)

    def order(self, **order):
        number = self.next
        self.next += 1
        self.machine.stdin.write(json.dumps({"id": number, **order}) + "\n")
        self.machine.stdin.flush()
        return number

    def sh(self, command, timeout=60, check=True):
        reply = self.wait(self.order(sh=command), timeout)
        out = base64.b64decode(reply["out"]).decode(errors="replace")
        if check and reply["rc"] != 0:
            raise Failed(f"{self.name}: {command[:80]}: {out.strip()[-300:]}")
        return out

    def start(self, tag, command):
        self.wait(self.order(sh=command, background=tag), 60)

    def echo(self, address, octets, timeout):
        reply = self.wait(self.order(echo=address, octets=octets), timeout)
        return base64.b64decode(reply["out"]).decode()

    def write(self, path, text):
        self.sh(f"cat >{path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE")

    def log(self, tag):
        return self.sh(f"cat /run/{tag}.log", check=False)

    def close(self):
        try:
            os.killpg(self.machine.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.machine.wait()


class World:
    def __init__(self, router, wire="ip protocol icmp", inside=False):
        """`wire`: what the tunnels look like on the wire outside, in nft's words; `inside`: the guests'
        server is a device of the same house, called by its own external address."""
        self.wire_match = wire
        self.inside = inside
        # What the server itself knows of its place.
        self.server, self.server_gateway = (INSIDE_SERVER, ROUTER_LAN) if inside else (GUEST_SERVER, GATEWAY)
        self.prefix = f"ui{os.getpid() % 100000}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="interop-"))
        self.nodes = {}
        self.guests = []
        self.router = router

    def __enter__(self):
        try:
            for name in ("lan", "wan", "rt", "c1", "c2", "s1"):
                self.nodes[name] = Node(self, name)
            for name in ("lan", "wan"):
                self.nodes[name].sh("ip link add br0 type bridge stp_state 0 && ip link set br0 up")
            self.wire("lan", "to-rt", "rt", "lan0")
            self.wire("wan", "to-rt", "rt", "wan0")
            self.wire("lan", "to-c1", "c1", "eth0", LAN + "11", ROUTER_LAN)
            self.wire("lan", "to-c2", "c2", "eth0", LAN + "12", ROUTER_LAN)
            self.wire("wan", "to-s1", "s1", "eth0", SERVER, GATEWAY)
            self.nodes["wan"].sh(f"ip addr add {GATEWAY}/24 dev br0; sysctl -qw net.ipv4.ip_forward=1")
            rt = self.nodes["rt"]
            rt.sh(f"ip addr add {ROUTER_LAN}/24 dev lan0; ip addr add {ROUTER_WAN}/24 dev wan0; "
                  f"ip route add default via {GATEWAY}")
            self.nodes["wan"].sh(f"""nft -f - <<'RULES'
table netdev sensor {{
  counter tunnel {{ }}
  counter inside {{ }}
  counter bare {{ }}
  chain outward {{ type filter hook ingress device "to-rt" priority 0;
    {self.wire_match} counter name "tunnel"
    ip saddr {{ 10.0.0.0/8, 192.168.0.0/16 }} counter name "inside"
    tcp dport {echo.PORT} counter name "bare"
  }}
}}
RULES""")
            if self.inside:
                rt.sh(f"ip addr add {GUEST_SERVER}/24 dev wan0")
            self.router.up(rt, self.folder)
            if self.inside:
                self.router.give(rt, INSIDE_SERVER, GUEST_SERVER)
            until(60, "the router does not forward", lambda: "1 received" in self.nodes["c1"].sh(
                f"ping -c1 -W1 {SERVER}", check=False))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def wire(self, bridge, port, node, card, address=None, gateway=None):
        a, b = self.nodes[bridge], self.nodes[node]
        subprocess.run(["ip", "link", "add", port, "netns", a.name, "type", "veth", "peer", "name", card,
                        "netns", b.name], check=True)
        a.sh(f"ethtool -K {port} tx off rx off tso off gso off gro off >/dev/null; ip link set {port} master br0 up")
        b.sh(f"ethtool -K {card} tx off rx off tso off gso off gro off >/dev/null; ip link set {card} up")
        if address:
            b.sh(f"ip addr add {address}/24 dev {card}; ip route add default via {gateway}")

    def guest(self, name, side, address):
        guest = Guest(self, name, side, address)
        self.guests.append(guest)
        return guest

    def check_wire(self):
        """The data went through tunnels, and nothing left the router untranslated."""
        said = self.nodes["wan"].sh("nft list counters table netdev sensor")
        count = {name: int(number) for name, number in re.findall(r"counter (\w+) {\s+packets (\d+)", said)}
        # Inside nothing has a reason to leave.
        strange = count["tunnel"] != 0 if self.inside else count["tunnel"] < 100
        if strange or count["inside"] or count["bare"]:
            raise Failed(f"on the wire outside: {count['tunnel']} packets of the tunnels, {count['bare']} of bare data, "
                         f"{count['inside']} from inside addresses")

    def vpn_guests(self):
        """Two clients inside, one server outside."""
        return together(lambda plan: self.guest(*plan), (
            ("gs", "lan" if self.inside else "wan", self.server), ("g1", "lan", LAN + "21"), ("g2", "lan", LAN + "22")))

    def __exit__(self, *_):
        try:
            if "rt" in self.nodes:
                self.router.down(self.nodes["rt"])
        finally:
            for guest in self.guests:
                guest.close()
            for node in self.nodes.values():
                node.close()
            if not os.environ.get("INTEROP_KEEP"):
                shutil.rmtree(self.folder, ignore_errors=True)


class Underpass:
    name = "underpass"

    def __init__(self, bin_folder, switches=()):
        """`switches`: the words after "passthrough set"."""
        self.bin = pathlib.Path(bin_folder).resolve()
        self.switches = switches
        self.process = None

    def ctl(self, node, *words):
        return node.sh(f"{self.bin}/underpassctl --control /run/underpass-control " + " ".join(words))

    def up(self, node, _folder):
        self.process = node.start("underpassd", f"{self.bin}/underpassd --internal lan0 --external wan0 --state "
                                  "/run/underpass-state --control /run/underpass-control --no-dhcp --no-dns")
        until(60, "underpassd did not become ready", lambda: "ready" in node.log("underpassd"))
        for words in self.switches:
            self.ctl(node, "passthrough", "set", words)

    def give(self, node, device, address):
        """1:1 NAT."""
        add = (f"{self.bin}/underpassctl --control /run/underpass-control rules one-to-one add {device} {address} "
               "--on-live drop && echo given")
        until(60, "the router does not give the address", lambda: "given" in node.sh(add, check=False), 0.5)

    def down(self, node):
        if self.process:
            # By pid, inside the namespace that was made for it.
            subprocess.run(node.inside(["sh", "-c", "kill $(pidof underpassd)"]), check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.process.wait(60)


class Kernel:
    """nftables masquerade with its PPTP helper: the second column."""
    name = "kernel"

    def up(self, node, _folder):
        node.sh("""nft -f - <<'RULES'
table ip router {
  ct helper calls { type "pptp" protocol tcp; }
  chain assign { type filter hook prerouting priority filter; iifname "lan0" tcp dport 1723 ct helper set "calls"; }
  chain translate { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }
  chain pass { type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "lan0" ct state new accept
  }
}
RULES
sysctl -qw net.ipv4.ip_forward=1""")

    def give(self, node, device, address):
        """1:1 NAT, and callers inside show the shared address."""
        node.sh(f"""nft -f - <<'RULES'
table ip router {{
  chain own {{ type nat hook prerouting priority dstnat; ip daddr {address} dnat to {device}; }}
  chain loop {{ type nat hook postrouting priority srcnat - 1;
    oifname "lan0" ip saddr 192.168.9.0/24 ip daddr {device} snat to {ROUTER_WAN}
    oifname "wan0" ip saddr {device} snat to {address}
  }}
}}
RULES""")

    def down(self, node):
        node.sh("sysctl -qw net.ipv4.ip_forward=0; nft delete table ip router", check=False)


def serve_echo(node):
    """Guests serve by themselves."""
    node.start("echo", f"/usr/bin/python3 {HERE}/echo.py serve")
    until(60, f"{node.name}: the echo server does not listen", lambda: f":{echo.PORT}" in node.sh("ss -ltn"))


def echo_together(pairs, octets=300_000):
    """All clients at once; every one must get its own data back."""
    problems = []

    def one(node, address):
        try:
            word = node.echo(address, octets, limit(150))
        except (Failed, subprocess.SubprocessError) as problem:
            word = str(problem)
        if word.strip() != "same":
            problems.append(f"data through the tunnel of {node.name}: {word.strip()}")
    together(lambda pair: one(*pair), pairs)
    if problems:
        raise Failed("; ".join(problems))
