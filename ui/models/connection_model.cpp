#include "ui/models/connection_model.h"

#include "ui/text/words.h"

#include <algorithm>

namespace ui {

using engine::SessionRecord;
using engine::net::IpProtocol;

namespace {

QStringList connectionHeadings()
{
    return {ConnectionModel::tr("Protocol"),    ConnectionModel::tr("Device"),
            ConnectionModel::tr("Remote"),      ConnectionModel::tr("External"),
            ConnectionModel::tr("State"),       ConnectionModel::tr("For"),
            ConnectionModel::tr("Last packet"), ConnectionModel::tr("Expires"),
            ConnectionModel::tr("↓ In"),        ConnectionModel::tr("↑ Out")};
}

}  // namespace

ConnectionModel::ConnectionModel(const Presentation& presentation, QObject* parent)
    : RowModel(connectionHeadings(), parent), m_presentation(presentation)
{}

void ConnectionModel::setSessions(std::vector<SessionRecord> sessions, engine::Instant at)
{
    if (!isFrozen()) m_at = at;
    replace(std::move(sessions));
}

void ConnectionModel::setFilter(const ConnectionFilter& filter)
{
    if (filter == m_filter) return;
    m_filter = filter;
    m_words.clear();
    for (const QString& part : filter.text.split(QLatin1Char(' '), Qt::SkipEmptyParts)) {
        Word word;
        word.text = part;
        word.octets = part.toStdString();
        for (const auto& [address, device] : m_presentation.devices) {
            if (device.name.contains(part, Qt::CaseInsensitive)) word.devices.push_back(address);
        }
        m_words.push_back(std::move(word));
    }
    refilter();
}

bool ConnectionModel::matches(const SessionRecord& row, const Word& word) const
{
    if (std::find(word.devices.begin(), word.devices.end(), row.internal.address) !=
        word.devices.end())
        return true;
    if (row.internal.toString().find(word.octets) != std::string::npos) return true;
    if (row.remote.toString().find(word.octets) != std::string::npos) return true;
    if (row.external.toString().find(word.octets) != std::string::npos) return true;
    if (nameOf(row.protocol).compare(word.text, Qt::CaseInsensitive) == 0) return true;
    return stateText(row).contains(word.text, Qt::CaseInsensitive);
}

bool ConnectionModel::accepts(const SessionRecord& row) const
{
    switch (m_filter.kind) {
    case ConnectionFilter::Kind::All: break;
    case ConnectionFilter::Kind::Tcp:
        if (row.protocol != IpProtocol::Tcp) return false;
        break;
    case ConnectionFilter::Kind::Udp:
        if (row.protocol != IpProtocol::Udp) return false;
        break;
    case ConnectionFilter::Kind::Other:
        if (row.protocol == IpProtocol::Tcp || row.protocol == IpProtocol::Udp) return false;
        break;
    }
    if (m_filter.unansweredOnly && row.answered) return false;
    if (m_filter.tunnelsOnly && row.tunnelSerial == 0) return false;
    if (m_filter.device && row.internal.address != *m_filter.device) return false;
    if (m_filter.tunnelSerial != 0 && row.tunnelSerial != m_filter.tunnelSerial) return false;
    return std::all_of(m_words.begin(), m_words.end(),
                       [&](const Word& word) { return matches(row, word); });
}

bool ConnectionModel::less(const SessionRecord& a, const SessionRecord& b, int column) const
{
    switch (static_cast<Column>(column)) {
    case Protocol: return a.protocol < b.protocol;
    case Device: return a.internal < b.internal;
    case Remote: return a.remote < b.remote;
    case External: return a.external < b.external;
    case State:
        return std::tuple(a.held, a.answered, a.tcpState) <
               std::tuple(b.held, b.answered, b.tcpState);
    case For: return a.created > b.created;
    case LastPacket: return a.lastPacket > b.lastPacket;
    case Expires: return a.expires < b.expires;
    case Inbound: return a.inbound.bytes < b.inbound.bytes;
    case Outbound: return a.outbound.bytes < b.outbound.bytes;
    case ColumnCount: break;
    }
    return false;
}

QString ConnectionModel::stateText(const SessionRecord& row) const
{
    if (row.held) return tr("Held");
    if (!row.answered) return tr("Unanswered");
    const QString tcp = wordOf(row.tcpState);
    return tcp.isEmpty() ? tr("Both ways") : tcp;
}

QString ConnectionModel::text(const SessionRecord& row, int column) const
{
    const Format& format = m_presentation.format;
    const auto id = [&](std::uint32_t discriminator) {
        return row.protocol == IpProtocol::Esp ? spi(discriminator)
                                               : QString::number(discriminator);
    };
    switch (static_cast<Column>(column)) {
    case Protocol: return nameOf(row.protocol);
    case Device: return m_presentation.deviceName(row.internal.address);
    case Remote: {
        const QString remote = textOf(row.remote);
        return row.discriminatorOut == 0
                   ? remote
                   : remote + QStringLiteral("  #") + id(row.discriminatorOut);
    }
    case External: {
        const QString external = textOf(row.external);
        return row.discriminatorIn == 0
                   ? external
                   : external + QStringLiteral("  #") + id(row.discriminatorIn);
    }
    case State: return stateText(row);
    case For: return format.shortDuration(m_at - row.created);
    case LastPacket: return format.shortDuration(m_at - row.lastPacket);
    case Expires:
        return row.expires > m_at ? tr("in %1").arg(format.shortDuration(row.expires - m_at))
                                  : tr("now");
    case Inbound: return format.bytes(row.inbound.bytes);
    case Outbound: return format.bytes(row.outbound.bytes);
    case ColumnCount: break;
    }
    return {};
}

QString ConnectionModel::sentence(const SessionRecord& row) const
{
    const Format& format = m_presentation.format;
    return tr("%1, %2, from %3 port %4 to %5 as %6, for %7, received %8, sent %9")
        .arg(nameOf(row.protocol), stateText(row),
             m_presentation.deviceNameAndAddress(row.internal.address),
             QString::number(row.internal.port.hostOrder()), textOf(row.remote),
             textOf(row.external), format.duration(m_at - row.created),
             format.bytes(row.inbound.bytes), format.bytes(row.outbound.bytes));
}

QVariant ConnectionModel::extra(const SessionRecord& row, int column, int role) const
{
    if (column == Device && role == SecondLineRole) {
        const QString port =
            row.internal.port.hostOrder() == 0
                ? QString()
                : QLatin1Char(':') + QString::number(row.internal.port.hostOrder());
        return m_presentation.isNamed(row.internal.address) ? textOf(row.internal) : port;
    }
    if (column == State) {
        using engine::TcpState;
        const bool closing = row.tcpState == TcpState::OutboundFin ||
                             row.tcpState == TcpState::InboundFin ||
                             row.tcpState == TcpState::BothFin;
        Shape shape = Shape::Disc;
        Meaning meaning = Meaning::Good;
        if (row.held) {
            shape = Shape::Bars;
            meaning = Meaning::Held;
        } else if (!row.answered || closing || row.tcpState == TcpState::Transitory) {
            shape = closing ? Shape::Square : row.answered ? Shape::Cross : Shape::Ring;
            meaning = Meaning::Neutral;
        }
        if (role == ShapeRole) return static_cast<int>(shape);
        if (role == MeaningRole) return static_cast<int>(meaning);
    }
    if (column == Protocol && role == SecondLineRole && row.tunnelSerial != 0)
        return tr("in a tunnel");
    if (column == Protocol && role == SecondLineRole && row.forwardId != 0)
        return tr("port forward");
    return {};
}

bool ConnectionModel::isNumber(int column) const
{
    return column == For || column == LastPacket || column == Inbound || column == Outbound ||
           column == Expires;
}

}  // namespace ui
