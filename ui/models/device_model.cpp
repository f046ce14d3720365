#include "ui/models/device_model.h"

#include "ui/text/words.h"

#include <algorithm>

namespace ui {

using engine::policy::DeviceAccess;

namespace {

QStringList deviceHeadings()
{
    return {
        DeviceModel::tr("Device"),      DeviceModel::tr("Hardware"), DeviceModel::tr("Access"),
        DeviceModel::tr("Tunnels"),     DeviceModel::tr("Sessions"), DeviceModel::tr("Now"),
        DeviceModel::tr("Total ↓ / ↑"), DeviceModel::tr("Refused"),  DeviceModel::tr("Last seen")};
}

}  // namespace

DeviceModel::DeviceModel(const Presentation& presentation, QObject* parent)
    : RowModel(deviceHeadings(), parent), m_presentation(presentation)
{}

void DeviceModel::setSnapshot(const engine::Snapshot& snapshot)
{
    const double seconds = std::chrono::duration<double>(snapshot.at - m_latestAt).count();
    std::vector<DeviceRow> rows;
    rows.reserve(snapshot.devices.size());
    for (const auto& status : snapshot.devices) {
        DeviceRow row;
        row.status = status;
        const auto known =
            std::lower_bound(m_latest.begin(), m_latest.end(), status.address,
                             [](const DeviceRow& one, engine::net::Ipv4Address address) {
                                 return one.status.address < address;
                             });
        const bool isKnown = known != m_latest.end() && known->status.address == status.address;
        if (isKnown) {
            row.rateOutbound = known->rateOutbound;
            row.rateInbound = known->rateInbound;
        }
        if (isKnown && seconds > 0) {
            const auto rate = [&](std::uint64_t now, std::uint64_t before, double old) {
                const double fresh =
                    now >= before ? static_cast<double>(now - before) / seconds : 0;
                return old + 0.4 * (fresh - old);
            };
            row.rateOutbound =
                rate(status.outbound.bytes, known->status.outbound.bytes, known->rateOutbound);
            row.rateInbound =
                rate(status.inbound.bytes, known->status.inbound.bytes, known->rateInbound);
        }
        rows.push_back(row);
    }
    std::sort(rows.begin(), rows.end(), [](const DeviceRow& a, const DeviceRow& b) {
        return a.status.address < b.status.address;
    });
    m_latest = std::move(rows);
    m_latestAt = snapshot.at;
    rebuild();
}

void DeviceModel::setRules(std::vector<engine::policy::DeviceRule> rules)
{
    m_rules = std::move(rules);
    rebuild();
}

void DeviceModel::rebuild()
{
    for (DeviceRow& row : m_latest) {
        row.access = DeviceAccess::Allow;
        row.sessionLimit.reset();
        for (const auto& rule : m_rules) {
            if (rule.address != row.status.address) continue;
            row.access = rule.access;
            row.sessionLimit = rule.sessionLimit;
        }
    }
    replace(m_latest);
}

void DeviceModel::setText(const QString& text)
{
    if (text == m_text) return;
    m_text = text;
    refilter();
}

std::vector<const DeviceRow*> DeviceModel::busiest(std::size_t most) const
{
    std::vector<const DeviceRow*> rows;
    for (const DeviceRow& row : m_latest)
        rows.push_back(&row);
    const auto rate = [](const DeviceRow* row) {
        return row->rateInbound + row->rateOutbound;
    };
    std::stable_sort(rows.begin(), rows.end(),
                     [&](const DeviceRow* a, const DeviceRow* b) { return rate(a) > rate(b); });
    if (rows.size() > most) rows.resize(most);
    return rows;
}

int DeviceModel::newToday() const
{
    const QDate today = m_presentation.wallClock.date();
    return static_cast<int>(
        std::count_if(m_latest.begin(), m_latest.end(), [&](const DeviceRow& row) {
            return m_presentation.timeOf(row.status.firstSeen).date() == today;
        }));
}

bool DeviceModel::accepts(const DeviceRow& row) const
{
    if (m_text.isEmpty()) return true;
    for (int column = 0; column < ColumnCount; ++column) {
        if (text(row, column).contains(m_text, Qt::CaseInsensitive)) return true;
    }
    return textOf(row.status.address).contains(m_text);
}

bool DeviceModel::less(const DeviceRow& a, const DeviceRow& b, int column) const
{
    switch (static_cast<Column>(column)) {
    case Device:
        return m_presentation.deviceName(a.status.address)
                   .localeAwareCompare(m_presentation.deviceName(b.status.address)) < 0;
    case Hardware: return text(a, column) < text(b, column);
    case Access: return a.access < b.access;
    case Tunnels: return a.status.tunnels < b.status.tunnels;
    case Sessions: return a.status.sessions < b.status.sessions;
    case RateNow: return a.rateInbound + a.rateOutbound < b.rateInbound + b.rateOutbound;
    case Total:
        return a.status.inbound.bytes + a.status.outbound.bytes <
               b.status.inbound.bytes + b.status.outbound.bytes;
    case Refused: return a.status.refused < b.status.refused;
    case LastSeen: return a.status.lastSeen > b.status.lastSeen;
    case ColumnCount: break;
    }
    return false;
}

QString DeviceModel::text(const DeviceRow& row, int column) const
{
    const Format& format = m_presentation.format;
    const auto& status = row.status;
    switch (static_cast<Column>(column)) {
    case Device: return m_presentation.deviceName(status.address);
    case Hardware: {
        const auto known = m_presentation.devices.find(status.address);
        if (known == m_presentation.devices.end()) return tr("unknown");
        const QString vendor = safeText(known->second.vendor, 32);
        const QString hardware = safeText(known->second.hardwareAddress, 20);
        return vendor.isEmpty() ? (hardware.isEmpty() ? tr("unknown") : hardware) : vendor;
    }
    case Access: return wordOf(row.access);
    case Tunnels: return format.count(status.tunnels);
    case Sessions: return format.count(status.sessions);
    case RateNow: return QStringLiteral("↓ %1").arg(format.rate(row.rateInbound));
    case Total:
        return format.bytes(status.inbound.bytes) + QStringLiteral(" / ") +
               format.bytes(status.outbound.bytes);
    case Refused: return format.count(status.refused);
    case LastSeen: {
        const auto ago = m_presentation.now - status.lastSeen;
        return ago < std::chrono::seconds(5) ? tr("now")
                                             : tr("%1 ago").arg(format.shortDuration(ago));
    }
    case ColumnCount: break;
    }
    return {};
}

QString DeviceModel::sentence(const DeviceRow& row) const
{
    const Format& format = m_presentation.format;
    return tr("%1, access %2, tunnels %3, sessions %4, receiving %5, sending %6, last seen %7")
        .arg(m_presentation.deviceNameAndAddress(row.status.address), wordOf(row.access),
             format.count(row.status.tunnels), format.count(row.status.sessions),
             format.rate(row.rateInbound), format.rate(row.rateOutbound), text(row, LastSeen));
}

QVariant DeviceModel::extra(const DeviceRow& row, int column, int role) const
{
    if (role == SecondLineRole) {
        if (column == Device)
            return m_presentation.isNamed(row.status.address) ? textOf(row.status.address)
                                                              : QString();
        if (column == RateNow)
            return QStringLiteral("↑ %1").arg(m_presentation.format.rate(row.rateOutbound));
        if (column == Hardware) {
            const auto known = m_presentation.devices.find(row.status.address);
            if (known != m_presentation.devices.end() && !known->second.vendor.isEmpty())
                return safeText(known->second.hardwareAddress, 20);
        }
        if (column == Access && row.sessionLimit)
            return tr("limit %1").arg(m_presentation.format.count(*row.sessionLimit));
    }
    if (column == Access) {
        if (role == ShapeRole)
            return static_cast<int>(row.access == DeviceAccess::Allow   ? Shape::Disc
                                    : row.access == DeviceAccess::Block ? Shape::Cross
                                                                        : Shape::Diamond);
        if (role == MeaningRole)
            return static_cast<int>(row.access == DeviceAccess::Allow   ? Meaning::Good
                                    : row.access == DeviceAccess::Block ? Meaning::Bad
                                                                        : Meaning::Accent);
    }
    return {};
}

bool DeviceModel::isNumber(int column) const
{
    return column == Tunnels || column == Sessions || column == Total || column == Refused ||
           column == LastSeen;
}

}  // namespace ui
