#include "ui/pages/devices_page.h"

#include "ui/text/words.h"
#include "ui/widgets/live_question.h"
#include "ui/widgets/table.h"

#include <QScrollArea>
#include <QSpinBox>
#include <QStackedWidget>

namespace ui {

using engine::policy::DeviceAccess;
using engine::policy::OnLive;

namespace {

QString sentenceFor(DeviceAccess access)
{
    switch (access) {
    case DeviceAccess::Allow:
        return DevicesPage::tr("May use the internet and every VPN whose switch allows it.");
    case DeviceAccess::Block:
        return DevicesPage::tr("Nothing of this device gets through; its live sessions end.");
    case DeviceAccess::VpnOnly:
        return DevicesPage::tr("Only VPN tunnels, and what is needed to reach the VPN server.");
    }
    return {};
}

}  // namespace

DevicesPage::DevicesPage(const Presentation& presentation, DeviceModel& model, QWidget* parent)
    : PageFrame(tr("Devices"), tr("Who is behind this computer, and what may they do?"), parent),
      m_presentation(presentation),
      m_model(model)
{
    auto* bar = new QHBoxLayout;
    bar->addWidget(makeFilterField(tr("Filter devices")));
    bar->addStretch();
    connect(filterField(), &QLineEdit::textChanged, this, [this](const QString& text) {
        m_model.setText(text);
        snapshotShown();
    });
    column()->addLayout(bar);
    m_question = new LiveQuestion(this);
    connect(m_question, &LiveQuestion::concernAsked, this, &DevicesPage::concernAsked);
    column()->addWidget(m_question);

    m_table = new Table(tr("Devices"), CellDelegate::Lines::Two, this);
    m_table->setModel(&m_model);
    m_table->setColumnWidths({{},
                              {QStringLiteral("88:88:88:88:88:88")},
                              {QStringLiteral("VPN only"), Table::Width::Beside::Shape},
                              {QStringLiteral("88")},
                              {QStringLiteral("8,888")},
                              {QStringLiteral("↓ 88.8 Mbit/s")},
                              {QStringLiteral("88.8 MB / 88.8 MB")},
                              {QStringLiteral("8,888")},
                              {QStringLiteral("59 min ago")}});
    m_table->setSelectionMode(QAbstractItemView::SingleSelection);
    m_table->setDispensable({DeviceModel::Hardware, DeviceModel::Total, DeviceModel::Refused,
                             DeviceModel::LastSeen, DeviceModel::Sessions});
    m_table->enableColumnChoice();
    connect(m_table, &Table::currentIdChanged, this, &DevicesPage::showSelected);
    connect(m_table, &Table::filterAsked, filterField(), &QLineEdit::setText);
    connect(m_table, &Table::opened, this, [this](quint64 id) {
        Q_EMIT connectionsAsked(engine::net::Ipv4Address{static_cast<std::uint32_t>(id)});
    });

    m_card = new Card(this);
    m_card->setFixedWidth(336);
    m_card->setAccessibleName(tr("Selected device"));
    m_name = new QLineEdit(m_card);
    m_name->setMaxLength(40);
    m_name->setAccessibleName(tr("Name of the device"));
    m_name->setPlaceholderText(tr("Give it a name"));
    connect(m_name, &QLineEdit::editingFinished, this, [this] {
        if (m_name->isModified() && !m_shown.isUnspecified())
            Q_EMIT renamed(m_shown, m_name->text().trimmed());
        m_name->setModified(false);
    });
    m_address = new SafeLabel(m_card);
    m_address->muted().selectable();
    m_facts = new SafeLabel(m_card);
    m_facts->wrapping();
    m_access = new SegmentedSwitch(
        {wordOf(DeviceAccess::Allow), wordOf(DeviceAccess::VpnOnly), wordOf(DeviceAccess::Block)},
        tr("Access"), m_card);
    m_access->setDanger(2);
    connect(m_access, &SegmentedSwitch::asked, this, [this](int position) {
        saveRule(position == 0   ? DeviceAccess::Allow
                 : position == 1 ? DeviceAccess::VpnOnly
                                 : DeviceAccess::Block);
    });
    m_accessWords = new SafeLabel(m_card);
    m_accessWords->muted().wrapping();
    m_limit = new QSpinBox(m_card);
    m_limit->setRange(0, 1000000);
    m_limit->setSingleStep(100);
    m_limit->setSpecialValueText(tr("as for everybody"));
    m_limit->setAccessibleName(tr("Most sessions of this device"));
    m_limitWords = new SafeLabel(m_card);
    m_limitWords->muted().wrapping();
    m_limitWords->hide();
    connect(m_limit, &QSpinBox::valueChanged, this, &DevicesPage::sayLimit);
    connect(m_limit, &QSpinBox::editingFinished, this, [this] {
        if (m_shown.isUnspecified()) return;
        const DeviceRow* row = m_model.find(m_shown.hostOrder());
        const auto now =
            row != nullptr && row->sessionLimit ? static_cast<int>(*row->sessionLimit) : 0;
        if (row != nullptr && now != m_limit->value()) saveRule(row->access);
    });
    auto* sessions = new QPushButton(tr("Its connections"), m_card);
    connect(sessions, &QPushButton::clicked, this, [this] { Q_EMIT connectionsAsked(m_shown); });
    auto* tunnels = new QPushButton(tr("Its tunnels"), m_card);
    connect(tunnels, &QPushButton::clicked, this, [this] { Q_EMIT tunnelsAsked(m_shown); });
    // On a small screen the details scroll; the buttons below stay.
    auto* details = new QWidget(m_card);
    auto* body = new QVBoxLayout(details);
    body->setContentsMargins(0, 0, 0, 0);
    body->setSpacing(m_card->body()->spacing());
    body->addWidget(m_name);
    body->addWidget(m_address);
    body->addSpacing(kGap);
    body->addWidget(new SafeLabel(tr("Access"), m_card, TextSize::Strong));
    body->addWidget(m_access);
    body->addWidget(m_accessWords);
    body->addSpacing(kGap);
    body->addWidget(new SafeLabel(tr("Most sessions"), m_card, TextSize::Strong));
    body->addWidget(m_limit);
    body->addWidget(m_limitWords);
    body->addSpacing(kGap);
    body->addWidget(new SafeLabel(tr("So far"), m_card, TextSize::Strong));
    body->addWidget(m_facts);
    body->addStretch();
    auto* buttons = new QHBoxLayout;
    buttons->addWidget(sessions);
    buttons->addWidget(tunnels);
    m_card->body()->addWidget(asScrollPage(details, m_card), 1);
    m_card->body()->addLayout(buttons);
    m_card->hide();

    m_empty = new EmptyState(Symbol::Devices, this);
    connect(m_empty->action(), &QPushButton::clicked, this, [this] { clearFilter(); });
    m_stack = new QStackedWidget(this);
    m_stack->addWidget(m_table);
    m_stack->addWidget(m_empty);
    auto* row = new QHBoxLayout;
    row->setSpacing(kGapWide);
    row->addWidget(m_stack, 1);
    row->addWidget(m_card);
    column()->addLayout(row, 1);
    snapshotShown();
}

void DevicesPage::setRules(const std::vector<engine::policy::DeviceRule>& rules)
{
    if (rules != m_rules) m_question->close();
    m_rules = rules;
    showSelected();
}

void DevicesPage::snapshotShown()
{
    if (m_model.rowCount() > 0) {
        m_stack->setCurrentWidget(m_table);
        if (m_card->isVisible() && !m_name->hasFocus() && !m_limit->hasFocus()) showSelected();
        return;
    }
    if (m_model.totalRows() > 0) {
        m_empty->say(tr("No device matches the filter"), {}, tr("Clear the filter"));
    } else {
        m_empty->say(m_interface.isEmpty() ? tr("No devices yet")
                                           : tr("Nothing on %1 yet").arg(safeText(m_interface)),
                     tr("Plug in a device, or check that the cable's light is on."));
    }
    m_stack->setCurrentWidget(m_empty);
}

void DevicesPage::showDevice(engine::net::Ipv4Address address)
{
    m_table->selectId(address.hostOrder());
}

void DevicesPage::showSelected()
{
    const DeviceRow* row = m_model.find(m_table->currentId());
    m_card->setVisible(row != nullptr);
    if (row == nullptr) return;
    const auto& status = row->status;
    const bool other = status.address != m_shown;
    m_shown = status.address;
    const auto known = m_presentation.devices.find(status.address);
    const bool named = known != m_presentation.devices.end();
    if (other || !m_name->isModified())
        m_name->setText(named ? safeText(known->second.name, 40) : QString());
    QString address = textOf(status.address);
    if (named && !known->second.hardwareAddress.isEmpty())
        address += QStringLiteral(" · ") + safeText(known->second.hardwareAddress, 20);
    if (named && !known->second.vendor.isEmpty())
        address += QLatin1Char('\n') + safeText(known->second.vendor, 40);
    m_address->setText(address);
    m_access->setPosition(row->access == DeviceAccess::Allow     ? 0
                          : row->access == DeviceAccess::VpnOnly ? 1
                                                                 : 2);
    m_accessWords->setText(sentenceFor(row->access));
    if (!m_limit->hasFocus())
        m_limit->setValue(row->sessionLimit ? static_cast<int>(*row->sessionLimit) : 0);
    sayLimit();
    const Format& format = m_presentation.format;
    m_facts->setText(tr("Received %1, sent %2\nSeen for %3\nRefused: %4")
                         .arg(format.bytes(status.inbound.bytes),
                              format.bytes(status.outbound.bytes),
                              format.duration(m_presentation.now - status.firstSeen),
                              format.count(status.refused)));
}

void DevicesPage::saveRule(DeviceAccess access)
{
    engine::policy::DeviceRule rule;
    for (const auto& one : m_rules) {
        if (one.address == m_shown) rule = one;
    }
    rule.address = m_shown;
    rule.access = access;
    if (rule.name.empty()) rule.name = m_presentation.deviceName(m_shown).toStdString();
    rule.sessionLimit.reset();
    if (m_limit->value() > 0) rule.sessionLimit = static_cast<std::uint32_t>(m_limit->value());
    const auto act = [this, rule](OnLive onLive) {
        Q_EMIT ruleSaved(rule, onLive);
    };
    std::vector<engine::policy::DeviceRule> rules = m_rules;
    std::erase_if(rules, [&](const auto& one) { return one.address == rule.address; });
    rules.push_back(rule);
    m_question->askExactly(
        engine::SetDeviceRules{std::move(rules)},
        [name = m_presentation.deviceName(m_shown), access](int number) {
            const QString words =
                tr("This ends %n live session(s) of %1. What becomes of them?", nullptr, number)
                    .arg(name);
            return access == DeviceAccess::VpnOnly
                       ? words + QLatin1Char(' ') + tr("Its VPN tunnels run on in any case.")
                       : words;
        },
        act);
}

void DevicesPage::setConcerned(quint64 question, quint32 sessions)
{
    m_question->setConcerned(question, sessions);
}

/// What a limit means for what the device has now; nothing is saved yet.
void DevicesPage::sayLimit()
{
    const DeviceRow* row = m_model.find(m_shown.hostOrder());
    const bool beyond = row != nullptr && m_limit->value() > 0 &&
                        row->status.sessions > static_cast<std::uint32_t>(m_limit->value());
    m_limitWords->setVisible(beyond);
    if (beyond) {
        m_limitWords->setText(tr("It has %1 now: they run on, and it gets no new ones until it has "
                                 "fewer.")
                                  .arg(m_presentation.format.count(row->status.sessions)));
    }
}

}  // namespace ui
