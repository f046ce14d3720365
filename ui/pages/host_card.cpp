#include "ui/pages/host_card.h"

#include "ui/format/format.h"
#include "ui/text/host_words.h"

#include <QGridLayout>

#include <algorithm>

namespace ui {

namespace {

QString sentenceFor(HostHoldings::Holder holder)
{
    switch (holder) {
    case HostHoldings::Holder::Nobody:
        return HostCard::tr("Nothing is held: this computer is as it is without Underpass.");
    case HostHoldings::Holder::Window:
        return HostCard::tr(
            "Held while this window shares. It is taken back when sharing stops, and after a crash "
            "by the next start.");
    case HostHoldings::Holder::Service:
        return HostCard::tr(
            "Held by the service. It is taken back when the service ends, and after a crash by its "
            "next start.");
    case HostHoldings::Holder::Leftovers:
        return HostCard::tr("A router that crashed has left this, and none runs now.");
    }
    return {};
}

}  // namespace

HostCard::HostCard(QWidget* parent) : QWidget(parent), m_card(new Card(this))
{
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->addWidget(m_card);
    auto* heading = new CardHeading(tr("Host integration"), tr("Restore now…"), m_card);
    m_restore = heading->action();
    m_restore->setAccessibleName(tr("Restore this computer now"));
    connect(m_restore, &QPushButton::clicked, this, &HostCard::ask);
    m_card->body()->addWidget(heading);
    m_question = new InlineMessage(m_card);
    m_question->hide();
    connect(m_question->addAction(tr("Restore now")), &QPushButton::clicked, this, [this] {
        leaveQuestion();
        Q_EMIT restoreAsked();
    });
    m_leave = m_question->addAction(tr("Change nothing"));
    connect(m_leave, &QPushButton::clicked, this, &HostCard::leaveQuestion);
    m_card->body()->addWidget(m_question);
    m_words = new SafeLabel(m_card);
    m_words->wrapping();
    m_card->body()->addWidget(m_words);
    showRows();
    auto* never = new SafeLabel(neverChanged(), m_card, TextSize::Caption);
    never->muted().wrapping();
    m_card->body()->addWidget(never);
}

void HostCard::setSnapshot(const engine::Snapshot& snapshot)
{
    m_devices = static_cast<int>(snapshot.devices.size());
    m_sessions = static_cast<int>(snapshot.sessions);
    m_tunnels = static_cast<int>(std::ranges::count(
        snapshot.tunnels, engine::Instant{}, [](const auto& tunnel) { return tunnel.ended; }));
}

void HostCard::setHoldings(const HostHoldings& holdings)
{
    if (m_holdings == holdings) return;
    if (holdings.holder != m_holdings.holder) leaveQuestion();
    m_holdings = holdings;
    showRows();
}

void HostCard::showRows()
{
    m_words->setText(sentenceFor(m_holdings.holder));
    m_restore->setEnabled(!m_holdings.settings.empty());
    auto* rows = new QWidget(m_card);
    auto* grid = new QGridLayout(rows);
    grid->setContentsMargins(0, 0, 0, 0);
    grid->setHorizontalSpacing(kGapPage);
    grid->setVerticalSpacing(kGap);
    grid->setColumnStretch(1, 3);
    grid->setColumnStretch(2, 1);
    int at = 0;
    if (!m_holdings.settings.empty()) {
        const QStringList titles{tr("Card"), tr("Held"), tr("Before")};
        for (int i = 0; i < titles.size(); ++i) {
            auto* title = new SafeLabel(titles[i], rows, TextSize::Caption);
            title->muted();
            grid->addWidget(title, at, i);
        }
        ++at;
    }
    for (const HostSetting& setting : m_holdings.settings) {
        auto* card = new SafeLabel(safeText(setting.interface, 20), rows);
        grid->addWidget(card, at, 0, Qt::AlignTop);
        auto* text = new QVBoxLayout;
        text->setSpacing(0);
        text->addWidget(new SafeLabel(nameOf(setting.kind), rows));
        QString words = safeText(setting.detail, 400);
        if (!setting.there) words += tr(" – somebody else has taken it away");
        if (!words.isEmpty()) {
            auto* detail = new SafeLabel(words, rows, TextSize::Caption);
            detail->muted().wrapping();
            text->addWidget(detail);
        }
        grid->addLayout(text, at, 1);
        auto* before = new SafeLabel(beforeOf(setting.kind), rows);
        before->muted().wrapping();
        grid->addWidget(before, at, 2, Qt::AlignTop);
        ++at;
    }
    if (m_rows == nullptr) {
        m_card->body()->addWidget(rows);
    } else {
        delete m_card->body()->replaceWidget(m_rows, rows);
        delete m_rows;
    }
    m_rows = rows;
    m_rows->setVisible(at > 0);
}

void HostCard::ask()
{
    m_question->say(Meaning::Warning,
                    m_holdings.holder == HostHoldings::Holder::Leftovers
                        ? tr("This computer becomes as it was before. Nothing stops.")
                        : whatStops(m_devices, m_sessions, m_tunnels));
    m_question->show();
    m_leave->setFocus(Qt::OtherFocusReason);
}

void HostCard::leaveQuestion()
{
    m_question->hide();
}

}  // namespace ui
