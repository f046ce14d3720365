#include "app/ctl/context.h"

#include "app/control/json.h"
#include "app/ctl/text.h"

namespace app::ctl {

std::optional<QJsonObject> Context::ask(const QString& verb, const QJsonObject& arguments)
{
    if (!m_connection) {
        auto opened = control::Connection::open(QString::fromStdString(socket));
        if (!opened) {
            fail(opened.error().sentence);
            return std::nullopt;
        }
        m_connection = std::move(*opened);
    }
    auto answer = m_connection->request(verb, arguments);
    if (!answer) {
        fail(answer.error().sentence);
        return std::nullopt;
    }
    return *answer;
}

std::optional<bool> Context::asksSomebody()
{
    auto opened = control::Connection::open(QString::fromStdString(socket));
    if (opened) {
        m_connection = std::move(*opened);
        return true;
    }
    if (opened.error().kind == control::RequestError::Kind::NobodyThere) return false;
    fail(opened.error().sentence);
    return std::nullopt;
}

int Context::fail(const QString& sentence, int status)
{
    complain(QStringLiteral("underpassctl"), sentence);
    m_status = status;
    return status;
}

int Context::tell(const std::optional<QJsonObject>& answer)
{
    if (!answer) return m_status;
    if (json) {
        QJsonObject told = *answer;
        told.remove(QStringLiteral("id"));
        printJson(told);
    } else {
        print(answer->value(QStringLiteral("sentence")).toString() + QLatin1Char('\n'));
    }
    // In force but not saved is no success for a script that wants it to last.
    return answer->value(QStringLiteral("saved")).toBool(true) ? 0 : kExitFailed;
}

std::optional<Context::Effect> Context::effectOf(const engine::Command& command)
{
    const auto answer = ask(QStringLiteral("sessions-ended-by"), control::toJson(command));
    if (!answer) return std::nullopt;
    return Effect{static_cast<std::uint32_t>(answer->value(QStringLiteral("sessions")).toInteger()),
                  answer->value(QStringLiteral("sentence")).toString()};
}

int Context::apply(const engine::Command& command, std::optional<std::uint64_t> revision)
{
    if (dryRun) {
        const auto effect = effectOf(command);
        if (!effect) return m_status;
        if (json) {
            printJson(
                QJsonObject{{QStringLiteral("sessions"), static_cast<qint64>(effect->sessions)},
                            {QStringLiteral("effect"), effect->sentence}});
        } else {
            print(QStringLiteral("Nothing has been done. What this change means: ") +
                  (effect->sentence.isEmpty() ? QStringLiteral("no live session is concerned.\n")
                                              : effect->sentence + QLatin1Char('\n')));
        }
        return 0;
    }
    QJsonObject arguments = control::toJson(command);
    if (revision) arguments.insert(QStringLiteral("revision"), static_cast<qint64>(*revision));
    return tell(ask(QStringLiteral("apply"), arguments));
}

std::optional<Rules> Context::rules()
{
    const auto answer = ask(QStringLiteral("rules"));
    if (!answer) return std::nullopt;
    auto rules = control::fromJson<Rules>(answer->value(QStringLiteral("value")));
    if (!rules) {
        fail(QStringLiteral("The router's rules cannot be read (%1).").arg(rules.error()));
        return std::nullopt;
    }
    return *rules;
}

}  // namespace app::ctl
