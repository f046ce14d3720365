#pragma once

#include <QString>

#include <cstdint>

namespace ui {

/// Something the user must know, shown inline above the page, never in a box. Plain text.
struct Message {
    enum class Severity : std::uint8_t { Information, Success, Warning, Error };
    Severity severity = Severity::Information;
    QString text;
    QString details;  ///< what [Copy details] puts on the clipboard; may be empty
    friend bool operator==(const Message&, const Message&) = default;
};

/// A line of the About box: a library and its version and licence.
struct VersionLine {
    QString component;
    QString version;
    QString licence;
};

}  // namespace ui
