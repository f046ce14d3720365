#pragma once

#include <QString>

#include <string_view>

namespace app {

/// Words of the engine, of SQLite or of the command line (UTF-8) as Qt's text.
[[nodiscard]] inline QString qt(std::string_view text)
{
    return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

}  // namespace app
