// Attaches the real window to a running router and prints what its tables and labels show, once a
// second, one JSON object per line: window_reader SOCKET SECONDS
#include "app/application.h"
#include "app/end_signal.h"
#include "ui/main_window.h"

#include <QAbstractItemView>
#include <QApplication>
#include <QHeaderView>
#include <QJsonArray>
#include <QJsonDocument>
#include <QJsonObject>
#include <QLabel>
#include <QTimer>

#include <cstdio>

namespace {

ui::MainWindow* window()
{
    for (QWidget* widget : QApplication::topLevelWidgets()) {
        if (auto* found = qobject_cast<ui::MainWindow*>(widget)) return found;
    }
    return nullptr;
}

/// Rows as a user reads them: the words of every column under its heading.
QJsonArray rowsOf(const QAbstractItemModel& model)
{
    QJsonArray rows;
    for (int row = 0; row < model.rowCount(); ++row) {
        QJsonObject cells;
        for (int column = 0; column < model.columnCount(); ++column) {
            cells.insert(model.headerData(column, Qt::Horizontal).toString(),
                         model.index(row, column).data().toString());
        }
        rows.append(cells);
    }
    return rows;
}

void tell(ui::Page page)
{
    QJsonArray tables;
    for (const auto* view : window()->findChildren<QAbstractItemView*>()) {
        // The headings of a table are views of its model, too.
        if (qobject_cast<const QHeaderView*>(view) != nullptr) continue;
        if (view->isVisible() && view->model() != nullptr) tables.append(rowsOf(*view->model()));
    }
    QJsonArray labels;
    for (const auto* label : window()->findChildren<QLabel*>()) {
        if (label->isVisible()) labels.append(label->text());
    }
    const QJsonObject object{{QStringLiteral("page"), ui::wordOf(page)},
                             {QStringLiteral("tables"), tables},
                             {QStringLiteral("labels"), labels}};
    std::puts(QJsonDocument(object).toJson(QJsonDocument::Compact).constData());
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv)
{
    app::EndSignal::holdBack();
    QApplication application(argc, argv);
    app::EndSignal end;
    QObject::connect(&end, &app::EndSignal::endAsked, &application, &QCoreApplication::quit);
    const QStringList words = QApplication::arguments();
    if (words.size() != 3) return 2;
    app::Application program({.lab = false,
                              .screenshots = {},
                              .control = words[1],
                              .state = {},
                              .tellStartTime = false});
    program.start();
    const QList<ui::Page> pages{ui::Page::Overview, ui::Page::Connections, ui::Page::Devices,
                                ui::Page::Tunnels, ui::Page::Settings};
    int turn = 0;
    QTimer timer;
    // What a page shows when it has had time to ask: told at the end of its turn.
    QObject::connect(&timer, &QTimer::timeout, window(), [&] {
        if (turn > 0) tell(pages[(turn - 1) % pages.size()]);
        window()->showPage(pages[turn % pages.size()]);
        ++turn;
    });
    timer.start(1500);
    QTimer::singleShot(words[2].toInt() * 1000, &application, &QCoreApplication::quit);
    return QApplication::exec();
}
