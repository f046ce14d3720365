#include "ui/pages/network_page.h"

#include "ui/models/nat_rule_models.h"
#include "ui/pages/nat_rule_cards.h"
#include "ui/text/words.h"
#include "ui/widgets/live_question.h"

#include <QCheckBox>
#include <QComboBox>
#include <QGridLayout>
#include <QResizeEvent>
#include <QScrollArea>
#include <QSpinBox>
#include <QTimer>

#include <algorithm>
#include <limits>
#include <utility>

namespace ui {

using engine::nat::Behaviour;
using engine::nat::NatConfig;
using engine::nat::PingsFromOutside;

namespace {

/// Cards beside each other where there is room for that, else one below the other.
class FlexibleRow final : public QWidget {
public:
    explicit FlexibleRow(QWidget* parent)
        : QWidget(parent), m_row(new QBoxLayout(QBoxLayout::LeftToRight, this))
    {
        m_row->setContentsMargins(0, 0, 0, 0);
        m_row->setSpacing(kGapWide);
    }
    void add(QWidget* part)
    {
        m_parts << part;
        m_row->addWidget(part, 1);
    }
    [[nodiscard]] QSize minimumSizeHint() const override
    {
        int widest = 0;
        for (const QWidget* part : m_parts)
            widest = std::max(widest, part->minimumSizeHint().width());
        return {widest, QWidget::minimumSizeHint().height()};
    }

protected:
    void resizeEvent(QResizeEvent* event) override
    {
        QWidget::resizeEvent(event);
        int needed = -kGapWide;
        for (const QWidget* part : m_parts)
            needed += part->minimumSizeHint().width() + kGapWide;
        m_row->setDirection(needed <= width() ? QBoxLayout::LeftToRight : QBoxLayout::TopToBottom);
    }

private:
    QBoxLayout* m_row;
    QList<QWidget*> m_parts;
};

int secondsOf(engine::Duration span)
{
    return static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(span).count());
}

/// The three protocols with behaviours of their own, in the order of the form.
std::array<engine::nat::ProtocolBehaviour*, 3> behavioursOf(NatConfig& config)
{
    return {&config.tcp, &config.udp, &config.icmp};
}

std::array<engine::Duration*, 8> timersOf(NatConfig& config)
{
    auto& t = config.timers;
    return {&t.tcpEstablished, &t.tcpOpening, &t.tcpClosing, &t.udpTwoWay,
            &t.udpOneWay,      &t.icmpQuery,  &t.portless,   &t.esp};
}

std::array<std::uint32_t*, 3> limitsOf(NatConfig& config)
{
    return {&config.limits.sessionsPerDevice, &config.limits.portsPerDevice,
            &config.limits.newSessionsPerSecond};
}

std::array<bool*, 6> switchesOf(NatConfig& config)
{
    return {&config.hairpinning,   &config.clampMss,       &config.portParity,
            &config.preservePorts, &config.inboundRefresh, &config.synProxy};
}

/// Whether a change from one to the other concerns how sessions are mapped and who may answer.
bool sessionsBeginAlike(const NatConfig& a, const NatConfig& b)
{
    return a.tcp == b.tcp && a.udp == b.udp && a.icmp == b.icmp && a.exceptions == b.exceptions &&
           a.untranslated == b.untranslated;
}

/// Ours: so long after the last key a form is looked at as what the user means.
constexpr int kStandsStill = 250;
/// Floors of the RFCs; ours where they set none.
constexpr std::array<int, 8> kTimerFloors{7440, 30, 240, 120, 120, 60, 60, 60};

}  // namespace

NetworkPage::NetworkPage(const Presentation& presentation, QWidget* parent)
    : PageFrame(tr("Network"), tr("How does the address translation behave?"), parent),
      m_presentation(presentation)
{
    m_changed = new SafeLabel(this);
    m_changed->muted();
    m_revert = new QPushButton(tr("&Revert"), this);
    auto* defaults = makeQuietButton(tr("Defaults"), this);
    defaults->setToolTip(
        tr("Fill the form with the values Underpass starts with; nothing changes before Apply"));
    m_apply = makePrimaryButton(tr("&Apply"), this);
    actions()->addWidget(m_changed);
    for (QPushButton* button : {defaults, m_revert, m_apply})
        actions()->addWidget(button);
    connect(m_revert, &QPushButton::clicked, this, [this] { fill(m_config); });
    connect(defaults, &QPushButton::clicked, this, [this] { fill({}); });
    connect(m_apply, &QPushButton::clicked, this, &NetworkPage::apply);

    // Above what scrolls, so that they are seen beside whatever is typed.
    m_problem = new InlineMessage(this);
    m_problem->hide();
    column()->addWidget(m_problem);
    m_live = new InlineMessage(this);
    m_endTouched = m_live->addAction(tr("End them now"));
    m_endTouched->setToolTip(tr("They begin anew with the new rules, most by themselves"));
    connect(m_endTouched, &QPushButton::clicked, this, &NetworkPage::endTouched);
    m_live->hide();
    column()->addWidget(m_live);

    auto* body = new QWidget(this);
    auto* page = new QVBoxLayout(body);
    page->setContentsMargins(0, 0, 0, 0);
    page->setSpacing(kGapWide);
    m_asking = new QTimer(this);
    m_asking->setSingleShot(true);
    m_asking->setInterval(kStandsStill);
    connect(m_asking, &QTimer::timeout, this, &NetworkPage::askExpiry);

    auto* facts = new Card(body);
    m_facts = new SafeLabel(facts);
    m_facts->wrapping().selectable();
    facts->body()->addWidget(new CardHeading(tr("Right now"), {}, facts));
    facts->body()->addWidget(m_facts);
    page->addWidget(facts);

    auto* behaviour = new Card(body);
    behaviour->body()->addWidget(new CardHeading(tr("Mapping and filtering"), {}, behaviour));
    auto* words = new SafeLabel(
        tr("Mapping: may one external port serve every remote endpoint? Endpoint-independent suits "
           "VPNs, games and calls best. Filtering: who may answer? Address-dependent lets in only "
           "addresses that the device has sent to."),
        behaviour);
    words->muted().wrapping();
    behaviour->body()->addWidget(words);
    auto* grid = new QGridLayout;
    grid->setHorizontalSpacing(kGapWide);
    grid->setVerticalSpacing(kGap);
    grid->addWidget(new SafeLabel(tr("Mapping"), behaviour, TextSize::Strong), 0, 1);
    grid->addWidget(new SafeLabel(tr("Filtering"), behaviour, TextSize::Strong), 0, 2);
    const QString protocols[] = {QStringLiteral("TCP"), QStringLiteral("UDP"), tr("ICMP queries")};
    for (std::size_t i = 0; i < m_behaviours.size(); ++i) {
        const int row = static_cast<int>(i) + 1;
        grid->addWidget(new SafeLabel(protocols[i], behaviour), row, 0);
        const auto make = [&](const QString& name) {
            auto* box = new QComboBox(behaviour);
            box->setAccessibleName(name);
            for (const Behaviour one : {Behaviour::EndpointIndependent, Behaviour::AddressDependent,
                                        Behaviour::AddressAndPortDependent})
                box->addItem(wordOf(one));
            connect(box, &QComboBox::currentIndexChanged, this, &NetworkPage::check);
            return box;
        };
        m_behaviours[i].mapping = make(tr("Mapping of %1").arg(protocols[i]));
        m_behaviours[i].filtering = make(tr("Filtering of %1").arg(protocols[i]));
        grid->addWidget(m_behaviours[i].mapping, row, 1);
        grid->addWidget(m_behaviours[i].filtering, row, 2);
    }
    grid->setColumnStretch(3, 1);
    behaviour->body()->addLayout(grid);
    page->addWidget(behaviour);
    m_rules = new NatRuleCards(presentation, body);
    connect(m_rules, &NatRuleCards::edited, this, &NetworkPage::check);
    page->addWidget(m_rules);

    auto* row = new FlexibleRow(body);
    auto* timers = new Card(row);
    timers->body()->addWidget(new CardHeading(tr("How long idle sessions are kept"), {}, timers));
    auto* timerGrid = new QGridLayout;
    timerGrid->setHorizontalSpacing(kGapWide);
    timerGrid->setVerticalSpacing(kGap);
    const QString timerNames[] = {tr("TCP, open"),
                                  tr("TCP, opening"),
                                  tr("TCP, closing"),
                                  tr("UDP, both ways"),
                                  tr("UDP, one way"),
                                  tr("ICMP query"),
                                  tr("GRE and others without ports"),
                                  tr("ESP, matched")};
    for (std::size_t i = 0; i < m_timers.size(); ++i) {
        auto* box = new QSpinBox(timers);
        box->setRange(1, secondsOf(engine::nat::kLongestTimer));
        box->setSuffix(tr(" s"));
        box->setGroupSeparatorShown(true);
        box->setAlignment(Qt::AlignRight);
        box->setAccessibleName(timerNames[i]);
        box->setMinimumWidth(120);
        connect(box, &QSpinBox::valueChanged, this, &NetworkPage::check);
        m_timers[i] = box;
        const int at = static_cast<int>(i);
        timerGrid->addWidget(new SafeLabel(timerNames[i], timers), at, 0);
        timerGrid->addWidget(box, at, 1);
        auto* floor = new SafeLabel(
            tr("at least %1")
                .arg(presentation.format.duration(std::chrono::seconds(kTimerFloors[i]))),
            timers, TextSize::Caption);
        floor->muted();
        timerGrid->addWidget(floor, at, 2);
    }
    timerGrid->setColumnStretch(0, 1);
    timers->body()->addLayout(timerGrid);
    timers->body()->addStretch();
    row->add(timers);

    auto* rightSide = new QWidget(row);
    auto* right = new QVBoxLayout(rightSide);
    right->setContentsMargins(0, 0, 0, 0);
    right->setSpacing(kGapWide);
    auto* limits = new Card(body);
    limits->body()->addWidget(new CardHeading(tr("What one device may hold"), {}, limits));
    auto* limitGrid = new QGridLayout;
    limitGrid->setHorizontalSpacing(kGapWide);
    limitGrid->setVerticalSpacing(kGap);
    const QString limitNames[] = {tr("Sessions"), tr("External ports"),
                                  tr("New sessions a second")};
    const QString automatic[] = {tr("an eighth of the table"), tr("a quarter of all"),
                                 tr("no limit")};
    for (std::size_t i = 0; i < m_limits.size(); ++i) {
        auto* box = new QSpinBox(limits);
        box->setRange(0, 10000000);
        box->setSpecialValueText(automatic[i]);
        box->setGroupSeparatorShown(true);
        box->setAccessibleName(limitNames[i]);
        box->setMinimumWidth(160);
        connect(box, &QSpinBox::valueChanged, this, &NetworkPage::check);
        m_limits[i] = box;
        limitGrid->addWidget(new SafeLabel(limitNames[i], limits), static_cast<int>(i), 0);
        limitGrid->addWidget(box, static_cast<int>(i), 1);
    }
    limitGrid->setColumnStretch(0, 1);
    limits->body()->addLayout(limitGrid);
    right->addWidget(limits);

    auto* ports = new Card(body);
    ports->body()->addWidget(new CardHeading(tr("Ports and packets"), {}, ports));
    auto* portRow = new QHBoxLayout;
    portRow->setSpacing(kGap);
    m_firstPort = new QSpinBox(ports);
    m_lastPort = new QSpinBox(ports);
    m_firstPort->setAccessibleName(tr("First external port"));
    m_lastPort->setAccessibleName(tr("Last external port"));
    portRow->addWidget(new SafeLabel(tr("External ports from"), ports));
    portRow->addWidget(m_firstPort);
    portRow->addWidget(new SafeLabel(tr("to"), ports));
    portRow->addWidget(m_lastPort);
    portRow->addStretch();
    for (QSpinBox* box : {m_firstPort, m_lastPort}) {
        box->setRange(1, 65535);
        connect(box, &QSpinBox::valueChanged, this, &NetworkPage::check);
    }
    ports->body()->addLayout(portRow);
    const QString switches[] = {tr("Devices inside can reach each other by the external address"),
                                tr("Lower the TCP segment size to what the link carries"),
                                tr("Keep even ports even and odd ports odd"),
                                tr("Keep the device's own port number where it is free"),
                                tr("Packets from outside keep a session alive, too"),
                                tr("Check callers first when a server is flooded with connection "
                                   "attempts")};
    for (std::size_t i = 0; i < m_switches.size(); ++i) {
        m_switches[i] = new QCheckBox(switches[i], ports);
        connect(m_switches[i], &QCheckBox::toggled, this, &NetworkPage::check);
        ports->body()->addWidget(m_switches[i]);
    }
    auto* pingRow = new QHBoxLayout;
    pingRow->setSpacing(kGap);
    m_pings = new QComboBox(ports);
    m_pings->setAccessibleName(tr("Pings from outside that are answered"));
    m_pings->setToolTip(
        tr("Answers to large pings let strangers find out that devices share this "
           "address. Small ones are enough to see that it is there."));
    for (const PingsFromOutside one :
         {PingsFromOutside::Small, PingsFromOutside::All, PingsFromOutside::None})
        m_pings->addItem(wordOf(one));
    connect(m_pings, &QComboBox::currentIndexChanged, this, &NetworkPage::check);
    pingRow->addWidget(new SafeLabel(tr("Answered pings from outside"), ports));
    pingRow->addWidget(m_pings);
    pingRow->addStretch();
    ports->body()->addLayout(pingRow);
    right->addWidget(ports);
    right->addStretch();
    row->add(rightSide);
    page->addWidget(row);
    page->addStretch();
    column()->addWidget(asScrollPage(body, this), 1);
    fill({});
}

void NetworkPage::fill(const NatConfig& config)
{
    m_filling = true;
    NatConfig copy = config;
    const auto behaviours = behavioursOf(copy);
    for (std::size_t i = 0; i < behaviours.size(); ++i) {
        m_behaviours[i].mapping->setCurrentIndex(static_cast<int>(behaviours[i]->mapping));
        m_behaviours[i].filtering->setCurrentIndex(static_cast<int>(behaviours[i]->filtering));
    }
    const auto timers = timersOf(copy);
    for (std::size_t i = 0; i < timers.size(); ++i)
        m_timers[i]->setValue(secondsOf(*timers[i]));
    const auto limits = limitsOf(copy);
    for (std::size_t i = 0; i < limits.size(); ++i)
        m_limits[i]->setValue(static_cast<int>(std::min<std::uint32_t>(*limits[i], 10000000)));
    const auto switches = switchesOf(copy);
    for (std::size_t i = 0; i < switches.size(); ++i)
        m_switches[i]->setChecked(*switches[i]);
    m_pings->setCurrentIndex(static_cast<int>(config.pings));
    m_firstPort->setValue(config.ports.first.hostOrder());
    m_lastPort->setValue(config.ports.last.hostOrder());
    m_rules->setRules(config.exceptions, config.untranslated);
    m_filling = false;
    check();
}

NatConfig NetworkPage::edited() const
{
    NatConfig config = m_config;
    const auto behaviours = behavioursOf(config);
    for (std::size_t i = 0; i < behaviours.size(); ++i) {
        behaviours[i]->mapping = static_cast<Behaviour>(m_behaviours[i].mapping->currentIndex());
        behaviours[i]->filtering =
            static_cast<Behaviour>(m_behaviours[i].filtering->currentIndex());
    }
    const auto timers = timersOf(config);
    for (std::size_t i = 0; i < timers.size(); ++i)
        *timers[i] = std::chrono::seconds(m_timers[i]->value());
    const auto limits = limitsOf(config);
    for (std::size_t i = 0; i < limits.size(); ++i)
        *limits[i] = static_cast<std::uint32_t>(m_limits[i]->value());
    const auto switches = switchesOf(config);
    for (std::size_t i = 0; i < switches.size(); ++i)
        *switches[i] = m_switches[i]->isChecked();
    config.pings = static_cast<PingsFromOutside>(m_pings->currentIndex());
    config.ports = {engine::net::Port{static_cast<std::uint16_t>(m_firstPort->value())},
                    engine::net::Port{static_cast<std::uint16_t>(m_lastPort->value())}};
    config.exceptions = m_rules->exceptions();
    config.untranslated = m_rules->untranslated();
    return config;
}

void NetworkPage::check()
{
    if (m_filling) return;
    const NatConfig now = edited();
    QString problem;
    for (std::size_t i = 0; i < m_timers.size(); ++i) {
        if (m_timers[i]->value() < kTimerFloors[i]) {
            problem =
                tr("“%1” must be at least %2: shorter timers cut live sessions.")
                    .arg(m_timers[i]->accessibleName(),
                         m_presentation.format.duration(std::chrono::seconds(kTimerFloors[i])));
        }
    }
    if (now.ports.last < now.ports.first) problem = sentenceOf(engine::CommandError::RangeInverted);
    if (problem.isEmpty()) problem = m_rules->problem();
    const bool changed = now != m_config;
    m_problem->setVisible(!problem.isEmpty());
    m_problem->say(Meaning::Bad, problem);
    m_apply->setEnabled(changed && problem.isEmpty());
    m_revert->setEnabled(changed);
    m_changed->setText(changed ? tr("Not applied yet") : QString());
    if (!wantsSessions()) m_touched.clear();
    m_asked = 0;
    m_expiring = 0;
    if (problem.isEmpty() && now.timers != m_config.timers) m_asking->start();
    sayLive();
}

void NetworkPage::askExpiry()
{
    const NatConfig now = edited();
    if (now.timers == m_config.timers) return;
    m_asked = LiveQuestion::nextNumber();
    Q_EMIT concernAsked(m_asked, engine::SetNat{now});
}

void NetworkPage::setConcerned(quint64 question, quint32 sessions)
{
    if (question != m_asked || question == 0) return;
    m_asked = 0;
    m_expiring = static_cast<int>(sessions);
    sayLive();
}

void NetworkPage::apply()
{
    m_former = m_config;
    m_appliedAt = m_presentation.now;
    Q_EMIT saved(edited());
}

bool NetworkPage::wantsSessions() const
{
    const NatConfig now = edited();
    return !sessionsBeginAlike(m_config, now) || (m_former && !sessionsBeginAlike(*m_former, now));
}

void NetworkPage::setSessions(const std::vector<engine::SessionRecord>& sessions)
{
    const NatConfig now = edited();
    const bool applied = m_former && now == m_config;
    m_touched.clear();
    for (const engine::SessionRecord& session : sessions) {
        if (applied && session.created > m_appliedAt) continue;
        if (isTouched(session, applied ? *m_former : m_config, now))
            m_touched.push_back(session.serial);
    }
    if (m_touched.empty() && applied && *m_former != m_config) m_former.reset();
    sayLive();
}

/// What Apply means for live sessions, before it is pressed; what it has meant, after it.
void NetworkPage::sayLive()
{
    const NatConfig now = edited();
    const bool applied = m_former && now == m_config;
    QStringList sentences;
    const auto touched = static_cast<int>(m_touched.size());
    if (touched > 0) {
        sentences
            << (applied ? tr("%n live session(s) began under the former rules and run on with the "
                             "external ports they have.",
                             nullptr, touched)
                        : tr("%n live session(s) would begin otherwise under these rules. They "
                             "run on with the external ports they have; who may answer changes "
                             "at once. After Apply you can end them.",
                             nullptr, touched));
    }
    if (m_expiring > 0) {
        sentences << tr(
            "Apply ends %n live session(s) that nothing has used for longer than the "
            "new timers allow.",
            nullptr, m_expiring);
    }
    const std::uint32_t limit = now.limits.sessionsPerDevice;
    if (limit != 0 && limit != m_config.limits.sessionsPerDevice) {
        const auto beyond = static_cast<int>(
            std::ranges::count_if(m_held, [limit](std::uint32_t held) { return held > limit; }));
        if (beyond > 0) {
            sentences << tr(
                "%n device(s) would be over the new limit of sessions: what they have "
                "runs on, and new ones are refused until there are fewer.",
                nullptr, beyond);
        }
    }
    m_live->setVisible(!sentences.isEmpty());
    m_endTouched->setVisible(applied && touched > 0);
    if (!sentences.isEmpty()) {
        m_live->say(m_expiring > 0 ? Meaning::Warning : Meaning::Neutral,
                    sentences.join(QLatin1Char(' ')));
    }
}

void NetworkPage::endTouched()
{
    const std::vector<quint64> touched = std::exchange(m_touched, {});
    m_former.reset();
    sayLive();
    for (const quint64 serial : touched)
        Q_EMIT sessionCloseAsked(serial);
}

void NetworkPage::presentationChanged()
{
    m_rules->presentationChanged();
}

void NetworkPage::setConfig(const NatConfig& config)
{
    const bool untouched = edited() == m_config;
    const bool accepted = edited() == config;
    m_config = config;
    // What the user is typing is not taken away.
    if (untouched || accepted) {
        fill(config);
    } else {
        check();
    }
}

void NetworkPage::setSnapshot(const engine::Snapshot& snapshot)
{
    const Format& format = m_presentation.format;
    m_rules->setInternal(snapshot.internal.prefix);
    m_held.clear();
    for (const engine::DeviceStatus& device : snapshot.devices)
        m_held.push_back(device.sessions);
    QStringList external;
    for (const auto address : snapshot.external.addresses)
        external << textOf(address);
    const QString text =
        tr("External: %1 (MTU %2)\nShared network: %3, this computer is %4 (MTU %5)\n%6 mappings, "
           "%7 of %8 sessions, %9 of memory")
            .arg(external.isEmpty() ? tr("no address") : external.join(QStringLiteral(", ")))
            .arg(snapshot.external.mtu)
            .arg(textOf(snapshot.internal.prefix), textOf(snapshot.internal.address))
            .arg(snapshot.internal.mtu)
            .arg(format.count(snapshot.mappings), format.count(snapshot.sessions),
                 format.count(snapshot.sessionLimit), format.bytes(snapshot.memory));
    if (text != m_facts->text()) m_facts->setText(text);
}

}  // namespace ui
