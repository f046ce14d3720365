#include "ui/pages/tunnels_page.h"

#include "ui/text/filter_words.h"
#include "ui/text/words.h"
#include "ui/widgets/table.h"

#include <QComboBox>
#include <QSplitter>
#include <QStackedWidget>

namespace ui {

TunnelsPage::TunnelsPage(const Presentation& presentation, TunnelModel& model, QWidget* parent)
    : PageFrame(tr("Tunnels"), tr("Which VPNs are running?"), parent),
      m_presentation(presentation),
      m_model(model)
{
    auto* bar = new QHBoxLayout;
    bar->setSpacing(kGap);
    bar->addWidget(makeFilterField(tr("Filter tunnels")));
    connect(filterField(), &QLineEdit::textChanged, this, [this] { applyFilter(); });
    const QStringList words{tr("All"), tr("Live"), tr("Needs a look"), tr("Over")};
    for (qsizetype i = 0; i < words.size(); ++i) {
        QPushButton* chip = makeChip(words.at(i), this);
        chip->setChecked(i == 0);
        connect(chip, &QPushButton::clicked, this,
                [this, i] { showOnly(static_cast<TunnelFilter::Which>(i)); });
        m_chips.append(chip);
        bar->addWidget(chip);
    }
    m_protocol = new QComboBox(this);
    m_protocol->setAccessibleName(tr("Protocol"));
    m_protocol->addItem(tr("Every protocol"));
    for (const auto& text : engine::net::kVpnProtocols)
        m_protocol->addItem(nameOf(text.protocol));
    connect(m_protocol, &QComboBox::activated, this, [this] { applyFilter(); });
    bar->addWidget(m_protocol);
    m_grouping = new QComboBox(this);
    m_grouping->setAccessibleName(tr("Groups"));
    m_grouping->addItems({tr("No groups"), tr("By device"), tr("By protocol"), tr("By server")});
    connect(m_grouping, &QComboBox::activated, this, [this](int grouping) {
        m_model.setGrouping(static_cast<TunnelModel::Grouping>(grouping));
    });
    bar->addWidget(m_grouping);
    m_deviceChip = makeChip({}, this);
    m_deviceChip->hide();
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
    connect(m_freeze, &QPushButton::clicked, this, &TunnelsPage::toggleFreeze);
    bar->addWidget(m_freeze);
    column()->addLayout(bar);

    m_table = new Table(tr("Tunnels"), CellDelegate::Lines::Two, this);
    m_table->setModel(&m_model);
    m_table->setColumnWidths({{QStringLiteral("Traffic both ways"), Table::Width::Beside::Shape},
                              {QStringLiteral("GlobalProtect?")},
                              {QStringLiteral("manager-phone")},
                              {},
                              {QStringLiteral("Port 58117 → 37693")},
                              {QStringLiteral("23 h 59 min")},
                              {QStringLiteral("↑ 59 min")},
                              {QStringLiteral("59 min")},
                              {QStringLiteral("↓ 88.8 Mbit/s"), Table::Width::Beside::Curve},
                              {QStringLiteral("888 MB / 888 MB")},
                              {QStringLiteral("203.0.113.255:65535")},
                              {QStringLiteral("0.05 %")}});
    for (const int hidden :
         {static_cast<int>(TunnelModel::Total), static_cast<int>(TunnelModel::External),
          static_cast<int>(TunnelModel::Loss)})
        m_table->setColumnHiddenByDefault(hidden);
    m_table->setDispensable({TunnelModel::Expires, TunnelModel::LastPacket, TunnelModel::RateNow,
                             TunnelModel::Passage, TunnelModel::For});
    m_table->enableColumnChoice();
    m_table->setSelectionMode(QAbstractItemView::SingleSelection);
    connect(m_table, &Table::opened, this, &TunnelsPage::showTunnel);
    connect(m_table, &Table::openedInWindow, this, &TunnelsPage::windowAsked);
    connect(m_table, &QTableView::doubleClicked, this,
            [this] { showTunnel(m_table->currentId()); });
    connect(m_table, &QTableView::clicked, this, [this] { showDetail(m_table->currentId()); });
    connect(m_table, &Table::currentIdChanged, this, [this](quint64 serial) {
        if (m_detail->isVisible()) showDetail(serial);
    });
    connect(m_table, &Table::freezeAsked, this, &TunnelsPage::toggleFreeze);
    const auto addWord = [this](const QString& text, bool excluded) {
        const QString typed = filterField()->text().trimmed();
        filterField()->setText((typed.isEmpty() ? QString() : typed + QLatin1Char(' ')) +
                               asFilterWord(text, excluded));
    };
    connect(m_table, &Table::filterAsked, this,
            [addWord](const QString& text) { addWord(text, false); });
    connect(m_table, &Table::excludeAsked, this,
            [addWord](const QString& text) { addWord(text, true); });
    connect(m_table, &Table::removeAsked, this, [this] {
        showDetail(m_table->currentId());
        m_detail->askToDisconnect();
    });

    m_detail = new TunnelDetail(presentation, TunnelDetail::Closable::Yes, this);
    m_detail->setMinimumWidth(480);
    m_detail->hide();
    connect(m_detail, &TunnelDetail::closed, this, [this] {
        m_detail->hide();
        m_table->setFocus();
    });
    connect(m_detail, &TunnelDetail::disconnectAsked, this, &TunnelsPage::disconnectAsked);
    connect(m_detail, &TunnelDetail::passthroughAsked, this, &TunnelsPage::passthroughAsked);
    connect(m_detail, &TunnelDetail::deviceAsked, this,
            qOverload<engine::net::Ipv4Address>(&TunnelsPage::showOnly));

    connect(m_detail, &TunnelDetail::earlierAsked, this, &TunnelsPage::earlierAsked);
    connect(m_detail, &TunnelDetail::marked, this, &TunnelsPage::marked);

    m_empty = new EmptyState(Symbol::Tunnels, this);
    connect(m_empty->action(), &QPushButton::clicked, this, [this] {
        if (m_model.totalRows() == 0) {
            Q_EMIT passthroughAsked(engine::net::VpnProtocol::Pptp);
        } else {
            clearFilter();
        }
    });
    m_stack = new QStackedWidget(this);
    m_stack->addWidget(m_table);
    m_stack->addWidget(m_empty);
    m_splitter = new QSplitter(this);
    m_splitter->setChildrenCollapsible(false);
    m_splitter->addWidget(m_stack);
    m_splitter->addWidget(m_detail);
    m_splitter->setStretchFactor(0, 3);
    m_splitter->setStretchFactor(1, 2);
    column()->addWidget(m_splitter, 1);
    updateEmpty();
}

void TunnelsPage::toggleFreeze()
{
    m_model.setFrozen(!m_model.isFrozen());
    m_freeze->setChecked(m_model.isFrozen());
    m_freeze->setText(m_model.isFrozen() ? tr("Frozen") : tr("Freeze"));
}

void TunnelsPage::applyFilter()
{
    m_filter.text = filterField()->text();
    const int protocol = m_protocol->currentIndex();
    m_filter.protocol.reset();
    if (protocol > 0) m_filter.protocol = static_cast<engine::net::VpnProtocol>(protocol - 1);
    for (qsizetype i = 0; i < m_chips.size(); ++i)
        m_chips.at(i)->setChecked(i == static_cast<int>(m_filter.which));
    m_deviceChip->setVisible(m_filter.device.has_value());
    if (m_filter.device) {
        const QString text = tr("%1 ✕").arg(m_presentation.deviceName(*m_filter.device));
        m_deviceChip->setText(escapeMnemonic(text));
        m_deviceChip->setAccessibleName(tr("Only %1; press to show all devices")
                                            .arg(m_presentation.deviceName(*m_filter.device)));
        m_deviceChip->setChecked(true);
    }
    m_model.setFilter(m_filter);
    updateEmpty();
}

void TunnelsPage::updateEmpty()
{
    const int shown = m_model.rowCount();
    m_count->setText(shown == m_model.totalRows()
                         ? tr("%n tunnel(s)", nullptr, shown)
                         : tr("%1 of %2").arg(shown).arg(m_model.totalRows()));
    if (shown > 0) {
        m_stack->setCurrentWidget(m_table);
        return;
    }
    if (m_model.totalRows() == 0) {
        m_empty->say(tr("No VPN tunnels yet"),
                     tr("They appear here when a device behind this PC starts one."),
                     tr("See what may pass"));
    } else {
        m_empty->say(tr("No tunnel matches the filter"), {}, tr("Clear the filter"));
    }
    m_stack->setCurrentWidget(m_empty);
}

void TunnelsPage::snapshotShown()
{
    updateEmpty();
    if (!m_detail->isVisible()) return;
    if (const TunnelRow* row = m_model.find(m_detail->serial())) {
        m_detail->setMark(m_model.markOf(row->tunnel));
        m_detail->setTunnel(row->tunnel, row->rateInbound, row->rateOutbound);
    }
}

void TunnelsPage::forgetRouter()
{
    if (m_model.isFrozen()) toggleFreeze();
    m_model.setSnapshot({});
    m_detail->hide();
    updateEmpty();
}

void TunnelsPage::setSessions(const std::vector<engine::SessionRecord>& sessions,
                              engine::Instant at)
{
    if (m_detail->isVisible()) m_detail->setSessions(sessions, at);
}

void TunnelsPage::showOnly(TunnelFilter::Which which)
{
    m_filter.which = which;
    applyFilter();
}

void TunnelsPage::showOnly(engine::net::Ipv4Address device)
{
    m_filter.device = device;
    applyFilter();
}

void TunnelsPage::showOnly(engine::net::VpnProtocol protocol)
{
    m_protocol->setCurrentIndex(static_cast<int>(protocol) + 1);
    applyFilter();
}

void TunnelsPage::showTunnel(std::uint64_t serial)
{
    if (m_model.find(serial) == nullptr) return;
    if (m_model.rowOf(serial) < 0) {
        m_filter = {};
        clearFilter();
    }
    m_table->selectId(serial);
    showDetail(serial);
}

void TunnelsPage::showDetail(std::uint64_t serial)
{
    const TunnelRow* row = m_model.find(serial);
    if (row == nullptr) return;
    m_detail->setMark(m_model.markOf(row->tunnel));
    m_detail->setTunnel(row->tunnel, row->rateInbound, row->rateOutbound);
    if (!m_detail->isVisible()) {
        m_detail->show();
        const int width = m_splitter->width();
        m_splitter->setSizes({width * 52 / 100, width * 48 / 100});
    }
}

std::uint64_t TunnelsPage::sessionsWanted() const
{
    return m_detail->wantsSessions() ? m_detail->serial() : 0;
}

void TunnelsPage::presentationChanged()
{
    if (m_detail->isVisible()) m_detail->presentationChanged();
}

bool TunnelsPage::clearFilter()
{
    const bool had = m_filter != TunnelFilter{} || !filterField()->text().isEmpty();
    if (had) {
        m_filter = {};
        m_protocol->setCurrentIndex(0);
        filterField()->clear();
        applyFilter();
        return true;
    }
    if (m_detail->isVisible()) {
        m_detail->hide();
        m_table->setFocus();
        return true;
    }
    return false;
}

}  // namespace ui
