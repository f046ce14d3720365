#include "app/state_folder.h"

#include <QStandardPaths>

#include <unistd.h>

namespace app {

QString defaultStateFolder()
{
    return ::geteuid() == 0
               ? QStringLiteral("/var/lib/underpass")
               : QStandardPaths::writableLocation(QStandardPaths::GenericDataLocation) +
                     QStringLiteral("/underpass");
}

}  // namespace app
