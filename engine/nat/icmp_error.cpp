#include "engine/nat/icmp_error.h"

#include "engine/wire/checksum.h"

#include <algorithm>
#include <cassert>

namespace engine::nat {
namespace {

// Specification.
/// RFC 792: an error quotes the IP header and at least eight octets of what follows.
constexpr std::size_t kLeastQuoted = 8;
/// RFC 4884 §4: the length attribute of errors that may carry extensions, in units of four octets.
constexpr std::size_t kLengthAttributeAt = 5;

// Ours.
constexpr Duration kBudgetWindow = std::chrono::seconds{1};
constexpr std::uint32_t kBudgetLeast = 16;
constexpr std::uint32_t kBudgetSpread = 16;

constexpr std::size_t kIpHeader = wire::Ipv4View::kMinimumHeader;

bool mayCarryExtensions(wire::IcmpType type)
{
    return type == wire::IcmpType::Unreachable || type == wire::IcmpType::TimeExceeded ||
           type == wire::IcmpType::ParameterProblem;
}

/// Replaces words of an ICMP message and keeps account of it for the message's checksum.
class Patch {
public:
    explicit Patch(wire::MutableBytes message) : m_message(message) {}

    [[nodiscard]] std::uint16_t at(std::size_t offset) const
    {
        return wire::load16(m_message, offset);
    }
    void put16(std::size_t offset, std::uint16_t value)
    {
        m_delta.replace16(at(offset), value);
        wire::store16(m_message, offset, value);
    }
    void put32(std::size_t offset, std::uint32_t value)
    {
        put16(offset, static_cast<std::uint16_t>(value >> 16));
        put16(offset + 2, static_cast<std::uint16_t>(value));
    }
    void finish() { wire::store16(m_message, 2, m_delta.applyTo(at(2))); }

private:
    wire::MutableBytes m_message;
    wire::ChecksumDelta m_delta;
};

/// Where the transport checksum stands, counted from the transport header; nothing for protocols
/// whose checksum, if any, covers neither addresses nor what we rewrite.
std::optional<std::size_t> checksumOffset(net::IpProtocol protocol)
{
    if (protocol == net::IpProtocol::Tcp) return 16;
    if (protocol == net::IpProtocol::Udp) return 6;
    if (protocol == net::IpProtocol::Icmp) return 2;
    return std::nullopt;
}

bool isOneHost(net::Ipv4Address address)
{
    const std::uint32_t value = address.hostOrder();
    return value >> 24 != 0 && value >> 24 != 127 && value >> 28 < 14;
}

}  // namespace

Result<IcmpError, DropReason> IcmpError::parse(const wire::Ipv4View& outer)
{
    auto parsed = wire::IcmpView::parse(outer.payload());
    if (!parsed || !parsed->isError()) return Err{DropReason::MalformedIcmp};
    const wire::IcmpView icmp = *parsed;
    if (!icmp.hasValidChecksum()) return Err{DropReason::BadIcmpChecksum};

    wire::MutableBytes quote = icmp.payload();
    if (mayCarryExtensions(icmp.type())) {
        const std::size_t length = std::size_t{icmp.bytes()[kLengthAttributeAt]} * 4;
        // Older routers may leave anything in this octet: what cannot be a length is none.
        if (length >= kIpHeader && length <= quote.size()) quote = quote.first(length);
    }
    if (quote.size() < kIpHeader || quote[0] >> 4 != 4) return Err{DropReason::MalformedIcmp};
    const std::size_t header = static_cast<std::size_t>(quote[0] & 15U) * 4;
    const std::size_t total = wire::load16(quote, 2);
    if (header < kIpHeader || total < header + kLeastQuoted ||
        quote.size() < header + kLeastQuoted) {
        return Err{DropReason::MalformedIcmp};
    }
    wire::ChecksumSum sum;
    sum.add(quote.first(header));
    if (sum.folded() != 0xffff) return Err{DropReason::MalformedIcmp};
    const std::uint16_t fragment = wire::load16(quote, 6);
    if ((fragment & 0x1fffU) != 0) return Err{DropReason::IcmpNoMatch};

    const auto transport = quote.subspan(header, std::min(quote.size(), total) - header);
    EmbeddedPacket embedded;
    embedded.protocol = static_cast<net::IpProtocol>(quote[9]);
    embedded.source.address = net::Ipv4Address{wire::load32(quote, 12)};
    embedded.destination.address = net::Ipv4Address{wire::load32(quote, 16)};
    embedded.identification = wire::load16(quote, 4);
    embedded.totalLength = static_cast<std::uint16_t>(total);
    embedded.moreFragments = (fragment & 0x2000U) != 0;
    embedded.quoted = static_cast<std::uint32_t>(transport.size());
    std::copy_n(transport.begin(), embedded.head.size(), embedded.head.begin());
    if (net::hasPorts(embedded.protocol)) {
        embedded.source.port = net::Port{wire::load16(transport, 0)};
        embedded.destination.port = net::Port{wire::load16(transport, 2)};
        if (embedded.protocol == net::IpProtocol::Tcp) {
            embedded.tcpSequence = wire::load32(transport, 4);
        }
    }
    if (embedded.protocol == net::IpProtocol::Icmp) {
        const auto query = wire::IcmpView::parse(transport);
        if (!query || !query->isQuery()) return Err{DropReason::IcmpNoMatch};
        embedded.source.port = query->identifier();
        embedded.destination.port = query->identifier();
    }
    return IcmpError{icmp, embedded, wire::IcmpView::kHeader + header};
}

void IcmpError::translate(const EmbeddedTranslation& translation)
{
    constexpr std::size_t kIpAt = wire::IcmpView::kHeader;
    Patch patch(m_icmp.bytes());

    wire::ChecksumDelta addresses;
    addresses.replace32(m_embedded.source.address.hostOrder(),
                        translation.source.address.hostOrder());
    addresses.replace32(m_embedded.destination.address.hostOrder(),
                        translation.destination.address.hostOrder());
    patch.put32(kIpAt + 12, translation.source.address.hostOrder());
    patch.put32(kIpAt + 16, translation.destination.address.hostOrder());
    patch.put16(kIpAt + 10, addresses.applyTo(patch.at(kIpAt + 10)));

    const bool isIcmp = m_embedded.protocol == net::IpProtocol::Icmp;
    const auto checksumAt = checksumOffset(m_embedded.protocol);
    if (checksumAt) {
        wire::ChecksumDelta delta = isIcmp ? wire::ChecksumDelta{} : addresses;
        delta.replace16(m_embedded.source.port.hostOrder(), translation.source.port.hostOrder());
        if (isIcmp) {
            patch.put16(m_transportAt + 4, translation.source.port.hostOrder());
        } else {
            delta.replace16(m_embedded.destination.port.hostOrder(),
                            translation.destination.port.hostOrder());
            patch.put16(m_transportAt, translation.source.port.hostOrder());
            patch.put16(m_transportAt + 2, translation.destination.port.hostOrder());
        }
        if (translation.tcpSequence) {
            delta.replace32(m_embedded.tcpSequence, *translation.tcpSequence);
            patch.put32(m_transportAt + 4, *translation.tcpSequence);
            m_embedded.tcpSequence = *translation.tcpSequence;
        }
        if (m_embedded.quoted >= *checksumAt + 2) {
            const std::size_t at = m_transportAt + *checksumAt;
            const bool isUdp = m_embedded.protocol == net::IpProtocol::Udp;
            if (!isUdp || patch.at(at) != 0) {
                const std::uint16_t updated = delta.applyTo(patch.at(at));
                patch.put16(at, isUdp && updated == 0 ? std::uint16_t{0xffff} : updated);
            }
        }
    } else if (translation.rewrite) {
        assert(translation.rewrite->offset % 2 == 0 && translation.rewrite->offset <= 6);
        patch.put16(m_transportAt + translation.rewrite->offset, translation.rewrite->value);
    }
    patch.finish();

    m_embedded.source = translation.source;
    m_embedded.destination = translation.destination;
    const auto head = m_icmp.bytes().subspan(m_transportAt, m_embedded.head.size());
    std::copy(head.begin(), head.end(), m_embedded.head.begin());
}

bool mayReportAbout(const wire::Ipv4View& offending)
{
    if (offending.fragmentOffset() != 0) return false;
    if (!isOneHost(offending.source()) || !isOneHost(offending.destination())) return false;
    if (offending.protocol() != net::IpProtocol::Icmp) return true;
    const auto icmp = wire::IcmpView::parse(offending.payload());
    return icmp && icmp->isQuery();
}

std::optional<std::vector<std::uint8_t>> IcmpErrorSource::make(Instant now,
                                                               const wire::IcmpErrorFields& fields,
                                                               const wire::Ipv4View& offending)
{
    if (!mayReportAbout(offending) || !spend(now, offending.source())) return std::nullopt;
    return wire::buildIcmpError(fields, offending.bytes());
}

std::optional<std::vector<std::uint8_t>> IcmpErrorSource::tooBig(Instant now,
                                                                 net::Ipv4Address router,
                                                                 std::uint16_t mtu,
                                                                 const wire::Ipv4View& offending)
{
    return make(now,
                {.source = router,
                 .type = wire::IcmpType::Unreachable,
                 .code = wire::icmp_unreachable::kFragmentationNeeded,
                 .rest = mtu},
                offending);
}

bool IcmpErrorSource::spend(Instant now, net::Ipv4Address receiver)
{
    Budget& budget = m_budgets[sipHash(m_key, receiver.hostOrder(), 0x49434d50U) % kBudgets];
    if (now >= budget.windowEnds) {
        budget.windowEnds = now + kBudgetWindow;
        // How many there will be in this window depends on the key, the receiver and the time.
        const std::uint64_t chance =
            sipHash(m_key, receiver.hostOrder(), static_cast<std::uint64_t>(now.nanoseconds()));
        budget.spent = static_cast<std::uint32_t>(chance % kBudgetSpread);
    }
    if (budget.spent >= kBudgetLeast + kBudgetSpread) return false;
    ++budget.spent;
    return true;
}

}  // namespace engine::nat
