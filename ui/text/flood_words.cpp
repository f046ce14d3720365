#include "ui/text/flood_words.h"

#include <QCoreApplication>
#include <QLocale>

namespace ui {

namespace {

struct Words {
    Q_DECLARE_TR_FUNCTIONS(Words)
};

/// `words` with the server (%1), the attempts answered (%2) and those that were real (%3).
QString filled(const QString& words, const engine::SynFloodStatus& flood)
{
    const QLocale locale;
    return words.arg(QString::fromStdString(flood.server.toString()),
                     locale.toString(static_cast<qulonglong>(flood.answered)),
                     locale.toString(static_cast<qulonglong>(flood.proved)));
}

}  // namespace

QString sentenceOf(const engine::SynFloodStatus& flood)
{
    return filled(Words::tr("Connections to %1 are checked before they are passed on: a flood of "
                            "connection attempts. %2 answered so far, %3 of them real."),
                  flood);
}

QString sentenceAfter(const engine::SynFloodStatus& flood)
{
    return filled(Words::tr("The flood of connection attempts at %1 is over; connections are "
                            "passed on unchecked again. %2 were answered, %3 of them real."),
                  flood);
}

}  // namespace ui
