#include "ui/models/rule_models.h"

#include "ui/text/words.h"

#include <algorithm>

namespace ui {

using engine::net::IpProtocol;
using engine::policy::OneToOne;
using engine::policy::PortForward;

const PortForward* PortForwardModel::conflictOf(const PortForward& forward,
                                                const std::vector<PortForward>& among)
{
    if (!forward.enabled) return nullptr;
    for (const PortForward& other : among) {
        if (other.id == forward.id || !other.enabled || other.protocol != forward.protocol)
            continue;
        if (!engine::net::hasPorts(forward.protocol) ||
            other.externalPorts.overlaps(forward.externalPorts))
            return &other;
    }
    return nullptr;
}

std::optional<engine::CommandError> problemOf(const PortForward& forward,
                                              const std::vector<PortForward>& others,
                                              const std::optional<engine::net::Prefix>& internal)
{
    using engine::CommandError;
    if (!engine::policy::canBeForwarded(forward.protocol))
        return CommandError::ProtocolNotForwarded;
    if (internal && !internal->contains(forward.internalAddress)) return CommandError::NotInternal;
    if (internal && (forward.internalAddress == internal->network() ||
                     forward.internalAddress == internal->broadcast()))
        return CommandError::NotADevice;
    if (engine::net::hasPorts(forward.protocol)) {
        if (forward.externalPorts.last < forward.externalPorts.first)
            return CommandError::RangeInverted;
        if (forward.externalPorts.first == engine::net::Port{47} &&
            forward.externalPorts.last == engine::net::Port{47})
            return CommandError::PortIsProtocol;
    }
    if (PortForwardModel::conflictOf(forward, others) != nullptr)
        return CommandError::ForwardsOverlap;
    return std::nullopt;
}

PortForwardModel::PortForwardModel(const Presentation& presentation, QObject* parent)
    : RowModel({tr("State"), tr("Name"), tr("Protocol"), tr("External ports"), tr("To device"),
                tr("Allowed from"), tr("Let in"), tr("Live")},
               parent),
      m_presentation(presentation)
{}

void PortForwardModel::setForwards(const std::vector<PortForward>& forwards)
{
    m_forwards = forwards;
    rebuild();
}

void PortForwardModel::setSnapshot(const engine::Snapshot& snapshot)
{
    m_status = snapshot.forwards;
    rebuild();
}

void PortForwardModel::rebuild()
{
    std::vector<PortForwardRow> rows;
    rows.reserve(m_forwards.size());
    for (const PortForward& forward : m_forwards) {
        PortForwardRow row;
        row.forward = forward;
        for (const auto& status : m_status) {
            if (status.id != forward.id) continue;
            row.hits = status.hits;
            row.liveSessions = status.liveSessions;
            if (status.obstacle) row.conflict = sentenceOf(*status.obstacle);
        }
        if (const PortForward* other = conflictOf(forward, m_forwards)) {
            row.conflict =
                tr("Same ports as “%1”").arg(safeText(QString::fromStdString(other->name), 40));
        }
        rows.push_back(std::move(row));
    }
    replace(std::move(rows));
}

bool PortForwardModel::less(const PortForwardRow& a, const PortForwardRow& b, int column) const
{
    switch (static_cast<Column>(column)) {
    case State: return a.forward.enabled < b.forward.enabled;
    case Name: return a.forward.name < b.forward.name;
    case Protocol: return a.forward.protocol < b.forward.protocol;
    case External: return a.forward.externalPorts < b.forward.externalPorts;
    case To: return a.forward.internalAddress < b.forward.internalAddress;
    case From: return a.forward.allowedRemotes < b.forward.allowedRemotes;
    case Hits: return a.hits < b.hits;
    case Live: return a.liveSessions < b.liveSessions;
    case ColumnCount: break;
    }
    return false;
}

QString PortForwardModel::text(const PortForwardRow& row, int column) const
{
    const PortForward& forward = row.forward;
    switch (static_cast<Column>(column)) {
    case State:
        return !forward.enabled ? tr("Off") : row.conflict.isEmpty() ? tr("On") : tr("Conflict");
    case Name: return safeText(forward.name, 48);
    case Protocol: return nameOf(forward.protocol);
    case External:
        return engine::net::hasPorts(forward.protocol) ? textOf(forward.externalPorts)
                                                       : tr("no ports");
    case To: return m_presentation.deviceName(forward.internalAddress);
    case From:
        return forward.allowedRemotes.length() == 0 ? tr("anywhere")
                                                    : textOf(forward.allowedRemotes);
    case Hits: return m_presentation.format.count(row.hits);
    case Live: return m_presentation.format.count(row.liveSessions);
    case ColumnCount: break;
    }
    return {};
}

QString PortForwardModel::sentence(const PortForwardRow& row) const
{
    return tr("%1, %2, %3 %4 to %5, allowed from %6, let in %7. %8")
        .arg(text(row, Name), text(row, State), text(row, Protocol), text(row, External),
             m_presentation.deviceNameAndAddress(row.forward.internalAddress), text(row, From),
             text(row, Hits), row.conflict);
}

QVariant PortForwardModel::extra(const PortForwardRow& row, int column, int role) const
{
    const PortForward& forward = row.forward;
    if (role == DimmedRole) return !forward.enabled;
    if (role == SecondLineRole) {
        if (column == Name) return row.conflict;
        if (column == To) {
            const QString port =
                engine::net::hasPorts(forward.protocol)
                    ? QLatin1Char(':') + QString::number(forward.internalFirst.hostOrder())
                    : QString();
            return textOf(forward.internalAddress) + port;
        }
    }
    if (column == State) {
        const bool conflict = forward.enabled && !row.conflict.isEmpty();
        if (role == ShapeRole)
            return static_cast<int>(conflict          ? Shape::Triangle
                                    : forward.enabled ? Shape::Disc
                                                      : Shape::Ring);
        if (role == MeaningRole)
            return static_cast<int>(conflict          ? Meaning::Warning
                                    : forward.enabled ? Meaning::Good
                                                      : Meaning::Neutral);
    }
    return {};
}

OneToOneModel::OneToOneModel(const Presentation& presentation, QObject* parent)
    : RowModel({tr("State"), tr("Name"), tr("Device"), tr("External address")}, parent),
      m_presentation(presentation)
{}

bool OneToOneModel::less(const OneToOne& a, const OneToOne& b, int column) const
{
    switch (static_cast<Column>(column)) {
    case State: return a.enabled < b.enabled;
    case Name: return a.name < b.name;
    case Internal: return a.internalAddress < b.internalAddress;
    case External: return a.externalAddress < b.externalAddress;
    case ColumnCount: break;
    }
    return false;
}

QString OneToOneModel::text(const OneToOne& row, int column) const
{
    switch (static_cast<Column>(column)) {
    case State: return row.enabled ? tr("On") : tr("Off");
    case Name: return safeText(row.name, 48);
    case Internal: return m_presentation.deviceName(row.internalAddress);
    case External: return textOf(row.externalAddress);
    case ColumnCount: break;
    }
    return {};
}

QString OneToOneModel::sentence(const OneToOne& row) const
{
    return tr("%1, %2, %3 owns %4")
        .arg(text(row, Name), text(row, State),
             m_presentation.deviceNameAndAddress(row.internalAddress), textOf(row.externalAddress));
}

QVariant OneToOneModel::extra(const OneToOne& row, int column, int role) const
{
    if (role == DimmedRole) return !row.enabled;
    if (role == SecondLineRole && column == Internal)
        return m_presentation.isNamed(row.internalAddress) ? textOf(row.internalAddress)
                                                           : QString();
    if (column == State && role == ShapeRole)
        return static_cast<int>(row.enabled ? Shape::Disc : Shape::Ring);
    if (column == State && role == MeaningRole)
        return static_cast<int>(row.enabled ? Meaning::Good : Meaning::Neutral);
    return {};
}

}  // namespace ui
