#include "server/hop_by_hop.hpp"

#include "core/http_syntax.hpp"

namespace spillway::server {

bool named_in_connection(Headers headers, std::string_view name) {
  for (const HeaderView& field : headers) {
    if (!http::equals_ignoring_case(field.name, "connection")) continue;
    std::string_view list = field.value;
    while (!list.empty())
      if (http::equals_ignoring_case(http::take_element(list), name)) return true;
  }
  return false;
}

}  // namespace spillway::server
