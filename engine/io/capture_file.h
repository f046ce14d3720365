#pragma once

#include "engine/base/result.h"
#include "engine/base/time.h"
#include "engine/wire/bytes.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace engine::io {

/// One IPv4 packet of a capture.
struct CapturedPacket {
    Instant at;                 ///< since the epoch of the capture's own clock, usually 1970
    wire::MutableBytes packet;  ///< from the IPv4 header on; valid until the next call
    bool whole = true;          ///< false: the capture kept only the beginning
};

/// Reads the IPv4 packets out of a pcap or pcapng file of Ethernet (tagged or not, PPPoE), raw IP,
/// Linux cooked (both versions) or BSD loopback frames. Skips what is not IPv4. Total: a hostile or
/// cut-off file ends early with trouble(), never worse.
class CaptureFile {
public:
    /// The error is one English sentence that names the file.
    static Result<std::unique_ptr<CaptureFile>, std::string> open(const std::string& path);
    ~CaptureFile();
    CaptureFile(const CaptureFile&) = delete;
    CaptureFile& operator=(const CaptureFile&) = delete;
    CaptureFile(CaptureFile&&) = delete;
    CaptureFile& operator=(CaptureFile&&) = delete;

    /// The next packet; none at the end.
    std::optional<CapturedPacket> next();
    /// Why reading ended before the end of the file; empty if it did not.
    [[nodiscard]] const std::string& trouble() const { return m_trouble; }
    /// Frames that were not IPv4.
    [[nodiscard]] std::uint64_t skipped() const { return m_skipped; }

private:
    struct Reader;
    explicit CaptureFile(std::unique_ptr<Reader> reader);

    std::unique_ptr<Reader> m_reader;
    std::string m_trouble;
    std::uint64_t m_skipped = 0;
};

/// Where the IPv4 header begins in a frame of libpcap's link type `type`; none if there is none.
[[nodiscard]] std::optional<std::size_t> ipv4OffsetIn(int type, wire::ConstBytes frame);

}  // namespace engine::io
