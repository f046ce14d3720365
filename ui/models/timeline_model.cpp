#include "ui/models/timeline_model.h"

#include "ui/models/row_model.h"
#include "ui/text/tunnel_words.h"
#include "ui/text/words.h"

namespace ui {

namespace {

bool same(const engine::tunnel::TimelineEvent& a, const engine::tunnel::TimelineEvent& b)
{
    return a.at == b.at && a.kind == b.kind && a.a == b.a && a.b == b.b && a.from == b.from &&
           a.to == b.to;
}

}  // namespace

TimelineModel::TimelineModel(const Presentation& presentation, QObject* parent)
    : QAbstractListModel(parent), m_presentation(presentation)
{}

void TimelineModel::setTunnel(const engine::tunnel::Tunnel& tunnel)
{
    const auto& fresh = tunnel.timeline;
    m_started = tunnel.started;
    m_protocol = tunnel.protocol;
    std::size_t common = 0;
    if (tunnel.serial == m_serial) {
        while (common < m_events.size() && common < fresh.size() &&
               same(m_events[common], fresh[common]))
            ++common;
    }
    m_serial = tunnel.serial;
    if (common < m_events.size()) {
        beginRemoveRows({}, static_cast<int>(common), static_cast<int>(m_events.size()) - 1);
        m_events.resize(common);
        endRemoveRows();
    }
    bool repeatsChanged = false;
    for (std::size_t i = 0; i < common; ++i) {
        repeatsChanged = repeatsChanged || m_events[i].repeats != fresh[i].repeats;
        m_events[i] = fresh[i];
    }
    if (common < fresh.size()) {
        beginInsertRows({}, static_cast<int>(common), static_cast<int>(fresh.size()) - 1);
        m_events.insert(m_events.end(), fresh.begin() + static_cast<std::ptrdiff_t>(common),
                        fresh.end());
        endInsertRows();
    }
    if (repeatsChanged) Q_EMIT dataChanged(index(0), index(static_cast<int>(common) - 1));
}

QString TimelineModel::offsetAt(int row) const
{
    const auto span = eventAt(row).at - m_started;
    const QString text = span < std::chrono::minutes(1) ? m_presentation.format.milliseconds(span)
                                                        : m_presentation.format.duration(span);
    return QLatin1Char('+') + text;
}

QString TimelineModel::sentenceAt(int row) const
{
    const auto& event = eventAt(row);
    QString sentence = sentenceOf(event, m_protocol);
    if (event.repeats > 1)
        sentence += QStringLiteral("  ×") + m_presentation.format.count(event.repeats);
    return sentence;
}

int TimelineModel::rowCount(const QModelIndex& parent) const
{
    return parent.isValid() ? 0 : static_cast<int>(m_events.size());
}

QVariant TimelineModel::data(const QModelIndex& index, int role) const
{
    if (!checkIndex(index, CheckIndexOption::IndexIsValid)) return {};
    const auto& event = eventAt(index.row());
    if (role == Qt::DisplayRole) return sentenceAt(index.row());
    if (role == SecondLineRole) return offsetAt(index.row());
    if (role == MeaningRole) return static_cast<int>(meaningOf(event));
    if (role == Qt::AccessibleTextRole) {
        const QString who = event.from == event.to
                                ? wordOf(event.from)
                                : tr("%1 to %2").arg(wordOf(event.from), wordOf(event.to));
        return tr("%1, %2: %3").arg(offsetAt(index.row()), who, sentenceAt(index.row()));
    }
    return {};
}

}  // namespace ui
