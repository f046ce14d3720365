#include "ui/pages/events_page.h"

#include "ui/widgets/table.h"

#include <QStackedWidget>

#include <numeric>

namespace ui {

EventsPage::EventsPage(const Presentation& presentation, QWidget* parent)
    : PageFrame(tr("Events"), tr("What has the router noticed, and what did not get through?"),
                parent),
      m_presentation(presentation),
      m_events(new EventModel(presentation, this)),
      m_drops(new DropModel(presentation, this))
{
    actions()->addWidget(makeFilterField(tr("Filter events")));
    connect(filterField(), &QLineEdit::textChanged, this, [this](const QString& text) {
        m_events->setText(text);
        updateEmpty();
    });
    m_table = new Table(tr("Events"), CellDelegate::Lines::One, this);
    m_table->setModel(m_events);
    m_table->setColumnWidths({{QStringLiteral("23:59:59")},
                              {QStringLiteral("Tunnel over"), Table::Width::Beside::Shape},
                              {QStringLiteral("manager-phone  192.168.255.255")},
                              {}});
    connect(m_table, &Table::filterAsked, filterField(), &QLineEdit::setText);
    m_empty = new EmptyState(Symbol::Events, this);
    connect(m_empty->action(), &QPushButton::clicked, this, [this] { clearFilter(); });
    m_stack = new QStackedWidget(this);
    m_stack->addWidget(m_table);
    m_stack->addWidget(m_empty);
    column()->addWidget(m_stack, 3);

    column()->addWidget(
        new SafeLabel(tr("Packets that did not get through"), this, TextSize::Strong));
    m_summary = new SafeLabel(this);
    m_summary->muted();
    column()->addWidget(m_summary);
    m_dropTable = new Table(tr("Packets that did not get through"), CellDelegate::Lines::One, this);
    m_dropTable->setModel(m_drops);
    m_dropTable->setColumnWidths({{QStringLiteral("888,888,888")}, {}});
    m_dropTable->sortByColumn(DropModel::Packets, Qt::DescendingOrder);
    column()->addWidget(m_dropTable, 2);
    updateEmpty();
}

void EventsPage::add(const std::vector<engine::Event>& events)
{
    m_events->add(events);
    updateEmpty();
}

void EventsPage::setSnapshot(const engine::Snapshot& snapshot)
{
    m_drops->setCounters(snapshot.counters);
    const auto& drops = snapshot.counters.drops;
    const auto all = std::accumulate(drops.begin(), drops.end(), std::uint64_t{0});
    const auto passed = snapshot.counters.outbound.packets + snapshot.counters.inbound.packets +
                        snapshot.counters.hairpinned.packets;
    const double share =
        all + passed == 0 ? 0 : static_cast<double>(all) / static_cast<double>(all + passed);
    QString text = tr("%1 packets since the router started, %2 of all.")
                       .arg(m_presentation.format.count(all), m_presentation.format.percent(share));
    if (snapshot.counters.eventsLost > 0)
        text +=
            QLatin1Char(' ') + tr("%1 events came too fast to be listed.")
                                   .arg(m_presentation.format.count(snapshot.counters.eventsLost));
    m_summary->setText(text);
}

void EventsPage::forgetRouter()
{
    m_events->clear();
    m_drops->setCounters({});
    m_summary->setText({});
    updateEmpty();
}

void EventsPage::updateEmpty()
{
    if (m_events->rowCount() > 0) {
        m_stack->setCurrentWidget(m_table);
        return;
    }
    if (m_events->totalRows() > 0) {
        m_empty->say(tr("No event matches the filter"), {}, tr("Clear the filter"));
    } else {
        m_empty->say(tr("Nothing has happened yet"),
                     tr("New devices, tunnels, refusals and changes of switches appear here."));
    }
    m_stack->setCurrentWidget(m_empty);
}

}  // namespace ui
