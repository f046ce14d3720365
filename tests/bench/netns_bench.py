#!/usr/bin/env python3
"""underpassd beside nftables masquerade on the same veth pairs, in turns within the same run:
netns_bench.py UNDERPASSD NETNS_LOAD [--seconds 3] [--rounds 3] [--only WORD]

Prints the median of each figure and its ratio to nftables of the same round."""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "netns"))
from lab import Lab, WAN_HOST, need, stop, wait_for  # noqa: E402


def iperf(lab, seconds, *more):
    server = lab.start("srv", ["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    wait_for(lambda: ":5201" in lab.sh("srv", "ss -ltn"))
    out = json.loads(lab.sh("lan", f"iperf3 -c {WAN_HOST} -t {seconds} -J " + " ".join(more), timeout=seconds + 30))
    stop(server)
    return out["end"]["sum_received"]["bits_per_second"] / 1e9


def offloads(lab, state):
    for role in ("lan", "srv"):
        lab.sh(role, f"ethtool -K eth0 tso {state} gso {state} gro {state}")


def tcp_mtu(lab, load, seconds):
    offloads(lab, "off")
    try:
        return iperf(lab, seconds)
    finally:
        offloads(lab, "on")


def udp_small(lab, load, seconds):
    counter = lab.start("srv", [load, "count", "9", str(seconds + 0.5)], stdout=subprocess.PIPE)
    counter.stdout.readline()
    lab.sh("lan", f"{load} send {WAN_HOST} 9 {seconds} 18", timeout=seconds + 30)
    return int(counter.communicate(timeout=30)[0]) / seconds / 1e3


def served(command):
    def figure(lab, load, seconds):
        server = lab.start("srv", [load, "serve", WAN_HOST, "7"], stdout=subprocess.PIPE)
        server.stdout.readline()
        try:
            return command(lab, load, seconds)
        finally:
            stop(server)
    return figure


def connections(lab, load, seconds):
    made, failed = map(int, lab.sh("lan", f"{load} connect {WAN_HOST} 7 {seconds} 64", timeout=seconds + 30).split())
    if failed:
        print(f"  {failed} connections failed", flush=True)
    return made / seconds / 1e3


def round_trip(lab, load, seconds):
    return float(lab.sh("lan", f"{load} rtt {WAN_HOST} 7 {seconds}", timeout=seconds + 30).split()[0])


FIGURES = [
    ("TCP, GSO packets, up", "Gbit/s", lambda lab, load, s: iperf(lab, s)),
    ("TCP, GSO packets, down", "Gbit/s", lambda lab, load, s: iperf(lab, s, "-R")),
    ("TCP, MTU-size frames", "Gbit/s", tcp_mtu),
    ("UDP 64 B", "kpps", udp_small),
    ("new TCP connections", "k/s", served(connections)),
    ("round trip p50 (lower is better)", "us", served(round_trip)),
]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("underpassd")
    arguments.add_argument("load")
    arguments.add_argument("--seconds", type=int, default=3)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", default="", help="figures whose name contains this")
    options = arguments.parse_args()
    need("ip", "iperf3", "nft", "ethtool", "ss")
    load = str(pathlib.Path(options.load).resolve())
    figures = [f for f in FIGURES if options.only in f[0]]
    ours, theirs = ({name: [] for name, *_ in figures} for _ in range(2))
    with Lab("upbench") as lab:
        for _ in range(options.rounds):
            for name, _unit, measure in figures:
                process = lab.router(options.underpassd)
                ours[name].append(measure(lab, load, options.seconds))
                stop(process)
                lab.masquerade()
                theirs[name].append(measure(lab, load, options.seconds))
                lab.no_masquerade()
    print(f"{'':34} {'underpassd':>12} {'nftables':>12}  ratio")
    for name, unit, _ in figures:
        ratio = statistics.median(a / b for a, b in zip(ours[name], theirs[name]))
        print(f"{name:34} {statistics.median(ours[name]):8.2f} {unit:<8} "
              f"{statistics.median(theirs[name]):8.2f} {unit:<8} {ratio:.2f}")


if __name__ == "__main__":
    sys.exit(main())
