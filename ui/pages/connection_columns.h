#pragma once

#include "ui/widgets/table.h"

namespace ui {

/// The columns of ConnectionModel, wherever a table of sessions is: on the Connections page and in
/// a tunnel's details. What stands in the first one differs.
[[nodiscard]] inline QList<Table::Width> connectionWidths(const QString& widestProtocol)
{
    return {{widestProtocol},
            {},
            {QStringLiteral("198.51.100.255:65535")},
            {QStringLiteral("203.0.113.255:65535")},
            {QStringLiteral("Unanswered"), Table::Width::Beside::Shape},
            {QStringLiteral("59 min")},
            {QStringLiteral("59 min")},
            {QStringLiteral("59 min")},
            {QStringLiteral("88.8 MB")},
            {QStringLiteral("88.8 MB")}};
}

}  // namespace ui
