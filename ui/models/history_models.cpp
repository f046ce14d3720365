#include "ui/models/history_models.h"

#include "ui/text/tunnel_words.h"
#include "ui/text/words.h"

namespace ui {

namespace {

QString nameFor(const QString& name, engine::net::Ipv4Address address)
{
    const QString safe = safeText(name, 40);
    return safe.isEmpty() ? textOf(address) : safe;
}

/// The year only where it is not this one.
QString endedText(const QDateTime& at, const Format& format)
{
    const bool thisYear = at.date().year() == QDate::currentDate().year();
    return format.locale().toString(
        at, thisYear ? QStringLiteral("d MMM, HH:mm") : QStringLiteral("d MMM yyyy, HH:mm"));
}

engine::Duration spanOf(const QDateTime& from, const QDateTime& to)
{
    return std::chrono::milliseconds(from.msecsTo(to));
}

}  // namespace

HistoryTunnelModel::HistoryTunnelModel(const Presentation& presentation, QObject* parent)
    : RowModel({tr("Ended"), tr("Protocol"), tr("Device"), tr("VPN server"), tr("How it passed"),
                tr("For"), tr("Total ↓ / ↑"), tr("Why it ended")},
               parent),
      m_presentation(presentation)
{}

bool HistoryTunnelModel::less(const HistoryTunnel& a, const HistoryTunnel& b, int column) const
{
    switch (static_cast<Column>(column)) {
    case Ended: return a.ended < b.ended;
    case For: return a.started.msecsTo(a.ended) < b.started.msecsTo(b.ended);
    case Total: return a.bytesInbound + a.bytesOutbound < b.bytesInbound + b.bytesOutbound;
    case Device: return a.device < b.device;
    case Protocol:
    case Server:
    case Passage:
    case Why: return text(a, column).localeAwareCompare(text(b, column)) < 0;
    case ColumnCount: break;
    }
    return false;
}

QString HistoryTunnelModel::text(const HistoryTunnel& row, int column) const
{
    const Format& format = m_presentation.format;
    switch (static_cast<Column>(column)) {
    case Ended: return endedText(row.ended, format);
    case Protocol:
        return nameOf(row.protocol) + (row.confidence == engine::tunnel::Confidence::Guess
                                           ? QStringLiteral("?")
                                           : QString());
    case Device: return nameFor(row.deviceName, row.device);
    case Server: {
        const QString name = safeText(row.serverName, 64);
        return name.isEmpty() ? textOf(row.server.address) : name;
    }
    case Passage: return passageText(row.passage);
    case For: return format.duration(spanOf(row.started, row.ended));
    case Total:
        return format.bytes(row.bytesInbound) + QStringLiteral(" / ") +
               format.bytes(row.bytesOutbound);
    case Why: {
        if (row.phase == engine::tunnel::Phase::Failed ||
            row.phase == engine::tunnel::Phase::Refused)
            return wordOf(row.phase);
        return endWord(row.endCause);
    }
    case ColumnCount: break;
    }
    return {};
}

QString HistoryTunnelModel::sentence(const HistoryTunnel& row) const
{
    return tr("%1 from %2 to %3, ended %4 after %5. %6")
        .arg(text(row, Protocol), text(row, Device), text(row, Server), text(row, Ended),
             text(row, For), text(row, Why) + QStringLiteral(". ") + endSentence(row.endCause, 0));
}

QVariant HistoryTunnelModel::extra(const HistoryTunnel& row, int column, int role) const
{
    if (role == SecondLineRole && column == Device)
        return row.deviceName.isEmpty() ? QString() : textOf(row.device);
    if (role == SecondLineRole && column == Server)
        return row.serverName.isEmpty() ? QString() : textOf(row.server);
    const bool bad =
        row.phase == engine::tunnel::Phase::Failed || row.phase == engine::tunnel::Phase::Refused;
    if (role == ShapeRole && column == Why)
        return static_cast<int>(bad ? Shape::Cross : Shape::Square);
    if (role == MeaningRole && column == Why)
        return static_cast<int>(bad ? Meaning::Bad : Meaning::Neutral);
    return {};
}

HistoryConnectionModel::HistoryConnectionModel(const Presentation& presentation, QObject* parent)
    : RowModel({tr("Ended"), tr("Protocol"), tr("Device"), tr("Remote"), tr("External"), tr("For"),
                tr("↓ In"), tr("↑ Out")},
               parent),
      m_presentation(presentation)
{}

bool HistoryConnectionModel::less(const HistoryConnection& a, const HistoryConnection& b,
                                  int column) const
{
    switch (static_cast<Column>(column)) {
    case Ended: return a.ended < b.ended;
    case Protocol: return a.protocol < b.protocol;
    case Device: return a.internal < b.internal;
    case Remote: return a.remote < b.remote;
    case External: return a.external < b.external;
    case For: return a.started.msecsTo(a.ended) < b.started.msecsTo(b.ended);
    case Inbound: return a.bytesInbound < b.bytesInbound;
    case Outbound: return a.bytesOutbound < b.bytesOutbound;
    case ColumnCount: break;
    }
    return false;
}

QString HistoryConnectionModel::text(const HistoryConnection& row, int column) const
{
    const Format& format = m_presentation.format;
    switch (static_cast<Column>(column)) {
    case Ended: return endedText(row.ended, format);
    case Protocol: return nameOf(row.protocol);
    case Device: return nameFor(row.deviceName, row.internal.address);
    case Remote: return textOf(row.remote);
    case External: return textOf(row.external);
    case For: return format.duration(spanOf(row.started, row.ended));
    case Inbound: return format.bytes(row.bytesInbound);
    case Outbound: return format.bytes(row.bytesOutbound);
    case ColumnCount: break;
    }
    return {};
}

QString HistoryConnectionModel::sentence(const HistoryConnection& row) const
{
    return tr("%1 from %2 to %3, ended %4 after %5, received %6, sent %7")
        .arg(text(row, Protocol), text(row, Device), text(row, Remote), text(row, Ended),
             text(row, For), text(row, Inbound), text(row, Outbound));
}

QVariant HistoryConnectionModel::extra(const HistoryConnection& row, int column, int role) const
{
    if (role == SecondLineRole && column == Device) {
        return row.deviceName.isEmpty()
                   ? (row.internal.port.hostOrder() == 0
                          ? QString()
                          : QLatin1Char(':') + QString::number(row.internal.port.hostOrder()))
                   : textOf(row.internal);
    }
    return {};
}

}  // namespace ui
