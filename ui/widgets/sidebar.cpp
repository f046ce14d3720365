#include "ui/widgets/sidebar.h"

#include <QHBoxLayout>
#include <QPainter>
#include <QResizeEvent>
#include <QToolButton>

namespace ui {

namespace {

constexpr int kWide = 216;
constexpr int kNarrow = 64;
constexpr int kLowEntry = 32;
/// Ours: from here on every page has the room it needs beside the wide sidebar.
constexpr int kRoomForBoth = 1180;

class LogoPicture final : public QWidget {
public:
    explicit LogoPicture(QWidget* parent) : QWidget(parent) { setFixedSize(28, 28); }

protected:
    void paintEvent(QPaintEvent* /*event*/) override
    {
        QPainter painter(this);
        paintSymbol(painter, rect(), Symbol::Logo, currentColours().accent);
    }
};

}  // namespace

Sidebar::Sidebar(QWidget* parent)
    : QFrame(parent), m_column(new QVBoxLayout(this)), m_commands(new QHBoxLayout)
{
    setObjectName(QStringLiteral("sidebar"));
    setAccessibleName(tr("Pages"));
    setFixedWidth(kWide);
    parent->installEventFilter(this);
    m_column->setContentsMargins(12, kGapWide, 12, kGapWide);
    m_column->setSpacing(2);
    auto* head = new QHBoxLayout;
    head->setContentsMargins(6, 0, 0, 0);
    head->setSpacing(10);
    m_mark = new LogoPicture(this);
    m_title = new SafeLabel(QStringLiteral("Underpass"), this, TextSize::Title);
    head->addWidget(m_mark);
    head->addWidget(m_title);
    head->addStretch();
    m_column->addLayout(head);
    m_column->addSpacing(kGap);
    m_state = new Badge(this);
    auto* chip = new QHBoxLayout;
    chip->setContentsMargins(4, 0, 0, 0);
    chip->addWidget(m_state);
    chip->addStretch();
    m_column->addLayout(chip);
}

void Sidebar::addGroup(const QString& title)
{
    m_column->addSpacing(kGap + 4);
    auto* label = new SafeLabel(title, this, TextSize::Caption);
    label->muted();
    label->setContentsMargins(10, 0, 0, 2);
    m_groups.append(label);
    m_column->addWidget(label);
}

void Sidebar::addPage(int page, Symbol symbol, const QString& text, const QString& keys)
{
    auto* button = new QPushButton(iconOf(symbol), text, this);
    button->setProperty("nav", true);
    button->setCheckable(true);
    button->setIconSize({20, 20});
    button->setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
    connect(button, &QPushButton::clicked, this, [this, page] { Q_EMIT pageAsked(page); });
    m_column->addWidget(button);
    m_entries.append({page, text, keys, button});
    name(m_entries.last());
}

QToolButton* Sidebar::addCommand(Symbol symbol, const QString& text, const QString& keys)
{
    auto* button = new QToolButton(this);
    button->setIcon(iconOf(symbol));
    button->setIconSize({20, 20});
    button->setAccessibleName(text);
    button->setToolTip(tr("%1 (%2)").arg(text, keys));
    button->setMinimumHeight(26);
    m_commands->addWidget(button);
    return button;
}

void Sidebar::name(const Entry& entry)
{
    entry.button->setText(m_narrow ? QString() : QStringLiteral("  ") + entry.name);
    entry.button->setAccessibleName(entry.name);
    entry.button->setToolTip(entry.keys.isEmpty() ? entry.name
                                                  : tr("%1 (%2)").arg(entry.name, entry.keys));
}

void Sidebar::finish()
{
    m_column->addStretch();
    m_column->addLayout(m_commands);
    connect(addCommand(Symbol::Menu, tr("Narrow or wide sidebar"), QStringLiteral("Ctrl+B")),
            &QToolButton::clicked, this, [this] { choose(!m_narrow); });
    m_commands->addStretch();
}

void Sidebar::setCurrent(int page)
{
    for (const Entry& entry : m_entries)
        entry.button->setChecked(entry.page == page);
}

QPushButton* Sidebar::entry(int page) const
{
    for (const Entry& one : m_entries) {
        if (one.page == page) return one.button;
    }
    return nullptr;
}

void Sidebar::setPageEnabled(int page, bool enabled)
{
    for (const Entry& entry : m_entries) {
        if (entry.page == page) entry.button->setEnabled(enabled);
    }
}

void Sidebar::setPageVisible(int page, bool visible)
{
    for (const Entry& entry : m_entries) {
        if (entry.page == page) entry.button->setVisible(visible);
    }
}

void Sidebar::choose(bool narrow)
{
    m_chosen = true;
    setNarrow(narrow);
}

bool Sidebar::eventFilter(QObject* watched, QEvent* event)
{
    if (event->type() == QEvent::Resize && !m_chosen) {
        const bool narrow = static_cast<QResizeEvent*>(event)->size().width() < kRoomForBoth;
        if (narrow != m_narrow) setNarrow(narrow);
    }
    return QFrame::eventFilter(watched, event);
}

void Sidebar::setNarrow(bool narrow)
{
    m_narrow = narrow;
    setFixedWidth(narrow ? kNarrow : kWide);
    m_title->setVisible(!narrow);
    m_state->setVisible(!narrow);
    m_commands->setDirection(narrow ? QBoxLayout::TopToBottom : QBoxLayout::LeftToRight);
    for (SafeLabel* group : m_groups)
        group->setVisible(!narrow);
    for (const Entry& entry : m_entries) {
        name(entry);
        // The commands stand below each other now and need the room.
        entry.button->setMaximumHeight(narrow ? kLowEntry : QWIDGETSIZE_MAX);
    }
}

}  // namespace ui
