// Runs a fuzz target without libFuzzer, for compilers that lack it: every kept input once, then
// mutations of them for as long as asked. It does not see which code an input reaches, so it finds
// little that is new; it shows that what was found stays found.
//
//   fuzz_NAME [-max_total_time=SECONDS] [-seed=NUMBER] [-artifact_prefix=PATH] FILE-OR-FOLDER...
//
// The mutations are the same for the same seed; time only decides how many there are. An input that
// ends the process is written to <artifact prefix>crash, if it was abort() that ended it.
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fuzz.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxBytes = 4096;  // of a mutated input, as libFuzzer's default

struct Options {
  std::chrono::seconds time{0};
  std::uint64_t seed = 1;
  std::string artifact = "crash";
  std::vector<std::filesystem::path> inputs;
};

// For the signal handler.
std::string artifact_path;
std::string current;

void keep_current(int) {
  const int file = open(artifact_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0 && write(file, current.data(), current.size()) >= 0) close(file);
  std::signal(SIGABRT, SIG_DFL);
  std::raise(SIGABRT);
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Options of libFuzzer that mean nothing here are passed over.
Options read_options(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string_view argument = arguments[i];
    const std::string_view value =
        argument.substr(std::min(argument.find('=') + 1, argument.size()));
    if (argument.starts_with("-max_total_time="))
      options.time = std::chrono::seconds(number(value));
    if (argument.starts_with("-seed=")) options.seed = number(value);
    if (argument.starts_with("-artifact_prefix=")) options.artifact = std::string(value) + "crash";
    if (!argument.starts_with('-')) options.inputs.emplace_back(argument);
  }
  return options;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::string> read_corpus(const std::vector<std::filesystem::path>& inputs) {
  std::vector<std::filesystem::path> files;
  for (const auto& input : inputs) {
    if (!std::filesystem::is_directory(input))
      files.push_back(input);
    else
      for (const auto& entry : std::filesystem::directory_iterator(input))
        files.push_back(entry.path());
  }
  std::ranges::sort(files);  // a folder's order is not the same everywhere
  std::vector<std::string> corpus;
  for (const auto& file : files) corpus.push_back(read_file(file));
  return corpus;
}

std::string mutated(const std::vector<std::string>& corpus, std::mt19937_64& random) {
  const auto below = [&random](std::size_t bound) { return bound == 0 ? 0 : random() % bound; };
  std::string text = corpus[below(corpus.size())];
  for (std::size_t edits = 1 + below(5); edits > 0; --edits) {
    const std::size_t at = below(text.size() + 1);
    const std::string& other = corpus[below(corpus.size())];
    switch (below(6)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(random());
        break;
      case 1:
        text.insert(at, 1 + below(3), static_cast<char>(random()));
        break;
      case 2:
        text.erase(at, 1 + below(16));
        break;
      case 3:
        text.insert(at, text.substr(below(text.size() + 1), below(64)));
        break;
      case 4:
        text.insert(at, other.substr(below(other.size() + 1), below(64)));
        break;
      default:
        text = text.substr(0, at) + other.substr(below(other.size() + 1));
    }
  }
  text.resize(std::min(text.size(), kMaxBytes));
  return text;
}

void run(std::string input) {
  current = std::move(input);
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(current.data()), current.size());
}

}  // namespace

int main(int count, char** arguments) {
  const Options options = read_options(count, arguments);
  artifact_path = options.artifact;
  std::signal(SIGABRT, keep_current);

  std::vector<std::string> corpus = read_corpus(options.inputs);
  if (corpus.empty()) corpus.emplace_back();
  std::mt19937_64 random(options.seed);
  const auto end = Clock::now() + options.time;
  std::size_t runs = 0;
  for (const std::string& input : corpus) {
    run(input);
    ++runs;
  }
  for (; Clock::now() < end; ++runs) run(mutated(corpus, random));
  std::fprintf(stderr, "stat::number_of_executed_units: %zu\n", runs);
}
