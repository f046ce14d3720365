#pragma once

#include "engine/passthrough/passthrough.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "tests/engine/passthrough/traffic.h"

/// Plays conversations to a Passthrough as a NAT would show them, and keeps what came out.
class FlowPlayer {
public:
    static constexpr engine::net::Ipv4Address kClient{192, 0, 2, 10};
    static constexpr engine::net::Ipv4Address kExternal{198, 51, 100, 1};
    static constexpr engine::net::Ipv4Address kServer{203, 0, 113, 9};

    FlowPlayer() : m_passthrough(engine::HashKey{1, 2}) {}

    engine::passthrough::Passthrough& passthrough() { return m_passthrough; }

    struct Shown {
        engine::passthrough::FlowId flow = 0;
        std::uint32_t packets = 0;  ///< that were shown
        std::uint32_t dropped = 0;
        bool ignored = false;  ///< it has been let go
    };

    engine::passthrough::Flow open(engine::net::IpProtocol protocol, std::uint16_t serverPort,
                                   engine::net::Ipv4Address server = kServer)
    {
        engine::passthrough::Flow flow;
        flow.id = m_nextFlow++;
        flow.protocol = protocol;
        const engine::net::Port port{static_cast<std::uint16_t>(40000 + flow.id % 20000)};
        flow.internal = {kClient, port};
        flow.external = {kExternal, port};
        flow.remote = {server, engine::net::Port{serverPort}};
        return flow;
    }

    /// One packet; false once the flow has been let go.
    engine::passthrough::Attention show(const engine::passthrough::Flow& flow,
                                        engine::net::Direction direction,
                                        const traffic::Bytes& payload, std::uint32_t sequence = 0,
                                        std::uint8_t tcpFlags = 0)
    {
        engine::passthrough::Segment segment;
        segment.direction = direction;
        segment.payload = payload;
        segment.sequence = sequence;
        segment.tcpFlags = tcpFlags;
        engine::passthrough::Actions actions;
        const auto attention = m_passthrough.inspect(now, flow, segment, actions);
        std::ranges::move(actions.observations, std::back_inserter(observations));
        std::ranges::move(actions.attachments, std::back_inserter(attachments));
        std::ranges::move(actions.refusals, std::back_inserter(refusals));
        now += std::chrono::milliseconds(5);
        return attention;
    }

    /// A whole conversation as one flow; TCP with its handshake, segments of at most `segment`.
    Shown play(const traffic::Conversation& talk, std::size_t segment = 1400,
               engine::net::Ipv4Address server = kServer)
    {
        using engine::net::Direction;
        const auto flow = open(talk.protocol, talk.serverPort, server);
        Shown shown;
        shown.flow = flow.id;
        std::map<Direction, std::uint32_t> sequence{{Direction::Outbound, 0xfffffff0},
                                                    {Direction::Inbound, 1000}};
        const auto one = [&](Direction direction, const traffic::Bytes& payload,
                             std::uint8_t flags) {
            if (shown.ignored) return;
            const auto attention = show(flow, direction, payload, sequence[direction], flags);
            ++shown.packets;
            if (attention.fate == engine::passthrough::Attention::Fate::Drop) ++shown.dropped;
            shown.ignored = attention.next == engine::passthrough::Attention::Next::Ignore;
            sequence[direction] +=
                static_cast<std::uint32_t>(payload.size()) + ((flags & 2) != 0 ? 1 : 0);
        };
        const bool isTcp = talk.protocol == engine::net::IpProtocol::Tcp;
        if (isTcp) {
            one(Direction::Outbound, {}, 0x02);
            one(Direction::Inbound, {}, 0x12);
            one(Direction::Outbound, {}, 0x10);
        }
        for (const traffic::Message& message : talk.messages) {
            if (!isTcp) {
                one(message.direction, message.payload, 0);
                continue;
            }
            for (std::size_t at = 0; at < message.payload.size(); at += segment) {
                const std::size_t end = std::min(message.payload.size(), at + segment);
                one(message.direction,
                    traffic::Bytes(message.payload.begin() + static_cast<std::ptrdiff_t>(at),
                                   message.payload.begin() + static_cast<std::ptrdiff_t>(end)),
                    0x18);
            }
        }
        return shown;
    }

    void close(engine::passthrough::FlowId flow)
    {
        engine::passthrough::Actions actions;
        m_passthrough.flowClosed(now, flow, engine::passthrough::FlowEnd::Closed, actions);
    }

    /// The best label given so far, and how sure it is.
    struct Label {
        engine::net::VpnProtocol protocol;
        engine::tunnel::Confidence confidence;
    };
    std::optional<Label> label() const
    {
        std::optional<Label> best;
        for (const auto& observation : observations) {
            if (observation.kind != engine::tunnel::Observation::Kind::Label) continue;
            if (!best || observation.confidence >= best->confidence) {
                best = Label{observation.protocol, observation.confidence};
            }
        }
        return best;
    }
    int times(engine::tunnel::Observation::Kind kind) const
    {
        return static_cast<int>(
            std::ranges::count(observations, kind, &engine::tunnel::Observation::kind));
    }

    engine::Instant now{std::chrono::seconds(1000)};
    std::vector<engine::tunnel::Observation> observations;
    std::vector<engine::passthrough::Attachment> attachments;
    std::vector<engine::passthrough::FlowId> refusals;

private:
    engine::passthrough::Passthrough m_passthrough;
    engine::passthrough::FlowId m_nextFlow = 1;
};
