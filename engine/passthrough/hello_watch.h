#pragma once

#include "engine/passthrough/flow.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace engine::passthrough {

/// Watches whether a TCP connection gets past its client's first message. Who filters VPNs lets
/// TCP's handshake through, reads what the client asks for, and then cuts the connection or lets
/// nothing of it pass any more.
class HelloWatch {
public:
    enum class Cut : std::uint8_t { Reset, Closed, Swallowed };

    /// Every segment from the client's first message on, in the order seen; earlier ones do no
    /// harm. Answers once at most: when the connection is cut, and never after the server has said
    /// anything.
    std::optional<Cut> take(Instant now, net::Direction client, const Segment& segment);

    /// Nothing more can come of it: it has been answered or cut.
    [[nodiscard]] bool isOver() const { return m_isOver; }
    /// How often the first message was sent.
    [[nodiscard]] std::uint32_t times() const { return m_times; }
    /// The headers of the packet that carried it.
    [[nodiscard]] wire::ConstBytes proof() const { return m_proof; }
    /// The part of a packet that proves something without giving away what it says.
    [[nodiscard]] static wire::ConstBytes headersOf(wire::ConstBytes packet);

private:
    bool m_isOver = false;
    bool m_isLarge = false;
    std::uint32_t m_times = 0;
    std::uint32_t m_sequence = 0;
    Instant m_first;
    std::vector<std::uint8_t> m_proof;
};

/// Whether the name of a server says that it is one for VPNs. Names are hostile and prove nothing:
/// only for choosing among guesses.
[[nodiscard]] bool isNamedForVpn(std::string_view serverName);

}  // namespace engine::passthrough
