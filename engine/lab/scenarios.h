#pragma once

#include "engine/lab/scenario.h"

#include <array>

namespace engine::lab {

void buildOverview(Lab& lab);
void buildPptpEight(Lab& lab);
void buildPptpSplit(Lab& lab);
void buildPptpRedial(Lab& lab);
void buildPptpServerInside(Lab& lab);
void buildGreNeverReturns(Lab& lab);
void buildPptpRefusesPassword(Lab& lab);
void buildPptpOneClient(Lab& lab);
void buildEspEight(Lab& lab);
void buildIkev2Eight(Lab& lab);
void buildIpsecGoodbye(Lab& lab);
void buildLegacy500(Lab& lab);
void buildL2tpEight(Lab& lab);
void buildL2tpOtherPort(Lab& lab);
void buildL2tpTo1701(Lab& lab);
void buildL2tpClash(Lab& lab);
void buildL2tpV3Eight(Lab& lab);
void buildWireGuardEight(Lab& lab);
void buildOpenVpnEight(Lab& lab);
void buildAnyConnectEight(Lab& lab);
void buildUnaidedEight(Lab& lab);
void buildTlsReset(Lab& lab);
void buildTlsSwallowed(Lab& lab);
void buildSameSubnet(Lab& lab);
void buildPortless(Lab& lab);
void buildEveryProtocol(Lab& lab);
void buildGreKeyClash(Lab& lab);
void buildBlockAndUndo(Lab& lab);
void buildBlocked(Lab& lab);
void buildSamePort(Lab& lab);
void buildUdpExpiry(Lab& lab);
void buildHairpin(Lab& lab);
void buildWanRenumber(Lab& lab);
void buildRestart(Lab& lab);

// clang-format off
inline constexpr std::array kScenarios{
    Scenario{"overview", "A small office: browsing, names, pings and every kind of VPN at once.", 5min, &buildOverview},
    Scenario{"pptp-eight", "Eight PPTP clients with the same Call ID and one server, two calls each.", 5min, &buildPptpEight},
    Scenario{"pptp-split", "PPTP control messages cut anywhere, lost and reordered.", 5min, &buildPptpSplit},
    Scenario{"pptp-redial", "Calls that end and are dialled again with the same Call ID.", 15min, &buildPptpRedial},
    Scenario{"pptp-server-inside", "A PPTP server inside behind one forwarded port.", 2min, &buildPptpServerInside},
    Scenario{"gre-never-returns", "The control channel works, GRE is swallowed on the way.", 2min, &buildGreNeverReturns},
    Scenario{"pptp-password", "The server refuses the password.", 1min, &buildPptpRefusesPassword},
    Scenario{"pptp-one-client", "A server that takes one PPTP client per address.", 1min, &buildPptpOneClient},
    Scenario{"esp-eight", "Eight IPsec clients without NAT traversal and one gateway.", 10min, &buildEspEight},
    Scenario{"ikev2-eight", "Eight IKEv2 clients in UDP 4500 and one gateway.", 10min, &buildIkev2Eight},
    Scenario{"ipsec-goodbye", "IPsec clients that hang up: nobody can read it, the silence tells.", 3min + 20s, &buildIpsecGoodbye},
    Scenario{"legacy-500", "A gateway that answers to port 500 whatever port was used.", 5min, &buildLegacy500},
    Scenario{"l2tp-eight", "Eight L2TP clients, all from port 1701 and with the same tunnel ID.", 5min, &buildL2tpEight},
    Scenario{"l2tp-other-port", "An L2TP server that answers from another port.", 5min, &buildL2tpOtherPort},
    Scenario{"l2tp-to-1701", "An L2TP server that always answers to port 1701.", 5min, &buildL2tpTo1701},
    Scenario{"l2tp-clash", "The same, and all clients have chosen the same tunnel ID.", 5min, &buildL2tpClash},
    Scenario{"l2tpv3-eight", "Eight L2TPv3 clients and one server, straight over IP and over UDP.", 5min, &buildL2tpV3Eight},
    Scenario{"wireguard-eight", "Eight WireGuard clients from the same port.", 10min, &buildWireGuardEight},
    Scenario{"openvpn-eight", "Eight OpenVPN clients, over UDP and over TCP.", 10min, &buildOpenVpnEight},
    Scenario{"anyconnect-eight", "Eight clients of a VPN in TLS and DTLS.", 5min, &buildAnyConnectEight},
    Scenario{"unaided-eight", "Eight clients of each VPN that needs no help: recognised, never harmed.", 2min, &buildUnaidedEight},
    Scenario{"tls-reset", "A network that lets no VPN over TLS or TCP begin: it resets the connection.", 1min, &buildTlsReset},
    Scenario{"tls-swallowed", "The same, but what the client says just disappears.", 5min, &buildTlsSwallowed},
    Scenario{"same-subnet", "The office behind the VPN uses the same addresses as the network here.", 1min, &buildSameSubnet},
    Scenario{"portless", "Three clients per server: keyed GRE, plain GRE, EoIP, 6in4 and IPIP.", 2min, &buildPortless},
    Scenario{"every-protocol", "Two clashing clients of every VPN protocol there is a switch for.", 1min, &buildEveryProtocol},
    Scenario{"gre-key-clash", "Two devices use the same GRE key with one server.", 1min, &buildGreKeyClash},
    Scenario{"block-and-undo", "A switch turned off and back on within ten seconds.", 2min, &buildBlockAndUndo},
    Scenario{"blocked", "What is switched off does not come up.", 2min, &buildBlocked},
    Scenario{"two-clients-same-port", "Devices that use the same port with the same server.", 1min, &buildSamePort},
    Scenario{"udp-expiry", "How long an answer may take.", 15min, &buildUdpExpiry},
    Scenario{"hairpin", "Devices inside use a forwarded port by the external address.", 1min, &buildHairpin},
    Scenario{"restart", "The router's program is restarted under live tunnels of every kind.", 6min, &buildRestart},
    Scenario{"wan-renumber", "The provider changes the external address.", 3min, &buildWanRenumber},
};
// clang-format on

}  // namespace engine::lab
