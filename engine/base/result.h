#pragma once

#include <cassert>
#include <type_traits>
#include <utility>
#include <variant>

namespace engine {

/// The failing ending of a function that returns a Result: `return Err{ParseError::Truncated};`.
template <typename E>
struct Err {
    E error;
};
template <typename E>
Err(E) -> Err<E>;

/// A value or the reason why there is none. Member names are those of std::expected, which neither
/// of our compilers has; to be replaced by an alias one day. Asking for the wrong side is our own
/// mistake and asserts.
template <typename T, typename E>
class [[nodiscard]] Result {
public:
    // A Result is meant to be made by `return value;` or `return Err{…};`.
    // NOLINTNEXTLINE(google-explicit-constructor)
    Result(T value) : m_state(std::in_place_index<0>, std::move(value)) {}
    template <typename F>
    requires std::is_convertible_v<F, E>
    // NOLINTNEXTLINE(google-explicit-constructor)
    Result(Err<F> failure) : m_state(std::in_place_index<1>, std::move(failure.error))
    {}

    [[nodiscard]] bool has_value() const { return m_state.index() == 0; }
    explicit operator bool() const { return has_value(); }

    [[nodiscard]] T& value() &
    {
        assert(has_value());
        return std::get<0>(m_state);
    }
    [[nodiscard]] const T& value() const&
    {
        assert(has_value());
        return std::get<0>(m_state);
    }
    [[nodiscard]] T&& value() &&
    {
        assert(has_value());
        return std::move(std::get<0>(m_state));
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    [[nodiscard]] const E& error() const
    {
        assert(!has_value());
        return std::get<1>(m_state);
    }

private:
    std::variant<T, E> m_state;
};

/// A wish that was met, or the reason why not.
template <typename E>
class [[nodiscard]] Result<void, E> {
public:
    Result() = default;
    template <typename F>
    requires std::is_convertible_v<F, E>
    // NOLINTNEXTLINE(google-explicit-constructor)
    Result(Err<F> failure) : m_error(std::in_place_index<1>, std::move(failure.error))
    {}

    [[nodiscard]] bool has_value() const { return m_error.index() == 0; }
    explicit operator bool() const { return has_value(); }
    [[nodiscard]] const E& error() const
    {
        assert(!has_value());
        return std::get<1>(m_error);
    }

private:
    std::variant<std::monostate, E> m_error;
};

}  // namespace engine
