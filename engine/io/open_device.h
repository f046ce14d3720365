#pragma once

#include "engine/base/result.h"
#include "engine/io/device.h"
#include "engine/io/interfaces.h"

#include <memory>

namespace engine::io {

/// By which of the operating system's ways a card is opened.
enum class DeviceKind : std::uint8_t {
    Native,  ///< the fastest this system has; on Linux AF_PACKET (packet_socket_device.h)
    Pcap,    ///< libpcap, wherever it is; Ethernet only, without offloads (pcap_device.h)
};

/// Opens a card; the only place that knows which device belongs to which system. A system without a
/// native device of ours opens Pcap for both.
Result<std::unique_ptr<Device>, DeviceError> openDevice(const Interface& card, DeviceKind kind);

}  // namespace engine::io
