#pragma once

#include <QString>
#include <QStringList>

#include <cstdint>

namespace ui {

/// One network card as the start page offers it.
struct InterfaceChoice {
    QString name;           ///< the system's name: enp3s0
    QString description;    ///< for people: vendor, "Wi-Fi", "USB Ethernet"; may be empty
    QStringList addresses;  ///< with prefix length: 192.0.2.7/24
    QString hardwareAddress;
    bool linkUp = false;
    bool hasDefaultRoute = false;  ///< evidence for the internet's side
    std::uint32_t megabits = 0;    ///< 0: unknown
    bool usable = true;
    QString whyNot;  ///< if not usable: one sentence
    friend bool operator==(const InterfaceChoice&, const InterfaceChoice&) = default;
};

}  // namespace ui
