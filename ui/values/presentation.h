#pragma once

#include "engine/snapshot.h"
#include "ui/format/format.h"
#include "ui/values/device_name.h"

#include <QDateTime>

#include <map>

namespace ui {

/// What turns engine values into text: units, names of devices, and where the engine's clock stands
/// on the wall. One per window; pages and models hold a reference and are told when it changed.
struct Presentation {
    Format format;
    std::map<engine::net::Ipv4Address, DeviceName> devices;
    engine::Instant now;  ///< of the latest snapshot
    QDateTime wallClock;  ///< when that was

    /// The device's name, made safe; its address if it has none.
    [[nodiscard]] QString deviceName(engine::net::Ipv4Address address) const
    {
        const auto found = devices.find(address);
        if (found == devices.end()) return textOf(address);
        const QString name = safeText(found->second.name, 40);
        return name.isEmpty() ? textOf(address) : name;
    }
    [[nodiscard]] bool isNamed(engine::net::Ipv4Address address) const
    {
        const auto found = devices.find(address);
        return found != devices.end() && !safeText(found->second.name, 40).isEmpty();
    }
    /// "Anna-Laptop (192.0.2.7)", or the address alone.
    [[nodiscard]] QString deviceNameAndAddress(engine::net::Ipv4Address address) const
    {
        return isNamed(address)
                   ? deviceName(address) + QStringLiteral(" (") + textOf(address) + QLatin1Char(')')
                   : textOf(address);
    }
    /// The same for what history keeps, whose clock counts from 1970.
    [[nodiscard]] Presentation ofHistory() const
    {
        Presentation past = *this;
        past.now = engine::Instant{std::chrono::milliseconds(wallClock.toMSecsSinceEpoch())};
        return past;
    }
    [[nodiscard]] QDateTime timeOf(engine::Instant at) const
    {
        const auto before = std::chrono::duration_cast<std::chrono::milliseconds>(now - at).count();
        return wallClock.addMSecs(-before);
    }
};

}  // namespace ui
