#pragma once

#include <QString>

#include <cstdint>
#include <vector>

namespace ui {

/// One thing of this computer that a router holds, or that a crashed one has left.
struct HostSetting {
    enum class Kind : std::uint8_t { Card, Qdisc, Filter, Traffic, Answered };
    Kind kind = Kind::Card;
    QString interface;
    QString detail;     ///< in the words of tc and ip
    bool there = true;  ///< false: somebody else has taken it away
    friend bool operator==(const HostSetting&, const HostSetting&) = default;
};

/// All of them, and who holds them.
struct HostHoldings {
    enum class Holder : std::uint8_t {
        Nobody,     ///< and `settings` is empty
        Window,     ///< this program shares
        Service,    ///< underpassd does, and this window is attached to it
        Leftovers,  ///< of a run that crashed; nothing runs
    };
    Holder holder = Holder::Nobody;
    std::vector<HostSetting> settings;
    friend bool operator==(const HostHoldings&, const HostHoldings&) = default;
};

}  // namespace ui
