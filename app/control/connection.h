#pragma once

#include "app/control/frame.h"

#include <QJsonObject>
#include <QLocalSocket>
#include <QString>

#include <chrono>
#include <memory>

namespace app::control {

/// Why a request came to nothing.
struct RequestError {
    enum class Kind : std::uint8_t {
        NobodyThere,  ///< no router listens there
        Denied,       ///< a router listens there that this user may not talk to
        Untrusted,    ///< somebody listens who is neither root nor us
        Lost,         ///< the connection broke or the answer is no answer
        Refused,      ///< the router said no; `word` and `sentence` are its own
    };
    Kind kind = Kind::Lost;
    QString word;
    QString sentence;  ///< English, for people
};

/// One conversation with a router over its control socket, for programs that have nothing to do
/// but wait for the answer. Checks who listens before it says anything.
class Connection {
public:
    static engine::Result<Connection, RequestError> open(const QString& path);

    engine::Result<QJsonObject, RequestError> request(const QString& verb,
                                                      const QJsonObject& arguments = {});
    /// What a router pushes after `watch`; none if nothing came in time.
    engine::Result<std::optional<QJsonObject>, RequestError> nextPush(
        std::chrono::milliseconds wait);

private:
    explicit Connection(std::unique_ptr<QLocalSocket> socket) : m_socket(std::move(socket)) {}
    engine::Result<std::optional<QJsonObject>, RequestError> receive(
        std::chrono::milliseconds wait);

    std::unique_ptr<QLocalSocket> m_socket;
    FrameReader m_reader{kMostAnswer};
    int m_nextId = 1;
};

/// Root and ourselves are trusted to be the router.
[[nodiscard]] bool isTrustedServer(const QLocalSocket& socket);

}  // namespace app::control
