#!/usr/bin/env python3
"""Memory of underpassd with many live sessions: memory.py UNDERPASSD UNDERPASSCTL [--sessions 100000] [--limit 100]

Twenty devices, four servers' ports per source port, every flow answered, through the real program on veth pairs.
Exit status 1 if more than --limit megabytes (of 10^6 octets) are resident, or if the sessions are not there."""
import argparse
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "netns"))
from lab import UDP_ECHO, WAN_HOST, Lab, need  # noqa: E402

DEVICES, SERVERS = 20, 4
SOURCE = """
import socket, struct, sys, time
devices, ports, servers, target = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for port in range(ports):
    for device in range(devices):
        for server in range(servers):
            source = socket.inet_aton(f'192.168.5.{10 + device}')
            # An absent UDP checksum is a checksum; the kernel fills in the header's.
            udp = struct.pack('!HHHH', 2000 + port, 7000 + server, 12, 0) + b'ping'
            raw.sendto(struct.pack('!BBHHHBBH4s4s', 69, 0, 32, 0, 0, 64, 17, 0, source,
                                   socket.inet_aton(target)) + udp, (target, 0))
    if port % 4 == 0: time.sleep(0.005)
"""


def memory(process):
    """Octets: resident now, at the most, and how much of it in large pages."""
    found = {}
    for file in ("status", "smaps_rollup"):
        for line in open(f"/proc/{process}/{file}"):
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                found[words[0].rstrip(":")] = int(words[1]) * 1024
    return found["VmRSS"], found["VmHWM"], found["AnonHugePages"]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("underpassd")
    arguments.add_argument("underpassctl")
    arguments.add_argument("--sessions", type=int, default=100000)
    arguments.add_argument("--limit", type=float, default=100, help="megabytes")
    options = arguments.parse_args()
    need("ip")
    ports = -(-options.sessions // (DEVICES * SERVERS))
    with Lab("upmem") as lab:
        for device in range(1, DEVICES):
            lab.sh("lan", f"ip addr add 192.168.5.{10 + device}/24 dev eth0")
        for server in range(SERVERS):
            lab.python("srv", UDP_ECHO, WAN_HOST, 7000 + server, stdout=subprocess.PIPE).stdout.readline()
        router = lab.router(options.underpassd)

        def status():
            return json.loads(lab.sh("rt", f"{options.underpassctl} --control {lab.folder}/control --json status"))

        def show(what):
            resident, most, large = memory(router.pid)
            print(f"{what}: {resident / 1e6:.1f} MB resident, {most / 1e6:.1f} MB at the most, "
                  f"{large / 1e6:.1f} MB of it in large pages", flush=True)
            return most
        show("no sessions")
        live, most, end = 0, 0, time.monotonic() + 90
        # Once more for what was lost on the way.
        while live < options.sessions and time.monotonic() < end:
            lab.python("lan", SOURCE, DEVICES, ports, SERVERS, WAN_HOST).wait(60)
            live = status()["sessions"]
            most = max(most, show(f"{live} sessions"))
        time.sleep(12)  # the state has been saved twice by now
        live = status()["sessions"]
        most = max(most, show(f"{live} sessions, twelve seconds later"))
    good = live >= options.sessions and most <= options.limit * 1e6
    print("ok" if good else "FAIL", f"{live} sessions in at most {most / 1e6:.1f} MB")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
