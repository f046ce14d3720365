#include "ui/widgets/search_box.h"

#include <QKeyEvent>

#include <algorithm>

namespace ui {

namespace {

constexpr int kWidth = 560;
constexpr int kHeight = 420;
/// Ours: nobody reads further; another word finds more.
constexpr int kMostFound = 60;

}  // namespace

SearchBox::SearchBox(QWidget* parent)
    : QFrame(parent),
      m_field(new QLineEdit(this)),
      m_list(new QListWidget(this)),
      m_none(new SafeLabel(tr("Nothing is called so."), this))
{
    setProperty("card", true);
    setAccessibleName(tr("Search"));
    auto* column = new QVBoxLayout(this);
    column->setContentsMargins(kGapWide, kGapWide, kGapWide, kGapWide);
    column->setSpacing(kGap);
    m_field->setPlaceholderText(tr("Go to a page, device, tunnel, protocol or setting"));
    m_field->setAccessibleName(tr("Search"));
    m_field->addAction(iconOf(Symbol::Search), QLineEdit::LeadingPosition);
    m_field->installEventFilter(this);
    m_list->setAccessibleName(tr("Found"));
    m_list->setFocusPolicy(Qt::NoFocus);
    m_list->setFrameShape(QFrame::NoFrame);
    m_list->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    m_none->muted();
    column->addWidget(m_field);
    column->addWidget(m_none);
    column->addWidget(m_list, 1);
    connect(m_field, &QLineEdit::textChanged, this, &SearchBox::find);
    connect(m_list, &QListWidget::itemClicked, this, &SearchBox::openChosen);
    hide();
}

void SearchBox::open(std::vector<SearchEntry> entries)
{
    m_entries = std::move(entries);
    m_field->clear();
    find();
    const QWidget* over = parentWidget();
    const int width = std::min(kWidth, over->width() - 2 * kGapPage);
    setGeometry((over->width() - width) / 2, kGapPage * 2, width,
                std::min(kHeight, over->height() - 4 * kGapPage));
    show();
    raise();
    m_field->setFocus(Qt::ShortcutFocusReason);
}

void SearchBox::find()
{
    const QStringList words = m_field->text().split(QLatin1Char(' '), Qt::SkipEmptyParts);
    std::vector<std::pair<int, std::size_t>> found;
    for (std::size_t i = 0; i < m_entries.size(); ++i) {
        const SearchEntry& entry = m_entries[i];
        const QString all =
            entry.kind + QLatin1Char(' ') + entry.title + QLatin1Char(' ') + entry.detail;
        const bool fits = std::ranges::all_of(
            words, [&](const QString& word) { return all.contains(word, Qt::CaseInsensitive); });
        if (!fits) continue;
        // What begins with the first word is what was meant; then whose title has it.
        const int rank = words.isEmpty()                                              ? 0
                         : entry.title.startsWith(words.first(), Qt::CaseInsensitive) ? 0
                         : entry.title.contains(words.first(), Qt::CaseInsensitive)   ? 1
                                                                                      : 2;
        found.emplace_back(rank, i);
    }
    std::ranges::stable_sort(found, {}, &std::pair<int, std::size_t>::first);
    m_list->clear();
    for (const auto& [rank, i] : found) {
        if (m_list->count() == kMostFound) break;
        const SearchEntry& entry = m_entries[i];
        auto* item = new QListWidgetItem(
            entry.title + QStringLiteral("   ") +
                (entry.detail.isEmpty() ? entry.kind
                                        : entry.kind + QStringLiteral(" · ") + entry.detail),
            m_list);
        item->setData(Qt::UserRole, QVariant::fromValue<qulonglong>(i));
    }
    m_none->setVisible(m_list->count() == 0);
    m_list->setVisible(m_list->count() > 0);
    if (m_list->count() > 0) m_list->setCurrentRow(0);
}

void SearchBox::choose(int step)
{
    if (m_list->count() == 0) return;
    m_list->setCurrentRow(std::clamp(m_list->currentRow() + step, 0, m_list->count() - 1));
    // The focus stays in the field, so the choice is told with it.
    m_field->setAccessibleDescription(m_list->currentItem()->text());
}

void SearchBox::openChosen()
{
    const QListWidgetItem* item = m_list->currentItem();
    if (item == nullptr) return;
    const auto open = m_entries[item->data(Qt::UserRole).toULongLong()].open;
    hide();
    open();
}

bool SearchBox::eventFilter(QObject* watched, QEvent* event)
{
    if (event->type() == QEvent::FocusOut) {
        hide();
    } else if (event->type() == QEvent::ShortcutOverride) {
        // Escape here is ours, not the page's.
        if (static_cast<QKeyEvent*>(event)->key() == Qt::Key_Escape) event->accept();
    } else if (event->type() == QEvent::KeyPress) {
        switch (static_cast<QKeyEvent*>(event)->key()) {
        case Qt::Key_Down: choose(1); return true;
        case Qt::Key_Up: choose(-1); return true;
        case Qt::Key_PageDown: choose(10); return true;
        case Qt::Key_PageUp: choose(-10); return true;
        case Qt::Key_Return:
        case Qt::Key_Enter: openChosen(); return true;
        case Qt::Key_Escape: hide(); return true;
        default: break;
        }
    }
    return QFrame::eventFilter(watched, event);
}

}  // namespace ui
