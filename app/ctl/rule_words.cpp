#include "app/ctl/rule_words.h"

#include <CLI/Validators.hpp>
#include <charconv>

namespace app::ctl {

using engine::net::Ipv4Address;
using engine::net::Port;
using engine::net::PortRange;

std::optional<Ipv4Address> addressOf(Context& context, const std::string& word)
{
    const auto address = Ipv4Address::parse(word);
    if (!address) context.fail(QStringLiteral("%1 is no IPv4 address.").arg(qt(word)), kExitUsage);
    return address;
}

std::optional<Port> portOf(std::string_view text)
{
    std::uint16_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number == 0)
        return std::nullopt;
    return Port{number};
}

std::optional<PortRange> rangeOf(Context& context, const std::string& word)
{
    const auto dash = word.find('-');
    const auto first = portOf(std::string_view(word).substr(0, dash));
    const auto last =
        dash == std::string::npos ? first : portOf(std::string_view(word).substr(dash + 1));
    if (!first || !last || *last < *first) {
        context.fail(QStringLiteral("%1 is no port or range like 8000-8010.").arg(qt(word)),
                     kExitUsage);
        return std::nullopt;
    }
    return PortRange{*first, *last};
}

void addDryRun(CLI::App& command, Context& context)
{
    command.add_flag("--dry-run", context.dryRun,
                     "Say what a change means for live sessions, and change nothing");
}

void addOnLive(CLI::App& command, std::string& word)
{
    command
        .add_option("--on-live", word,
                    "Live sessions run on until they end (finish), or end now (drop); needed where "
                    "some would end")
        ->check(CLI::IsMember({"finish", "drop"}));
}

int askOnLive(Context& context, const Context::Effect& effect)
{
    return context.fail(
        QStringLiteral("Nothing has been done. What this change means: %1 Say --on-live finish to "
                       "let what lives run on until it ends, or --on-live drop to end it.")
            .arg(effect.sentence));
}

QString portsText(const PortRange& range)
{
    return range.first == range.last
               ? QString::number(range.first.hostOrder())
               : QStringLiteral("%1-%2").arg(range.first.hostOrder()).arg(range.last.hostOrder());
}

}  // namespace app::ctl
