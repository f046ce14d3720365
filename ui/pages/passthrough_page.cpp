#include "ui/pages/passthrough_page.h"

#include "ui/text/words.h"

#include <QScrollArea>
#include <QTimer>

namespace ui {

using engine::net::RefusedFrom;
using engine::net::VpnProtocol;
using engine::policy::OnLive;
using engine::policy::PassthroughMode;

namespace {

/// What blocking does to live tunnels, as the settings have it.
QString liveSentence(OnLive onLive)
{
    switch (onLive) {
    case OnLive::Hold:
        return PassthroughCard::tr("Live ones are held for ten seconds; Undo gives them back.");
    case OnLive::Finish: return PassthroughCard::tr("Live ones run on until they end.");
    case OnLive::Drop: return PassthroughCard::tr("Live ones end at once.");
    }
    return {};
}

QString blockSentence(RefusedFrom from)
{
    switch (from) {
    case RefusedFrom::FirstPacket: break;
    case RefusedFrom::Recognition:
        return PassthroughCard::tr(
            "New tunnels end, with all their connections, at the packet that shows what they are; "
            "what came before has passed.");
    case RefusedFrom::NamedServer:
        return PassthroughCard::tr(
            "It looks like any web page: only servers named in an exception are refused.");
    }
    return PassthroughCard::tr("New tunnels are refused at once.");
}

QString modeSentence(VpnProtocol protocol, PassthroughMode mode, OnLive onLive)
{
    const bool needsHelp = engine::net::textOf(protocol).needsHelp;
    switch (mode) {
    case PassthroughMode::Assist:
        return needsHelp ? PassthroughCard::tr(
                               "The router helps, so that several devices can use it at once.")
                         : PassthroughCard::tr("Passes, is recognised and shown.");
    case PassthroughMode::Plain:
        return needsHelp ? PassthroughCard::tr(
                               "Ordinary translation without help: usually one device per server.")
                         : PassthroughCard::tr("Passes as ordinary traffic; still shown.");
    case PassthroughMode::Block:
        return blockSentence(engine::net::textOf(protocol).refusedFrom) + QLatin1Char(' ') +
               liveSentence(onLive);
    }
    return {};
}

QString prefixText(const engine::net::Prefix& prefix, const Presentation& presentation,
                   const QString& any)
{
    if (prefix.length() == 0) return any;
    if (prefix.length() == 32) return presentation.deviceName(prefix.network());
    return textOf(prefix);
}

}  // namespace

PassthroughCard::PassthroughCard(const Presentation& presentation, VpnProtocol protocol,
                                 QWidget* parent)
    : QFrame(parent), m_presentation(presentation), m_protocol(protocol)
{
    setProperty("card", true);
    setAccessibleName(nameOf(protocol));
    auto* body = new QVBoxLayout(this);
    body->setContentsMargins(kGapWide, kGap + 4, kGapWide, kGap + 4);
    body->setSpacing(kGapSmall);

    auto* head = new QHBoxLayout;
    head->setSpacing(kGap);
    auto* words = new QVBoxLayout;
    words->setSpacing(2);
    auto* titleRow = new QHBoxLayout;
    titleRow->setSpacing(kGap);
    titleRow->addWidget(new SafeLabel(nameOf(protocol), this, TextSize::Strong));
    m_badge = new Badge(this);
    titleRow->addWidget(m_badge);
    titleRow->addStretch();
    words->addLayout(titleRow);
    auto* what = new SafeLabel(sentenceOf(protocol), this);
    what->wrapping();
    words->addWidget(what);
    head->addLayout(words, 1);
    head->addSpacing(kGap);
    m_switch = new SegmentedSwitch({wordOf(PassthroughMode::Assist), wordOf(PassthroughMode::Plain),
                                    wordOf(PassthroughMode::Block)},
                                   nameOf(protocol), this);
    m_switch->setDanger(2);
    setOnLive(m_onLive);
    connect(m_switch, &SegmentedSwitch::asked, this,
            [this](int position) { ask(static_cast<PassthroughMode>(position)); });
    head->addWidget(m_switch, 0, Qt::AlignTop);
    body->addLayout(head);

    auto* second = new QHBoxLayout;
    second->setSpacing(kGap);
    m_counts = new SafeLabel(this);
    m_counts->muted().eliding();
    second->addWidget(m_counts, 1);
    m_show = makeQuietButton(tr("Show tunnels"), this);
    m_show->setAccessibleName(tr("Show the %1 tunnels").arg(nameOf(protocol)));
    connect(m_show, &QPushButton::clicked, this, [this] { Q_EMIT tunnelsAsked(m_protocol); });
    second->addWidget(m_show);
    m_more = makeQuietButton(tr("Details"), this);
    m_more->setAccessibleName(tr("Details of %1").arg(nameOf(protocol)));
    m_more->setCheckable(true);
    connect(m_more, &QPushButton::toggled, this, &PassthroughCard::setExpanded);
    second->addWidget(m_more);
    body->addLayout(second);

    auto* testRow = new QHBoxLayout;
    testRow->setSpacing(kGap);
    m_test = new SafeLabel(this);
    m_test->wrapping();
    m_testNow = makeQuietButton(tr("Test now"), this);
    m_testNow->setAccessibleName(tr("Test %1 now").arg(nameOf(protocol)));
    m_testNow->setToolTip(
        tr("Two simulated devices with clashing numbers go through the real router; nothing leaves "
           "this computer."));
    connect(m_testNow, &QPushButton::clicked, this, [this] { Q_EMIT selfTestAsked(m_protocol); });
    testRow->addWidget(m_test, 1);
    testRow->addWidget(m_testNow);
    body->addLayout(testRow);
    m_caution = new SafeLabel(cautionOf(protocol), this);
    m_caution->wrapping();
    m_caution->setMeaning(Meaning::Warning);
    m_caution->setVisible(!m_caution->text().isEmpty());
    body->addWidget(m_caution);

    m_bar = new InlineMessage(this);
    QPushButton* undo = m_bar->addAction(tr("Undo"));
    QPushButton* finish = m_bar->addAction(tr("Let them finish"));
    QPushButton* drop = m_bar->addAction(tr("Drop now"));
    using How = engine::ResolveHold::How;
    connect(undo, &QPushButton::clicked, this,
            [this] { Q_EMIT resolved(m_protocol, How::Release); });
    connect(finish, &QPushButton::clicked, this,
            [this] { Q_EMIT resolved(m_protocol, How::Finish); });
    connect(drop, &QPushButton::clicked, this, [this] { Q_EMIT resolved(m_protocol, How::Drop); });
    m_bar->hide();
    body->addWidget(m_bar);

    m_later = new InlineMessage(this);
    connect(m_later->addAction(tr("Block now")), &QPushButton::clicked, this,
            [this] { ask(PassthroughMode::Block); });
    connect(m_later->addAction(tr("Keep it on")), &QPushButton::clicked, this,
            [this] { blockAt({}); });
    m_later->hide();
    body->addWidget(m_later);

    m_details = new QWidget(this);
    auto* details = new QVBoxLayout(m_details);
    details->setContentsMargins(0, kGap, 0, 0);
    details->setSpacing(kGap);
    details->addWidget(makeLine(m_details));
    auto* technicals = new SafeLabel(tr("Uses %1").arg(technicalsOf(protocol)), m_details);
    technicals->wrapping();
    auto* technicalRow = new QHBoxLayout;
    technicalRow->addWidget(technicals, 1);
    m_soon = makeQuietButton(tr("Block in 15 min"), this);
    m_soon->setAccessibleName(tr("Block %1 in 15 minutes").arg(nameOf(protocol)));
    m_soon->setToolTip(tr("While this window is open"));
    connect(m_soon, &QPushButton::clicked, this,
            [this] { blockAt(QDateTime::currentDateTime().addSecs(15 * 60)); });
    technicalRow->addWidget(m_soon);
    details->addLayout(technicalRow);
    m_exceptions = new QHBoxLayout;
    m_exceptions->setSpacing(kGap);
    m_exceptions->addWidget(new SafeLabel(tr("Exceptions"), m_details));
    auto* add = makeQuietButton(tr("Add…"), m_details);
    add->setAccessibleName(tr("Add an exception to %1").arg(nameOf(protocol)));
    m_exceptions->addWidget(add);
    m_exceptions->addStretch();
    details->addLayout(m_exceptions);

    m_newException = new QWidget(m_details);
    auto* form = new QHBoxLayout(m_newException);
    form->setContentsMargins(0, 0, 0, 0);
    form->setSpacing(kGap);
    m_exceptionDevice = new QLineEdit(m_newException);
    m_exceptionDevice->setPlaceholderText(tr("Device or network; empty: any"));
    m_exceptionDevice->setAccessibleName(tr("Device of the exception"));
    m_exceptionServer = new QLineEdit(m_newException);
    m_exceptionServer->setPlaceholderText(tr("Server or network; empty: any"));
    m_exceptionServer->setAccessibleName(tr("Server of the exception"));
    m_exceptionMode =
        new SegmentedSwitch({wordOf(PassthroughMode::Assist), wordOf(PassthroughMode::Plain),
                             wordOf(PassthroughMode::Block)},
                            tr("Exception"), m_newException);
    connect(m_exceptionMode, &SegmentedSwitch::asked, m_exceptionMode,
            &SegmentedSwitch::setPosition);
    auto* save = new QPushButton(tr("Add"), m_newException);
    save->setAccessibleName(tr("Add this exception"));
    connect(save, &QPushButton::clicked, this, &PassthroughCard::addException);
    form->addWidget(m_exceptionDevice, 1);
    form->addWidget(m_exceptionServer, 1);
    form->addWidget(m_exceptionMode);
    form->addWidget(save);
    m_newException->hide();
    connect(add, &QPushButton::clicked, this, [this] {
        m_newException->setVisible(!m_newException->isVisible());
        if (m_newException->isVisible()) m_exceptionDevice->setFocus();
    });
    details->addWidget(m_newException);
    m_details->hide();
    body->addWidget(m_details);
}

void PassthroughCard::setOnLive(OnLive onLive)
{
    m_onLive = onLive;
    for (int i = 0; i < 3; ++i) {
        m_switch->setToolTipOf(i,
                               modeSentence(m_protocol, static_cast<PassthroughMode>(i), onLive));
    }
}

void PassthroughCard::ask(PassthroughMode mode)
{
    blockAt({});
    engine::policy::PassthroughSwitch value = m_status.position;
    value.mode = mode;
    Q_EMIT changeAsked(m_protocol, value, m_onLive);
}

void PassthroughCard::blockAt(const QDateTime& at)
{
    m_blockAt = at;
    tick();
}

void PassthroughCard::setExpanded(bool expanded)
{
    m_more->setChecked(expanded);
    m_details->setVisible(expanded);
    m_more->setText(expanded ? tr("Less") : tr("Details"));
}

void PassthroughCard::setStatus(const engine::ProtocolStatus& status, const QStringList& held,
                                const QString& remark)
{
    const bool exceptionsChanged =
        m_first || status.position.exceptions != m_status.position.exceptions;
    m_first = false;
    m_status = status;
    m_held = held;
    m_remark = remark;
    m_switch->setPosition(static_cast<int>(status.position.mode));
    const Format& format = m_presentation.format;
    switch (status.position.mode) {
    case PassthroughMode::Assist:
        m_badge->show(ui::Shape::Disc, Meaning::Good,
                      engine::net::textOf(m_protocol).needsHelp ? tr("Helped") : tr("Passes"));
        break;
    case PassthroughMode::Plain:
        m_badge->show(ui::Shape::Ring, Meaning::Neutral, tr("Plain"));
        break;
    case PassthroughMode::Block:
        m_badge->show(ui::Shape::Cross, Meaning::Bad,
                      status.liveTunnels > status.heldTunnels ? tr("Blocked, live ones finish")
                                                              : tr("Blocked"));
        break;
    }
    if (status.heldTunnels > 0) m_badge->show(ui::Shape::Bars, Meaning::Held, tr("Held"));
    QStringList counts;
    counts << (status.liveTunnels == 0
                   ? tr("No live tunnels")
                   : tr("%n live tunnel(s)", nullptr, static_cast<int>(status.liveTunnels)));
    if (status.tunnelsSeen > 0) counts << tr("%1 so far").arg(format.count(status.tunnelsSeen));
    if (status.refused > 0) counts << tr("%1 refused").arg(format.count(status.refused));
    using Outcome = engine::SelfTestResult::Outcome;
    if (status.position.mode == PassthroughMode::Block) m_blockAt = {};
    m_soon->setVisible(status.position.mode != PassthroughMode::Block && !m_blockAt.isValid());
    // The engine says why it has none.
    m_testNow->setVisible(status.selfTest.outcome != Outcome::NeverRun ||
                          status.selfTest.why.empty());
    const QString ago = format.duration(m_presentation.now - status.selfTest.at);
    switch (status.selfTest.outcome) {
    case Outcome::NeverRun:
        m_test->setText(status.selfTest.why.empty()
                            ? tr("Check: not run yet")
                            : tr("Check: %1").arg(safeText(status.selfTest.why, 200)));
        m_test->setMeaning(Meaning::Neutral);
        break;
    case Outcome::Passed:
        m_test->setText(
            tr("Check: passed %1 ago (two clashing synthetic clients through the engine)")
                .arg(ago));
        m_test->setMeaning(Meaning::Good);
        break;
    case Outcome::Failed:
        m_test->setText(
            tr("Check: failed %1 ago. %2").arg(ago, safeText(status.selfTest.why, 200)));
        m_test->setMeaning(Meaning::Bad);
        break;
    }
    if (!status.position.exceptions.empty())
        counts << tr("%n exception(s)", nullptr,
                     static_cast<int>(status.position.exceptions.size()));
    if (!remark.isEmpty()) counts << remark;
    m_counts->setText(counts.join(QStringLiteral("  ·  ")));
    m_show->setVisible(status.liveTunnels > 0);
    if (exceptionsChanged) showExceptions();
    if (status.heldTunnels > 0) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(status.heldUntil -
                                                                                m_presentation.now)
                              .count();
        m_heldUntil = QDateTime::currentDateTime().addMSecs(left);
    } else {
        m_heldUntil = {};
    }
    tick();
}

bool PassthroughCard::isHolding() const
{
    return m_heldUntil.isValid();
}

bool PassthroughCard::isCounting() const
{
    return isHolding() || m_blockAt.isValid();
}

void PassthroughCard::tick()
{
    m_later->setVisible(m_blockAt.isValid());
    if (m_blockAt.isValid()) {
        const qint64 seconds = QDateTime::currentDateTime().secsTo(m_blockAt);
        if (seconds <= 0) {
            ask(PassthroughMode::Block);
        } else {
            m_later->say(Meaning::Held,
                         tr("%1 will be blocked in %2, as long as this window is open.")
                             .arg(nameOf(m_protocol),
                                  m_presentation.format.duration(std::chrono::seconds(seconds))));
        }
    }
    m_bar->setVisible(isHolding());
    if (!isHolding()) return;
    const auto left =
        std::max<qint64>(0, (QDateTime::currentDateTime().msecsTo(m_heldUntil) + 999) / 1000);
    const QString held =
        tr("%n live tunnel(s) held", nullptr, static_cast<int>(m_status.heldTunnels));
    m_bar->say(Meaning::Held, tr("%1 is off. %2: %3. Dropping in %4 s.")
                                  .arg(nameOf(m_protocol), held, m_held.join(QStringLiteral(", ")),
                                       QString::number(left)));
}

void PassthroughCard::showExceptions()
{
    for (QWidget* chip : m_chips) {
        m_exceptions->removeWidget(chip);
        chip->deleteLater();
    }
    m_chips.clear();
    const auto& exceptions = m_status.position.exceptions;
    for (std::size_t i = 0; i < exceptions.size(); ++i) {
        const auto& one = exceptions[i];
        const QString text =
            tr("%1 → %2: %3")
                .arg(prefixText(one.device, m_presentation, tr("any device")),
                     prefixText(one.server, m_presentation, tr("any server")), wordOf(one.mode));
        QPushButton* chip = makeChip(escapeMnemonic(text + QStringLiteral("  ✕")), m_details);
        chip->setCheckable(false);
        chip->setAccessibleName(tr("Remove the exception %1").arg(text));
        chip->setToolTip(tr("Remove this exception"));
        connect(chip, &QPushButton::clicked, this, [this, i] {
            engine::policy::PassthroughSwitch value = m_status.position;
            if (i < value.exceptions.size())
                value.exceptions.erase(value.exceptions.begin() + static_cast<std::ptrdiff_t>(i));
            Q_EMIT changeAsked(m_protocol, value, m_onLive);
        });
        m_exceptions->insertWidget(1 + static_cast<int>(i), chip);
        m_chips.append(chip);
    }
}

void PassthroughCard::addException()
{
    const auto read = [this](QLineEdit* field) -> std::optional<engine::net::Prefix> {
        const QString text = field->text().trimmed();
        if (text.isEmpty()) return engine::net::Prefix{engine::net::Ipv4Address{}, 0};
        for (const auto& [address, device] : m_presentation.devices) {
            if (safeText(device.name, 40).compare(text, Qt::CaseInsensitive) == 0)
                return engine::net::Prefix{address, 32};
        }
        return engine::net::Prefix::parse(text.toStdString());
    };
    const auto device = read(m_exceptionDevice);
    const auto server = read(m_exceptionServer);
    const auto mark = [](QLineEdit* field, bool invalid) {
        field->setProperty("invalid", invalid);
        field->setStyleSheet(field->styleSheet());
        field->setToolTip(invalid
                              ? tr("An address, a network like 192.0.2.0/24, or a device's name")
                              : QString());
    };
    mark(m_exceptionDevice, !device);
    mark(m_exceptionServer, !server);
    if (!device || !server) return;
    engine::policy::PassthroughSwitch value = m_status.position;
    value.exceptions.push_back(
        {*device, *server, static_cast<PassthroughMode>(m_exceptionMode->position())});
    m_newException->hide();
    m_exceptionDevice->clear();
    m_exceptionServer->clear();
    Q_EMIT changeAsked(m_protocol, value, m_onLive);
}

PassthroughPage::PassthroughPage(const Presentation& presentation, QWidget* parent)
    : PageFrame(tr("Passthrough"), tr("Which VPNs may pass, and which does the router help?"),
                parent),
      m_presentation(presentation),
      m_timer(new QTimer(this))
{
    actions()->addWidget(makeFilterField(tr("Find a protocol")));
    auto* body = new QWidget(this);
    auto* page = new QVBoxLayout(body);
    page->setContentsMargins(0, 0, 0, 0);
    page->setSpacing(kGap);
    const auto group = [&](const QString& title, const QString& words, bool needsHelp) {
        page->addWidget(new SafeLabel(title, body, TextSize::Strong));
        auto* second = new SafeLabel(words, body);
        second->muted().wrapping();
        page->addWidget(second);
        for (const auto& text : engine::net::kVpnProtocols) {
            if (text.needsHelp != needsHelp) continue;
            auto* card = new PassthroughCard(presentation, text.protocol, body);
            m_cards[static_cast<std::size_t>(text.protocol)] = card;
            page->addWidget(card);
            connect(card, &PassthroughCard::changeAsked, this, &PassthroughPage::changeAsked);
            connect(card, &PassthroughCard::resolved, this, &PassthroughPage::resolved);
            connect(card, &PassthroughCard::selfTestAsked, this, &PassthroughPage::selfTestAsked);
            connect(card, &PassthroughCard::tunnelsAsked, this, &PassthroughPage::tunnelsAsked);
        }
        page->addSpacing(kGapWide);
    };
    group(tr("Need the router's help"),
          tr("These carry no ports, or hide what tells two devices apart. Without help only one "
             "device per server works."),
          true);
    group(tr("Work without help"),
          tr("These were made to pass shared addresses. They are recognised and shown, and can be "
             "blocked."),
          false);
    page->addStretch();
    m_area = asScrollPage(body, this);
    column()->addWidget(m_area, 1);
    connect(filterField(), &QLineEdit::textChanged, this, [this](const QString& text) {
        for (const auto& one : engine::net::kVpnProtocols) {
            const bool fits = text.isEmpty() ||
                              nameOf(one.protocol).contains(text, Qt::CaseInsensitive) ||
                              technicalsOf(one.protocol).contains(text, Qt::CaseInsensitive);
            m_cards[static_cast<std::size_t>(one.protocol)]->setVisible(fits);
        }
    });
    m_timer->setInterval(250);
    connect(m_timer, &QTimer::timeout, this, [this] {
        for (PassthroughCard* card : m_cards) {
            if (card->isCounting()) card->tick();
        }
    });
}

void PassthroughPage::setSnapshot(const engine::Snapshot& snapshot)
{
    bool counting = false;
    // How many IPsec tunnels need the switch at all: it keeps people from toggling it for luck.
    const auto& plain = snapshot.protocols[static_cast<std::size_t>(VpnProtocol::IpsecEsp)];
    const auto& inUdp = snapshot.protocols[static_cast<std::size_t>(VpnProtocol::IpsecNatT)];
    for (std::size_t i = 0; i < m_cards.size(); ++i) {
        const auto& status = snapshot.protocols[i];
        QStringList held;
        if (status.heldTunnels > 0) {
            for (const auto& tunnel : snapshot.tunnels) {
                if (tunnel.protocol == static_cast<VpnProtocol>(i) &&
                    tunnel.phase == engine::tunnel::Phase::Held)
                    held << m_presentation.deviceName(tunnel.device);
            }
        }
        QString remark;
        if (static_cast<VpnProtocol>(i) == VpnProtocol::IpsecEsp && inUdp.liveTunnels > 0) {
            remark = tr("%1 of %2 IPsec tunnels travel inside UDP 4500 and do not need this switch")
                         .arg(inUdp.liveTunnels)
                         .arg(inUdp.liveTunnels + plain.liveTunnels);
        }
        m_cards[i]->setStatus(status, held, remark);
        counting = counting || m_cards[i]->isCounting();
    }
    if (counting && !m_timer->isActive()) m_timer->start();
    if (!counting) m_timer->stop();
}

void PassthroughPage::setOnLive(OnLive onLive)
{
    for (PassthroughCard* card : m_cards)
        card->setOnLive(onLive);
}

void PassthroughPage::showProtocol(VpnProtocol protocol)
{
    clearFilter();
    PassthroughCard* wanted = card(protocol);
    wanted->setExpanded(true);
    // The card's new height is known only after the layout has run.
    QTimer::singleShot(0, wanted,
                       [this, wanted] { m_area->ensureWidgetVisible(wanted, 0, kGapPage); });
    wanted->modeSwitch()->button(wanted->modeSwitch()->position())->setFocus();
}

}  // namespace ui
