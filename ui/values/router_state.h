#pragma once

#include <QString>

#include <cstdint>

namespace ui {

/// Whether this computer shares its connection right now, as the header chip and the start page
/// show it.
struct RouterState {
    enum class Kind : std::uint8_t {
        NotSharing,  ///< nothing runs; the start page is shown
        Starting,
        Sharing,        ///< packets flow; internal and external name the cards
        Lab,            ///< the built-in network of simulated computers
        DaemonMissing,  ///< the window was told to attach and nobody answers
        Denied,         ///< a service is there that does not let this user in; `text` says why
        Error,          ///< could not start or had to stop; `text` says why in whole sentences
    };
    Kind kind = Kind::NotSharing;
    QString internalInterface;
    QString externalInterface;
    QString text;     ///< Error, Denied: for people, plain text. Starting: the step under way
    QString details;  ///< Error, Denied: what [Copy details] puts on the clipboard; may be empty
    /// True when a service on this computer holds the engine rather than this program.
    bool attached = false;
    friend bool operator==(const RouterState&, const RouterState&) = default;
};

}  // namespace ui
