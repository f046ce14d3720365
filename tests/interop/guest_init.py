#!/usr/bin/python3
"""Process 1 of a User-Mode Linux guest: sets the machine up, then runs what the console asks for.

One JSON object per line: {"id", "sh", "background"} or {"id", "echo", "octets"} in, {"id", "rc", "out"} out. The
root file system is the host's own, read-only; everything that must be writable is a tmpfs. The echo server and
its client run in here, because starting another Python takes such a machine seconds.
"""
import base64
import json
import os
import subprocess
import sys
import termios
import threading
import tty

import echo


def quiet(*command):
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def set_up():
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    options = dict(part.split("=", 1) for part in os.environ.get("guest", "").split(",") if "=" in part)
    quiet("mount", "-t", "proc", "proc", "/proc")
    quiet("mount", "-t", "sysfs", "sys", "/sys")
    quiet("mount", "-t", "devtmpfs", "dev", "/dev")
    for folder in ("/dev/pts", "/dev/shm"):
        os.makedirs(folder, exist_ok=True)
    quiet("mount", "-t", "devpts", "devpts", "/dev/pts")
    quiet("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    # Kept in sight before what may hold them is covered.
    for name, folder in (("interop", os.path.dirname(os.path.abspath(__file__))), ("programs", options["programs"])):
        os.makedirs("/run/" + name)
        quiet("mount", "--bind", folder, "/run/" + name)
    for folder in ("/dev/shm", "/tmp", "/var/tmp", "/var/log", "/etc/ppp"):
        quiet("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    os.makedirs("/run/modules/lib", exist_ok=True)
    for folder in ("/run/lock", "/run/xl2tpd", "/run/sstpc", "/run/pluto/nss", "/etc/ppp/peers", "/etc/ppp/ip-up.d"):
        os.makedirs(folder, exist_ok=True)
    open("/etc/ppp/options", "w").close()
    # The guest kernel's modules are not where the host's are.
    os.symlink("/usr/lib/uml/modules", "/run/modules/lib/modules")
    with open("/run/modprobe", "w") as script:
        script.write('#!/bin/sh\nexec /sbin/modprobe -d /run/modules "$@"\n')
    os.chmod("/run/modprobe", 0o755)
    with open("/proc/sys/kernel/modprobe", "w") as path:
        path.write("/run/modprobe")
    quiet("ip", "link", "set", "lo", "up")
    quiet("ip", "link", "set", "vec0", "name", "eth0")
    quiet("ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off")
    quiet("ip", "link", "set", "eth0", "up")
    quiet("ip", "addr", "add", options["address"] + "/24", "dev", "eth0")
    quiet("ip", "route", "add", "default", "via", options["gateway"])
    quiet("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")


def answer(lock, reply):
    with lock:
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def run(lock, order):
    if order.get("echo"):
        word = echo.verdict(order["echo"], order["octets"])
        answer(lock, {"id": order["id"], "rc": int(word != "same"), "out": base64.b64encode(word.encode()).decode()})
        return
    if order.get("background"):
        with open("/run/" + order["background"] + ".log", "wb") as log:
            subprocess.Popen(["sh", "-c", order["sh"]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             start_new_session=True)
        answer(lock, {"id": order["id"], "rc": 0, "out": ""})
        return
    done = subprocess.run(["sh", "-c", order["sh"]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    answer(lock, {"id": order["id"], "rc": done.returncode,
                  "out": base64.b64encode(done.stdout[-20000:]).decode()})


def main():
    if termios:
        tty.setraw(0)
    set_up()
    threading.Thread(target=echo.serve, daemon=True).start()
    lock = threading.Lock()
    answer(lock, {"id": 0, "rc": 0, "out": ""})
    for line in sys.stdin:
        line = line.strip()
        if line.startswith("{"):
            threading.Thread(target=run, args=(lock, json.loads(line)), daemon=True).start()


main()
