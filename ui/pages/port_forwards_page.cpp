#include "ui/pages/port_forwards_page.h"

#include "ui/pages/rule_editors.h"
#include "ui/text/words.h"
#include "ui/widgets/live_question.h"
#include "ui/widgets/table.h"

#include <QStackedWidget>

#include <algorithm>
#include <utility>

namespace ui {

using engine::net::Ipv4Address;
using engine::policy::OneToOne;
using engine::policy::OnLive;
using engine::policy::PortForward;

namespace {

QString titleOf(const PortForward& forward)
{
    const QString name = safeText(forward.name, 48);
    return name.isEmpty() ? PortForwardsPage::tr("this forward") : name;
}

/// What loses by a forward that goes or leads elsewhere.
QString throughWords(const QString& name, int number)
{
    return PortForwardsPage::tr("%n live session(s) came in through “%1”. What becomes of them?",
                                nullptr, number)
        .arg(name);
}

/// Whether a forward takes external ports that it has not had before.
bool takesPorts(const PortForward& forward, const PortForward* old)
{
    return forward.enabled && engine::net::hasPorts(forward.protocol) &&
           (old == nullptr || !old->enabled || old->protocol != forward.protocol ||
            old->externalPorts != forward.externalPorts);
}

}  // namespace

PortForwardsPage::PortForwardsPage(const Presentation& presentation, QWidget* parent)
    : PageFrame(tr("Port forwards"), tr("What may come in from the internet?"), parent),
      m_presentation(presentation),
      m_model(new PortForwardModel(presentation, this)),
      m_oneToOnes(new OneToOneModel(presentation, this))
{
    m_toggle = new QPushButton(tr("Switch off"), this);
    m_edit = new QPushButton(tr("Edit…"), this);
    m_remove = new QPushButton(tr("Remove"), this);
    m_remove->setToolTip(tr("Remove the selected port forward; Undo brings it back (Del)"));
    auto* add = makePrimaryButton(tr("&Add…"), this);
    add->setAccessibleName(tr("Add a port forward"));
    for (QPushButton* button : {m_toggle, m_edit, m_remove, add})
        actions()->addWidget(button);
    connect(add, &QPushButton::clicked, this, [this] { edit({}); });
    const auto selected = [this]() -> const PortForwardRow* {
        return m_model->find(m_table->currentId());
    };
    connect(m_edit, &QPushButton::clicked, this, [this, selected] {
        if (const auto* row = selected()) edit(row->forward);
    });
    connect(m_toggle, &QPushButton::clicked, this, [this, selected] {
        if (const auto* row = selected()) {
            PortForward changed = row->forward;
            changed.enabled = !changed.enabled;
            save(changed);
        }
    });
    connect(m_remove, &QPushButton::clicked, this, &PortForwardsPage::remove);
    m_question = new LiveQuestion(this);
    connect(m_question, &LiveQuestion::concernAsked, this, &PortForwardsPage::concernAsked);
    column()->addWidget(m_question);

    m_table = new Table(tr("Port forwards"), CellDelegate::Lines::Two, this);
    m_table->setModel(m_model);
    m_table->setColumnWidths({{QStringLiteral("Overlaps"), Table::Width::Beside::Shape},
                              {},
                              {QStringLiteral("TCP+UDP")},
                              {QStringLiteral("50000–50010")},
                              {QStringLiteral("192.168.255.255:65535")},
                              {QStringLiteral("198.51.100.0/24")},
                              {QStringLiteral("888,888")},
                              {QStringLiteral("888")}});
    m_table->setSelectionMode(QAbstractItemView::SingleSelection);
    m_table->setDispensable({PortForwardModel::From, PortForwardModel::Hits});
    m_table->enableColumnChoice();
    connect(m_table, &Table::currentIdChanged, this, &PortForwardsPage::updateButtons);
    connect(m_table, &Table::opened, this, [this, selected] {
        if (const auto* row = selected()) edit(row->forward);
    });
    connect(m_table, &QTableView::doubleClicked, this, [this, selected] {
        if (const auto* row = selected()) edit(row->forward);
    });
    connect(m_table, &Table::removeAsked, this, &PortForwardsPage::remove);
    m_empty = new EmptyState(Symbol::PortForwards, this);
    m_empty->say(tr("Nothing may come in unasked"),
                 tr("A port forward lets connections from the internet reach one device, for "
                    "example a VPN server or a camera."),
                 tr("Add a port forward"));
    connect(m_empty->action(), &QPushButton::clicked, this, [this] { edit({}); });
    m_stack = new QStackedWidget(this);
    m_stack->addWidget(m_table);
    m_stack->addWidget(m_empty);
    column()->addWidget(m_stack, 1);

    auto* lower = new QHBoxLayout;
    lower->setSpacing(kGapWide);
    auto* oneToOne = new Card(this);
    auto* heading =
        new CardHeading(tr("One device, one external address (1:1)"), tr("Add…"), oneToOne);
    m_addOneToOne = heading->action();
    m_addOneToOne->setAccessibleName(tr("Add a one-to-one rule"));
    connect(m_addOneToOne, &QPushButton::clicked, this, [this] { editOneToOne({}); });
    oneToOne->body()->addWidget(heading);
    m_noOneToOnes = new SafeLabel(oneToOne);
    m_noOneToOnes->muted().wrapping();
    oneToOne->body()->addWidget(m_noOneToOnes);
    m_oneToOneTable = new Table(tr("One-to-one rules"), CellDelegate::Lines::One, oneToOne);
    m_oneToOneTable->setModel(m_oneToOnes);
    m_oneToOneTable->setProperty("plain", true);
    m_oneToOneTable->setColumnWidths(
        {{QStringLiteral("Off")}, {}, {}, {QStringLiteral("203.0.113.255")}});
    m_oneToOneTable->setMinimumHeight(80);
    m_oneToOneTable->setSelectionMode(QAbstractItemView::SingleSelection);
    connect(m_oneToOneTable, &Table::currentIdChanged, this, &PortForwardsPage::updateButtons);
    connect(m_oneToOneTable, &Table::removeAsked, this, &PortForwardsPage::removeOneToOne);
    const auto editSelected = [this] {
        if (const OneToOne* rule = m_oneToOnes->find(m_oneToOneTable->currentId()))
            editOneToOne(*rule);
    };
    connect(m_oneToOneTable, &Table::opened, this, editSelected);
    connect(m_oneToOneTable, &QTableView::doubleClicked, this, editSelected);
    oneToOne->body()->addWidget(m_oneToOneTable, 1);
    m_removeOneToOne = new QPushButton(tr("Remove"), oneToOne);
    m_removeOneToOne->setAccessibleName(tr("Remove the selected one-to-one rule"));
    connect(m_removeOneToOne, &QPushButton::clicked, this, &PortForwardsPage::removeOneToOne);
    oneToOne->body()->addWidget(m_removeOneToOne, 0, Qt::AlignRight);
    oneToOne->body()->addStretch();
    lower->addWidget(oneToOne, 3);

    auto* exposed = new Card(this);
    exposed->body()->addWidget(new CardHeading(tr("Exposed host"), {}, exposed));
    auto* words = new SafeLabel(tr("Gets everything from the internet that no rule and no session "
                                   "asks for. It is then protected only by its own firewall."),
                                exposed);
    words->muted().wrapping();
    exposed->body()->addWidget(words);
    m_exposedNow = new SafeLabel(exposed);
    m_exposedNow->wrapping();
    exposed->body()->addWidget(m_exposedNow);
    auto* row = new QHBoxLayout;
    m_exposed = new DevicePicker(presentation, tr("Exposed host"), exposed);
    m_expose = new QPushButton(tr("Expose"), exposed);
    m_unexpose = new QPushButton(tr("Expose none"), exposed);
    row->addWidget(m_exposed, 1);
    row->addWidget(m_expose);
    row->addWidget(m_unexpose);
    exposed->body()->addLayout(row);
    exposed->body()->addStretch();
    connect(m_exposed, &DevicePicker::edited, this, &PortForwardsPage::updateButtons);
    connect(m_expose, &QPushButton::clicked, this, [this] {
        if (const auto address = m_exposed->address()) expose(*address);
    });
    connect(m_unexpose, &QPushButton::clicked, this, [this] { expose(Ipv4Address{}); });
    lower->addWidget(exposed, 2);
    for (Card* card : {oneToOne, exposed})
        card->setMaximumHeight(220);
    column()->addLayout(lower);
    setRules({});
}

void PortForwardsPage::setRules(const RuleSet& rules)
{
    if (rules != m_rules) {
        m_question->close();
    }
    m_rules = rules;
    m_model->setForwards(rules.portForwards);
    m_oneToOnes->setRules(rules.oneToOnes);
    m_stack->setCurrentWidget(rules.portForwards.empty() ? static_cast<QWidget*>(m_empty)
                                                         : m_table);
    const bool none = rules.exposedHost.isUnspecified();
    m_exposedNow->setText(none ? tr("No device is exposed.")
                               : tr("%1 is exposed to the internet.")
                                     .arg(m_presentation.deviceNameAndAddress(rules.exposedHost)));
    m_exposedNow->setMeaning(none ? Meaning::Neutral : Meaning::Warning);
    updateButtons();
}

void PortForwardsPage::setSnapshot(const engine::Snapshot& snapshot)
{
    m_internal = snapshot.internal.prefix;
    if (m_externalAddresses != snapshot.external.addresses) {
        m_externalAddresses = snapshot.external.addresses;
        updateButtons();
    }
    m_model->setSnapshot(snapshot);
}

void PortForwardsPage::presentationChanged()
{
    m_model->presentationChanged();
    setRules(m_rules);
}

void PortForwardsPage::updateButtons()
{
    const PortForwardRow* row = m_model->find(m_table->currentId());
    for (QPushButton* button : {m_edit, m_toggle, m_remove})
        button->setEnabled(row != nullptr);
    m_toggle->setText(row == nullptr || row->forward.enabled ? tr("Switch off") : tr("Switch on"));
    m_addOneToOne->setEnabled(m_externalAddresses.size() > 1);
    const bool any = !m_rules.oneToOnes.empty();
    m_oneToOneTable->setVisible(any);
    m_removeOneToOne->setVisible(any);
    m_removeOneToOne->setEnabled(m_oneToOneTable->currentId() != 0);
    m_noOneToOnes->setVisible(!any);
    m_noOneToOnes->setText(
        m_externalAddresses.size() > 1
            ? tr("No device has an external address of its own.")
            : tr("This needs a second external address; this computer has only one."));
    const auto typed = m_exposed->address();
    m_expose->setEnabled(typed && *typed != m_rules.exposedHost &&
                         (!m_internal || m_internal->contains(*typed)));
    m_unexpose->setEnabled(!m_rules.exposedHost.isUnspecified());
}

void PortForwardsPage::edit(const PortForward& forward)
{
    auto* editor =
        new PortForwardEditor(m_presentation, forward, m_rules.portForwards, m_internal, this);
    connect(editor, &PortForwardEditor::saved, this, &PortForwardsPage::save);
    editor->open();
}

/// Asks first where live sessions would lose their forward, or the port that it gets.
void PortForwardsPage::save(const PortForward& forward)
{
    std::vector<PortForward> forwards = m_rules.portForwards;
    const auto found = std::ranges::find(forwards, forward.id, &PortForward::id);
    const PortForwardRow* row = forward.id == 0 ? nullptr : m_model->find(forward.id);
    const bool through = row != nullptr && row->liveSessions > 0;
    const bool takes = takesPorts(forward, row == nullptr ? nullptr : &row->forward);
    if (found != forwards.end()) {
        *found = forward;
    } else {
        forwards.push_back(forward);
        if (forward.id == 0) {
            forwards.back().id = std::ranges::max(forwards, {}, &PortForward::id).id + 1;
        }
    }
    const QString name = titleOf(row == nullptr ? forward : row->forward);
    const QString ports = tr("%1 %2").arg(nameOf(forward.protocol), textOf(forward.externalPorts));
    m_question->askExactly(
        engine::SetPortForwards{std::move(forwards)},
        [through, takes, name, ports](int number) {
            if (!takes) return throughWords(name, number);
            if (!through) {
                return tr("This takes %1 from %n live session(s) of devices inside. What becomes "
                          "of them?",
                          nullptr, number)
                    .arg(ports);
            }
            return tr("This ends %n live session(s) that came in through “%1” or use %2. What "
                      "becomes of them?",
                      nullptr, number)
                .arg(name, ports);
        },
        [this, forward](OnLive onLive) { Q_EMIT forwardSaved(forward, onLive); });
}

void PortForwardsPage::remove()
{
    const PortForwardRow* row = m_model->find(m_table->currentId());
    if (row == nullptr) return;
    std::vector<PortForward> forwards = m_rules.portForwards;
    std::erase_if(forwards, [id = row->forward.id](const auto& one) { return one.id == id; });
    m_question->askExactly(
        engine::SetPortForwards{std::move(forwards)},
        [name = titleOf(row->forward)](int number) { return throughWords(name, number); },
        [this, id = row->forward.id](OnLive onLive) { Q_EMIT forwardRemoved(id, onLive); });
}

void PortForwardsPage::setConcerned(quint64 question, quint32 sessions)
{
    m_question->setConcerned(question, sessions);
}

void PortForwardsPage::saveOneToOne(const OneToOne& rule)
{
    std::vector<OneToOne> rules = m_rules.oneToOnes;
    const auto old = std::ranges::find(rules, rule.id, &OneToOne::id);
    if (rule.id != 0 && old != rules.end()) {
        *old = rule;
    } else {
        rules.push_back(rule);
    }
    m_question->askExactly(
        engine::SetOneToOnes{std::move(rules)},
        [rule](int number) {
            return tr("This changes the external address of %n live session(s), those of the "
                      "device or of others that share %1. What becomes of them?",
                      nullptr, number)
                .arg(QString::fromStdString(rule.externalAddress.toString()));
        },
        [this, rule](OnLive onLive) { Q_EMIT oneToOneSaved(rule, onLive); });
}

void PortForwardsPage::removeOneToOne()
{
    const OneToOne* rule = m_oneToOnes->find(m_oneToOneTable->currentId());
    if (rule == nullptr) return;
    std::vector<OneToOne> rules = m_rules.oneToOnes;
    std::erase_if(rules, [id = rule->id](const OneToOne& one) { return one.id == id; });
    m_question->askExactly(
        engine::SetOneToOnes{std::move(rules)},
        [this, rule = *rule](int number) {
            return tr("This takes from %n live session(s) of %1 the address %2. What becomes of "
                      "them?",
                      nullptr, number)
                .arg(m_presentation.deviceNameAndAddress(rule.internalAddress),
                     QString::fromStdString(rule.externalAddress.toString()));
        },
        [this, id = rule->id](OnLive onLive) { Q_EMIT oneToOneRemoved(id, onLive); });
}

void PortForwardsPage::expose(Ipv4Address address)
{
    m_question->askExactly(
        engine::SetExposedHost{address},
        [this, former = m_rules.exposedHost](int number) {
            return former.isUnspecified()
                       ? tr("%n live session(s) came in to a device that was exposed before. What "
                            "becomes of them?",
                            nullptr, number)
                       : tr("%n live session(s) came in to %1 because it is exposed. What becomes "
                            "of them?",
                            nullptr, number)
                             .arg(m_presentation.deviceNameAndAddress(former));
        },
        [this, address](OnLive onLive) { Q_EMIT exposedHostChanged(address, onLive); });
}

void PortForwardsPage::editOneToOne(const OneToOne& rule)
{
    std::vector<Ipv4Address> free = m_externalAddresses;
    if (free.size() > 1) free.erase(free.begin());  // the first is the router's own
    auto* editor = new OneToOneEditor(m_presentation, rule, free, this);
    connect(editor, &OneToOneEditor::saved, this, &PortForwardsPage::saveOneToOne);
    editor->open();
}

}  // namespace ui
