// JSON as nlohmann/json understands it: a second opinion on text that core/json_scan.hpp has read.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace spillway::fuzz {

// An object's members in order, repeated ones included, each value as the list of its tokens.
using Members = std::vector<std::pair<std::string, std::string>>;

// What one pass over a text tells.
class JsonReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Members members;            // of the top level, if it is an object
  bool repeated_key = false;  // anywhere
  std::size_t deepest = 0;
  bool out_of_range = false;  // it failed because a number has no double

  bool null() override { return token("null"); }
  bool boolean(bool value) override { return token(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return token(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return token(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { return token(text); }
  bool string(string_t& text) override { return token(nlohmann::json(text).dump()); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return enter("{"); }
  bool end_object() override { return leave("}"); }
  bool start_array(std::size_t) override { return enter("["); }
  bool end_array() override { return leave("]"); }
  bool key(string_t& name) override {
    if (!keys_.empty() && !keys_.back().insert(name).second) repeated_key = true;
    if (depth_ != 1) return token(nlohmann::json(name).dump() + ":");
    members.emplace_back(name, "");
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception& e) override {
    out_of_range = e.id == 406;
    return false;
  }

 private:
  bool token(std::string_view text) {
    if (!members.empty()) members.back().second.append(text).append(" ");
    return true;
  }
  bool enter(std::string_view text) {
    if (depth_++ > 0) token(text);
    deepest = std::max(deepest, depth_);
    keys_.emplace_back();
    return true;
  }
  bool leave(std::string_view text) {
    keys_.pop_back();
    return --depth_ == 0 || token(text);
  }

  std::size_t depth_ = 0;
  std::vector<std::set<std::string>> keys_;
};

// Nothing if nlohmann/json does not accept the text.
inline std::optional<JsonReader> read_reference(std::string_view text) {
  JsonReader reader;
  if (!nlohmann::json::sax_parse(text, &reader)) return std::nullopt;
  return reader;
}

}  // namespace spillway::fuzz
