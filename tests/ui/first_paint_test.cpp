// How long until there is something to see: from main() to the first paint of the window, and of
// the Connections page with 100,000 sessions. Figures are printed; limits leave room for a busy
// machine.
#include "ui/main_window.h"
#include "ui/pages/connections_page.h"
#include "ui/widgets/table.h"

#include <QApplication>
#include <QElapsedTimer>

#include <cstdio>

#include "tests/ui/fake_network.h"

namespace {

/// Stops the clock when the widget has been painted for the first time.
class PaintWatch final : public QObject {
public:
    explicit PaintWatch(QWidget* widget) { widget->installEventFilter(this); }
    bool eventFilter(QObject* /*watched*/, QEvent* event) override
    {
        if (event->type() == QEvent::Paint) m_painted = true;
        return false;
    }
    [[nodiscard]] bool painted() const { return m_painted; }

private:
    bool m_painted = false;
};

qint64 untilPainted(const PaintWatch& watch, const QElapsedTimer& timer)
{
    while (!watch.painted() && timer.elapsed() < 20000)
        QCoreApplication::processEvents();
    return timer.elapsed();
}

}  // namespace

int main(int argc, char** argv)
{
    QElapsedTimer timer;
    timer.start();
    QApplication application(argc, argv);
    ui::MainWindow window;
    window.resize(1400, 880);
    ui::RouterState state;
    state.kind = ui::RouterState::Kind::Lab;
    window.setRouterState(state);
    window.setDeviceNames(fake::deviceNames());
    window.setSnapshot(fake::snapshot(4));
    PaintWatch first(&window);
    window.show();
    const qint64 start = untilPainted(first, timer);

    const auto sessions = fake::sessions(0, 100000);
    const auto later = fake::sessions(4, 100000);
    window.showPage(ui::Page::Connections);
    auto* page = window.findChild<ui::ConnectionsPage*>();
    PaintWatch table(page->table()->viewport());
    timer.restart();
    window.setSessions(sessions, fake::snapshot(4)->at);
    const qint64 fill = untilPainted(table, timer);
    PaintWatch again(page->table()->viewport());
    timer.restart();
    window.setSessions(later, fake::snapshot(8)->at);
    const qint64 update = untilPainted(again, timer);
    std::printf(
        "start to first paint %lld ms; 100,000 sessions: first paint %lld ms, update %lld ms\n",
        static_cast<long long>(start), static_cast<long long>(fill),
        static_cast<long long>(update));
    return start < 5000 && fill < 2000 && update < 2000 ? 0 : 1;
}
