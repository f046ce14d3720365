#pragma once

#include "ui/page.h"

#include <QString>

#include <utility>
#include <vector>

/// What F1 says.
namespace ui {

/// A few sentences on what a page is for and how it is used.
[[nodiscard]] QString helpOn(Page page);

/// Every key of the window with what it does.
[[nodiscard]] std::vector<std::pair<QString, QString>> keys();

}  // namespace ui
