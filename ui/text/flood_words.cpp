#include "ui/text/flood_words.h"

#include <QCoreApplication>

namespace ui {

namespace {

struct Words {
    Q_DECLARE_TR_FUNCTIONS(Words)
};

}  // namespace

QString sentenceOf(const engine::SynFloodStatus& flood)
{
    return Words::tr(
               "Connections to %1 are checked before they are passed on: a flood of "
               "connection attempts. %2 answered so far, %3 of them real.")
        .arg(QString::fromStdString(flood.server.toString()))
        .arg(flood.answered)
        .arg(flood.proved);
}

QString sentenceAfter(const engine::SynFloodStatus& flood)
{
    return Words::tr(
               "The flood of connection attempts at %1 is over; connections are passed on "
               "unchecked again. %2 were answered, %3 of them real.")
        .arg(QString::fromStdString(flood.server.toString()))
        .arg(flood.answered)
        .arg(flood.proved);
}

}  // namespace ui
