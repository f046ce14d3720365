#include "ui/pages/overview_page.h"

#include "ui/text/flood_words.h"
#include "ui/text/words.h"

#include <QGridLayout>
#include <QScrollArea>

#include <algorithm>

namespace ui {

namespace {

/// The last octet of a flood's key among what needs attention.
constexpr std::uint64_t kFlood = 6;

constexpr int kLineHeight = 44;
constexpr int kFewestLines = 4;
/// Of the list's card, what is not lines.
constexpr int kHeadingRoom = 64;

}  // namespace

Tile::Tile(QWidget* parent)
    : QPushButton(parent),
      m_figure(new SafeLabel(this, TextSize::Display)),
      m_unit(new SafeLabel(this)),
      m_second(new SafeLabel(this, TextSize::Caption))
{
    setProperty("tile", true);
    setMinimumHeight(76);
    setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(kGapWide, kGap, kGapWide, kGap);
    column->setSpacing(2);
    auto* row = new QHBoxLayout;
    row->setSpacing(kGap);
    row->addWidget(m_figure);
    row->addWidget(m_unit, 0, Qt::AlignBottom);
    row->addStretch();
    m_unit->setContentsMargins(0, 0, 0, 4);
    column->addLayout(row);
    m_second->muted().eliding();
    column->addWidget(m_second);
    for (QWidget* label : {static_cast<QWidget*>(m_figure), static_cast<QWidget*>(m_unit),
                           static_cast<QWidget*>(m_second)}) {
        label->setAttribute(Qt::WA_TransparentForMouseEvents);
    }
}

void Tile::show(const QString& figure, const QString& unit, const QString& second, Meaning meaning)
{
    m_figure->setText(figure);
    m_unit->setText(unit);
    m_second->setText(second);
    m_second->setMeaning(meaning);
    // At once: a figure that has grown must not be seen cut.
    layout()->activate();
    setAccessibleName(figure + QLatin1Char(' ') + unit + QStringLiteral(", ") + second);
}

OverviewPage::OverviewPage(const Presentation& presentation, TunnelModel& tunnels,
                           DeviceModel& devices, QWidget* parent)
    : PageFrame(tr("Overview"), tr("Is everything all right?"), parent),
      m_presentation(presentation),
      m_tunnels(tunnels),
      m_devices(devices)
{
    auto* body = new QWidget(this);
    auto* page = new QVBoxLayout(body);
    page->setContentsMargins(0, 0, 0, 0);
    page->setSpacing(kGapWide);

    auto* sharing = new Card(body);
    auto* sharingRow = new QHBoxLayout;
    sharingRow->setSpacing(kGapWide);
    auto* words = new QVBoxLayout;
    words->setSpacing(2);
    m_sharing = new SafeLabel(sharing, TextSize::Strong);
    m_address = new SafeLabel(sharing);
    m_address->muted().eliding();
    words->addWidget(m_sharing);
    words->addWidget(m_address);
    m_stateBadge = new Badge(sharing);
    m_stop = new QPushButton(tr("Stop sharing"), sharing);
    connect(m_stop, &QPushButton::clicked, this, &OverviewPage::stopAsked);
    sharingRow->addWidget(m_stateBadge);
    sharingRow->addLayout(words, 1);
    sharingRow->addWidget(m_stop);
    sharing->body()->addLayout(sharingRow);
    page->addWidget(sharing);

    auto* tiles = new QHBoxLayout;
    tiles->setSpacing(kGapWide);
    m_tunnelTile = new Tile(body);
    m_deviceTile = new Tile(body);
    m_sessionTile = new Tile(body);
    m_trafficTile = new Tile(body);
    for (Tile* tile : {m_tunnelTile, m_deviceTile, m_sessionTile, m_trafficTile})
        tiles->addWidget(tile, tile == m_trafficTile ? 5 : 4);  // its figure has a unit
    connect(m_tunnelTile, &QPushButton::clicked, this, [this] {
        const bool look = std::any_of(
            m_tunnels.all().begin(), m_tunnels.all().end(), [this](const TunnelRow& row) {
                return TunnelModel::needsLook(row.tunnel, m_presentation.now);
            });
        Q_EMIT tunnelsAsked(look ? TunnelFilter::Which::NeedsLook : TunnelFilter::Which::Live);
    });
    connect(m_deviceTile, &QPushButton::clicked, this, &OverviewPage::devicesAsked);
    connect(m_sessionTile, &QPushButton::clicked, this, &OverviewPage::connectionsAsked);
    connect(m_trafficTile, &QPushButton::clicked, this, &OverviewPage::connectionsAsked);
    page->addLayout(tiles);

    m_attentionCard = new Card(body);
    m_attentionCard->body()->addWidget(new CardHeading(tr("Needs attention"), {}, m_attentionCard));
    m_nothing = new SafeLabel(tr("Nothing. Every tunnel and every switch is as it should be."),
                              m_attentionCard);
    m_nothing->muted();
    m_attentionCard->body()->addWidget(m_nothing);
    for (AttentionLine& line : m_attention) {
        line.row = new QWidget(m_attentionCard);
        auto* row = new QHBoxLayout(line.row);
        row->setContentsMargins(0, 0, 0, 0);
        row->setSpacing(kGap);
        line.badge = new Badge(line.row);
        line.text = new SafeLabel(line.row);
        line.text->wrapping();
        line.action = new QPushButton(line.row);
        line.hide = makeQuietButton(tr("Hide"), line.row);
        row->addWidget(line.badge);
        row->addWidget(line.text, 1);
        row->addWidget(line.action);
        row->addWidget(line.hide);
        m_attentionCard->body()->addWidget(line.row);
        line.row->hide();
        connect(line.action, &QPushButton::clicked, this, [this, &line] {
            if (line.shown.protocol >= 0) {
                Q_EMIT turnOnAsked(static_cast<engine::net::VpnProtocol>(line.shown.protocol));
            } else if (line.shown.network) {
                Q_EMIT networkAsked();
            } else {
                Q_EMIT tunnelAsked(line.shown.tunnel);
            }
        });
        connect(line.hide, &QPushButton::clicked, this, [this, &line] {
            m_hidden.insert(line.shown.key);
            line.row->hide();
        });
    }
    page->addWidget(m_attentionCard);

    auto* lower = new QGridLayout;
    lower->setSpacing(kGapWide);
    m_tunnelCard = new Card(body);
    auto* tunnelCard = m_tunnelCard;
    auto* tunnelHeading = new CardHeading(tr("Live tunnels"), tr("All tunnels"), tunnelCard);
    connect(tunnelHeading->action(), &QPushButton::clicked, this,
            [this] { Q_EMIT tunnelsAsked(TunnelFilter::Which::All); });
    tunnelCard->body()->addWidget(tunnelHeading);
    m_noTunnels = new SafeLabel(
        tr("No VPN tunnels yet. They appear here when a device behind this PC starts one."),
        tunnelCard);
    m_noTunnels->muted().wrapping();
    tunnelCard->body()->addWidget(m_noTunnels);
    auto* lines = new QVBoxLayout;
    lines->setSpacing(0);
    tunnelCard->body()->addLayout(lines);
    for (TunnelLine& line : m_lines) {
        line.button = new QPushButton(tunnelCard);
        line.button->setProperty("rowButton", true);
        line.button->setFixedHeight(kLineHeight);
        auto* row = new QHBoxLayout(line.button);
        row->setContentsMargins(kGap, 2, kGap, 2);
        row->setSpacing(kGap + 4);
        auto* names = new QVBoxLayout;
        names->setSpacing(0);
        line.name = new SafeLabel(line.button);
        line.name->eliding();
        line.second = new SafeLabel(line.button, TextSize::Caption);
        line.second->muted().eliding();
        names->addStretch();
        names->addWidget(line.name);
        names->addWidget(line.second);
        names->addStretch();
        line.shape = new Badge(line.button);
        line.spark = new Sparkline(line.button);
        line.rate = new SafeLabel(line.button);
        line.rate->setMinimumWidth(84);
        line.rate->setAlignment(Qt::AlignRight | Qt::AlignVCenter);
        line.word = new SafeLabel(line.button);
        row->addWidget(line.shape);
        row->addLayout(names, 1);
        row->addWidget(line.word);
        row->addWidget(line.spark);
        row->addWidget(line.rate);
        for (QWidget* child : line.button->findChildren<QWidget*>())
            child->setAttribute(Qt::WA_TransparentForMouseEvents);
        connect(line.button, &QPushButton::clicked, this,
                [this, &line] { Q_EMIT tunnelAsked(line.serial); });
        lines->addWidget(line.button);
        line.button->hide();
    }
    tunnelCard->body()->addStretch();
    lower->addWidget(tunnelCard, 0, 0, 2, 1);

    auto* plotCard = new Card(body);
    plotCard->body()->addWidget(new CardHeading(tr("Throughput"), {}, plotCard));
    m_plot = new ThroughputPlot(presentation, plotCard);
    plotCard->body()->addWidget(m_plot, 1);
    lower->addWidget(plotCard, 0, 1);

    auto* deviceCard = new Card(body);
    auto* deviceHeading = new CardHeading(tr("Busiest devices"), tr("All devices"), deviceCard);
    connect(deviceHeading->action(), &QPushButton::clicked, this, &OverviewPage::devicesAsked);
    deviceCard->body()->addWidget(deviceHeading);
    m_noDevices = new SafeLabel(tr("No device has sent anything yet."), deviceCard);
    m_noDevices->muted();
    deviceCard->body()->addWidget(m_noDevices);
    m_bars = new BarList(deviceCard);
    m_bars->setAccessibleName(tr("Busiest devices"));
    deviceCard->body()->addWidget(m_bars);
    deviceCard->body()->addStretch();
    lower->addWidget(deviceCard, 1, 1);
    lower->setColumnStretch(0, 3);
    lower->setColumnStretch(1, 2);
    lower->setRowStretch(0, 1);
    page->addLayout(lower, 1);
    m_area = asScrollPage(body, this);
    column()->addWidget(m_area, 1);
}

void OverviewPage::forgetRouter()
{
    m_hidden.clear();
    m_plot->clear();
    showTunnels();
    showDevices();
}

void OverviewPage::setRouterState(const RouterState& state)
{
    if (state.kind != m_state.kind) forgetRouter();
    m_state = state;
    m_stop->setText(state.kind == RouterState::Kind::Lab ? tr("Leave the lab")
                                                         : tr("Stop sharing"));
    switch (state.kind) {
    case RouterState::Kind::Sharing:
        m_stateBadge->show(Shape::Disc, Meaning::Good, tr("Sharing"));
        m_sharing->setText(
            tr("%1 is shared with %2")
                .arg(safeText(state.externalInterface), safeText(state.internalInterface)));
        break;
    case RouterState::Kind::Lab:
        m_stateBadge->show(Shape::Diamond, Meaning::Accent, tr("Lab"));
        m_sharing->setText(tr("The built-in lab: simulated computers, the real router"));
        break;
    case RouterState::Kind::Starting:
        m_stateBadge->show(Shape::Dots, Meaning::Accent, tr("Starting"));
        m_sharing->setText(safeText(state.text, 160));
        break;
    case RouterState::Kind::NotSharing:
        m_stateBadge->show(Shape::Ring, Meaning::Neutral, tr("Not sharing"));
        m_sharing->setText(tr("Nothing is shared"));
        break;
    case RouterState::Kind::DaemonMissing:
        m_stateBadge->show(Shape::Cross, Meaning::Bad, tr("No service"));
        m_sharing->setText(tr("The service does not answer"));
        break;
    case RouterState::Kind::Denied:
        m_stateBadge->show(Shape::Cross, Meaning::Warning, tr("Denied"));
        m_sharing->setText(tr("The service does not let you in"));
        break;
    case RouterState::Kind::Error:
        m_stateBadge->show(Shape::Cross, Meaning::Bad, tr("Stopped"));
        m_sharing->setText(safeText(state.text, 160));
        break;
    }
}

void OverviewPage::setSnapshot(const engine::Snapshot& snapshot, double inbound, double outbound)
{
    const Format& format = m_presentation.format;
    const QString external = snapshot.external.addresses.empty()
                                 ? tr("no external address")
                                 : textOf(snapshot.external.addresses.front());
    m_address->setText(
        tr("External %1 · shared network %2").arg(external, textOf(snapshot.internal.prefix)));

    int live = 0;
    int look = 0;
    for (const auto& tunnel : snapshot.tunnels) {
        if (!engine::tunnel::isOver(tunnel.phase)) ++live;
        if (TunnelModel::needsLook(tunnel, snapshot.at)) ++look;
    }
    m_tunnelTile->show(
        format.count(static_cast<std::uint64_t>(live)), live == 1 ? tr("tunnel") : tr("tunnels"),
        look == 0 ? tr("all as they should be")
                  : tr("%1 to look at").arg(format.count(static_cast<std::uint64_t>(look))),
        look == 0 ? Meaning::Neutral : Meaning::Warning);
    const auto devices = snapshot.devices.size();
    const int fresh = m_devices.newToday();
    m_deviceTile->show(
        format.count(devices), devices == 1 ? tr("device") : tr("devices"),
        fresh == 0 ? tr("none new today")
                   : tr("%1 new today").arg(format.count(static_cast<std::uint64_t>(fresh))),
        Meaning::Neutral);
    const double share = snapshot.sessionLimit == 0
                             ? 0
                             : static_cast<double>(snapshot.sessions) / snapshot.sessionLimit;
    m_sessionTile->show(format.count(snapshot.sessions),
                        snapshot.sessions == 1 ? tr("session") : tr("sessions"),
                        tr("%1 of the limit").arg(format.percent(share)),
                        share > 0.9 ? Meaning::Bad : Meaning::Neutral);
    m_trafficTile->show(QStringLiteral("↓ ") + format.rate(inbound), {},
                        QStringLiteral("↑ ") + format.rate(outbound), Meaning::Neutral);
    m_plot->add(snapshot.at, inbound, outbound);
    showAttention(snapshot);
    showTunnels();
    showDevices();
}

void OverviewPage::showAttention(const engine::Snapshot& snapshot)
{
    std::vector<Attention> found;
    if (snapshot.external.addresses.empty()) {
        found.push_back({1, Meaning::Bad,
                         tr("There is no external address, so nothing gets through at the moment."),
                         tr("Look at the network"), 0, -1, true});
    }
    if (snapshot.sessionLimit != 0 && snapshot.sessions > snapshot.sessionLimit / 10 * 9) {
        found.push_back(
            {2, Meaning::Bad,
             tr("The session table is nearly full; new connections will be refused soon."),
             tr("Look at the limits"), 0, -1, true});
    }
    for (const auto& flood : snapshot.synFloods) {
        // Hidden for good would be hidden for the next one, too.
        const auto key = static_cast<std::uint64_t>(flood.since.nanoseconds()) << 8U;
        found.push_back({key | kFlood, Meaning::Warning, sentenceOf(flood),
                         tr("Look at the network"), 0, -1, true});
    }
    for (const auto& tunnel : snapshot.tunnels) {
        if (!TunnelModel::needsLook(tunnel, snapshot.at)) continue;
        const TunnelState state = stateOf(tunnel, snapshot.at);
        QString why =
            tunnel.findings.empty() ? wordOf(state) : titleOf(tunnel.findings.back().kind);
        found.push_back({(tunnel.serial << 8) | 3, meaningOf(state),
                         tr("%1 · %2 to %3: %4")
                             .arg(m_presentation.deviceName(tunnel.device), nameOf(tunnel.protocol),
                                  serverName(tunnel), why),
                         tr("Show"), tunnel.serial, -1, false});
    }
    for (std::size_t i = 0; i < snapshot.protocols.size(); ++i) {
        const auto& status = snapshot.protocols[i];
        const auto protocol = static_cast<engine::net::VpnProtocol>(i);
        if (status.selfTest.outcome == engine::SelfTestResult::Outcome::Failed) {
            found.push_back({(i << 8) | 5, Meaning::Warning,
                             tr("The self-test of %1 failed: %2")
                                 .arg(nameOf(protocol), safeText(status.selfTest.why, 120)),
                             tr("Look at the network"), 0, -1, true});
        }
        if (status.position.mode == engine::policy::PassthroughMode::Block && status.refused > 0) {
            found.push_back({(i << 8) | 4, Meaning::Accent,
                             tr("%1 is blocked; %2.")
                                 .arg(nameOf(protocol), tr("%n attempt(s) refused so far", nullptr,
                                                           static_cast<int>(std::min<std::uint64_t>(
                                                               status.refused, 1000000000)))),
                             tr("Turn on"), 0, static_cast<int>(i), false});
        }
    }
    found.erase(
        std::remove_if(found.begin(), found.end(),
                       [this](const Attention& one) { return m_hidden.count(one.key) != 0; }),
        found.end());
    // A flood concerns everybody: faults of many tunnels must not keep it from being seen.
    const auto isUrgent = [](const Attention& one) {
        return one.meaning == Meaning::Bad || (one.key & 0xffU) == kFlood;
    };
    std::stable_partition(found.begin(), found.end(), isUrgent);
    m_nothing->setVisible(found.empty());
    for (std::size_t i = 0; i < m_attention.size(); ++i) {
        AttentionLine& line = m_attention[i];
        line.row->setVisible(i < found.size());
        if (i >= found.size()) continue;
        line.shown = found[i];
        const bool bad = found[i].meaning == Meaning::Bad;
        const bool held = found[i].meaning == Meaning::Held;
        const bool note = found[i].meaning == Meaning::Accent;
        line.badge->show(bad    ? Shape::Cross
                         : held ? Shape::Bars
                         : note ? Shape::Diamond
                                : Shape::Triangle,
                         found[i].meaning,
                         bad    ? tr("Fault")
                         : held ? tr("Held")
                         : note ? tr("Note")
                                : tr("Look"));
        line.text->setText(found[i].text);
        line.action->setText(found[i].action);
        line.action->setAccessibleName(found[i].action + QStringLiteral(": ") + found[i].text);
        line.hide->setAccessibleName(tr("Hide: %1").arg(found[i].text));
    }
}

/// As many as the window has room for below the other cards: no blank half of a card, and no more
/// to scroll than there must be.
std::size_t OverviewPage::linesThatFit() const
{
    const int top = m_tunnelCard->mapTo(m_area->widget(), QPoint(0, 0)).y();
    const int room = m_area->viewport()->height() - top - kHeadingRoom;
    return static_cast<std::size_t>(
        std::clamp(room / kLineHeight, kFewestLines, static_cast<int>(m_lines.size())));
}

void OverviewPage::showTunnels()
{
    const auto rows = m_tunnels.busiest(linesThatFit());
    m_noTunnels->setVisible(rows.empty());
    for (std::size_t i = 0; i < m_lines.size(); ++i) {
        TunnelLine& line = m_lines[i];
        line.button->setVisible(i < rows.size());
        if (i >= rows.size()) continue;
        const auto& tunnel = rows[i]->tunnel;
        const TunnelState state = stateOf(tunnel, m_presentation.now);
        line.serial = tunnel.serial;
        line.name->setText(m_presentation.deviceName(tunnel.device) + QStringLiteral(" → ") +
                           serverName(tunnel));
        line.second->setText(protocolText(tunnel.protocol, tunnel.confidence) +
                             QStringLiteral(" · ") + textOf(tunnel.device) + QStringLiteral(" · ") +
                             passageText(tunnel.passage, tunnel.protocol));
        line.rate->setText(
            m_presentation.format.rate(rows[i]->rateInbound + rows[i]->rateOutbound));
        // What is as it should be has its shape; what is not, its word as well.
        line.shape->show(shapeOf(state), meaningOf(state), {});
        line.word->setVisible(state != TunnelState::BothWays);
        line.word->setText(wordOf(state));
        line.word->setMeaning(meaningOf(state));
        line.spark->setValues(rows[i]->recent);
        line.button->setAccessibleName(
            tr("%1, %2, %3").arg(line.name->text(), line.second->text(), wordOf(state)));
    }
}

void OverviewPage::showDevices()
{
    const auto rows = m_devices.busiest(3);
    m_noDevices->setVisible(rows.empty());
    m_bars->setVisible(!rows.empty());
    double most = 1;
    for (const DeviceRow* row : rows)
        most = std::max(most, row->rateInbound + row->rateOutbound);
    QList<BarList::Bar> bars;
    for (const DeviceRow* row : rows) {
        const auto address = row->status.address;
        const double rate = row->rateInbound + row->rateOutbound;
        bars.append({m_presentation.deviceName(address),
                     m_presentation.isNamed(address) ? textOf(address) : QString(),
                     m_presentation.format.rate(rate), rate / most});
    }
    m_bars->setBars(bars);
}

void OverviewPage::presentationChanged()
{
    m_plot->presentationChanged();
    showTunnels();
    showDevices();
}

}  // namespace ui
