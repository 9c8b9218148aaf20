#include "core/error_class.hpp"

namespace spillway {

std::string_view name(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::invalid_request:
      return "invalid_request";
    case ErrorClass::context_window_exceeded:
      return "context_window_exceeded";
    case ErrorClass::content_policy_violation:
      return "content_policy_violation";
    case ErrorClass::authentication:
      return "authentication";
    case ErrorClass::permission_denied:
      return "permission_denied";
    case ErrorClass::not_found:
      return "not_found";
    case ErrorClass::conflict:
      return "conflict";
    case ErrorClass::unprocessable:
      return "unprocessable";
    case ErrorClass::rate_limit:
      return "rate_limit";
    case ErrorClass::quota_exhausted:
      return "quota_exhausted";
    case ErrorClass::timeout:
      return "timeout";
    case ErrorClass::internal:
      return "internal";
    case ErrorClass::bad_gateway:
      return "bad_gateway";
    case ErrorClass::unavailable:
      return "unavailable";
    case ErrorClass::connection:
      return "connection";
    case ErrorClass::protocol:
      return "protocol";
    case ErrorClass::client_closed:
      return "client_closed";
  }
  return "unknown";
}

std::string_view openai_type(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::invalid_request:
    case ErrorClass::context_window_exceeded:
    case ErrorClass::content_policy_violation:
      return "invalid_request_error";
    case ErrorClass::authentication:
      return "authentication_error";
    case ErrorClass::permission_denied:
      return "permission_denied_error";
    case ErrorClass::not_found:
      return "not_found_error";
    case ErrorClass::conflict:
      return "conflict_error";
    case ErrorClass::unprocessable:
      return "unprocessable_entity_error";
    case ErrorClass::rate_limit:
      return "rate_limit_error";
    case ErrorClass::quota_exhausted:
      return "insufficient_quota";
    case ErrorClass::timeout:
      return "timeout_error";
    case ErrorClass::internal:
      return "server_error";
    case ErrorClass::bad_gateway:
    case ErrorClass::protocol:
      return "bad_gateway_error";
    case ErrorClass::unavailable:
      return "service_unavailable_error";
    case ErrorClass::connection:
      return "api_connection_error";
    case ErrorClass::client_closed:
      return "client_closed_request";
  }
  return "server_error";
}

int default_status(ErrorClass error_class) {
  switch (error_class) {
    case ErrorClass::invalid_request:
    case ErrorClass::context_window_exceeded:
    case ErrorClass::content_policy_violation:
      return 400;
    case ErrorClass::authentication:
      return 401;
    case ErrorClass::permission_denied:
      return 403;
    case ErrorClass::not_found:
      return 404;
    case ErrorClass::conflict:
      return 409;
    case ErrorClass::unprocessable:
      return 422;
    case ErrorClass::rate_limit:
    case ErrorClass::quota_exhausted:
      return 429;
    case ErrorClass::timeout:
      return 504;
    case ErrorClass::internal:
      return 500;
    case ErrorClass::bad_gateway:
    case ErrorClass::connection:
    case ErrorClass::protocol:
      return 502;
    case ErrorClass::unavailable:
      return 503;
    case ErrorClass::client_closed:
      return 499;
  }
  return 500;
}

}  // namespace spillway
