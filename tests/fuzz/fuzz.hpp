// What the fuzz targets share: a way to fail, ways to cut an input, and text as JSON sees it.
//
// A target reads its input as the text that the code under test would read, so that a kept corpus
// can be read and written by hand; whatever else a run needs (where to cut, what to choose) is
// derived from that text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

// What libFuzzer and standalone_main.cpp call with each input.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace spillway::fuzz {

// Ends the process unless `holds`; whoever runs the target keeps the input.
inline void expect(bool holds, const char* what,
                   std::source_location where = std::source_location::current()) {
  if (holds) return;
  std::fprintf(stderr, "%s:%u: broken: %s\n", where.file_name(), unsigned{where.line()}, what);
  std::abort();
}

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Randomness that is the same for the same input.
inline std::mt19937_64 random_of(std::string_view input) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : input) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return std::mt19937_64(hash);
}

// The text in pieces, as reads might deliver it: of one byte each with every seventh call (of more
// if that were thousands), else of one byte up to a quarter of the text.
inline std::vector<std::string_view> cut(std::string_view text, std::mt19937_64& random) {
  const std::size_t most = random() % 7 == 0 ? 1 + text.size() / 2048 : text.size() / 4 + 1;
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    const std::size_t length = std::min<std::size_t>(1 + random() % most, text.size());
    pieces.push_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return pieces;
}

// Takes the text up to `end` off `rest`, and `end` with it; all of it if `end` is not there.
inline std::string_view take_until(std::string_view& rest, std::string_view end) {
  const std::size_t at = rest.find(end);
  const std::string_view taken = rest.substr(0, at);
  rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + end.size());
  return taken;
}

}  // namespace spillway::fuzz
