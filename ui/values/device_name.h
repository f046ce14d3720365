#pragma once

#include "engine/net/ipv4_address.h"

#include <QString>

namespace ui {

/// What is known about a device besides its counters. Names come from DHCP, from the vendor table
/// or from the user, so they are hostile text.
struct DeviceName {
    engine::net::Ipv4Address address;
    QString name;  ///< may be empty
    QString hardwareAddress;
    QString vendor;  ///< may be empty
    bool online = true;
    friend bool operator==(const DeviceName&, const DeviceName&) = default;
};

}  // namespace ui
