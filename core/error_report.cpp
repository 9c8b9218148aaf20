#include "core/error_report.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "core/bounds.hpp"

namespace spillway {
namespace {

using Json = nlohmann::json;

constexpr int kErrorJsonDepth = 32;       // levels; real error bodies have at most six
constexpr std::size_t kCodeBytes = 128;   // of a code, type or param that a client is shown
constexpr std::size_t kReasonsRead = 16;  // entries of error.details and their violations

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

// A string, or a whole number as text; empty for everything else and for what cannot be shown in
// one line.
std::string presentable(const Json* value) {
  if (value == nullptr) return {};
  if (value->is_number_integer()) return value->dump();
  if (!value->is_string()) return {};
  const auto& text = value->get_ref<const std::string&>();
  const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
  if (text.size() > kCodeBytes || !std::ranges::all_of(text, printable)) return {};
  return text;
}

std::optional<int> whole_number(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string text_of(const Json* value) {
  return value != nullptr && value->is_string() ? value->get<std::string>() : std::string{};
}

// The object that describes the error: nested, first of a list, or the document itself.
const Json& find_error(const Json& root) {
  const Json& document = root.is_array() && !root.empty() ? root.front() : root;
  if (const Json* response = member(document, "response")) {
    if (const Json* error = member(*response, "error"); error && error->is_object()) return *error;
  }
  if (const Json* error = member(document, "error"); error && error->is_object()) return *error;
  if (const Json* errors = member(document, "errors");
      errors && errors->is_array() && !errors->empty() && errors->front().is_object()) {
    return errors->front();
  }
  return document;
}

std::string find_message(const Json& object) {
  for (const char* key : {"message", "error", "msg", "detail", "error_message"}) {
    if (std::string text = text_of(member(object, key)); !text.empty()) return text;
  }
  // FastAPI's validation errors: {"detail":[{"loc":[...],"msg":"field required"}]}
  if (const Json* detail = member(object, "detail");
      detail && detail->is_array() && !detail->empty()) {
    return text_of(member(detail->front(), "msg"));
  }
  return {};
}

// An event's own type ("error", "response.failed") says nothing about the error.
bool is_event_type(std::string_view type) {
  return type == "error" || type.starts_with("response.");
}

void add_meaning(ErrorReport& report, std::string_view code) {
  const CodeMeaning meaning = meaning_of_code(code);
  if (meaning != CodeMeaning::unknown) report.meanings.push_back(meaning);
}

// google.rpc details: ErrorInfo.reason, and the quotas of QuotaFailure.
void read_details(const Json& error, ErrorReport& report) {
  const Json* details = member(error, "details");
  if (details == nullptr || !details->is_array()) return;
  for (std::size_t i = 0; i < std::min(details->size(), kReasonsRead); ++i) {
    const Json& detail = (*details)[i];
    add_meaning(report, presentable(member(detail, "reason")));
    const Json* violations = member(detail, "violations");
    if (violations == nullptr || !violations->is_array()) continue;
    for (std::size_t j = 0; j < std::min(violations->size(), kReasonsRead); ++j) {
      const std::string quota = text_of(member((*violations)[j], "quotaId"));
      if (quota.find("PerDay") != std::string::npos) report.daily_quota = true;
    }
  }
}

void read_codes(const Json& error, ErrorReport& report) {
  const std::string code = presentable(member(error, "code"));
  const std::string status = presentable(member(error, "status"));
  const std::string status_code = presentable(member(error, "status_code"));
  std::string type = presentable(member(error, "type"));
  if (is_event_type(type)) type.clear();

  for (const std::string* text : {&code, &status_code, &status}) {
    if (!report.numeric_code) report.numeric_code = whole_number(*text);
  }
  add_meaning(report, code);
  add_meaning(report, status);
  if (const Json* inner = member(error, "innererror")) {
    add_meaning(report, presentable(member(*inner, "code")));
  }
  read_details(error, report);
  add_meaning(report, type);

  // A google.rpc status says more than the number beside it.
  const bool status_is_name = !status.empty() && !whole_number(status);
  if (report.code.empty()) {
    report.code = status_is_name && (code.empty() || whole_number(code)) ? status : code;
  }
  if (report.type.empty()) report.type = type;
  if (report.param.empty()) report.param = presentable(member(error, "param"));
}

}  // namespace

bool ErrorReport::means(CodeMeaning meaning) const {
  return std::ranges::find(meanings, meaning) != meanings.end();
}

Json parse_error_json(std::string_view text) {
  const auto shallow = [](int depth, Json::parse_event_t, Json&) {
    return depth <= kErrorJsonDepth;
  };
  return Json::parse(text.substr(0, bounds::kErrorBodyBytes), shallow, /*allow_exceptions=*/false);
}

ErrorReport read_error_report(std::string_view body) {
  ErrorReport report;
  const Json root = parse_error_json(body);
  if (root.is_discarded()) return report;
  const Json& document = root.is_array() && !root.empty() ? root.front() : root;
  const Json& error = find_error(root);
  report.message = find_message(error);
  read_codes(error, report);
  // What the error object leaves out may stand beside it: {"error":{"message":"..."},"code":429}
  if (&error != &document) {
    if (report.message.empty()) report.message = find_message(document);
    read_codes(document, report);
  }
  return report;
}

}  // namespace spillway
