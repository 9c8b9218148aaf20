// Looks into a request body without building a document: one pass checks that it is complete RFC
// 8259 JSON (UTF-8, depth <= bounds::kJsonDepth, numbers of any size) and notes where the members
// stand that somebody reads.
//
// What is not in the key set is neither recorded nor changed. A key of the set that appears twice,
// compared unescaped and without ASCII case, is refused: what was checked must be what is sent
// (DESIGN.md section 2).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ascii.hpp"
#include "core/endpoint.hpp"
#include "core/json_scan.hpp"
#include "core/read_keys.hpp"

namespace spillway {

// One top-level member of the body; offsets are bytes from the body's start.
struct BodyMember {
  std::string key;        // unescaped, as the client spelled its case
  std::size_t key_begin;  // of the opening quote
  std::size_t key_end;    // one past the closing quote
  std::size_t value_begin;
  std::size_t value_end;
  JsonType type;
};

// A client's mistake in the body; always answered 400.
struct BodyError {
  std::string message;  // says which of the client's things is wrong
  std::string param;    // the field; empty: none
  std::string code;     // empty: null
};

struct BodyView {
  std::string model;  // unescaped
  bool stream = false;
  bool include_usage = false;       // stream_options.include_usage
  std::vector<BodyMember> members;  // those of the key set, in body order
  std::size_t object_begin = 0;     // of the '{'
  std::size_t object_end = 0;       // one past the '}'
  bool object_empty = false;        // "{}": an inserted member needs no comma
  bool for_gateway = false;         // a member may be one of kGatewayBodyKeys

  // The member whose key is exactly `key` (case-sensitive), or nullptr.
  const BodyMember* find(std::string_view key) const {
    for (const BodyMember& member : members) {
      if (same(member.key, key)) return &member;
    }
    return nullptr;
  }
};

// Keys that are always read; config/ adds those of the deployments' BodyRules to make
// Config::read_keys.
std::span<const std::string_view> core_read_keys();

// ASCII lower case.
std::string fold(std::string_view key);

// `read_keys` has those of core_read_keys(). Checks the types of what is read: `model` a non-empty
// string of at most kModelNameBytes, `stream` a boolean or null, and where the endpoint defines
// them `messages` an array, `n` an integer or null; `api_base`, `base_url`, `api_key` at the top
// level are refused (a client may not choose where its call goes). Only `model` is required.
std::expected<BodyView, BodyError> view_body(std::string_view body, Endpoint endpoint,
                                             const ReadKeys& read_keys);

// True if `text` is exactly one JSON value (the same checker; white space around it allowed).
bool is_json(std::string_view text);

// The string with JSON escapes applied and without quotes, or nullopt if `literal` is not a JSON
// string. A lone surrogate becomes U+FFFD.
std::optional<std::string> unescape(std::string_view literal);

// The JSON string literal for `text`, with quotes. Invalid UTF-8 becomes U+FFFD.
std::string quote(std::string_view text);

}  // namespace spillway
