#pragma once

#include "engine/net/direction.h"

#include <cstddef>
#include <cstdint>

namespace engine::passthrough {

/// Recognises the outline of an SSTP connection ([MS-SSTP] §4) behind TLS by the lengths of its
/// application records: an HTTP request and answer without bodies, the call request and its
/// acknowledgement, and then PPP's small negotiation both ways. Never more than a guess.
class SstpOutline {
public:
    /// Takes the next application record of the connection, in the order seen. True once the
    /// outline is complete.
    bool take(net::Direction direction, std::size_t length);
    /// False once it cannot be SSTP any more.
    [[nodiscard]] bool isPossible() const { return m_step != Step::Failed; }

private:
    enum class Step : std::uint8_t {
        Request,
        Answer,
        CallRequest,
        CallAnswer,
        Negotiation,
        Failed,
        Done
    };

    Step m_step = Step::Request;
    std::uint8_t m_skipped = 0;
    std::uint8_t m_fromClient = 0;
    std::uint8_t m_fromServer = 0;
};

}  // namespace engine::passthrough
