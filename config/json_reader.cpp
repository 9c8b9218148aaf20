#include "config/json_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "config/bounds.hpp"

namespace spillway::config {

namespace {

struct Refused {
  Place place;
  std::string message;
};

// Walks text that is known to be JSON.
class Walker {
 public:
  Walker(std::string_view text, std::uint32_t file, Report& report) : text_(text), report_(report) {
    place_ = {.file = file, .line = 1, .column = 1};
  }

  Node value(std::size_t depth) {
    skip_space();
    if (depth > kMaxDepth)
      throw Refused{place_, fmt::format("nested deeper than {} levels", kMaxDepth)};
    if (++nodes_ > kMaxNodes) throw Refused{place_, fmt::format("more than {} values", kMaxNodes)};
    switch (text_[at_]) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"': {
        Node node = scalar_at_place();
        node.quoted = true;
        node.text = string();
        return node;
      }
      default:
        return bare();
    }
  }

 private:
  Node scalar_at_place() const {
    Node node;
    node.kind = NodeKind::scalar;
    node.place = place_;
    return node;
  }

  Node object(std::size_t depth) {
    Node node;
    node.kind = NodeKind::map;
    node.place = place_;
    for (advance(); next_item('}');) {
      const Place place = place_;
      std::string key = string();
      skip_space();
      advance();  // the colon
      Node member = value(depth + 1);
      if (const Node* earlier = node.find(key)) {
        report_.fault(place, key,
                      fmt::format("is here twice; first on line {}", earlier->place.line));
        continue;
      }
      node.members.push_back({.key = std::move(key), .place = place, .value = std::move(member)});
    }
    return node;
  }

  Node array(std::size_t depth) {
    Node node;
    node.kind = NodeKind::sequence;
    node.place = place_;
    for (advance(); next_item(']');) node.items.push_back(value(depth + 1));
    return node;
  }

  // Stands on the next item of a collection; false after its end.
  bool next_item(char end) {
    skip_space();
    if (text_[at_] == ',') advance();
    skip_space();
    if (text_[at_] != end) return true;
    advance();
    return false;
  }

  std::string string() {
    const std::size_t begin = at_;
    for (advance(); text_[at_] != '"'; advance()) {
      if (text_[at_] == '\\') advance();
    }
    advance();
    const std::string_view quoted = text_.substr(begin, at_ - begin);
    if (quoted.find('\\') == std::string_view::npos)
      return std::string(quoted.substr(1, quoted.size() - 2));
    return nlohmann::json::parse(quoted).get<std::string>();
  }

  Node bare() {
    Node node = scalar_at_place();
    const std::size_t begin = at_;
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n,]}").find(text_[at_]) == std::string_view::npos) {
      advance();
    }
    node.text = text_.substr(begin, at_ - begin);
    if (node.text == "null") node.kind = NodeKind::null;
    return node;
  }

  void skip_space() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) {
      advance();
    }
  }

  void advance() {
    if (text_[at_] == '\n') {
      ++place_.line;
      place_.column = 1;
    } else if ((static_cast<unsigned char>(text_[at_]) & 0xC0) != 0x80) {
      ++place_.column;
    }
    ++at_;
  }

  std::string_view text_;
  Report& report_;
  std::size_t at_ = 0;
  std::size_t nodes_ = 0;
  Place place_;
};

Place place_at(std::string_view text, std::size_t offset, std::uint32_t file) {
  Place place{.file = file, .line = 1, .column = 1};
  for (const char c : text.substr(0, std::min(offset, text.size()))) {
    place.column = c == '\n' ? 1 : place.column + 1;
    place.line += c == '\n' ? 1 : 0;
  }
  return place;
}

// nlohmann's text repeats where the error is and quotes what was read last, which may be a secret.
std::string without_quotation(std::string_view what) {
  if (const auto at = what.find("- "); at != std::string_view::npos) what.remove_prefix(at + 2);
  if (const auto at = what.find("; last read"); at != std::string_view::npos)
    what = what.substr(0, at);
  return std::string(what);
}

}  // namespace

std::optional<Node> read_json(std::string_view text, std::uint32_t file, Report& report) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  try {
    if (!nlohmann::json::accept(text)) {
      const auto refused = nlohmann::json::parse(text);  // says what is wrong, by throwing it
      static_cast<void>(refused);
    }
    return Walker(text, file, report).value(0);
  } catch (const nlohmann::json::parse_error& error) {
    report.fault(place_at(text, error.byte > 0 ? error.byte - 1 : 0, file), "",
                 "is not JSON here: " + without_quotation(error.what()));
  } catch (const nlohmann::json::exception& error) {
    report.fault({.file = file, .line = 0, .column = 0}, "", "holds a number that is too large");
  } catch (const Refused& refused) {
    report.fault(refused.place, "", refused.message);
  }
  return std::nullopt;
}

}  // namespace spillway::config
