#include "ui/text/finding_words.h"

#include "engine/net/prefix.h"

#include <QCoreApplication>

#include <algorithm>

namespace ui {

namespace {

using engine::tunnel::FindingKind;

struct Words {
    Q_DECLARE_TR_FUNCTIONS(Tunnel)
};

}  // namespace

QString titleOf(FindingKind kind)
{
    switch (kind) {
    case FindingKind::NoAnswerFromServer: return Words::tr("The server does not answer");
    case FindingKind::GreNeverReturns: return Words::tr("GRE leaves, but none comes back");
    case FindingKind::GreUnknownCall: return Words::tr("GRE arrives for a call nobody agreed on");
    case FindingKind::HelperOff: return Words::tr("This needs help that is switched off");
    case FindingKind::EspNeverReturns: return Words::tr("ESP leaves, but none comes back");
    case FindingKind::Port4500NeverSeen: return Words::tr("UDP 4500 does not get through");
    case FindingKind::FragmentsLost: return Words::tr("Large packets get lost on the way");
    case FindingKind::AhCannotPass: return Words::tr("AH cannot pass a shared address");
    case FindingKind::MtuBlackHole: return Words::tr("Small packets pass, large ones do not");
    case FindingKind::InboundOnly: return Words::tr("Only the server sends");
    case FindingKind::OutboundOnly: return Words::tr("Only the device sends");
    case FindingKind::ServerAllowsOneClient:
        return Words::tr("The server allows one client per address");
    case FindingKind::AuthenticationRefused: return Words::tr("User name or password refused");
    case FindingKind::WeakCrypto: return Words::tr("Weak encryption");
    case FindingKind::BlockedByOwnRule: return Words::tr("Blocked by a rule of yours");
    case FindingKind::UpstreamNat:
        return Words::tr("Another router outside also translates addresses");
    case FindingKind::HighLoss: return Words::tr("Many packets are lost");
    case FindingKind::CutAfterHello: return Words::tr("Cut off right after the first message");
    case FindingKind::SameSubnet: return Words::tr("Both ends use the same addresses");
    }
    return {};
}

QString sentenceOf(const engine::tunnel::Finding& finding)
{
    const int a = static_cast<int>(std::min<std::uint32_t>(finding.a, 1000000));
    switch (finding.kind) {
    case FindingKind::NoAnswerFromServer:
        return a == 0 ? Words::tr("The device's first packets were never answered.")
                      : Words::tr("%n packet(s) left and none was answered.", nullptr, a);
    case FindingKind::GreNeverReturns:
        return a == 0
                   ? Words::tr("The control channel works, but no GRE came back from the server.")
                   : Words::tr(
                         "The control channel works and %n GRE packet(s) left, but none came back "
                         "from the server.",
                         nullptr, a);
    case FindingKind::GreUnknownCall:
        return Words::tr(
                   "The server sends GRE with call ID %1, which was never agreed while the router "
                   "was watching.")
            .arg(finding.a);
    case FindingKind::HelperOff:
        return Words::tr(
            "Another device already has a tunnel to this server, and without help the router "
            "cannot tell the two apart.");
    case FindingKind::EspNeverReturns:
        return a == 0
                   ? Words::tr("Keys were exchanged, but no ESP came back.")
                   : Words::tr("Keys were exchanged and %n ESP packet(s) left, but none came back.",
                               nullptr, a);
    case FindingKind::Port4500NeverSeen:
        return Words::tr(
            "The two ends noticed a shared address on port 500, but nothing on port 4500 was "
            "answered.");
    case FindingKind::FragmentsLost:
        return a == 0 ? Words::tr("Large key-exchange messages are sent again and again.")
                      : Words::tr("A large key-exchange message was sent again %n time(s).",
                                  nullptr, a);
    case FindingKind::AhCannotPass:
        return Words::tr(
            "AH protects the addresses in the packet, which a shared address must change.");
    case FindingKind::MtuBlackHole:
        return a == 0
                   ? Words::tr("Small packets are answered, large ones never are.")
                   : Words::tr("Packets above about %1 bytes are never answered; smaller ones are.")
                         .arg(a);
    case FindingKind::InboundOnly:
        return Words::tr("The server sends, but the device has stopped answering.");
    case FindingKind::OutboundOnly:
        return Words::tr("The device sends, but nothing comes back from the server.");
    case FindingKind::ServerAllowsOneClient:
        return Words::tr(
            "The server refused this device while another one from the same address is connected.");
    case FindingKind::AuthenticationRefused:
        return a == 0 ? Words::tr("The server refused the user name or password.")
                      : Words::tr("The server refused the user name or password with error %1.")
                            .arg(a);
    case FindingKind::WeakCrypto:
        return Words::tr("The two ends agreed on encryption that is considered broken.");
    case FindingKind::BlockedByOwnRule:
        return Words::tr("A switch or device rule on this router refuses it.");
    case FindingKind::UpstreamNat:
        return Words::tr(
            "The key exchange shows that the address was translated once more after leaving this "
            "router.");
    case FindingKind::HighLoss:
        return Words::tr("%1 % of the packets are missing, as their sequence numbers show.")
            .arg(QString::number(finding.a / 10.0, 'f', 1));
    case FindingKind::CutAfterHello:
        if (a == 0) {
            return Words::tr(
                "The connection came up, and was reset as soon as the device had said what it "
                "wants.");
        }
        if (a == 1) {
            return Words::tr(
                "The connection came up, and was closed as soon as the device had said what it "
                "wants.");
        }
        return Words::tr(
            "The connection came up, but nothing came back any more once the device had said what "
            "it wants.");
    case FindingKind::SameSubnet: {
        const engine::net::Ipv4Address inner{finding.a};
        if (finding.b == 0 || finding.b > 32) {
            return Words::tr("Inside the tunnel an address of this router's own network is used.");
        }
        const engine::net::Prefix network{inner, static_cast<std::uint8_t>(finding.b)};
        return Words::tr(
                   "Inside the tunnel %1 is used, an address of this router's own network %2.")
            .arg(QString::fromStdString(inner.toString()),
                 QString::fromStdString(network.toString()));
    }
    }
    return {};
}

QString adviceOn(FindingKind kind)
{
    switch (kind) {
    case FindingKind::NoAnswerFromServer:
        return Words::tr(
            "Check the server's address and whether it is running; something on the way may filter "
            "it.");
    case FindingKind::GreNeverReturns:
        return Words::tr(
            "Your provider or the server's network filters GRE. Another protocol (IKEv2, OpenVPN, "
            "WireGuard) avoids it.");
    case FindingKind::GreUnknownCall:
        return Words::tr("The call began before this router was started. Reconnect on the device.");
    case FindingKind::HelperOff:
        return Words::tr("Set the protocol's switch to Assist, then reconnect.");
    case FindingKind::EspNeverReturns:
        return Words::tr(
            "The gateway does not support NAT traversal, or ESP is filtered. Switch NAT-T on at "
            "the gateway.");
    case FindingKind::Port4500NeverSeen:
        return Words::tr("Ask the network's operator to allow UDP 4500.");
    case FindingKind::FragmentsLost:
        return Words::tr("Switch IKE fragmentation on, or use smaller certificates.");
    case FindingKind::AhCannotPass: return Words::tr("Use ESP instead of AH.");
    case FindingKind::MtuBlackHole:
        return Words::tr("Lower the tunnel's MTU, and keep MSS clamping switched on.");
    case FindingKind::InboundOnly:
        return Words::tr("Look at the device: it may be asleep or have moved to another network.");
    case FindingKind::OutboundOnly:
        return Words::tr(
            "The server may have ended the tunnel without saying so. Reconnect on the device.");
    case FindingKind::ServerAllowsOneClient:
        return Words::tr("Ask the server's operator to allow several clients from one address.");
    case FindingKind::AuthenticationRefused:
        return Words::tr("Check the user name and password on the device.");
    case FindingKind::WeakCrypto: return Words::tr("Ask the VPN's operator for a modern protocol.");
    case FindingKind::BlockedByOwnRule:
        return Words::tr("Change the switch or the device's rule if that was not intended.");
    case FindingKind::UpstreamNat:
        return Words::tr(
            "Usually harmless. Port forwards must then be set on the outer router, too.");
    case FindingKind::HighLoss:
        return Words::tr(
            "The path is congested or a radio link is weak; the router itself drops none of "
            "these.");
    case FindingKind::CutAfterHello:
        return Words::tr(
            "A firewall or proxy on the way probably looks into the first message and refuses "
            "VPNs, or the server refuses this device. Try another network, another port or "
            "another protocol.");
    case FindingKind::SameSubnet:
        return Words::tr(
            "Devices look for such an address beside themselves, not behind the VPN. Give this "
            "router's network another range, one that few others use.");
    }
    return {};
}

}  // namespace ui
