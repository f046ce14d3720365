#include "ui/pages/rule_editors.h"

#include "ui/models/rule_models.h"
#include "ui/text/words.h"

#include <QCheckBox>
#include <QComboBox>
#include <QDialogButtonBox>
#include <QFormLayout>
#include <QLineEdit>

namespace ui {

using engine::net::IpProtocol;
using engine::net::Ipv4Address;
using engine::net::Port;
using engine::policy::PortForward;

namespace {

constexpr IpProtocol kProtocols[] = {IpProtocol::Tcp,  IpProtocol::Udp,    IpProtocol::Gre,
                                     IpProtocol::Esp,  IpProtocol::L2tpV3, IpProtocol::SixInFour,
                                     IpProtocol::IpIp, IpProtocol::EtherIp};

}  // namespace

void setUpEditor(QDialog* dialog, QVBoxLayout* column)
{
    column->setContentsMargins(kGapPage, kGapPage, kGapPage, kGapPage);
    column->setSpacing(kGapWide);
    dialog->setMinimumWidth(480);
    dialog->setAttribute(Qt::WA_DeleteOnClose);
}

QFormLayout* makeEditorForm()
{
    auto* form = new QFormLayout;
    form->setHorizontalSpacing(kGapWide);
    form->setVerticalSpacing(kGap);
    form->setFieldGrowthPolicy(QFormLayout::ExpandingFieldsGrow);
    return form;
}

SafeLabel* labelFor(const QString& text, QWidget* buddy, QWidget* parent)
{
    auto* label = new SafeLabel(text, parent);
    label->setBuddy(buddy);
    label->setMinimumHeight(30);
    buddy->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    buddy->setAccessibleName(QString(text).remove(QLatin1Char('&')));
    return label;
}

std::optional<engine::net::PortRange> parsePorts(const QString& text)
{
    QString clean = text;
    clean.replace(QChar(0x2013), QLatin1Char('-'));
    const QStringList parts = clean.split(QLatin1Char('-'));
    if (parts.size() > 2) return std::nullopt;
    const auto number = [](const QString& part) -> std::optional<Port> {
        bool good = false;
        const uint value = part.trimmed().toUInt(&good);
        if (!good || value == 0 || value > 65535) return std::nullopt;
        return Port{static_cast<std::uint16_t>(value)};
    };
    const auto first = number(parts.front());
    const auto last = number(parts.back());
    if (!first || !last) return std::nullopt;
    return engine::net::PortRange{*first, *last};
}

DevicePicker::DevicePicker(const Presentation& presentation, const QString& accessibleName,
                           QWidget* parent)
    : QWidget(parent), m_presentation(presentation), m_box(new QComboBox(this))
{
    auto* row = new QHBoxLayout(this);
    row->setContentsMargins(0, 0, 0, 0);
    row->addWidget(m_box);
    m_box->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    m_box->setEditable(true);
    m_box->setInsertPolicy(QComboBox::NoInsert);
    m_box->setAccessibleName(accessibleName);
    m_box->lineEdit()->setAccessibleName(accessibleName);
    m_box->lineEdit()->setPlaceholderText(tr("Device or address"));
    for (const auto& [address, device] : presentation.devices)
        m_box->addItem(presentation.deviceNameAndAddress(address), address.hostOrder());
    m_box->setCurrentIndex(-1);
    setFocusProxy(m_box);
    connect(m_box, &QComboBox::editTextChanged, this, &DevicePicker::edited);
}

void DevicePicker::setAddress(Ipv4Address address)
{
    if (address.isUnspecified()) {
        m_box->setCurrentIndex(-1);
        m_box->setEditText({});
        return;
    }
    const int at = m_box->findData(address.hostOrder());
    m_box->setCurrentIndex(at);
    if (at < 0) m_box->setEditText(textOf(address));
}

std::optional<Ipv4Address> DevicePicker::address() const
{
    const QString text = m_box->currentText().trimmed();
    const int at = m_box->findText(text);
    if (at >= 0) return Ipv4Address{m_box->itemData(at).toUInt()};
    for (const auto& [address, device] : m_presentation.devices) {
        if (!device.name.isEmpty() &&
            safeText(device.name, 40).compare(text, Qt::CaseInsensitive) == 0)
            return address;
    }
    return Ipv4Address::parse(text.toStdString());
}

void DevicePicker::setNetwork(const engine::net::Prefix& network)
{
    setAddress(network.length() == 32 ? network.network() : Ipv4Address{});
    if (network.length() < 32) m_box->setEditText(textOf(network));
}

std::optional<engine::net::Prefix> DevicePicker::network() const
{
    if (const auto one = address()) return engine::net::Prefix{*one, 32};
    return engine::net::Prefix::parse(m_box->currentText().trimmed().toStdString());
}

void DevicePicker::setHint(const QString& hint)
{
    m_box->lineEdit()->setPlaceholderText(hint);
}

PortForwardEditor::PortForwardEditor(const Presentation& presentation, const PortForward& forward,
                                     std::vector<PortForward> others,
                                     std::optional<engine::net::Prefix> internal, QWidget* parent)
    : QDialog(parent), m_others(std::move(others)), m_internal(internal), m_forward(forward)
{
    setWindowTitle(forward.id == 0 ? tr("New port forward") : tr("Port forward"));
    auto* column = new QVBoxLayout(this);
    setUpEditor(this, column);
    auto* form = makeEditorForm();
    m_name = new QLineEdit(safeText(forward.name, 48), this);
    m_name->setMaxLength(48);
    m_name->setPlaceholderText(tr("What is it for?"));
    m_protocol = new QComboBox(this);
    for (const IpProtocol protocol : kProtocols) {
        const QString name =
            engine::net::hasPorts(protocol)
                ? nameOf(protocol)
                : tr("%1 (protocol %2)").arg(nameOf(protocol)).arg(static_cast<int>(protocol));
        m_protocol->addItem(name, static_cast<int>(protocol));
    }
    m_protocol->setCurrentIndex(
        std::max(0, m_protocol->findData(static_cast<int>(forward.protocol))));
    m_ports = new QLineEdit(
        forward.externalPorts.first == Port{} ? QString() : textOf(forward.externalPorts), this);
    m_ports->setPlaceholderText(tr("443, or 5000-5010"));
    m_device = new DevicePicker(presentation, tr("To device"), this);
    m_device->setAddress(forward.internalAddress);
    m_internalPort = new QLineEdit(this);
    m_internalPort->setPlaceholderText(tr("the same"));
    if (forward.internalFirst != Port{} && forward.internalFirst != forward.externalPorts.first)
        m_internalPort->setText(QString::number(forward.internalFirst.hostOrder()));
    m_from = new QLineEdit(
        forward.allowedRemotes.length() == 0 ? QString() : textOf(forward.allowedRemotes), this);
    m_from->setPlaceholderText(tr("anywhere, or a network like 198.51.100.0/24"));
    m_hairpin = new QCheckBox(tr("Also for devices inside that use the &external address"), this);
    m_hairpin->setChecked(forward.hairpin);
    m_enabled = new QCheckBox(tr("&On"), this);
    m_enabled->setChecked(forward.enabled);
    form->addRow(labelFor(tr("&Name"), m_name, this), m_name);
    form->addRow(labelFor(tr("&Protocol"), m_protocol, this), m_protocol);
    form->addRow(labelFor(tr("E&xternal ports"), m_ports, this), m_ports);
    form->addRow(labelFor(tr("To &device"), m_device, this), m_device);
    form->addRow(labelFor(tr("Its &first port"), m_internalPort, this), m_internalPort);
    form->addRow(labelFor(tr("&Allowed from"), m_from, this), m_from);
    form->addRow(new QWidget(this), m_hairpin);
    form->addRow(new QWidget(this), m_enabled);
    column->addLayout(form);
    m_problem = new InlineMessage(this);
    column->addWidget(m_problem);
    auto* buttons = new QDialogButtonBox(this);
    m_save = makePrimaryButton(forward.id == 0 ? tr("Add") : tr("Save"), this);
    buttons->addButton(m_save, QDialogButtonBox::AcceptRole);
    auto* cancel = new QPushButton(tr("Cancel"), this);
    buttons->addButton(cancel, QDialogButtonBox::RejectRole);
    column->addWidget(buttons);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    connect(buttons, &QDialogButtonBox::accepted, this, [this] {
        Q_EMIT saved(m_forward);
        accept();
    });
    for (QLineEdit* edit : {m_name, m_ports, m_internalPort, m_from})
        connect(edit, &QLineEdit::textChanged, this, &PortForwardEditor::check);
    connect(m_protocol, &QComboBox::currentIndexChanged, this, &PortForwardEditor::check);
    connect(m_device, &DevicePicker::edited, this, &PortForwardEditor::check);
    connect(m_hairpin, &QCheckBox::toggled, this, &PortForwardEditor::check);
    connect(m_enabled, &QCheckBox::toggled, this, &PortForwardEditor::check);
    check();
    m_name->setFocus();
}

IpProtocol PortForwardEditor::protocol() const
{
    return static_cast<IpProtocol>(m_protocol->currentData().toInt());
}

void PortForwardEditor::check()
{
    const bool ports = engine::net::hasPorts(protocol());
    m_ports->setEnabled(ports);
    m_internalPort->setEnabled(ports);
    QString incomplete;
    m_forward.name = m_name->text().trimmed().toStdString();
    m_forward.protocol = protocol();
    m_forward.hairpin = m_hairpin->isChecked();
    m_forward.enabled = m_enabled->isChecked();
    m_forward.externalPorts = {};
    m_forward.internalFirst = {};
    if (ports) {
        const auto range = parsePorts(m_ports->text());
        if (range) {
            m_forward.externalPorts = *range;
            m_forward.internalFirst = range->first;
        } else {
            incomplete = m_ports->text().isEmpty()
                             ? tr("Which external ports?")
                             : tr("Ports are numbers from 1 to 65535, or two of them with a dash.");
        }
        if (!m_internalPort->text().trimmed().isEmpty()) {
            const auto first = parsePorts(m_internalPort->text());
            if (first && first->first == first->last) {
                m_forward.internalFirst = first->first;
                if (range && first->first.hostOrder() + range->size() - 1 > 65535)
                    incomplete = tr("The device's ports would go beyond 65535.");
            } else {
                incomplete = tr("The device's first port is one number from 1 to 65535.");
            }
        }
    }
    const auto device = m_device->address();
    m_forward.internalAddress = device.value_or(Ipv4Address{});
    if (incomplete.isEmpty() && !device) incomplete = tr("To which device?");
    const QString from = m_from->text().trimmed();
    m_forward.allowedRemotes = engine::net::Prefix{Ipv4Address{}, 0};
    if (!from.isEmpty()) {
        const auto prefix = engine::net::Prefix::parse(from.toStdString());
        if (prefix) {
            m_forward.allowedRemotes = *prefix;
        } else if (incomplete.isEmpty()) {
            incomplete = tr("“Allowed from” is an address or a network like 198.51.100.0/24.");
        }
    }
    const engine::net::PortRange gre{Port{47}, Port{47}};
    const bool judge = incomplete.isEmpty() || (ports && m_forward.externalPorts == gre);
    std::optional<engine::CommandError> problem;
    if (judge) {
        std::optional<engine::net::Prefix> within;
        if (device) within = m_internal;
        problem = problemOf(m_forward, m_others, within);
    }
    QString text = incomplete;
    if (problem) {
        text = sentenceOf(*problem) + QLatin1Char(' ') + adviceOn(*problem);
        if (*problem == engine::CommandError::ForwardsOverlap) {
            if (const PortForward* other = PortForwardModel::conflictOf(m_forward, m_others))
                text += QLatin1Char(' ') + tr("(It is “%1”.)").arg(safeText(other->name, 48));
        }
    }
    m_problem->setVisible(!text.isEmpty());
    m_problem->say(problem ? Meaning::Bad : Meaning::Neutral, text);
    m_save->setEnabled(text.isEmpty());
}

OneToOneEditor::OneToOneEditor(const Presentation& presentation,
                               const engine::policy::OneToOne& rule,
                               const std::vector<Ipv4Address>& external, QWidget* parent)
    : QDialog(parent), m_rule(rule)
{
    setWindowTitle(tr("One device, one external address"));
    auto* column = new QVBoxLayout(this);
    setUpEditor(this, column);
    auto* form = makeEditorForm();
    m_name = new QLineEdit(safeText(rule.name, 48), this);
    m_device = new DevicePicker(presentation, tr("Device"), this);
    m_device->setAddress(rule.internalAddress);
    m_externalAddress = new QComboBox(this);
    for (const Ipv4Address address : external)
        m_externalAddress->addItem(textOf(address), address.hostOrder());
    const int at = m_externalAddress->findData(rule.externalAddress.hostOrder());
    if (at >= 0) m_externalAddress->setCurrentIndex(at);
    form->addRow(labelFor(tr("&Name"), m_name, this), m_name);
    form->addRow(labelFor(tr("&Device"), m_device, this), m_device);
    form->addRow(labelFor(tr("&External address"), m_externalAddress, this), m_externalAddress);
    column->addLayout(form);
    auto* words = new SafeLabel(tr("The device owns that address with all its ports and protocols. "
                                   "Other devices cannot use it any more."),
                                this);
    words->muted().wrapping();
    column->addWidget(words);
    auto* buttons = new QDialogButtonBox(this);
    m_save = makePrimaryButton(tr("Save"), this);
    buttons->addButton(m_save, QDialogButtonBox::AcceptRole);
    buttons->addButton(new QPushButton(tr("Cancel"), this), QDialogButtonBox::RejectRole);
    column->addWidget(buttons);
    connect(buttons, &QDialogButtonBox::rejected, this, &QDialog::reject);
    connect(buttons, &QDialogButtonBox::accepted, this, [this] {
        m_rule.name = m_name->text().trimmed().toStdString();
        m_rule.internalAddress = m_device->address().value_or(Ipv4Address{});
        m_rule.externalAddress = Ipv4Address{m_externalAddress->currentData().toUInt()};
        Q_EMIT saved(m_rule);
        accept();
    });
    connect(m_device, &DevicePicker::edited, this, &OneToOneEditor::check);
    check();
}

void OneToOneEditor::check()
{
    m_save->setEnabled(m_device->address().has_value() && m_externalAddress->currentIndex() >= 0);
}

}  // namespace ui
