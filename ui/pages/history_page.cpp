#include "ui/pages/history_page.h"

#include "ui/text/words.h"
#include "ui/widgets/table.h"

#include <QComboBox>
#include <QDateEdit>
#include <QFileDialog>
#include <QShowEvent>
#include <QSplitter>
#include <QStackedWidget>
#include <QTimer>

namespace ui {

namespace {

/// Ours: as many as the names that people give have.
constexpr int kDeviceLetters = 14;

enum Range { LastHour, Today, LastWeek, LastMonth, Everything, Between };

}  // namespace

HistoryPage::HistoryPage(const Presentation& presentation, QWidget* parent)
    : PageFrame(tr("History"), tr("What happened before?"), parent),
      m_presentation(presentation),
      m_past(presentation.ofHistory()),
      m_tunnels(new HistoryTunnelModel(presentation, this)),
      m_connections(new HistoryConnectionModel(presentation, this)),
      m_typing(new QTimer(this))
{
    auto* exportButton = new QPushButton(iconOf(Symbol::Export), tr("&Export…"), this);
    exportButton->setToolTip(tr("Write what is found to a file, as CSV or JSON (Ctrl+E)"));
    connect(exportButton, &QPushButton::clicked, this, &HistoryPage::exportView);
    actions()->addWidget(exportButton);

    m_what = new SegmentedSwitch({tr("Tunnels"), tr("Connections")}, tr("What to look for"), this);
    connect(m_what, &SegmentedSwitch::asked, this, [this](int position) {
        m_what->setPosition(position);
        m_protocol->setEnabled(position == 0);
        m_detail->hide();
        m_answered = false;
        updateEmpty();
        ask();
    });
    m_range = new QComboBox(this);
    m_range->setAccessibleName(tr("Time"));
    m_range->addItems({tr("Last hour"), tr("Today"), tr("Last 7 days"), tr("Last 30 days"),
                       tr("All time"), tr("Between…")});
    m_range->setCurrentIndex(LastWeek);
    m_from = new QDateEdit(QDate::currentDate().addDays(-7), this);
    m_to = new QDateEdit(QDate::currentDate(), this);
    m_from->setAccessibleName(tr("First day"));
    m_to->setAccessibleName(tr("Last day"));
    for (QDateEdit* edit : {m_from, m_to}) {
        edit->setCalendarPopup(false);
        edit->setButtonSymbols(QAbstractSpinBox::NoButtons);
        edit->hide();
        connect(edit, &QDateEdit::dateChanged, this, &HistoryPage::ask);
    }
    connect(m_range, &QComboBox::activated, this, [this](int range) {
        m_from->setVisible(range == Between);
        m_to->setVisible(range == Between);
        ask();
    });
    m_device = new QComboBox(this);
    m_device->setAccessibleName(tr("Device"));
    m_device->addItem(tr("Every device"));
    // Not as wide as the longest name: names come from the network, and the bar has an end.
    m_device->setSizeAdjustPolicy(QComboBox::AdjustToMinimumContentsLengthWithIcon);
    m_device->setMinimumContentsLength(kDeviceLetters);
    connect(m_device, &QComboBox::activated, this, &HistoryPage::ask);
    m_protocol = new QComboBox(this);
    m_protocol->setAccessibleName(tr("Protocol"));
    m_protocol->addItem(tr("Every protocol"));
    for (const auto& text : engine::net::kVpnProtocols)
        m_protocol->addItem(nameOf(text.protocol));
    connect(m_protocol, &QComboBox::activated, this, &HistoryPage::ask);
    m_count = new SafeLabel(this);
    m_count->muted();

    auto* bar = new QHBoxLayout;
    bar->setSpacing(kGap);
    bar->addWidget(m_what);
    bar->addWidget(makeFilterField(tr("Address, name, server")));
    for (QWidget* widget : {static_cast<QWidget*>(m_range), static_cast<QWidget*>(m_from),
                            static_cast<QWidget*>(m_to), static_cast<QWidget*>(m_device),
                            static_cast<QWidget*>(m_protocol)})
        bar->addWidget(widget);
    bar->addStretch();
    bar->addWidget(m_count);
    column()->addLayout(bar);
    m_typing->setSingleShot(true);
    m_typing->setInterval(250);
    connect(filterField(), &QLineEdit::textChanged, m_typing, qOverload<>(&QTimer::start));
    connect(m_typing, &QTimer::timeout, this, &HistoryPage::ask);

    m_tunnelTable = new Table(tr("Tunnels of the past"), CellDelegate::Lines::Two, this);
    m_tunnelTable->setModel(m_tunnels);
    m_tunnelTable->setColumnWidths({{QStringLiteral("Still running"), Table::Width::Beside::Shape},
                                    {QStringLiteral("GlobalProtect?")},
                                    {QStringLiteral("manager-phone")},
                                    {},
                                    {QStringLiteral("Port 58117 → 37693")},
                                    {QStringLiteral("23 h 59 min")},
                                    {QStringLiteral("88.8 MB / 88.8 MB")},
                                    {}});
    m_tunnelTable->setSelectionMode(QAbstractItemView::SingleSelection);
    m_tunnelTable->setDispensable({HistoryTunnelModel::Total, HistoryTunnelModel::Passage,
                                   HistoryTunnelModel::For, HistoryTunnelModel::Protocol});
    m_tunnelTable->enableColumnChoice();
    m_tunnelTable->sortByColumn(HistoryTunnelModel::Ended, Qt::DescendingOrder);
    connect(m_tunnelTable, &Table::opened, this, [this] {
        const HistoryTunnel* row = m_tunnels->find(m_tunnelTable->currentId());
        if (row != nullptr && row->isLive()) {
            Q_EMIT liveTunnelAsked(row->detail.serial);
        } else {
            showDetail();
        }
    });
    connect(m_tunnelTable, &QTableView::clicked, this, &HistoryPage::showDetail);
    connect(m_tunnelTable, &Table::filterAsked, filterField(), &QLineEdit::setText);
    m_connectionTable = new Table(tr("Connections of the past"), CellDelegate::Lines::One, this);
    m_connectionTable->setModel(m_connections);
    m_connectionTable->setColumnWidths({{QStringLiteral("30 Dec 2026, 23:59")},
                                        {QStringLiteral("ICMP")},
                                        {},
                                        {QStringLiteral("198.51.100.255:65535")},
                                        {QStringLiteral("203.0.113.255:65535")},
                                        {QStringLiteral("23 h 59 min")},
                                        {QStringLiteral("88.8 MB")},
                                        {QStringLiteral("88.8 MB")}});
    m_connectionTable->setDispensable(
        {HistoryConnectionModel::External, HistoryConnectionModel::For});
    m_connectionTable->enableColumnChoice();
    m_connectionTable->sortByColumn(HistoryConnectionModel::Ended, Qt::DescendingOrder);
    connect(m_connectionTable, &Table::filterAsked, filterField(), &QLineEdit::setText);

    m_empty = new EmptyState(Symbol::History, this);
    connect(m_empty->action(), &QPushButton::clicked, this, [this] { clearFilter(); });
    m_stack = new QStackedWidget(this);
    m_stack->addWidget(m_tunnelTable);
    m_stack->addWidget(m_connectionTable);
    m_stack->addWidget(m_empty);
    m_detail = new TunnelDetail(m_past, TunnelDetail::Closable::Yes, this);
    m_detail->setPast();
    m_detail->setMinimumWidth(480);
    m_detail->hide();
    connect(m_detail, &TunnelDetail::closed, m_detail, &QWidget::hide);
    auto* splitter = new QSplitter(this);
    splitter->setChildrenCollapsible(false);
    splitter->addWidget(m_stack);
    splitter->addWidget(m_detail);
    splitter->setStretchFactor(0, 3);
    splitter->setStretchFactor(1, 2);
    column()->addWidget(splitter, 1);
    updateEmpty();
}

HistoryQuery HistoryPage::query() const
{
    HistoryQuery query;
    query.what =
        m_what->position() == 0 ? HistoryQuery::What::Tunnels : HistoryQuery::What::Connections;
    const QDateTime now = QDateTime::currentDateTime();
    query.to = now;
    switch (m_range->currentIndex()) {
    case LastHour: query.from = now.addSecs(-3600); break;
    case Today: query.from = now.date().startOfDay(); break;
    case LastWeek: query.from = now.addDays(-7); break;
    case LastMonth: query.from = now.addDays(-30); break;
    case Between:
        query.from = m_from->date().startOfDay();
        query.to = m_to->date().endOfDay();
        break;
    default: query.from = QDateTime::fromSecsSinceEpoch(0); break;
    }
    query.text = filterField()->text().trimmed();
    if (m_device->currentIndex() > 0)
        query.device = engine::net::Ipv4Address{m_device->currentData().toUInt()};
    if (m_protocol->currentIndex() > 0 && query.what == HistoryQuery::What::Tunnels)
        query.protocol = static_cast<engine::net::VpnProtocol>(m_protocol->currentIndex() - 1);
    return query;
}

void HistoryPage::ask()
{
    m_typing->stop();
    Q_EMIT asked(query());
}

void HistoryPage::showEvent(QShowEvent* event)
{
    PageFrame::showEvent(event);
    if (!event->spontaneous()) ask();
}

void HistoryPage::setTunnels(const std::vector<HistoryTunnel>& rows)
{
    m_answered = true;
    m_tunnels->setRows(rows);
    updateEmpty();
}

void HistoryPage::setConnections(const std::vector<HistoryConnection>& rows)
{
    m_answered = true;
    m_connections->setRows(rows);
    updateEmpty();
}

void HistoryPage::forgetRouter()
{
    m_answered = false;
    m_tunnels->setRows({});
    m_connections->setRows({});
    m_detail->hide();
    updateEmpty();
    if (isVisible()) m_typing->start();
}

void HistoryPage::presentationChanged()
{
    const QVariant chosen = m_device->currentData();
    m_device->clear();
    m_device->addItem(tr("Every device"));
    for (const auto& [address, device] : m_presentation.devices)
        m_device->addItem(m_presentation.deviceNameAndAddress(address), address.hostOrder());
    const int at = chosen.isValid() ? m_device->findData(chosen) : 0;
    m_device->setCurrentIndex(std::max(0, at));
    m_tunnels->presentationChanged();
    m_connections->presentationChanged();
}

void HistoryPage::updateEmpty()
{
    const bool tunnels = m_what->position() == 0;
    const int shown = tunnels ? m_tunnels->rowCount() : m_connections->rowCount();
    m_count->setText(
        shown == 0
            ? QString()
            : tr("%1 found").arg(m_presentation.format.count(static_cast<std::uint64_t>(shown))));
    if (shown > 0) {
        m_stack->setCurrentWidget(tunnels ? m_tunnelTable : m_connectionTable);
        return;
    }
    const HistoryQuery now = query();
    if (!m_answered) {
        m_empty->say(tr("Looking…"), {});
    } else if (!now.text.isEmpty() || now.device || now.protocol) {
        m_empty->say(tr("Nothing matches"),
                     tr("In the chosen time nothing fits the text, device and protocol."),
                     tr("Clear the filters"));
    } else {
        m_empty->say(
            tr("Nothing in this time"),
            tr("History starts when sharing starts, and what has ended is kept for %n day(s).",
               nullptr, static_cast<int>(m_retentionDays)));
    }
    m_stack->setCurrentWidget(m_empty);
}

void HistoryPage::showDetail()
{
    const HistoryTunnel* row = m_tunnels->find(m_tunnelTable->currentId());
    if (row == nullptr || row->detail.serial == 0) {
        m_detail->hide();
        return;
    }
    m_past = m_presentation.ofHistory();
    engine::tunnel::Tunnel tunnel = row->detail;
    tunnel.phase = row->phase;
    m_detail->setTunnel(tunnel, 0, 0);
    m_detail->show();
}

void HistoryPage::setSnapshot(const engine::Snapshot& snapshot)
{
    m_tunnels->setSnapshot(snapshot);
}

bool HistoryPage::clearFilter()
{
    const bool had = !filterField()->text().isEmpty() || m_device->currentIndex() > 0 ||
                     m_protocol->currentIndex() > 0;
    if (!had) {
        if (m_detail->isVisible()) {
            m_detail->hide();
            return true;
        }
        return false;
    }
    filterField()->clear();
    m_device->setCurrentIndex(0);
    m_protocol->setCurrentIndex(0);
    ask();
    return true;
}

void HistoryPage::exportView()
{
    auto* dialog = new QFileDialog(this, tr("Export history"));
    dialog->setAttribute(Qt::WA_DeleteOnClose);
    dialog->setAcceptMode(QFileDialog::AcceptSave);
    dialog->setNameFilters({tr("Table (*.csv)"), tr("JSON (*.json)")});
    dialog->setDefaultSuffix(QStringLiteral("csv"));
    dialog->selectFile(m_what->position() == 0 ? QStringLiteral("tunnels.csv")
                                               : QStringLiteral("connections.csv"));
    const HistoryQuery wanted = query();
    connect(dialog, &QFileDialog::filterSelected, dialog, [dialog](const QString& filter) {
        dialog->setDefaultSuffix(filter.contains(QLatin1String("json")) ? QStringLiteral("json")
                                                                        : QStringLiteral("csv"));
    });
    connect(dialog, &QFileDialog::fileSelected, this,
            [this, wanted](const QString& path) { Q_EMIT exportAsked(wanted, path); });
    dialog->open();
}

}  // namespace ui
