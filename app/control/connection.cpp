#include "app/control/connection.h"

#include "app/control/socket_path.h"

#include <QDeadlineTimer>

#include <utility>

#include <unistd.h>

namespace app::control {

using namespace std::chrono_literals;
using engine::Err;
using engine::Result;

namespace {
/// Ours: longer than any answer takes on a busy router with a large history.
constexpr auto kAnswerWithin = 30s;
}  // namespace

bool isTrustedServer(const QLocalSocket& socket)
{
    const auto peer = peerOf(socket.socketDescriptor());
    return peer && (peer->user == 0 || peer->user == ::geteuid());
}

Result<Connection, RequestError> Connection::open(const QString& path)
{
    auto socket = std::make_unique<QLocalSocket>();
    socket->connectToServer(path);
    if (!socket->waitForConnected(2000)) {
        const bool denied = socket->error() == QLocalSocket::SocketAccessError;
        return Err{RequestError{
            denied ? RequestError::Kind::Denied : RequestError::Kind::NobodyThere,
            denied ? QStringLiteral("denied") : QStringLiteral("nobody-there"),
            denied ? QStringLiteral("You may not talk to the router at %1; root and members "
                                    "of its group may.")
                         .arg(path)
                   : QStringLiteral("No router answers at %1; is underpassd running?").arg(path)}};
    }
    if (!isTrustedServer(*socket)) {
        return Err{RequestError{
            RequestError::Kind::Untrusted, QStringLiteral("untrusted"),
            QStringLiteral("Whoever listens at %1 is neither root nor you.").arg(path)}};
    }
    return Connection{std::move(socket)};
}

Result<std::optional<QJsonObject>, RequestError> Connection::receive(std::chrono::milliseconds wait)
{
    const QDeadlineTimer deadline(wait);
    while (true) {
        auto message = m_reader.next();
        if (!message) {
            return Err{RequestError{RequestError::Kind::Lost, QStringLiteral("bad-frame"),
                                    QStringLiteral("The router's answer cannot be read.")}};
        }
        if (*message) return std::move(*message);
        if (m_socket->bytesAvailable() == 0 &&
            !m_socket->waitForReadyRead(static_cast<int>(deadline.remainingTime()))) {
            if (m_socket->state() == QLocalSocket::ConnectedState)
                return std::optional<QJsonObject>{};
            if (m_socket->bytesAvailable() == 0) {
                return Err{RequestError{RequestError::Kind::Lost, QStringLiteral("lost"),
                                        QStringLiteral("The router has closed the connection.")}};
            }
        }
        m_reader.append(m_socket->readAll());
    }
}

Result<QJsonObject, RequestError> Connection::request(const QString& verb,
                                                      const QJsonObject& arguments)
{
    const int id = m_nextId++;
    m_socket->write(framed({{QStringLiteral("id"), id},
                            {QStringLiteral("verb"), verb},
                            {QStringLiteral("arguments"), arguments}}));
    m_socket->flush();
    const QDeadlineTimer deadline(kAnswerWithin);
    while (!deadline.hasExpired()) {
        auto message = receive(std::chrono::milliseconds(deadline.remainingTime()));
        if (!message) return Err{message.error()};
        if (!*message) break;
        QJsonObject answer = std::move(**message);
        const QString word = answer.value(QStringLiteral("error")).toString();
        const bool ours = answer.value(QStringLiteral("id")).toInteger() == id;
        if (!word.isEmpty() && (ours || !answer.contains(QStringLiteral("id")))) {
            return Err{RequestError{RequestError::Kind::Refused, word,
                                    answer.value(QStringLiteral("sentence")).toString()}};
        }
        if (ours) return answer;
    }
    return Err{RequestError{RequestError::Kind::Lost, QStringLiteral("timeout"),
                            QStringLiteral("The router does not answer.")}};
}

Result<std::optional<QJsonObject>, RequestError> Connection::nextPush(
    std::chrono::milliseconds wait)
{
    return receive(wait);
}

}  // namespace app::control
