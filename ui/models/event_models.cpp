#include "ui/models/event_models.h"

#include "ui/text/flood_words.h"
#include "ui/text/tunnel_words.h"
#include "ui/text/words.h"

#include <algorithm>

namespace ui {

namespace {

template <typename... Functions>
struct Overload : Functions... {
    using Functions::operator()...;
};
template <typename... Functions>
Overload(Functions...) -> Overload<Functions...>;

}  // namespace

EventModel::EventModel(const Presentation& presentation, QObject* parent)
    : RowModel({tr("Time"), tr("Kind"), tr("Device"), tr("What happened")}, parent),
      m_presentation(presentation)
{}

void EventModel::add(const std::vector<engine::Event>& events)
{
    const std::size_t before = m_rows.size();
    // Events come in order and within a quarter of a second, and only those of tunnels tell when:
    // the others happened no earlier.
    engine::Instant latest = m_presentation.now;
    const auto happened = [&latest](engine::Instant at) {
        latest = std::max(latest, at);
    };
    const auto append = [this, &latest](EventRow row) {
        row.serial = m_next++;
        if (row.at == engine::Instant{}) row.at = latest;
        m_rows.push_back(std::move(row));
    };
    const auto tunnelLine = [this](const engine::tunnel::Tunnel& tunnel) {
        return tr("%1 to %2").arg(nameOf(tunnel.protocol), serverName(tunnel));
    };
    for (const engine::Event& event : events) {
        std::visit(
            Overload{
                [](const engine::SessionEnded&) {},
                [&](const engine::TunnelChanged& changed) {
                    const auto& tunnel = changed.tunnel;
                    const engine::Instant at =
                        tunnel.timeline.empty() ? tunnel.started : tunnel.timeline.back().at;
                    happened(at);
                    const auto known = m_phases.find(tunnel.serial);
                    if (known != m_phases.end() && known->second == tunnel.phase) return;
                    const bool isNew = known == m_phases.end();
                    m_phases[tunnel.serial] = tunnel.phase;
                    // Key changes are routine: the tunnel's own timeline has them.
                    using engine::tunnel::Phase;
                    if (!isNew &&
                        (tunnel.phase == Phase::Rekeying || tunnel.phase == Phase::Authenticating ||
                         tunnel.phase == Phase::Establishing))
                        return;
                    const TunnelState state = stateOf(tunnel, m_presentation.now);
                    append({0, at, meaningOf(state), shapeOf(state),
                            isNew ? tr("New tunnel") : tr("Tunnel"),
                            tunnelLine(tunnel) + QStringLiteral(": ") + wordOf(tunnel.phase),
                            tunnel.device});
                },
                [&](const engine::TunnelEnded& ended) {
                    m_phases.erase(ended.tunnel.serial);
                    happened(ended.tunnel.ended);
                    append({0, ended.tunnel.ended, Meaning::Neutral, Shape::Square,
                            tr("Tunnel over"),
                            tunnelLine(ended.tunnel) + QStringLiteral(". ") +
                                endSentence(ended.tunnel),
                            ended.tunnel.device});
                },
                [&](const engine::Refused& refused) {
                    append({0,
                            {},
                            Meaning::Bad,
                            Shape::Cross,
                            tr("Refused"),
                            tr("%1 to %2. %3")
                                .arg(nameOf(refused.protocol), textOf(refused.remote),
                                     ui::sentenceOf(refused.reason)),
                            refused.device});
                },
                [&](const engine::SwitchChanged& changed) {
                    append(
                        {0,
                         {},
                         Meaning::Accent,
                         Shape::Diamond,
                         tr("Switch"),
                         tr("%1 now stands on %2")
                             .arg(nameOf(changed.protocol), wordOf(changed.status.position.mode)),
                         {}});
                },
                [&](const engine::SelfTestFinished& finished) {
                    using Outcome = engine::SelfTestResult::Outcome;
                    const bool passed = finished.result.outcome == Outcome::Passed;
                    append({0,
                            {},
                            passed ? Meaning::Good : Meaning::Bad,
                            passed ? Shape::Disc : Shape::Cross,
                            tr("Self-test"),
                            passed ? tr("%1: passed").arg(nameOf(finished.protocol))
                                   : tr("%1: failed. %2")
                                         .arg(nameOf(finished.protocol),
                                              safeText(finished.result.why, 160)),
                            {}});
                },
                [&](const engine::ExternalAddressChanged& changed) {
                    const auto address = [](const engine::ExternalSide& side) {
                        return side.addresses.empty() ? tr("none") : textOf(side.addresses.front());
                    };
                    append({0,
                            {},
                            Meaning::Warning,
                            Shape::Triangle,
                            tr("Address"),
                            tr("The external address changed from %1 to %2. %3")
                                .arg(address(changed.before), address(changed.after),
                                     tr("%n session(s) ended.", nullptr,
                                        static_cast<int>(changed.sessionsEnded))),
                            {}});
                },
                [&](const engine::DeviceSeen& seen) {
                    append({0,
                            {},
                            Meaning::Accent,
                            Shape::Diamond,
                            tr("New device"),
                            tr("%1 sent its first packet")
                                .arg(m_presentation.deviceNameAndAddress(seen.device)),
                            seen.device});
                },
                [&](const engine::SynFlood& flood) {
                    append({0,
                            {},
                            flood.over ? Meaning::Good : Meaning::Warning,
                            flood.over ? Shape::Disc : Shape::Triangle,
                            tr("Flood"),
                            flood.over ? sentenceAfter(flood.status) : sentenceOf(flood.status),
                            flood.status.server.address});
                },
                // Whoever has sent the command tells it.
                [&](const engine::SessionsCounted&) {},
            },
            event);
    }
    if (m_rows.size() == before) return;
    if (m_rows.size() > kMost)
        m_rows.erase(m_rows.begin(), m_rows.end() - static_cast<std::ptrdiff_t>(kMost));
    replace(m_rows);
}

void EventModel::clear()
{
    m_rows.clear();
    m_phases.clear();
    replace({});
}

void EventModel::setText(const QString& text)
{
    if (text == m_text) return;
    m_text = text;
    refilter();
}

bool EventModel::accepts(const EventRow& row) const
{
    if (m_text.isEmpty()) return true;
    for (int column = 0; column < ColumnCount; ++column) {
        if (text(row, column).contains(m_text, Qt::CaseInsensitive)) return true;
    }
    return false;
}

bool EventModel::less(const EventRow& a, const EventRow& b, int column) const
{
    switch (static_cast<Column>(column)) {
    case Time: return a.serial < b.serial;
    case Kind: return a.kind < b.kind;
    case Device: return a.device < b.device;
    case What: return a.text < b.text;
    case ColumnCount: break;
    }
    return false;
}

QString EventModel::text(const EventRow& row, int column) const
{
    switch (static_cast<Column>(column)) {
    case Time:
        return m_presentation.format.locale().toString(m_presentation.timeOf(row.at).time(),
                                                       QStringLiteral("HH:mm:ss"));
    case Kind: return row.kind;
    case Device:
        return row.device.isUnspecified() ? QString() : m_presentation.deviceName(row.device);
    case What: return row.text;
    case ColumnCount: break;
    }
    return {};
}

QString EventModel::sentence(const EventRow& row) const
{
    return tr("%1, %2: %3").arg(text(row, Time), row.kind, row.text) +
           (row.device.isUnspecified()
                ? QString()
                : QStringLiteral(", ") + m_presentation.deviceNameAndAddress(row.device));
}

QVariant EventModel::extra(const EventRow& row, int column, int role) const
{
    if (column == Kind && role == ShapeRole) return static_cast<int>(row.shape);
    if (column == Kind && role == MeaningRole) return static_cast<int>(row.meaning);
    if (column == Device && role == SecondLineRole && m_presentation.isNamed(row.device))
        return textOf(row.device);
    return {};
}

DropModel::DropModel(const Presentation& presentation, QObject* parent)
    : RowModel({tr("Packets"), tr("Why they did not get through")}, parent),
      m_presentation(presentation)
{}

void DropModel::setCounters(const engine::Counters& counters)
{
    std::vector<DropRow> rows;
    for (std::size_t i = 0; i < engine::kDropReasonCount; ++i) {
        if (counters.drops[i] > 0)
            rows.push_back({static_cast<engine::DropReason>(i), counters.drops[i]});
    }
    replace(std::move(rows));
}

bool DropModel::less(const DropRow& a, const DropRow& b, int column) const
{
    return column == Packets ? a.count < b.count : text(a, column) < text(b, column);
}

QString DropModel::text(const DropRow& row, int column) const
{
    return column == Packets ? m_presentation.format.count(row.count) : ui::sentenceOf(row.reason);
}

QString DropModel::sentence(const DropRow& row) const
{
    return tr("%1 packets: %2").arg(text(row, Packets), ui::sentenceOf(row.reason));
}

QVariant DropModel::extra(const DropRow& row, int column, int role) const
{
    if (column == Reason && role == SecondLineRole) {
        const auto name = engine::nameOf(row.reason);
        return QString::fromLatin1(name.data(), static_cast<qsizetype>(name.size()));
    }
    return {};
}

}  // namespace ui
