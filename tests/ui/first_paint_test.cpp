// How long until there is something to see: from main() to the first paint of the window, and of
// the Connections page with 100,000 sessions. Figures are printed; the limits are for the processor
// time of the window's thread, which a busy machine does not take from it.
#include "ui/main_window.h"
#include "ui/pages/connections_page.h"
#include "ui/widgets/table.h"

#include <QApplication>
#include <QElapsedTimer>

#include <cstdio>

#include "tests/ui/fake_network.h"
#include "tests/ui/thread_time.h"

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

struct Taken {
    bool painted = false;
    qint64 wall = 0;
    qint64 processor = 0;

    [[nodiscard]] bool within(qint64 limit) const { return painted && processor < limit; }
};

/// Both clocks in milliseconds since they were started, when it has been painted.
Taken untilPainted(const PaintWatch& watch, const QElapsedTimer& timer,
                   const tests::ThreadTime& thread)
{
    while (!watch.painted() && timer.elapsed() < 60000)
        QCoreApplication::processEvents();
    return {watch.painted(), timer.elapsed(), thread.elapsed()};
}

}  // namespace

int main(int argc, char** argv)
{
    QElapsedTimer timer;
    timer.start();
    tests::ThreadTime thread;
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
    const Taken start = untilPainted(first, timer, thread);

    const auto sessions = fake::sessions(0, 100000);
    const auto later = fake::sessions(4, 100000);
    window.showPage(ui::Page::Connections);
    auto* page = window.findChild<ui::ConnectionsPage*>();
    PaintWatch table(page->table()->viewport());
    timer.restart();
    thread.restart();
    window.setSessions(sessions, fake::snapshot(4)->at);
    const Taken fill = untilPainted(table, timer, thread);
    PaintWatch again(page->table()->viewport());
    timer.restart();
    thread.restart();
    window.setSessions(later, fake::snapshot(8)->at);
    const Taken update = untilPainted(again, timer, thread);
    std::printf(
        "start to first paint %lld ms (processor %lld ms); 100,000 sessions: first paint %lld "
        "ms (%lld), update %lld ms (%lld)\n",
        static_cast<long long>(start.wall), static_cast<long long>(start.processor),
        static_cast<long long>(fill.wall), static_cast<long long>(fill.processor),
        static_cast<long long>(update.wall), static_cast<long long>(update.processor));
    return start.within(5000) && fill.within(2000) && update.within(2000) ? 0 : 1;
}
