#include "ui/pages/lab_page.h"

#include "ui/widgets/table.h"

#include <QProgressBar>
#include <QStackedWidget>

#include <algorithm>
#include <array>

namespace ui {

namespace {

/// Ours: to watch, to see how it goes on, to see how it ends.
constexpr std::array kSpeeds{1, 10, 60};

}  // namespace

LabPage::LabPage(const Presentation& presentation, QWidget* parent)
    : PageFrame(tr("Lab"), tr("What does the router do when …?"), parent),
      m_presentation(presentation),
      m_scenarios(new ScenarioModel(presentation, this)),
      m_claims(new ClaimModel(this))
{
    actions()->addWidget(makeFilterField(tr("Filter scenarios")));
    connect(filterField(), &QLineEdit::textChanged, this, [this](const QString& text) {
        m_scenarios->setText(text);
        updateEmpty();
    });
    m_play = makePrimaryButton(tr("&Play"), this);
    m_play->setToolTip(tr("Play the selected scenario from its beginning (Enter)"));
    connect(m_play, &QPushButton::clicked, this, &LabPage::playSelected);
    actions()->addWidget(m_play);

    m_table = new Table(tr("Scenarios"), CellDelegate::Lines::One, this);
    m_table->setModel(m_scenarios);
    m_table->setSelectionMode(QAbstractItemView::SingleSelection);
    m_table->setColumnWidths(
        {{QStringLiteral("two-clients-same-port")},
         {},
         {QStringLiteral("15 min")},
         {ScenarioModel::wordOf(LabVerdict::Held), Table::Width::Beside::Shape}});
    connect(m_table, &Table::opened, this, &LabPage::playSelected);
    connect(m_table, &Table::filterAsked, filterField(), &QLineEdit::setText);
    connect(m_table, &Table::currentIdChanged, this,
            [this] { m_play->setEnabled(m_table->currentId() != 0); });
    m_play->setEnabled(false);
    m_empty = new EmptyState(Symbol::Lab, this);
    connect(m_empty->action(), &QPushButton::clicked, this, [this] { clearFilter(); });
    m_stack = new QStackedWidget(this);
    m_stack->addWidget(m_table);
    m_stack->addWidget(m_empty);
    column()->addWidget(m_stack, 3);
    buildPlaying();

    m_summary = new SafeLabel(this, TextSize::Strong);
    column()->addWidget(m_summary);
    m_claimTable = new Table(tr("What must hold"), CellDelegate::Lines::One, this);
    m_claimTable->setModel(m_claims);
    m_claimTable->setColumnWidths({{tr("Holds so far"), Table::Width::Beside::Shape},
                                   {},
                                   {QStringLiteral("lab-client-8: 888 packets, 8888 sent")}});
    column()->addWidget(m_claimTable, 2);
    updateEmpty();
    showStatus();
}

void LabPage::buildPlaying()
{
    m_playing = new Card(this);
    auto* head = new QHBoxLayout;
    head->setSpacing(kGap);
    m_badge = new Badge(m_playing);
    m_name = new SafeLabel(m_playing, TextSize::Strong);
    m_lesson = new SafeLabel(m_playing);
    m_lesson->muted().eliding();
    head->addWidget(m_badge);
    head->addWidget(m_name);
    head->addWidget(m_lesson, 1);
    m_playing->body()->addLayout(head);

    auto* row = new QHBoxLayout;
    row->setSpacing(kGapWide);
    m_progress = new QProgressBar(m_playing);
    m_progress->setAccessibleName(tr("How far the scenario is"));
    m_progress->setTextVisible(false);
    m_time = new SafeLabel(m_playing);
    m_time->muted();
    QStringList words;
    for (const int speed : kSpeeds)
        words << tr("%1×").arg(speed);
    m_speed = new SegmentedSwitch(words, tr("Speed"), m_playing);
    connect(m_speed, &SegmentedSwitch::asked, this, [this](int position) {
        Q_EMIT speedAsked(kSpeeds[static_cast<std::size_t>(position)]);
    });
    m_restart = new QPushButton(iconOf(Symbol::Refresh), tr("&Restart"), m_playing);
    m_restart->setToolTip(tr("Play this scenario again from its beginning"));
    connect(m_restart, &QPushButton::clicked, this,
            [this] { Q_EMIT playAsked(m_status.scenario, LabRules::WithChanges); });
    row->addWidget(m_progress, 1);
    row->addWidget(m_time);
    row->addWidget(m_speed);
    row->addWidget(m_restart);
    m_playing->body()->addLayout(row);

    m_changed = new InlineMessage(m_playing);
    m_changed->say(Meaning::Warning,
                   tr("Your changes of the rules hold here, and in the next scenario, too; so a "
                      "claim may fail that would not without them."));
    auto* own = m_changed->addAction(tr("Play with its own rules"));
    connect(own, &QPushButton::clicked, this,
            [this] { Q_EMIT playAsked(m_status.scenario, LabRules::Own); });
    m_playing->body()->addWidget(m_changed);
    column()->addWidget(m_playing);
}

void LabPage::setScenarios(const std::vector<LabScenario>& scenarios)
{
    if (scenarios == m_known) return;
    m_known = scenarios;
    m_scenarios->setScenarios(scenarios);
    m_scenarios->setStatus(m_status);
    updateEmpty();
    showStatus();
}

void LabPage::setStatus(const LabStatus& status)
{
    const bool another = status.scenario != m_status.scenario;
    m_status = status;
    m_scenarios->setStatus(status);
    m_claims->setStatus(status);
    if (another) m_table->selectId(m_scenarios->idOfName(status.scenario));
    showStatus();
}

void LabPage::playSelected()
{
    if (const ScenarioRow* row = m_scenarios->find(m_table->currentId()))
        Q_EMIT playAsked(row->scenario.name, LabRules::WithChanges);
}

void LabPage::showStatus()
{
    const LabStatus& status = m_status;
    const bool preparing = !status.preparing.isEmpty();
    m_playing->setVisible(preparing || !status.scenario.isEmpty());
    const QString name = preparing ? status.preparing : status.scenario;
    const auto known = std::find_if(m_known.begin(), m_known.end(),
                                    [&](const LabScenario& one) { return one.name == name; });
    m_name->setText(name);
    m_lesson->setText(known == m_known.end() ? QString() : known->lesson);
    if (preparing) {
        m_badge->show(Shape::Dots, Meaning::Neutral, tr("Getting ready"));
    } else if (status.over) {
        m_badge->show(Shape::Square, Meaning::Neutral, tr("Over, the lab goes on"));
    } else {
        m_badge->show(Shape::Diamond, Meaning::Accent, tr("Playing"));
    }
    const auto seconds = [](engine::Duration span) {
        return static_cast<int>(std::chrono::duration_cast<std::chrono::seconds>(span).count());
    };
    m_progress->setRange(0, std::max(seconds(status.length), 1));
    m_progress->setValue(std::min(seconds(status.played), m_progress->maximum()));
    const Format& format = m_presentation.format;
    m_time->setText(
        tr("%1 of %2").arg(format.duration(status.played), format.duration(status.length)));
    const auto at = std::find(kSpeeds.begin(), kSpeeds.end(), status.speed);
    if (at != kSpeeds.end()) m_speed->setPosition(static_cast<int>(at - kSpeeds.begin()));
    m_speed->setEnabled(!status.over && !preparing);
    m_restart->setEnabled(!preparing && !status.scenario.isEmpty());
    m_changed->setVisible(status.rulesChanged);

    const auto holding = std::count_if(status.claims.begin(), status.claims.end(),
                                       [](const LabClaim& claim) { return claim.holds; });
    const auto all = static_cast<std::ptrdiff_t>(status.claims.size());
    const auto number = [&](std::ptrdiff_t count) {
        return format.count(static_cast<std::uint64_t>(count));
    };
    m_summary->setText(
        all == 0      ? tr("What must hold")
        : status.over ? tr("What must hold: %1 of %2 do").arg(number(holding), number(all))
                      : tr("What must hold: %1 of %2 do so far").arg(number(holding), number(all)));
    m_summary->setMeaning(!status.over || all == 0 ? Meaning::Neutral
                          : holding == all         ? Meaning::Good
                                                   : Meaning::Bad);
}

void LabPage::presentationChanged()
{
    m_scenarios->presentationChanged();
    showStatus();
}

void LabPage::updateEmpty()
{
    if (m_scenarios->rowCount() > 0) {
        m_stack->setCurrentWidget(m_table);
        return;
    }
    if (m_scenarios->totalRows() > 0) {
        m_empty->say(tr("No scenario matches the filter"), {}, tr("Clear the filter"));
    } else {
        m_empty->say(tr("No scenarios"), tr("They are there while the lab runs in this window."));
    }
    m_stack->setCurrentWidget(m_empty);
}

}  // namespace ui
