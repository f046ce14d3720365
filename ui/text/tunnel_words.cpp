#include "ui/text/tunnel_words.h"

#include "ui/text/words.h"

#include <QCoreApplication>

#include <algorithm>

namespace ui {

namespace {

using engine::net::VpnProtocol;
using engine::tunnel::EventKind;
using engine::tunnel::FindingKind;
using engine::tunnel::Lane;
using engine::tunnel::PassageKind;
using engine::tunnel::Phase;

struct Words {
    Q_DECLARE_TR_FUNCTIONS(Tunnel)
};

QString number(std::uint32_t value)
{
    return QString::number(value);
}

/// Numbers of RFC 2637's control messages.
QString pptpMessage(std::uint32_t type)
{
    switch (type) {
    case 1: return QStringLiteral("Start-Control-Connection-Request");
    case 2: return QStringLiteral("Start-Control-Connection-Reply");
    case 3: return QStringLiteral("Stop-Control-Connection-Request");
    case 4: return QStringLiteral("Stop-Control-Connection-Reply");
    case 5: return QStringLiteral("Echo-Request");
    case 6: return QStringLiteral("Echo-Reply");
    case 7: return QStringLiteral("Outgoing-Call-Request");
    case 8: return QStringLiteral("Outgoing-Call-Reply");
    case 9: return QStringLiteral("Incoming-Call-Request");
    case 10: return QStringLiteral("Incoming-Call-Reply");
    case 11: return QStringLiteral("Incoming-Call-Connected");
    case 12: return QStringLiteral("Call-Clear-Request");
    case 13: return QStringLiteral("Call-Disconnect-Notify");
    case 14: return QStringLiteral("WAN-Error-Notify");
    case 15: return QStringLiteral("Set-Link-Info");
    default: return {};
    }
}

/// Numbers of RFC 2661's and RFC 3931's control messages.
QString l2tpMessage(std::uint32_t type)
{
    switch (type) {
    case 1: return QStringLiteral("SCCRQ");
    case 2: return QStringLiteral("SCCRP");
    case 3: return QStringLiteral("SCCCN");
    case 4: return QStringLiteral("StopCCN");
    case 6: return QStringLiteral("HELLO");
    case 7: return QStringLiteral("OCRQ");
    case 8: return QStringLiteral("OCRP");
    case 9: return QStringLiteral("OCCN");
    case 10: return QStringLiteral("ICRQ");
    case 11: return QStringLiteral("ICRP");
    case 12: return QStringLiteral("ICCN");
    case 14: return QStringLiteral("CDN");
    case 15: return QStringLiteral("WEN");
    case 16: return QStringLiteral("SLI");
    default: return {};
    }
}

/// Exchange types of IKEv1 (RFC 2408, 2409) and IKEv2 (RFC 7296).
QString ikeExchange(std::uint32_t type)
{
    switch (type) {
    case 2: return QStringLiteral("Main Mode");
    case 4: return QStringLiteral("Aggressive Mode");
    case 5: return QStringLiteral("Informational");
    case 32: return QStringLiteral("Quick Mode");
    case 34: return QStringLiteral("IKE_SA_INIT");
    case 35: return QStringLiteral("IKE_AUTH");
    case 36: return QStringLiteral("CREATE_CHILD_SA");
    case 37: return QStringLiteral("INFORMATIONAL");
    case 43: return QStringLiteral("IKE_INTERMEDIATE");
    default: return {};
    }
}

bool isIpsec(VpnProtocol protocol)
{
    return protocol == VpnProtocol::IpsecEsp || protocol == VpnProtocol::IpsecNatT;
}

QString messageName(VpnProtocol protocol, std::uint32_t type)
{
    QString name;
    if (protocol == VpnProtocol::Pptp) name = pptpMessage(type);
    if (protocol == VpnProtocol::L2tp || protocol == VpnProtocol::L2tpV3) name = l2tpMessage(type);
    if (isIpsec(protocol)) name = ikeExchange(type);
    return name.isEmpty() ? Words::tr("message %1").arg(type) : name;
}

QString idText(VpnProtocol protocol, std::uint32_t id)
{
    if (id == 0) return {};
    if (isIpsec(protocol)) return Words::tr("SPI %1").arg(spi(id));
    if (protocol == VpnProtocol::Pptp) return Words::tr("call ID %1").arg(id);
    if (protocol == VpnProtocol::L2tp) return Words::tr("tunnel ID %1").arg(id);
    if (protocol == VpnProtocol::L2tpV3) return Words::tr("session ID %1").arg(id);
    if (protocol == VpnProtocol::Gre || protocol == VpnProtocol::Eoip)
        return Words::tr("key %1").arg(id);
    return number(id);
}

QString phaseWord(std::uint32_t value)
{
    return value < engine::tunnel::kPhaseCount ? wordOf(static_cast<Phase>(value)) : number(value);
}

engine::Instant lastPacket(const engine::tunnel::Tunnel& tunnel)
{
    return std::max(tunnel.outbound.lastPacket, tunnel.inbound.lastPacket);
}

QString icmpWords(std::uint32_t type, std::uint32_t code)
{
    if (type == 3) {
        switch (code) {
        case 0: return Words::tr("network unreachable");
        case 1: return Words::tr("host unreachable");
        case 2: return Words::tr("protocol not accepted");
        case 3: return Words::tr("port closed");
        case 4: return Words::tr("packet too large for the path");
        case 13: return Words::tr("forbidden by a filter");
        default: break;
        }
    }
    if (type == 11) return Words::tr("time to live ran out");
    return Words::tr("ICMP type %1, code %2").arg(type).arg(code);
}

struct Ending {
    QString word;  ///< for tables
    QString sentence;
};

/// Both empty for what ends nothing.
Ending endingOf(EventKind cause, std::uint32_t code)
{
    switch (cause) {
    case EventKind::PeerClosed:
        return {Words::tr("Closed"),
                code == 0 ? Words::tr("One of the two ends closed it.")
                          : Words::tr("One of the two ends closed it with code %1.").arg(code)};
    case EventKind::TimedOut:
        return {Words::tr("Silence"), Words::tr("It ended because nothing was heard any more.")};
    case EventKind::ResetBy:
        return {Words::tr("Reset"), Words::tr("Its control connection was reset.")};
    case EventKind::DroppedBySwitch:
        return {Words::tr("Switch turned off"),
                Words::tr("It was dropped because its switch was turned off.")};
    case EventKind::IcmpError:
        return {
            Words::tr("Network error"),
            Words::tr("The network reported an error: %1.").arg(icmpWords(code >> 8, code & 0xff))};
    case EventKind::AuthenticationFailed:
        return {
            Words::tr("Log-in refused"),
            code == 0
                ? Words::tr("The server refused the user name or password.")
                : Words::tr("The server refused the user name or password (error %1).").arg(code)};
    case EventKind::ExternalAddressChanged:
        return {Words::tr("Address changed"),
                Words::tr("It ended because this computer's external address changed.")};
    case EventKind::LikelyDeleted:
        return {
            Words::tr("Probably deleted"),
            Words::tr("The two ends exchanged a notice that is encrypted, and then went silent: "
                      "they have probably deleted it.")};
    case EventKind::ControlOpened:
    case EventKind::ControlMessage:
    case EventKind::IdRewritten:
    case EventKind::CallAgreed:
    case EventKind::DataFirstOutbound:
    case EventKind::DataFirstInbound:
    case EventKind::NatDetected:
    case EventKind::FloatedTo4500:
    case EventKind::KeyExchange:
    case EventKind::SpiBound:
    case EventKind::SpiRebound:
    case EventKind::Rekeyed:
    case EventKind::Keepalive:
    case EventKind::Retransmitted:
    case EventKind::PortFloated:
    case EventKind::LegacyPort500:
    case EventKind::PhaseChanged:
    case EventKind::WentSilent:
    case EventKind::Resumed:
    case EventKind::LossHigh:
    case EventKind::Held:
    case EventKind::Released:
    case EventKind::FindingRaised: break;
    }
    return {};
}

}  // namespace

TunnelState stateOf(const engine::tunnel::Tunnel& tunnel, engine::Instant now)
{
    switch (tunnel.phase) {
    case Phase::Seen:
    case Phase::Handshaking:
    case Phase::Authenticating:
    case Phase::Establishing: return TunnelState::Negotiating;
    case Phase::Established:
    case Phase::Rekeying:
    case Phase::Closing: break;
    case Phase::Degraded: {
        const auto silence = [&](engine::Instant last) {
            return last == engine::Instant{} || now - last > kSilentAfter;
        };
        const bool out = silence(tunnel.outbound.lastPacket);
        const bool in = silence(tunnel.inbound.lastPacket);
        if (out != in) return TunnelState::OneWay;
        if (out && in) return TunnelState::Silent;
        for (const auto& finding : tunnel.findings) {
            if (finding.kind == FindingKind::InboundOnly ||
                finding.kind == FindingKind::OutboundOnly) {
                return TunnelState::OneWay;
            }
        }
        return TunnelState::Impaired;
    }
    case Phase::Closed:
    case Phase::Dead: return TunnelState::Closed;
    case Phase::Failed: return TunnelState::Failed;
    case Phase::Refused: return TunnelState::Refused;
    case Phase::Held: return TunnelState::Held;
    }
    return now - lastPacket(tunnel) > kSilentAfter ? TunnelState::Silent : TunnelState::BothWays;
}

QString wordOf(TunnelState state)
{
    switch (state) {
    case TunnelState::Negotiating: return Words::tr("Negotiating");
    case TunnelState::BothWays: return Words::tr("Traffic both ways");
    case TunnelState::OneWay: return Words::tr("One way only");
    case TunnelState::Silent: return Words::tr("Silent");
    case TunnelState::Impaired: return Words::tr("Impaired");
    case TunnelState::Held: return Words::tr("Held");
    case TunnelState::Closed: return Words::tr("Closed");
    case TunnelState::Failed: return Words::tr("Failed");
    case TunnelState::Refused: return Words::tr("Refused");
    }
    return {};
}

Shape shapeOf(TunnelState state)
{
    switch (state) {
    case TunnelState::Negotiating: return Shape::Dots;
    case TunnelState::BothWays: return Shape::Disc;
    case TunnelState::OneWay: return Shape::HalfDisc;
    case TunnelState::Silent: return Shape::Ring;
    case TunnelState::Impaired: return Shape::Triangle;
    case TunnelState::Held: return Shape::Bars;
    case TunnelState::Closed: return Shape::Square;
    case TunnelState::Failed:
    case TunnelState::Refused: return Shape::Cross;
    }
    return Shape::Ring;
}

Meaning meaningOf(TunnelState state)
{
    switch (state) {
    case TunnelState::Negotiating: return Meaning::Accent;
    case TunnelState::BothWays: return Meaning::Good;
    case TunnelState::OneWay:
    case TunnelState::Impaired: return Meaning::Warning;
    case TunnelState::Held: return Meaning::Held;
    case TunnelState::Silent:
    case TunnelState::Closed: return Meaning::Neutral;
    case TunnelState::Failed:
    case TunnelState::Refused: return Meaning::Bad;
    }
    return Meaning::Neutral;
}

QString stateText(const engine::tunnel::Tunnel& tunnel, const Presentation& p)
{
    const TunnelState state = stateOf(tunnel, p.now);
    if (state == TunnelState::Silent && lastPacket(tunnel) != engine::Instant{}) {
        return Words::tr("Silent %1").arg(p.format.shortDuration(p.now - lastPacket(tunnel)));
    }
    return wordOf(state);
}

QString passageText(const engine::tunnel::Passage& passage, VpnProtocol protocol)
{
    const QString arrow = QStringLiteral(" → ");
    const auto pair = [&](const QString& word) {
        return passage.internalId == passage.externalId
                   ? word.arg(passage.internalId)
                   : word.arg(passage.internalId) + arrow + number(passage.externalId);
    };
    switch (passage.kind) {
    case PassageKind::Unknown:
        return protocol == VpnProtocol::Ah ? Words::tr("Cannot pass") : Words::tr("Not known yet");
    case PassageKind::PortTranslated: return pair(Words::tr("Port %1"));
    case PassageKind::CallId: return pair(Words::tr("Call ID %1"));
    case PassageKind::SpiPair:
        if (passage.internalId != 0 && passage.externalId != 0)
            return Words::tr("SPI pair matched");
        return Words::tr("SPI not matched yet");
    case PassageKind::CookieMatched: return Words::tr("Port 500, by IKE cookie");
    case PassageKind::TunnelId: return pair(Words::tr("Tunnel ID %1"));
    case PassageKind::GreKey: return pair(Words::tr("Key %1"));
    case PassageKind::InnerAddress: return Words::tr("By inner address");
    case PassageKind::SessionId: return pair(Words::tr("Session ID %1"));
    case PassageKind::OnlyClient: return Words::tr("Only client of this server");
    }
    return {};
}

QString passageSentence(const engine::tunnel::Tunnel& tunnel, const Presentation& p)
{
    const engine::tunnel::Passage& passage = tunnel.passage;
    const QString device = p.deviceName(tunnel.device);
    const bool changed = passage.internalId != passage.externalId;
    switch (passage.kind) {
    case PassageKind::Unknown:
        return tunnel.protocol == VpnProtocol::Ah
                   ? Words::tr(
                         "It cannot pass: AH protects the addresses that the router must "
                         "change.")
                   : Words::tr("How it passes the router is not known yet.");
    case PassageKind::PortTranslated:
        return changed ? Words::tr("The router translates port %1 to %2, as for any other traffic.")
                             .arg(passage.internalId)
                             .arg(passage.externalId)
                       : Words::tr("The router keeps port %1.").arg(passage.internalId);
    case PassageKind::CallId:
        return changed ? Words::tr(
                             "The router rewrites its call ID %1 to %2, so that several devices "
                             "can share the address with this server.")
                             .arg(passage.internalId)
                             .arg(passage.externalId)
                       : Words::tr("Its call ID %1 was free, so the router keeps it.")
                             .arg(passage.internalId);
    case PassageKind::SpiPair:
        if (passage.internalId == 0 || passage.externalId == 0) {
            return Words::tr(
                       "The router is still waiting for the gateway's first packet to learn which "
                       "SPI belongs to %1.")
                .arg(device);
        }
        return Words::tr("The router knows that SPI %1 from the gateway answers %2's SPI %3.")
            .arg(spi(passage.externalId), device, spi(passage.internalId));
    case PassageKind::CookieMatched:
        return Words::tr(
            "The gateway insists on port 500; the router tells devices apart by the IKE cookie.");
    case PassageKind::TunnelId:
        return changed ? Words::tr("The router rewrites its L2TP tunnel ID %1 to %2.")
                             .arg(passage.internalId)
                             .arg(passage.externalId)
                       : Words::tr("Its L2TP tunnel ID %1 tells it apart from others.")
                             .arg(passage.internalId);
    case PassageKind::GreKey:
        return Words::tr("Its key %1 tells it apart from other devices' tunnels.")
            .arg(passage.internalId);
    case PassageKind::InnerAddress:
        return Words::tr("The address inside the tunnel tells it apart from others.");
    case PassageKind::SessionId:
        return Words::tr("Its session ID %1 tells it apart from others.").arg(passage.internalId);
    case PassageKind::OnlyClient:
        return Words::tr(
            "Nothing in the packets tells devices apart, so only one device can use this server at "
            "a time.");
    }
    return {};
}

QString serverName(const engine::tunnel::Tunnel& tunnel)
{
    const QString name = safeText(tunnel.serverName, 64);
    return name.isEmpty() ? textOf(tunnel.server.address) : name;
}

QString protocolText(VpnProtocol protocol, engine::tunnel::Confidence confidence)
{
    QString text =
        protocol == VpnProtocol::IpsecNatT ? QStringLiteral("IPsec NAT-T") : nameOf(protocol);
    if (confidence == engine::tunnel::Confidence::Guess) text += QLatin1Char('?');
    return text;
}

QString summaryOf(const engine::tunnel::Tunnel& tunnel, const Presentation& p)
{
    const QString device = p.deviceName(tunnel.device);
    const QString server = serverName(tunnel);
    const QString protocol =
        tunnel.confidence == engine::tunnel::Confidence::Guess
            ? Words::tr("what looks like a %1 tunnel").arg(nameOf(tunnel.protocol))
            : Words::tr("a %1 tunnel").arg(nameOf(tunnel.protocol));
    const engine::Instant end = tunnel.ended == engine::Instant{} ? p.now : tunnel.ended;
    const QString time = p.format.duration(end - tunnel.started);
    QString first;
    switch (tunnel.phase) {
    case Phase::Seen:
    case Phase::Handshaking:
    case Phase::Authenticating:
    case Phase::Establishing:
        first = Words::tr("%1 has been setting up %2 to %3 for %4.")
                    .arg(device, protocol, server, time);
        break;
    case Phase::Established:
    case Phase::Rekeying:
    case Phase::Degraded:
    case Phase::Closing:
    case Phase::Held:
        first = Words::tr("%1 has had %2 to %3 for %4.").arg(device, protocol, server, time);
        break;
    case Phase::Closed:
    case Phase::Dead:
        first = Words::tr("%1 had %2 to %3 for %4.").arg(device, protocol, server, time);
        break;
    case Phase::Failed:
        first = Words::tr("%1 tried to set up %2 to %3, but it never came up.")
                    .arg(device, protocol, server);
        break;
    case Phase::Refused:
        first = Words::tr("%1 wanted %2 to %3; a switch or rule of yours refused it.")
                    .arg(device, protocol, server);
        break;
    }
    if (tunnel.phase == Phase::Held) first += QLatin1Char(' ') + sentenceOf(tunnel.phase);
    if (engine::tunnel::isOver(tunnel.phase)) {
        const QString why = endSentence(tunnel);
        if (!why.isEmpty() && tunnel.ended != engine::Instant{}) first += QLatin1Char(' ') + why;
    }
    if (tunnel.phase != Phase::Refused && tunnel.passage.kind != PassageKind::Unknown) {
        first += QLatin1Char(' ') + passageSentence(tunnel, p);
    }
    return first;
}

QString endWord(EventKind cause)
{
    const QString word = endingOf(cause, 0).word;
    return word.isEmpty() ? Words::tr("Over") : word;
}

QString endSentence(const engine::tunnel::Tunnel& tunnel)
{
    if (!engine::tunnel::isOver(tunnel.phase)) return {};
    QString text = endingOf(tunnel.endCause, tunnel.endCode).sentence;
    // What never came up has its reason among the findings, if anywhere.
    if ((tunnel.phase == Phase::Failed || tunnel.phase == Phase::Refused) &&
        !tunnel.findings.empty()) {
        if (!text.isEmpty()) text += QLatin1Char(' ');
        text += titleOf(tunnel.findings.back().kind) + QLatin1Char('.');
    }
    return text.isEmpty() ? sentenceOf(tunnel.phase) : text;
}

QString sentenceOf(const engine::tunnel::TimelineEvent& event, VpnProtocol protocol)
{
    const std::uint32_t a = event.a;
    const std::uint32_t b = event.b;
    const auto withId = [&](const QString& text, std::uint32_t id) {
        const QString name = idText(protocol, id);
        return name.isEmpty() ? text : text + QStringLiteral(", ") + name;
    };
    switch (event.kind) {
    case EventKind::ControlOpened:
        return a == 0 ? Words::tr("Control channel opened")
                      : Words::tr("Control channel opened on port %1").arg(a);
    case EventKind::ControlMessage:
        // PPTP's and L2TP's result 1 is success.
        return b > 1 ? Words::tr("%1, result %2").arg(messageName(protocol, a)).arg(b)
                     : messageName(protocol, a);
    case EventKind::IdRewritten: {
        if (isIpsec(protocol)) return Words::tr("SPI %1 became %2").arg(spi(a), spi(b));
        if (protocol == VpnProtocol::L2tp) return Words::tr("Tunnel ID %1 became %2").arg(a).arg(b);
        return Words::tr("Call ID %1 became %2").arg(a).arg(b);
    }
    case EventKind::CallAgreed: return Words::tr("Call agreed: client %1, server %2").arg(a).arg(b);
    case EventKind::DataFirstOutbound: return withId(Words::tr("First data from the client"), a);
    case EventKind::DataFirstInbound: return withId(Words::tr("First data from the server"), a);
    case EventKind::NatDetected: return Words::tr("The two ends noticed that an address is shared");
    case EventKind::FloatedTo4500: return Words::tr("Moved to UDP port 4500");
    case EventKind::KeyExchange: {
        const QString name = ikeExchange(a);
        return name.isEmpty() || !isIpsec(protocol) ? Words::tr("Key exchange") : name;
    }
    case EventKind::SpiBound: {
        if (b == 0) return Words::tr("SPI %1 assigned by a guess").arg(spi(a));
        if (b == 1) return Words::tr("SPI %1 probably belongs to this device").arg(spi(a));
        return Words::tr("SPI %1 proved to belong to this device").arg(spi(a));
    }
    case EventKind::SpiRebound:
        return Words::tr("SPI %1 moved here; it had been assigned wrongly").arg(spi(a));
    case EventKind::Rekeyed:
        return a == 0 ? Words::tr("Keys changed")
                      : Words::tr("Keys changed, %n time(s) so far", nullptr, static_cast<int>(a));
    case EventKind::Keepalive: return Words::tr("Keepalive");
    case EventKind::Retransmitted: return Words::tr("Sent again: %1").arg(messageName(protocol, a));
    case EventKind::AuthenticationFailed:
        return a == 0 ? Words::tr("Authentication failed")
                      : Words::tr("Authentication failed, error %1").arg(a);
    case EventKind::PortFloated:
        return Words::tr("The server answers from port %2 instead of %1").arg(a).arg(b);
    case EventKind::LegacyPort500:
        return Words::tr("The server insists on port 500; told apart by cookie from now on");
    case EventKind::PhaseChanged: return Words::tr("%1 → %2").arg(phaseWord(a), phaseWord(b));
    case EventKind::WentSilent:
        return a == 0 ? Words::tr("The client went silent") : Words::tr("The server went silent");
    case EventKind::Resumed:
        return a == engine::tunnel::kResumedAfterRestart
                   ? Words::tr("Taken over after the router was restarted")
                   : Words::tr("Traffic resumed");
    case EventKind::LossHigh: {
        const QString share = QString::number(a / 10.0, 'f', 1);
        return b == 0 ? Words::tr("%1 % lost on the way to the server").arg(share)
                      : Words::tr("%1 % lost on the way to the client").arg(share);
    }
    case EventKind::Held: return Words::tr("Held: the switch was turned off");
    case EventKind::Released: return Words::tr("Released with the same IDs and ports");
    case EventKind::DroppedBySwitch: return Words::tr("Dropped by the switch");
    case EventKind::PeerClosed:
        return a == 0 ? Words::tr("Closed") : Words::tr("Closed with code %1").arg(a);
    case EventKind::TimedOut: return Words::tr("Ended in silence");
    case EventKind::ResetBy: return Words::tr("Control connection reset");
    case EventKind::IcmpError: return Words::tr("Network error: %1").arg(icmpWords(a, b));
    case EventKind::ExternalAddressChanged: return Words::tr("The external address changed");
    case EventKind::LikelyDeleted: return Words::tr("Probably deleted by the two ends");
    case EventKind::FindingRaised:
        return a < engine::tunnel::kFindingKindCount
                   ? Words::tr("Noticed: %1").arg(titleOf(static_cast<FindingKind>(a)))
                   : Words::tr("Noticed something");
    }
    return {};
}

Meaning meaningOf(const engine::tunnel::TimelineEvent& event)
{
    switch (event.kind) {
    case EventKind::IdRewritten:
    case EventKind::SpiBound:
    case EventKind::SpiRebound:
    case EventKind::LegacyPort500:
    case EventKind::CallAgreed: return Meaning::Accent;
    case EventKind::DataFirstOutbound:
    case EventKind::DataFirstInbound:
    case EventKind::Resumed:
    case EventKind::Released: return Meaning::Good;
    case EventKind::Retransmitted:
    case EventKind::WentSilent:
    case EventKind::LossHigh:
    case EventKind::FindingRaised:
    case EventKind::ExternalAddressChanged: return Meaning::Warning;
    case EventKind::AuthenticationFailed:
    case EventKind::DroppedBySwitch:
    case EventKind::ResetBy:
    case EventKind::TimedOut:
    case EventKind::IcmpError: return Meaning::Bad;
    case EventKind::Held: return Meaning::Held;
    case EventKind::ControlOpened:
    case EventKind::ControlMessage:
    case EventKind::NatDetected:
    case EventKind::FloatedTo4500:
    case EventKind::KeyExchange:
    case EventKind::Rekeyed:
    case EventKind::Keepalive:
    case EventKind::PortFloated:
    case EventKind::PhaseChanged:
    case EventKind::PeerClosed:
    case EventKind::LikelyDeleted: break;
    }
    return Meaning::Neutral;
}

QString earlierSentence(const std::vector<HistoryTunnel>& earlier, const Presentation& p)
{
    if (earlier.empty()) return Words::tr("This device has not used this server before.");
    std::vector<qint64> lengths;
    const HistoryTunnel* failure = nullptr;
    for (const HistoryTunnel& one : earlier) {
        if (one.phase != Phase::Failed && one.phase != Phase::Refused) {
            lengths.push_back(one.started.msecsTo(one.ended));
        } else if (failure == nullptr || failure->ended < one.ended) {
            failure = &one;
        }
    }
    QString text = Words::tr("%n earlier session(s)", nullptr, static_cast<int>(earlier.size())) +
                   Words::tr("; %1 came up.")
                       .arg(p.format.percent(static_cast<double>(lengths.size()) /
                                             static_cast<double>(earlier.size())));
    if (!lengths.empty()) {
        const auto middle = lengths.begin() + static_cast<std::ptrdiff_t>(lengths.size() / 2);
        std::nth_element(lengths.begin(), middle, lengths.end());
        text += QLatin1Char(' ') + Words::tr("They usually lasted %1.")
                                       .arg(p.format.duration(std::chrono::milliseconds(*middle)));
    }
    if (failure != nullptr) {
        engine::tunnel::Tunnel over = failure->detail;
        over.phase = failure->phase;
        over.endCause = failure->endCause;
        text += QLatin1Char(' ') +
                Words::tr("The last failure was on %1: %2")
                    .arg(p.format.locale().toString(failure->ended, QStringLiteral("d MMM, HH:mm")),
                         endSentence(over));
    }
    return text;
}

Meaning meaningOf(FindingKind kind)
{
    switch (kind) {
    case FindingKind::WeakCrypto:
    case FindingKind::UpstreamNat: return Meaning::Neutral;
    case FindingKind::InboundOnly:
    case FindingKind::OutboundOnly:
    case FindingKind::HighLoss:
    case FindingKind::FragmentsLost:
    case FindingKind::MtuBlackHole:
    case FindingKind::SameSubnet:
    case FindingKind::GreUnknownCall: return Meaning::Warning;
    case FindingKind::NoAnswerFromServer:
    case FindingKind::GreNeverReturns:
    case FindingKind::HelperOff:
    case FindingKind::EspNeverReturns:
    case FindingKind::Port4500NeverSeen:
    case FindingKind::AhCannotPass:
    case FindingKind::ServerAllowsOneClient:
    case FindingKind::AuthenticationRefused:
    case FindingKind::CutAfterHello:
    case FindingKind::BlockedByOwnRule: return Meaning::Bad;
    }
    return Meaning::Warning;
}

QStringList evidenceOf(const engine::tunnel::Finding& finding)
{
    QStringList lines;
    for (const auto& packet : finding.packets) {
        if (packet.size() < 20) continue;
        const auto address = [&](std::size_t at) {
            return engine::net::Ipv4Address{packet[at], packet[at + 1], packet[at + 2],
                                            packet[at + 3]};
        };
        const auto protocol = static_cast<engine::net::IpProtocol>(packet[9]);
        const std::size_t header = (packet[0] & 0x0fU) * 4U;
        QString ports;
        if ((protocol == engine::net::IpProtocol::Tcp ||
             protocol == engine::net::IpProtocol::Udp) &&
            packet.size() >= header + 4) {
            ports = QStringLiteral(" %1→%2")
                        .arg((packet[header] << 8) | packet[header + 1])
                        .arg((packet[header + 2] << 8) | packet[header + 3]);
        }
        lines << Words::tr("%1 → %2, %3%4, %5 bytes")
                     .arg(textOf(address(12)), textOf(address(16)), nameOf(protocol), ports)
                     .arg((packet[2] << 8) | packet[3]);
        QString octets;
        for (std::size_t i = 0; i < packet.size() && i < 48; ++i) {
            octets += QStringLiteral("%1").arg(packet[i], 2, 16, QLatin1Char('0'));
            octets += i % 16 == 15 ? QLatin1Char('\n') : QLatin1Char(' ');
        }
        lines << octets.trimmed().split(QLatin1Char('\n'));
    }
    return lines;
}

}  // namespace ui
