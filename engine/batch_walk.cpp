#include "engine/engine_state.h"

#include <algorithm>

/// Many packets of one port. Memory is what costs: the look-ups of a whole batch are begun before
/// the first packet is worked on, stage by stage, so that they wait for memory together. What is
/// found is only a guess until the packet's turn. An ordinary packet of an established flow then
/// takes a short cut; everything else goes the way of packet_walk.cpp. The outcome is the same as
/// without all this, which tests/engine/batch_test.cpp holds to.
namespace engine {

using nat::SessionKey;
namespace sf = nat::session_flag;
using net::Direction;
using net::IpProtocol;

namespace {

/// Ours: sessions that are being fetched at a time. Processors of today wait for about twenty lines
/// at once; those asked for beyond that are what the whole batch then stands still for. The others
/// are asked for while packets are worked on, each so many packets before its own.
constexpr std::size_t kInFlight = 16;

/// A session that nobody wants to look at, whose packets have gone both ways.
constexpr std::uint8_t kOrdinaryMask =
    sf::kAttention | sf::kHairpin | sf::kSendAlias | sf::kAnswered | sf::kOutboundSeen;
constexpr std::uint8_t kOrdinary = sf::kAnswered | sf::kOutboundSeen;

/// Rewrites one endpoint of a whole TCP or UDP packet without IP options, counts the TTL down, and
/// keeps both checksums right: in one go what the views do step by step. The direction is known at
/// compile time, because GCC 12 loads and stores fields octet by octet where their place varies.
template <Direction kDirection>
void rewriteEndpoint(wire::MutableBytes packet, IpProtocol protocol, net::Endpoint to,
                     wire::ChecksumState state)
{
    constexpr std::size_t kTransport = wire::Ipv4View::kMinimumHeader;
    constexpr bool kOutward = kDirection == Direction::Outbound;
    constexpr std::size_t kAddressAt = kOutward ? 12 : 16;
    constexpr std::size_t kPortAt = kOutward ? kTransport : kTransport + 2;

    wire::ChecksumDelta address;
    address.replace32(wire::load32(packet, kAddressAt), to.address.hostOrder());
    wire::ChecksumDelta header = address;
    const std::uint16_t hops = wire::load16(packet, 8);
    const auto fewer = static_cast<std::uint16_t>(hops - 0x100);
    header.replace16(hops, fewer);
    wire::store16(packet, 8, fewer);
    wire::store16(packet, 10, header.applyTo(wire::load16(packet, 10)));
    wire::store32(packet, kAddressAt, to.address.hostOrder());

    const std::uint16_t port = wire::load16(packet, kPortAt);
    wire::store16(packet, kPortAt, to.port.hostOrder());
    const bool udp = protocol == IpProtocol::Udp;
    const std::size_t checksumAt = udp ? kTransport + 6 : kTransport + 16;
    const std::uint16_t checksum = wire::load16(packet, checksumAt);
    if (udp && checksum == 0) return;  // absent, and stays so (RFC 768)
    std::uint16_t updated = 0;
    if (state == wire::ChecksumState::Complete) {
        wire::ChecksumDelta transport = address;
        transport.replace16(port, to.port.hostOrder());
        updated = transport.applyTo(checksum);
    } else {
        updated = address.applyToPartial(checksum);
    }
    if (udp && updated == 0) updated = 0xffff;
    wire::store16(packet, checksumAt, updated);
}

}  // namespace

/// Flattened: what it calls of this file for every packet it alone calls, and entering and leaving
/// them would be a twelfth of the instructions of an established packet.
[[gnu::flatten]] void Engine::State::walkAll(Instant now, PortId ingress,
                                             std::span<wire::Packet> packets,
                                             std::span<Verdict> verdicts, Output& output)
{
    const bool outward = ingress == PortId::Internal;
    const Direction direction = outward ? Direction::Outbound : Direction::Inbound;
    const Verdict through = Verdict::forward(outward ? PortId::External : PortId::Internal);
    // Neither reason is worth an event, so that drop() has no more to do either.
    const auto missed = [&](DropReason reason) {
        ++counters.drops[static_cast<std::size_t>(reason)];
        return Verdict::drop(reason);
    };
    for (std::size_t start = 0; start < packets.size(); start += kBatch) {
        const std::size_t count = std::min(kBatch, packets.size() - start);
        lookAhead(direction, packets.subspan(start, count), {batchAhead.data(), count});
        for (std::size_t i = 0; i < count; ++i) {
            if (i + kInFlight < count) {
                const nat::FlatIndex::Place& later = batchAhead[i + kInFlight].session;
                if (later.reference != nat::FlatIndex::kNone) {
                    __builtin_prefetch(sessions.sessionAhead(later), 1);
                }
            }
            wire::Packet& packet = packets[start + i];
            Verdict& verdict = verdicts[start + i];
            switch (shortCut(now, direction, packet, batchAhead[i])) {
            case ShortCut::Forwarded: verdict = through; break;
            case ShortCut::OutOfWindow: verdict = missed(DropReason::TcpOutOfWindow); break;
            case ShortCut::InexactReset: verdict = missed(DropReason::TcpInexactReset); break;
            case ShortCut::NotTaken: {
                // Without a hash the rest of it is of an earlier batch.
                const Verdict walked = walk(now, ingress, packet, output, true,
                                            batchAhead[i].hash != 0 ? &batchAhead[i] : nullptr);
                verdict =
                    walked.kind == Verdict::Kind::Forward ? cut(walked, packet, output) : walked;
                break;
            }
            }
        }
    }
}

void Engine::State::lookAhead(Direction direction, std::span<const wire::Packet> packets,
                              std::span<Ahead> guesses) const
{
    for (const wire::Packet& packet : packets)
        __builtin_prefetch(packet.bytes.data(), 1);
    for (std::size_t i = 0; i < packets.size(); ++i) {
        peek(direction, packets[i], guesses[i]);
        sessions.prefetchIndex(guesses[i].hash);
    }
    bool begins = false;
    for (std::size_t i = 0; i < guesses.size(); ++i) {
        Ahead& one = guesses[i];
        one.session = sessions.guess(one.hash);
        if (one.session.reference == nat::FlatIndex::kNone) {
            begins |= one.hash != 0;
        } else if (i < kInFlight) {
            __builtin_prefetch(sessions.sessionAhead(one.session), 1);
        }
    }
    if (begins && direction == Direction::Outbound) lookAheadOfSetUp(guesses);
}

/// Flows that seem to begin: fetches what openOutbound() will want.
void Engine::State::lookAheadOfSetUp(std::span<Ahead> guesses) const
{
    const auto begins = [](const Ahead& one) {
        return one.hash != 0 && one.session.reference == nat::FlatIndex::kNone;
    };
    for (Ahead& one : guesses) {
        if (!begins(one)) continue;
        const IpProtocol protocol = one.key.protocol();
        const net::Endpoint internal{one.key.ours(), one.key.ourPort()};
        one.mappingHash = mappings.hashOf({.protocol = protocol,
                                           .behaviour = behaviourOf(protocol, internal).mapping,
                                           .internal = internal,
                                           .remote = {one.key.remote(), one.key.remotePort()}});
        mappings.prefetchIndex(one.mappingHash);
    }
    for (Ahead& one : guesses) {
        if (!begins(one)) continue;
        one.mapping = mappings.guess(one.mappingHash);
        if (one.mapping != nat::FlatIndex::kNone) {
            __builtin_prefetch(mappings.mappingAhead(one.mapping), 1);
        }
    }
    for (Ahead& one : guesses) {
        if (!begins(one) || one.mapping == nat::FlatIndex::kNone) continue;
        const nat::Mapping& mapping = mappings[one.mapping];
        const IpProtocol protocol = one.key.protocol();
        one.answerKey = SessionKey::make(
            Direction::Inbound, protocol, 0, sessions.externalAddress(mapping.externalSlot),
            one.key.remote(), nat::portsId(mapping.external, one.key.remotePort()));
        one.answerHash = sessions.hashOf(one.answerKey);
        sessions.prefetchIndex(one.answerHash);
        if (mapping.firstSession != nat::FlatIndex::kNone) {
            __builtin_prefetch(sessions.detailAhead(mapping.firstSession), 1);
        }
        if (behaviourOf(protocol, mapping.internal).filtering == nat::Behaviour::AddressDependent) {
            one.permissionHash = permissions.hashOf(one.mapping, one.key.remote());
            permissions.prefetchIndex(one.permissionHash);
        }
    }
    for (Ahead& one : guesses) {
        if (one.answerHash != 0) one.answer = sessions.guess(one.answerHash);
    }
}

/// The key under which transport() will look this packet up, if it is an ordinary one.
void Engine::State::peek(Direction direction, const wire::Packet& packet, Ahead& guess) const
{
    guess.hash = 0;
    guess.mappingHash = 0;
    guess.answerHash = 0;
    guess.permissionHash = 0;
    const wire::MutableBytes bytes = packet.bytes;
    if (bytes.size() < 28) return;
    // The header of twenty octets in three words: what is asked of it is asked of these.
    const std::uint64_t first = wire::load64(bytes, 0);
    const std::uint64_t second = wire::load64(bytes, 8);
    const std::uint32_t third = wire::load32(bytes, 16);
    if (first >> 56 != 0x45 || (first & 0x3fffU) != 0) return;
    // RFC 1812 §5.2.2. A wrong checksum is the other way's to refuse.
    std::uint64_t sum =
        (first >> 32) + (first & 0xffffffffU) + (second >> 32) + (second & 0xffffffffU) + third;
    sum = (sum >> 32) + (sum & 0xffffffffU);
    if (sum % 0xffffU != 0) return;
    const auto protocol = static_cast<IpProtocol>(static_cast<std::uint8_t>(second >> 48));
    if (!net::hasPorts(protocol)) return;
    const net::Ipv4Address source{static_cast<std::uint32_t>(second)};
    const net::Ipv4Address destination{third};
    const std::uint32_t ports = wire::load32(bytes, 20);
    const net::Port from{static_cast<std::uint16_t>(ports >> 16)};
    const net::Port to{static_cast<std::uint16_t>(ports)};
    const bool outward = direction == Direction::Outbound;
    guess.key = SessionKey::make(direction, protocol, 0, outward ? source : destination,
                                 outward ? destination : source,
                                 outward ? nat::portsId(from, to) : nat::portsId(to, from));
    guess.hash = sessions.hashOf(guess.key);
}

/// An ordinary packet of an established flow: what walk() would do with it, without asking again
/// what is known already. Nothing is touched when it is not taken.
Engine::State::ShortCut Engine::State::shortCut(Instant now, Direction direction,
                                                wire::Packet& packet, const Ahead& guess)
{
    if (guess.hash == 0 || packet.segmentPayload != 0 || parked) return ShortCut::NotTaken;
    const auto index = sessions.confirm(guess.session, guess.key, guess.hash);
    if (!index) return ShortCut::NotTaken;
    nat::Session& session = sessions[*index];
    if ((session.flags & kOrdinaryMask) != kOrdinary) return ShortCut::NotTaken;
    if (now - session.lastPacket >= shortestIdle) return ShortCut::NotTaken;
    const bool outward = direction == Direction::Outbound;
    if (!session.isTranslated()) return ShortCut::NotTaken;
    if (!outward && !slots[session.externalSlot].used) return ShortCut::NotTaken;

    // peek() has seen a header of twenty octets with a right checksum, no fragment, and eight
    // octets more.
    constexpr std::size_t kHeader = wire::Ipv4View::kMinimumHeader;
    const std::size_t total = wire::load16(packet.bytes, 2);
    const std::uint8_t ttl = packet.bytes[8];
    if (total > packet.bytes.size() || ttl <= 1) return ShortCut::NotTaken;
    if (total > (outward ? config.external.mtu : config.internal.mtu)) return ShortCut::NotTaken;
    if (total < kHeader + wire::UdpView::kHeader) return ShortCut::NotTaken;
    const wire::MutableBytes whole = packet.bytes.first(total);
    const wire::MutableBytes bytes = whole.subspan(kHeader);
    bool refresh = outward || config.nat.inboundRefresh;
    std::size_t header = wire::UdpView::kHeader;
    if (session.protocol == IpProtocol::Udp) {
        const std::size_t length = wire::load16(bytes, 4);
        if (length < wire::UdpView::kHeader || length > bytes.size()) return ShortCut::NotTaken;
    } else {
        const auto tcp = wire::TcpView::parse(bytes);
        constexpr std::uint8_t kTurns =
            wire::tcp_flag::kSyn | wire::tcp_flag::kFin | wire::tcp_flag::kRst;
        if (!tcp || (tcp->flags() & kTurns) != 0 ||
            session.tcpState != nat::TcpState::Established) {
            return ShortCut::NotTaken;
        }
        header = wire::TcpView::kMinimumHeader;
        // From here on it has been judged and must not be shown to walk() again.
        const nat::WindowVerdict judged = session.window.observe(direction, *tcp);
        packet.bytes = whole;
        switch (judged) {
        case nat::WindowVerdict::OutOfWindow: return ShortCut::OutOfWindow;
        case nat::WindowVerdict::InexactReset: return ShortCut::InexactReset;
        case nat::WindowVerdict::Challenge: refresh = false; break;
        case nat::WindowVerdict::Reopened:
        case nat::WindowVerdict::Ok: refresh = true; break;
        }
    }
    packet.bytes = whole;
    if (refresh) session.lastPacket = now;
    if (session.has(sf::kAttached)) {
        tunnels.count(attachmentOf(*index), now,
                      {.direction = direction, .payload = bytes.subspan(header), .bytes = total});
    }
    if (outward) {
        const net::Endpoint to{sessions.externalAddress(session.externalSlot),
                               session.externalPort()};
        rewriteEndpoint<Direction::Outbound>(whole, session.protocol, to, packet.checksum);
        if ((whole[6] & 0x40U) == 0) renumber(*wire::Ipv4View::parse(whole), 1);
    } else {
        const net::Endpoint to{session.internal, session.internalPort()};
        rewriteEndpoint<Direction::Inbound>(whole, session.protocol, to, packet.checksum);
    }
    tally(*index, direction, static_cast<std::uint32_t>(total), 1, false);
    return ShortCut::Forwarded;
}

}  // namespace engine
