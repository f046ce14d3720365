#include "engine/io/pcap_device.h"

#include "engine/io/offload.h"

#include <algorithm>
#include <array>
#include <pcap/pcap.h>
#include <utility>

namespace engine::io {

namespace {

constexpr std::size_t kEthernetHeader = 14;
constexpr std::size_t kFrameStart = 66;
constexpr std::size_t kSlot = kFrameStart + kFrameCapacity + 190;
constexpr int kBuffer = 16 << 20;
/// IPv4 and ARP without VLAN tag, and nothing that another station sends to another.
constexpr const char* kFilter = "(ip or arp) and not vlan";

}  // namespace

struct PcapDevice::Handle {
    std::unique_ptr<pcap_t, void (*)(pcap_t*)> pcap{nullptr, &::pcap_close};
};

Result<std::unique_ptr<PcapDevice>, DeviceError> PcapDevice::open(const std::string& interface,
                                                                  std::uint16_t mtu)
{
    std::array<char, PCAP_ERRBUF_SIZE> why{};
    auto handle = std::make_unique<Handle>();
    handle->pcap.reset(::pcap_create(interface.c_str(), why.data()));
    if (!handle->pcap) return Err{DeviceError{DeviceError::Kind::Other, why.data()}};
    pcap_t* pcap = handle->pcap.get();
    (void)::pcap_set_snaplen(pcap, static_cast<int>(kFrameCapacity));
    (void)::pcap_set_promisc(pcap, 0);
    (void)::pcap_set_immediate_mode(pcap, 1);
    (void)::pcap_set_buffer_size(pcap, kBuffer);
    const int activated = ::pcap_activate(pcap);
    if (activated < 0) {
        const auto kind = activated == PCAP_ERROR_PERM_DENIED ? DeviceError::Kind::NoPrivilege
                          : activated == PCAP_ERROR_NO_SUCH_DEVICE
                              ? DeviceError::Kind::NoSuchInterface
                              : DeviceError::Kind::Other;
        return Err{DeviceError{kind, ::pcap_geterr(pcap)}};
    }
    if (::pcap_datalink(pcap) != DLT_EN10MB) {
        return Err{DeviceError{DeviceError::Kind::Other, "the card is not Ethernet"}};
    }
    bpf_program filter{};
    if (::pcap_compile(pcap, &filter, kFilter, 1, PCAP_NETMASK_UNKNOWN) != 0) {
        return Err{DeviceError{DeviceError::Kind::Other, ::pcap_geterr(pcap)}};
    }
    const int filtered = ::pcap_setfilter(pcap, &filter);
    ::pcap_freecode(&filter);
    if (filtered != 0 || ::pcap_setdirection(pcap, PCAP_D_IN) != 0 ||
        ::pcap_setnonblock(pcap, 1, why.data()) != 0) {
        return Err{DeviceError{DeviceError::Kind::Other, ::pcap_geterr(pcap)}};
    }
    return std::unique_ptr<PcapDevice>{new PcapDevice{std::move(handle), mtu}};
}

PcapDevice::PcapDevice(std::unique_ptr<Handle> handle, std::uint16_t mtu)
    : m_handle(std::move(handle)),
      m_descriptor(::pcap_get_selectable_fd(m_handle->pcap.get())),
      m_mtu(mtu),
      m_slots(std::make_unique_for_overwrite<std::uint8_t[]>(kBatch * kSlot)),
      m_scratch(kFrameCapacity)
{}

PcapDevice::~PcapDevice() = default;

std::size_t PcapDevice::receive(std::span<Frame> frames)
{
    std::size_t filled = 0;
    while (filled < std::min(frames.size(), kBatch)) {
        pcap_pkthdr* header = nullptr;
        const u_char* data = nullptr;
        const int got = ::pcap_next_ex(m_handle->pcap.get(), &header, &data);
        if (got < 0) m_failure = ::pcap_geterr(m_handle->pcap.get());
        if (got != 1) break;
        ++m_counters.received;
        if (header->caplen < kEthernetHeader || header->caplen < header->len ||
            header->caplen > kFrameCapacity) {
            ++m_counters.receiveRefused;
            continue;
        }
        std::uint8_t* slot = m_slots.get() + filled * kSlot + kFrameStart;
        std::copy_n(data, header->caplen, slot);
        const wire::ConstBytes packet{slot + kEthernetHeader, header->caplen - kEthernetHeader};
        frames[filled++] = Frame{slot, header->caplen, guessChecksumState(packet),
                                 segmentPayloadFor(packet, m_mtu)};
    }
    return filled;
}

std::size_t PcapDevice::send(std::span<const Frame> frames)
{
    std::size_t taken = 0;
    for (const auto& frame : frames) {
        if (frame.length < kEthernetHeader) continue;
        wire::Packet packet{{frame.data + kEthernetHeader, frame.length - kEthernetHeader},
                            frame.checksum,
                            frame.segmentPayload};
        if (packet.segmentPayload == 0)
            packet.segmentPayload = segmentPayloadFor(packet.bytes, m_mtu);
        bool all = true;
        const bool cut = segment(packet, m_scratch, [&](wire::ConstBytes part) {
            m_frame.assign(frame.data, frame.data + kEthernetHeader);
            m_frame.insert(m_frame.end(), part.begin(), part.end());
            all = ::pcap_inject(m_handle->pcap.get(), m_frame.data(), m_frame.size()) >= 0 && all;
        });
        if (cut && all) {
            ++taken;
        } else {
            ++m_counters.sendLost;
        }
    }
    m_counters.sent += taken;
    return taken;
}

DeviceCounters PcapDevice::counters()
{
    pcap_stat statistics{};
    if (::pcap_stats(m_handle->pcap.get(), &statistics) == 0) {
        m_counters.receiveLost = statistics.ps_drop;
    }
    return m_counters;
}

}  // namespace engine::io
