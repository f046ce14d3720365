"""One function per VPN: two clients to one and the same server, real data through both tunnels at once."""
from dataclasses import dataclass, field
from typing import Callable

import programs
from world import (GUEST_SERVER, LAN, ROUTER_LAN, ROUTER_WAN, SERVER, Failed, echo_together, limit,
                   serve_echo, together, until)

PPP_COMMON = """nodefaultroute
mtu 1400
mru 1400
lcp-echo-interval 10
lcp-echo-failure 6
nodetach
"""


def ppp_address(guest):
    return guest.sh("ip -4 -br a | sed -n 's/^ppp[0-9]* .* \\([0-9.]*\\) peer.*/\\1/p'").strip()


def ppp_up(guest, seconds=120):
    until(limit(seconds), f"{guest.name}: no PPP link came up",
          lambda: "peer" in guest.sh("ip -4 -br a | grep '^ppp' || true"))


def secrets(guest):
    guest.write("/etc/ppp/chap-secrets", "one * secret1 *\ntwo * secret2 *")
    guest.sh("for m in ppp_async ppp_synctty ppp_mppe; do /run/modprobe $m; done")


def pptp(world):
    """PPTP with MS-CHAPv2 and MPPE: pptp-linux against pptpd."""
    server, *clients = world.vpn_guests()
    together(secrets, (server, *clients))
    server.write("/etc/ppp/pptpd-options", "name pptpd\nauth\nrequire-mschap-v2\nrequire-mppe-128\n"
                 "refuse-pap\nrefuse-chap\nrefuse-mschap\nnodefaultroute\nmtu 1400\nmru 1400")
    server.write("/run/pptpd.conf", "option /etc/ppp/pptpd-options\nlocalip 10.71.0.1\nremoteip 10.71.0.101-120")
    server.start("pptpd", "pptpd -f -c /run/pptpd.conf")
    until(60, "pptpd does not listen", lambda: ":1723" in server.sh("ss -ltn"))
    for client, user in zip(clients, ("one", "two")):
        client.write("/run/options", "noauth\nnoipdefault\nrefuse-eap\nrefuse-pap\nrefuse-chap\nrefuse-mschap\n"
                     f"require-mppe-128\nname {user}\nremotename pptpd\n" + PPP_COMMON)
        # Both clients draw the same Call ID: the case that needs rewriting.
        client.sh("printf '\\007\\000%.0s' $(seq 64) >/run/callid")
        client.start("pppd", "unshare -m sh -c 'mount --bind /run/callid /dev/random; "
                     f"exec pppd pty \"pptp {GUEST_SERVER} --nolaunchpppd --loglevel 2\" file /run/options'")
    for client in clients:
        ppp_up(client)
    echo_together([(client, "10.71.0.1") for client in clients])


def call_l2tp(server, clients, inner, ports=(1701, 1701)):
    """Brings up one L2TP call per client: xl2tpd with the kernel's l2tp_ppp."""
    def ready(guest):
        secrets(guest)
        guest.sh("/run/modprobe l2tp_ppp; : >/run/l2tp-secrets")
    together(ready, (server, *clients))
    server.write("/run/options", "name lns\nauth\nrequire-chap\nrefuse-pap\nnoccp\nnodefaultroute\nmtu 1400\nmru 1400")
    server.write("/run/l2tp.conf", "[global]\nport = 1701\naccess control = no\n[lns default]\n"
                 f"ip range = {inner}.101-{inner}.120\nlocal ip = {inner}.1\nrequire chap = yes\nrefuse pap = yes\n"
                 "require authentication = yes\npppoptfile = /run/options\nlength bit = yes")
    for client, user, port in zip(clients, ("one", "two"), ports):
        client.write("/run/options", f"noauth\nnoccp\nnoipdefault\nname {user}\nremotename lns\nnodefaultroute\n"
                     "mtu 1400\nmru 1400")
        client.write("/run/l2tp.conf", f"[global]\nport = {port}\naccess control = no\n[lac far]\nlns = {GUEST_SERVER}\n"
                     f"name = {user}\npppoptfile = /run/options\nrequire authentication = no\nlength bit = yes\n"
                     "autodial = yes\nredial = yes\nredial timeout = 2")
    for guest in (server, *clients):
        guest.start("xl2tpd", "xl2tpd -D -c /run/l2tp.conf -s /run/l2tp-secrets -p /run/xl2tpd.pid -C /run/l2tp-control")
        if guest is server:
            until(60, "xl2tpd does not listen", lambda: ":1701" in server.sh("ss -lun"))
    for client in clients:
        ppp_up(client)


def l2tp(world):
    """L2TPv2 without IPsec, both clients from port 1701: xl2tpd."""
    server, *clients = world.vpn_guests()
    call_l2tp(server, clients, "10.72.0")
    echo_together([(client, "10.72.0.1") for client in clients])


def l2tp_ipsec(world):
    """L2TP inside IPsec: xl2tpd over strongSwan's IKEv1 in transport mode, ESP in UDP 4500.

    The clients' L2TP ports differ: a Linux server tells two clients behind one address apart by them, with
    or without a NAT. The router sees neither.
    """
    server, *clients = world.vpn_guests()
    ports = (1701, 1702)
    common = "version = 1\n proposals = aes128-sha256-modp2048\n"
    plans = [(server, f"connections {{ gw {{ {common} local_addrs = {GUEST_SERVER}\n local {{ auth = psk\n id = server }}\n"
              " remote { auth = psk }\n children { l2tp { mode = transport\n local_ts = dynamic[udp/1701]\n"
              " remote_ts = dynamic[udp]\n esp_proposals = aes128-sha256 } } } }\n")]
    for client, port in zip(clients, ports):
        plans.append((client, f"connections {{ gw {{ {common} remote_addrs = {GUEST_SERVER}\n local {{ auth = psk\n"
                      f" id = client{port} }}\n remote {{ auth = psk\n id = server }}\n children {{ l2tp {{ mode = transport\n"
                      f" local_ts = dynamic[udp/{port}]\n remote_ts = dynamic[udp/1701]\n"
                      " esp_proposals = aes128-sha256 } } } }\n"))
    def start(plan):
        guest, connections = plan
        guest.sh("/run/modprobe -a esp4 xfrm_user authenc cbc hmac")
        guest.write("/run/strongswan.conf", CHARON.format(log="/run/charon.log", ipsec=""))
        guest.write("/run/swanctl.conf", connections + 'secrets { ike-one { secret = "between-us" } }')
        guest.start("charon", "STRONGSWAN_CONF=/run/strongswan.conf /usr/lib/ipsec/charon")
        until(60, f"{guest.name}: charon did not start", lambda: "yes" in guest.sh("test -S /run/charon.vici && echo yes",
                                                                                  check=False))
        guest.sh("STRONGSWAN_CONF=/run/strongswan.conf swanctl --load-all --file /run/swanctl.conf")
    together(start, plans)
    together(lambda client: client.sh("STRONGSWAN_CONF=/run/strongswan.conf swanctl --initiate --child l2tp "
                                      f"--timeout {limit(60)}", timeout=90), clients)
    call_l2tp(server, clients, "10.81.0", ports)
    echo_together([(client, "10.81.0.1") for client in clients])


def esp(world):
    """Plain ESP, security associations set by hand, no IKE and no NAT-T: the kernel's own IPsec."""
    server, *clients = world.vpn_guests()
    keys = ("auth-trunc 'hmac(sha256)' 0x" + "a7" * 32 + " 128 enc 'cbc(aes)' 0x" + "e3" * 16)

    def state(source, target, spi, reqid):
        return (f"ip xfrm state add src {source} dst {target} proto esp spi {spi} reqid {reqid} mode tunnel "
                f"replay-window 64 {keys}; ")

    def policy(source, target, way, outer_source, outer_target, reqid):
        return (f"ip xfrm policy add src {source} dst {target} dir {way} tmpl src {outer_source} dst {outer_target} "
                f"proto esp reqid {reqid} mode tunnel; ")
    together(lambda guest: guest.sh("/run/modprobe -a esp4 xfrm_user authenc cbc hmac"), (server, *clients))
    server.sh("ip addr add 10.73.0.1/32 dev lo")
    for number, client in enumerate(clients, 1):
        inner, outer = f"10.73.{number}.1", f"{LAN}2{number}"
        server.sh(f"ip route add {inner}/32 via {world.server_gateway} src 10.73.0.1; "
                  + state(ROUTER_WAN, world.server, f"0x110{number}", number)
                  + state(world.server, ROUTER_WAN, f"0x220{number}", number)
                  + policy(inner + "/32", "10.73.0.1/32", "in", ROUTER_WAN, world.server, number)
                  + policy("10.73.0.1/32", inner + "/32", "out", world.server, ROUTER_WAN, number))
        client.sh(f"ip addr add {inner}/32 dev lo; ip route add 10.73.0.1/32 via {ROUTER_LAN} src {inner}; "
                  + state(outer, GUEST_SERVER, f"0x110{number}", 1) + state(GUEST_SERVER, outer, f"0x220{number}", 1)
                  + policy(inner + "/32", "10.73.0.1/32", "out", outer, GUEST_SERVER, 1)
                  + policy("10.73.0.1/32", inner + "/32", "in", GUEST_SERVER, outer, 1))
    for client in clients:
        until(limit(60), f"{client.name}: nothing comes back through ESP",
              lambda: " 0% packet loss" in client.sh("ping -c2 -i0.3 -W1 10.73.0.1", check=False))
    echo_together([(client, "10.73.0.1") for client in clients])


CHARON = """charon {{
  load_modular = no
  load = random nonce openssl aes sha1 sha2 hmac kdf gcm pem pkcs1 pubkey x509 {ipsec} kernel-netlink socket-default updown vici
  port = 500
  port_nat_t = 4500
  filelog {{ main {{ path = {log}
    default = 1 }} }}
  plugins {{ vici {{ socket = unix:///run/charon.vici }} kernel-libipsec {{ allow_peer_ts = yes }} }}
}}
swanctl {{ load = random openssl pem pkcs1 x509 }}
"""


def ikev2(world):
    """IKEv2 with NAT-T, ESP in UDP 4500: strongSwan on both sides."""
    server, clients = world.nodes["s1"], (world.nodes["c1"], world.nodes["c2"])
    secret = 'secrets { ike-one { secret = "between-us" } }\n'
    server.sh("ip addr add 10.74.0.1/32 dev lo")
    gateway = (f"connections {{ gw {{ version = 2\n local_addrs = {SERVER}\n pools = p\n proposals = aes128-sha256-ecp256\n"
               " local { auth = psk\n id = server }\n remote { auth = psk }\n"
               " children { net { local_ts = 10.74.0.1/32\n esp_proposals = aes128gcm16-ecp256 } } } }\n"
               "pools { p { addrs = 10.75.0.0/24 } }\n" + secret)
    plans = [(server, "server", gateway)]
    for number, client in enumerate(clients, 1):
        plans.append((client, f"client{number}",
                      f"connections {{ gw {{ version = 2\n remote_addrs = {SERVER}\n vips = 0.0.0.0\n"
                      f" proposals = aes128-sha256-ecp256\n local {{ auth = psk\n id = client{number} }}\n"
                      " remote { auth = psk\n id = server }\n children { net { remote_ts = 10.74.0.1/32\n"
                      " esp_proposals = aes128gcm16-ecp256 } } } }\n" + secret))
    for node, name, connections in plans:
        folder = world.folder / f"ike-{name}"
        folder.mkdir()
        (folder / "strongswan.conf").write_text(CHARON.format(log=folder / "charon.log", ipsec="kernel-libipsec"))
        (folder / "swanctl.conf").write_text(connections)
        node.ike = f"env STRONGSWAN_CONF={folder}/strongswan.conf"
        node.start("charon", f"{node.ike} /usr/lib/ipsec/charon")
        until(60, f"{name}: charon did not start", lambda: "yes" in node.sh("test -S /run/charon.vici && echo yes",
                                                                           check=False))
        node.sh(f"{node.ike} swanctl --load-all --file {folder}/swanctl.conf")
    for client in clients:
        client.sh(f"{client.ike} swanctl --initiate --child net --timeout {limit(60)}", timeout=90)
    serve_echo(server)
    echo_together([(client, "10.74.0.1") for client in clients])


PLUTO = "/run/programs/libreswan"


def whack(guest, words):
    return guest.sh(f"LD_LIBRARY_PATH={PLUTO}/usr/lib/x86_64-linux-gnu timeout {limit(90)} {PLUTO}/usr/libexec/ipsec/whack "
                    f"--rundir /run/pluto {words} 2>&1", check=False)


def negotiate(guest):
    said = whack(guest, "--name gw --initiate")
    if "IPsec SA established" not in said:
        raise Failed(f"{guest.name}: no IPsec SA: {said[-200:]}")


def ike_plain(world):
    """IKE without NAT-T, its data as plain ESP: libreswan on both sides, which can leave NAT-T off; and a rekey."""
    server, *clients = world.vpn_guests()
    common = ("authby=secret\n ikev2=no\n nat-ikev1-method=none\n encapsulation=no\n ike=aes128-sha2_256;modp2048\n "
              "esp=aes128-sha2_256\n type=tunnel\n leftupdown=%disabled\n auto=add\n")

    def start(guest, connections):
        guest.write("/run/ipsec.conf", "config setup\n uniqueids=no\n ikev1-policy=accept\n\n" + connections)
        guest.write("/run/pluto/secrets", ': PSK "between-us"')
        guest.sh("/run/modprobe -a esp4 xfrm_user authenc cbc hmac af_key xfrm4_tunnel 2>/dev/null; "
                 "chmod 600 /run/pluto/secrets; certutil -N -d sql:/run/pluto/nss --empty-password; "
                 f"mount --bind {PLUTO}/usr/libexec /usr/libexec; "
                 f"[ ! -e /usr/sbin/ipsec ] || mount --bind {PLUTO}/usr/sbin/ipsec /usr/sbin/ipsec")
        guest.start("pluto", f"LD_LIBRARY_PATH={PLUTO}/usr/lib/x86_64-linux-gnu {PLUTO}/usr/libexec/ipsec/pluto "
                    "--nofork --stderrlog --config /run/ipsec.conf --secretsfile /run/pluto/secrets --nssdir "
                    "/run/pluto/nss --rundir /run/pluto --ipsecdir /run/pluto --no-dnssec --nhelpers 0")
    server.sh(f"ip addr add 10.80.0.1/32 dev lo; ip route add 10.80.0.0/16 via {world.server_gateway} src 10.80.0.1")
    plans = [(server, "\n".join(
        f"conn c{n}\n {common} left={world.server}\n leftnexthop={world.server_gateway}\n leftid=@gw\n leftsubnet=10.80.0.1/32\n right=%any\n rightid=@c{n}\n "
        f"rightsubnet=10.80.{n}.1/32\n" for n in (1, 2)))]
    for n, client in enumerate(clients, 1):
        client.sh(f"ip addr add 10.80.{n}.1/32 dev lo; ip route add 10.80.0.1/32 via {ROUTER_LAN} src 10.80.{n}.1")
        plans.append((client, f"conn gw\n {common} left={LAN}2{n}\n leftnexthop={ROUTER_LAN}\n leftid=@c{n}\n "
                      f"leftsubnet=10.80.{n}.1/32\n right={GUEST_SERVER}\n rightid=@gw\n rightsubnet=10.80.0.1/32\n"))
    together(lambda plan: start(*plan), plans)
    for guest, connection in ((server, '"c2"'), (clients[0], '"gw"'), (clients[1], '"gw"')):
        until(60, f"{guest.name}: pluto does not run", lambda: connection in whack(guest, "--status"))
    for client in clients:
        negotiate(client)

    def both_ways():
        echo_together([(client, "10.80.0.1") for client in clients])
        for n, client in enumerate(clients, 1):
            until(limit(60), f"{client.name}: the server does not reach it",
                  lambda: " 0% packet loss" in server.sh(f"ping -c2 -i0.3 -W1 -I 10.80.0.1 10.80.{n}.1", check=False))
    both_ways()
    # New security associations, both clients' while both are in use.
    for client in clients:
        negotiate(client)
    both_ways()


def openvpn(world, transport):
    server, clients = world.nodes["s1"], (world.nodes["c1"], world.nodes["c2"])
    pki = world.folder / "pki"
    pki.mkdir()
    prints = {}
    for name in ("server", "one", "two"):
        server.sh(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={name} "
                  f"-keyout {pki}/{name}.key -out {pki}/{name}.crt 2>/dev/null")
        prints[name] = server.sh(f"openssl x509 -in {pki}/{name}.crt -noout -fingerprint -sha256").strip().split("=")[1]
    tcp = transport == "tcp"
    (pki / "server.conf").write_text(
        f"dev tun\nproto {'tcp-server' if tcp else 'udp'}\nport 1194\nlocal {SERVER}\nserver 10.76.0.0 255.255.255.0\n"
        f"topology subnet\ndh none\ncert {pki}/server.crt\nkey {pki}/server.key\nkeepalive 5 30\n"
        f"<peer-fingerprint>\n{prints['one']}\n{prints['two']}\n</peer-fingerprint>\n")
    server.start("openvpn", f"openvpn --config {pki}/server.conf")
    for client, name in zip(clients, ("one", "two")):
        (pki / f"{name}.conf").write_text(
            f"client\ndev tun\nproto {'tcp-client' if tcp else 'udp'}\nremote {SERVER} 1194\nnobind\n"
            f"cert {pki}/{name}.crt\nkey {pki}/{name}.key\npeer-fingerprint {prints['server']}\nconnect-retry 1 2\n")
        client.start("openvpn", f"openvpn --config {pki}/{name}.conf")
    for client in clients:
        until(limit(120), f"{client.name}: OpenVPN did not connect",
              lambda: "Initialization Sequence Completed" in client.log("openvpn"))
    serve_echo(server)
    echo_together([(client, "10.76.0.1") for client in clients], 1_000_000)


def wireguard(world):
    """WireGuard, both clients from the same port: wireguard-go."""
    keys = {}
    for name in ("s1", "c1", "c2"):
        private = world.nodes[name].sh("wg genkey").strip()
        keys[name] = (private, world.nodes[name].sh(f"echo {private} | wg pubkey").strip())
    for name, address in (("s1", "10.77.0.1"), ("c1", "10.77.0.11"), ("c2", "10.77.0.12")):
        node = world.nodes[name]
        node.start("wireguard", "env WG_PROCESS_FOREGROUND=1 wireguard-go -f wg0")
        until(60, f"{name}: wireguard-go did not start",
              lambda: "yes" in node.sh("test -S /run/wireguard/wg0.sock && echo yes", check=False))
        (world.folder / f"{name}.key").write_text(keys[name][0])
        peers = ""
        if name == "s1":
            for peer, inner in (("c1", "10.77.0.11"), ("c2", "10.77.0.12")):
                peers += f" peer {keys[peer][1]} allowed-ips {inner}/32"
        else:
            peers = f" peer {keys['s1'][1]} endpoint {SERVER}:51820 allowed-ips 10.77.0.0/24 persistent-keepalive 5"
        node.sh(f"wg set wg0 private-key {world.folder}/{name}.key listen-port 51820{peers}; "
                f"ip addr add {address}/24 dev wg0; ip link set wg0 mtu 1420 up")
    for name in ("c1", "c2"):
        until(limit(60), f"{name}: no handshake", lambda: "1 received" in world.nodes[name].sh(
            "ping -c1 -W1 10.77.0.1", check=False))
    serve_echo(world.nodes["s1"])
    echo_together([(world.nodes[name], "10.77.0.1") for name in ("c1", "c2")], 1_000_000)


def anyconnect(world):
    """AnyConnect (TLS and DTLS): openconnect against ocserv."""
    server, clients = world.nodes["s1"], (world.nodes["c1"], world.nodes["c2"])
    folder = world.folder / "oc"
    folder.mkdir()
    server.sh(f"openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN={SERVER} -addext subjectAltName=IP:{SERVER} "
              f"-keyout {folder}/key.pem -out {folder}/cert.pem 2>/dev/null; "
              f"printf 'secret\\nsecret\\n' | ocpasswd -c {folder}/users one; printf 'secret\\nsecret\\n' | "
              f"ocpasswd -c {folder}/users two; mkdir -p /run/ocserv")
    (folder / "ocserv.conf").write_text(
        f"auth = \"plain[passwd={folder}/users]\"\ntcp-port = 443\nudp-port = 443\nrun-as-user = root\nrun-as-group = root\n"
        f"socket-file = /run/ocserv/socket\nserver-cert = {folder}/cert.pem\nserver-key = {folder}/key.pem\n"
        "isolate-workers = false\nmax-clients = 8\nmax-same-clients = 4\nkeepalive = 30\ndpd = 20\nmobile-dpd = 60\n"
        "try-mtu-discovery = false\ncert-user-oid = 0.9.2342.19200300.100.1.1\nauth-timeout = 60\ncookie-timeout = 300\n"
        "device = vpns\nipv4-network = 10.78.0.0\nipv4-netmask = 255.255.255.0\nping-leases = false\nroute = 10.78.0.0/24\n"
        "cisco-client-compat = true\ndtls-legacy = true\npid-file = /run/ocserv/pid\n")
    server.start("ocserv", f"ocserv -f -c {folder}/ocserv.conf")
    until(60, "ocserv does not listen", lambda: ":443" in server.sh("ss -ltn"))
    for client, user in zip(clients, ("one", "two")):
        pin = server.sh(f"openssl x509 -in {folder}/cert.pem -pubkey -noout | openssl pkey -pubin -outform der | "
                        "openssl dgst -sha256 -binary | base64").strip()
        client.start("openconnect", f"sh -c 'echo secret | openconnect --user={user} --passwd-on-stdin "
                     f"--servercert=pin-sha256:{pin} --interface=vpn0 --script=/usr/share/vpnc-scripts/vpnc-script "
                     f"https://{SERVER}'")
    for client in clients:
        until(limit(120), f"{client.name}: openconnect did not connect: {client.log('openconnect')[-200:]}",
              lambda: "10.78.0." in client.sh("ip -4 -br a show dev vpn0 2>/dev/null || true"))
    inner = server.sh("ip -4 -br a | sed -n 's/^vpns[0-9]* .* \\([0-9.]*\\) peer.*/\\1/p' | head -1").strip()
    if not inner:
        raise Failed("ocserv gave no tunnel an address")
    serve_echo(server)
    echo_together([(client, inner) for client in clients], 1_000_000)


def sstp(world):
    """SSTP: sstp-client and pppd against the small server of this folder."""
    server, *clients = world.vpn_guests()
    folder = world.folder
    world.nodes["s1"].sh(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={GUEST_SERVER} "
        f"-keyout {folder}/key.pem -out {folder}/cert.pem 2>/dev/null")
    def ready(guest):
        secrets(guest)
        guest.write("/run/cert.pem", (folder / "cert.pem").read_text())
    together(ready, (server, *clients))
    server.write("/run/key.pem", (folder / "key.pem").read_text())
    # Like Windows' server: MS-CHAPv2, whose keys only bind the call to the TLS connection.
    server.write("/run/options", "name sstp\nauth\nrequire-mschap-v2\nrefuse-pap\nrefuse-chap\nrefuse-mschap\nnomppe\n"
                 "nodefaultroute\nnoccp\nmtu 1400\nmru 1400\n10.79.0.1:")
    server.write("/etc/ppp/chap-secrets", "one * secret1 10.79.0.101\ntwo * secret2 10.79.0.102")
    server.start("sstp", f"/usr/bin/python3 /run/interop/sstp_server.py /run/cert.pem /run/key.pem /run/options "
                 "one=secret1 two=secret2")
    until(60, "the SSTP server does not listen", lambda: ":443" in server.sh("ss -ltn"))
    for client, user in zip(clients, ("one", "two")):
        client.write("/run/options", "noauth\nnoipdefault\nrefuse-eap\nrefuse-pap\nrefuse-chap\nrefuse-mschap\nnomppe\n"
                     f"noccp\nname {user}\nremotename sstp\nplugin sstp-pppd-plugin.so\nsstp-sock /run/sstpc/sstpc-far\n"
                     # Dials again, as people do: once in a dozen calls on a busy machine no link came up.
                     "persist\nmaxfail 0\nholdoff 1\nlcp-restart 1\n"
                     + PPP_COMMON)
        client.start("pppd", "pppd pty 'sstpc --ipparam far --nolaunchpppd --log-stderr "
                     f"--log-level 4 --ca-cert /run/cert.pem {GUEST_SERVER}' file /run/options")
    for client in clients:
        ppp_up(client)
    # The call's last message may come after its link.
    until(limit(60), "the crypto binding of the two calls is not right",
          lambda: server.log("sstp").count("the binding is right") >= 2)
    echo_together([(client, "10.79.0.1") for client in clients])


@dataclass
class Scenario:
    run: Callable
    protocol: str  # as underpassctl calls it: two tunnels of it must be listed
    wire: str  # what carries the data outside, in nft's words
    programs: list
    guests: bool = True  # needs User-Mode Linux
    fetch: Callable = None  # what cannot be installed
    inside: bool = False  # the server is a device of the same house, called by its own address (1:1)
    # (the words after "passthrough set", the reason that the counters must name)
    controls: list = field(default_factory=list)


OFF, ONE = "PassthroughOff", "OneClientPerServer"
PPP = ["pppd", "pptp", "pptpd"]
SCENARIOS = {
    "pptp": Scenario(pptp, "pptp", "ip protocol gre", PPP,
                     controls=[("pptp block", OFF), ("pptp plain", ONE)]),
    "l2tp": Scenario(l2tp, "l2tp", "udp dport 1701", ["pppd", "xl2tpd"], controls=[("l2tp block", OFF)]),
    "l2tp-ipsec": Scenario(l2tp_ipsec, "ipsec-natt", "udp dport 4500", ["pppd", "xl2tpd", "swanctl"],
                           controls=[("ipsec-natt block", OFF)]),
    "esp": Scenario(esp, "ipsec", "ip protocol esp", [], controls=[("ipsec block", OFF), ("ipsec plain", ONE)]),
    "ike-plain": Scenario(ike_plain, "ipsec", "ip protocol esp", ["certutil"], fetch=programs.libreswan,
                          controls=[("ipsec block", OFF), ("ipsec plain", ONE)]),
    "ikev2": Scenario(ikev2, "ipsec-natt", "udp dport 4500", ["swanctl"], guests=False,
                      controls=[("ipsec-natt block", OFF)]),
    "openvpn-udp": Scenario(lambda world: openvpn(world, "udp"), "openvpn", "udp dport 1194", ["openvpn", "openssl"],
                            guests=False, controls=[("openvpn block", OFF)]),
    "openvpn-tcp": Scenario(lambda world: openvpn(world, "tcp"), "openvpn", "tcp dport 1194", ["openvpn", "openssl"],
                            guests=False, controls=[("openvpn block", OFF)]),
    "wireguard": Scenario(wireguard, "wireguard", "udp dport 51820", ["wireguard-go", "wg"], guests=False,
                          controls=[("wireguard block", OFF)]),
    # What TLS hides is blocked where the user has named the server.
    "anyconnect": Scenario(anyconnect, "anyconnect", "udp dport 443", ["ocserv", "openconnect", "openssl"], guests=False,
                           controls=[(f"anyconnect block --server {SERVER}", OFF)]),
    # The same clients call a server that lives beside them.
    "pptp-inside": Scenario(pptp, "pptp", "ip protocol gre", PPP, inside=True,
                            controls=[("pptp block", OFF), ("pptp plain", ONE)]),
    "esp-inside": Scenario(esp, "ipsec", "ip protocol esp", [], inside=True,
                           controls=[("ipsec block", OFF), ("ipsec plain", ONE)]),
    "ike-plain-inside": Scenario(ike_plain, "ipsec", "ip protocol esp", ["certutil"], fetch=programs.libreswan,
                                 inside=True, controls=[("ipsec block", OFF), ("ipsec plain", ONE)]),
    "sstp": Scenario(sstp, "sstp", "tcp dport 443", ["pppd", "sstpc", "openssl"],
                     controls=[(f"sstp block --server {GUEST_SERVER}", OFF)]),
}
