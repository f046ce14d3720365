"""Three network namespaces: a device inside, the router under test, a server outside."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LAN_HOST, LAN_ROUTER = "192.168.5.10", "192.168.5.1"
WAN_ROUTER, WAN_HOST = "203.0.113.2", "203.0.113.1"
FAR = "198.51.100.7"  # behind the server: one more hop for traceroute


def need(*programs):
    """Names what is missing; CTest reads exit status 77 as skipped."""
    missing = [p for p in programs if not shutil.which(p)]
    if os.geteuid() != 0:
        print("skipped: network namespaces need root")
        sys.exit(77)
    if missing:
        print("skipped: missing programs: " + " ".join(missing))
        sys.exit(77)


class Lab:
    def __init__(self, prefix, offloads=True):
        self.names = {role: f"{prefix}-{role}-{os.getpid()}" for role in ("lan", "rt", "srv")}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
        self.processes = []
        self.offloads = offloads

    def __enter__(self):
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def build(self):
        for name in self.names.values():
            run(["ip", "netns", "add", name])
        for role, name in self.names.items():
            run(["ip", "-n", name, "link", "set", "lo", "up"])
            # IPv6 addresses come and go by themselves and would look like changes.
            self.sh(role, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
                    check=False)
        lan, rt, srv = self.names["lan"], self.names["rt"], self.names["srv"]
        for card, peer in (("int0", lan), ("ext0", srv)):
            run(["ip", "-n", rt, "link", "add", card, "type", "veth", "peer", "name", "eth0", "netns", peer])
        for ns, card, address in ((lan, "eth0", LAN_HOST), (rt, "int0", LAN_ROUTER),
                                  (rt, "ext0", WAN_ROUTER), (srv, "eth0", WAN_HOST)):
            run(["ip", "-n", ns, "addr", "add", address + "/24", "dev", card])
            run(["ip", "-n", ns, "link", "set", card, "up"])
            if not self.offloads:
                run(["ip", "netns", "exec", ns, "ethtool", "-K", card, "tso", "off", "gso", "off", "gro", "off"])
        run(["ip", "-n", srv, "addr", "add", FAR + "/32", "dev", "lo"])
        run(["ip", "-n", lan, "route", "add", "default", "via", LAN_ROUTER])
        run(["ip", "-n", rt, "route", "add", "default", "via", WAN_HOST])
        # The host may forward, as a host with containers does: it must not do so beside the router.
        self.sh("rt", "sysctl -qw net.ipv4.ip_forward=1")
        wait_for(lambda: self.sh("rt", "ip -br link").count(" UP ") == 2)

    def __exit__(self, *_):
        for process in reversed(self.processes):
            stop(process)
        for name in self.names.values():
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def inside(self, role, command):
        return ["ip", "netns", "exec", self.names[role]] + list(command)

    def sh(self, role, command, timeout=60, check=True):
        """Runs a shell command; its standard output."""
        done = subprocess.run(self.inside(role, ["sh", "-c", command]), text=True, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode != 0:
            raise RuntimeError(f"{role}: {command}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def pings(self, role, target, count=2, more=""):
        """Pings until so many were answered: whether none before was lost, and what ping said. Its own count of lost
        ones is no use on a busy machine: it waits for the last answer only twice as long as for those before."""
        out = self.sh(role, f"ping -c {count} -i 0.05 -w 30 {more} {target}", check=False)
        answered = sorted(map(int, re.findall(r"icmp_seq=(\d+) ttl=", out)))
        return len(answered) >= count and answered == list(range(1, len(answered) + 1)), out

    def start(self, role, command, **options):
        process = subprocess.Popen(self.inside(role, command), text=True, **options)
        self.processes.append(process)
        return process

    def python(self, role, code, *arguments, **options):
        return self.start(role, [sys.executable, "-c", code, *map(str, arguments)], **options)

    def router(self, program, *more, internal="int0", external="ext0"):
        """Starts the router and waits for its word that packets flow."""
        log = open(self.folder / "router.log", "a")
        process = self.start("rt", [program, "--internal", internal, "--external", external, "--state",
                                    str(self.folder / "state"), "--control", str(self.folder / "control"),
                                    "--no-dhcp", "--no-dns", *more],
                             stdout=subprocess.PIPE, stderr=log)
        line = process.stdout.readline()
        if "ready" not in line:
            stop(process)
            raise RuntimeError("the router did not start: " + line + (self.folder / "router.log").read_text())
        return process

    def print_router_log(self):
        log = (self.folder / "router.log").read_text().strip()
        if log:
            print("the router said:", log[-2000:])

    def masquerade(self):
        self.sh("rt", "nft 'table ip bench { chain post { type nat hook postrouting priority 100; "
                      "oifname \"ext0\" masquerade; }; }'")

    def no_masquerade(self):
        self.sh("rt", "nft delete table ip bench")

    def host_state(self):
        """Everything about the router's host that a router might be tempted to change."""
        text = self.sh("rt", "ip -d addr; ip route show table all; ip rule; ip neigh show nud permanent; "
                             "tc qdisc; for i in int0 ext0; do tc filter show dev $i ingress; "
                             "tc filter show dev $i egress; done; nft list ruleset 2>/dev/null; "
                             "sysctl -a 2>/dev/null | grep -E '^net\\.(ipv4|core)' | "
                             "grep -vE 'stable_secret|inode|nr_|fs_|tcp_mem|udp_mem|metrics'; "
                             "ethtool -k int0 2>/dev/null; ethtool -k ext0 2>/dev/null")
        return "\n".join(line for line in text.splitlines() if "valid_lft" not in line)


def run(command):
    subprocess.run(command, check=True)


def stop(process, how=signal.SIGTERM, timeout=20):
    """Ends a process that this program started; its exit status."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout:
        process.stdout.close()
    return process.returncode


def wait_for(condition, timeout=10, every=0.05):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(every)
    return False


UDP_ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], int(sys.argv[2])))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(65535)
    s.sendto(data, peer)
"""

# Two hundred datagrams of growing size and one in fragments to UDP_ECHO: how many came back whole.
ECHO_CLIENT = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
good = 0
for i in range(200):
    data = bytes([i]) * (1 + i * 7)
    s.sendto(data, (sys.argv[1], 7))
    good += s.recvfrom(65535)[0] == data
s.sendto(b'x' * 9000, (sys.argv[1], 7))
good += len(s.recvfrom(65535)[0]) == 9000
print(good)
"""

TCP_ECHO = """
import socket, sys, threading
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(1024)
print('ready', flush=True)
def serve(c):
    with c:
        try:
            while data := c.recv(65536):
                c.sendall(data)
        except OSError:
            pass
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""

FILE_SERVER = """
import os, socket, sys, threading
path = sys.argv[3]
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen(64)
print('ready', flush=True)
def serve(c):
    with c, open(path, 'rb') as f:
        c.recv(65536)
        size = os.path.getsize(path)
        c.sendall(b'HTTP/1.0 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % size)
        sent = 0
        while sent < size:
            n = os.sendfile(c.fileno(), f.fileno(), sent, size - sent)
            if n == 0: break
            sent += n
        c.shutdown(socket.SHUT_WR)
        c.recv(1)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""
