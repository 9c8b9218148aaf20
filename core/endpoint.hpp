// The API endpoints whose JSON body names a model; all of them take the same path through the
// gateway.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace spillway {

enum class Endpoint : std::uint8_t {
  chat_completions,
  completions,
  embeddings,
  responses,
  moderations,
  images_generations,
  audio_speech,
  rerank,
};
inline constexpr std::size_t kEndpointCount = 8;

// How a successful answer of the endpoint looks.
enum class AnswerKind : std::uint8_t { json, binary };
// How its stream ends (DESIGN.md section 6).
enum class StreamDialect : std::uint8_t {
  chat,         // [DONE], supplied after a finish_reason if forgotten
  completions,  // the same, with choices[].text
  responses,    // response.completed / .incomplete / .failed
  framing,      // nothing but the body's own end
};

struct EndpointTraits {
  Endpoint endpoint;
  std::string_view path;  // below the API base, with its leading slash: "/chat/completions"
  AnswerKind answer;
  StreamDialect dialect;
};

inline constexpr std::array<EndpointTraits, kEndpointCount> kEndpoints{{
    {Endpoint::chat_completions, "/chat/completions", AnswerKind::json, StreamDialect::chat},
    {Endpoint::completions, "/completions", AnswerKind::json, StreamDialect::completions},
    {Endpoint::embeddings, "/embeddings", AnswerKind::json, StreamDialect::framing},
    {Endpoint::responses, "/responses", AnswerKind::json, StreamDialect::responses},
    {Endpoint::moderations, "/moderations", AnswerKind::json, StreamDialect::framing},
    {Endpoint::images_generations, "/images/generations", AnswerKind::json, StreamDialect::framing},
    {Endpoint::audio_speech, "/audio/speech", AnswerKind::binary, StreamDialect::framing},
    {Endpoint::rerank, "/rerank", AnswerKind::json, StreamDialect::framing},
}};

constexpr const EndpointTraits& traits(Endpoint endpoint) {
  return kEndpoints[static_cast<std::size_t>(endpoint)];
}

}  // namespace spillway
