#pragma once

#include <QString>

namespace app {

/// Where rules, history, sessions and the journal of the host are kept unless a folder is named:
/// the service's for root, the user's own for anybody else.
[[nodiscard]] QString defaultStateFolder();

}  // namespace app
