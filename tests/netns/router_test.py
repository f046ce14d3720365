#!/usr/bin/env python3
"""Real programs through the real router: router_test.py UNDERPASSD [--size MB]

One line per check; exit status 1 if one failed, 77 if the machine cannot run it."""
import argparse
import contextlib
import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import time

from lab import (ECHO_CLIENT, FAR, FILE_SERVER, LAN_HOST, LAN_ROUTER, Lab, TCP_ECHO, UDP_ECHO, WAN_HOST,
                 WAN_ROUTER, need, stop, wait_for)

failures = 0


def check(name, good, detail=""):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}{': ' + str(detail) if detail != '' else ''}", flush=True)


def ready(process):
    return "ready" in process.stdout.readline()


def make_file(path, megabytes):
    """A file that cannot be compressed or guessed, and its SHA-256."""
    digest = hashlib.sha256()
    block = hashlib.shake_128(b"underpass").digest(1 << 20)
    with open(path, "wb") as out:
        for i in range(megabytes):
            piece = i.to_bytes(8, "big") + block[8:]
            out.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def traffic(lab, megabytes):
    big = lab.folder / "big"
    wanted = make_file(big, megabytes)
    servers = [lab.python("srv", FILE_SERVER, FAR, 80, big, stdout=subprocess.PIPE),
               lab.python("srv", UDP_ECHO, WAN_HOST, 7, stdout=subprocess.PIPE),
               lab.python("srv", TCP_ECHO, WAN_HOST, 7, stdout=subprocess.PIPE)]
    for server in servers:
        ready(server)
    leaks = lab.start("srv", ["tcpdump", "-ni", "eth0", "-c", "1", "src net 192.168.0.0/16 and not arp"],
                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    all_back, out = lab.pings("lan", WAN_HOST, 20)
    check("ping", all_back, re.findall(r"rtt.*", out))
    check("ping in fragments", lab.pings("lan", WAN_HOST, 3, "-s 4000")[0])

    # The router's own download at the same time as the device's.
    begun = time.monotonic()
    own = lab.start("rt", ["sh", "-c", f"curl -s http://{FAR}/ | sha256sum"], stdout=subprocess.PIPE)
    digest = lab.sh("lan", f"curl -s http://{FAR}/ | sha256sum", timeout=300).split()[0]
    seconds = time.monotonic() - begun
    check(f"curl {megabytes} MB, SHA-256 equal", digest == wanted, f"{megabytes * 8 / 1000 / seconds:.1f} Gbit/s")
    check("curl on the router itself meanwhile, SHA-256 equal", own.communicate(timeout=300)[0].split()[0] == wanted)

    out = lab.python("lan", ECHO_CLIENT, WAN_HOST, stdout=subprocess.PIPE).communicate(timeout=120)[0].strip()
    check("UDP echo, 200 datagrams and one in fragments", out == "201", out)

    # Gigabits, even where much else is going on; where large packets are lost it crawls, far below the limit.
    def serve():
        server = lab.start("srv", ["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
        wait_for(lambda: ":5201 " in lab.sh("srv", "ss -ltn"), 60)
        return server
    server = serve()
    result = json.loads(lab.sh("lan", f"iperf3 -c {WAN_HOST} -t 2 -J", timeout=120))
    rate = result["end"]["sum_received"]["bits_per_second"]
    check("iperf3 up", rate > 1e7, f"{rate / 1e9:.1f} Gbit/s")
    stop(server)
    server = serve()
    result = json.loads(lab.sh("lan", f"iperf3 -c {WAN_HOST} -t 2 -R -P 4 -J", timeout=120))
    rate = result["end"]["sum_received"]["bits_per_second"]
    check("iperf3 down, four connections", rate > 1e7, f"{rate / 1e9:.1f} Gbit/s")
    stop(server)

    for how, name in (("-U", "UDP"), ("-I", "ICMP")):
        out = lab.sh("lan", f"traceroute -n -w 10 -q 1 -m 4 {how} {FAR}", check=False)
        hops = re.findall(r"^ *\d+ +(\S+)", out, re.M)
        check(f"traceroute by {name}", hops[:2] == [LAN_ROUTER, FAR] or hops[:2] == [LAN_ROUTER, WAN_HOST], hops)

    leaked = leaks.poll() is not None
    stop(leaks)
    check("nothing left untranslated", not leaked)


def host_beside(lab):
    """The host's own services and connections on the addresses that the router uses too."""
    for address, port in ((LAN_ROUTER, 2222), (WAN_ROUTER, 8022)):
        ready(lab.python("rt", TCP_ECHO, address, port, stdout=subprocess.PIPE))
    probe = "import socket,sys; s=socket.create_connection((sys.argv[1],int(sys.argv[2])),5); s.sendall(b'hi'); print(s.recv(9))"

    def answers(role, address, port):
        return "hi" in (lab.python(role, probe, address, port, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL).communicate(timeout=60)[0] or "")
    check("a service of the host, from inside", answers("lan", LAN_ROUTER, 2222))
    # A port in the router's range that the host has just bound is noticed within ten seconds.
    check("a service of the host, from outside", wait_for(lambda: answers("srv", WAN_ROUTER, 8022), 60, 1))
    check("ping to the host, both sides", lab.pings("lan", LAN_ROUTER)[0] and lab.pings("srv", WAN_ROUTER)[0])
    check("ping by the host", lab.pings("rt", WAN_HOST, 5)[0])
    out = lab.sh("srv", f"ip route add 192.168.5.0/24 via {WAN_ROUTER}; ping -c 3 -i 0.1 -W 1 {LAN_HOST}; "
                        "ip route del 192.168.5.0/24", check=False)
    check("nobody outside reaches inside, though ip_forward is on", " 100% packet loss" in out)


def low_ports(lab):
    """IKE and NFS speak from ports below 1024, and are mapped below 1024: the host must not answer for them."""
    def complaints():
        text = lab.sh("rt", "nstat -asz IcmpOutDestUnreachs TcpOutRsts")
        return sum(int(count) for count in re.findall(r"(?:Unreachs|Rsts)\s+(\d+)", text))
    ready(lab.python("srv", UDP_ECHO, WAN_HOST, 500, stdout=subprocess.PIPE))
    before = complaints()
    probe = ("import socket,sys; s=socket.socket(type=int(sys.argv[1])); s.settimeout(20); s.bind(('', int(sys.argv[2]))); "
             "s.connect((sys.argv[3], int(sys.argv[4]))); print(all([s.send(b'hi') and s.recv(9) for _ in range(20)]))")
    for name, kind, port, far in (("UDP", 2, 500, 500), ("TCP", 1, 700, 7)):
        said = lab.python("lan", probe, kind, port, WAN_HOST, far, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL).communicate(timeout=60)[0]
        check(f"{name} from port {port}", "True" in (said or ""))
    check("the host did not answer for them", complaints() == before, complaints() - before)


# So many connections, a certain number of them at a time: how many had their answer, how many did not.
HAMMER = """
import selectors, socket, sys, time
target, left, width = (sys.argv[1], int(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4])
sel, made, failed = selectors.DefaultSelector(), 0, 0
def begin():
    global left
    left -= 1
    s = socket.socket(); s.setblocking(False)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\\1\\0\\0\\0\\0\\0\\0\\0')
    s.connect_ex(target); sel.register(s, selectors.EVENT_WRITE, 0)
for _ in range(width): begin()
end = time.monotonic() + 100
while sel.get_map() and time.monotonic() < end:
    for key, _ in sel.select(0.1):
        s = key.fileobj
        if key.data == 0:
            if s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR): failed += 1
            else:
                try:
                    s.send(b'x'); sel.modify(s, selectors.EVENT_READ, 1); continue
                except OSError: failed += 1
        else:
            try: ok = s.recv(1) == b'x'
            except OSError: ok = False
            made += ok; failed += not ok
        sel.unregister(s); s.close()
        if left: begin()
print(made, failed + left + len(sel.get_map()))
"""


def resets(lab):
    """Connections through the router, 64 in flight at a time, and 16 of the host's own, side by side."""
    def sent():
        return int(re.search(r"TcpOutRsts\s+(\d+)", lab.sh("rt", "nstat -asz TcpOutRsts")).group(1))
    watch = lab.start("srv", ["tcpdump", "-ni", "eth0", "--immediate-mode", "-w", str(lab.folder / "rst.pcap"),
                              f"tcp[tcpflags] & tcp-rst != 0 and src host {WAN_ROUTER} and dst port 7"],
                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    before = sent()
    through = lab.python("lan", HAMMER, WAN_HOST, 7, 6000, 64, stdout=subprocess.PIPE)
    own = lab.python("rt", HAMMER, WAN_HOST, 7, 1500, 16, stdout=subprocess.PIPE)
    made, failed = map(int, through.communicate(timeout=120)[0].split())
    own_made, own_failed = map(int, own.communicate(timeout=120)[0].split())
    stop(watch)
    # The host ends its own connections by reset (SO_LINGER 0), each once: those are its business. A segment that the
    # other side sent a second time is answered with another.
    foreign = sent() - before - own_made
    check("64 connections in flight: made / failed", made == 6000 and failed == 0, f"{made} / {failed}")
    check("the host's own meanwhile: made / failed", own_made == 1500 and own_failed == 0, f"{own_made} / {own_failed}")
    check("resets by the host for connections that are not its own", abs(foreign) <= 16, foreign)


def follows(lab):
    """The address, the link and the card itself change under the router's feet."""
    def pings():
        return wait_for(lambda: " 0% packet loss" in lab.sh("lan", f"ping -c 1 -W 1 {WAN_HOST}", check=False), 60, 0.2)
    lab.sh("rt", f"ip addr add 203.0.113.77/24 dev ext0 && ip addr del {WAN_ROUTER}/24 dev ext0 && "
                 f"ip addr flush dev ext0 && ip addr add 203.0.113.77/24 dev ext0 && "
                 f"ip route replace default via {WAN_HOST}")
    check("another external address", pings())
    lab.sh("rt", f"ip addr flush dev ext0; ip addr add {WAN_ROUTER}/24 dev ext0; ip route replace default via {WAN_HOST}")
    check("the first address again", pings())
    lab.sh("rt", "ip link set ext0 down; sleep 0.3; ip link set ext0 up; "
                 f"ip route replace default via {WAN_HOST}; ip link set int0 down; sleep 0.3; ip link set int0 up")
    check("both links down and up", pings())
    srv = lab.names["srv"]
    lab.sh("rt", "ip link del ext0")
    time.sleep(0.5)
    lab.sh("rt", f"ip link add ext0 type veth peer name eth0 netns {srv} && ip addr add {WAN_ROUTER}/24 dev ext0 && "
                 "ip link set ext0 up")
    lab.sh("srv", f"ip addr add {WAN_HOST}/24 dev eth0 && ip link set eth0 up")
    lab.sh("rt", f"ip route replace default via {WAN_HOST}")
    check("the external card pulled out and put back", pings())
    guarded = wait_for(lambda: "underpass_ex" in lab.sh("rt", "tc filter show dev ext0 ingress"), 60)
    check("and guarded again", guarded)


def survives(lab, program, process, before):
    """kill -9, start again, stop: the connection lives on and the host is as it was."""
    # Ten ticks a second; how many have come back, for every line that is asked.
    code = """
import socket, sys, threading, time
s = socket.create_connection((sys.argv[1], 7), 20)
s.settimeout(60)
count = 0
def tick():
    global count
    while True:
        s.sendall(b'tick')
        assert s.recv(64)
        count += 1
        time.sleep(0.1)
threading.Thread(target=tick, daemon=True).start()
for _ in sys.stdin: print(count, flush=True)
"""
    client = lab.python("lan", code, WAN_HOST, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ticks():
        client.stdin.write("how\n")
        client.stdin.flush()
        return int(client.stdout.readline())

    def saved():
        with contextlib.suppress(FileNotFoundError):
            return (lab.folder / "state" / "sessions").stat().st_mtime_ns
    check("a connection lives", wait_for(lambda: ticks() > 5, 60))
    # What is saved now may have been begun before; the next one has the connection.
    for _ in range(2):
        last = saved()
        check("the state is saved", wait_for(lambda: saved() not in (None, last), 120))
    stop(process, signal.SIGKILL)
    check("after kill -9 the journal is there", (lab.folder / "state" / "host_journal").exists())
    time.sleep(0.3)
    process = lab.router(program)
    before_it = ticks()
    check("a connection outlives kill -9 and restart", wait_for(lambda: ticks() > before_it + 20, 90),
          f"{before_it} ticks, then {ticks() - before_it} more")
    stop(client)
    status = stop(process)
    check("SIGTERM ends it cleanly", status == 0, status)
    after = lab.host_state()
    check("the host is as it was, after kill -9, restart and stop", before == after)
    return process


def wrong_input(lab, program):
    lab.sh("rt", "ip link add bare type veth peer name bare2 && ip link set bare up")
    lab.folder.chmod(0o755)
    (lab.folder / "other").mkdir(mode=0o777)
    (lab.folder / "other").chmod(0o777)
    state = str(lab.folder / "other")

    def refused(name, arguments, prefix=()):
        done = subprocess.run(lab.inside("rt", [*prefix, program, *arguments, "--state", state, "--no-dhcp", "--no-dns"]),
                              text=True, capture_output=True, timeout=60)
        lines = (done.stderr + done.stdout).strip().splitlines()
        check(f"refused: {name}", done.returncode == 2 and len(lines) == 1, lines)
    refused("unknown interface", ["--internal", "int0", "--external", "nope0"])
    refused("same interface twice", ["--internal", "int0", "--external", "int0"])
    refused("no address", ["--internal", "bare", "--external", "ext0"])
    refused("loopback", ["--internal", "lo", "--external", "ext0"])
    refused("no privilege", ["--internal", "int0", "--external", "ext0"],
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    running = lab.router(program)
    refused("interface already held", ["--internal", "int0", "--external", "ext0"])
    stop(running)
    lab.sh("rt", "ip link del bare")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("underpassd")
    arguments.add_argument("--size", type=int, default=1024, help="megabytes to download")
    options = arguments.parse_args()
    need("ip", "tc", "curl", "ping", "iperf3", "traceroute", "tcpdump", "nft", "setpriv", "sha256sum")
    with Lab("upnet") as lab:
        before = lab.host_state()
        process = lab.router(options.underpassd)
        try:
            traffic(lab, options.size)
            host_beside(lab)
            low_ports(lab)
            resets(lab)
            survives(lab, options.underpassd, process, before)
            wrong_input(lab, options.underpassd)
            process = lab.router(options.underpassd)
            follows(lab)
            check("SIGTERM ends it cleanly", stop(process) == 0)
            check("no program of ours is left", "underpass" not in lab.host_state())
            check("the journal is empty at the end", not (lab.folder / "state" / "host_journal").exists())
        finally:
            lab.print_router_log()
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
