#include "server/hop_by_hop.hpp"

#include "core/body.hpp"

namespace spillway::server {

namespace {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

}  // namespace

bool named_in_connection(Headers headers, std::string_view folded_name) {
  for (const HeaderView& field : headers) {
    if (fold(field.name) != "connection") continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const auto comma = rest.find(',');
      if (fold(trimmed(rest.substr(0, comma))) == folded_name) return true;
      rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    }
  }
  return false;
}

}  // namespace spillway::server
