#include "app/ctl/ctl.h"

#include "app/ctl/context.h"
#include "app/ctl/text.h"
#include "app/version.h"
#include "ui/text/english_plurals.h"

#include <QCoreApplication>

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace app::ctl {

int run(int argc, char** argv)
{
    QCoreApplication application(argc, argv);
    QCoreApplication::setApplicationName(QStringLiteral("underpassctl"));
    QCoreApplication::setApplicationVersion(QLatin1String(kVersion));

    ui::installEnglishPlurals();

    Context context;
    CLI::App app{"Asks and tells the Underpass router of this computer.", "underpassctl"};
    app.fallthrough();
    app.require_subcommand(1);
    app.set_version_flag("--version", std::string("underpassctl ") + kVersion);
    app.add_option("--control", context.socket, "The router's control socket")
        ->capture_default_str()
        ->check([](const std::string& path) {
            return path.empty() ? std::string("needs a value") : std::string{};
        });
    app.add_flag("--json", context.json, "For scripts");
    app.footer(
        "Exit status: 0 if it was done; 1 if it could not be (no router, no permission, refused,\n"
        "a claim of the lab that fails); 2 for wrong input. Reasons go to standard error.");
    addWatching(app, context);
    addPassthrough(app, context);
    addRules(app, context);
    addRecognise(app, context);
    addLab(app, context);
    addHost(app, context);

    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {
        return app.exit(asked);
    } catch (const CLI::RequiredError& wrong) {
        // A word that is no verb leaves the verb missing; the word is what was wrong.
        const auto rest = app.remaining(true);
        return context.fail(
            (rest.empty() ? QString::fromUtf8(wrong.what())
                          : QStringLiteral("There is no verb %1")
                                .arg(harmless(QString::fromStdString(rest.front())))) +
                QStringLiteral(" (see --help)"),
            kExitUsage);
    } catch (const CLI::ParseError& wrong) {
        return context.fail(QString::fromUtf8(wrong.what()) + QStringLiteral(" (see --help)"),
                            kExitUsage);
    }
    return context.action ? context.action() : kExitUsage;
}

}  // namespace app::ctl
