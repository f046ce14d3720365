#pragma once

#include "engine/policy/rules.h"
#include "ui/values/presentation.h"
#include "ui/widgets/building_blocks.h"

#include <QDialog>

#include <optional>

class QCheckBox;
class QComboBox;
class QFormLayout;
class QLineEdit;

namespace ui {

/// Lets the user pick a known device or type an address.
class DevicePicker final : public QWidget {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(DevicePicker)

public:
    DevicePicker(const Presentation& presentation, const QString& accessibleName, QWidget* parent);
    void setAddress(engine::net::Ipv4Address address);
    /// Nothing while what is typed is no address and no known name.
    [[nodiscard]] std::optional<engine::net::Ipv4Address> address() const;
    /// For rules about several devices: "192.0.2.0/24" counts, too.
    void setNetwork(const engine::net::Prefix& network);
    [[nodiscard]] std::optional<engine::net::Prefix> network() const;
    void setHint(const QString& hint);

Q_SIGNALS:
    void edited();

private:
    const Presentation& m_presentation;
    QComboBox* m_box;
};

/// One port forward. What the engine would refuse is said while it is typed.
class PortForwardEditor final : public QDialog {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(PortForwardEditor)

public:
    PortForwardEditor(const Presentation& presentation, const engine::policy::PortForward& forward,
                      std::vector<engine::policy::PortForward> others,
                      std::optional<engine::net::Prefix> internal, QWidget* parent);

Q_SIGNALS:
    void saved(const engine::policy::PortForward& forward);

private:
    void check();
    [[nodiscard]] engine::net::IpProtocol protocol() const;

    std::vector<engine::policy::PortForward> m_others;
    std::optional<engine::net::Prefix> m_internal;
    engine::policy::PortForward m_forward;
    QLineEdit* m_name;
    QComboBox* m_protocol;
    QLineEdit* m_ports;
    DevicePicker* m_device;
    QLineEdit* m_internalPort;
    QLineEdit* m_from;
    QCheckBox* m_hairpin;
    QCheckBox* m_enabled;
    InlineMessage* m_problem;
    QPushButton* m_save;
};

class OneToOneEditor final : public QDialog {
    Q_OBJECT
    Q_DISABLE_COPY_MOVE(OneToOneEditor)

public:
    OneToOneEditor(const Presentation& presentation, const engine::policy::OneToOne& rule,
                   const std::vector<engine::net::Ipv4Address>& external, QWidget* parent);

Q_SIGNALS:
    void saved(const engine::policy::OneToOne& rule);

private:
    void check();
    engine::policy::OneToOne m_rule;
    QLineEdit* m_name;
    DevicePicker* m_device;
    QComboBox* m_externalAddress;
    QPushButton* m_save;
};

/// What the editors of all rules look like.
void setUpEditor(QDialog* dialog, QVBoxLayout* column);
[[nodiscard]] QFormLayout* makeEditorForm();
/// Also gives the field its accessible name.
[[nodiscard]] SafeLabel* labelFor(const QString& text, QWidget* buddy, QWidget* parent);

/// "443", "5000-5010" or "5000–5010".
[[nodiscard]] std::optional<engine::net::PortRange> parsePorts(const QString& text);

}  // namespace ui
