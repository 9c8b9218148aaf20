// A client's body and what one deployment is sent of it, compared by their values: what no rule
// touches is the same, and what a rule touches is what the rule says, worked out a second time here
// on values instead of text.
//
// The input's first byte chooses rules and endpoint, the rest is the body.
#include <algorithm>
#include <cstdlib>

#include "core/bounds.hpp"
#include "core/continuation.hpp"
#include "core/gateway_body_keys.hpp"
#include "core/input_size.hpp"
#include "core/splice.hpp"
#include "fuzz.hpp"
#include "json_reference.hpp"

namespace spillway {
namespace {

using fuzz::expect;
using fuzz::Members;

constexpr std::string_view kModel = "up/\"m\"";

BodyRules rules_of(unsigned choice) {
  BodyRules rules;
  if (choice & 1) rules.rename = {{"max_completion_tokens", "max_tokens"}, {"a", "b"}};
  if (choice & 2) rules.defaults = {{"seed", "7"}, {"max_completion_tokens", "100"}, {"b", "[1]"}};
  if (choice & 4) rules.drop = {"logit_bias", "user", "b", "n"};
  if (choice & 8) rules.force = {{"store", "false"}};
  if (choice & 16) {
    rules.temperature_max = 1.0;
    rules.temperature_min = 0.25;
    rules.temperature_min_with_n_gt_1 = 0.5;
  }
  return rules;
}

std::vector<std::string> read_keys(const BodyRules& rules) {
  std::vector<std::string> keys(core_read_keys().begin(), core_read_keys().end());
  for (const auto& [from, to] : rules.rename) keys.insert(keys.end(), {fold(from), fold(to)});
  for (const auto& [name, text] : rules.defaults) keys.push_back(fold(name));
  for (const auto& [name, text] : rules.force) keys.push_back(fold(name));
  for (const std::string& name : rules.drop) keys.push_back(fold(name));
  std::ranges::sort(keys);
  keys.erase(std::ranges::unique(keys).begin(), keys.end());
  return keys;
}

// The rules on values. Keys that rules speak of occur once: view_body has refused all else.
class Expected {
 public:
  Expected(Members members, const BodyRules& rules) : members_(std::move(members)), rules_(rules) {}

  Members send(Endpoint endpoint) {
    for (const std::string_view key : kGatewayBodyKeys) remove(key);
    for (const std::string& key : rules_.drop) remove(key);
    for (const auto& [from, to] : rules_.rename) rename(from, to);
    for (const auto& [key, text] : rules_.defaults) add_default(key, text);
    if (endpoint == Endpoint::responses)
      for (const auto& [key, text] : rules_.force) set(key, tokens(text));
    clamp();
    set("model", tokens(nlohmann::json(kModel).dump()));
    return members_;
  }

 private:
  static std::string tokens(const std::string& json) {
    return fuzz::read_reference("{\"k\":" + json + "}")->members.front().second;
  }
  Members::iterator find(std::string_view key) {
    return std::ranges::find(members_, key, &Members::value_type::first);
  }
  void remove(std::string_view key) {
    if (const auto found = find(key); found != members_.end()) members_.erase(found);
  }
  void set(std::string_view key, std::string value) {
    if (const auto found = find(key); found != members_.end())
      found->second = std::move(value);
    else
      members_.emplace_back(key, std::move(value));
  }
  void rename(const std::string& from, const std::string& to) {
    const auto found = find(from);
    if (found == members_.end()) return;
    if (find(to) != members_.end())
      members_.erase(found);
    else
      found->first = to;
  }
  void add_default(const std::string& key, const std::string& text) {
    if (std::ranges::find(rules_.drop, key) != rules_.drop.end()) return;
    std::string sent_as = key;
    for (const auto& [from, to] : rules_.rename)
      if (sent_as == from) sent_as = to;
    if (find(sent_as) == members_.end()) members_.emplace_back(sent_as, tokens(text));
  }
  static std::optional<double> number(const std::string& value) {
    char* end = nullptr;
    const double number = std::strtod(value.c_str(), &end);
    if (end == value.c_str() || std::string_view(end) != " ") return std::nullopt;
    return number;
  }
  void clamp() {
    const auto found = find("temperature");
    const auto wanted = found == members_.end() ? std::nullopt : number(found->second);
    if (!wanted) return;
    const auto n = find("n");
    const double choices = n == members_.end() ? 1 : number(n->second).value_or(1);
    double allowed = std::min(*wanted, rules_.temperature_max.value_or(*wanted));
    allowed = std::max(allowed, rules_.temperature_min.value_or(allowed));
    if (choices > 1)
      allowed = std::max(allowed, rules_.temperature_min_with_n_gt_1.value_or(allowed));
    // These bounds have a short decimal form.
    if (allowed != *wanted)
      found->second = tokens(
          nlohmann::json(allowed == 1.0 ? nlohmann::json(1) : nlohmann::json(allowed)).dump());
  }

  Members members_;
  const BodyRules& rules_;
};

void check_prefix(std::string_view body, const BodyView& view, const Members& members) {
  const std::optional<std::string> longer = with_assistant_prefix(body, view, "so\nfar\"");
  const BodyMember* messages = view.find("messages");
  expect(longer.has_value() == (messages != nullptr), "a prefix needs messages");
  if (!longer) return;
  const auto read = fuzz::read_reference(*longer);
  expect(read.has_value(), "a body with a prefix is JSON");
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto& [key, value] = members[i];
    expect(read->members[i].first == key, "the same members");
    if (key != "messages")
      expect(read->members[i].second == value, "with the same values");
    else
      expect(read->members[i].second.ends_with("\"so\\nfar\\\"\" } ] "), "but one more message");
  }
}

void check(std::string_view body, unsigned choice, Endpoint endpoint) {
  Deployment deployment;
  deployment.body = rules_of(choice);
  const auto view = view_body(body, endpoint, read_keys(deployment.body));
  if (!view) {
    expect(!view.error().message.empty(), "a refusal says why");
    return;
  }
  expect(is_json(body), "only JSON is viewed");
  const auto before = fuzz::read_reference(body);
  if (!before) return;  // numbers without a double, halves of surrogate pairs

  const std::string sent = splice(body, *view, deployment, kModel, endpoint).to_string();
  expect(is_json(sent), "a spliced body is JSON");
  const auto after = fuzz::read_reference(sent);
  expect(after.has_value(), "for others as well");
  const Members expected = Expected(before->members, deployment.body).send(endpoint);
  expect(after->members == expected, "only what the rules name differs");

  deployment.body.content_list_to_string = true;
  const std::string joined = splice(body, *view, deployment, kModel, endpoint).to_string();
  expect(is_json(joined), "a body with joined texts is JSON");

  if (endpoint == Endpoint::chat_completions) check_prefix(body, *view, before->members);
  expect(least_input_tokens(body, *view) <= body.size(), "no more tokens than bytes");
  if (may_be_continued(endpoint, body, *view)) continues_by_prefix(body);
}

}  // namespace
}  // namespace spillway

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using spillway::Endpoint;
  if (size == 0) return 0;
  const unsigned choice = data[0] - '0';
  const auto endpoint = choice & 8 ? Endpoint::responses : Endpoint::chat_completions;
  spillway::check(spillway::fuzz::as_text(data + 1, size - 1), choice, endpoint);
  return 0;
}
