#include "engine/io/open_device.h"

#include "engine/io/packet_socket_device.h"
#include "engine/io/pcap_device.h"

#include <utility>

namespace engine::io {

namespace {

template <typename Opened>
Result<std::unique_ptr<Device>, DeviceError> asDevice(Opened opened)
{
    if (!opened) return Err{opened.error()};
    return std::unique_ptr<Device>{std::move(*opened)};
}

}  // namespace

Result<std::unique_ptr<Device>, DeviceError> openDevice(const Interface& card, DeviceKind kind)
{
    switch (kind) {
    case DeviceKind::Native:
        return asDevice(PacketSocketDevice::open(
            card.name, card.ethernet ? LinkKind::Ethernet : LinkKind::RawIp));
    case DeviceKind::Pcap: return asDevice(PcapDevice::open(card.name, card.mtu));
    }
    return Err{DeviceError{}};
}

}  // namespace engine::io
