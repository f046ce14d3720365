#pragma once

#include "engine/base/drop_reason.h"
#include "engine/base/result.h"
#include "engine/base/siphash.h"
#include "engine/base/time.h"
#include "engine/net/endpoint.h"
#include "engine/net/ip_protocol.h"
#include "engine/wire/builder.h"
#include "engine/wire/icmp_view.h"
#include "engine/wire/ipv4_view.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

/// ICMP errors: translating those of others by the packet that they quote (RFC 5508 §4), and making
/// our own (RFC 1812 §4.3).
namespace engine::nat {

/// What an ICMP error quotes of the packet that it is about, as far as a NAT needs it.
struct EmbeddedPacket {
    net::IpProtocol protocol = net::IpProtocol::Udp;
    /// Ports of TCP and UDP. An ICMP query's identifier stands in both. Else zero.
    net::Endpoint source;
    net::Endpoint destination;
    std::uint16_t identification = 0;
    std::uint16_t totalLength = 0;       ///< what the quoted header says
    bool moreFragments = false;          ///< the packet was a first fragment
    std::uint32_t tcpSequence = 0;       ///< TCP only
    std::array<std::uint8_t, 8> head{};  ///< the first octets of the transport: Call ID, SPI, …
    std::uint32_t quoted = 0;            ///< how many transport octets are quoted; at least eight
};

/// The addresses and ports that shall stand in the quoted packet instead. For protocols without
/// ports the ports are ignored; an ICMP query's identifier is taken from `source`.
struct EmbeddedTranslation {
    net::Endpoint source;
    net::Endpoint destination;
    /// 16 bits among the first eight octets of a port-less protocol (PPTP's Call ID), which has no
    /// checksum of its own.
    struct Rewrite {
        std::uint8_t offset = 0;  ///< even, at most six
        std::uint16_t value = 0;
    };
    std::optional<Rewrite> rewrite{};
    std::optional<std::uint32_t> tcpSequence{};  ///< TCP only
};

/// An ICMP error in somebody else's buffer. Valid while the buffer is.
class IcmpError {
public:
    /// Takes an unfragmented packet whose protocol is ICMP and whose message isError(). Refused
    /// are: a wrong ICMP checksum (RFC 5508 REQ-3), a quoted IP header that is cut, contradicts
    /// itself or has a wrong checksum (REQ-3a), fewer than eight transport octets, a quoted
    /// fragment without ports, a quoted ICMP message that is no query. Options in the quoted header
    /// are stepped over (REQ-3b); the quoted transport checksum is not looked at (REQ-3c); what
    /// follows the quoted packet (RFC 4884) is left alone (REQ-3d).
    static Result<IcmpError, DropReason> parse(const wire::Ipv4View& outer);

    [[nodiscard]] const wire::IcmpView& icmp() const { return m_icmp; }
    [[nodiscard]] const EmbeddedPacket& embedded() const { return m_embedded; }

    /// Rewrites the quoted packet and the checksums of its IP header, of its transport header as
    /// far as that is quoted, and of the ICMP message. Type, code and everything else stay. The
    /// outer IP header is the caller's: it is not covered by any of these.
    void translate(const EmbeddedTranslation& translation);

private:
    IcmpError(wire::IcmpView icmp, const EmbeddedPacket& embedded, std::size_t transportAt)
        : m_icmp(icmp), m_embedded(embedded), m_transportAt(transportAt)
    {}

    wire::IcmpView m_icmp;
    EmbeddedPacket m_embedded;
    std::size_t m_transportAt;  ///< in the ICMP message
};

/// Whether an ICMP error about this packet may be sent at all (RFC 1812 §4.3.2.7, RFC 1122 §3.2.2):
/// not about an ICMP error, a later fragment, a packet to several hosts, or one whose source is not
/// a single host. Directed broadcasts are only the caller's to know.
[[nodiscard]] bool mayReportAbout(const wire::Ipv4View& offending);

/// Makes the router's own ICMP errors, not more than the host that caused them can bear (RFC 1812
/// §4.3.2.8). Every receiver has a budget of its own whose size nobody can foresee, so that
/// counting our errors tells an attacker nothing about other hosts (the side channel of
/// CVE-2020-25705).
class IcmpErrorSource {
public:
    explicit IcmpErrorSource(HashKey key) : m_key(key), m_budgets(kBudgets) {}

    /// The packet to send to `offending`'s source, or nothing if none may be or the budget is
    /// spent.
    std::optional<std::vector<std::uint8_t>> make(Instant now, const wire::IcmpErrorFields& fields,
                                                  const wire::Ipv4View& offending);
    /// "Fragmentation needed" with the next hop's MTU (RFC 1191 §4).
    std::optional<std::vector<std::uint8_t>> tooBig(Instant now, net::Ipv4Address router,
                                                    std::uint16_t mtu,
                                                    const wire::Ipv4View& offending);

private:
    static constexpr std::size_t kBudgets = 1024;

    /// One per receiver; receivers that hash to one place share it.
    struct Budget {
        Instant windowEnds;
        std::uint32_t spent = 0;
    };

    bool spend(Instant now, net::Ipv4Address receiver);

    HashKey m_key;
    std::vector<Budget> m_budgets;
};

}  // namespace engine::nat
