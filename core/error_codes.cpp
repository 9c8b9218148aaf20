#include "core/error_codes.hpp"

#include <string>

namespace spillway {
namespace {

struct CodeRow {
  std::string_view code;  // letters and digits only, lower case
  CodeMeaning meaning;
};

using enum CodeMeaning;

constexpr CodeRow kCodes[] = {
    {"contextlengthexceeded", context_window},
    {"contextwindowexceeded", context_window},
    {"maxcontextlengthexceeded", context_window},
    {"modelcontextwindowexceeded", context_window},
    {"exceedcontextsizeerror", context_window},  // llama.cpp
    {"stringabovemaxlength", context_window},
    {"prompttoolong", context_window},
    {"inputtoolong", context_window},

    {"contentpolicyviolation", content_policy},
    {"contentfilter", content_policy},
    {"contentfiltered", content_policy},
    {"contentblocked", content_policy},
    {"responsibleaipolicyviolation", content_policy},  // Azure, innererror.code
    {"moderationblocked", content_policy},
    {"invalidprompt", content_policy},  // OpenAI: flagged by its usage policy
    {"promptblocked", content_policy},
    {"datainspectionfailed", content_policy},  // DashScope

    {"ratelimit", rate_limit},
    {"ratelimited", rate_limit},
    {"ratelimiterror", rate_limit},
    {"ratelimitexceeded", rate_limit},
    {"ratelimitreached", rate_limit},
    {"ratelimitreachederror", rate_limit},
    {"toomanyrequests", rate_limit},
    {"requestlimitexceeded", rate_limit},
    {"resourceexhausted", rate_limit},  // google.rpc.Code
    {"throttled", rate_limit},
    {"throttling", rate_limit},
    {"throttlingerror", rate_limit},
    {"throttlingexception", rate_limit},
    {"throttlingratequota", rate_limit},
    {"throttlingallocationquota", rate_limit},
    {"limitrequests", rate_limit},
    {"limitburstrate", rate_limit},
    {"servicetiercapacityexceeded", rate_limit},

    {"insufficientquota", quota},
    {"quotaexceeded", quota},
    {"exceededcurrentquotaerror", quota},
    {"enforcedspendlimitreached", quota},
    {"spendlimitexceeded", quota},
    {"billinghardlimitreached", quota},
    {"billingnotactive", quota},
    {"billingerror", quota},
    {"budgetexceeded", quota},
    {"insufficientbalance", quota},
    {"insufficientcredits", quota},
    {"insufficientfunds", quota},
    {"creditsexhausted", quota},
    {"paymentrequired", quota},
    {"arrearage", quota},  // DashScope

    {"mismatchedorganization", account},
    {"mismatchedproject", account},

    {"invalidapikey", credential},
    {"apikeyinvalid", credential},  // google.rpc.ErrorInfo reason, sent with a 400
    {"incorrectapikey", credential},
    {"apikeyexpired", credential},
    {"expiredapikey", credential},
    {"apikeydisabled", credential},
    {"apikeyserviceblocked", credential},
    {"authenticationerror", credential},
    {"invalidauthentication", credential},
    {"invalidauthenticationerror", credential},
    {"invalidcredentials", credential},
    {"unauthenticated", credential},  // google.rpc.Code
    {"unauthorized", credential},
    {"accountdeactivated", credential},
    {"accountdisabled", credential},
    {"accountsuspended", credential},
    {"consumersuspended", credential},
    {"billingdisabled", credential},

    {"modelnotfound", model},
    {"modelnotfounderror", model},
    {"modelnotfoundexception", model},
    {"modelnotexist", model},
    {"nosuchmodel", model},
    {"unknownmodel", model},
    {"invalidmodel", model},
    {"invalidmodelerror", model},
    {"unsupportedmodel", model},
    {"modelnotsupported", model},
    {"modelnotallowed", model},
    {"modelnotavailable", model},
    {"modeldecommissioned", model},
    {"modeldeprecated", model},
    {"modeltermsrequired", model},
    {"deploymentnotfound", model},  // Azure

    {"invalidrequest", invalid_request},
    {"invalidrequesterror", invalid_request},
    {"badrequest", invalid_request},
    {"badrequesterror", invalid_request},
    {"validationerror", invalid_request},
    {"invalidparameter", invalid_request},
    {"invalidvalue", invalid_request},
    {"invalidtype", invalid_request},
    {"missingrequiredparameter", invalid_request},
    {"unsupportedparameter", invalid_request},
    {"unsupportedvalue", invalid_request},
    {"requesttoolarge", invalid_request},
    {"invalidargument", invalid_request},
    {"failedprecondition", invalid_request},
    {"outofrange", invalid_request},

    {"permissiondenied", permission},
    {"permissiondeniederror", permission},
    {"permissionerror", permission},
    {"accessdenied", permission},
    {"forbidden", permission},
    {"notfound", not_found},
    {"notfounderror", not_found},
    {"conflict", conflict},
    {"conflicterror", conflict},
    {"alreadyexists", conflict},
    {"unprocessableentity", unprocessable},
    {"unprocessableentityerror", unprocessable},

    {"timeout", timeout},
    {"timeouterror", timeout},
    {"requesttimeout", timeout},
    {"gatewaytimeout", timeout},
    {"deadlineexceeded", timeout},

    {"internal", internal},
    {"internalerror", internal},
    {"internalservererror", internal},
    {"servererror", internal},
    {"apierror", internal},
    {"dataloss", internal},

    {"badgateway", bad_gateway},
    {"badgatewayerror", bad_gateway},
    {"upstreamerror", bad_gateway},
    {"providererror", bad_gateway},

    {"overloaded", overloaded},
    {"overloadederror", overloaded},
    {"engineoverloaded", overloaded},
    {"engineoverloadederror", overloaded},
    {"modeloverloaded", overloaded},
    {"serveroverloaded", overloaded},
    {"capacityexceeded", overloaded},
    {"unavailable", overloaded},
    {"serviceunavailable", overloaded},
    {"serviceunavailableerror", overloaded},
    {"slowdown", overloaded},
};

constexpr std::size_t kLongestCode = 64;  // characters; longer is not in the table

}  // namespace

CodeMeaning meaning_of_code(std::string_view code) {
  if (code.size() > kLongestCode) return unknown;
  std::string folded;
  for (const char c : code) {
    if (c >= 'A' && c <= 'Z') {
      folded += static_cast<char>(c - 'A' + 'a');
    } else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
      folded += c;
    }
  }
  for (const CodeRow& row : kCodes) {
    if (row.code == folded) return row.meaning;
  }
  return unknown;
}

int status_of(CodeMeaning meaning) {
  switch (meaning) {
    case unknown:
      return 0;
    case context_window:
    case content_policy:
    case invalid_request:
      return 400;
    case rate_limit:
      return 429;
    case quota:
      return 402;
    case credential:
    case account:
      return 401;
    case permission:
      return 403;
    case model:
    case not_found:
      return 404;
    case conflict:
      return 409;
    case unprocessable:
      return 422;
    case timeout:
      return 504;
    case internal:
      return 500;
    case bad_gateway:
      return 502;
    case overloaded:
      return 503;
  }
  return 0;
}

}  // namespace spillway
