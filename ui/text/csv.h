#pragma once

#include <QString>

namespace ui {

/// The text as a cell of a CSV file (RFC 4180), always quoted. What a spreadsheet would take for a
/// formula is text: names come from the network.
[[nodiscard]] QString csvCell(QString text);

}  // namespace ui
