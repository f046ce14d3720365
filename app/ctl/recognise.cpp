#include "app/control/json.h"
#include "app/ctl/context.h"
#include "app/ctl/text.h"
#include "app/services/capture_recogniser.h"
#include "engine/io/capture_file.h"

#include <algorithm>
#include <memory>

namespace app::ctl {

namespace {

int recognise(Context& context, const std::string& path)
{
    auto file = engine::io::CaptureFile::open(path);
    if (!file) return context.fail(QString::fromStdString(file.error()), kExitUsage);
    // The same file gives the same answer, every time.
    services::CaptureRecogniser recogniser(engine::HashKey{1, 2});
    while (const auto packet = (*file)->next()) {
        recogniser.see(packet->at, packet->packet);
    }
    const auto tunnels = recogniser.finish();
    if (context.json) {
        QJsonArray rows;
        for (const auto& tunnel : tunnels) {
            rows.append(control::toJson(tunnel));
        }
        printJson(rows);
    } else if (tunnels.empty()) {
        print(QStringLiteral("No VPN tunnels in %1 packets.\n").arg(recogniser.packets()));
    } else {
        Table table(tunnelHeadings());
        for (const auto& tunnel : tunnels) {
            table.add(tunnelCells(tunnel,
                                  std::max(tunnel.outbound.lastPacket, tunnel.inbound.lastPacket)));
        }
        print(table.text());
    }
    // What could be read has been told; a script must know that it is not all.
    if (!(*file)->trouble().empty())
        return context.fail(QString::fromStdString((*file)->trouble()));
    return 0;
}

}  // namespace

void addRecognise(CLI::App& app, Context& context)
{
    auto* command = app.add_subcommand("recognise", "The VPN tunnels in a capture file");
    const auto path = std::make_shared<std::string>();
    command->add_option("FILE", *path, "pcap or pcapng")->required();
    command->callback([&context, path] {
        context.action = [&context, path] {
            return recognise(context, *path);
        };
    });
}

}  // namespace app::ctl
