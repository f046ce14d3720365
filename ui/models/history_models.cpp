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
                tr("For"), tr("Total ↓ / ↑"), tr("Why")},
               parent),
      m_presentation(presentation)
{}

void HistoryTunnelModel::setRows(std::vector<HistoryTunnel> rows)
{
    m_states.clear();
    replace(std::move(rows));
}

void HistoryTunnelModel::setSnapshot(const engine::Snapshot& snapshot)
{
    std::map<std::uint64_t, const engine::tunnel::Tunnel*> known;
    for (const auto& tunnel : snapshot.tunnels)
        known[tunnel.serial] = &tunnel;
    std::vector<HistoryTunnel> rows = all();
    bool changed = false;
    for (HistoryTunnel& row : rows) {
        if (!row.isLive()) continue;
        const auto found = known.find(row.detail.serial);
        if (found == known.end()) continue;
        const engine::tunnel::Tunnel& tunnel = *found->second;
        row.phase = tunnel.phase;
        row.started = m_presentation.timeOf(tunnel.started);
        row.bytesInbound = tunnel.inbound.bytes;
        row.bytesOutbound = tunnel.outbound.bytes;
        m_states[row.serial] = ui::stateOf(tunnel, snapshot.at);
        if (engine::tunnel::isOver(tunnel.phase)) {
            row.ended = m_presentation.timeOf(tunnel.ended);
            row.endCause = tunnel.endCause;
        }
        changed = true;
    }
    if (changed) replace(std::move(rows));
}

TunnelState HistoryTunnelModel::stateOf(const HistoryTunnel& row) const
{
    const auto known = m_states.find(row.serial);
    if (known != m_states.end()) return known->second;
    engine::tunnel::Tunnel tunnel = row.detail;
    tunnel.phase = row.phase;
    return ui::stateOf(tunnel, m_presentation.ofHistory().now);
}

engine::Duration HistoryTunnelModel::spanOf(const HistoryTunnel& row) const
{
    return ui::spanOf(row.started, row.isLive() ? m_presentation.wallClock : row.ended);
}

bool HistoryTunnelModel::less(const HistoryTunnel& a, const HistoryTunnel& b, int column) const
{
    switch (static_cast<Column>(column)) {
    case Ended:
        // What still runs ends later than anything that has ended.
        if (a.isLive() != b.isLive()) return b.isLive();
        return a.isLive() ? a.started < b.started : a.ended < b.ended;
    case For: return spanOf(a) < spanOf(b);
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
    case Ended: return row.isLive() ? tr("Still running") : endedText(row.ended, format);
    case Protocol: return protocolText(row.protocol, row.confidence);
    case Device: return nameFor(row.deviceName, row.device);
    case Server: {
        const QString name = safeText(row.serverName, 64);
        return name.isEmpty() ? textOf(row.server.address) : name;
    }
    case Passage: return passageText(row.passage, row.protocol);
    case For: return format.duration(spanOf(row));
    case Total:
        return format.bytes(row.bytesInbound) + QStringLiteral(" / ") +
               format.bytes(row.bytesOutbound);
    case Why:
        if (row.isLive()) return wordOf(stateOf(row));
        if (row.phase == engine::tunnel::Phase::Failed ||
            row.phase == engine::tunnel::Phase::Refused)
            return wordOf(row.phase);
        return endWord(row.endCause);
    case ColumnCount: break;
    }
    return {};
}

QString HistoryTunnelModel::sentence(const HistoryTunnel& row) const
{
    if (row.isLive()) {
        return tr("%1 from %2 to %3, still running after %4: %5")
            .arg(text(row, Protocol), text(row, Device), text(row, Server), text(row, For),
                 text(row, Why));
    }
    engine::tunnel::Tunnel over = row.detail;
    over.phase = row.phase;
    over.endCause = row.endCause;
    return tr("%1 from %2 to %3, ended %4 after %5. %6")
        .arg(text(row, Protocol), text(row, Device), text(row, Server), text(row, Ended),
             text(row, For), text(row, Why) + QStringLiteral(". ") + endSentence(over));
}

QVariant HistoryTunnelModel::extra(const HistoryTunnel& row, int column, int role) const
{
    if (role == SecondLineRole && column == Device)
        return row.deviceName.isEmpty() ? QString() : textOf(row.device);
    if (role == SecondLineRole && column == Server)
        return row.serverName.isEmpty() ? QString() : textOf(row.server);
    const bool bad =
        row.phase == engine::tunnel::Phase::Failed || row.phase == engine::tunnel::Phase::Refused;
    if (role == SecondLineRole && column == Why)
        return bad && !row.detail.findings.empty() ? titleOf(row.detail.findings.back().kind)
                                                   : QString();
    if (row.isLive() && (column == Why || column == Ended)) {
        if (role == ShapeRole) return static_cast<int>(shapeOf(stateOf(row)));
        if (role == MeaningRole) return static_cast<int>(meaningOf(stateOf(row)));
    }
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
