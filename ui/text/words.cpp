#include "ui/text/words.h"

#include <QCoreApplication>

namespace ui {

namespace {

struct Words {
    Q_DECLARE_TR_FUNCTIONS(Words)
};

}  // namespace

QString sentenceOf(engine::DropReason reason)
{
    // The engine holds the English; a translation looks it up under the context "DropReason".
    return QCoreApplication::translate("DropReason", engine::sentenceOf(reason).data());
}

QString sentenceOf(engine::CommandError error)
{
    using engine::CommandError;
    switch (error) {
    case CommandError::NoSuchTunnel: return Words::tr("That tunnel is already gone.");
    case CommandError::NoSuchSession: return Words::tr("That session is already gone.");
    case CommandError::PortInUse: return Words::tr("This computer itself uses that external port.");
    case CommandError::ForwardsOverlap:
        return Words::tr("Another port forward already has one of these external ports.");
    case CommandError::RangeInverted:
        return Words::tr("The first port is higher than the last one.");
    case CommandError::NotInternal: return Words::tr("That address is not in the shared network.");
    case CommandError::NotExternal:
        return Words::tr("That address is not one of this computer's external addresses.");
    case CommandError::TooManyAddresses:
        return Words::tr("There are more external addresses than the router can use.");
    case CommandError::PrefixesOverlap:
        return Words::tr("The shared network and the external network overlap.");
    case CommandError::TimerTooShort:
        return Words::tr("A timer is shorter than the standard allows.");
    case CommandError::PortIsProtocol:
        return Words::tr(
            "Port 47 is probably not what you mean: GRE is protocol number 47, not a port.");
    case CommandError::DuplicateAddress: return Words::tr("Another rule already has that address.");
    case CommandError::NothingHeld:
        return Words::tr("Nothing is held any more; the ten seconds are over.");
    case CommandError::TimerTooLong: return Words::tr("A timer is longer than the router allows.");
    case CommandError::NotADevice:
        return Words::tr("That address belongs to this computer or to the whole shared network.");
    case CommandError::ProtocolNotForwarded:
        return Words::tr("That protocol cannot pass address translation.");
    case CommandError::OnlyAddress:
        return Words::tr(
            "No external address would be left for this computer and the other devices.");
    case CommandError::NoSelfTest: return Words::tr("This router was started without a self-test.");
    }
    return {};
}

QString sentenceOf(engine::ForwardObstacle obstacle)
{
    switch (obstacle) {
    case engine::ForwardObstacle::PortOfHost:
        return Words::tr("Waits: a program of this computer has the port");
    case engine::ForwardObstacle::DeviceElsewhere:
        return Words::tr("Waits: the address is not in the shared network");
    }
    return {};
}

QString adviceOn(engine::CommandError error)
{
    using engine::CommandError;
    switch (error) {
    case CommandError::PortInUse:
        return Words::tr("Choose another external port, or stop the program that has it.");
    case CommandError::ForwardsOverlap:
        return Words::tr("Choose other ports, or switch the other port forward off.");
    case CommandError::NotInternal:
        return Words::tr("Pick a device from the list, or type an address of the shared network.");
    case CommandError::PrefixesOverlap:
        return Words::tr("Give the shared side another network, for example 192.168.50.0/24.");
    case CommandError::PortIsProtocol:
        return Words::tr("Choose GRE as the protocol of the port forward instead.");
    case CommandError::TimerTooShort:
        return Words::tr("The smallest allowed value stands beside each field.");
    case CommandError::TimerTooLong: return Words::tr("Seven days are the most.");
    case CommandError::NotADevice:
        return Words::tr("Pick a device from the list, or type its address.");
    case CommandError::OnlyAddress: return Words::tr("Expose the device instead.");
    case CommandError::ProtocolNotForwarded:
    case CommandError::NoSuchTunnel:
    case CommandError::NoSuchSession:
    case CommandError::RangeInverted:
    case CommandError::NotExternal:
    case CommandError::TooManyAddresses:
    case CommandError::DuplicateAddress:
    case CommandError::NothingHeld:
    case CommandError::NoSelfTest: break;
    }
    return {};
}

QString wordOf(engine::tunnel::Phase phase)
{
    using engine::tunnel::Phase;
    switch (phase) {
    case Phase::Seen: return Words::tr("First packets");
    case Phase::Handshaking: return Words::tr("Negotiating");
    case Phase::Authenticating: return Words::tr("Authenticating");
    case Phase::Establishing: return Words::tr("Agreed");
    case Phase::Established: return Words::tr("Traffic both ways");
    case Phase::Rekeying: return Words::tr("Changing keys");
    case Phase::Degraded: return Words::tr("Impaired");
    case Phase::Closing: return Words::tr("Closing");
    case Phase::Closed: return Words::tr("Closed");
    case Phase::Dead: return Words::tr("Ended in silence");
    case Phase::Failed: return Words::tr("Failed");
    case Phase::Refused: return Words::tr("Refused");
    case Phase::Held: return Words::tr("Held");
    }
    return {};
}

QString sentenceOf(engine::tunnel::Phase phase)
{
    using engine::tunnel::Phase;
    switch (phase) {
    case Phase::Seen: return Words::tr("The first packets have been seen; nothing is proved yet.");
    case Phase::Handshaking:
        return Words::tr("The two ends are setting up their control channel or exchanging keys.");
    case Phase::Authenticating: return Words::tr("The server is checking who the user is.");
    case Phase::Establishing:
        return Words::tr("The two ends have agreed, but no data has travelled both ways yet.");
    case Phase::Established: return Words::tr("Data travels both ways.");
    case Phase::Rekeying:
        return Words::tr("The two ends are changing their keys while the tunnel is up.");
    case Phase::Degraded: return Words::tr("Data travels one way only, or too much of it is lost.");
    case Phase::Closing: return Words::tr("One end has asked to close the tunnel.");
    case Phase::Closed: return Words::tr("One of the two ends closed the tunnel.");
    case Phase::Dead:
        return Words::tr(
            "Neither end has sent anything for so long that the tunnel is considered ended.");
    case Phase::Failed: return Words::tr("The tunnel never came up.");
    case Phase::Refused: return Words::tr("A switch or rule of yours refused the tunnel.");
    case Phase::Held:
        return Words::tr(
            "The switch was just turned off: packets are discarded, but everything is kept for ten "
            "seconds.");
    }
    return {};
}

QString wordOf(engine::tunnel::Confidence confidence)
{
    using engine::tunnel::Confidence;
    switch (confidence) {
    case Confidence::Guess: return Words::tr("guess");
    case Confidence::Likely: return Words::tr("likely");
    case Confidence::Certain: return Words::tr("certain");
    }
    return {};
}

QString sentenceOf(engine::tunnel::Confidence confidence)
{
    using engine::tunnel::Confidence;
    switch (confidence) {
    case Confidence::Guess:
        return Words::tr("A guess: only the port or the server's name points to this protocol.");
    case Confidence::Likely: return Words::tr("Likely: the packets have this protocol's form.");
    case Confidence::Certain: return Words::tr("Certain: two independent signs agree.");
    }
    return {};
}

QString wordOf(engine::tunnel::Lane lane)
{
    using engine::tunnel::Lane;
    switch (lane) {
    case Lane::Client: return Words::tr("Client");
    case Lane::Router: return Words::tr("Router");
    case Lane::Server: return Words::tr("Server");
    }
    return {};
}

QString wordOf(engine::policy::PassthroughMode mode)
{
    using engine::policy::PassthroughMode;
    switch (mode) {
    case PassthroughMode::Assist: return Words::tr("Assist");
    case PassthroughMode::Plain: return Words::tr("Plain");
    case PassthroughMode::Block: return Words::tr("Block");
    }
    return {};
}

QString wordOf(engine::policy::DeviceAccess access)
{
    using engine::policy::DeviceAccess;
    switch (access) {
    case DeviceAccess::Allow: return Words::tr("Allow");
    case DeviceAccess::Block: return Words::tr("Block");
    case DeviceAccess::VpnOnly: return Words::tr("VPN only");
    }
    return {};
}

QString wordOf(engine::nat::Behaviour behaviour)
{
    using engine::nat::Behaviour;
    switch (behaviour) {
    case Behaviour::EndpointIndependent: return Words::tr("Endpoint-independent");
    case Behaviour::AddressDependent: return Words::tr("Address-dependent");
    case Behaviour::AddressAndPortDependent: return Words::tr("Address- and port-dependent");
    }
    return {};
}

QString wordOf(engine::nat::PingsFromOutside pings)
{
    using engine::nat::PingsFromOutside;
    switch (pings) {
    case PingsFromOutside::Small: return Words::tr("Small ones");
    case PingsFromOutside::All: return Words::tr("All");
    case PingsFromOutside::None: return Words::tr("None");
    }
    return {};
}

QString sentenceOf(engine::nat::Behaviour behaviour)
{
    using engine::nat::Behaviour;
    switch (behaviour) {
    case Behaviour::EndpointIndependent: return Words::tr("the same for every remote endpoint");
    case Behaviour::AddressDependent: return Words::tr("one per remote address");
    case Behaviour::AddressAndPortDependent: return Words::tr("one per remote address and port");
    }
    return {};
}

QString wordOf(NatType type)
{
    switch (type) {
    case NatType::Open: return Words::tr("Open");
    case NatType::Moderate: return Words::tr("Moderate");
    case NatType::Strict: return Words::tr("Strict");
    }
    return {};
}

QString sentenceOf(NatType type)
{
    switch (type) {
    case NatType::Open:
        return Words::tr(
            "Anybody on the internet may send to a port that the device has opened. Best for "
            "hosting games and for calls, and the least protected.");
    case NatType::Moderate:
        return Words::tr(
            "Only those that the device has sent to may answer; everybody sees the same external "
            "port. Games, calls and VPNs work.");
    case NatType::Strict:
        return Words::tr(
            "Other remotes see other external ports, so two devices behind routers hardly find "
            "each other. Some games and calls need a relay or fail.");
    }
    return {};
}

QString wordOf(engine::TcpState state)
{
    using engine::TcpState;
    switch (state) {
    case TcpState::None: return {};
    case TcpState::OutboundInit: return Words::tr("Opening");
    case TcpState::InboundInit: return Words::tr("Opening from outside");
    case TcpState::Established: return Words::tr("Open");
    case TcpState::OutboundFin: return Words::tr("Closing, out");
    case TcpState::InboundFin: return Words::tr("Closing, in");
    case TcpState::BothFin: return Words::tr("Closed");
    case TcpState::Transitory: return Words::tr("Reset seen");
    }
    return {};
}

QString nameOf(engine::net::VpnProtocol protocol)
{
    const auto name = engine::net::textOf(protocol).name;
    return QString::fromLatin1(name.data(), static_cast<qsizetype>(name.size()));
}

QString sentenceOf(engine::net::VpnProtocol protocol)
{
    using engine::net::VpnProtocol;
    switch (protocol) {
    case VpnProtocol::Pptp:
        return Words::tr(
            "Lets several computers use PPTP at once, even with the same server, by rewriting call "
            "IDs.");
    case VpnProtocol::IpsecEsp:
        return Words::tr(
            "Tells several computers with the same IPsec gateway apart by matching the SPIs of "
            "their negotiations.");
    case VpnProtocol::IpsecNatT:
        return Words::tr(
            "Travels inside UDP 4500 and needs no help; old gateways that insist on port 500 get "
            "it anyway.");
    case VpnProtocol::L2tp:
        return Words::tr(
            "Lets several computers use the same L2TP server, even if both insist on port 1701.");
    case VpnProtocol::L2tpV3:
        return Words::tr("Tells computers with the same server apart by their session IDs.");
    case VpnProtocol::Gre:
        return Words::tr(
            "Tells GRE tunnels to the same server apart by key, or by the address inside.");
    case VpnProtocol::Eoip:
        return Words::tr("Tells MikroTik's Ethernet-over-IP tunnels apart by tunnel ID.");
    case VpnProtocol::SixInFour:
        return Words::tr("Tells IPv6-in-IPv4 tunnels apart by the IPv6 address inside.");
    case VpnProtocol::IpIp: return Words::tr("Tells IP-in-IP tunnels apart by the address inside.");
    case VpnProtocol::EtherIp:
        return Words::tr("Carries nothing to tell computers apart: one computer per server.");
    case VpnProtocol::Ah:
        return Words::tr(
            "Protects the very addresses that sharing must change, so it cannot pass. The device "
            "is told at once.");
    case VpnProtocol::OpenVpn:
        return Words::tr("Passes by itself over UDP or TCP; recognised and shown.");
    case VpnProtocol::WireGuard:
        return Words::tr(
            "Passes by itself; recognised and shown, its mapping kept while it lives.");
    case VpnProtocol::Sstp:
        return Words::tr("Looks like any web connection on port 443, so this is always a guess.");
    case VpnProtocol::AnyConnect:
        return Words::tr(
            "Cisco AnyConnect, OpenConnect and ocserv: TLS and DTLS shown as one tunnel.");
    case VpnProtocol::SoftEther: return Words::tr("Passes by itself; recognised and shown.");
    case VpnProtocol::Tailscale:
        return Words::tr("WireGuard with its own way of finding a path; recognised and shown.");
    case VpnProtocol::CloudflareWarp:
        return Words::tr("Uses the ports of other protocols; recognised by content.");
    case VpnProtocol::Teredo: return Words::tr("IPv6 inside UDP; recognised and shown.");
    case VpnProtocol::GlobalProtect:
        return Words::tr("Palo Alto's VPN over UDP 4501 or TLS; recognised and shown.");
    case VpnProtocol::ZeroTier:
        return Words::tr("Passes by itself over UDP; recognised and shown.");
    case VpnProtocol::Nebula: return Words::tr("Passes by itself over UDP; recognised and shown.");
    case VpnProtocol::Tinc: return Words::tr("Passes by itself; recognised and shown.");
    case VpnProtocol::FortiClient:
        return Words::tr("Fortinet's VPN over TLS; recognised and shown.");
    }
    return {};
}

QString technicalsOf(engine::net::VpnProtocol protocol)
{
    using engine::net::VpnProtocol;
    switch (protocol) {
    case VpnProtocol::Pptp: return Words::tr("TCP 1723 and GRE (protocol 47)");
    case VpnProtocol::IpsecEsp: return Words::tr("UDP 500 and ESP (protocol 50)");
    case VpnProtocol::IpsecNatT: return Words::tr("UDP 500 and 4500");
    case VpnProtocol::L2tp: return Words::tr("UDP 1701");
    case VpnProtocol::L2tpV3: return Words::tr("protocol 115, or UDP 1701");
    case VpnProtocol::Gre: return Words::tr("GRE (protocol 47)");
    case VpnProtocol::Eoip: return Words::tr("GRE (protocol 47) with a header of its own");
    case VpnProtocol::SixInFour: return Words::tr("protocol 41");
    case VpnProtocol::IpIp: return Words::tr("protocol 4");
    case VpnProtocol::EtherIp: return Words::tr("protocol 97");
    case VpnProtocol::Ah: return Words::tr("AH (protocol 51)");
    case VpnProtocol::OpenVpn: return Words::tr("usually UDP or TCP 1194");
    case VpnProtocol::WireGuard: return Words::tr("usually UDP 51820");
    case VpnProtocol::Sstp: return Words::tr("TCP 443");
    case VpnProtocol::AnyConnect: return Words::tr("TCP and UDP 443");
    case VpnProtocol::SoftEther: return Words::tr("TCP 443, 992, 5555");
    case VpnProtocol::Tailscale: return Words::tr("usually UDP 41641");
    case VpnProtocol::CloudflareWarp: return Words::tr("UDP 2408, 500, 4500, 1701");
    case VpnProtocol::Teredo: return Words::tr("UDP 3544");
    case VpnProtocol::GlobalProtect: return Words::tr("UDP 4501, TCP 443");
    case VpnProtocol::ZeroTier: return Words::tr("UDP 9993");
    case VpnProtocol::Nebula: return Words::tr("UDP 4242");
    case VpnProtocol::Tinc: return Words::tr("TCP and UDP 655");
    case VpnProtocol::FortiClient: return Words::tr("TCP 443, 10443");
    }
    return {};
}

QString cautionOf(engine::net::VpnProtocol protocol)
{
    using engine::net::VpnProtocol;
    switch (protocol) {
    case VpnProtocol::Pptp:
        return Words::tr("PPTP's encryption is broken; use it only for old systems.");
    case VpnProtocol::L2tp:
        return Words::tr("L2TP inside IPsec cannot be seen; it is listed under IPsec.");
    case VpnProtocol::Gre:
    case VpnProtocol::Eoip:
    case VpnProtocol::SixInFour:
    case VpnProtocol::IpIp:
    case VpnProtocol::EtherIp: return Words::tr("Not encrypted by itself.");
    case VpnProtocol::Ah: return Words::tr("Ask the VPN's operator to use ESP instead.");
    case VpnProtocol::IpsecEsp:
    case VpnProtocol::IpsecNatT:
    case VpnProtocol::L2tpV3:
    case VpnProtocol::OpenVpn:
    case VpnProtocol::WireGuard:
    case VpnProtocol::Sstp:
    case VpnProtocol::AnyConnect:
    case VpnProtocol::SoftEther:
    case VpnProtocol::Tailscale:
    case VpnProtocol::CloudflareWarp:
    case VpnProtocol::Teredo:
    case VpnProtocol::GlobalProtect:
    case VpnProtocol::ZeroTier:
    case VpnProtocol::Nebula:
    case VpnProtocol::Tinc:
    case VpnProtocol::FortiClient: break;
    }
    return {};
}

}  // namespace ui
