#pragma once

#include <cstdint>
#include <string>

namespace engine::io {

/// One thing of the host that a running router holds, or that a crashed one has left: none of them
/// was there before, and all of them are taken back together.
struct HeldSetting {
    enum class Kind : std::uint8_t {
        Card,      ///< the right to use it, which one process has
        Qdisc,     ///< the clsact qdisc, made because there was none
        Filter,    ///< a traffic-control program on the card's ingress hook
        Traffic,   ///< what that program keeps from the host's own stack
        Answered,  ///< an address the host does not have and ARP is answered for
    };
    static constexpr int kKindCount = 5;
    Kind kind = Kind::Card;
    std::string interface;
    std::string detail;  ///< in the words of tc and ip; empty for a card
    /// False: somebody else has taken it away meanwhile.
    bool there = true;
    friend bool operator==(const HeldSetting&, const HeldSetting&) = default;
};

}  // namespace engine::io
