// Random configurations, and providers that fail in every way there is.
#pragma once

#include <optional>
#include <string>

#include "core/config.hpp"
#include "core/failure.hpp"
#include "core/random.hpp"

namespace spillway::simulation {

inline unsigned below(Random& random, unsigned limit) {
  return static_cast<unsigned>(uniform(random) * limit);
}
inline bool chance(Random& random, double share) {
  return uniform(random) < share;
}
// Uniform in [0, most) milliseconds.
inline Duration up_to(Random& random, unsigned most_ms) {
  return milliseconds(below(random, most_ms));
}

Config random_config(Random& random);
// What a client asks for: a model of the first group, an endpoint, a stream or not.
ModelMatch random_model(const Config& config, Random& random);

// How one call will go: at most one failure, before the head, after it, or after content.
struct Plan {
  enum class Ending : unsigned char { complete, fail_early, cut_before_content, cut_after_content };
  bool stale = false;      // the pooled connection turns out to be closed
  bool resumable = false;  // what was sent before a cut can be continued exactly
  bool silent = false;     // nothing comes until the deadline
  Ending ending = Ending::complete;
  Failure failure{};
  Duration to_head{};
  Duration to_content{};
  Duration to_end{};
};

// One provider: for a while it behaves in one way, then in another.
class Upstream {
 public:
  explicit Upstream(Random& random);

  Plan answer(Random& random, TimePoint now);
  // From now on every call succeeds.
  void heal() { healthy_for_good_ = true; }

 private:
  enum class Mood : unsigned char { healthy, failing, limiting, outage, silent, cutting, flapping };
  void change_mood(Random& random, TimePoint now);
  Failure failure(Random& random, ErrorClass error_class) const;

  bool healthy_for_good_ = false;
  Mood mood_ = Mood::healthy;
  TimePoint mood_ends_{};
  double share_ = 0;  // of the calls that fail
  ErrorClass error_class_{};
  unsigned hint_ms_ = 0;  // 0: none
  bool up_ = true;        // of one that flaps
  TimePoint flips_{};
  double stale_share_ = 0;
  unsigned slowness_ms_ = 0;
};

}  // namespace spillway::simulation
