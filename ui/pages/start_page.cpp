#include "ui/pages/start_page.h"

#include "ui/format/format.h"

#include <QApplication>
#include <QButtonGroup>
#include <QClipboard>
#include <QPainter>
#include <QScrollArea>

#include <algorithm>

namespace ui {

namespace {

/// Ours: cards that cannot be used are shown so that nobody looks for them, but not by the dozen.
constexpr int kMostGrey = 2;

/// The mark of the program.
class Mark final : public QWidget {
public:
    explicit Mark(QWidget* parent) : QWidget(parent) { setFixedSize(56, 56); }

protected:
    void paintEvent(QPaintEvent* /*event*/) override
    {
        QPainter painter(this);
        paintSymbol(painter, rect(), Symbol::Logo, currentColours().accent);
    }
};

}  // namespace

StartPage::StartPage(QWidget* parent) : QWidget(parent)
{
    setAccessibleName(tr("Start"));
    auto* body = new QWidget(this);
    auto* page = new QVBoxLayout(body);
    page->setContentsMargins(kGapPage, kGapPage, kGapPage, kGapPage);
    auto* middle = new QWidget(body);
    middle->setMaximumWidth(920);
    auto* columnLayout = new QVBoxLayout(middle);
    columnLayout->setSpacing(kGapWide);
    page->addStretch(1);
    auto* centred = new QHBoxLayout;
    centred->addStretch(1);
    centred->addWidget(middle, 100);
    centred->addStretch(1);
    page->addLayout(centred);
    page->addStretch(2);
    middle->setMinimumWidth(760);

    auto* head = new QHBoxLayout;
    head->setSpacing(kGapWide);
    head->addWidget(new Mark(middle));
    auto* words = new QVBoxLayout;
    words->setSpacing(2);
    words->addWidget(
        new SafeLabel(tr("Share this computer's internet connection"), middle, TextSize::Display));
    auto* second = new SafeLabel(tr("Devices on the shared side reach the internet through this "
                                    "computer, and every VPN gets through."),
                                 middle);
    second->muted().wrapping();
    words->addWidget(second);
    head->addLayout(words, 1);
    columnLayout->addLayout(head);

    m_message = new InlineMessage(middle);
    m_service = m_message->addAction(tr("Start the service"));
    connect(m_service, &QPushButton::clicked, this, &StartPage::serviceAsked);
    m_again = m_message->addAction(tr("Try again"));
    connect(m_again, &QPushButton::clicked, this, &StartPage::attachAsked);
    m_copy = m_message->addAction(tr("Copy details"));
    connect(m_copy, &QPushButton::clicked, this, [this] {
        QApplication::clipboard()->setText(m_state.text + QLatin1Char('\n') + m_state.details);
    });
    m_message->hide();
    columnLayout->addWidget(m_message);

    m_choice = new QWidget(middle);
    auto* choice = new QVBoxLayout(m_choice);
    choice->setContentsMargins(0, 0, 0, 0);
    choice->setSpacing(kGapWide);
    auto* sides = new QHBoxLayout;
    sides->setSpacing(kGapPage);
    sides->addWidget(
        makeSide(m_external, tr("1  Which side is the internet?"),
                 tr("The card with the way out: your modem or office network."), m_choice),
        1);
    sides->addWidget(
        makeSide(m_internal, tr("2  Which side is shared?"),
                 tr("The card your devices or your switch are plugged into."), m_choice),
        1);
    choice->addLayout(sides);
    m_consequences = new SafeLabel(m_choice);
    m_consequences->muted().wrapping();
    choice->addWidget(m_consequences);
    auto* buttons = new QHBoxLayout;
    buttons->setSpacing(kGap);
    auto* again = makeQuietButton(tr("&Look again"), m_choice);
    again->setToolTip(tr("Look for network cards again (F5)"));
    connect(again, &QPushButton::clicked, this, &StartPage::lookAgainAsked);
    m_problem = new SafeLabel(m_choice);
    m_problem->wrapping();
    m_problem->setMeaning(Meaning::Warning);
    m_start = makePrimaryButton(tr("&Start sharing"), m_choice);
    connect(m_start, &QPushButton::clicked, this,
            [this] { Q_EMIT startAsked(chosen(m_internal), chosen(m_external)); });
    buttons->addWidget(again);
    buttons->addWidget(m_problem, 1);
    buttons->addWidget(m_start);
    choice->addLayout(buttons);
    columnLayout->addWidget(m_choice);

    auto* lab = new Card(middle);
    auto* labRow = new QHBoxLayout;
    labRow->setSpacing(kGapWide);
    auto* labWords = new QVBoxLayout;
    labWords->setSpacing(2);
    labWords->addWidget(new SafeLabel(tr("Just looking?"), lab, TextSize::Strong));
    auto* labSecond = new SafeLabel(
        tr("The built-in lab runs simulated computers and VPN servers around the real router. It "
           "needs no second card and touches nothing on this computer."),
        lab);
    labSecond->muted().wrapping();
    labWords->addWidget(labSecond);
    labRow->addLayout(labWords, 1);
    auto* look = new QPushButton(iconOf(Symbol::Lab), tr("Look &around in the lab"), lab);
    connect(look, &QPushButton::clicked, this, &StartPage::labAsked);
    labRow->addWidget(look);
    lab->body()->addLayout(labRow);
    columnLayout->addWidget(lab);

    auto* outer = new QVBoxLayout(this);
    outer->setContentsMargins(0, 0, 0, 0);
    outer->addWidget(asScrollPage(body, this));
    showState();
}

QWidget* StartPage::makeSide(Side& side, const QString& title, const QString& words,
                             QWidget* parent)
{
    auto* box = new QWidget(parent);
    auto* columnLayout = new QVBoxLayout(box);
    columnLayout->setContentsMargins(0, 0, 0, 0);
    columnLayout->setSpacing(kGap);
    columnLayout->addWidget(new SafeLabel(title, box, TextSize::Strong));
    auto* second = new SafeLabel(words, box);
    second->muted().eliding();
    columnLayout->addWidget(second);
    side.cards = new QVBoxLayout;
    side.cards->setSpacing(kGap);
    columnLayout->addLayout(side.cards);
    side.beyond = new SafeLabel(box, TextSize::Caption);
    side.beyond->muted().eliding();
    columnLayout->addWidget(side.beyond);
    columnLayout->addStretch();
    side.group = new QButtonGroup(box);
    connect(side.group, &QButtonGroup::buttonToggled, this, [this] { showState(); });
    return box;
}

void StartPage::fill(Side& side, bool external)
{
    const QString before = chosen(side);
    for (QPushButton* button : side.buttons) {
        side.group->removeButton(button);
        button->deleteLater();
    }
    side.buttons.clear();
    QPushButton* best = nullptr;
    // What can be chosen stands first, the likeliest on top; what cannot, grey at the end.
    std::vector<InterfaceChoice> ordered = m_interfaces;
    std::ranges::stable_sort(ordered, {}, [external](const InterfaceChoice& choice) {
        if (!choice.usable) return choice.linkUp ? 4 : 5;
        if (!choice.linkUp) return 3;
        return choice.hasDefaultRoute == external ? 1 : 2;
    });
    QStringList beyond;
    int grey = 0;
    for (const InterfaceChoice& choice : ordered) {
        if (!choice.usable && ++grey > kMostGrey) {
            beyond << safeText(choice.name, 24);
            continue;
        }
        auto* button = new QPushButton(m_choice);
        button->setProperty("pick", true);
        button->setProperty("interface", choice.name);
        button->setCheckable(true);
        button->setEnabled(choice.usable);
        button->setMinimumHeight(72);
        auto* row = new QHBoxLayout(button);
        row->setContentsMargins(kGapWide, kGap, kGapWide, kGap);
        auto* words = new QVBoxLayout;
        words->setSpacing(0);
        const QString description = safeText(choice.description, 60);
        words->addWidget(new SafeLabel(
            safeText(choice.name, 24) +
                (description.isEmpty() ? QString() : QStringLiteral("  ·  ") + description),
            button, TextSize::Strong));
        QStringList facts;
        facts << (choice.addresses.isEmpty() ? tr("no address")
                                             : choice.addresses.join(QStringLiteral(", ")));
        if (choice.megabits > 0)
            facts << (choice.megabits >= 1000 ? tr("%1 Gbit/s").arg(choice.megabits / 1000.0)
                                              : tr("%1 Mbit/s").arg(choice.megabits));
        auto* second = new SafeLabel(
            choice.usable ? facts.join(QStringLiteral(" · ")) : safeText(choice.whyNot, 120),
            button);
        second->muted().eliding();
        words->addWidget(second);
        row->addLayout(words, 1);
        auto* badge = new Badge(button);
        if (!choice.linkUp) {
            badge->show(Shape::Ring, Meaning::Neutral, tr("No link"));
        } else if (choice.hasDefaultRoute) {
            badge->show(Shape::Disc, Meaning::Good, tr("Has a way out"));
        } else {
            badge->show(Shape::HalfDisc, Meaning::Accent, tr("Link up"));
        }
        row->addWidget(badge);
        for (QWidget* child : button->findChildren<QWidget*>())
            child->setAttribute(Qt::WA_TransparentForMouseEvents);
        button->setAccessibleName(tr("%1, %2, %3")
                                      .arg(external ? tr("Internet side") : tr("Shared side"),
                                           safeText(choice.name, 24),
                                           facts.join(QStringLiteral(", "))));
        side.cards->addWidget(button);
        side.group->addButton(button);
        side.buttons.append(button);
        if (!choice.usable) continue;
        const bool better =
            external ? choice.hasDefaultRoute : !choice.hasDefaultRoute && choice.linkUp;
        if (choice.name == before || (best == nullptr && better)) best = button;
    }
    side.beyond->setVisible(!beyond.isEmpty());
    side.beyond->setText(tr("Cannot be shared either: %1").arg(beyond.join(QStringLiteral(", "))));
    if (best != nullptr) best->setChecked(true);
}

QString StartPage::chosen(const Side& side) const
{
    const QAbstractButton* button = side.group->checkedButton();
    return button == nullptr ? QString() : button->property("interface").toString();
}

void StartPage::setInterfaces(const std::vector<InterfaceChoice>& interfaces)
{
    if (interfaces == m_interfaces && !m_external.buttons.isEmpty()) return;
    m_interfaces = interfaces;
    fill(m_external, true);
    fill(m_internal, false);
    showState();
}

void StartPage::setRouterState(const RouterState& state)
{
    m_state = state;
    showState();
}

void StartPage::showState()
{
    const bool starting = m_state.kind == RouterState::Kind::Starting;
    const bool missing = m_state.kind == RouterState::Kind::DaemonMissing;
    const bool denied = m_state.kind == RouterState::Kind::Denied;
    const bool error = m_state.kind == RouterState::Kind::Error;
    m_service->setVisible(missing);
    m_again->setVisible(denied);
    m_copy->setVisible((error || denied) && !m_state.details.isEmpty());
    m_message->setVisible(starting || missing || denied || error);
    if (starting)
        m_message->say(Meaning::Accent,
                       m_state.text.isEmpty() ? tr("Starting…") : safeText(m_state.text, 200));
    if (missing)
        m_message->say(Meaning::Warning, m_state.text.isEmpty()
                                             ? tr("The Underpass service does not answer. Devices "
                                                  "behind this computer are cut off until it runs.")
                                             : safeText(m_state.text, 300));
    if (denied) m_message->say(Meaning::Warning, safeText(m_state.text, 500));
    if (error) m_message->say(Meaning::Bad, safeText(m_state.text, 400));
    // Where a service is, this program is not to share beside it.
    m_choice->setVisible(!missing && !denied);
    m_choice->setEnabled(!starting);

    const QString outside = chosen(m_external);
    const QString inside = chosen(m_internal);
    QString problem;
    int usable = 0;
    for (const auto& one : m_interfaces)
        usable += one.usable ? 1 : 0;
    if (m_interfaces.empty()) {
        problem = tr("No network card was found.");
    } else if (usable < 2) {
        problem =
            tr("Sharing needs two network cards, and only one can be used. The lab needs none.");
    } else if (outside.isEmpty() || inside.isEmpty()) {
        problem = tr("Choose one card on each side.");
    } else if (outside == inside) {
        problem = tr("The same card cannot be both sides.");
    }
    m_problem->setText(problem);
    m_start->setEnabled(problem.isEmpty() && !starting);
    m_consequences->setVisible(problem.isEmpty());
    m_consequences->setText(
        tr("Devices on %1 will reach the internet by way of %2. Your own connections on this "
           "computer go on as before, and everything is put back when you stop.")
            .arg(safeText(inside, 24), safeText(outside, 24)));
}

}  // namespace ui
