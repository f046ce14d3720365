#pragma once

#include "engine/base/result.h"
#include "engine/io/descriptor.h"
#include "engine/io/device.h"

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace engine::io {

/// A network card through an AF_PACKET socket. Segmentation and checksum offloads of the kernel
/// travel with the frames (PACKET_VNET_HDR), so a 64 KB TCP packet is one frame both ways. Sees
/// IPv4 and ARP that the card received for us or for everybody, without VLAN tag; never what this
/// host sends itself.
///
/// recvmmsg and sendmmsg rather than a mapped ring: a ring would hold a slot of 64 KB for every
/// small packet, and calls transmitted pages free again while the receiver still reads them.
class PacketSocketDevice final : public Device {
public:
    /// The socket is made here; needs CAP_NET_RAW.
    static Result<std::unique_ptr<PacketSocketDevice>, DeviceError> open(
        const std::string& interface, LinkKind kind);

    [[nodiscard]] LinkKind linkKind() const override { return m_kind; }
    [[nodiscard]] int descriptor() const override { return m_socket.number(); }
    std::size_t receive(std::span<Frame> frames) override;
    std::size_t send(std::span<const Frame> frames) override;
    [[nodiscard]] DeviceCounters counters() override;
    [[nodiscard]] std::string_view failure() const override { return m_failure; }

    ~PacketSocketDevice() override;

private:
    struct Batches;

    PacketSocketDevice(Descriptor socket, LinkKind kind, int index);
    std::size_t fillFromCut(std::span<Frame> frames);
    bool sendInSegments(const Frame& frame);

    LinkKind m_kind;
    std::size_t m_linkHeader;
    Descriptor m_socket;
    std::unique_ptr<Batches> m_batches;
    /// Segments of tunnelled packets that no descriptor describes, waiting to be handed out.
    std::deque<std::vector<std::uint8_t>> m_cut;
    std::vector<std::vector<std::uint8_t>> m_handedOut;
    DeviceCounters m_counters;
    std::string m_failure;
};

}  // namespace engine::io
