#pragma once

#include "engine/base/time.h"
#include "engine/net/direction.h"
#include "engine/net/ipv4_address.h"
#include "engine/tunnel/tunnel.h"
#include "engine/wire/bytes.h"

#include <array>
#include <cstdint>
#include <optional>

namespace engine::passthrough {

/// Watches the PPP frames (RFC 1661) of one call or session go by and says what they show: how far
/// the connection has got, a refused password, weak encryption, how far away the server is, and
/// what address and packet size were agreed on. LCP and the network control protocols are never
/// encrypted (RFC 3078 §3: MPPE takes data only). Names, passwords and challenges are looked past;
/// nothing of a frame is kept.
class PppObserver {
public:
    struct News {
        std::optional<tunnel::Phase> phase;  ///< when it changes
        /// The server refused: MS-CHAP's E= number, 0 if the protocol gives none.
        std::optional<std::uint32_t> authenticationError;
        /// 0: data in clear; 40 or 56: bits of MPPE that both agreed on. Told once.
        std::optional<std::uint32_t> weakBits;
        /// IPCP: the address that the receiver of this frame is to have inside the tunnel. Told
        /// once for each address.
        std::optional<net::Ipv4Address> innerAddress;
        /// The server's answer to an echo request or configuration of the client, router to server.
        std::optional<Duration> roundTrip;
        /// The largest packet that both sides take (MRU). Told when it changes.
        std::optional<std::uint16_t> mtu;
        bool terminating = false;
    };

    /// One frame, from its address field or protocol field on. Total.
    News observe(Instant now, net::Direction direction, wire::ConstBytes frame);

private:
    /// The client's latest request that has to be answered at once.
    struct Question {
        Instant at;
        std::uint8_t code = 0;  ///< 0: none is open
        std::uint8_t id = 0;
        bool repeated = false;  ///< which of two an answer is for cannot be told
    };

    void observeLcp(Instant now, net::Direction direction, wire::ConstBytes packet, News& news);
    void measure(Instant now, net::Direction direction, wire::ConstBytes packet, News& news);
    void observeAuthentication(std::uint16_t protocol, wire::ConstBytes packet, News& news);
    void observeNetwork(std::uint16_t protocol, net::Direction direction, wire::ConstBytes packet,
                        News& news);
    void moveTo(tunnel::Phase phase, News& news);

    tunnel::Phase m_phase = tunnel::Phase::Seen;
    std::array<bool, 2> m_dataSeen{};
    std::array<bool, 2> m_addressAgreed{};
    std::array<net::Ipv4Address, 2> m_innerTold{};
    Question m_question;
    std::array<std::uint16_t, 2> m_mru{};  ///< by who may send so much; 0: not agreed yet
    std::uint16_t m_mtuTold = 0;
    bool m_weaknessTold = false;
    bool m_terminating = false;
};

}  // namespace engine::passthrough
