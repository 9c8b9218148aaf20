// From what happened to what it means: a machine-readable code that outweighs its status, then the
// bounded phrase table, then the status; the same for every provider.
#include <optional>
#include <string>

#include <fmt/format.h>

#include "core/classify_transport.hpp"
#include "core/error_report.hpp"
#include "core/failure_tables.hpp"
#include "core/outcome.hpp"

namespace spillway {
namespace {

ErrorClass class_of_status(int status) {
  switch (status) {
    case 401:
      return ErrorClass::authentication;
    case 402:
      return ErrorClass::quota_exhausted;
    case 403:
      return ErrorClass::permission_denied;
    case 404:
      return ErrorClass::not_found;
    case 408:
    case 504:
    case 522:  // Cloudflare: its connection to the origin timed out
    case 524:  // Cloudflare: the origin's answer timed out
      return ErrorClass::timeout;
    case 409:
      return ErrorClass::conflict;
    case 422:
      return ErrorClass::unprocessable;
    case 429:
      return ErrorClass::rate_limit;
    case 502:
      return ErrorClass::bad_gateway;
    case 503:
    case 529:  // Anthropic: overloaded
      return ErrorClass::unavailable;
    default:
      break;
  }
  if (status < 500) return ErrorClass::invalid_request;
  if (status >= 520 && status <= 530) return ErrorClass::bad_gateway;  // Cloudflare's own
  return ErrorClass::internal;
}

// A code that outweighs the status it came with, because providers send it with several.
std::optional<ErrorClass> class_of_code(int status, const ErrorReport& report) {
  if (report.means(CodeMeaning::quota)) return ErrorClass::quota_exhausted;
  if (status == 429 && report.daily_quota) return ErrorClass::quota_exhausted;
  if (status == 402 || status == 429) return std::nullopt;
  if (report.means(CodeMeaning::rate_limit)) return ErrorClass::rate_limit;
  if (status == 401) return std::nullopt;
  if (status > 500) return std::nullopt;  // some servers send these two with a plain 500
  if (report.means(CodeMeaning::context_window)) return ErrorClass::context_window_exceeded;
  if (report.means(CodeMeaning::content_policy)) return ErrorClass::content_policy_violation;
  // The client names neither the model nor the key that go upstream: a 400 about them is not its
  // mistake.
  if (status == 400 && report.means(CodeMeaning::credential)) return ErrorClass::authentication;
  if (status == 400 && report.means(CodeMeaning::model)) return ErrorClass::not_found;
  return std::nullopt;
}

std::optional<ErrorClass> class_of_message(int status, std::string_view message) {
  const bool maybe_context = status == 400 || status == 413 || status == 422;
  const bool maybe_policy = status == 400 || status == 403;
  if (!maybe_context && !maybe_policy) return std::nullopt;
  const auto kind = rejection_in_message(message);
  if (maybe_context && kind == RejectionKind::context_window) {
    return ErrorClass::context_window_exceeded;
  }
  if (maybe_policy && kind == RejectionKind::content_policy) {
    return ErrorClass::content_policy_violation;
  }
  return std::nullopt;
}

ErrorClass class_of_answer(int status, const ErrorReport& report) {
  if (const auto by_code = class_of_code(status, report)) return *by_code;
  if (const auto by_message = class_of_message(status, report.message)) return *by_message;
  return class_of_status(status);
}

// What a client gets: the upstream's status where the class keeps it, else the class's own.
int client_status(ErrorClass error_class, int status) {
  if (error_class == ErrorClass::invalid_request) return status;
  if (error_class == ErrorClass::timeout && status == 408) return 408;
  return default_status(error_class);
}

std::string client_code(ErrorClass error_class, const ErrorReport& report) {
  switch (error_class) {
    case ErrorClass::context_window_exceeded:
      return "context_length_exceeded";
    case ErrorClass::content_policy_violation:
      return "content_policy_violation";
    case ErrorClass::authentication:
      return "upstream_authentication_failed";
    case ErrorClass::quota_exhausted:
      return report.code.empty() ? "insufficient_quota" : report.code;
    default:
      return report.code;
  }
}

bool is_markup(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '<';
}

std::string message_of_answer(int status, ErrorClass error_class, const ErrorReport& report,
                              std::string_view provider) {
  if (report.means(CodeMeaning::account)) {
    return fmt::format(
        "Provider {} says that the organization or project does not go with the gateway's key.",
        provider);
  }
  // Upstreams quote parts of the refused key, so their words stay out.
  const bool about_credential =
      error_class == ErrorClass::authentication || report.means(CodeMeaning::credential);
  if (about_credential) {
    return fmt::format(
        "Provider {} refused the credential the gateway is configured with (status {}). The key of "
        "this request is "
        "not concerned.",
        provider, status);
  }
  if (report.message.empty() || is_markup(report.message)) {
    return fmt::format("Provider {} answered with status {} and no readable error message.",
                       provider, status);
  }
  return presentable_message(report.message);
}

bool names_model_or_credential(ErrorClass error_class, const ErrorReport& report) {
  if (error_class != ErrorClass::permission_denied && error_class != ErrorClass::not_found)
    return false;
  return report.means(CodeMeaning::model) || report.means(CodeMeaning::credential) ||
         (error_class == ErrorClass::not_found && report.param == "model");
}

// Classes for which a time to come back means something.
bool wants_hint(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::rate_limit:
    case ErrorClass::quota_exhausted:
    case ErrorClass::timeout:
    case ErrorClass::internal:
    case ErrorClass::bad_gateway:
    case ErrorClass::unavailable:
      return true;
    default:
      return false;
  }
}

Failure protocol_failure(std::string detail, const UpstreamName& upstream) {
  Failure failure;
  failure.error_class = ErrorClass::protocol;
  failure.status = default_status(ErrorClass::protocol);
  failure.type = openai_type(ErrorClass::protocol);
  failure.message = fmt::format("Provider {} sent an answer that is not valid or not complete.",
                                upstream.provider);
  failure.detail = presentable_message(std::move(detail));
  return failure;
}

// `status` is the answer's, or what an error inside a 200 stands for.
Failure answer_failure(int status, const ErrorReport& report, Headers headers,
                       std::string_view body, const UpstreamName& upstream, WallTime now) {
  Failure failure;
  failure.error_class = class_of_answer(status, report);
  failure.status = client_status(failure.error_class, status);
  failure.type = openai_type(failure.error_class);
  failure.code = client_code(failure.error_class, report);
  failure.param = report.param;
  failure.message = message_of_answer(status, failure.error_class, report, upstream.provider);
  failure.detail =
      fmt::format("status {}, code \"{}\", type \"{}\"", status, report.code, report.type);
  failure.concerns_deployment = names_model_or_credential(failure.error_class, report);
  failure.about_account = report.means(CodeMeaning::account);
  if (wants_hint(failure.error_class)) {
    failure.hint = find_retry_hint(headers, body, report.message, now);
  }
  return failure;
}

Failure classify_answer(const HttpAnswer& answer, const UpstreamName& upstream, WallTime now) {
  if (answer.status < 400 || answer.status > 599) {
    Failure failure =
        protocol_failure(fmt::format("unexpected status {}", answer.status), upstream);
    failure.upstream_status = answer.status;
    return failure;
  }
  const ErrorReport report = read_error_report(answer.body);
  Failure failure =
      answer_failure(answer.status, report, answer.headers, answer.body, upstream, now);
  failure.upstream_status = answer.status;
  return failure;
}

// The status an error inside a 200 stands for: its numeric code, its string code, its type, else a
// bad gateway.
int status_of_report(const ErrorReport& report) {
  if (report.numeric_code && *report.numeric_code >= 400 && *report.numeric_code <= 599) {
    return *report.numeric_code;
  }
  return report.meanings.empty() ? 502 : status_of(report.meanings.front());
}

Failure classify_in_band(const InBandError& error, const UpstreamName& upstream, WallTime now) {
  const ErrorReport report = read_error_report(error.body);
  Failure failure =
      answer_failure(status_of_report(report), report, error.headers, error.body, upstream, now);
  failure.upstream_status = 200;
  failure.detail = "error inside a 200: " + failure.detail;
  return failure;
}

struct Classifier {
  const UpstreamName& upstream;
  WallTime now;

  Failure operator()(const HttpAnswer& answer) const {
    return classify_answer(answer, upstream, now);
  }
  Failure operator()(const TransportFailure& failure) const {
    return classify_transport(failure, upstream);
  }
  Failure operator()(const ProtocolViolation& violation) const {
    return protocol_failure(violation.detail, upstream);
  }
  Failure operator()(const InBandError& error) const {
    return classify_in_band(error, upstream, now);
  }
};

}  // namespace

Failure classify(const AttemptOutcome& outcome, const UpstreamName& upstream, WallTime now) {
  return std::visit(Classifier{upstream, now}, outcome);
}

}  // namespace spillway
