#include "ui/pages/nat_rule_editors.h"

#include "ui/text/words.h"

#include <QComboBox>
#include <QDialogButtonBox>
#include <QFormLayout>
#include <QLineEdit>
#include <QSignalBlocker>

namespace ui {

using engine::nat::Behaviour;
using engine::nat::kAllPorts;
using engine::net::Prefix;

namespace {

QLineEdit* makePortsField(const engine::net::PortRange& ports, const QString& hint, QWidget* parent)
{
    auto* field = new QLineEdit(ports == kAllPorts ? QString() : textOf(ports), parent);
    field->setPlaceholderText(hint);
    return field;
}

/// Nothing typed: all of them.
std::optional<engine::net::PortRange> portsIn(const QLineEdit& field)
{
    return field.text().trimmed().isEmpty() ? kAllPorts : parsePorts(field.text());
}

/// Cancel and one button that saves.
QPushButton* addButtons(QDialog* dialog, QVBoxLayout* column, const QString& save)
{
    auto* buttons = new QDialogButtonBox(dialog);
    auto* button = makePrimaryButton(save, dialog);
    buttons->addButton(button, QDialogButtonBox::AcceptRole);
    buttons->addButton(new QPushButton(NatTypeEditor::tr("Cancel"), dialog),
                       QDialogButtonBox::RejectRole);
    column->addWidget(buttons);
    QObject::connect(buttons, &QDialogButtonBox::rejected, dialog, &QDialog::reject);
    QObject::connect(buttons, &QDialogButtonBox::accepted, dialog, &QDialog::accept);
    return button;
}

/// What is missing comes before what is wrong.
void tell(InlineMessage* message, QPushButton* save, const QString& missing,
          const RuleRemark& remark)
{
    const bool complete = missing.isEmpty();
    message->setVisible(!complete || !remark.text.isEmpty());
    message->say(complete ? remark.meaning : Meaning::Neutral, complete ? remark.text : missing);
    save->setEnabled(complete && remark.meaning != Meaning::Bad);
}

}  // namespace

NatTypeEditor::NatTypeEditor(const Presentation& presentation, const std::optional<Rule>& rule,
                             std::vector<Rule> others, std::optional<Prefix> internal,
                             QWidget* parent)
    : QDialog(parent),
      m_presentation(presentation),
      m_others(std::move(others)),
      m_internal(internal),
      m_rule(rule.value_or(Rule{{}, kAllPorts, behaviourOf(NatType::Open)}))
{
    setWindowTitle(rule ? tr("NAT type of a device") : tr("New NAT type of a device"));
    auto* column = new QVBoxLayout(this);
    setUpEditor(this, column);
    auto* form = makeEditorForm();
    m_devices = new DevicePicker(presentation, tr("Devices"), this);
    m_devices->setHint(tr("Device, address or network"));
    if (rule) m_devices->setNetwork(rule->devices);
    m_ports =
        makePortsField(m_rule.ports, tr("all; or 3074, or 5000-5010: the device's own"), this);
    m_type = new QComboBox(this);
    for (const NatType type : {NatType::Open, NatType::Moderate, NatType::Strict})
        m_type->addItem(wordOf(type), static_cast<int>(type));
    m_meaning = new SafeLabel(this);
    m_meaning->muted().wrapping();
    const auto makeBehaviours = [this](Behaviour chosen) {
        auto* box = new QComboBox(this);
        for (const Behaviour one : {Behaviour::EndpointIndependent, Behaviour::AddressDependent,
                                    Behaviour::AddressAndPortDependent})
            box->addItem(wordOf(one), static_cast<int>(one));
        box->setCurrentIndex(static_cast<int>(chosen));
        return box;
    };
    m_mapping = makeBehaviours(m_rule.behaviour.mapping);
    m_filtering = makeBehaviours(m_rule.behaviour.filtering);
    form->addRow(labelFor(tr("&Devices"), m_devices, this), m_devices);
    form->addRow(labelFor(tr("&Ports"), m_ports, this), m_ports);
    form->addRow(labelFor(tr("NAT &type"), m_type, this), m_type);
    form->addRow(labelFor(tr("&Mapping"), m_mapping, this), m_mapping);
    form->addRow(labelFor(tr("&Filtering"), m_filtering, this), m_filtering);
    column->addLayout(form);
    column->addWidget(m_meaning);
    m_details = new SafeLabel(this, TextSize::Caption);
    m_details->muted().wrapping();
    column->addWidget(m_details);
    m_remark = new InlineMessage(this);
    column->addWidget(m_remark);
    m_save = addButtons(this, column, rule ? tr("Save") : tr("Add"));
    connect(this, &QDialog::accepted, this, [this] { Q_EMIT saved(m_rule); });
    connect(m_devices, &DevicePicker::edited, this, &NatTypeEditor::check);
    connect(m_ports, &QLineEdit::textChanged, this, &NatTypeEditor::check);
    for (QComboBox* box : {m_mapping, m_filtering}) {
        connect(box, &QComboBox::currentIndexChanged, this, [this] {
            showType();
            check();
        });
    }
    connect(m_type, &QComboBox::currentIndexChanged, this, [this] {
        const auto plain = behaviourOf(static_cast<NatType>(m_type->currentData().toInt()));
        const QSignalBlocker quietMapping(m_mapping);
        const QSignalBlocker quietFiltering(m_filtering);
        m_mapping->setCurrentIndex(static_cast<int>(plain.mapping));
        m_filtering->setCurrentIndex(static_cast<int>(plain.filtering));
        check();
    });
    showType();
    check();
    m_devices->setFocus();
}

void NatTypeEditor::showType()
{
    const QSignalBlocker quiet(m_type);
    const NatType type = natTypeOf({static_cast<Behaviour>(m_mapping->currentIndex()),
                                    static_cast<Behaviour>(m_filtering->currentIndex())});
    m_type->setCurrentIndex(m_type->findData(static_cast<int>(type)));
}

void NatTypeEditor::check()
{
    m_rule.behaviour = {static_cast<Behaviour>(m_mapping->currentIndex()),
                        static_cast<Behaviour>(m_filtering->currentIndex())};
    m_meaning->setText(sentenceOf(natTypeOf(m_rule.behaviour)));
    const auto devices = m_devices->network();
    const auto ports = portsIn(*m_ports);
    m_details->setText(
        ports == kAllPorts
            ? tr("Holds for TCP, UDP and pings.")
            : tr("Holds for TCP and UDP from these ports; pings follow rules for all ports only."));
    QString missing;
    if (!devices)
        missing = tr("Which device? A name, an address or a network.");
    else if (!ports)
        missing = tr("Ports are numbers from 1 to 65535: 3074, or 5000-5010.");
    RuleRemark remark;
    if (missing.isEmpty()) {
        m_rule.devices = *devices;
        m_rule.ports = *ports;
        remark = remarkOn(m_presentation, m_rule, m_others, m_internal);
    }
    tell(m_remark, m_save, missing, remark);
}

UntranslatedEditor::UntranslatedEditor(const std::optional<Rule>& rule, std::vector<Rule> others,
                                       std::optional<Prefix> internal, QWidget* parent)
    : QDialog(parent),
      m_others(std::move(others)),
      m_internal(internal),
      m_rule(rule.value_or(Rule{}))
{
    setWindowTitle(rule ? tr("Destination without translation")
                        : tr("New destination without translation"));
    auto* column = new QVBoxLayout(this);
    setUpEditor(this, column);
    auto* form = makeEditorForm();
    m_destinations = new QLineEdit(rule ? textOf(rule->destinations) : QString(), this);
    m_destinations->setPlaceholderText(tr("An address, or a network like 198.51.100.0/24"));
    m_ports = makePortsField(m_rule.ports, tr("all; or 443, or 5000-5010: those over there"), this);
    form->addRow(labelFor(tr("&Destinations"), m_destinations, this), m_destinations);
    form->addRow(labelFor(tr("&Ports"), m_ports, this), m_ports);
    column->addLayout(form);
    auto* words = new SafeLabel(
        tr("The far side sees the devices' own addresses and must send its answers for %1 back to "
           "this computer; else nothing comes back.")
            .arg(internal ? textOf(*internal) : tr("the shared network")),
        this);
    words->muted().wrapping();
    column->addWidget(words);
    m_remark = new InlineMessage(this);
    column->addWidget(m_remark);
    m_save = addButtons(this, column, rule ? tr("Save") : tr("Add"));
    connect(this, &QDialog::accepted, this, [this] { Q_EMIT saved(m_rule); });
    for (QLineEdit* field : {m_destinations, m_ports})
        connect(field, &QLineEdit::textChanged, this, &UntranslatedEditor::check);
    check();
    m_destinations->setFocus();
}

void UntranslatedEditor::check()
{
    const auto destinations = Prefix::parse(m_destinations->text().trimmed().toStdString());
    const auto ports = portsIn(*m_ports);
    QString missing;
    if (!destinations)
        missing = tr("Which destinations? An address or a network.");
    else if (!ports)
        missing = tr("Ports are numbers from 1 to 65535: 443, or 5000-5010.");
    RuleRemark remark;
    if (missing.isEmpty()) {
        m_rule = {*destinations, *ports};
        const bool there = std::find(m_others.begin(), m_others.end(), m_rule) != m_others.end();
        remark = there ? RuleRemark{Meaning::Bad, tr("That rule is there already.")}
                       : remarkOn(m_rule, m_others, m_internal);
    }
    tell(m_remark, m_save, missing, remark);
}

}  // namespace ui
