#include "ui/pages/connections_page.h"

#include "ui/pages/connection_columns.h"
#include "ui/widgets/table.h"

#include <QScrollBar>
#include <QStackedWidget>

namespace ui {

ConnectionsPage::ConnectionsPage(const Presentation& presentation, QWidget* parent)
    : PageFrame(tr("Connections"), tr("Who is connected to what?"), parent),
      m_presentation(presentation),
      m_model(new ConnectionModel(presentation, this))
{
    m_tunnel = new QPushButton(tr("Show its tunnel"), this);
    connect(m_tunnel, &QPushButton::clicked, this, [this] {
        if (const auto* session = m_model->find(m_table->currentId()))
            Q_EMIT tunnelAsked(session->tunnelSerial);
    });
    m_close = new QPushButton(tr("&End session"), this);
    m_close->setToolTip(tr("End the selected sessions; the programs can connect again (Del)"));
    connect(m_close, &QPushButton::clicked, this, &ConnectionsPage::askToClose);
    actions()->addWidget(m_tunnel);
    actions()->addWidget(m_close);

    auto* bar = new QHBoxLayout;
    bar->setSpacing(kGap);
    bar->addWidget(makeFilterField(tr("Filter by device, address, port")));
    connect(filterField(), &QLineEdit::textChanged, this, [this] { applyFilter(); });
    const QStringList words{tr("All"), QStringLiteral("TCP"), QStringLiteral("UDP"), tr("Other")};
    for (qsizetype i = 0; i < words.size(); ++i) {
        QPushButton* chip = makeChip(words.at(i), this);
        chip->setChecked(i == 0);
        connect(chip, &QPushButton::clicked, this, [this, i] {
            m_filter.kind = static_cast<ConnectionFilter::Kind>(i);
            applyFilter();
        });
        m_chips.append(chip);
        bar->addWidget(chip);
    }
    bar->addSpacing(kGap);
    m_unanswered = makeChip(tr("Unanswered"), this);
    m_tunnels = makeChip(tr("In tunnels"), this);
    m_deviceChip = makeChip({}, this);
    m_deviceChip->hide();
    for (QPushButton* chip : {m_unanswered, m_tunnels}) {
        connect(chip, &QPushButton::toggled, this, [this] { applyFilter(); });
        bar->addWidget(chip);
    }
    connect(m_deviceChip, &QPushButton::clicked, this, [this] {
        m_filter.device.reset();
        applyFilter();
    });
    bar->addWidget(m_deviceChip);
    bar->addStretch();
    m_count = new SafeLabel(this);
    m_count->muted();
    bar->addWidget(m_count);
    m_freeze = makeChip(tr("Freeze"), this);
    m_freeze->setToolTip(tr("Keep the table as it is now (Space)"));
    connect(m_freeze, &QPushButton::clicked, this, &ConnectionsPage::toggleFreeze);
    bar->addWidget(m_freeze);
    column()->addLayout(bar);

    m_table = new Table(tr("Connections"), CellDelegate::Lines::One, this);
    m_table->setModel(m_model);
    m_table->setColumnWidths(connectionWidths(QStringLiteral("TCP  in a tunnel")));
    for (const int hidden : {static_cast<int>(ConnectionModel::LastPacket),
                             static_cast<int>(ConnectionModel::Expires)})
        m_table->setColumnHiddenByDefault(hidden);
    m_table->setDispensable({ConnectionModel::External, ConnectionModel::For});
    m_table->enableColumnChoice();
    connect(m_table, &Table::freezeAsked, this, &ConnectionsPage::toggleFreeze);
    connect(m_table, &Table::removeAsked, this, &ConnectionsPage::askToClose);
    connect(m_table, &Table::filterAsked, filterField(), &QLineEdit::setText);
    const auto select = [this] {
        const auto* session = m_model->find(m_table->currentId());
        m_close->setEnabled(session != nullptr);
        m_tunnel->setEnabled(session != nullptr && session->tunnelSerial != 0);
    };
    connect(m_table, &Table::currentIdChanged, this, select);
    m_empty = new EmptyState(Symbol::Connections, this);
    connect(m_empty->action(), &QPushButton::clicked, this, [this] { clearFilter(); });
    m_stack = new QStackedWidget(this);
    m_stack->addWidget(m_table);
    m_stack->addWidget(m_empty);
    column()->addWidget(m_stack, 1);
    select();
    updateEmpty();
}

void ConnectionsPage::setSessions(const std::vector<engine::SessionRecord>& sessions,
                                  engine::Instant at)
{
    m_asked = true;
    // What stands at the top stays at the top, unless the user looks at the newest.
    const int offset = m_table->verticalScrollBar()->value();
    const QModelIndex top = offset == 0 ? QModelIndex() : m_table->indexAt(QPoint(4, 1));
    const auto id = top.isValid() ? top.data(IdRole).toULongLong() : 0;
    const int within = top.isValid() ? m_table->visualRect(top).top() : 0;
    m_model->setSessions(sessions, at);
    if (id != 0) {
        const int row = m_model->rowOf(id);
        if (row >= 0)
            m_table->verticalScrollBar()->setValue(m_table->rowHeight(row) * row - within);
    }
    updateEmpty();
}

void ConnectionsPage::forgetRouter()
{
    if (m_model->isFrozen()) toggleFreeze();
    m_model->setSessions({}, {});
    m_asked = false;
    updateEmpty();
}

void ConnectionsPage::showOnly(engine::net::Ipv4Address device)
{
    m_filter.device = device;
    applyFilter();
}

void ConnectionsPage::toggleFreeze()
{
    m_model->setFrozen(!m_model->isFrozen());
    m_freeze->setChecked(m_model->isFrozen());
    m_freeze->setText(m_model->isFrozen() ? tr("Frozen") : tr("Freeze"));
}

void ConnectionsPage::askToClose()
{
    for (const QModelIndex& row : m_table->selectionModel()->selectedRows())
        Q_EMIT closeAsked(row.data(IdRole).toULongLong());
}

void ConnectionsPage::applyFilter()
{
    m_filter.text = filterField()->text();
    m_filter.unansweredOnly = m_unanswered->isChecked();
    m_filter.tunnelsOnly = m_tunnels->isChecked();
    for (qsizetype i = 0; i < m_chips.size(); ++i)
        m_chips.at(i)->setChecked(i == static_cast<int>(m_filter.kind));
    m_deviceChip->setVisible(m_filter.device.has_value());
    if (m_filter.device) {
        const QString name = m_presentation.deviceName(*m_filter.device);
        m_deviceChip->setText(escapeMnemonic(tr("%1 ✕").arg(name)));
        m_deviceChip->setAccessibleName(tr("Only %1; press to show all devices").arg(name));
        m_deviceChip->setChecked(true);
    }
    m_model->setFilter(m_filter);
    updateEmpty();
}

void ConnectionsPage::updateEmpty()
{
    const int shown = m_model->rowCount();
    const Format& format = m_presentation.format;
    const auto number = [&](int value) {
        return format.count(static_cast<std::uint64_t>(value));
    };
    m_count->setText(shown == m_model->totalRows()
                         ? tr("%1 sessions").arg(number(shown))
                         : tr("%1 of %2").arg(number(shown), number(m_model->totalRows())));
    if (shown > 0) {
        m_stack->setCurrentWidget(m_table);
        return;
    }
    if (m_filter.parts() > 0 && m_model->totalRows() > 0) {
        m_empty->say(tr("No session matches %n filter(s)", nullptr, m_filter.parts()), {},
                     tr("Clear the filters"));
    } else if (m_asked) {
        m_empty->say(
            tr("No sessions right now"),
            tr("They appear here as soon as a device behind this PC talks to the internet."));
    } else {
        m_empty->say(tr("Asking for sessions…"), {});
    }
    m_stack->setCurrentWidget(m_empty);
}

bool ConnectionsPage::clearFilter()
{
    if (m_filter.parts() == 0) return false;
    m_filter = {};
    for (QPushButton* chip : {m_unanswered, m_tunnels})
        chip->setChecked(false);
    filterField()->clear();
    m_filter = {};
    applyFilter();
    return true;
}

}  // namespace ui
