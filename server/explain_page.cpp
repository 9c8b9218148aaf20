#include "server/explain_page.hpp"

#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "server/percent.hpp"

namespace spillway::server {

namespace {

using Json = nlohmann::ordered_json;

// The value of the query's first `name`; empty if there is none.
std::string query_value(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    if (pair.substr(0, equals) == name && equals != std::string_view::npos)
      return percent_decoded(pair.substr(equals + 1));
  }
  return {};
}

std::vector<std::string> comma_separated(std::string_view list) {
  std::vector<std::string> items;
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), item.size() + 1));
    if (!item.empty()) items.emplace_back(item);
  }
  return items;
}

std::optional<Endpoint> endpoint_at(std::string_view path) {
  if (path.empty()) return Endpoint::chat_completions;
  if (path.starts_with("/v1/")) path.remove_prefix(3);
  for (const EndpointTraits& traits : kEndpoints)
    if (traits.path == path) return traits.endpoint;
  return std::nullopt;
}

Json to_json(const Config& config, const Explanation& explanation) {
  Json groups = Json::array();
  for (const ExplainedGroup& group : explanation.groups) {
    Json candidates = Json::array();
    for (const Candidate& candidate : group.candidates)
      candidates.push_back({{"id", config.at(candidate.deployment).id},
                            {"callable", candidate.callable},
                            {"why", candidate.why}});
    groups.push_back(
        {{"name", config.at(group.group).name}, {"candidates", std::move(candidates)}});
  }
  Json steps = Json::array();
  for (const RehearsedStep& step : explanation.steps) {
    const auto ms = std::chrono::duration_cast<milliseconds>(step.after).count();
    Json json = {{"after_ms", ms}, {"group", config.at(step.group).name}, {"what", step.what}};
    json["deployment"] = step.called ? Json(config.at(*step.called).id) : Json();
    steps.push_back(std::move(json));
  }
  return {{"groups", std::move(groups)}, {"steps", std::move(steps)}};
}

}  // namespace

std::optional<ErrorClass> error_class_called(std::string_view text) {
  for (std::size_t i = 0; i < kErrorClassCount; ++i)
    if (name(static_cast<ErrorClass>(i)) == text) return static_cast<ErrorClass>(i);
  return std::nullopt;
}

std::string not_an_error_class(std::string_view text) {
  std::string names;
  for (std::size_t i = 0; i < kErrorClassCount; ++i) {
    if (i > 0) names += ", ";
    names += name(static_cast<ErrorClass>(i));
  }
  return fmt::format("'{}' is not an error class. There are: {}.", text, names);
}

Answer explain_page(const Snapshot& snapshot, std::string_view query, Random& random,
                    TimePoint now) {
  const Config& config = snapshot.config;
  const std::string model = query_value(query, "model");
  if (model.empty())
    return refusal(400, "", "model", "Say which model: /router/explain?model=NAME.");
  const auto match = find_model(config, model);
  if (!match)
    return refusal(404, "model_not_found", "model", "The model '" + model + "' is not configured.");
  const auto endpoint = endpoint_at(query_value(query, "endpoint"));
  if (!endpoint) return refusal(400, "", "endpoint", "There is no such endpoint.");
  const std::string outcome = query_value(query, "if");
  const auto if_asked = error_class_called(outcome);
  if (!outcome.empty() && !if_asked) return refusal(400, "", "if", not_an_error_class(outcome));
  RequestTraits traits;
  traits.endpoint = *endpoint;
  traits.streaming = query_value(query, "stream") == "true";
  traits.options.tags = comma_separated(query_value(query, "tags"));
  const Explanation explanation =
      explain(config, copy_of(snapshot, random()), *match, traits, if_asked, now);
  Answer page;
  page.body = to_json(config, explanation).dump(-1, ' ', false, Json::error_handler_t::replace);
  return page;
}

std::string explain_text(const Config& config, const Explanation& explanation) {
  std::string text;
  const auto line = std::back_inserter(text);
  for (const ExplainedGroup& group : explanation.groups) {
    fmt::format_to(line, "{}\n", config.at(group.group).name);
    for (const Candidate& candidate : group.candidates)
      fmt::format_to(line, "  {} {}: {}\n", candidate.callable ? '+' : '-',
                     config.at(candidate.deployment).id, candidate.why);
  }
  text += "what would happen\n";
  for (const RehearsedStep& step : explanation.steps)
    fmt::format_to(line, "  {:8.1f} s  {}\n", std::chrono::duration<double>(step.after).count(),
                   step.what);
  return text;
}

}  // namespace spillway::server
