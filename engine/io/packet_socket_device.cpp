#include "engine/io/packet_socket_device.h"

#include "engine/io/offload.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>

namespace engine::io {

namespace {

constexpr std::size_t kEthernetHeader = 14;
/// Where a frame begins in its slot: room for headers, and the IPv4 header on a multiple of four.
constexpr std::size_t kFrameStart = 66;
static_assert(kFrameStart >= kHeadroom && (kFrameStart + kEthernetHeader) % 4 == 0);
/// Slots are not a multiple of the page apart, or the same octet of all frames would compete for
/// the same cache lines.
constexpr std::size_t kSlot = kFrameStart + kFrameCapacity + 190;
/// Octets the kernel may keep for us: some 8 ms at 10 Gbit/s.
constexpr int kReceiveBuffer = 16 << 20;
constexpr int kSendBuffer = 4 << 20;

// clang-format off
/// IPv4 and ARP, untagged, not for another station.
std::array<sock_filter, 9> filterProgram()
{
    const auto ancillary = [](int what) { return static_cast<std::uint32_t>(SKF_AD_OFF + what); };
    return {{
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, ancillary(SKF_AD_VLAN_TAG_PRESENT)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 5, 0},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, ancillary(SKF_AD_PKTTYPE)},
        {BPF_JMP | BPF_JEQ | BPF_K, 3, 0, PACKET_OTHERHOST},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, ancillary(SKF_AD_PROTOCOL)},
        {BPF_JMP | BPF_JEQ | BPF_K, 2, 0, ETH_P_IP},
        {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ETH_P_ARP},
        {BPF_RET | BPF_K, 0, 0, 0},
        {BPF_RET | BPF_K, 0, 0, 1U << 18U},
    }};
}
// clang-format on

DeviceError systemError(const char* what)
{
    const auto kind = errno == EPERM || errno == EACCES ? DeviceError::Kind::NoPrivilege
                                                        : DeviceError::Kind::Other;
    return {kind, std::string{what} + ": " + std::strerror(errno)};
}

template <typename T>
bool setOption(int socket, int level, int option, const T& value)
{
    return ::setsockopt(socket, level, option, &value, sizeof value) == 0;
}

}  // namespace

struct PacketSocketDevice::Batches {
    std::unique_ptr<std::uint8_t[]> slots =
        std::make_unique_for_overwrite<std::uint8_t[]>(kBatch * kSlot);
    std::array<mmsghdr, kBatch> receive{};
    std::array<iovec, kBatch> receiveInto{};
    std::array<mmsghdr, kBatch> send{};
    std::array<iovec, kBatch> sendFrom{};
    sockaddr_ll rawAddress{};
    std::unique_ptr<std::uint8_t[]> scratch =
        std::make_unique_for_overwrite<std::uint8_t[]>(kFrameStart + kFrameCapacity);

    [[nodiscard]] std::uint8_t* slot(std::size_t i) { return slots.get() + i * kSlot; }
    Batches()
    {
        for (std::size_t i = 0; i < kBatch; ++i) {
            receiveInto[i] = {slot(i) + kFrameStart - kOffloadHeader,
                              kFrameCapacity + kOffloadHeader};
            receive[i].msg_hdr.msg_iov = &receiveInto[i];
            receive[i].msg_hdr.msg_iovlen = 1;
            send[i].msg_hdr.msg_iov = &sendFrom[i];
            send[i].msg_hdr.msg_iovlen = 1;
        }
    }
};

Result<std::unique_ptr<PacketSocketDevice>, DeviceError> PacketSocketDevice::open(
    const std::string& interface, LinkKind kind)
{
    const unsigned index = ::if_nametoindex(interface.c_str());
    if (index == 0) {
        return Err{DeviceError{DeviceError::Kind::NoSuchInterface, "there is no " + interface}};
    }
    // Protocol 0: nothing arrives before the filter and the interface are set.
    Descriptor socket{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket) return Err{systemError("packet socket")};
    const int fd = socket.number();
    auto program = filterProgram();
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    if (!setOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, filter)) {
        return Err{systemError("packet filter")};
    }
    if (!setOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1)) {
        return Err{systemError("offload descriptors (PACKET_VNET_HDR)")};
    }
    if (!setOption(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)) {
        return Err{systemError("PACKET_IGNORE_OUTGOING")};
    }
    // With privilege beyond the system's limit, else up to it.
    if (!setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, kReceiveBuffer)) {
        (void)setOption(fd, SOL_SOCKET, SO_RCVBUF, kReceiveBuffer);
    }
    if (!setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, kSendBuffer)) {
        (void)setOption(fd, SOL_SOCKET, SO_SNDBUF, kSendBuffer);
    }
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(index);
    const void* raw = &address;
    if (::bind(fd, static_cast<const sockaddr*>(raw), sizeof address) != 0) {
        return Err{systemError("bind")};
    }
    return std::unique_ptr<PacketSocketDevice>{
        new PacketSocketDevice{std::move(socket), kind, static_cast<int>(index)}};
}

PacketSocketDevice::PacketSocketDevice(Descriptor socket, LinkKind kind, int index)
    : m_kind(kind),
      m_linkHeader(kind == LinkKind::Ethernet ? kEthernetHeader : 0),
      m_socket(std::move(socket)),
      m_batches(std::make_unique<Batches>())
{
    if (kind == LinkKind::Ethernet) return;
    // Without a link header nothing in the frame says that it is IPv4; the address does.
    m_batches->rawAddress.sll_family = AF_PACKET;
    m_batches->rawAddress.sll_protocol = htons(ETH_P_IP);
    m_batches->rawAddress.sll_ifindex = index;
    for (auto& message : m_batches->send) {
        message.msg_hdr.msg_name = &m_batches->rawAddress;
        message.msg_hdr.msg_namelen = sizeof m_batches->rawAddress;
    }
}

PacketSocketDevice::~PacketSocketDevice() = default;

std::size_t PacketSocketDevice::fillFromCut(std::span<Frame> frames)
{
    m_handedOut.clear();
    std::size_t filled = 0;
    while (filled < frames.size() && !m_cut.empty()) {
        auto& buffer = m_handedOut.emplace_back(std::move(m_cut.front()));
        m_cut.pop_front();
        frames[filled++] = Frame{buffer.data() + kFrameStart,
                                 static_cast<std::uint32_t>(buffer.size() - kFrameStart),
                                 wire::ChecksumState::Complete, 0};
    }
    return filled;
}

std::size_t PacketSocketDevice::receive(std::span<Frame> frames)
{
    std::size_t filled = fillFromCut(frames);
    const std::size_t wanted = std::min(frames.size() - filled, kBatch);
    if (wanted == 0) return filled;
    const int got = ::recvmmsg(m_socket.number(), m_batches->receive.data(),
                               static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
    if (got < 0) {
        // A packet whose offload cannot be described is lost alone; a card that went down comes
        // back.
        if (errno == EINVAL) ++m_counters.receiveRefused;
        if (errno == ENODEV || errno == ENXIO || errno == EBADF) m_failure = "the card is gone";
        return filled;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
        const std::size_t length = m_batches->receive[i].msg_len;
        if (length < kOffloadHeader + m_linkHeader) continue;
        std::uint8_t* data = m_batches->slot(i) + kFrameStart;
        const std::size_t octets = length - kOffloadHeader;
        wire::Packet packet{{data + m_linkHeader, octets - m_linkHeader}};
        const auto result = readOffload(
            std::span<const std::uint8_t, kOffloadHeader>{data - kOffloadHeader, kOffloadHeader},
            m_linkHeader, packet);
        if (result.reading == OffloadReading::Carried) {
            frames[filled++] = Frame{data, static_cast<std::uint32_t>(octets), packet.checksum,
                                     packet.segmentPayload};
            continue;
        }
        const bool cut =
            result.reading == OffloadReading::Nested &&
            segmentNested(packet, result.innerTransport, {m_batches->scratch.get(), kFrameCapacity},
                          [&](wire::ConstBytes part) {
                              std::vector<std::uint8_t> buffer(kFrameStart + m_linkHeader);
                              std::copy_n(data, m_linkHeader, buffer.begin() + kFrameStart);
                              buffer.insert(buffer.end(), part.begin(), part.end());
                              m_cut.push_back(std::move(buffer));
                          });
        if (!cut) ++m_counters.receiveRefused;
    }
    m_counters.received += static_cast<std::uint64_t>(got);
    if (filled == 0 || !m_cut.empty()) filled += fillFromCut(frames.subspan(filled));
    return filled;
}

std::size_t PacketSocketDevice::send(std::span<const Frame> frames)
{
    std::size_t taken = 0;
    while (!frames.empty()) {
        const std::size_t count = std::min(frames.size(), kBatch);
        for (std::size_t i = 0; i < count; ++i) {
            const Frame& frame = frames[i];
            std::uint8_t* header = frame.data - kOffloadHeader;
            writeOffload(std::span<std::uint8_t, kOffloadHeader>{header, kOffloadHeader},
                         m_linkHeader,
                         {{frame.data + m_linkHeader, frame.length - m_linkHeader},
                          frame.checksum,
                          frame.segmentPayload});
            m_batches->sendFrom[i] = {header, frame.length + kOffloadHeader};
        }
        std::size_t done = 0;
        while (done < count) {
            const int sent = ::sendmmsg(m_socket.number(), m_batches->send.data() + done,
                                        static_cast<unsigned>(count - done), MSG_DONTWAIT);
            if (sent > 0) {
                done += static_cast<std::size_t>(sent);
                taken += static_cast<std::size_t>(sent);
                continue;
            }
            if (errno == EINTR) continue;
            if (errno == EAGAIN || errno == ENOBUFS || errno == ENETDOWN || errno == ENXIO ||
                errno == ENODEV) {
                break;  // full or down: the rest of the batch is lost
            }
            // This one alone was refused, perhaps because an older kernel cannot cut it.
            if (errno == EINVAL && sendInSegments(frames[done])) ++taken;
            ++done;
        }
        frames = frames.subspan(count);
        m_counters.sendLost += count - done;
    }
    m_counters.sent += taken;
    return taken;
}

bool PacketSocketDevice::sendInSegments(const Frame& frame)
{
    if (frame.segmentPayload == 0 || frame.length <= m_linkHeader) return false;
    std::vector<std::uint8_t> out;
    bool all = true;
    const bool cut = segment(
        {{frame.data + m_linkHeader, frame.length - m_linkHeader},
         frame.checksum,
         frame.segmentPayload},
        {m_batches->scratch.get(), kFrameCapacity}, [&](wire::ConstBytes part) {
            out.assign(kOffloadHeader, 0);
            out.insert(out.end(), frame.data, frame.data + m_linkHeader);
            out.insert(out.end(), part.begin(), part.end());
            all = ::send(m_socket.number(), out.data(), out.size(), MSG_DONTWAIT) > 0 && all;
        });
    return cut && all;
}

DeviceCounters PacketSocketDevice::counters()
{
    tpacket_stats statistics{};
    socklen_t length = sizeof statistics;
    // Reading resets the kernel's counter.
    if (::getsockopt(m_socket.number(), SOL_PACKET, PACKET_STATISTICS, &statistics, &length) == 0) {
        m_counters.receiveLost += statistics.tp_drops;
    }
    return m_counters;
}

}  // namespace engine::io
