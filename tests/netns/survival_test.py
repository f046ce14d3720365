#!/usr/bin/env python3
"""What live connections go through: survival_test.py UNDERPASSD

A TCP connection and a UDP flow of one device run while the external address, the links and the router itself
go and come back. One line per check; exit status 1 if one failed, 77 if the machine cannot run it."""
import json
import pathlib
import signal
import subprocess
import sys
import time

from lab import FAR, TCP_ECHO, WAN_HOST, WAN_ROUTER, Lab, need, stop, wait_for

failures = 0
SECOND = "203.0.113.77"

# Answers with the endpoint it sees.
MIRROR = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 9))
print('ready', flush=True)
while True:
    _, peer = s.recvfrom(65535)
    try: s.sendto(('%s:%d' % peer).encode(), peer)
    except OSError: pass  # no way back: the host forwards as it likes while there is no router
"""

# One TCP connection and one UDP socket, twenty times a second, until standard input ends. Says how it stands for
# every line of it, and at the end.
FLOWS = """
import json, socket, sys, threading, time
host, over = sys.argv[1], threading.Event()
told = {'tcp': 0, 'tcpError': None, 'tcpErrorAt': 0, 'udp': [], 'udpRounds': 0, 'udpGap': 0}
def tcp():
    s = socket.create_connection((host, 7), 5)
    s.settimeout(60)
    print('ready', flush=True)
    while not over.is_set():
        try:
            s.sendall(b'tick')
            if not s.recv(64): raise OSError('closed')
            told['tcp'] += 1
        except OSError as problem:
            told['tcpError'], told['tcpErrorAt'] = type(problem).__name__, time.monotonic()
            return
        over.wait(0.05)
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('', 4000))
    s.settimeout(0.1)
    last = time.monotonic()
    while not over.is_set():
        try:
            s.sendto(b'who', (host, 9))
            seen = s.recvfrom(64)[0].decode()
            told['udpGap'] = max(told['udpGap'], time.monotonic() - last)
            last = time.monotonic()
            told['udpRounds'] += 1
            if seen not in told['udp']: told['udp'].append(seen)
        except OSError:
            pass
        over.wait(0.05)
    told['udpGap'] = max(told['udpGap'], time.monotonic() - last)
threads = [threading.Thread(target=f) for f in (udp, tcp)]
for t in threads: t.start()
for _ in sys.stdin: print(json.dumps(told), flush=True)
over.set()
for t in threads: t.join()
print(json.dumps(told))
"""


def check(name, good, detail=""):
    global failures
    failures += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}{': ' + str(detail) if detail != '' else ''}", flush=True)


class Flows:
    def __init__(self, lab):
        self.client = lab.python("lan", FLOWS, WAN_HOST, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
        if "ready" not in self.client.stdout.readline() or not self.go_on():
            raise RuntimeError("the flows did not start")

    def stand(self):
        self.client.stdin.write("how\n")
        self.client.stdin.flush()
        return json.loads(self.client.stdout.readline())

    def until(self, wanted, timeout=60):
        """Whether they come to stand so, within a time that even a busy machine keeps."""
        return wait_for(lambda: wanted(self.stand()), timeout, 0.1)

    def go_on(self):
        """Whether both have data again, some rounds of it."""
        begun = self.stand()
        return self.until(lambda now: now["tcpError"] or now["tcp"] > begun["tcp"] + 5
                          and now["udpRounds"] > begun["udpRounds"] + 5)

    def end(self):
        out, _ = self.client.communicate("", timeout=90)
        return json.loads(out.strip().splitlines()[-1])


def kept(name, flows, gap=20):
    """Nobody has noticed more than a pause: the same connection, the same external endpoint, both with data again.
    The longest pause is a few seconds; a machine that has much else to do may take some more."""
    again = flows.go_on()
    told = flows.end()
    check(f"{name}: the TCP connection lives", again and told["tcpError"] is None,
          told["tcpError"] or f"{told['tcp']} rounds")
    check(f"{name}: the UDP flow keeps its endpoint", again and len(told["udp"]) == 1 and told["udpGap"] < gap,
          f"{told['udp']}, longest pause {told['udpGap']:.2f} s")


def main():
    program = sys.argv[1]
    ctl = str(pathlib.Path(program).parent / "underpassctl")
    need("ip", "ping", "nft", "tc")
    with Lab("upsurv") as lab:
        for code, *arguments in ((TCP_ECHO, WAN_HOST, 7), (MIRROR, WAN_HOST)):
            server = lab.python("srv", code, *arguments, stdout=subprocess.PIPE)
            server.stdout.readline()

        def rt(command):
            lab.sh("rt", command)

        def route():
            rt(f"ip route replace default via {WAN_HOST}")

        def pings(seconds=60):
            return wait_for(lambda: " 0% packet loss" in lab.sh("lan", f"ping -c 1 -W 1 {WAN_HOST}", check=False),
                            seconds, 0.2)

        def told_by_ctl(*words):
            return subprocess.run(lab.inside("rt", [ctl, "--control", str(lab.folder / "control"), *words]), text=True,
                                  capture_output=True, timeout=60).stdout
        try:
            process = lab.router(program)
            check("before anything happens", pings())

            flows = Flows(lab)
            rt("ip link set ext0 down; sleep 1; ip link set ext0 up")
            route()
            kept("external link down for a second", flows)

            flows = Flows(lab)
            rt("ip link set int0 down; sleep 1; ip link set int0 up")
            kept("internal link down for a second", flows)

            flows = Flows(lab)
            rt(f"ip addr del {WAN_ROUTER}/24 dev ext0; sleep 2; ip addr add {WAN_ROUTER}/24 dev ext0")
            route()
            kept("external address gone for two seconds", flows)

            flows = Flows(lab)
            rt(f"ip addr add {SECOND}/24 dev ext0; ip addr del {WAN_ROUTER}/24 dev ext0; "
               f"ip addr flush dev ext0; ip addr add {SECOND}/24 dev ext0")
            changed = time.monotonic()
            route()
            flows.until(lambda now: now["tcpError"] and len(now["udp"]) > 1)
            told = flows.end()
            # By a reset, not by giving up after a minute.
            check("another external address: the inside of a TCP connection is told",
                  told["tcpError"] == "ConnectionResetError" and told["tcpErrorAt"] - changed < 20,
                  f"{told['tcpError']} after {told['tcpErrorAt'] - changed:.2f} s")
            check("another external address: the UDP flow goes on from there",
                  len(told["udp"]) == 2 and told["udp"][-1].startswith(SECOND + ":") and told["udpGap"] < 20,
                  f"{told['udp']}, longest pause {told['udpGap']:.2f} s")
            rt(f"ip addr flush dev ext0; ip addr add {WAN_ROUTER}/24 dev ext0")
            route()
            # Until the router has noticed, pings still pass by the second one.
            check("the first address again", wait_for(lambda: WAN_ROUTER in told_by_ctl("status"), 60, 0.1) and pings())

            flows = Flows(lab)
            process.send_signal(signal.SIGSTOP)
            time.sleep(3)
            process.send_signal(signal.SIGCONT)
            kept("router asleep for three seconds", flows)

            flows = Flows(lab)
            check("SIGTERM ends it cleanly", stop(process) == 0)
            time.sleep(0.5)
            process = lab.router(program)
            kept("router ended and started again", flows)

            # RFC 4787 REQ-7: while both networks conflict there is no way out, and everybody is told.
            rt("ip addr flush dev ext0; ip addr add 192.168.5.77/24 dev ext0")
            out = [""]

            def refused():
                out[0] = lab.sh("lan", f"ping -c 1 -W 1 {FAR}", check=False)
                return "Destination Host Unreachable" in out[0]
            check("the external network becomes the internal one: refused and told", wait_for(refused, 60, 0.3),
                  out[0].strip().splitlines()[1:2])
            check("and counted", "ExternalDown" in told_by_ctl("counters"))
            rt(f"ip addr flush dev ext0; ip addr add {WAN_ROUTER}/24 dev ext0")
            route()
            check("and over with it", pings())
            check("SIGTERM ends it cleanly", stop(process) == 0)
        finally:
            lab.print_router_log()
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
