#include "ui/pages/tunnel_detail.h"

#include "ui/pages/connection_columns.h"
#include "ui/text/words.h"
#include "ui/widgets/table.h"
#include "ui/widgets/timeline_view.h"

#include <QApplication>
#include <QClipboard>
#include <QGridLayout>
#include <QHBoxLayout>
#include <QLineEdit>
#include <QScrollArea>
#include <QToolButton>

namespace ui {

namespace {

/// The label at that place of a grid, made when it is first needed.
SafeLabel* labelAt(QGridLayout* grid, int row, int columnNumber, QWidget* parent)
{
    if (auto* item = grid->itemAtPosition(row, columnNumber))
        return static_cast<SafeLabel*>(item->widget());
    auto* label = new SafeLabel(parent);
    grid->addWidget(label, row, columnNumber, Qt::AlignTop);
    return label;
}

}  // namespace

TunnelDetail::TunnelDetail(const Presentation& presentation, Closable closable, QWidget* parent)
    : QWidget(parent),
      m_presentation(presentation),
      m_timeline(new TimelineModel(presentation, this)),
      m_sessions(new ConnectionModel(presentation, this))
{
    setAccessibleName(tr("Tunnel details"));
    auto* outer = new QVBoxLayout(this);
    outer->setContentsMargins(0, 0, 0, 0);
    auto* card = new Card(this);
    outer->addWidget(card);

    auto* head = new QHBoxLayout;
    head->setSpacing(kGap);
    m_title = new SafeLabel(card, TextSize::Strong);
    m_title->eliding();
    m_state = new Badge(card);
    head->addWidget(m_title, 1);
    head->addWidget(m_state);
    if (closable == Closable::Yes) {
        auto* close = new QToolButton(card);
        close->setIcon(iconOf(Symbol::Close));
        close->setAccessibleName(tr("Close the details"));
        close->setToolTip(tr("Close the details (Esc)"));
        connect(close, &QToolButton::clicked, this, &TunnelDetail::closed);
        head->addWidget(close);
    }
    card->body()->addLayout(head);

    m_summary = new SafeLabel(card);
    m_summary->wrapping();
    m_summary->selectable();
    m_summary->setAccessibleName(tr("Summary"));
    card->body()->addWidget(m_summary);

    auto* buttons = new QHBoxLayout;
    buttons->setSpacing(kGap);
    m_disconnect = new QPushButton(tr("&Disconnect…"), card);
    connect(m_disconnect, &QPushButton::clicked, this, &TunnelDetail::askToDisconnect);
    auto* device = new QPushButton(tr("Only this device"), card);
    connect(device, &QPushButton::clicked, this, [this] { Q_EMIT deviceAsked(m_tunnel.device); });
    auto* switches = new QPushButton(tr("Its switch"), card);
    connect(switches, &QPushButton::clicked, this,
            [this] { Q_EMIT passthroughAsked(m_tunnel.protocol); });
    auto* copy = new QPushButton(tr("Copy"), card);
    copy->setToolTip(tr("Copy the summary and the timeline as text"));
    connect(copy, &QPushButton::clicked, this, [this] {
        QStringList lines{m_title->text(), m_summary->text()};
        for (int row = 0; row < m_timeline->rowCount(); ++row)
            lines << m_timeline->index(row).data(Qt::AccessibleTextRole).toString();
        QApplication::clipboard()->setText(lines.join(QLatin1Char('\n')));
    });
    for (QPushButton* button : {m_disconnect, device, switches, copy})
        buttons->addWidget(button);
    buttons->addStretch();
    card->body()->addLayout(buttons);

    auto* marks = new QHBoxLayout;
    marks->setSpacing(kGap);
    m_pin = makeChip(tr("Pin"), card);
    m_pin->setToolTip(tr("Pinned tunnels stay on top of the table, also when they dial again"));
    m_note = new QLineEdit(card);
    m_note->setMaxLength(200);
    m_note->setPlaceholderText(tr("Add a note"));
    m_note->setAccessibleName(tr("Note about this tunnel"));
    connect(m_pin, &QPushButton::clicked, this, [this](bool pinned) {
        m_mark.pinned = pinned;
        Q_EMIT marked(keyOf(m_tunnel), m_mark);
    });
    connect(m_note, &QLineEdit::editingFinished, this, [this] {
        if (!m_note->isModified()) return;
        m_note->setModified(false);
        m_mark.note = m_note->text().trimmed();
        Q_EMIT marked(keyOf(m_tunnel), m_mark);
    });
    marks->addWidget(m_pin);
    marks->addWidget(m_note, 1);
    card->body()->addLayout(marks);

    m_question = new InlineMessage(card);
    QPushButton* yes = m_question->addAction(tr("Disconnect"));
    QPushButton* no = m_question->addAction(tr("Keep"));
    connect(yes, &QPushButton::clicked, this, [this] {
        m_question->hide();
        Q_EMIT disconnectAsked(m_tunnel.serial);
    });
    connect(no, &QPushButton::clicked, m_question, &QWidget::hide);
    m_question->hide();
    card->body()->addWidget(m_question);

    m_tabs = new QTabWidget(card);
    m_tabs->setDocumentMode(true);
    m_tabs->setAccessibleName(tr("Tunnel details"));
    m_tabs->tabBar()->setAccessibleName(tr("Tunnel details"));
    m_tabs->tabBar()->setExpanding(false);
    m_tabs->tabBar()->setDrawBase(false);
    m_tabs->addTab(makeSummary(), tr("Facts"));
    m_tabs->addTab(new TimelineView(m_timeline, m_tabs), tr("Timeline"));
    m_tabs->addTab(makeMapping(), tr("Mapping"));
    m_sessionTable = new Table(tr("Sessions of this tunnel"), CellDelegate::Lines::One, m_tabs);
    m_sessionTable->setModel(m_sessions);
    m_sessionTable->setProperty("plain", true);
    m_sessionTable->setColumnWidths(connectionWidths(QStringLiteral("GRE")));
    for (const int column :
         {static_cast<int>(ConnectionModel::Device), static_cast<int>(ConnectionModel::For),
          static_cast<int>(ConnectionModel::LastPacket)})
        m_sessionTable->setColumnHidden(column, true);
    m_tabs->addTab(m_sessionTable, tr("Sessions"));
    m_tabs->addTab(makeEarlier(), tr("Earlier"));
    connect(m_tabs, &QTabWidget::currentChanged, this, &TunnelDetail::askForEarlier);
    card->body()->addWidget(m_tabs, 1);
}

QWidget* TunnelDetail::makeSummary()
{
    auto* body = new QWidget(this);
    auto* columnLayout = new QVBoxLayout(body);
    columnLayout->setContentsMargins(0, kGap, kGap, 0);
    columnLayout->setSpacing(kGapWide);
    m_findings = new QVBoxLayout;
    m_findings->setSpacing(kGap);
    columnLayout->addLayout(m_findings);
    m_facts = new QGridLayout;
    m_facts->setHorizontalSpacing(kGapWide);
    m_facts->setVerticalSpacing(6);
    m_facts->setColumnStretch(1, 1);
    columnLayout->addLayout(m_facts);
    columnLayout->addStretch();
    return asScrollPage(body, this);
}

QWidget* TunnelDetail::makeMapping()
{
    auto* body = new QWidget(this);
    auto* columnLayout = new QVBoxLayout(body);
    columnLayout->setContentsMargins(0, kGapWide, kGap, 0);
    columnLayout->setSpacing(kGapWide);
    m_mappingWords = new SafeLabel(body);
    m_mappingWords->wrapping();
    columnLayout->addWidget(m_mappingWords);
    m_mapping = new QGridLayout;
    m_mapping->setHorizontalSpacing(kGapWide);
    m_mapping->setVerticalSpacing(kGap);
    m_mapping->setColumnStretch(1, 1);
    m_mapping->setColumnStretch(2, 1);
    columnLayout->addLayout(m_mapping);
    columnLayout->addStretch();
    return asScrollPage(body, this);
}

QWidget* TunnelDetail::makeEarlier()
{
    auto* body = new QWidget(this);
    auto* columnLayout = new QVBoxLayout(body);
    columnLayout->setContentsMargins(0, kGapWide, 0, 0);
    columnLayout->setSpacing(kGap);
    m_earlierWords = new SafeLabel(body);
    m_earlierWords->wrapping();
    columnLayout->addWidget(m_earlierWords);
    m_earlier = new HistoryTunnelModel(m_presentation, this);
    auto* table =
        new Table(tr("Earlier sessions with this server"), CellDelegate::Lines::Two, body);
    table->setModel(m_earlier);
    table->setProperty("plain", true);
    using Column = HistoryTunnelModel::Column;
    for (const int column : {static_cast<int>(Column::Protocol), static_cast<int>(Column::Device),
                             static_cast<int>(Column::Server), static_cast<int>(Column::Passage)})
        table->setColumnHidden(column, true);
    const QString unseen = QStringLiteral(" ");
    table->setColumnWidths({{QStringLiteral("30 Dec 2026, 23:59")},
                            {unseen},
                            {unseen},
                            {unseen},
                            {unseen},
                            {QStringLiteral("23 h 59 min")},
                            {QStringLiteral("888 MB / 88.8 MB")},
                            {}});
    table->setDispensable({Column::Total});
    table->sortByColumn(Column::Ended, Qt::DescendingOrder);
    columnLayout->addWidget(table, 1);
    return body;
}

HistoryQuery TunnelDetail::earlierQuery() const
{
    HistoryQuery query;
    query.from = QDateTime::fromSecsSinceEpoch(0);
    query.to = m_presentation.wallClock;
    query.text = textOf(m_tunnel.server.address);
    query.device = m_tunnel.device;
    query.protocol = m_tunnel.protocol;
    query.limit = 500;
    return query;
}

void TunnelDetail::askForEarlier()
{
    if (m_past || m_tabs->currentIndex() != static_cast<int>(Tab::Earlier)) return;
    m_earlierWords->setText(tr("Looking…"));
    Q_EMIT earlierAsked(earlierQuery());
}

void TunnelDetail::setEarlier(const HistoryQuery& query, const std::vector<HistoryTunnel>& rows)
{
    const HistoryQuery mine = earlierQuery();
    if (query.device != mine.device || query.protocol != mine.protocol || query.text != mine.text)
        return;
    // The text is found in names, too, and the tunnel itself is not earlier than itself.
    std::vector<HistoryTunnel> earlier;
    for (const HistoryTunnel& row : rows) {
        if (row.server.address == m_tunnel.server.address && !row.isLive()) earlier.push_back(row);
    }
    m_earlierWords->setText(earlierSentence(earlier, m_presentation));
    m_earlier->setRows(std::move(earlier));
}

void TunnelDetail::setTunnel(const engine::tunnel::Tunnel& tunnel, double rateInbound,
                             double rateOutbound)
{
    if (tunnel.serial != m_tunnel.serial) {
        m_question->hide();
        ConnectionFilter filter;
        filter.tunnelSerial = tunnel.serial;
        m_sessions->setFilter(filter);
        m_sessions->setSessions({}, m_presentation.now);
        m_findingsShown.clear();
    }
    const bool other = tunnel.serial != m_tunnel.serial;
    m_pin->setChecked(m_mark.pinned);
    if (other || !m_note->isModified()) {
        if (m_note->text() != m_mark.note) m_note->setText(m_mark.note);
        m_note->setModified(false);
    }
    m_tunnel = tunnel;
    m_rateInbound = rateInbound;
    m_rateOutbound = rateOutbound;
    m_timeline->setTunnel(tunnel);
    if (other) askForEarlier();
    presentationChanged();
}

void TunnelDetail::setSessions(const std::vector<engine::SessionRecord>& sessions,
                               engine::Instant at)
{
    m_sessions->setSessions(sessions, at);
}

bool TunnelDetail::wantsSessions() const
{
    return isVisible() && m_tabs->currentIndex() == static_cast<int>(Tab::Sessions);
}

void TunnelDetail::showTab(Tab tab)
{
    m_tabs->setCurrentIndex(static_cast<int>(tab));
}

void TunnelDetail::setPast()
{
    m_past = true;
    m_disconnect->hide();
    m_pin->hide();
    m_note->hide();
    m_tabs->removeTab(static_cast<int>(Tab::Earlier));
    m_tabs->removeTab(static_cast<int>(Tab::Sessions));
}

void TunnelDetail::presentationChanged()
{
    const TunnelState state = stateOf(m_tunnel, m_presentation.now);
    m_title->setText(protocolText(m_tunnel.protocol, m_tunnel.confidence) + QStringLiteral(" · ") +
                     m_presentation.deviceName(m_tunnel.device) + QStringLiteral(" → ") +
                     serverName(m_tunnel));
    m_state->show(shapeOf(state), meaningOf(state), stateText(m_tunnel, m_presentation));
    m_summary->setText(summaryOf(m_tunnel, m_presentation));
    m_disconnect->setEnabled(!engine::tunnel::isOver(m_tunnel.phase));
    showFacts();
    showFindings();
    showMapping();
}

void TunnelDetail::askToDisconnect()
{
    if (engine::tunnel::isOver(m_tunnel.phase) || m_tunnel.serial == 0) return;
    m_question->say(Meaning::Warning,
                    tr("Disconnect %1 from %2? The device can dial again at once.")
                        .arg(m_presentation.deviceName(m_tunnel.device), serverName(m_tunnel)));
    m_question->show();
    m_question->findChildren<QPushButton*>().first()->setFocus();
}

void TunnelDetail::showFacts()
{
    const Format& format = m_presentation.format;
    const engine::Instant now = m_presentation.now;
    const auto since = [&](engine::Instant at) {
        return at == engine::Instant{} ? tr("never") : tr("%1 ago").arg(format.duration(now - at));
    };
    const auto loss = [&](const engine::tunnel::DirectionCounters& counters) {
        const double all = static_cast<double>(counters.lost + counters.packets);
        return all == 0 ? tr("unknown") : format.percent(static_cast<double>(counters.lost) / all);
    };
    const auto traffic = [&](const engine::tunnel::DirectionCounters& counters, double rate) {
        // A tunnel of the past was counted on another clock.
        if (m_past) return format.bytes(counters.bytes);
        return tr("%1, now %2, last %3")
            .arg(format.bytes(counters.bytes), format.rate(rate), since(counters.lastPacket));
    };
    const engine::Instant end = m_tunnel.ended == engine::Instant{} ? now : m_tunnel.ended;
    const QList<std::pair<QString, QString>> facts{
        {tr("Protocol"),
         tr("%1. %2").arg(nameOf(m_tunnel.protocol), sentenceOf(m_tunnel.confidence))},
        {tr("State"), sentenceOf(m_tunnel.phase)},
        {tr("Device"), m_presentation.deviceNameAndAddress(m_tunnel.device)},
        {tr("Server"), m_tunnel.serverName.empty()
                           ? textOf(m_tunnel.server)
                           : serverName(m_tunnel) + QStringLiteral(" (") + textOf(m_tunnel.server) +
                                 QLatin1Char(')')},
        {tr("Running for"), format.duration(end - m_tunnel.started)},
        {tr("Received"), traffic(m_tunnel.inbound, m_rateInbound)},
        {tr("Sent"), traffic(m_tunnel.outbound, m_rateOutbound)},
        {tr("Lost in / out"),
         loss(m_tunnel.inbound) + QStringLiteral(" / ") + loss(m_tunnel.outbound)},
        {tr("Out of order"),
         format.count(m_tunnel.inbound.reordered + m_tunnel.outbound.reordered)},
        {tr("Round trip"), m_tunnel.roundTrip.count() == 0
                               ? tr("not visible in this protocol")
                               : format.milliseconds(m_tunnel.roundTrip)},
        {tr("Address inside"), m_tunnel.innerAddress.isUnspecified()
                                   ? tr("not visible in this protocol")
                                   : textOf(m_tunnel.innerAddress)},
        {tr("Largest packet inside"), m_tunnel.innerMtu == 0
                                          ? tr("not visible in this protocol")
                                          : tr("%1 bytes").arg(m_tunnel.innerMtu)},
        {tr("Key changes"), format.count(m_tunnel.rekeys)},
        {tr("Sent again"), tr("%1 control messages").arg(format.count(m_tunnel.retransmissions))},
        {tr("Product"), m_tunnel.product.empty() ? tr("not shown by the protocol")
                                                 : safeText(m_tunnel.product, 64)},
    };
    for (int row = 0; row < facts.size(); ++row) {
        SafeLabel* name = labelAt(m_facts, row, 0, this);
        name->muted();
        name->setText(facts.at(row).first);
        SafeLabel* value = labelAt(m_facts, row, 1, this);
        value->wrapping();
        value->setText(facts.at(row).second);
    }
}

void TunnelDetail::showFindings()
{
    QString shown;
    for (const auto& finding : m_tunnel.findings)
        shown += titleOf(finding.kind) + sentenceOf(finding) + QLatin1Char('|');
    if (shown == m_findingsShown && !m_findingCards.isEmpty() == !m_tunnel.findings.empty()) return;
    m_findingsShown = shown;
    for (QWidget* card : m_findingCards)
        card->deleteLater();
    m_findingCards.clear();
    for (const auto& finding : m_tunnel.findings) {
        auto* card = new QWidget(this);
        auto* columnLayout = new QVBoxLayout(card);
        columnLayout->setContentsMargins(0, 0, 0, 0);
        columnLayout->setSpacing(kGapSmall);
        auto* head = new InlineMessage(card);
        head->say(meaningOf(finding.kind), titleOf(finding.kind) + QStringLiteral(". ") +
                                               sentenceOf(finding) + QLatin1Char(' ') +
                                               adviceOn(finding.kind));
        columnLayout->addWidget(head);
        const QStringList evidence = evidenceOf(finding);
        if (!evidence.isEmpty()) {
            QPushButton* show = head->addAction(tr("Evidence"));
            show->setCheckable(true);
            auto* proof = new SafeLabel(evidence.join(QLatin1Char('\n')), card);
            proof->setFont(monospaceFont());
            proof->selectable();
            proof->setAccessibleName(tr("Evidence: %1").arg(evidence.front()));
            proof->setContentsMargins(44, 0, 0, kGap);
            proof->hide();
            columnLayout->addWidget(proof);
            connect(show, &QPushButton::toggled, proof, &QWidget::setVisible);
        }
        m_findings->addWidget(card);
        m_findingCards.append(card);
    }
}

void TunnelDetail::showMapping()
{
    using engine::tunnel::PassageKind;
    m_mappingWords->setText(passageSentence(m_tunnel, m_presentation));
    const auto& passage = m_tunnel.passage;
    struct Field {
        QString name;
        QString inside;
        QString outside;
    };
    QList<Field> fields;
    fields.append(
        {tr("Client address"), textOf(m_tunnel.device), textOf(m_tunnel.external.address)});
    const auto both = [&](const QString& name, const QString& one, const QString& two) {
        fields.append({name, one, two});
    };
    const auto number = [](std::uint32_t value) {
        return QString::number(value);
    };
    switch (passage.kind) {
    case PassageKind::PortTranslated:
        both(tr("Client port"), number(passage.internalId), number(passage.externalId));
        break;
    case PassageKind::CallId:
        both(tr("Client call ID"), number(passage.internalId), number(passage.externalId));
        break;
    case PassageKind::SpiPair:
        both(tr("SPI to the gateway"), spi(passage.internalId), spi(passage.internalId));
        both(tr("SPI from the gateway"), spi(passage.externalId), spi(passage.externalId));
        break;
    case PassageKind::TunnelId:
        both(tr("Client tunnel ID"), number(passage.internalId), number(passage.externalId));
        break;
    case PassageKind::GreKey:
        both(tr("Key"), number(passage.internalId), number(passage.externalId));
        break;
    case PassageKind::SessionId:
        both(tr("Session ID"), number(passage.internalId), number(passage.externalId));
        break;
    case PassageKind::CookieMatched:
        both(tr("Client port"), QStringLiteral("500"), QStringLiteral("500"));
        break;
    case PassageKind::Unknown:
    case PassageKind::InnerAddress:
    case PassageKind::OnlyClient: break;
    }
    fields.append({tr("Server"), textOf(m_tunnel.server), textOf(m_tunnel.server)});
    fields.append({tr("Transport"), nameOf(m_tunnel.transport), nameOf(m_tunnel.transport)});
    if (!engine::tunnel::isOver(m_tunnel.phase) && m_tunnel.expires > m_presentation.now) {
        const QString left =
            tr("in %1 if nothing more is sent")
                .arg(m_presentation.format.duration(m_tunnel.expires - m_presentation.now));
        fields.append({tr("Expires"), left, {}});
    }
    const QString headings[] = {QString(), tr("Shared side"), tr("Internet side"), QString()};
    for (int i = 0; i < 4; ++i) {
        SafeLabel* label = labelAt(m_mapping, 0, i, this);
        label->setText(headings[i]);
        label->setFont(fontOf(TextSize::Strong));
    }
    for (int row = 0; row < 6; ++row) {
        const bool used = row < fields.size();
        const Field field = used ? fields.at(row) : Field{};
        const bool changed = used && !field.outside.isEmpty() && field.inside != field.outside;
        const QString words[] = {field.name, field.inside, field.outside,
                                 changed ? tr("changed") : QString()};
        for (int i = 0; i < 4; ++i) {
            SafeLabel* label = labelAt(m_mapping, row + 1, i, this);
            label->setText(words[i]);
            if (i == 0) label->muted();
            if (i == 1 || i == 2) label->wrapping();
            if (i >= 2) {
                // Changed is said by colour, by underline and by the word.
                QFont font = label->font();
                font.setUnderline(changed && i == 2);
                label->setFont(font);
                label->setMeaning(changed ? Meaning::Accent : Meaning::Neutral);
            }
        }
    }
}

}  // namespace ui
