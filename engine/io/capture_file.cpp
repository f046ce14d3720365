#include "engine/io/capture_file.h"

#include <algorithm>
#include <array>
#include <pcap/pcap.h>
#include <utility>
#include <vector>

namespace engine::io {

namespace {

constexpr std::uint16_t kTypeIpv4 = 0x0800;
constexpr std::uint16_t kTypeVlan = 0x8100;
constexpr std::uint16_t kTypeServiceVlan = 0x88a8;
constexpr std::uint16_t kTypePppoe = 0x8864;
constexpr std::uint16_t kPppIpv4 = 0x0021;
/// Address family 2 in the four octets of BSD loopback frames, by whichever CPU wrote them.
constexpr std::uint32_t kFamilyInet = 2;
constexpr std::uint32_t kFamilyInetSwapped = 0x02000000;
/// The largest frame of any kind that can hold an IPv4 packet.
constexpr std::uint32_t kMostOctets = 65536 + 256;

/// Follows tags and PPPoE from an EtherType at `at`.
std::optional<std::size_t> afterEtherType(wire::ConstBytes frame, std::size_t at)
{
    for (int tags = 0; tags < 3 && at + 2 <= frame.size(); ++tags) {
        const auto type = wire::load16(frame, at);
        at += 2;
        if (type == kTypeIpv4) return at;
        if (type == kTypePppoe) {
            if (at + 8 > frame.size() || wire::load16(frame, at + 6) != kPppIpv4) return {};
            return at + 8;
        }
        if (type != kTypeVlan && type != kTypeServiceVlan) return {};
        at += 2;
    }
    return {};
}

}  // namespace

std::optional<std::size_t> ipv4OffsetIn(int type, wire::ConstBytes frame)
{
    std::optional<std::size_t> at;
    switch (type) {
    case DLT_EN10MB: at = afterEtherType(frame, 12); break;
    case DLT_LINUX_SLL: at = afterEtherType(frame, 14); break;
    case DLT_LINUX_SLL2:
        if (frame.size() >= 20 && wire::load16(frame, 0) == kTypeIpv4) at = 20;
        break;
    case DLT_RAW:
    case DLT_IPV4: at = 0; break;
    case DLT_NULL:
    case DLT_LOOP:
        if (frame.size() >= 4 && (wire::load32(frame, 0) == kFamilyInet ||
                                  wire::load32(frame, 0) == kFamilyInetSwapped)) {
            at = 4;
        }
        break;
    default: break;
    }
    if (!at || *at + 20 > frame.size() || frame[*at] >> 4 != 4) return {};
    return at;
}

struct CaptureFile::Reader {
    std::unique_ptr<pcap_t, void (*)(pcap_t*)> file{nullptr, &::pcap_close};
    int linkType = 0;
    std::vector<std::uint8_t> copy;
};

CaptureFile::CaptureFile(std::unique_ptr<Reader> reader) : m_reader(std::move(reader)) {}
CaptureFile::~CaptureFile() = default;

Result<std::unique_ptr<CaptureFile>, std::string> CaptureFile::open(const std::string& path)
{
    std::array<char, PCAP_ERRBUF_SIZE> why{};
    auto reader = std::make_unique<Reader>();
    reader->file.reset(::pcap_open_offline_with_tstamp_precision(
        path.c_str(), PCAP_TSTAMP_PRECISION_NANO, why.data()));
    if (!reader->file) return Err{path + " cannot be read as a capture: " + why.data()};
    reader->linkType = ::pcap_datalink(reader->file.get());
    switch (reader->linkType) {
    case DLT_EN10MB:
    case DLT_LINUX_SLL:
    case DLT_LINUX_SLL2:
    case DLT_RAW:
    case DLT_IPV4:
    case DLT_NULL:
    case DLT_LOOP: break;
    default: {
        const char* name = ::pcap_datalink_val_to_name(reader->linkType);
        return Err{path + " holds frames of a kind that is not understood: " +
                   (name != nullptr ? name : std::to_string(reader->linkType))};
    }
    }
    return std::unique_ptr<CaptureFile>{new CaptureFile{std::move(reader)}};
}

std::optional<CapturedPacket> CaptureFile::next()
{
    while (m_trouble.empty()) {
        pcap_pkthdr* header = nullptr;
        const u_char* data = nullptr;
        const int got = ::pcap_next_ex(m_reader->file.get(), &header, &data);
        if (got == PCAP_ERROR_BREAK) return {};
        if (got != 1 || header == nullptr || data == nullptr) {
            m_trouble = ::pcap_geterr(m_reader->file.get());
            if (m_trouble.empty()) m_trouble = "unreadable";
            return {};
        }
        const wire::ConstBytes frame{data, std::min(header->caplen, kMostOctets)};
        const auto at = ipv4OffsetIn(m_reader->linkType, frame);
        if (!at) {
            ++m_skipped;
            continue;
        }
        auto packet = frame.subspan(*at);
        // Ethernet's padding is not the packet's.
        const std::size_t total = wire::load16(packet, 2);
        const bool whole = total <= packet.size();
        if (total >= 20 && whole) packet = packet.first(total);
        m_reader->copy.assign(packet.begin(), packet.end());
        return CapturedPacket{Instant{std::chrono::seconds{header->ts.tv_sec} +
                                      std::chrono::nanoseconds{header->ts.tv_usec}},
                              m_reader->copy, whole};
    }
    return {};
}

}  // namespace engine::io
