#!/usr/bin/env python3
"""Every way to open a card, with real traffic both ways: device_test.py UNDERPASSD [--size MB]

AF_PACKET and libpcap on veth pairs whose offloads are on, and an external card without Ethernet (a TUN interface
whose other end is a program). One line per check; exit status 1 if one failed, 77 if the machine cannot run it."""
import argparse
import hashlib
import subprocess
import sys
import time

from lab import ECHO_CLIENT, FAR, FILE_SERVER, Lab, UDP_ECHO, WAN_HOST, WAN_ROUTER, need, stop

failures = 0

# Carries packets between a TUN interface of the router's host and one of the server, each opened in its own
# network namespace; without offloads, as on a line that has none.
LINE = """
import ctypes, fcntl, os, select, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
ends = []
for name, card in zip(sys.argv[1::2], sys.argv[2::2]):
    with open('/run/netns/' + name) as space:
        if libc.setns(space.fileno(), 0x40000000): raise OSError(ctypes.get_errno(), name)
    end = os.open('/dev/net/tun', os.O_RDWR)
    fcntl.ioctl(end, 0x400454ca, struct.pack('16sH22x', card.encode(), 0x1001))
    ends.append(end)
print('ready', flush=True)
while True:
    for end in select.select(ends, [], [])[0]:
        packet = os.read(end, 65536)
        try:
            os.write(ends[1 - ends.index(end)], packet)
        except OSError:
            pass
"""

UPLOAD = """
import hashlib, socket, sys
s = socket.socket()
s.bind((sys.argv[1], 99))
s.listen()
print('ready', flush=True)
c, digest = s.accept()[0], hashlib.sha256()
while data := c.recv(1 << 20): digest.update(data)
print(digest.hexdigest(), flush=True)
"""

SEND = """
import socket, sys
with socket.create_connection((sys.argv[1], 99), 10) as s, open(sys.argv[2], 'rb') as file: s.sendfile(file)
"""


def check(name, good, detail=""):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}{': ' + str(detail) if detail != '' else ''}", flush=True)


def both_ways(lab, name, file, digest):
    """Downloads, uploads, datagrams and fragments by programs that know nothing of us."""
    check(f"{name}: ping", lab.pings("lan", WAN_HOST, 10)[0])
    begun = time.monotonic()
    got = lab.sh("lan", f"curl -s -m 100 http://{FAR}/ | sha256sum", timeout=120).split()[0]
    rate = file.stat().st_size * 8 / (time.monotonic() - begun) / 1e9
    check(f"{name}: download, SHA-256 equal", got == digest, f"{rate:.2f} Gbit/s")
    server = lab.python("srv", UPLOAD, WAN_HOST, stdout=subprocess.PIPE)
    server.stdout.readline()
    begun = time.monotonic()
    lab.python("lan", SEND, WAN_HOST, file).wait(120)
    got = server.communicate(timeout=60)[0].strip()
    rate = file.stat().st_size * 8 / (time.monotonic() - begun) / 1e9
    check(f"{name}: upload, SHA-256 equal", got == digest, f"{rate:.2f} Gbit/s")
    out = lab.python("lan", ECHO_CLIENT, WAN_HOST, stdout=subprocess.PIPE).communicate(timeout=120)[0].strip()
    check(f"{name}: 200 datagrams and one in fragments, there and back", out == "201", out)


def ethernet(lab, program, file, digest):
    before = lab.host_state()
    for kind in ("native", "pcap"):
        process = lab.router(program, "--device", kind)
        both_ways(lab, kind, file, digest)
        check(f"{kind}: ends cleanly", stop(process) == 0 and lab.host_state() == before)


def without_ethernet(lab, program, file, digest):
    rt, srv = lab.names["rt"], lab.names["srv"]
    for role in ("rt", "srv"):
        lab.sh(role, "ip link set " + ("ext0" if role == "rt" else "eth0") + " down")
        lab.sh(role, "ip addr flush dev " + ("ext0" if role == "rt" else "eth0"))
    line = subprocess.Popen([sys.executable, "-c", LINE, rt, "line0", srv, "line0"], text=True, stdout=subprocess.PIPE)
    lab.processes.append(line)
    line.stdout.readline()
    lab.sh("rt", f"ip addr add {WAN_ROUTER}/24 dev line0 && ip link set line0 up && ip route replace default dev line0")
    lab.sh("srv", f"ip addr add {WAN_HOST}/24 dev line0 && ip link set line0 up")
    process = lab.router(program, external="line0")
    both_ways(lab, "no Ethernet", file, digest)
    check("no Ethernet: the host's own traffic beside it", lab.pings("rt", WAN_HOST, 3)[0])
    check("no Ethernet: ends cleanly", stop(process) == 0)
    check("no Ethernet: no program of ours is left", "underpass" not in lab.sh("rt", "tc filter show dev line0 ingress"))
    done = subprocess.run(lab.inside("rt", [program, "--internal", "int0", "--external", "line0", "--device", "pcap",
                                            "--state", str(lab.folder / "state"), "--control",
                                            str(lab.folder / "control")]), text=True, capture_output=True, timeout=60)
    check("no Ethernet: refused by pcap in one sentence",
          done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr.strip())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("underpassd")
    arguments.add_argument("--size", type=int, default=64, help="megabytes to move each way")
    options = arguments.parse_args()
    need("ip", "tc", "curl", "ping", "nft", "sha256sum")
    with Lab("updev") as lab:
        file = lab.folder / "file"
        file.write_bytes(hashlib.shake_128(b"underpass devices").digest(options.size << 20))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        for code, more in ((FILE_SERVER, (FAR, 80, file)), (UDP_ECHO, (WAN_HOST, 7))):
            lab.python("srv", code, *more, stdout=subprocess.PIPE).stdout.readline()
        ethernet(lab, options.underpassd, file, digest)
        without_ethernet(lab, options.underpassd, file, digest)
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
