// Decimal numbers in text, of any size. std::from_chars says of a number beyond a double only that
// it is out of range, not on which side.
#pragma once

#include <optional>
#include <string_view>

namespace spillway {

// Takes the number at the front of `text` off it: "12", "-0.5", ".5", "1e400". One that no double
// can hold is an infinity or a zero, whichever is nearer. nullopt, and `text` as it was: there is
// none.
std::optional<double> take_decimal(std::string_view& text);

}  // namespace spillway
