#include "ui/pages/nat_rule_cards.h"

#include "engine/nat/behaviour_rules.h"
#include "ui/pages/nat_rule_editors.h"
#include "ui/widgets/table.h"

#include <QHeaderView>

#include <utility>

namespace ui {

using engine::nat::BehaviourException;
using engine::nat::Untranslated;

namespace {

/// Ours: a longer list scrolls in its card.
constexpr int kMostRowsShown = 6;
/// Places count from 1, so that no selected row and a new rule are the same.
constexpr std::size_t kNew = 0;

template <typename Rule>
std::vector<Rule> without(std::vector<Rule> rules, std::size_t place)
{
    if (place > 0 && place <= rules.size())
        rules.erase(rules.begin() + static_cast<std::ptrdiff_t>(place - 1));
    return rules;
}

template <typename Rule>
std::optional<Rule> ruleAt(const std::vector<Rule>& rules, std::size_t place)
{
    if (place == kNew || place > rules.size()) return std::nullopt;
    return rules[place - 1];
}

void fitHeight(Table* table)
{
    const int rows = std::min(table->model()->rowCount(), kMostRowsShown);
    table->setFixedHeight(std::max(table->horizontalHeader()->sizeHint().height(),
                                   table->horizontalHeader()->minimumHeight()) +
                          rows * table->verticalHeader()->defaultSectionSize() + 2);
}

}  // namespace

NatRuleCards::NatRuleCards(const Presentation& presentation, QWidget* parent)
    : QWidget(parent),
      m_presentation(presentation),
      m_typeModel(new NatTypeModel(presentation, this)),
      m_untranslatedModel(new UntranslatedModel(this))
{
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(kGapWide);

    auto* types = new Table(tr("NAT types of devices"), CellDelegate::Lines::Two, this);
    types->setModel(m_typeModel);
    types->setSortingEnabled(false);  // the first that matches wins: the order says something
    types->setColumnWidths({{QStringLiteral("Moderate"), Table::Width::Beside::Shape},
                            {},
                            {QStringLiteral("50000–50010")},
                            {QStringLiteral("Address- and port-dependent")},
                            {QStringLiteral("Address- and port-dependent")}});
    addList(
        m_types, tr("NAT type of single devices or ports"),
        tr("A game console or a telephone may need another type than the one above. Open: anybody "
           "may send to a port that the device has opened. Moderate: only those it has sent to. "
           "Strict: a new external port for every remote. The rule for fewer devices or ports "
           "holds; games test their “NAT type” each in its own way."),
        tr("All devices have the general NAT type."), tr("NAT type"), types,
        [this](std::size_t place) { editType(place); },
        [this](std::size_t place) { removeType(place); });

    auto* plain =
        new Table(tr("Destinations that are not translated"), CellDelegate::Lines::One, this);
    plain->setModel(m_untranslatedModel);
    plain->setColumnWidths(
        {{QStringLiteral("255.255.255.255/32")}, {QStringLiteral("50000–50010")}, {}});
    addList(
        m_plain, tr("Destinations that are not translated"),
        tr("A company network behind another router, for example: both sides see each other's own "
           "addresses, so the far side must know the way back to the shared network. For TCP, UDP "
           "and pings; devices that may use VPNs only do not get there."),
        tr("Everything is translated."), tr("destination without translation"), plain,
        [this](std::size_t place) { editUntranslated(place); },
        [this](std::size_t place) { removeUntranslated(place); });
    refresh();
}

template <typename Edit, typename Remove>
void NatRuleCards::addList(List& list, const QString& title, const QString& words,
                           const QString& none, const QString& thing, Table* table, Edit edit,
                           Remove remove)
{
    auto* card = new Card(this);
    auto* heading = new CardHeading(title, tr("Add…"), card);
    heading->action()->setAccessibleName(tr("Add a %1").arg(thing));
    connect(heading->action(), &QPushButton::clicked, this, [edit] { edit(kNew); });
    card->body()->addWidget(heading);
    auto* explained = new SafeLabel(words, card);
    explained->muted().wrapping();
    card->body()->addWidget(explained);
    list.none = new SafeLabel(none, card);
    card->body()->addWidget(list.none);

    list.table = table;
    table->setProperty("plain", true);
    table->setSelectionMode(QAbstractItemView::SingleSelection);
    const auto selected = [table] {
        return static_cast<std::size_t>(table->currentId());
    };
    const auto editSelected = [edit, selected] {
        if (selected() != kNew) edit(selected());
    };
    connect(table, &Table::currentIdChanged, this, &NatRuleCards::updateButtons);
    connect(table, &Table::opened, this, editSelected);
    connect(table, &QTableView::doubleClicked, this, editSelected);
    connect(table, &Table::removeAsked, this, [remove, selected] { remove(selected()); });
    card->body()->addWidget(table);

    auto* row = new QHBoxLayout;
    row->setSpacing(kGap);
    row->addStretch();
    list.edit = new QPushButton(tr("Edit…"), card);
    list.edit->setAccessibleName(tr("Edit the selected %1").arg(thing));
    list.remove = new QPushButton(tr("Remove"), card);
    list.remove->setAccessibleName(tr("Remove the selected %1").arg(thing));
    connect(list.edit, &QPushButton::clicked, this, editSelected);
    connect(list.remove, &QPushButton::clicked, this, [remove, selected] { remove(selected()); });
    row->addWidget(list.edit);
    row->addWidget(list.remove);
    card->body()->addLayout(row);
    layout()->addWidget(card);
}

void NatRuleCards::editType(std::size_t place)
{
    const auto old = ruleAt(m_exceptions, place);
    auto* editor =
        new NatTypeEditor(m_presentation, old, without(m_exceptions, place), m_internal, this);
    connect(editor, &NatTypeEditor::saved, this, [this, old](const BehaviourException& rule) {
        if (old) std::erase(m_exceptions, *old);
        engine::nat::put(m_exceptions, rule);
        changed();
    });
    editor->open();
}

void NatRuleCards::editUntranslated(std::size_t place)
{
    const auto old = ruleAt(m_untranslated, place);
    auto* editor = new UntranslatedEditor(old, without(m_untranslated, place), m_internal, this);
    connect(editor, &UntranslatedEditor::saved, this, [this, old](const Untranslated& rule) {
        if (old) std::erase(m_untranslated, *old);
        m_untranslated.push_back(rule);
        changed();
    });
    editor->open();
}

void NatRuleCards::removeType(std::size_t place)
{
    if (!ruleAt(m_exceptions, place)) return;
    m_exceptions = without(std::move(m_exceptions), place);
    changed();
}

void NatRuleCards::removeUntranslated(std::size_t place)
{
    if (!ruleAt(m_untranslated, place)) return;
    m_untranslated = without(std::move(m_untranslated), place);
    changed();
}

void NatRuleCards::setRules(std::vector<BehaviourException> exceptions,
                            std::vector<Untranslated> untranslated)
{
    m_exceptions = std::move(exceptions);
    m_untranslated = std::move(untranslated);
    refresh();
}

void NatRuleCards::setInternal(const engine::net::Prefix& internal)
{
    if (m_internal == internal) return;
    m_internal = internal;
    changed();
}

QString NatRuleCards::problem() const
{
    const auto complaint = [](const QString& rule, const RuleRemark& remark) {
        return tr("“%1”: %2").arg(rule, remark.text);
    };
    for (const NatTypeRow& row : m_typeModel->all()) {
        if (row.remark.meaning == Meaning::Bad)
            return complaint(devicesWord(m_presentation, row.rule.devices), row.remark);
    }
    for (const UntranslatedRow& row : m_untranslatedModel->all()) {
        if (row.remark.meaning == Meaning::Bad)
            return complaint(textOf(row.rule.destinations), row.remark);
    }
    return {};
}

void NatRuleCards::changed()
{
    refresh();
    Q_EMIT edited();
}

void NatRuleCards::refresh()
{
    m_typeModel->setRules(m_exceptions, m_internal);
    m_untranslatedModel->setRules(m_untranslated, m_internal);
    for (List* list : {&m_types, &m_plain}) {
        const bool any = list->table->model()->rowCount() > 0;
        fitHeight(list->table);
        list->table->setVisible(any);
        list->edit->setVisible(any);
        list->remove->setVisible(any);
        list->none->setVisible(!any);
    }
    updateButtons();
}

void NatRuleCards::updateButtons()
{
    for (const List* list : {&m_types, &m_plain}) {
        if (list->edit == nullptr) continue;
        const bool chosen = list->table->currentId() != kNew;
        list->edit->setEnabled(chosen);
        list->remove->setEnabled(chosen);
    }
}

}  // namespace ui
