#include "ui/models/tunnel_model.h"

#include "ui/text/filter_words.h"
#include "ui/text/words.h"

#include <algorithm>

namespace ui {

namespace {

constexpr int kRecentSeconds = 60;
/// Ours: a rate follows the last second or so and does not flicker.
constexpr double kSmoothing = 0.4;

engine::Instant lastPacketOf(const engine::tunnel::Tunnel& tunnel)
{
    return std::max(tunnel.outbound.lastPacket, tunnel.inbound.lastPacket);
}

std::uint64_t bytesOf(const engine::tunnel::Tunnel& tunnel)
{
    return tunnel.outbound.bytes + tunnel.inbound.bytes;
}

double lossOf(const engine::tunnel::Tunnel& tunnel)
{
    const auto lost = static_cast<double>(tunnel.outbound.lost + tunnel.inbound.lost);
    const auto all = lost + static_cast<double>(tunnel.outbound.packets + tunnel.inbound.packets);
    return all == 0 ? 0 : lost / all;
}

engine::Duration ageOf(const engine::tunnel::Tunnel& tunnel, engine::Instant now)
{
    return (tunnel.ended == engine::Instant{} ? now : tunnel.ended) - tunnel.started;
}

QStringList tunnelHeadings()
{
    return {TunnelModel::tr("State"),
            TunnelModel::tr("Protocol"),
            TunnelModel::tr("Device"),
            TunnelModel::tr("VPN server"),
            TunnelModel::tr("How it passes"),
            TunnelModel::tr("For"),
            TunnelModel::tr("Last"),
            TunnelModel::tr("Expires"),
            TunnelModel::tr("Now"),
            TunnelModel::tr("Total ↓ / ↑"),
            TunnelModel::tr("External endpoint"),
            TunnelModel::tr("Lost")};
}

}  // namespace

TunnelModel::TunnelModel(const Presentation& presentation, QObject* parent)
    : RowModel(tunnelHeadings(), parent), m_presentation(presentation)
{}

void TunnelModel::setSnapshot(const engine::Snapshot& snapshot)
{
    const double seconds = std::chrono::duration<double>(snapshot.at - m_latestAt).count();
    std::vector<TunnelRow> rows;
    rows.reserve(snapshot.tunnels.size());
    for (const auto& tunnel : snapshot.tunnels) {
        TunnelRow row;
        row.tunnel = tunnel;
        row.sampled = snapshot.at;
        const auto known = std::lower_bound(
            m_latest.begin(), m_latest.end(), tunnel.serial,
            [](const TunnelRow& one, std::uint64_t serial) { return one.tunnel.serial < serial; });
        if (known != m_latest.end() && known->tunnel.serial == tunnel.serial) {
            row.recent = known->recent;
            row.sampled = known->sampled;
            row.rateOutbound = known->rateOutbound;
            row.rateInbound = known->rateInbound;
            if (seconds > 0) {
                const auto rate = [&](std::uint64_t now, std::uint64_t before, double old) {
                    const double fresh =
                        now >= before ? static_cast<double>(now - before) / seconds : 0;
                    return old + kSmoothing * (fresh - old);
                };
                row.rateOutbound =
                    rate(tunnel.outbound.bytes, known->tunnel.outbound.bytes, known->rateOutbound);
                row.rateInbound =
                    rate(tunnel.inbound.bytes, known->tunnel.inbound.bytes, known->rateInbound);
            }
            if (snapshot.at - row.sampled >= std::chrono::seconds(1)) {
                row.recent.append(row.rateOutbound + row.rateInbound);
                if (row.recent.size() > kRecentSeconds) row.recent.removeFirst();
                row.sampled = snapshot.at;
            }
        }
        if (engine::tunnel::isOver(tunnel.phase)) row.rateInbound = row.rateOutbound = 0;
        rows.push_back(std::move(row));
    }
    std::sort(rows.begin(), rows.end(), [](const TunnelRow& a, const TunnelRow& b) {
        return a.tunnel.serial < b.tunnel.serial;
    });
    m_latest = rows;
    m_latestAt = snapshot.at;
    replace(std::move(rows));
}

void TunnelModel::setFilter(const TunnelFilter& filter)
{
    if (filter == m_filter) return;
    m_filter = filter;
    refilter();
}

bool TunnelModel::needsLook(const engine::tunnel::Tunnel& tunnel, engine::Instant now)
{
    const TunnelState state = stateOf(tunnel, now);
    return state == TunnelState::OneWay || state == TunnelState::Impaired ||
           state == TunnelState::Failed || state == TunnelState::Refused ||
           state == TunnelState::Held;
}

std::vector<const TunnelRow*> TunnelModel::busiest(std::size_t most) const
{
    std::vector<const TunnelRow*> rows;
    for (const TunnelRow& row : m_latest) {
        if (!engine::tunnel::isOver(row.tunnel.phase)) rows.push_back(&row);
    }
    std::sort(rows.begin(), rows.end(), [](const TunnelRow* a, const TunnelRow* b) {
        const double one = a->rateInbound + a->rateOutbound;
        const double two = b->rateInbound + b->rateOutbound;
        if (one != two) return one > two;
        return a->tunnel.serial < b->tunnel.serial;
    });
    if (rows.size() > most) rows.resize(most);
    return rows;
}

bool TunnelModel::accepts(const TunnelRow& row) const
{
    const auto& tunnel = row.tunnel;
    switch (m_filter.which) {
    case TunnelFilter::Which::All: break;
    case TunnelFilter::Which::Live:
        if (engine::tunnel::isOver(tunnel.phase)) return false;
        break;
    case TunnelFilter::Which::NeedsLook:
        if (!needsLook(tunnel, m_presentation.now)) return false;
        break;
    case TunnelFilter::Which::Over:
        if (!engine::tunnel::isOver(tunnel.phase)) return false;
        break;
    }
    if (m_filter.protocol && tunnel.protocol != *m_filter.protocol) return false;
    if (m_filter.device && tunnel.device != *m_filter.device) return false;
    for (const FilterWord& word : filterWords(m_filter.text)) {
        const auto has = [&](const QString& text) {
            return text.contains(word.text, Qt::CaseInsensitive);
        };
        const bool found =
            has(nameOf(tunnel.protocol)) || has(m_presentation.deviceName(tunnel.device)) ||
            has(textOf(tunnel.device)) || has(serverName(tunnel)) || has(textOf(tunnel.server)) ||
            has(passageText(tunnel.passage, tunnel.protocol)) ||
            has(stateText(tunnel, m_presentation)) || has(markOf(tunnel).note);
        if (found == word.excluded) return false;
    }
    return true;
}

void TunnelModel::setMarks(const TunnelMarks& marks)
{
    if (marks == m_marks) return;
    m_marks = marks;
    refilter();
    retell();
}

void TunnelModel::setGrouping(Grouping grouping)
{
    m_grouping = grouping;
    refilter();
    retell();
}

TunnelMark TunnelModel::markOf(const engine::tunnel::Tunnel& tunnel) const
{
    const auto found = m_marks.find(keyOf(tunnel));
    return found == m_marks.end() ? TunnelMark{} : found->second;
}

/// Pinned ones first, then group by group; the chosen column decides within.
int TunnelModel::rank(const TunnelRow& a, const TunnelRow& b) const
{
    const bool one = markOf(a.tunnel).pinned;
    const bool two = markOf(b.tunnel).pinned;
    if (one != two) return one ? -1 : 1;
    const auto order = [](const auto& first, const auto& second) {
        return first < second ? -1 : second < first ? 1 : 0;
    };
    switch (m_grouping) {
    case Grouping::None: return 0;
    case Grouping::Device: return order(a.tunnel.device, b.tunnel.device);
    case Grouping::Protocol: return order(a.tunnel.protocol, b.tunnel.protocol);
    case Grouping::Server: return order(a.tunnel.server.address, b.tunnel.server.address);
    }
    return 0;
}

bool TunnelModel::less(const TunnelRow& a, const TunnelRow& b, int column) const
{
    const auto& one = a.tunnel;
    const auto& two = b.tunnel;
    switch (static_cast<Column>(column)) {
    case State: return stateOf(one, m_presentation.now) < stateOf(two, m_presentation.now);
    case Protocol: return one.protocol < two.protocol;
    case Device: return one.device < two.device;
    case Server: return serverName(one).compare(serverName(two), Qt::CaseInsensitive) < 0;
    case Passage:
        return std::pair(one.passage.kind, one.passage.internalId) <
               std::pair(two.passage.kind, two.passage.internalId);
    case For: return ageOf(one, m_presentation.now) < ageOf(two, m_presentation.now);
    case LastPacket: return lastPacketOf(one) > lastPacketOf(two);
    case Expires: return one.expires < two.expires;
    case RateNow: return a.rateInbound + a.rateOutbound < b.rateInbound + b.rateOutbound;
    case Total: return bytesOf(one) < bytesOf(two);
    case External: return one.external < two.external;
    case Loss: return lossOf(one) < lossOf(two);
    case ColumnCount: break;
    }
    return false;
}

QString TunnelModel::sinceText(engine::Instant at) const
{
    return at == engine::Instant{} ? tr("never")
                                   : m_presentation.format.shortDuration(m_presentation.now - at);
}

QString TunnelModel::text(const TunnelRow& row, int column) const
{
    const auto& tunnel = row.tunnel;
    const Format& format = m_presentation.format;
    const engine::Instant now = m_presentation.now;
    switch (static_cast<Column>(column)) {
    case State: return stateText(tunnel, m_presentation);
    case Protocol: return protocolText(tunnel.protocol, tunnel.confidence);
    case Device: return m_presentation.deviceName(tunnel.device);
    case Server: return serverName(tunnel);
    case Passage: return passageText(tunnel.passage, tunnel.protocol);
    case For: return format.duration(ageOf(tunnel, now));
    case LastPacket: return QStringLiteral("↓ ") + sinceText(tunnel.inbound.lastPacket);
    case Expires:
        if (engine::tunnel::isOver(tunnel.phase)) return tr("ended");
        return tunnel.expires > now ? format.shortDuration(tunnel.expires - now) : tr("now");
    case RateNow: return QStringLiteral("↓ %1").arg(format.rate(row.rateInbound));
    case Total:
        return format.bytes(tunnel.inbound.bytes) + QStringLiteral(" / ") +
               format.bytes(tunnel.outbound.bytes);
    case External: return textOf(tunnel.external);
    case Loss: return format.percent(lossOf(tunnel));
    case ColumnCount: break;
    }
    return {};
}

QString TunnelModel::sentence(const TunnelRow& row) const
{
    const auto& tunnel = row.tunnel;
    const Format& format = m_presentation.format;
    const QString server = serverName(tunnel);
    const QString address = textOf(tunnel.server.address);
    return tr("%1, %2 (%3) from %4 to %5, %6, for %7, receiving %8, sending %9")
        .arg(stateText(tunnel, m_presentation), nameOf(tunnel.protocol), wordOf(tunnel.confidence),
             m_presentation.deviceNameAndAddress(tunnel.device),
             server == address ? address
                               : server + QStringLiteral(" (") + address + QLatin1Char(')'),
             passageText(tunnel.passage, tunnel.protocol),
             format.duration(ageOf(tunnel, m_presentation.now)), format.rate(row.rateInbound),
             format.rate(row.rateOutbound));
}

QVariant TunnelModel::extra(const TunnelRow& row, int column, int role) const
{
    const auto& tunnel = row.tunnel;
    const TunnelState state = stateOf(tunnel, m_presentation.now);
    if (role == DimmedRole) return engine::tunnel::isOver(tunnel.phase);
    switch (static_cast<Column>(column)) {
    case State:
        if (role == ShapeRole) return static_cast<int>(shapeOf(state));
        if (role == MeaningRole) return static_cast<int>(meaningOf(state));
        if (role == SecondLineRole) {
            const TunnelMark mark = markOf(tunnel);
            if (!mark.note.isEmpty()) return safeText(mark.note, 60);
            return mark.pinned ? tr("pinned") : QString();
        }
        break;
    case Protocol:
        if (role == SecondLineRole) return wordOf(tunnel.confidence);
        break;
    case Device:
        if (role == SecondLineRole) {
            return m_presentation.isNamed(tunnel.device) ? textOf(tunnel.device) : QString();
        }
        break;
    case Server:
        if (role == SecondLineRole) {
            return tunnel.serverName.empty() ? safeText(tunnel.product, 40) : textOf(tunnel.server);
        }
        break;
    case Passage:
        if (role == SecondLineRole) {
            return tunnel.sessions == 0
                       ? QString()
                       : tr("%n session(s)", nullptr, static_cast<int>(tunnel.sessions));
        }
        break;
    case Expires:
        if (role == BarRole && !engine::tunnel::isOver(tunnel.phase)) {
            // The full length of the timer is what is left plus what has passed since the last
            // packet.
            const double left =
                std::chrono::duration<double>(tunnel.expires - m_presentation.now).count();
            const double gone =
                std::chrono::duration<double>(m_presentation.now - lastPacketOf(tunnel)).count();
            if (left <= 0 || left + gone <= 0) return 0.0;
            return std::clamp(left / (left + gone), 0.0, 1.0);
        }
        break;
    case RateNow:
        if (role == SecondLineRole)
            return QStringLiteral("↑ %1").arg(m_presentation.format.rate(row.rateOutbound));
        if (role == SparkRole) return QVariant::fromValue(row.recent);
        break;
    case LastPacket:
        if (role == SecondLineRole)
            return QStringLiteral("↑ ") + sinceText(tunnel.outbound.lastPacket);
        break;
    case For:
    case Total:
    case External:
    case Loss:
    case ColumnCount: break;
    }
    return {};
}

QString TunnelModel::filterText(const TunnelRow& row, int column) const
{
    switch (static_cast<Column>(column)) {
    case Protocol: return nameOf(row.tunnel.protocol);
    case State: return wordOf(stateOf(row.tunnel, m_presentation.now));
    case Device: return textOf(row.tunnel.device);
    case Server: return textOf(row.tunnel.server.address);
    case Passage: return passageText(row.tunnel.passage, row.tunnel.protocol);
    case For:
    case LastPacket:
    case Expires:
    case RateNow:
    case Total:
    case External:
    case Loss:
    case ColumnCount: break;
    }
    return {};
}

bool TunnelModel::isNumber(int column) const
{
    return column == For || column == Total || column == Loss;
}

}  // namespace ui
